package rehearsal

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

func column(name string, p *Played) Column {
	a := p.Answer(0)
	return Column{ID: name, Name: name, Result: p.Result(a), Answers: a}
}

// prompt is the invented story with the push certificate renewed at once.
func prompt(n int) *Played {
	p := invented(n)
	for i := range p.Lives {
		l := &p.Lives[i]
		l.Blocked, l.Silenced, l.Standing.Blocked, l.why = 0, 0, false, 0
		if l.Moved && p.Population.Devices[i].Platform.Apple() {
			l.MovedAt = l.FirstPending.Add(30 * time.Minute)
		}
	}
	return p
}

func TestSideBySide(t *testing.T) {
	late, soon := invented(1000), prompt(1000)
	c := Compare(column("after 4 days", late), column("at once", soon))
	d := c.differ
	if !slices.Equal(d.turns, []turn{{[2]fate{isBlocked, hasToCome}, 10}}) || d.devices != 550 || d.lost != 0 || d.added != 0 {
		t.Errorf("%+v; want 10 from blocked to come, and 550", d)
	}
	var rows [][]string
	if err := c.Differences(lang.English, []*population.Population{late.Population, soon.Population}, func(cells []string) error { rows = append(rows, cells); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1+d.devices || !slices.Equal(rows[1][:4], []string{"device-8", "user-4", "blocked", "to come"}) || rows[1][8] != "24.00" || rows[1][9] != "" {
		t.Errorf("%d rows, the first %q", len(rows), rows[1])
	}
	stop := errors.New("stop")
	if err := c.Differences(lang.English, []*population.Population{late.Population, soon.Population}, func([]string) error { return stop }); err != stop {
		t.Errorf("a row that cannot be written: %v", err)
	}
	same := Compare(column("a", late), column("b", late))
	if same.differ.devices != 0 || same.differ.turns != nil {
		t.Errorf("a rehearsal differs from itself: %+v", same.differ)
	}
}

// Each thing that two columns can differ in makes a difference by itself, and the list says it in its own cells.
func TestDifferences(t *testing.T) {
	base := invented(9)
	base.Lives = base.Lives[8:]
	base.Population.Devices = base.Population.Devices[8:]
	for _, tt := range []struct {
		name   string
		change func(*Life)
		want   []string // outcome, moved, waited, blocked, unprotected: of each column; nil: no difference
	}{
		{"nothing", func(*Life) {}, nil},
		{"less than counts", func(l *Life) {
			l.MovedAt, l.Blocked = l.MovedAt.Add(59*time.Second), 59*time.Second
			l.lacks().Unprotected[protocol.Email] += 59 * time.Second
		}, nil},
		{"its outcome", func(l *Life) { l.Moved, l.Standing.Unlicensed = false, true }, []string{"moved", "as before", "1.00", "", "0.50", "0.50", "", "", "1.00", "1.00"}},
		{"when it moved", func(l *Life) { l.MovedAt = l.MovedAt.Add(time.Hour) }, []string{"moved", "moved", "1.00", "2.00", "0.50", "1.50", "", "", "1.00", "1.00"}},
		{"how long the gap held it", func(l *Life) { l.Blocked = 2 * time.Hour }, []string{"moved", "moved", "1.00", "1.00", "0.50", "0.50", "", "2.00", "1.00", "1.00"}},
		{"how long no push could reach it", func(l *Life) { l.Silenced = 3 * time.Hour }, []string{"moved", "moved", "1.00", "1.00", "0.50", "0.50", "", "3.00", "1.00", "1.00"}},
		{"how long it was without protection", func(l *Life) { l.lacks().Unprotected[protocol.Email] += 30 * time.Minute }, []string{"moved", "moved", "1.00", "1.00", "0.50", "0.50", "", "", "1.00", "1.50"}},
		{"AUTH-21: it has still to move", func(l *Life) { l.Standing, l.MovedAt = Standing{Pending: true}, 0 }, []string{"moved", "to come", "1.00", "", "0.50", "335.50", "", "", "1.00", "1.00"}},
		{"AUTH-21: how long it waited for a later move", func(l *Life) { l.waited(29 * time.Hour) }, []string{"moved", "moved", "1.00", "1.00", "0.50", "29.00", "", "", "1.00", "1.00"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			of := func(change func(*Life)) Column {
				p := *base
				p.Lives = []Life{{
					Enrolled: true, Standing: Standing{Moved: true}, FirstPending: p.Start.Add(30 * time.Minute), MovedAt: p.Start.Add(time.Hour),
					lack: &Lack{Unprotected: [6]time.Duration{protocol.Email: time.Hour}},
				}}
				change(&p.Lives[0])
				return column("a", &p)
			}
			c := Compare(of(func(*Life) {}), of(tt.change))
			var got []string
			if err := c.Differences(lang.English, []*population.Population{base.Population, base.Population}, func(cells []string) error { got = cells; return nil }); err != nil {
				t.Fatal(err)
			}
			want := append([]string{"device-9", "user-1"}, tt.want...)
			if tt.want == nil {
				want = []string{"device", "user", "outcome: a", "outcome: a", "moved after hours: a", "moved after hours: a", "longest wait hours: a", "longest wait hours: a", "blocked hours: a", "blocked hours: a", "unprotected hours: a", "unprotected hours: a"}
			}
			if !slices.Equal(got, want) {
				t.Errorf("the last row is %q, want %q", got, want)
			}
		})
	}
}

// Devices are the same where the wire calls them the same, whatever their order; one that is missing says so.
func TestSideBySideOtherPopulation(t *testing.T) {
	a, b := invented(20), invented(20)
	for i := range a.Population.Devices {
		id := a.Population.Devices[i].Name
		a.Population.Devices[i].UDID, b.Population.Devices[i].UDID = id, id
	}
	slices.Reverse(b.Lives)
	slices.Reverse(b.Population.Devices)
	b.Population.Devices[0].UDID = "another" // device-20
	c := Compare(column("a", a), column("b", b))
	if d := c.differ; d.devices != 0 || d.lost != 1 || d.added != 1 || !slices.Equal(d.turns, []turn{{[2]fate{hasMoved, absent}, 1}}) {
		t.Errorf("%+v; want one in the first alone and one in the second alone", d)
	}
	s := c.Story(lang.English, a.Population)
	lead := strings.Join(s.Lead, " ")
	if !strings.Contains(s.Headline, "0 of 19 devices") || !strings.Contains(lead, "1 of 20 devices of a are not in b") || !strings.Contains(lead, "1 of 20 devices of b are not in a. The lists do not name them.") {
		t.Errorf("headline %q, lead %q: they do not say that the populations differ", s.Headline, s.Lead)
	}
}

// Of devices that fare differently it is told how many may do so by the length of the stories alone, whichever is the longer; and those
// that a story cut short has not played have no end there.
func TestDifferencesByLength(t *testing.T) {
	const day = 24 * time.Hour
	of := func(length time.Duration, l Life) Column {
		p := invented(9)
		p.Lives, p.Population.Devices = p.Lives[8:], p.Population.Devices[8:]
		p.End = p.Start.Add(length)
		p.Lives[0] = l
		return column("a", p)
	}
	start := invented(9).Start
	bare := func(d time.Duration) Life {
		return Life{Enrolled: true, lack: &Lack{Unprotected: [6]time.Duration{protocol.Email: d}}}
	}
	came := Life{Enrolled: true, Standing: Standing{Moved: true}, FirstPending: start.Add(day), MovedAt: start.Add(6 * day)}
	early := came
	early.MovedAt = start.Add(4 * day)
	sooner := early // to come before it was in the other
	sooner.FirstPending, sooner.MovedAt = start, start.Add(4*day+12*time.Hour)
	waits := Life{Enrolled: true, Standing: Standing{Pending: true}, FirstPending: start.Add(day)}
	for name, tt := range map[string]struct {
		short, long Life
		want        int
	}{
		"without protection to the end of both":  {bare(4 * day), bare(6 * day), 1},
		"for longer than the rest could add":     {bare(time.Hour), bare(14 * day), 0},
		"in the shorter story for longer":        {bare(4 * day), bare(3 * day), 0},
		"it moved after the shorter had ended":   {waits, came, 1},
		"it moved before":                        {waits, early, 0},
		"it moved before, to come from earlier":  {waits, sooner, 0},
		"another end":                            {bare(4 * day), Life{Enrolled: true, MustEnrol: true}, 0},
		"held for longer than the rest could be": {bare(0), Life{Enrolled: true, Blocked: 3 * day}, 0},
		"held for no longer than the rest":       {bare(0), Life{Enrolled: true, Blocked: day}, 1},
	} {
		short, long := of(5*day, tt.short), of(7*day, tt.long)
		for _, c := range []*Comparison{Compare(short, long), Compare(long, short)} {
			lead := strings.Join(c.Story(lang.English, short.Population).Lead, " ")
			if d := c.differ; d.devices != 1 || d.byLength != tt.want || strings.Contains(lead, "1 may do so for this reason alone") != (tt.want == 1) {
				t.Errorf("%s: %+v, want %d by length; %q", name, d, tt.want, lead)
			}
		}
		if d := Compare(long, of(7*day, tt.short)).differ; d.byLength != 0 {
			t.Errorf("%s, of one length: %d", name, d.byLength)
		}
	}
	whole, part := invented(10), invented(10)
	part.Lives, part.Population, part.Partial = part.Lives[5:], part.Population.Only([]int{5, 6, 7, 8, 9}), true
	part.End = part.Start.Add(5 * day)
	c := Compare(column("whole", whole), column("part", part))
	if lead := strings.Join(c.Story(lang.English, whole.Population).Lead, " "); c.differ.turns != nil || !strings.Contains(lead, "whole ends after 14 days, and part after 5 days") || strings.Contains(lead, "the same until") {
		t.Errorf("cut short: %+v, %q", c.differ, lead)
	}
}

// The list to act on names each column's devices by the column's own population: one of another plan, or the part of the first's that
// was played before the story was cut short.
func TestEntriesOfOtherPopulation(t *testing.T) {
	part := invented(10)
	part.Lives, part.Population = part.Lives[5:], part.Population.Only([]int{5, 6, 7, 8, 9})
	other := invented(12)
	for i := range other.Population.Devices {
		other.Population.Devices[i].Name = "another"
	}
	for name, tt := range map[string]struct {
		second *Played
		want   []string // its devices, all of which have something to act on
	}{
		"a part of the first's": {part, []string{"device-6", "device-7", "device-8", "device-9", "device-10"}},
		"one of its own":        {other, slices.Repeat([]string{"another"}, 12)},
	} {
		first := invented(10)
		c := Compare(column("a", first), column("b", tt.second))
		var got []string
		if err := c.Entries(lang.English, []*population.Population{first.Population, tt.second.Population}, func(cells []string) error {
			if cells[4] == "b" {
				got = append(got, cells[0])
			}
			return nil
		}); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tt.want)
		}
	}
}

// The default question in three columns, and two plans with the difference of each device, in both languages.
func TestSideBySideGolden(t *testing.T) {
	for l, name := range map[lang.Language]string{lang.English: "en", lang.Dutch: "nl"} {
		late, soon := invented(1000), prompt(1000)
		two := Compare(column("A", late), column("B", soon))
		three := Compare(column("A", soon), column("B", soon), column("C", late))
		var got bytes.Buffer
		for _, c := range []*Comparison{two, three} {
			r := &report.Result{Command: "rehearse", Verdict: report.OK, Seed: 7, VirtualSeconds: 1, Sections: c.Sections()}
			if err := report.Brief(&got, r, c.Story(l, late.Population), false); err != nil {
				t.Fatal(err)
			}
			if err := report.Page(new(bytes.Buffer), r, c.Story(l, late.Population)); err != nil {
				t.Fatal(err)
			}
		}
		golden(t, "compared."+name+".txt", got.Bytes())
		if word := english.FindString(deviceNames.ReplaceAllString(strings.ReplaceAll(got.String(), "rollcall rehearse", ""), "")); l == lang.Dutch && word != "" {
			t.Errorf("the English word %q", word)
		}
	}
}
