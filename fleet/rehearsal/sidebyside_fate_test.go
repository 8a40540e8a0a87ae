package rehearsal

import (
	"slices"
	"testing"
	"time"

	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

// How a device ends is the first that holds, the worst before the rest.
func TestFates(t *testing.T) {
	for want, l := range map[fate]*Life{
		absent:         nil,
		notEnrolled:    {Standing: Standing{Stranded: true, Pending: true}},
		mustEnrolAgain: {MustEnrol: true, Enrolled: true, Standing: Standing{Stranded: true, Blocked: true, Pending: true, Moved: true}},
		isStranded:     {Enrolled: true, Standing: Standing{Stranded: true, Blocked: true, Pending: true, Moved: true}},
		isBlocked:      {Enrolled: true, Standing: Standing{Blocked: true, Pending: true, Moved: true}},
		hasToCome:      {Enrolled: true, Standing: Standing{Pending: true, Moved: true}},
		hasMoved:       {Enrolled: true, Standing: Standing{Moved: true, Reregistered: true}},
		hasRegistered:  {Enrolled: true, Standing: Standing{Reregistered: true}},
		unconcerned:    {Enrolled: true},
	} {
		if got := l.fate(); got != want {
			t.Errorf("%+v: %s, want %s", l, fates[got], fates[want])
		}
	}
	if got := (&Life{Enrolled: true, Standing: Standing{Stale: true}}).fate(); got != hasToCome {
		t.Errorf("stale: %s", fates[got])
	}
}

// A difference of any column counts, and moments are held against each column's own beginning.
func TestDiffersInAnyColumn(t *testing.T) {
	one := func(start, moved time.Duration) Column {
		p := invented(9)
		p.Start = p.Start.Add(start)
		p.Lives, p.Population.Devices = p.Lives[8:], p.Population.Devices[8:]
		p.Lives[0] = Life{Enrolled: true, Standing: Standing{Moved: true}, FirstPending: p.Start.Add(time.Hour), MovedAt: p.Start.Add(moved)}
		return column("a", p)
	}
	first := one(0, 2*time.Hour)
	if Compare(first, one(5*time.Hour, 2*time.Hour), one(0, 2*time.Hour)).differs(0) {
		t.Error("a device that moved as long after the beginning is told to fare differently")
	}
	if !Compare(first, one(0, 2*time.Hour), one(0, 3*time.Hour)).differs(0) {
		t.Error("a device that moved later in the third column alone is told to fare alike")
	}
}

// What was cut short makes the whole partial, whatever failed before.
func TestSideBySidePartial(t *testing.T) {
	a, b := column("A", invented(9)), column("B", invented(9))
	a.Result.Verdict, b.Result.Verdict = report.Failed, report.Partial
	if r := Compare(a, b).Result(); r.Verdict != report.Partial {
		t.Errorf("verdict %s, want %s", r.Verdict, report.Partial)
	}
}

// The lists find a device where each column has it.
func TestSideBySideListsOfOtherOrder(t *testing.T) {
	other := invented(1000)
	people := *other.Population
	people.Devices, other.Lives, other.Population = slices.Clone(people.Devices), slices.Clone(other.Lives), &people
	first := invented(1000)
	for i := range people.Devices {
		people.Devices[i].UDID, first.Population.Devices[i].UDID = people.Devices[i].Name, people.Devices[i].Name
	}
	slices.Reverse(people.Devices)
	slices.Reverse(other.Lives)
	c := Compare(column("A", first), column("B", other))
	long := 0
	for _, table := range c.lists(lang.English, c.Columns[0].Population) {
		for _, row := range table.Rows {
			if cells := row[len(row)-2:]; cells[0] != cells[1] {
				t.Fatalf("%s: %v", table.Title, row)
			} else if _, is := cells[0].(time.Duration); is {
				long++
			}
		}
	}
	if long == 0 {
		t.Error("nobody was without protection")
	}
}
