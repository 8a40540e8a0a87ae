package delivery_test

import (
	"testing"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// Who manages a device goes with the rule that has it there, as long as one does.
func TestManagementByRule(t *testing.T) {
	since := start.Add(day)
	office := authority.Tenant{Authority: protocol.Office365, Epoch: 1}
	both := authority.Tenant{Authority: protocol.Office365, Coexistence: true, Epoch: 2}
	basic, entitled := authority.User{BasicLicence: true}, authority.User{BasicLicence: true, IntuneLicence: true}
	for _, tt := range []struct {
		name   string
		tenant authority.Tenant
		user   *authority.User
		at     protocol.Authority
		want   protocol.Rule
	}{
		{"AUTH-11 under Intune", authority.Tenant{Authority: protocol.Intune, Epoch: 1}, &basic, protocol.Intune, "AUTH-11"},
		{"AUTH-13 under Basic Mobility and Security", office, &basic, protocol.Office365, "AUTH-13"},
		{"AUTH-14 with a licence", both, &entitled, protocol.Intune, "AUTH-14"},
		{"AUTH-16 without", both, &basic, protocol.Office365, "AUTH-16"},
		{"AUTH-18 without a user", both, nil, protocol.Office365, "AUTH-18"},
		{"AUTH-23 about to move", both, &entitled, protocol.Office365, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.Tenant = tt.tenant
			s := delivery.State{Platform: protocol.IOS, Registered: tt.at, RegisteredAt: since, Epoch: tt.tenant.Epoch}
			if tt.user != nil {
				s.User, w.Users[1].User = 1, *tt.user
			}
			if got, want := w.Management(&s), (protocol.Management{Authority: tt.at, Since: since, Rule: tt.want}); got != want {
				t.Errorf("Management = %+v, want %+v", got, want)
			}
		})
	}
}
