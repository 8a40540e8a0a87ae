package server_test

import (
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// TestAUTH07Shared: what goes to whom is one list for each consent, and nothing else is on it; each has its reason.
func TestAUTH07Shared(t *testing.T) {
	x := empty(t)
	want := map[string]string{
		"appleMDMPushCertificate": "Apple: push token, push magic",
		"appleDeviceEnrollment":   "Apple: organization name, server name, serial number, model, enrolment profile",
		"appleSchoolManager":      "Apple: organization name, server name, serial number, model, enrolment profile",
		"appleVolumePurchase":     "Apple: user id, managed Apple ID, serial number",
		"androidManagedStore":     "Google: enterprise id, device id, managed account, policy",
	}
	got := map[string]string{}
	for _, c := range x.Consents() {
		var data []string
		for _, s := range c.Shared {
			data = append(data, s.Data)
			if s.Why == "" || c.For == "" || c.Granted {
				t.Errorf("%s: %q goes to %s without a reason, or it is granted: %+v", c.Service, s.Data, c.With, c)
			}
		}
		got[c.Service] = c.With + ": " + strings.Join(data, ", ")
	}
	x.equal("what is shared", got, want)
}

// TestAUTH05Enrolments: whoever enrols by a service for whose data nobody has consented is refused, before anything else is asked
// (AUTH-47), until somebody consents.
func TestAUTH05Enrolments(t *testing.T) {
	const serial = "C02XK1ABCDEF"
	for _, tt := range []struct {
		name    string
		service string // empty: none is asked for
		device  delivery.Message
		grant   store.Grant
	}{
		{"iPhone", server.ConsentPush, delivery.Message{Platform: protocol.IOS}, store.Grant{User: 1}},
		{"Mac", server.ConsentPush, delivery.Message{Platform: protocol.MacOS}, store.Grant{User: 1}},
		{"automated", server.ConsentADE, delivery.Message{Platform: protocol.IOS}, store.Grant{User: 1, Serial: serial, Automated: true}},
		{"Android work profile", server.ConsentAndroid, delivery.Message{Platform: protocol.Android, AndroidAPI: true}, store.Grant{User: 1}},
		{"Android without Google", "", delivery.Message{Platform: protocol.Android}, store.Grant{User: 1}},
		{"Windows", "", delivery.Message{Platform: protocol.Windows}, store.Grant{User: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := empty(t)
			x.must(x.SetUp(x.ctx, x.now, authority.Tenant{Authority: protocol.Intune}, delivery.Settings{}))
			_, err := x.PutUsers(x.ctx, x.now, []store.User{{UPN: "a@example.org", User: authority.User{IntuneLicence: true}}})
			x.must(err)
			tt.grant.Purpose = delivery.ForEnrolment
			p := &phone{tenant: x, id: "UDID-1"}
			p.certify(tt.grant)
			enrol := func() error { return p.says(protocol.CheckIn{Verb: protocol.Enrol}, tt.device) }
			if tt.service != "" {
				x.refused(enrol(), protocol.RuleConsent)
				x.must(x.Consent(x.ctx, x.now, boss, tt.service))
				x.must(x.Consent(x.ctx, x.now, boss, server.ConsentPush)) // an automated one is pushed, too
			}
			if !tt.device.Platform.Apple() {
				x.must(enrol())
				return
			}
			x.refused(enrol(), protocol.RulePushExpired) // the next gate
			x.upload(topic, 365*day)
			x.must(enrol())
		})
	}
}
