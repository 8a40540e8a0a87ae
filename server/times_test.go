package server_test

import (
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// TestTimesAreSettings: times outside what a rule can mean are refused by that rule, and change nothing.
func TestTimesAreSettings(t *testing.T) {
	x := bms(t)
	before := x.Settings()
	for _, tt := range []struct {
		name   string
		rule   protocol.Rule
		change func(*server.Settings)
	}{
		{"old profiles, negative", "AUTH-27", func(s *server.Settings) { s.Old = -1 }},
		{"old profiles, too long", "AUTH-27", func(s *server.Settings) { s.Old = 91 * day }},
		{"records, too long", "AUTH-43", func(s *server.Settings) { s.Records = 3651 * day }},
		{"grace, too long", "AUTH-33", func(s *server.Settings) { s.PushGrace = 366 * day }},
		{"warnings that rise", "AUTH-33", func(s *server.Settings) { s.PushWarnings = []int{1, 30} }},
		{"a warning twice", "AUTH-33", func(s *server.Settings) { s.PushWarnings = []int{7, 7} }},
		{"a warning at the end", "AUTH-33", func(s *server.Settings) { s.PushWarnings = []int{7, 0} }},
		{"too many warnings", "AUTH-33", func(s *server.Settings) { s.PushWarnings = []int{9, 8, 7, 6, 5, 4, 3, 2, 1} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x.refused(x.ChangeSettings(x.ctx, x.now, boss, "", tt.change), tt.rule)
			x.equal("settings", x.Settings(), before)
		})
	}
}

// TestAUTH27Setting: how long the profiles of the authority before stay is a setting of the tenant; devices are told it with the
// change, and a change keeps the time that it was made with.
func TestAUTH27Setting(t *testing.T) {
	x := newTenant(t)
	x.profile(protocol.Intune, "vpn", protocol.VPN, "org.vpn")
	a := x.enrolled(1)
	a.drain()
	x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(s *server.Settings) { s.Old = 3 * day }))
	p := x.set(sccm)
	changed := x.now
	for _, g := range p.Profiles {
		if g.Rule == protocol.RuleSevenDays && g.Until != changed.Add(3*day) {
			t.Errorf("the preview has them leave at %s, want %s", g.Until, changed.Add(3*day))
		}
	}
	x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(s *server.Settings) { s.Old = 0 })) // for the next change
	x.renew()
	x.must(a.ask())
	x.equal("what the device is told", a.out.Reply.Notice, protocol.Notice{Epoch: 2, ChangedAt: changed, Rule: protocol.RuleSevenDays, Kept: 3 * day})
	a.drain()
	for _, tt := range []struct {
		at    time.Duration
		there bool
	}{{3*day - time.Hour, true}, {3 * day, false}} {
		x.now = changed.Add(tt.at)
		a.drain()
		x.equal("profiles after "+tt.at.String(), len(a.has()) > 0, tt.there)
	}
	x.set(intune)
	x.equal("the next change", x.Content().Tenant.OldEnd(), x.now.Add(7*day))
}

// TestAUTH43Setting: how long records outlive their identities is a setting, and shortened it concerns those that are there.
func TestAUTH43Setting(t *testing.T) {
	x := newTenant(t)
	a := x.enrolled(1)
	x.now = a.state().Identity.NotAfter.Add(30 * day)
	x.tick()
	if _, err := x.store.Record(x.ctx, a.number); err != nil {
		t.Fatalf("30 days after the end of its identity: %v", err)
	}
	x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(s *server.Settings) { s.Records = 20 * day }))
	x.tick()
	if _, err := x.store.Record(x.ctx, a.number); err == nil {
		t.Error("the record is still there, 10 days too long")
	}
}

// TestAUTH33Setting: the grace of a push certificate and its warnings are settings.
func TestAUTH33Setting(t *testing.T) {
	x := bms(t)
	x.enrolled(2)
	end := x.Content().Latest().NotAfter
	x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(s *server.Settings) { s.PushGrace, s.PushWarnings = 90*day, []int{60} }))
	if _, days := x.PushStatus(end.Add(-59 * day)); days != 60 {
		t.Errorf("59 days before the end the warning is of %d days, want 60", days)
	}
	x.now = end.Add(40 * day)
	stranded := func() int {
		p, err := x.PreviewAuthority(x.ctx, x.now, coexistence)
		x.must(err)
		return p.Stranded
	}
	x.equal("stranded in the grace", stranded(), 0)
	x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(s *server.Settings) { s.PushGrace = 0 }))
	x.equal("stranded after it", stranded(), 1)
}

// TestAUTH19Setting: whether BMS takes userless devices is a setting of the tenant in use.
func TestAUTH19Setting(t *testing.T) {
	x := empty(t)
	x.must(x.SetUp(x.ctx, x.now, authority.Tenant{Authority: protocol.Office365, Release: 1910}, delivery.Settings{}))
	x.upload(topic, 300*day)
	x.refused(x.newPhone(0).enrol(), "AUTH-19")
	version := (&server.Settings{}).Version()
	was := x.Settings()
	x.must(x.ChangeSettings(x.ctx, x.now, boss, was.Version(), func(s *server.Settings) { s.AcceptUserless = true }))
	x.must(x.newPhone(0).enrol())
	x.equal("settings", x.Settings().AcceptUserless, true)
	x.equal("others stay", x.Settings().Settings, was.Settings)
	x.refused(x.ChangeSettings(x.ctx, x.now, boss, version, func(s *server.Settings) { s.AcceptUserless = false }), protocol.RuleOutdated)
	x.reopen()
	x.equal("after a restart", x.Settings().AcceptUserless, true)
}
