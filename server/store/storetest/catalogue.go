package storetest

import (
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

func catalogue(s *suite) {
	want := new(store.Content)
	s.each(func(when string) { s.content(when+"empty", want) })
	user := func(id delivery.UserID, upn string, groups ...string) store.User {
		return store.User{ID: id, UPN: upn, Name: "Näme", Groups: groups, User: authority.User{IntuneLicence: true, CoManaged: id%2 == 0, Premium: id%2 == 0, BasicLicence: id%2 == 1, Manager: id%2 == 1}, Removed: id == 3}
	}
	slot := func(a protocol.Authority, from, uploaded protocol.Time) *store.PushCertificate {
		return &store.PushCertificate{
			Slot: a, Topic: "com.apple.mgmt.External.1", AppleID: "a@example.org", NotBefore: from, NotAfter: from + 100, UploadedAt: uploaded,
			Certificate: []byte("cert"), Key: []byte("key"),
		}
	}
	suspended := slot(protocol.Intune, at, at+1)
	suspended.Suspended = true
	for _, step := range []struct {
		name   string
		change store.Change
	}{
		{"tenant", store.Change{Tenant: &authority.Tenant{
			Authority: protocol.Office365, Coexistence: true, Release: 1910, AcceptUserless: true, Epoch: 3, ChangedAt: at, Kept: time.Hour,
		}}},
		{"settings", store.Change{Settings: &delivery.Settings{Lifetime: 1, Window: 2, Renew: 3}}},
		{"all settings", store.Change{Settings: &delivery.Settings{
			Attempts: [3]time.Duration{4, 5, 6}, Gap: authority.GapSettings{NotOnCoexistence: true, Platforms: []protocol.Platform{protocol.IOS, protocol.MacOS}},
			Leaving: authority.LeavingSettings{WindowsKeeps: true, AndroidAPIDrops: true}, Validity: 7, Lag: 8, Silent: 9,
			UnitsKnown: true, Units: 10, DeviceLicences: true, DeviceLimit: 11, UnlicensedAdmins: true,
			Licences: delivery.NeverAsked, Workloads: authority.Deciders{authority.ByPilot, 6: authority.ByIntune}, Pilots: "pilöts", Blast: -12,
			Old: 13, Records: 14, PushGrace: 15, PushWarnings: []int{365, 2}, Cadence: 16, Counted: 17, Reach: 18,
		}}},
		{"no platform in the gap", store.Change{Settings: &delivery.Settings{Gap: authority.GapSettings{Platforms: []protocol.Platform{}}}}},
		{"campaign", store.Change{Campaign: &store.Campaign{Gap: at, Wakes: delivery.Campaign{From: at + 1, Cursor: 4_000_000_000}}}},
		{"clock in doubt", store.Change{Clock: &store.Doubt{At: at, Off: -time.Hour}}},
		{"clock trusted", store.Change{Clock: &store.Doubt{}}},
		{"restored", store.Change{Restored: &delivery.Restoration{Since: at, At: at + 1, Epoch: 4_000_000_000}}},
		{"campaign over", store.Change{Campaign: &store.Campaign{}}},
		{"consents", store.Change{Consents: []store.Consent{{Service: "b", By: "x", At: at}, {Service: "a", By: "y", At: at + 1}}}},
		{"settings again", store.Change{Settings: &delivery.Settings{Lifetime: 1 << 50}}},
		{"users", store.Change{Users: []store.User{user(1, "a@example.org", "sales", "all"), user(2, "b@example.org")}}},
		{"a user again, and one more", store.Change{Users: []store.User{user(3, "c@example.org", "all"), user(1, "a2@example.org", "field")}}},
		{"profiles", store.Change{Profiles: []store.Profile{
			{Number: 2, Name: "wifi", Family: protocol.WiFi, Identifier: "org.wifi", Payload: []byte("<plist>2\x00")},
			{Number: 1, Authority: protocol.SCCM, Name: "wifi", Family: protocol.WiFi, Identifier: "org.wifi", Payload: []byte("<plist>1")},
		}}},
		{"a profile removed", store.Change{Profiles: []store.Profile{
			{Number: 1, Name: "wifi", Family: protocol.WiFi, Identifier: "org.wifi", Payload: []byte("<plist>1"), Removed: true},
		}}},
		{"assignments", store.Change{Assign: []store.Assignment{{Profile: "wifi", Group: "sales"}, {Profile: "mail", Group: "z"}, {Profile: "mail", Group: "all"}}}},
		{"assigned by another authority", store.Change{Assign: []store.Assignment{{Profile: "mail", Group: "all", Authority: protocol.Office365}}}},
		{"assigned twice", store.Change{Assign: []store.Assignment{{Profile: "wifi", Group: "sales"}}}},
		{"unassigned", store.Change{Unassign: []store.Assignment{{Profile: "mail", Group: "z"}, {Profile: "never", Group: "z"}}}},
		{"push certificate", store.Change{Push: slot(protocol.Intune, at, at+1)}},
		{"a newer one", store.Change{Push: slot(protocol.Intune, at+50, at+51)}},
		{"one that is older and came later", store.Change{Push: slot(protocol.Intune, at-20, at+55)}},
		{"another slot's", store.Change{Push: slot(protocol.Office365, at, at+60)}},
		{"suspended", store.Change{Push: suspended}},
		{"serials", store.Change{Serials: []store.Serial{{Serial: "C2", User: 1, Awaiting: true}, {Serial: "C1"}}}},
		{"a serial again", store.Change{Serials: []store.Serial{{Serial: "C2"}}}},
		{"tokens", store.Change{Tokens: []store.Token{{Name: "b", Hash: [32]byte{1, 31: 2}, Made: at, Expires: at + 1, Role: store.GlobalAdministrator}, {Name: "a", Hash: [32]byte{3}, Made: at}}}},
		{"a token revoked", store.Change{Tokens: []store.Token{{Name: "a", Hash: [32]byte{3}, Made: at, Revoked: true}}}},
		{"packages", store.Change{Packages: []store.Package{{Name: "z", Certificate: delivery.Fingerprint{1, 31: 2}, Most: 2, Made: at, Ends: at + 1}, {Name: "office", Certificate: delivery.Fingerprint{3}, Most: 1}}}},
		{"machines", store.Change{Admit: []store.Admission{{Package: "z", Hardware: "h", Device: "d", At: at}, {Package: "office", Hardware: "h", Device: "e"}}}},
		{"a machine again", store.Change{Admit: []store.Admission{{Package: "z", Hardware: "h", Device: "f", At: at + 1}}}},
		{"a package revoked", store.Change{Packages: []store.Package{{Name: "office", Certificate: delivery.Fingerprint{3}, Most: 1, Revoked: true}}}},
		{"secrets", store.Change{Secrets: map[string][]byte{"ca": []byte("key\x00"), "renewal": {1}}}},
		{"a secret again", store.Change{Secrets: map[string][]byte{"renewal": {2}}}},
	} {
		s.must(s.Apply(s.ctx, at, &step.change))
		want = want.With(&step.change)
		s.each(func(when string) { s.content(when+step.name, want) })
	}
	s.must(s.Apply(s.ctx, at, &store.Change{Lines: []delivery.Effect{{Kind: delivery.Journal, What: delivery.WhatTenant, Rule: "AUTH-02", Detail: "d"}}}))
	lines, err := s.Journal(s.ctx, store.LineFilter{}, 10)
	s.must(err)
	if len(lines) != 1 || lines[0].What != delivery.WhatTenant || lines[0].Rule != "AUTH-02" || lines[0].Detail != "d" || lines[0].Device != 0 || lines[0].At != at {
		s.Errorf("journal %+v, want one line of the tenant", lines)
	}
	s.content("a journal line", want)
}

func (s *suite) content(when string, want *store.Content) {
	s.Helper()
	got, err := s.Load(s.ctx)
	s.must(err)
	s.equal(when, got, want)
}
