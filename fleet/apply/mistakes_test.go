package apply

import (
	"strings"
	"testing"

	"rollcall/fleet/plan"
)

// What is wrong with a plan for any tenant is known before a server is asked; what some tenant would suit is not wrong.
func TestMistakes(t *testing.T) {
	for name, tt := range map[string]struct{ timeline, want string }{
		"a change from office365":    {"{at: 1h, authority: {set: coexistence}}", ""},
		"a change from intune":       {"{at: 1h, authority: {set: sccm}}", ""},
		"two changes from office365": {"{at: 1h, authority: {set: coexistence}}\n  - {at: 2h, authority: {set: intune}}", ""},
		"an unknown key":             {"{at: 1h, authorty: {set: coexistence}}", `change.yaml:3:14: timeline[0]: unknown key "authorty"`},
		"a step after the end":       {"{at: 3d, support_move: userless}", "change.yaml:3:6: timeline[0].at: "},
		"a change that none allows":  {"{at: 1h, authority: {set: office365}}\n  - {at: 2h, authority: {set: sccm}}\n  - {at: 3h, authority: {set: coexistence}}", "timeline[2].authority.set: "},
		"new devices":                {"{at: 1h, enrol: {devices: 5}}", "timeline[0]"},
	} {
		text := "until: 1d\ntimeline:\n  - " + tt.timeline + "\n"
		err := Mistakes(func(of *plan.Tenancy) (*plan.Plan, error) { return plan.ParseFor("change.yaml", []byte(text), of) })
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}
