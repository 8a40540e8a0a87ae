package rehearsal_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
)

// playPlan plays a plan's own devices.
func playPlan(t *testing.T, p *plan.Plan) *rehearsal.Played {
	t.Helper()
	out, err := rehearsal.Play(t.Context(), rehearsal.Config{Plan: p, Population: population.New(p)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Every ready plan is played to its end, and no invariant is broken (I1 to I10).
func TestReadyPlans(t *testing.T) {
	refusals := map[string][]string{
		"gap": {"Refused by AUTH-34.", "Refused by AUTH-32."}, "late-renewal": {"Refused by AUTH-34."},
	}
	for _, name := range plan.BuiltIns() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := plan.BuiltIn(name)
			if err == nil {
				p, err = p.WithDevices(300)
			}
			if err != nil {
				t.Fatal(err)
			}
			out := playPlan(t, p)
			if out.Partial || out.Violated != 0 || out.CheckIns == 0 {
				t.Errorf("%d check-ins, partial %t, violations %+v", out.CheckIns, out.Partial, out.Violations)
			}
			for _, want := range refusals[name] {
				if !slices.ContainsFunc(out.Acts, func(a fleet.Act) bool { return strings.HasSuffix(a.Text, want) }) {
					t.Errorf("no upload was %s", want)
				}
			}
		})
	}
}

// checkIns counts those that began in a part of the story.
func checkIns(out *rehearsal.Played, from, to time.Duration) (n int) {
	for _, m := range out.Minutes[from/time.Minute : to/time.Minute] {
		n += int(m.CheckIns)
	}
	return n
}

// While the push service is down no Apple device comes; when it is up again all come who were called. Pushes that are lost call
// nobody.
func TestPlayPushOutages(t *testing.T) {
	const head = "until: 2d\npopulation: {already: {ios: 50}}\ntimeline:\n  - {at: 2h, command: {kind: DeviceInformation}}\n"
	for _, tt := range []struct {
		name, faults       string
		during, afterwards int // of 50 devices, at least; 0: nobody
	}{
		{"none", "", 50, 50},
		{"down", "faults:\n  - {at: 1h, for: 12h, push: down}\n", 0, 50},
		{"lost", "faults:\n  - {at: 1h, for: 12h, push: lost}\n", 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := plan.Parse("push.yaml", []byte(head+tt.faults))
			if err != nil {
				t.Fatal(err)
			}
			out := playPlan(t, p)
			const end = 13*time.Hour - time.Minute // what is done at the very end counts for the minute before it
			during, afterwards := checkIns(out, 61*time.Minute, end), checkIns(out, end, 22*time.Hour)
			if during < tt.during || during > 0 && tt.during == 0 || afterwards < tt.afterwards {
				t.Errorf("%d check-ins in the outage and %d in the nine hours after, want %d and %d at least", during, afterwards, tt.during, tt.afterwards)
			}
			if at := checkIns(out, end, end+2*time.Minute); (at >= 50) != (tt.name == "down") {
				t.Errorf("%d check-ins in the minutes around its end", at)
			}
		})
	}
}

// Whoever unenrols and enrols again has one enrolment more, and a tenant's settings are the plan's.
func TestPlayReenrolAndSettings(t *testing.T) {
	p, err := plan.Parse("again.yaml", []byte(`
until: 3d
tenant: {authority: office365, units: 100, gap: {on_coexistence: false}}
population: {already: {ios: 40, windows: 20}, licences: {intune: 100}}
timeline:
  - {at: 2h, authority: {set: coexistence}}
  - {at: 1d, reenrol: {of: 50%, over: 2h}}
`))
	if err != nil {
		t.Fatal(err)
	}
	out := playPlan(t, p)
	again := 0
	for i := range out.Lives {
		if out.Lives[i].Enrolments > 0 {
			again++
		}
	}
	if again != 30 || out.Violated != 0 || len(out.Gaps) != 0 {
		t.Errorf("%d devices enrolled again, want 30; gaps %v; %v", again, out.Gaps, out.Violations)
	}
}
