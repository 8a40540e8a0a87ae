package rehearsal

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// movedAfter is a story of devices that moved after these hours each.
func movedAfter(hours ...int) *Played {
	p := &Played{Plan: &plan.Plan{}, Population: &population.Population{}, Start: fleet.Begin, End: fleet.Begin.Add(100 * time.Hour)}
	for _, h := range hours {
		p.Population.Devices = append(p.Population.Devices, population.Device{Platform: protocol.Android})
		p.Lives = append(p.Lives, Life{
			Enrolled: true, Standing: Standing{Moved: true}, Moves: 1, FirstPending: p.Start.Add(time.Hour), MovedAt: p.Start.Add(time.Duration(1+h) * time.Hour), LastSeen: p.End,
		})
	}
	return p
}

// Half of the devices have moved by the time of the middle one, of an even number the earlier of the two; 95 in 100 by the time of one more
// than 94 in 100 (question 1).
func TestMovedFigures(t *testing.T) {
	upTo := func(n int) (hours []int) {
		for h := range n {
			hours = append(hours, n-h)
		}
		return hours
	}
	for n, want := range map[int][3]int{1: {1, 1, 1}, 2: {1, 2, 2}, 10: {5, 10, 10}, 20: {10, 19, 20}, 21: {11, 20, 21}} {
		p := movedAfter(upTo(n)...)
		moved, _ := p.Result(p.Answer(0)).Sections["moved"].(map[string]float64)
		for i, key := range []string{"p50_ms", "p95_ms", "p100_ms"} {
			if got := time.Duration(moved[key] * float64(time.Millisecond)); got != time.Duration(want[i])*time.Hour {
				t.Errorf("of %d devices %s is %s, want %d h", n, key, got, want[i])
			}
		}
	}
}

// A device is enrolling until the server has heard of it; one that has left, or that the server refuses by now, is no more.
func TestResultCountsEnrolling(t *testing.T) {
	p := movedAfter(1, 1, 1, 1)
	p.Lives[1].Enrolled, p.Lives[1].MustEnrol = false, true
	p.Lives[2] = Life{}
	if d := p.Result(p.Answer(0)).Devices; d.Total != 4 || d.Enrolled != 2 || d.Enrolling != 1 || d.MustEnrol != 1 || d.Moved != 2 {
		t.Errorf("%+v", d)
	}
}

// Of a story that was cut short no limit is judged, whatever its figures are so far; of a whole one each is.
func TestHST125CutShortIsNotJudged(t *testing.T) {
	for _, partial := range []bool{false, true} {
		p := movedAfter(1, 2)
		p.Partial = partial
		p.Plan.Limits = make([]plan.Limit, 2)
		for i, text := range []string{"devices.moved > 5", "invariants.violated == 0"} {
			if err := p.Plan.Limits[i].UnmarshalText([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		r := p.Result(p.Answer(0))
		p.Judge(r)
		want, verdict := []report.Limit{{Limit: "devices.moved > 5", Got: "2"}, {Limit: "invariants.violated == 0", Got: "0", OK: true}}, report.Failed
		if partial {
			want, verdict = []report.Limit{{Limit: "devices.moved > 5", Got: report.NotJudged, OK: true}, {Limit: "invariants.violated == 0", Got: report.NotJudged, OK: true}}, report.Partial
		}
		if len(r.Limits) != 2 || r.Limits[0] != want[0] || r.Limits[1] != want[1] || r.Verdict != verdict {
			t.Errorf("cut short %t: %s, %+v, want %s, %+v", partial, r.Verdict, r.Limits, verdict, want)
		}
	}
}

// Of the rules by which devices are not enrolled, the one that is about most of them is told first, with its attempts and devices (AUTH-47).
func TestAUTH47MostRefusedFirst(t *testing.T) {
	p := movedAfter(1, 1, 1, 1, 1, 1)
	p.Barred = map[protocol.Rule]Refusals{protocol.RuleConsent: {30, 5}, protocol.RuleGates: {7, 1}}
	for i, rule := range []protocol.Rule{protocol.RuleGates, protocol.RuleConsent, protocol.RuleConsent} {
		p.Lives[i] = Life{why: reasonOf(rule)}
	}
	var told []string
	for _, f := range p.Answer(0).Findings(lang.English) {
		if f.Title == "Devices that cannot enrol" {
			told = append(told, fmt.Sprintf("%s %d %d: %s", f.Rule, f.Count, f.Devices, f.Consequence))
		}
	}
	want := []string{
		"AUTH-05 2 2: The server refused 30 attempts of 5 devices to enrol by this rule, and 2 devices are not enrolled at the end.",
		"AUTH-47 1 1: The server refused 7 attempts of 1 device to enrol by this rule, and 1 device is not enrolled at the end.",
	}
	if !slices.Equal(told, want) {
		t.Errorf("%q, want %q", told, want)
	}
}

// A minute is over the server's capacity when it has more than that (question 6); of certificates, those of devices that are enrolled are
// forecast (HST-116); and a time by which so many had moved is no sooner than they had (question 1).
func TestAnswersAtTheEdge(t *testing.T) {
	p := movedAfter(1, 1, 1)
	p.Minutes = []Minute{{CheckIns: 119}, {CheckIns: 120}, {CheckIns: 121}}
	for i := range p.Lives {
		p.Lives[i].CertEnd, p.Lives[i].MovedAt = p.End.Add(8*24*time.Hour), p.Start.Add(2*time.Hour+time.Millisecond)
	}
	p.Lives[2].Enrolled = false
	a := p.Answer(2)
	if a.Over != 1 {
		t.Errorf("%d minutes over the capacity, want 1", a.Over)
	}
	if want := []int{0, 2}; !slices.Equal(a.Weeks, want) {
		t.Errorf("certificates that end by week %v, want %v", a.Weeks, want)
	}
	if want := time.Hour + time.Second; a.Half != want || a.Whole != want {
		t.Errorf("half moved within %s, all within %s, want %s", a.Half, a.Whole, want)
	}
}
