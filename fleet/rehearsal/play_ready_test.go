package rehearsal_test

import (
	"bytes"
	"fmt"
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
			for _, a := range out.Acts {
				changes := a.Rule == "AUTH-04" || a.Rule == "AUTH-32" && !strings.Contains(a.Text, "Refused by ")
				if a.Main != changes {
					t.Errorf("%s: it is what the change is about: %t, want %t", a.Name, a.Main, changes)
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

// Devices drop what is left of before a change after seven days by their own clocks: where that is behind, the server still has to
// take it off. Times from devices decide nothing (HST-058), so no invariant is broken.
func TestHST058Clocks(t *testing.T) {
	const story = `
until: 12d
tenant: {authority: intune}
population: {already: {ios: 60}, clocks: {share: %s, off: 2d}}
profiles: [{name: vpn, family: vpn}]
timeline:
  - {at: 1h, profiles: {assign: vpn}}
  - {at: 1d, authority: {set: sccm}}
  - {at: 1d1h, apns: {upload: renewed, slot: sccm}}
`
	for share, want := range map[string][2]int{"0%": {0, 60}, "100%": {30, 30}} {
		p, err := plan.Parse("clocks.yaml", fmt.Appendf(nil, story, share))
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		out, err := rehearsal.Play(t.Context(), rehearsal.Config{Plan: p, Population: population.New(p), Log: &log})
		if err != nil || out.Violated != 0 {
			t.Fatalf("%v, %+v", err, out.Violations)
		}
		there, gone := strings.Count(log.String(), "RemoveProfile vpn: Acknowledged"), strings.Count(log.String(), "RemoveProfile vpn: Error")
		if there+gone != 60 || max(there-want[0], want[0]-there) > 12 || share == "0%" && there != 0 {
			t.Errorf("with %s wrong clocks %d devices still have the profile when it is taken off, and %d have it no longer; want %v", share, there, gone, want)
		}
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

// Of few devices too everybody enrols again before the story of a year ends, who was off the network by habit among them.
func TestCertificateYearOfFew(t *testing.T) {
	p, err := plan.BuiltIn("certificate-year")
	if err == nil {
		p, err = p.WithDevices(40)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := playPlan(t, p)
	must, lapsed := 0, 0
	for i := range out.Lives {
		if out.Lives[i].MustEnrol {
			must++
		}
		if out.Lives[i].Lapsed {
			lapsed++
		}
	}
	if must != 0 || lapsed == 0 {
		t.Errorf("%d must enrol again at the end, %d had to and did", must, lapsed)
	}
}
