package rehearsal

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
)

var office = Bounds{From: 8 * time.Hour, To: 18 * time.Hour}

// The search begins near its end: where the averages leave four standard deviations.
func TestGuess(t *testing.T) {
	some := Movers{Users: 1000, Devices: 1500, Fleet: 4800}
	for _, tt := range []struct {
		name   string
		movers Movers
		bounds Bounds
		want   int
		no     string
	}{
		{"no bound: all in one", some, Bounds{}, 1000, ""},
		// 25 a minute: the mean may be 11.459; 6.875 of the others and 3.125 of those that moved leave 1.459 devices, 0.972 users
		{"check-ins", some, Bounds{CheckIns: 25}, 583, ""},
		// 5 certificates a minute: the mean may be 1; at 0.5 anyhow and one of two devices due that is one device, 0.667 users
		{"certificates", Movers{Users: 1000, Devices: 1500, Fleet: 4800, Due: 0.5, Renewed: 0.5}, Bounds{CheckIns: 1000, Certificates: 5}, 400, ""},
		{"nobody is due", some, Bounds{Certificates: 0.1}, 1000, ""},
		{"users without a device take none of the room", Movers{Users: 10, Fleet: 48}, Bounds{CheckIns: 5}, 10, ""},
		{"no room by chance, and a rehearsal will tell", some, Bounds{CheckIns: 12}, 1, ""},
		{"too few check-ins", some, Bounds{CheckIns: 10}, 0, "10 check-ins a minute leave room for nobody: 4800 devices make 10 on average"},
		{"too few certificates", Movers{Users: 10, Devices: 10, Fleet: 10, Due: 0.1, Renewed: 2}, Bounds{Certificates: 1.5}, 0, "1.5 certificates a minute leave room for nobody: 2.0 are renewed on average"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.bounds.From, tt.bounds.To = office.From, office.To
			got, err := guess(tt.movers, tt.bounds)
			if got != tt.want || (err == nil) != (tt.no == "") || err != nil && !strings.Contains(err.Error(), tt.no) {
				t.Errorf("guess gives %d, %v; want %d, %q", got, err, tt.want, tt.no)
			}
		})
	}
}

// Waves begin with a working day: the story begins on a Monday at 08:00. They add up to the users there are.
func TestInWaves(t *testing.T) {
	const day, hour = 24 * time.Hour, time.Hour
	weekends := office
	weekends.Weekends = true
	type wave struct {
		at, over time.Duration
		users    int
	}
	for _, tt := range []struct {
		name               string
		after              time.Duration
		users, basic, aDay int
		bounds             Bounds
		want               []wave
		no                 string
	}{
		{"one, on the next morning", hour, 1000, 1000, 1000, office, []wave{{day, 10 * hour, 1000}}, ""},
		{"in the hour that begins", 0, 1000, 1000, 1000, office, []wave{{0, 10 * hour, 1000}}, ""},
		{"the last takes as long as its part of a day", hour, 1000, 1000, 583, office, []wave{{day, 10 * hour, 583}, {2 * day, 430 * time.Minute, 417}}, ""},
		{"a weekend is no working day", 4*day + hour, 1000, 1000, 583, office, []wave{{7 * day, 10 * hour, 583}, {8 * day, 430 * time.Minute, 417}}, ""},
		{"unless it is", 4*day + hour, 1000, 1000, 583, weekends, []wave{{5 * day, 10 * hour, 583}, {6 * day, 430 * time.Minute, 417}}, ""},
		{"fewer licences than users", hour, 7, 30, 3, office, []wave{{day, 10 * hour, 3}, {2 * day, 10 * hour, 3}, {3 * day, 200 * time.Minute, 1}}, ""},
		{"too long", hour, 1000, 1000, 1, office, nil, "more than 500 waves"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			days, err := inWaves(fleet.Begin, tt.after, tt.users, tt.basic, tt.aDay, tt.bounds)
			var got []wave
			for _, d := range days {
				got = append(got, wave{d.At, d.Over, d.Users})
			}
			if !slices.Equal(got, tt.want) || (err == nil) != (tt.no == "") || err != nil && !strings.Contains(err.Error(), tt.no) {
				t.Errorf("inWaves gives %v, %v; want %v, %q", got, err, tt.want, tt.no)
			}
		})
	}
	if err := (&Bounds{From: 18 * hour, To: 8 * hour}).check(); err == nil || err.Error() != "hours from 18:00 to 08:00: want two times of a day, such as 08:00-18:00" {
		t.Error(err)
	}
}

// Whatever their number and size, waves give each user one licence, and nobody one that is not there.
func TestWavesAddUp(t *testing.T) {
	always := Bounds{To: plan.Day, Weekends: true}
	for basic := 1; basic < 2_000_000; basic += 1 + basic/3 {
		for _, users := range []int{basic, basic/2 + 1, 1} {
			for _, aDay := range []int{users, users/3 + 1, users/450 + 1} {
				days, err := inWaves(fleet.Begin, 0, users, basic, aDay, always)
				if err != nil {
					t.Fatalf("%d of %d users, %d a day: %v", users, basic, aDay, err)
				}
				left, sum := basic, 0
				for _, d := range days {
					given := d.share.Of(left)
					if given != d.Users || given < 1 || basic <= 1_000_000 && given > aDay {
						t.Fatalf("%d of %d users, %d a day: %s of %d gives %d, not %d", users, basic, aDay, d.share, left, given, d.Users)
					}
					left, sum = left-given, sum+given
				}
				if sum != users && (basic <= 1_000_000 || sum > users) {
					t.Fatalf("%d of %d users, %d a day: %d get a licence", users, basic, aDay, sum)
				}
			}
		}
	}
}

// Few tries find where it ends to hold, wherever that is and the search begins, and say when it never does.
func TestLargest(t *testing.T) {
	for _, hi := range []int{3, 40, 1000} {
		for end := 2; end <= hi; end += 1 + end/3 {
			for first := 0; first <= hi+1; first += 1 + hi/7 {
				tries := 0
				n, ok, err := largest(3, first, hi, func(n int) (bool, error) {
					if tries++; n < 3 || n > hi {
						t.Fatalf("tries %d, which is not of 3 to %d", n, hi)
					}
					return n <= end, nil
				})
				if n != end || ok != (end >= 3) || err != nil || tries > 24 {
					t.Errorf("3 to %d, from %d on: %d, %t, %v after %d tries, want %d", hi, first, n, ok, err, tries, end)
				}
			}
		}
	}
	wrong := errors.New("wrong")
	if _, ok, err := largest(1, 5, 9, func(int) (bool, error) { return false, wrong }); ok || !errors.Is(err, wrong) {
		t.Errorf("%t, %v", ok, err)
	}
}

// What the waves come to in a minute is the most of the minutes that they can be held to: where the time of the day is above the bound
// without any wave, only what waves put above that. The figure beside it is the most without waves.
func TestPeaksGot(t *testing.T) {
	w := WavePlan{Days: []WaveDay{{At: 10 * time.Minute}}}
	story := func(edit func(m []Minute)) *Played {
		p := &Played{Minutes: make([]Minute, 200)}
		for i := range p.Minutes {
			p.Minutes[i].CheckIns = 20
		}
		edit(p.Minutes)
		return p
	}
	without := story(func(m []Minute) { m[5].CheckIns, m[100].CheckIns = 500, 90 }) // the former is before the first wave
	for _, tt := range []struct {
		name string
		edit func(m []Minute)
		got  string
		over float64
	}{
		{"at another time", func(m []Minute) { m[5].CheckIns, m[60].CheckIns, m[100].CheckIns = 500, 45, 88 }, "45/min (without any wave 90/min)", 0},
		{"just as much at that time", func(m []Minute) { m[100].CheckIns, m[85].CheckIns = 90, 90 }, "20/min (without any wave 90/min)", 0},
		{"more at that time", func(m []Minute) { m[100].CheckIns = 93 }, "93/min (without any wave 90/min)", 3},
		{"more than the bound", func(m []Minute) { m[60].CheckIns, m[100].CheckIns = 57, 90 }, "57/min (without any wave 90/min)", 7},
		{"at the end", func(m []Minute) { m[199].CheckIns = 61 }, "61/min (without any wave 90/min)", 11},
	} {
		got := w.peaks("check-ins", 50, story(tt.edit), without, func(m *Minute) uint32 { return m.CheckIns })
		if len(got) != 1 || got[0].Got != tt.got || got[0].Over != tt.over || got[0].OK != (tt.over == 0) {
			t.Errorf("%s: %+v, want %s, %g over", tt.name, got, tt.got, tt.over)
		}
	}
	if got := w.peaks("check-ins", 0, without, without, func(m *Minute) uint32 { return m.CheckIns }); got != nil {
		t.Errorf("without a bound: %+v", got)
	}
}
