package server_test

import (
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
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
		{"Apple's cadence, too short", "AUTH-21", func(s *server.Settings) { s.Cadence = 59 * time.Minute }},
		{"Apple's cadence, too long", "AUTH-21", func(s *server.Settings) { s.Cadence = 25 * time.Hour }},
		{"lag, too long", "AUTH-29", func(s *server.Settings) { s.Lag = 91 * day }},
		{"identities, too short", "AUTH-40", func(s *server.Settings) { s.Lifetime = time.Minute }},
		{"identities, too long", "AUTH-40", func(s *server.Settings) { s.Lifetime = 3651 * day }},
		{"renewal window, negative", "AUTH-41", func(s *server.Settings) { s.Window = -1 }},
		{"renewal window, too long", "AUTH-41", func(s *server.Settings) { s.Window = 366 * day }},
		{"pause between renewals, too long", "AUTH-41", func(s *server.Settings) { s.Renew = 91 * day }},
		{"contact that counts, too long", "AUTH-47", func(s *server.Settings) { s.Counted = 366 * day }},
		{"silent records, too soon", "AUTH-48", func(s *server.Settings) { s.Silent = 29 * day }},
		{"silent records, too late", "AUTH-48", func(s *server.Settings) { s.Silent = 271 * day }},
		{"compliance, too short", "AUTH-49", func(s *server.Settings) { s.Validity = time.Hour }},
		{"compliance, too long", "AUTH-49", func(s *server.Settings) { s.Validity = 121 * day }},
		{"a wipe again, too soon", "AUTH-53", func(s *server.Settings) { s.Reach = time.Second }},
		{"a wipe again, too late", "AUTH-53", func(s *server.Settings) { s.Reach = 2 * time.Hour }},
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

// TestAUTH21Cadence: how often an Apple device is woken by schedule is a setting; who polls has a cadence of its own.
func TestAUTH21Cadence(t *testing.T) {
	x := newTenant(t)
	x.enrolled(1)
	for _, tt := range []struct{ set, want time.Duration }{{0, 8 * time.Hour}, {2 * time.Hour, 2 * time.Hour}} {
		x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(s *server.Settings) { s.Cadence = tt.set }))
		x.now = x.next().Add(2 * time.Hour) // what was due before, and the quick phase is over
		x.tick()
		x.now = x.next()
		x.tick()
		x.equal("from one wake-up to the next", x.next().Sub(x.now), tt.want)
	}
}

// TestAUTH53Reach: a wipe or retire goes out at once, and again after a time that is a setting; other work keeps its own.
func TestAUTH53Reach(t *testing.T) {
	for _, tt := range []struct {
		kind      protocol.CommandKind
		set, want time.Duration
	}{
		{protocol.Erase, 0, 15 * time.Minute},
		{protocol.Erase, 5 * time.Minute, 5 * time.Minute},
		{protocol.Retire, 5 * time.Minute, 5 * time.Minute},
		{protocol.SecurityInfo, 5 * time.Minute, 15 * time.Minute},
	} {
		x := newTenant(t)
		p := x.enrolled(1)
		x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(s *server.Settings) { s.Reach = tt.set }))
		x.now = x.next().Add(2 * time.Hour)
		x.tick()
		x.must(second(x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: tt.kind})))
		n := len(x.since(0))
		x.tick()
		x.equal("pushes at once", len(x.since(n)), 1)
		x.equal("the next one", x.next().Sub(x.now), tt.want)
	}
}

// TestAUTH47Counted: how long after its latest contact a device counts against the limit of its user is a setting.
func TestAUTH47Counted(t *testing.T) {
	x := newTenant(t)
	x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(s *server.Settings) { s.DeviceLimit = 1 }))
	x.enrolled(1)
	x.now = x.now.Add(40 * day)
	x.refused(x.newPhone(1).enrol(), protocol.RuleGates)
	x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(s *server.Settings) { s.Counted = 30 * day }))
	x.must(x.newPhone(1).enrol())
}

// TestHST070SettingsAfterRestart: a change of settings that are others by now is told what is other, by a server that has started since
// too, until nobody can say any more.
func TestHST070SettingsAfterRestart(t *testing.T) {
	x := newTenant(t)
	was := x.Settings()
	x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(s *server.Settings) { s.Licences, s.PushWarnings = delivery.Always, []int{9} }))
	x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(s *server.Settings) { s.DeviceLimit = 5 }))
	x.reopen()
	for _, want := range []string{
		"days of warning before a push certificate ends: [9], was []; devices a user may have: 5, was 0; enrolment asks for licences: always, was where-known",
		"nobody can say, it being no version of the past 7 days; read the settings again, and change those",
	} {
		err := x.ChangeSettings(x.ctx, x.now, boss, was.Version(), func(s *server.Settings) { s.DeviceLimit = 6 })
		x.refused(err, protocol.RuleOutdated)
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ndoes not say %q", err, want)
		}
		x.now = x.now.Add(store.PreviewLife + time.Second)
		x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(s *server.Settings) { s.DeviceLimit = 7 })) // it makes room
	}
}
