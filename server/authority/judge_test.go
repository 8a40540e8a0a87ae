package authority_test

import (
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
)

const day = 24 * time.Hour

var now = protocol.At(time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC))

// epoch returns t in epoch n, which began now.
func epoch(t authority.Tenant, n uint32) authority.Tenant {
	t.Epoch, t.ChangedAt = n, now
	return t
}

// adding is the scene of adding Intune to a BMS tenant; forced, hybrid and settled are others.
var (
	adding  = authority.Scene{Before: epoch(bms, 1), After: epoch(coexist, 2), Now: now, Push: authority.Push{Gap: true, Ends: now.Add(100 * day)}}
	forced  = authority.Scene{Before: epoch(bms, 1), After: epoch(intune, 2), Now: now, Push: authority.Push{Gap: true}}
	hybrid  = authority.Scene{Before: epoch(intune, 1), After: epoch(sccm, 2), Now: now, Push: authority.Push{Gap: true}}
	back    = authority.Scene{Before: epoch(intune, 1), After: epoch(bms, 2), Now: now}
	settled = authority.Scene{Before: epoch(coexist, 2), After: epoch(coexist, 2), Now: now}
	alone   = authority.Scene{Before: epoch(coexist, 1), After: epoch(intune, 2), Now: now}
)

// of is a device of epoch 1, known to be fine.
func of(p protocol.Platform, registered protocol.Authority, u *authority.User) authority.Subject {
	return authority.Subject{Device: authority.Device{Platform: p, Registered: registered}, Number: 1, Owner: 1, Was: u, Is: u, Epoch: 1, CertEnd: now.Add(300 * day), Contact: now}
}

func with(c authority.Subject, changes ...func(*authority.Subject)) authority.Subject {
	for _, change := range changes {
		change(&c)
	}
	return c
}

func TestJudge(t *testing.T) {
	const o365, in = protocol.Office365, protocol.Intune
	phone := func(u *authority.User) authority.Subject { return of(protocol.IOS, o365, u) }
	pc := func(u *authority.User) authority.Subject { return of(protocol.Windows, o365, u) }
	expired := func(c *authority.Subject) { c.CertEnd = now - 1 }
	supported := func(c *authority.Subject) { c.Supported = true }
	topic := func(c *authority.Subject) { c.OtherTopic = true }
	ended := adding
	ended.Push = authority.Push{Ends: now}
	lost := adding
	lost.Push = authority.Push{Ends: now.Add(-30*day - time.Second)}
	graced := lost
	graced.Push.Grace = 31 * day
	onlyPhones := adding
	onlyPhones.Push.Settings.Platforms = []protocol.Platform{protocol.IOS}
	for _, tt := range []struct {
		name   string
		scene  authority.Scene
		device authority.Subject
		rule   protocol.Rule // that decides after the change
		want   authority.Judgement
	}{
		{"AUTH-14 pending, blocked by AUTH-30", adding, phone(entitled), "AUTH-14", authority.Judgement{Pending: true, Blocked: "AUTH-30", Fate: authority.Moves}},
		{"AUTH-30 Windows is untouched", adding, pc(entitled), "AUTH-14", authority.Judgement{Pending: true, Fate: authority.Moves}},
		{"AUTH-30 gap.platforms", onlyPhones, of(protocol.IPadOS, o365, entitled), "AUTH-14", authority.Judgement{Pending: true, Fate: authority.Moves}},
		{"AUTH-33 ended", ended, phone(entitled), "AUTH-14", authority.Judgement{Pending: true, Blocked: "AUTH-33", Fate: authority.Moves}},
		{"AUTH-33 is Apple's", ended, pc(entitled), "AUTH-14", authority.Judgement{Pending: true, Fate: authority.Moves}},
		{"AUTH-33 after the grace strands", lost, phone(basic), "AUTH-16", authority.Judgement{Stale: true, Blocked: "AUTH-33", Stranded: authority.TopicChanged, Fate: authority.Strands}},
		{"AUTH-33 the grace is a setting", graced, phone(basic), "AUTH-16", authority.Judgement{Stale: true, Blocked: "AUTH-33", Fate: authority.Stays}},
		{"AUTH-21 stale under coexistence", adding, pc(basic), "AUTH-16", authority.Judgement{Stale: true, Fate: authority.Stays}},
		{"AUTH-21 stale, intune to sccm", hybrid, of(protocol.Android, in, entitled), "AUTH-12", authority.Judgement{Stale: true, Fate: authority.Stays}},
		{"AUTH-17 unlicensed", adding, pc(none), "AUTH-17", authority.Judgement{Stale: true, Fate: authority.Stays, After: authority.Resolution{Unlicensed: true}}},
		{"AUTH-18 needs support", adding, pc(nil), "AUTH-18", authority.Judgement{Stranded: authority.Userless, NeedsSupport: true, Fate: authority.Strands}},
		{"AUTH-18 ordered by support", adding, with(pc(nil), supported), "AUTH-18", authority.Judgement{Fate: authority.Moves}},
		{"AUTH-18 ordered, and held", adding, with(of(protocol.IPadOS, o365, nil), supported), "AUTH-18", authority.Judgement{Blocked: "AUTH-30", Fate: authority.Moves}},
		{"AUTH-18 ordered, and expired", adding, with(pc(nil), supported, expired), "AUTH-18", authority.Judgement{Stranded: authority.Expired, MustEnrol: true, Fate: authority.Strands}},
		{"AUTH-18 ordered, and nowhere to go", settled, with(of(protocol.IPadOS, in, nil), supported), "AUTH-18", authority.Judgement{Fate: authority.Stays}},
		{"AUTH-18 where it should be", settled, of(protocol.IPadOS, in, nil), "AUTH-18", authority.Judgement{Fate: authority.Stays}},
		{"AUTH-18 a userless Mac is never BMS's", back, of(protocol.MacOS, in, nil), "AUTH-18", authority.Judgement{Fate: authority.Stays}},
		{"AUTH-18 left behind by force", back, of(protocol.IPadOS, in, nil), "AUTH-18", authority.Judgement{Stranded: authority.Userless, NeedsSupport: true, Fate: authority.Strands}},
		{"AUTH-42 counts first", adding, with(pc(nil), expired), "AUTH-18", authority.Judgement{Stranded: authority.Expired, MustEnrol: true, Fate: authority.Strands}},
		{"AUTH-42 pending and expired", adding, with(pc(entitled), expired), "AUTH-14", authority.Judgement{Pending: true, Stranded: authority.Expired, MustEnrol: true, Fate: authority.Strands}},
		{"AUTH-42 nowhere to move", adding, with(pc(basic), expired), "AUTH-16", authority.Judgement{Stale: true, MustEnrol: true, Fate: authority.Stays}},
		{"AUTH-42 revoked", adding, with(pc(entitled), func(c *authority.Subject) { c.Revoked = true }), "AUTH-14", authority.Judgement{Pending: true, Stranded: authority.Revoked, MustEnrol: true, Fate: authority.Strands}},
		{"AUTH-32 pending or not", settled, with(of(protocol.IOS, in, entitled), topic), "AUTH-14", authority.Judgement{Stale: true, Stranded: authority.TopicChanged, Fate: authority.Strands}},
		{"AUTH-32 is Apple's", settled, with(of(protocol.Android, in, entitled), topic), "AUTH-14", authority.Judgement{Stale: true, Fate: authority.Stays}},
		{"offline beyond the horizon", adding, with(pc(entitled), func(c *authority.Subject) { c.Away = true }), "AUTH-14", authority.Judgement{Pending: true, Stranded: authority.Offline, Fate: authority.Strands}},
		{"AUTH-53 leaves, whatever else holds", adding, with(pc(entitled), func(c *authority.Subject) { c.Leaving = true }), "AUTH-14", authority.Judgement{Pending: true, Leaving: true, Fate: authority.Goes}},
		{"AUTH-53 leaves, though it never moves", adding, with(pc(entitled), func(c *authority.Subject) { c.Leaving, c.Away = true, true }), "AUTH-14", authority.Judgement{Pending: true, Leaving: true, Stranded: authority.Offline, Fate: authority.Goes}},
		{"AUTH-53 leaves, though it would stay", adding, with(pc(basic), func(c *authority.Subject) { c.Leaving = true }), "AUTH-16", authority.Judgement{Stale: true, Leaving: true, Fate: authority.Goes}},
		{"AUTH-53 leaves and loses nothing by the move", adding, with(pc(entitled), func(c *authority.Subject) {
			c.Leaving, c.Has = true, []authority.Profile{{Family: protocol.Email, Authority: o365}}
		}), "AUTH-14", authority.Judgement{Pending: true, Leaving: true, Fate: authority.Goes}},
		{"AUTH-24 licence lost", settled, with(of(protocol.Android, in, entitled), func(c *authority.Subject) { c.Is, c.Epoch = basic, 2 }), "AUTH-16", authority.Judgement{Pending: true, Fate: authority.Moves}},
		{"AUTH-24 a Mac stays", settled, with(of(protocol.MacOS, in, entitled), func(c *authority.Subject) { c.Is, c.Epoch = basic, 2 }), "AUTH-24", authority.Judgement{Fate: authority.Stays, After: authority.Resolution{Unlicensed: true}}},
		{
			"AUTH-24 moves nothing in intune",
			authority.Scene{Before: epoch(intune, 1), After: epoch(intune, 1), Now: now},
			with(of(protocol.IOS, in, entitled), func(c *authority.Subject) { c.Is = none }), "AUTH-11",
			authority.Judgement{Fate: authority.Stays, After: authority.Resolution{Unlicensed: true}},
		},
		{
			"AUTH-37 asked to sign in again", adding, with(pc(entitled), func(c *authority.Subject) { c.Has = []authority.Profile{{Family: protocol.Email, Authority: o365}} }), "AUTH-14",
			authority.Judgement{Pending: true, Fate: authority.Moves, Prompt: true},
		},
		{"AUTH-23 ends unprotected", adding, with(pc(entitled), func(c *authority.Subject) {
			c.Has, c.Assigned = []authority.Profile{{Name: "pin", Family: protocol.Configuration, Authority: o365}}, true
		}), "AUTH-14", authority.Judgement{Pending: true, Fate: authority.Moves, Unprotected: true}},
		{"silent over 90 days", adding, with(pc(entitled), func(c *authority.Subject) { c.Contact = now.Add(-90*day - time.Second) }), "AUTH-14", authority.Judgement{Pending: true, Fate: authority.Moves}},
		{"silent for 90 days", adding, with(pc(entitled), func(c *authority.Subject) { c.Contact = now.Add(-90 * day) }), "AUTH-14", authority.Judgement{Pending: true, Fate: authority.Moves}},
		{"contact not known", adding, with(pc(entitled), func(c *authority.Subject) { c.Contact = 0 }), "AUTH-14", authority.Judgement{Pending: true, Fate: authority.Moves}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.scene.Judge(&tt.device)
			if got.After.Rule != tt.rule {
				t.Errorf("by %s, want %s", got.After.Rule, tt.rule)
			}
			tt.want.Reachable = tt.name != "silent over 90 days"
			unlicensed := tt.want.After.Unlicensed
			tt.want.Before, tt.want.After = got.Before, got.After
			if got != tt.want || got.After.Unlicensed != unlicensed {
				t.Errorf("Judge(%+v)\n got %+v\nwant %+v, unlicensed %v", tt.device, got, tt.want, unlicensed)
			}
		})
	}
	c := with(phone(entitled), func(c *authority.Subject) { c.Has = []authority.Profile{{Family: protocol.Email, Authority: o365}} })
	if n := testing.AllocsPerRun(100, func() { adding.Judge(&c) }); n != 0 {
		t.Errorf("Judge allocates %v times", n)
	}
}

func TestFall(t *testing.T) {
	const o365, in = protocol.Office365, protocol.Intune
	mail := authority.Profile{Name: "mail", Family: protocol.Email, Authority: o365}
	vpn := authority.Profile{Name: "vpn", Family: protocol.VPN, Authority: in}
	app := authority.Profile{Name: "app", Authority: in}
	gets := func(all ...authority.Profile) func(*authority.Subject) {
		return func(c *authority.Subject) { c.Gets, c.Assigned = all, true }
	}
	week := now.Add(7 * day)
	bmsPC, pc := of(protocol.Windows, o365, entitled), of(protocol.Windows, in, entitled)
	settled := authority.Scene{Before: epoch(coexist, 1), After: epoch(coexist, 1), Now: now}
	older := settled
	older.Before.ChangedAt, older.After.ChangedAt = now.Add(-100*day), now.Add(-100*day)
	version := func(p authority.Profile, v uint32) authority.Profile { p.Version = v; return p }
	moved := authority.Scene{Before: epoch(sccm, 1), After: epoch(sccm, 1), Now: now}
	leftover := version(vpn, 1)
	leftover.Old = true
	old := func(p authority.Profile) authority.Profile { p.Old = true; return p }
	set := forced
	set.After.Kept = 3 * day
	late := forced
	late.Before, late.After.ChangedAt = late.After, now.Add(-8*day)
	late.Before.ChangedAt = late.After.ChangedAt
	for _, tt := range []struct {
		name    string
		scene   authority.Scene
		device  authority.Subject
		profile authority.Profile
		want    authority.Fall
	}{
		{"AUTH-23 removed", adding, bmsPC, mail, authority.Fall{Effect: authority.Removed, Rule: "AUTH-23"}},
		{"AUTH-23 replaced", adding, with(bmsPC, gets(authority.Profile{Name: "mail", Family: protocol.Email, Authority: in})), mail, authority.Fall{Effect: authority.Replaced, Rule: "AUTH-23"}},
		{"AUTH-23 a licence added later", older, with(of(protocol.Windows, o365, basic), func(c *authority.Subject) { c.Is = entitled }), mail, authority.Fall{Effect: authority.Removed, Rule: "AUTH-23"}},
		{"AUTH-24 back to BMS", older, with(pc, func(c *authority.Subject) { c.Is = basic }), vpn, authority.Fall{Effect: authority.Removed, Rule: "AUTH-24"}},
		{"AUTH-26 namesake of the same family", forced, with(bmsPC, gets(authority.Profile{Name: "mail", Family: protocol.Email})), mail, authority.Fall{Effect: authority.Overwritten, Rule: "AUTH-26"}},
		{"AUTH-26 namesake of another family", forced, with(bmsPC, gets(authority.Profile{Name: "mail", Family: protocol.VPN})), mail, authority.Fall{Effect: authority.Redundant, Rule: "AUTH-27", Until: week}},
		{"AUTH-27 seven days", forced, bmsPC, mail, authority.Fall{Effect: authority.Redundant, Rule: "AUTH-27", Until: week}},
		{"AUTH-27 the time is a setting", set, bmsPC, mail, authority.Fall{Effect: authority.Redundant, Rule: "AUTH-27", Until: now.Add(3 * day)}},
		{"AUTH-27 counts from the change", late, bmsPC, mail, authority.Fall{Effect: authority.Redundant, Rule: "AUTH-27", Until: now.Add(-day)}},
		{"AUTH-21 intune to sccm", hybrid, pc, old(vpn), authority.Fall{Effect: authority.Redundant, Rule: "AUTH-27", Until: week}},
		{"AUTH-21 intune to sccm, namesake", hybrid, with(pc, gets(vpn)), old(vpn), authority.Fall{Effect: authority.Overwritten, Rule: "AUTH-26"}},
		{"AUTH-21 stays with office365", adding, of(protocol.Windows, o365, basic), mail, authority.Fall{Rule: "AUTH-21"}},
		{"AUTH-21 coexistence to intune", alone, pc, vpn, authority.Fall{Rule: "AUTH-21"}},
		{"AUTH-28 userless", forced, of(protocol.IPadOS, o365, nil), mail, authority.Fall{Effect: authority.Redundant, Rule: "AUTH-28", Until: week}},
		{"AUTH-28 userless, intune to sccm", hybrid, of(protocol.IPadOS, in, nil), vpn, authority.Fall{Effect: authority.Redundant, Rule: "AUTH-28", Until: week}},
		{"AUTH-28 userless under coexistence", adding, of(protocol.IPadOS, o365, nil), mail, authority.Fall{}},
		{"AUTH-36 outside the families", hybrid, pc, old(app), authority.Fall{Effect: authority.Redundant, Rule: "AUTH-36"}},
		{"AUTH-36 namesake", hybrid, with(pc, gets(app)), old(app), authority.Fall{Effect: authority.Overwritten, Rule: "AUTH-36"}},
		{"AUTH-42 enrols again", forced, with(bmsPC, func(c *authority.Subject) { c.Revoked = true }), mail, authority.Fall{}},
		{"AUTH-53 leaves", forced, with(bmsPC, func(c *authority.Subject) { c.Leaving = true }), mail, authority.Fall{}},
		{"AUTH-52 a newer version", settled, with(pc, gets(version(vpn, 2))), version(vpn, 1), authority.Fall{Effect: authority.Updated, Rule: "AUTH-52"}},
		{"AUTH-52 a newer version that it refused", settled, with(with(pc, gets(version(vpn, 2))), func(c *authority.Subject) { c.Failed = c.Gets }), version(vpn, 1), authority.Fall{}},
		{"AUTH-52 the same version", settled, with(pc, gets(version(vpn, 2))), version(vpn, 2), authority.Fall{}},
		{"AUTH-52 a newer version for who stays", adding, with(of(protocol.Windows, o365, basic), gets(version(mail, 2))), version(mail, 1), authority.Fall{Effect: authority.Updated, Rule: "AUTH-52"}},
		{"AUTH-26 left over, its namesake to come", moved, with(pc, gets(version(vpn, 2))), leftover, authority.Fall{Effect: authority.Overwritten, Rule: "AUTH-26"}},
		{"AUTH-27 left over", moved, with(pc, gets()), leftover, authority.Fall{Effect: authority.Redundant, Rule: "AUTH-27", Until: week}},
		{"AUTH-24 left over, stale under coexistence", adding, with(of(protocol.Windows, o365, basic), gets()), leftover, authority.Fall{Effect: authority.Removed, Rule: "AUTH-24"}},
		{"AUTH-23 left over under coexistence", settled, with(pc, gets()), leftover, authority.Fall{Effect: authority.Removed, Rule: "AUTH-23"}},
		{"AUTH-55 unassigned", authority.Scene{Before: epoch(intune, 1), After: epoch(intune, 1), Now: now}, with(pc, gets()), vpn, authority.Fall{Effect: authority.Unassigned, Rule: "AUTH-55"}},
		{"AUTH-55 unassigned, of the authority in force again", hybrid, with(pc, gets()), vpn, authority.Fall{Effect: authority.Unassigned, Rule: "AUTH-55"}},
		{"AUTH-55 unassigned, stale under coexistence", adding, with(of(protocol.Windows, o365, basic), gets()), mail, authority.Fall{Effect: authority.Unassigned, Rule: "AUTH-55"}},
		{"AUTH-21 of the authority in force again", hybrid, with(pc, gets(vpn)), vpn, authority.Fall{Rule: "AUTH-21"}},
		{"AUTH-52 a newer version, of the authority in force again", hybrid, with(pc, gets(version(vpn, 2))), version(vpn, 1), authority.Fall{Effect: authority.Updated, Rule: "AUTH-52"}},
		{"AUTH-55 assigned", authority.Scene{Before: epoch(intune, 1), After: epoch(intune, 1), Now: now}, with(pc, gets(vpn)), vpn, authority.Fall{}},
		{"AUTH-55 not known", authority.Scene{Before: epoch(intune, 1), After: epoch(intune, 1), Now: now}, pc, vpn, authority.Fall{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := tt.scene.Judge(&tt.device)
			if got := tt.scene.Fall(&tt.device, &j, tt.profile); got != tt.want {
				t.Errorf("Fall(%+v, %+v) = %+v, want %+v", tt.device, tt.profile, got, tt.want)
			}
		})
	}
}

// TestGain: what is meant for a device and is not there comes, unless the device goes, or refused it.
func TestGain(t *testing.T) {
	const o365, in = protocol.Office365, protocol.Intune
	wifi := authority.Profile{Name: "wifi", Family: protocol.WiFi, Authority: in}
	get := func(c *authority.Subject) { c.Gets, c.Assigned = []authority.Profile{wifi}, true }
	has := func(p authority.Profile) func(*authority.Subject) {
		return func(c *authority.Subject) { get(c); c.Has = []authority.Profile{p} }
	}
	still := authority.Scene{Before: epoch(coexist, 1), After: epoch(coexist, 1), Now: now}
	pc := of(protocol.Windows, in, entitled)
	comes := func(r protocol.Rule) authority.Fall { return authority.Fall{Effect: authority.Installed, Rule: r} }
	for _, tt := range []struct {
		name   string
		scene  authority.Scene
		device authority.Subject
		want   authority.Fall
	}{
		{"AUTH-52 assigned", still, with(pc, get), comes("AUTH-52")},
		{"AUTH-52 it is there", still, with(pc, has(wifi)), authority.Fall{}},
		{"AUTH-26 another name is no namesake", still, with(pc, has(authority.Profile{Name: "w", Family: protocol.WiFi})), comes("AUTH-52")},
		{"AUTH-26 another family is no namesake", still, with(pc, has(authority.Profile{Name: "wifi", Family: protocol.VPN})), comes("AUTH-52")},
		{"AUTH-52 refused for good", still, with(with(pc, get), func(c *authority.Subject) { c.Failed = c.Gets }), authority.Fall{}},
		{"AUTH-21 with a change of the tenant", forced, with(of(protocol.Windows, o365, entitled), get), comes("AUTH-21")},
		{"AUTH-21 stale", hybrid, with(pc, get), comes("AUTH-21")},
		{"AUTH-23 by a licence", adding, with(of(protocol.Windows, o365, entitled), get), comes("AUTH-23")},
		{"AUTH-24 back to BMS", still, with(of(protocol.Windows, in, basic), get), comes("AUTH-24")},
		{"AUTH-42 enrols again", still, with(with(pc, get), func(c *authority.Subject) { c.Revoked = true }), authority.Fall{}},
		{"AUTH-53 leaves", still, with(with(pc, get), func(c *authority.Subject) { c.Leaving = true }), authority.Fall{}},
		{"not known", still, pc, authority.Fall{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := tt.scene.Judge(&tt.device)
			if got := tt.scene.Gain(&tt.device, &j, wifi); got != tt.want {
				t.Errorf("Gain(%+v) = %+v, want %+v", tt.device, got, tt.want)
			}
		})
	}
}

func TestAUTH55Leaves(t *testing.T) {
	api := authority.Device{Platform: protocol.Android, AndroidAPI: true}
	of := func(p protocol.Platform) authority.Device { return authority.Device{Platform: p} }
	for _, tt := range []struct {
		name     string
		device   authority.Device
		family   protocol.Family
		settings authority.LeavingSettings
		want     bool
	}{
		{"email", of(protocol.Android), protocol.Email, authority.LeavingSettings{}, true},
		{"vpn", api, protocol.VPN, authority.LeavingSettings{}, true},
		{"wifi", of(protocol.Windows), protocol.WiFi, authority.LeavingSettings{WindowsKeeps: true}, true},
		{"certificate", of(protocol.IOS), protocol.Certificate, authority.LeavingSettings{}, true},
		{"configuration, iOS", of(protocol.IOS), protocol.Configuration, authority.LeavingSettings{}, true},
		{"configuration, Android", of(protocol.Android), protocol.Configuration, authority.LeavingSettings{AndroidAPIDrops: true}, false},
		{"configuration, Android Management API", api, protocol.Configuration, authority.LeavingSettings{}, false},
		{"configuration, Android Management API, setting off", api, protocol.Configuration, authority.LeavingSettings{AndroidAPIDrops: true}, true},
		{"configuration, Windows", of(protocol.Windows), protocol.Configuration, authority.LeavingSettings{}, true},
		{"configuration, Windows keeps", of(protocol.Windows), protocol.Configuration, authority.LeavingSettings{WindowsKeeps: true}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := authority.Leaves(tt.device, tt.family, tt.settings); got != tt.want {
				t.Errorf("Leaves(%+v, %s, %+v) = %v", tt.device, tt.family, tt.settings, got)
			}
		})
	}
}
