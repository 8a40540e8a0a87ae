package population

import (
	"slices"
	"testing"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// What Basic Mobility and Security has on its devices no export says; a plan that says it knows better (AUTH-23, AUTH-46).
func TestAUTH23Assume(t *testing.T) {
	all := func(of protocol.Authority, names ...string) []plan.Profile {
		return []plan.Profile{{Name: names[0], Family: protocol.Email, Assigned: plan.All, Of: of}, {Name: names[1], Family: protocol.Configuration, Assigned: plan.All, Of: of}}
	}
	later := plan.Profile{Name: "company mail", Family: protocol.Email}
	before := plan.Profile{Name: "wifi", Family: protocol.Configuration, Assigned: "sales"}
	for _, c := range []struct {
		name   string
		tenant Tenant
		has    []plan.Profile
		want   []plan.Profile
	}{
		{"alone", Tenant{Authority: protocol.Office365}, nil, all(protocol.Unknown, "company mail", "restrictions")},
		{"beside Intune they are not Intune's", Tenant{Authority: protocol.Office365, Coexistence: true}, nil, all(protocol.Office365, "company mail", "restrictions")},
		{"the timeline's of that name is another one", Tenant{Authority: protocol.Office365}, []plan.Profile{later}, append([]plan.Profile{later}, all(protocol.Unknown, "company mail of BMS", "restrictions")...)},
		{"the plan says", Tenant{Authority: protocol.Office365}, []plan.Profile{before}, []plan.Profile{before}},
		{"Intune", Tenant{Authority: protocol.Intune}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			pop, p := &Population{Tenant: c.tenant}, &plan.Plan{Profiles: c.has}
			if changed := pop.Assume(p); changed != (len(c.want) > len(c.has)) || !slices.Equal(p.Profiles, c.want) {
				t.Fatalf("changed %t, profiles %v; want %v", changed, p.Profiles, c.want)
			}
			if pop.Assume(p) {
				t.Fatal("assumed twice")
			}
		})
	}
}
