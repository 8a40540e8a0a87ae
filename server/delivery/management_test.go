package delivery_test

import (
	"testing"
	"time"

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
			s := delivery.State{Life: delivery.Enrolled, EnrolledAt: since, Platform: protocol.IOS, Registered: tt.at, RegisteredAt: since, Epoch: tt.tenant.Epoch}
			if tt.user != nil {
				s.User, w.Users[1].User = 1, *tt.user
			}
			if got, want := w.Management(&s), (protocol.Management{Authority: tt.at, Since: since, Rule: tt.want}); got != want {
				t.Errorf("Management = %+v, want %+v", got, want)
			}
		})
	}
}

// A device that enrols has taken the place of one that was managed until then, or of none: it knows which, as long as it is enrolled (HST-032).
func TestHST032WhosePlaceADeviceTakes(t *testing.T) {
	replaced := func(p *phone) protocol.Time { return p.w.Management(&p.s).Replaced }
	for _, tt := range []struct {
		name string
		kind protocol.Platform
		then func(p *phone)
		want bool
	}{
		{"of one that is managed", protocol.IOS, func(*phone) {}, true},
		{"of nobody: it said farewell", protocol.IOS, func(p *phone) { p.leave() }, false},
		{"of nobody: its identity has ended", protocol.IOS, func(p *phone) { p.now = p.now.Add(365 * day) }, false},
		{"of nobody: it was told to leave, and silent since", protocol.Windows, func(p *phone) {
			p.s.Platform, p.s.Queue = protocol.Windows, []delivery.Queued{{Command: protocol.Command{Kind: protocol.Retire}, At: p.s.LastSeen.Add(-time.Second)}}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := settled(t)
			since := p.s.EnrolledAt
			if tt.then(p); replaced(p) != 0 {
				t.Error("the first has taken a place")
			}
			if !tt.want {
				since = 0
			}
			p.now = p.now.Add(time.Hour)
			p.cred = p.issue(delivery.ForEnrolment)
			for range 2 { // the answer may be lost
				p.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{Platform: tt.kind, Topic: topic})
				if p.s.Life != delivery.Enrolling || replaced(p) != since {
					t.Errorf("%s: it takes the place of one since %d, want %d", p.s.Life, replaced(p), since)
				}
			}
			p.ready()
			if p.s.EnrolledAt != p.now || replaced(p) != since {
				t.Errorf("enrolled at %d, it takes the place of one since %d, want %d", p.s.EnrolledAt, replaced(p), since)
			}
			if p.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{Platform: tt.kind, Topic: topic}); replaced(p) != 0 {
				t.Error("with the identity that it has it takes its own place")
			}
		})
	}
}
