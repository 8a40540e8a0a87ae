package plan

import (
	"errors"
	"slices"
	"testing"
	"time"

	"rollcall/protocol"
)

// withWaves is a plan in which Intune is added after a day, and then what actions say; these begin at line 8 of its file.
func withWaves(t *testing.T, actions string) *Plan {
	t.Helper()
	p, err := Parse("waves.yaml", []byte(`
until: 10d
tenant: {authority: office365}
population: {devices: 100, mix: {ios: 100}, groups: {pilot: 10}}
timeline:
  - {at: 0s, enrol: {}}
  - {at: 1d, authority: {set: coexistence}}`+actions))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Waves become licences at their moments among the other actions, and say in errors where in the file they are.
func TestWaves(t *testing.T) {
	p := withWaves(t, `
  - {at: 2d, waves: {to: [pilot, 25% of basic, basic], every: 36h, over: 8h}}
  - {at: 4d, ask_users_to_sync: all}
  - {at: 9d, ask_users_to_sync: 10%}
`)
	var got []string
	for i := range p.Timeline {
		a := &p.Timeline[i]
		s := a.At.String() + " " + p.Path(i)
		if l := a.Licences; l != nil {
			s += " " + l.Assign.String() + " to " + l.To.String() + " over " + l.Over.String()
		}
		got = append(got, s)
	}
	want := []string{
		"0s timeline[0].enrol", "1d timeline[1].authority", "2d timeline[2].waves.to[0] intune to pilot over 8h",
		"3d12h timeline[2].waves.to[1] intune to 25% of basic over 8h", "4d timeline[3].ask_users_to_sync",
		"5d timeline[2].waves.to[2] intune to basic over 8h", "9d timeline[4].ask_users_to_sync",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the timeline is\n%q, want\n%q", got, want)
	}
	if err := p.Mistake(p.Path(5), "", "wrong").Error(); err != "waves.yaml:8:48: timeline[2].waves.to[2]: wrong" {
		t.Error(err)
	}
	if s := p.Squeezed(10 * time.Hour); s.Timeline[3].At.String() != "3h30m" || s.Path(3) != p.Path(3) {
		t.Errorf("squeezed, the second wave is at %s", s.Timeline[3].At)
	}
	p.Timeline = append(p.Timeline, Action{At: p.Until, RestartServer: true}) // by a program
	if path := p.Path(7); path != "timeline[7].restart_server" {
		t.Error(path)
	}
}

// Waves are a day apart where the plan does not say otherwise, and one at an action's very moment comes after it.
func TestWavesAmongActions(t *testing.T) {
	p := withWaves(t, `
  - {at: 2d, waves: {to: [pilot, basic]}}
  - {at: 3d, ask_users_to_sync: all}
  - {at: 4d, ask_users_to_sync: 10%}
`)
	var got []string
	for i := range p.Timeline {
		got = append(got, p.Timeline[i].At.String()+" "+p.Path(i))
	}
	want := []string{
		"0s timeline[0].enrol", "1d timeline[1].authority", "2d timeline[2].waves.to[0]", "3d timeline[3].ask_users_to_sync",
		"3d timeline[2].waves.to[1]", "4d timeline[4].ask_users_to_sync",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the timeline is\n%q, want\n%q", got, want)
	}
}

// The ten ready plans of the handbook are there; every ready plan says what it teaches, and can be played with few and many
// devices.
func TestReadyPlans(t *testing.T) {
	for _, name := range []string{"steady", "herd", "brownout", "gap", "wrong-topic", "late-renewal", "coexistence-waves", "from-intune", "userless", "certificate-year"} {
		if !slices.Contains(BuiltIns(), name) {
			t.Errorf("no ready plan %s", name)
		}
	}
	for _, name := range BuiltIns() {
		p, err := BuiltIn(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name != name || p.Teaches == "" || len(p.Limits) == 0 {
			t.Errorf("%s is called %s, teaches %q and has %d limits", name, p.Name, p.Teaches, len(p.Limits))
		}
		for _, n := range []int{12, 300, 1_000_000} {
			if scaled, err := p.WithDevices(n); err != nil {
				t.Error(err)
			} else if err := scaled.Check(); err != nil || scaled.Devices() != n {
				t.Errorf("%s with %d devices has %d: %v", name, n, scaled.Devices(), err)
			}
		}
	}
}

// Ready plans have limits for devices of their own, but for the one that is for an export's; who changes one has a plan of their own.
func TestForItsOwn(t *testing.T) {
	for name, want := range map[string]bool{"gap": true, "tenant": false} {
		if p, err := BuiltIn(name); err != nil || p.ForItsOwn() != want {
			t.Errorf("%s: %t, %v; want %t", name, p.ForItsOwn(), err, want)
		}
	}
	p, err := Parse("gap.yaml", []byte("name: gap\nuntil: 1d\npopulation: {devices: 1, mix: {ios: 100}}\ntimeline: [{at: 0s, enrol: {}}]\n"))
	if err != nil || p.ForItsOwn() {
		t.Errorf("another plan called gap: %t, %v", p.ForItsOwn(), err)
	}
}

// What a plan does under an authority that is not the tenant's is refused before it is played, all of it at once (HST-123).
func TestHST123PlanThatDoesNotSuitATenant(t *testing.T) {
	p, err := BuiltIn("from-intune")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		authority   protocol.Authority
		coexistence bool
		rules       []protocol.Rule
	}{
		{protocol.Intune, false, nil},
		{protocol.Office365, true, []protocol.Rule{"AUTH-04"}},
		{protocol.Office365, false, []protocol.Rule{"AUTH-46", "AUTH-46", "AUTH-46", "AUTH-04"}},
	} {
		var errs Errors
		var rules []protocol.Rule
		err := p.Suits(&Tenancy{Authority: tt.authority, Coexistence: tt.coexistence, Exported: true, Devices: ByPlatform{IOS: 5, Windows: 5}})
		errors.As(err, &errs)
		for _, e := range errs {
			if rules = append(rules, e.Rule); e.Line == 0 {
				t.Errorf("%v names no line", e)
			}
		}
		if !slices.Equal(rules, tt.rules) || (err == nil) != (len(tt.rules) == 0) {
			t.Errorf("in a tenant of %s, coexistence %t: %v, want %v", tt.authority, tt.coexistence, err, tt.rules)
		}
	}
}
