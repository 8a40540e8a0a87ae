package rehearsal

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/fleet"
)

// Waves are as fast as their bounds let them be: the story begins on a Monday at 08:00.
func TestPlanWaves(t *testing.T) {
	const day, hour = 24 * time.Hour, time.Hour
	office := func(b Bounds) Bounds {
		b.From, b.To = 8*hour, 18*hour
		return b
	}
	some := Movers{Users: 1000, Devices: 1500, Fleet: 4800}
	for _, tt := range []struct {
		name   string
		after  time.Duration
		movers Movers
		bounds Bounds
		want   []WaveDay
		no     string
	}{
		{"no bound: all on the next morning", hour, some, office(Bounds{}), []WaveDay{{day, 10 * hour, 1000}}, ""},
		{"in the hour that begins", 0, some, office(Bounds{}), []WaveDay{{0, 10 * hour, 1000}}, ""},
		// 25 a minute: the mean may be 11.459; 6.875 of the others and 3.125 of those that moved leave 1.459 devices, 0.972 users
		{"check-ins", hour, some, office(Bounds{CheckIns: 25}), []WaveDay{{day, 10 * hour, 583}, {2 * day, 430 * time.Minute, 417}}, ""},
		{"a weekend is no working day", 4*day + hour, some, office(Bounds{CheckIns: 25}), []WaveDay{{7 * day, 10 * hour, 583}, {8 * day, 430 * time.Minute, 417}}, ""},
		{"unless it is", 4*day + hour, some, office(Bounds{CheckIns: 25, Weekends: true}), []WaveDay{{5 * day, 10 * hour, 583}, {6 * day, 430 * time.Minute, 417}}, ""},
		// 5 certificates a minute: the mean may be 1; at 0.5 anyhow and one of two devices due that is one device, 0.667 users
		{"certificates", hour, Movers{Users: 1000, Devices: 1500, Fleet: 4800, Due: 0.5, Renewed: 0.5}, office(Bounds{CheckIns: 1000, Certificates: 5}), []WaveDay{{day, 10 * hour, 400}, {2 * day, 10 * hour, 400}, {3 * day, 5 * hour, 200}}, ""},
		{"nobody is due", hour, some, office(Bounds{Certificates: 0.1}), []WaveDay{{day, 10 * hour, 1000}}, ""},
		{"users without a device take none of the room", hour, Movers{Users: 10, Fleet: 48}, office(Bounds{CheckIns: 5}), []WaveDay{{day, 10 * hour, 10}}, ""},
		{"too few check-ins", hour, some, office(Bounds{CheckIns: 20}), nil, "20 check-ins a minute leave room for nobody: 4800 devices make 10 anyhow"},
		{"too few certificates", hour, Movers{Users: 10, Devices: 10, Fleet: 10, Due: 0.1, Renewed: 2}, office(Bounds{Certificates: 5}), nil, "5.0 certificates a minute leave room for nobody: 2.0 are renewed anyhow"},
		{"for ever", hour, Movers{Users: 10_000, Devices: 10_000, Fleet: 10_000, Due: 1}, Bounds{Certificates: 0.5, From: 8 * hour, To: 8*hour + 10*time.Minute}, nil, "less than one user a day"},
		{"too long", hour, Movers{Users: 100_000, Devices: 100_000, Fleet: 100_000, Due: 1}, office(Bounds{Certificates: 2}), nil, "more than 500 waves"},
		{"nobody", hour, Movers{Fleet: 10}, office(Bounds{}), nil, "nobody moves"},
		{"no hours", hour, some, Bounds{From: 18 * hour, To: 8 * hour}, nil, "hours from 18:00 to 08:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := PlanWaves(fleet.Begin, tt.after, tt.movers, tt.bounds)
			if !slices.Equal(got, tt.want) || (err == nil) != (tt.no == "") || err != nil && !strings.Contains(err.Error(), tt.no) {
				t.Errorf("PlanWaves gives %v, %v; want %v, %q", got, err, tt.want, tt.no)
			}
		})
	}
}
