package authority_test

import (
	"errors"
	"fmt"
	"testing"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// TestAUTH04Transition asks every pair of authorities, without and with force.
func TestAUTH04Transition(t *testing.T) {
	states := []authority.Tenant{unset, intune, sccm, bms, coexist}
	const (
		same  = "same"
		ok    = "ok"
		force = "force" // AUTH-04 without force, named unsupported
		no    = "AUTH-04"
		back  = "AUTH-03"
	)
	table := [5][5]string{ // from row to column
		{same, ok, ok, ok, no},
		{back, same, ok, force, no},
		{back, ok, same, no, no},
		{back, force, no, same, ok},
		{back, ok, no, no, same},
	}
	for i, from := range states {
		for j, to := range states {
			for _, forced := range []bool{false, true} {
				want := table[i][j]
				t.Run(fmt.Sprintf("%s to %s, force %v", from.Name(), to.Name(), forced), func(t *testing.T) {
					before := from
					before.Release, before.Epoch, before.AcceptUserless = 1910, 7, true
					after, refusal := authority.Transition(before, authority.Change{Authority: to.Authority, Coexistence: to.Coexistence, Force: forced, At: 99}, authority.Facts{})
					if got := authority.Unsupported(from, to); got != (want == force) {
						t.Errorf("unsupported %v, want %v", got, want == force)
					}
					switch {
					case want == same:
						if refusal != nil || after != before {
							t.Errorf("%+v, %v; want no change", after, refusal)
						}
					case want == ok, want == force && forced:
						expected := before
						expected.Authority, expected.Coexistence, expected.Epoch, expected.ChangedAt = to.Authority, to.Coexistence, 8, 99
						if refusal != nil || after != expected {
							t.Errorf("%+v, %v; want %+v", after, refusal, expected)
						}
					default:
						rule := protocol.Rule(want)
						if want == force {
							rule = "AUTH-04"
						}
						if refusal == nil || !errors.Is(refusal, rule) || refusal.Reason == "" || after != before {
							t.Errorf("%+v, %v; want %s and nothing changed", after, refusal, rule)
						}
					}
				})
			}
		}
	}
}

func TestTransitionFacts(t *testing.T) {
	old, automatic := authority.Tenant{Release: 1910}, authority.Tenant{Release: 1911}
	adding := authority.Change{Authority: protocol.Office365, Coexistence: true}
	leaving, force := authority.Change{Authority: protocol.Intune}, authority.Change{Authority: protocol.Intune, Force: true}
	for _, tt := range []struct {
		name  string
		rule  protocol.Rule // "": it can be
		from  authority.Tenant
		want  authority.Change
		facts authority.Facts
	}{
		{"AUTH-02 1910 chooses office365", "", old, authority.Change{Authority: protocol.Office365}, authority.Facts{}},
		{"AUTH-02 1910 chooses none", "", old, authority.Change{}, authority.Facts{}},
		{"AUTH-02 1911 starts as intune", "", automatic, authority.Change{Authority: protocol.Intune}, authority.Facts{}},
		{"AUTH-02 1911 has no choice", "AUTH-02", automatic, authority.Change{Authority: protocol.Office365}, authority.Facts{}},
		{"AUTH-03 with force", "AUTH-03", intune, authority.Change{Force: true}, authority.Facts{}},
		{"AUTH-04 coexistence beside intune", "AUTH-04", bms, authority.Change{Authority: protocol.Intune, Coexistence: true, Force: true}, authority.Facts{}},
		{"AUTH-04 users on BMS", "AUTH-04", coexist, leaving, authority.Facts{OnBMS: 1}},
		{"AUTH-04 users on BMS, forced", "", coexist, force, authority.Facts{OnBMS: 1}},
		{"AUTH-04 nobody on BMS", "", coexist, leaving, authority.Facts{}},
		{"AUTH-09 no unit", "AUTH-09", bms, adding, authority.Facts{Unowned: true}},
		{"AUTH-09 no unit, forced in one step", "AUTH-09", bms, force, authority.Facts{Unowned: true}},
		{"AUTH-09 units", "", bms, adding, authority.Facts{}},
		{"AUTH-09 coexistence has Intune already", "", coexist, leaving, authority.Facts{Unowned: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			after, no := authority.Transition(tt.from, tt.want, tt.facts)
			switch {
			case tt.rule == "" && no != nil:
				t.Errorf("refused: %v", no)
			case tt.rule != "" && (no == nil || no.Rule != tt.rule || after != tt.from):
				t.Errorf("%+v, %v; want %s", after, no, tt.rule)
			}
		})
	}
}

func TestAUTH02Initial(t *testing.T) {
	for release, want := range map[uint16]protocol.Authority{1910: protocol.Unknown, 1911: protocol.Intune, 2008: protocol.Intune, 0: protocol.Unknown} {
		if got := authority.Initial(release); got != want {
			t.Errorf("Initial(%d) = %s, want %s", release, got, want)
		}
	}
}

func TestAUTH30OpensGap(t *testing.T) {
	careless := authority.GapSettings{NotOnCoexistence: true}
	for _, tt := range []struct {
		from, to authority.Tenant
		settings authority.GapSettings
		want     bool
	}{
		{unset, intune, authority.GapSettings{}, false},
		{intune, sccm, authority.GapSettings{}, true},
		{sccm, intune, careless, true},
		{bms, coexist, authority.GapSettings{}, true},
		{bms, coexist, careless, false},
		{bms, bms, authority.GapSettings{}, false},
		{bms, intune, careless, true},
		{coexist, intune, authority.GapSettings{}, false}, // it is Intune's slot already
	} {
		t.Run(tt.from.Name()+" to "+tt.to.Name(), func(t *testing.T) {
			if got := authority.OpensGap(tt.from, tt.to, tt.settings); got != tt.want {
				t.Errorf("OpensGap(%+v) = %v, want %v", tt.settings, got, tt.want)
			}
		})
	}
}
