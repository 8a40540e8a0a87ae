package server_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

var (
	coexistence = authority.Change{Authority: protocol.Office365, Coexistence: true}
	sccm        = authority.Change{Authority: protocol.SCCM}
	intune      = authority.Change{Authority: protocol.Intune}
	boss        = server.Actor{Name: "boss@example.org", Role: store.IntuneAdministrator}
)

// bms is a tenant of release 1910 with Basic Mobility and Security: user 1 holds an Intune licence already, user 2 a basic
// one. Both have a mail and a restrictions profile.
func bms(t *testing.T) *tenant { return bmsOf(empty(t)) }

// bmsOf makes an empty tenant that.
func bmsOf(x *tenant) *tenant {
	x.must(x.SetUp(x.ctx, x.now, authority.Tenant{Authority: protocol.Office365, Release: 1910, AcceptUserless: true}, delivery.Settings{}))
	x.upload(topic, 300*day)
	_, err := x.PutUsers(x.ctx, x.now, []store.User{
		{UPN: "a@example.org", Groups: []string{"all"}, User: authority.User{IntuneLicence: true, BasicLicence: true}},
		{UPN: "b@example.org", Groups: []string{"all"}, User: authority.User{BasicLicence: true}},
	})
	x.must(err)
	x.profile(protocol.Office365, "mail", protocol.Email, "org.bms.mail")
	x.profile(protocol.Office365, "restrictions", protocol.Configuration, "org.bms.restrictions")
	return x
}

func (x *tenant) profile(a protocol.Authority, name string, f protocol.Family, identifier string) {
	x.Helper()
	_, err := x.PutProfile(x.ctx, x.now, server.System, server.ProfileChange{
		Authority: a, Name: name, Family: f, Identifier: identifier, Payload: fmt.Appendf(nil, "%s of %s", name, a), Groups: []string{"all"},
	}, "")
	x.must(err)
}

// take removes a profile as it would after a preview.
func (x *tenant) take(r server.ProfileRemoval) {
	x.Helper()
	p, err := x.PreviewRemoval(x.ctx, x.now, r)
	x.must(err)
	x.must(second(x.TakeProfile(x.ctx, x.now, boss, r, p.ID)))
}

// set changes the authority after a preview.
func (x *tenant) set(c authority.Change) *server.Preview {
	x.Helper()
	p, err := x.PreviewAuthority(x.ctx, x.now, c)
	x.must(err)
	done, err := x.SetAuthority(x.ctx, x.now, boss, c, p.ID, p.Stranded)
	x.must(err)
	x.equal("the change does what was previewed (I10)", done, p)
	return p
}

// renew uploads a renewed push certificate.
func (x *tenant) renew() {
	x.Helper()
	x.upload(topic, x.Content().Latest().NotAfter.Sub(x.now)+day)
}

// has are the profiles that the server knows on the phone, as name:authority.
func (p *phone) has() (names []string) {
	p.Helper()
	w := p.World()
	for _, a := range p.state().Profiles {
		if a.State == delivery.Installed {
			names = append(names, w.Profiles[a.Profile].Name+":"+w.Profiles[a.Profile].Authority.String())
		}
	}
	slices.Sort(names)
	return names
}

func (p *phone) registered(a protocol.Authority, epoch uint32) {
	p.Helper()
	if st := p.state(); st.Registered != a || st.Epoch != epoch {
		p.Errorf("%s: registered with %s in epoch %d, want %s in %d", p.id, st.Registered, st.Epoch, a, epoch)
	}
}

// ask is the beginning of a check-in.
func (p *phone) ask() error {
	p.Helper()
	return p.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{})
}

func (x *tenant) licences(list ...server.Licence) {
	x.Helper()
	p, err := x.PreviewLicences(x.ctx, x.now, list)
	x.must(err)
	x.must(second(x.SetLicences(x.ctx, x.now, boss, list, p.ID)))
}

func (x *tenant) last(what delivery.What) store.Line {
	x.Helper()
	lines := x.journal(what)
	if len(lines) == 0 {
		x.Fatalf("no line %q in the journal", what)
	}
	return lines[len(lines)-1]
}

// TestAUTH20Campaign: a change is one commit that changes no device; each enrolled device is woken, and a pending or
// stale one that does not answer three times more.
func TestAUTH20Campaign(t *testing.T) {
	x := newTenant(t)
	a, b, u := x.enrolled(1), x.enrolled(2), x.enrolled(0)
	x.later(time.Hour) // out of the phase of quick wake-ups
	for range 3 {
		x.later(9 * time.Hour)
	}
	n := len(x.since(0))
	before := []delivery.State{a.state(), b.state(), u.state()}
	x.now = x.now.Add(time.Minute)
	x.set(sccm)
	x.equal("devices after the commit", []delivery.State{a.state(), b.state(), u.state()}, before)
	x.renew()
	changed := x.now
	x.later(time.Second)
	x.equal("woken", slices.Sorted(slices.Values(x.since(n))), []string{"token of " + a.id, "token of " + b.id, "token of " + u.id})

	a.drain()
	a.registered(protocol.Intune, 2)
	n = len(x.since(0))
	var got []string
	for x.now < changed.Add(7*time.Hour) {
		x.later(time.Minute)
		for _, token := range x.since(n) {
			got = append(got, fmt.Sprintf("%s %s", token, x.now.Sub(changed).Round(time.Minute)))
		}
		n = len(x.since(0))
	}
	for _, after := range []string{" 15m0s", " 1h0m0s", " 4h0m0s"} {
		x.equal("further attempts after"+after, slices.Contains(got, "token of "+b.id+after), true)
	}
	if len(got) > 6 {
		t.Errorf("woken %q, want three further attempts, and each device once by its schedule", got)
	}
	x.later(8 * time.Hour)
	x.equal("then the schedule", slices.Contains(x.since(n), "token of "+b.id), true)
}

// TestAUTH20Restart: a crash between the commit and the wake-ups loses none.
func TestAUTH20Restart(t *testing.T) {
	x := newTenant(t)
	a, b := x.enrolled(1), x.enrolled(2)
	x.set(sccm)
	x.reopen()
	x.renew()
	n := len(x.since(0))
	x.reopen()
	x.later(time.Minute)
	x.equal("woken after the restart", slices.Sorted(slices.Values(x.since(n))), []string{"token of " + a.id, "token of " + b.id})
	n = len(x.since(0))
	x.reopen()
	x.later(time.Second)
	x.equal("not again", x.since(n), []string(nil))
	// A server that was away for longer than the attempts last begins again where it stands.
	x.set(intune)
	x.renew()
	x.now = x.now.Add(6 * time.Hour)
	x.reopen()
	x.tick()
	n = len(x.since(0))
	x.later(16 * time.Minute)
	x.equal("a further attempt", len(x.since(n)), 2)
}

// TestAUTH21Moves: a device with a user registers at the end of its first completed check-in, not before.
func TestAUTH21Moves(t *testing.T) {
	x := newTenant(t)
	p, u := x.enrolled(1), x.enrolled(0)
	_, err := x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: protocol.SecurityInfo})
	x.must(err)
	x.set(sccm)
	x.renew()
	p.registered(protocol.Intune, 1)
	x.must(p.ask())
	p.registered(protocol.Intune, 1) // its loop goes on (I2)
	if got := p.out.Reply.Notice; got != (protocol.Notice{Epoch: 2, ChangedAt: x.now, Rule: protocol.RuleRegistered}) {
		t.Errorf("notice %+v", got)
	}
	p.drain()
	p.registered(protocol.Intune, 2)
	if l := x.last(delivery.WhatReregistered); l.Rule != protocol.RuleRegistered || l.Device != p.number {
		t.Errorf("journal %+v", l)
	}
	u.drain()
	u.registered(protocol.Intune, 1) // AUTH-18
}

// TestAUTH23LicencePath: under coexistence BMS's profiles go at the check-in that moves the device, replaced or not.
func TestAUTH23LicencePath(t *testing.T) {
	x := bms(t)
	p, q := x.enrolled(1), x.enrolled(2)
	x.profile(protocol.Intune, "mail", protocol.Email, "org.intune.mail")
	x.equal("before", p.has(), []string{"mail:office365", "restrictions:office365"})
	x.set(coexistence)
	x.renew()
	p.drain()
	p.registered(protocol.Intune, 2)
	x.equal("moved", p.has(), []string{"mail:intune"})
	for _, l := range x.journal(delivery.WhatProfileRemoved) {
		if l.Rule != protocol.RuleLicenceMoves {
			t.Errorf("removed by %s: %+v", l.Rule, l)
		}
	}
	q.drain()
	q.registered(protocol.Office365, 2) // stale, and its profiles stay (AUTH-21)
	x.equal("stays", q.has(), []string{"mail:office365", "restrictions:office365"})
	if q.out.Reply.Notice.Rule != protocol.RuleRegistered {
		t.Errorf("notice %+v", q.out.Reply.Notice)
	}
	x.later(8 * day)
	q.drain()
	x.equal("stays after seven days", q.has(), []string{"mail:office365", "restrictions:office365"})

	n := len(x.since(0))
	preview, err := x.PreviewLicences(x.ctx, x.now, []server.Licence{{UPN: "B@example.org", Intune: true, Basic: true}})
	x.must(err)
	if preview.WouldMove != 1 || preview.Prompts != 1 {
		t.Errorf("preview %+v", preview)
	}
	_, err = x.SetLicences(x.ctx, x.now, boss, []server.Licence{{UPN: "B@example.org", Intune: true, Basic: true}}, preview.ID)
	x.must(err)
	x.later(time.Second)
	x.equal("woken", x.since(n), []string{"token of " + q.id})
	q.drain()
	q.registered(protocol.Intune, 2)
	x.equal("moved by licence", q.has(), []string{"mail:intune"})
	if l := x.last(delivery.WhatMoved); l.Rule != protocol.RuleLicenceMoves || l.Detail != "office365 to intune" {
		t.Errorf("journal %+v", l)
	}
	// AUTH-24: and back.
	_, err = x.SetLicences(x.ctx, x.now, boss, []server.Licence{{UPN: "b@example.org", Basic: true}}, "")
	x.must(err)
	q.drain()
	q.registered(protocol.Office365, 2)
	x.equal("back", q.has(), []string{"mail:office365", "restrictions:office365"})
	if l := x.last(delivery.WhatMoved); l.Rule != protocol.RuleLicenceLost {
		t.Errorf("journal %+v", l)
	}
}

// TestI9Licences: no licence moves a device in a tenant without coexistence.
func TestI9Licences(t *testing.T) {
	x := bms(t)
	q := x.enrolled(2)
	_, err := x.SetLicences(x.ctx, x.now, boss, []server.Licence{{UPN: "b@example.org", Intune: true}}, "")
	x.must(err)
	q.drain()
	q.registered(protocol.Office365, 1)
	y := newTenant(t)
	p := y.enrolled(1)
	_, err = y.SetLicences(y.ctx, y.now, boss, []server.Licence{{UPN: "a@example.org"}}, "")
	y.must(err)
	p.drain()
	p.registered(protocol.Intune, 1)
}

// TestAUTH26Namesakes: after a change of the tenant a namesake overwrites, whatever its identifier, and the rest goes after
// seven days (AUTH-27): all five families (AUTH-21).
func TestAUTH26Namesakes(t *testing.T) {
	x := newTenant(t)
	x.profile(protocol.Intune, "wifi", protocol.WiFi, "org.wifi")
	x.profile(protocol.Intune, "mail", protocol.Email, "org.mail.1")
	x.profile(protocol.Intune, "vpn", protocol.VPN, "org.vpn")
	p := x.enrolled(1)
	x.profile(protocol.SCCM, "wifi", protocol.WiFi, "org.wifi")
	x.profile(protocol.SCCM, "mail", protocol.Email, "org.mail.2")
	x.equal("before", p.has(), []string{"mail:intune", "vpn:intune", "wifi:intune"})
	x.set(sccm)
	x.renew()
	p.drain()
	x.equal("after the check-in", p.has(), []string{"mail:sccm", "vpn:intune", "wifi:sccm"})
	x.equal("overwritten", len(x.journal(delivery.WhatOverwritten)), 2)
	if l := x.last(delivery.WhatRedundant); l.Rule != protocol.RuleNamesake || l.Detail != "vpn" {
		t.Errorf("journal %+v", l)
	}
	if p.out.Reply.Notice.Rule != protocol.RuleSevenDays {
		t.Errorf("notice %+v", p.out.Reply.Notice)
	}
	x.later(7*day - time.Second)
	p.drain()
	x.equal("a second before the seven days are over", p.has(), []string{"mail:sccm", "vpn:intune", "wifi:sccm"})
	x.later(time.Second)
	x.must(p.ask())
	if p.out.Reply.Command.Kind != protocol.RemoveProfile || p.out.Reply.Command.Text != "org.vpn" {
		t.Fatalf("reply %+v, want the removal of vpn", p.out.Reply)
	}
	// The device has dropped it by itself.
	x.must(p.says(protocol.CheckIn{Verb: protocol.Report, Command: p.out.Reply.Command.ID, Status: protocol.Failed}, delivery.Message{Missing: true}))
	x.equal("seven days later", p.has(), []string{"mail:sccm", "wifi:sccm"})
	if l := x.last(delivery.WhatProfileRemoved); l.Rule != protocol.RuleSevenDays {
		t.Errorf("journal %+v", l)
	}
}

// TestAUTH27ALicenceInTheGap: each refusal says what becomes of the device's profiles as things stand then; once the device
// is registered in the epoch, a licence brings no seven days, for the check-in removes what is old (AUTH-23).
func TestAUTH27ALicenceInTheGap(t *testing.T) {
	x := bms(t)
	p := x.enrolled(1)
	x.set(coexistence)
	hears := func(want protocol.Rule) {
		t.Helper()
		x.refused(p.ask(), protocol.RulePushGap)
		if n := p.out.Refusal.Notice; n.Epoch != 2 || n.Rule != want {
			t.Errorf("notice %+v, want %s", n, want)
		}
	}
	hears(protocol.RuleSevenDays) // the user holds an Intune licence
	x.licences(server.Licence{UPN: "a@example.org", Basic: true})
	hears(protocol.RuleRegistered)
	x.licences(server.Licence{UPN: "a@example.org", Basic: true, Intune: true})
	hears(protocol.RuleSevenDays)
	x.licences(server.Licence{UPN: "a@example.org", Basic: true})
	x.renew()
	p.drain()
	p.registered(protocol.Office365, 2)
	x.licences(server.Licence{UPN: "a@example.org", Basic: true, Intune: true})
	x.must(p.ask())
	if n := p.out.Reply.Notice; n.Rule != protocol.RuleRegistered {
		t.Errorf("notice %+v", n)
	}
	p.drain()
	p.registered(protocol.Intune, 2)
	x.equal("profiles", p.has(), []string(nil))
}

// TestAUTH30Gap: in the gap Apple's check-ins and enrolments are refused so that they come again; nothing is lost, no
// wake-up goes out; the upload closes it and wakes everybody (AUTH-31).
func TestAUTH30Gap(t *testing.T) {
	x := bms(t)
	p := x.enrolled(1)
	id, err := x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: protocol.SecurityInfo})
	x.must(err)
	late := x.newPhone(2)
	x.set(coexistence)
	if l := x.last(delivery.WhatGapOpened); l.Rule != protocol.RulePushGap {
		t.Errorf("journal %+v", l)
	}
	n := len(x.since(0))
	before := p.state()
	changed := x.now
	for range 3 {
		x.later(9 * time.Hour)
		err := p.ask()
		x.refused(err, protocol.RulePushGap)
		no := p.out.Refusal
		if no.RetryAfter <= 0 || no.Notice.Epoch != 2 || no.Notice.ChangedAt != changed || no.Notice.Rule != protocol.RuleSevenDays {
			t.Errorf("refusal %+v, want one that comes again, with the notice", no)
		}
		x.refused(p.says(protocol.CheckIn{Verb: protocol.Report, Command: id, Status: protocol.Acknowledged}, delivery.Message{}), protocol.RulePushGap)
		x.refused(p.ready("another"), protocol.RulePushGap)
		x.refused(late.enrol(), protocol.RulePushGap)
	}
	after := p.state()
	x.equal("report of before", after.Before, delivery.Report{At: before.LastSeen, Complied: true})
	before.Heard, before.Before = after.Heard, after.Before
	x.equal("the device", after, before)
	x.equal("lines of the first refusal", len(x.journal(delivery.WhatBlocked)), 1)
	x.equal("wake-ups in the gap", x.since(n), []string(nil))
	gap, err := x.Gap(x.ctx, x.now)
	x.must(err)
	x.equal("gap", gap, server.GapState{
		Open: true, Since: changed, Platforms: []protocol.Platform{protocol.IOS, protocol.IPadOS, protocol.MacOS}, Slot: protocol.Intune,
		Topic: topic, AppleID: "admin@example.org", Held: 1, Blocked: 1,
	})
	x.reopen()
	x.refused(p.ask(), protocol.RulePushGap)
	_, err = x.UploadPush(x.ctx, x.now, x.pem(topic, 200*day), "", "", false, 0) // not renewed
	x.refused(err, protocol.RuleUpload)
	x.renew()
	x.later(time.Second)
	x.equal("wake-ups after the upload", x.since(n), []string{"token of " + p.id})
	p.drain()
	p.registered(protocol.Intune, 2)
	x.must(late.enrol())
	x.must(late.ready("late"))
	if cert, _ := x.PushStatus(x.now); cert.Slot != protocol.Intune || cert.AppleID != "admin@example.org" {
		t.Errorf("certificate %+v", cert)
	}
}

// TestAUTH30Settings: the settings of the Open points.
func TestAUTH30Settings(t *testing.T) {
	t.Run("gap.onCoexistence off", func(t *testing.T) {
		x := bms(t)
		p := x.enrolled(1)
		x.must(x.SetSettings(x.ctx, x.now, boss, delivery.Settings{Gap: authority.GapSettings{NotOnCoexistence: true}}))
		x.set(coexistence)
		n := len(x.since(0))
		x.later(time.Second)
		x.equal("woken", x.since(n), []string{"token of " + p.id})
		p.drain()
		p.registered(protocol.Intune, 2)
	})
	t.Run("gap.platforms", func(t *testing.T) {
		x := newTenant(t)
		p := x.enrolled(1)
		mac := x.newPhone(2)
		x.must(mac.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{Platform: protocol.MacOS, Topic: topic}))
		mac.number = mac.out.State.Device
		x.must(mac.ready("mac"))
		mac.drain()
		x.must(x.SetSettings(x.ctx, x.now, boss, delivery.Settings{Gap: authority.GapSettings{Platforms: []protocol.Platform{protocol.IOS, protocol.IPadOS}}}))
		x.set(sccm)
		n := len(x.since(0))
		x.later(time.Second)
		x.equal("woken", x.since(n), []string{"mac"})
		mac.drain()
		mac.registered(protocol.Intune, 2)
		for range 4 {
			x.later(9 * time.Hour)
		}
		for _, token := range x.since(n) {
			x.equal("woken in the gap", token, "mac")
		}
		x.refused(p.ask(), protocol.RulePushGap)
		if next := x.next(); next <= x.now {
			t.Errorf("Next = %s at %s: what is held keeps the server busy", next, x.now)
		}
		n = len(x.since(0))
		x.renew()
		x.later(time.Second)
		x.equal("woken after the upload", slices.Contains(x.since(n), "token of "+p.id), true)
	})
}

// TestAUTH08Roles: only some roles change the authority, and every attempt is in the journal.
func TestAUTH08Roles(t *testing.T) {
	x := bms(t)
	before := x.Content()
	for _, role := range []store.Role{store.NoRole, store.Reader, store.Helpdesk} {
		_, err := x.SetAuthority(x.ctx, x.now, server.Actor{Name: "eve@example.org", Role: role}, coexistence, "", 0)
		x.refused(err, protocol.RuleRoles)
		if l := x.last(delivery.WhatDenied); l.Actor != "eve@example.org" || l.Rule != protocol.RuleRoles || !strings.Contains(l.Detail, "coexistence") {
			t.Errorf("journal %+v", l)
		}
	}
	_, err := x.SetAuthority(x.ctx, x.now, boss, authority.Change{Authority: protocol.Unknown}, "", 0)
	x.refused(err, "AUTH-03")
	_, err = x.SetAuthority(x.ctx, x.now, boss, sccm, "", 0)
	x.refused(err, "AUTH-04")
	x.equal("what a refusal changes", x.Content() == before, true)
	x.equal("attempts in the journal", len(x.journal(delivery.WhatDenied)), 5)
	x.set(coexistence)
	if l := x.last(delivery.WhatAuthority); l.Actor != boss.Name {
		t.Errorf("journal %+v", l)
	}
}

// TestAUTH08Unchanged: an attempt that changes nothing, for what is wanted is so already, is in the journal as well.
func TestAUTH08Unchanged(t *testing.T) {
	x := bms(t)
	x.set(coexistence)
	wants := func(detail string, err error) {
		t.Helper()
		x.must(err)
		if l := x.last(delivery.WhatUnchanged); l.Actor != "other@example.org" || l.Rule != protocol.RuleRoles || !strings.HasPrefix(l.Detail, detail) {
			t.Errorf("journal %+v, want %q", l, detail)
		}
	}
	other := server.Actor{Name: "other@example.org", Role: store.GlobalAdministrator}
	before := x.Content()
	wants("authority coexistence: it is that already, in epoch 2", second(x.SetAuthority(x.ctx, x.now, other, coexistence, "", 0)))
	wants("consent appleMDMPushCertificate: it was granted by system on ", x.Consent(x.ctx, x.now, other, server.ConsentPush))
	wants("licences of 1 users: ", second(x.SetLicences(x.ctx, x.now, other, []server.Licence{{UPN: "b@example.org", Basic: true}}, "")))
	x.equal("lines", len(x.journal(delivery.WhatUnchanged)), 3)
	x.equal("nothing is changed", x.Content() == before, true)
	x.equal("changes", len(x.journal(delivery.WhatAuthority)), 1)
}

// TestAUTH08Unlicensed: an administrator whom the tenant knows and who holds no Intune licence is told so, unless that is
// allowed; who previews and who changes may be two.
func TestAUTH08Unlicensed(t *testing.T) {
	x := bms(t)
	as := func(name string) (*server.Preview, bool) {
		t.Helper()
		p, err := x.PreviewAuthority(server.As(x.ctx, name), x.now, coexistence)
		x.must(err)
		return p, slices.ContainsFunc(p.Warnings, func(w server.Warning) bool {
			return w.Rule == protocol.RuleRoles && strings.Contains(w.Text, "holds no licence")
		})
	}
	for name, want := range map[string]bool{"token:B@example.org": true, "token:a@example.org": false, "token:admin": false, "b@example.org": false, "system": false} {
		if _, got := as(name); got != want {
			t.Errorf("%s is warned: %v, want %v", name, got, want)
		}
	}
	p, _ := as("token:b@example.org")
	other, _ := as("token:admin")
	x.equal("what is confirmed", other.ID, p.ID)
	x.decide(func(set *server.Settings) { set.UnlicensedAdmins = true })
	if _, warned := as("token:b@example.org"); warned {
		t.Error("warned though it is allowed")
	}
	x.decide(func(set *server.Settings) { set.UnlicensedAdmins = false })
	done, err := x.SetAuthority(x.ctx, x.now, server.Actor{Name: "token:b@example.org", Role: store.IntuneAdministrator}, coexistence, other.ID, 0)
	x.must(err)
	x.equal("the change says it too", done.Warnings, p.Warnings)
}

// TestAUTH35Confirm: enabling coexistence always shows the preview first.
func TestAUTH35Confirm(t *testing.T) {
	x := bms(t)
	x.enrolled(1)
	p, err := x.SetAuthority(x.ctx, x.now, boss, coexistence, "", 0)
	x.refused(err, protocol.RulePreview)
	if p == nil || p.WouldMove != 1 || p.Blocked != 1 || !p.OpensGap || len(p.Warnings) == 0 || p.Warnings[0].Rule != protocol.RulePreview {
		t.Errorf("preview %+v", p)
	}
	x.must(second(x.SetAuthority(x.ctx, x.now, boss, coexistence, p.ID, p.Stranded)))
}

func second[T any](_ T, err error) error { return err }

// TestI10ByName: a preview and its change name the same devices, and where the world has changed, a refusal names those that
// make the difference, by name, though their number be the same, after a restart too.
func TestI10ByName(t *testing.T) {
	x := bms(t)
	var phones []*phone
	for i := range 8 {
		phones = append(phones, x.enrolled(delivery.UserID(1+i%2)))
	}
	says := func(change func(), want string) {
		t.Helper()
		p, err := x.PreviewAuthority(x.ctx, x.now, coexistence)
		x.must(err)
		change()
		_, err = x.SetAuthority(x.ctx, x.now, boss, coexistence, p.ID, p.Stranded)
		x.refused(err, protocol.RuleOutdated)
		if err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
	swap := func(a, b bool) {
		x.licences(server.Licence{UPN: "a@example.org", Basic: true, Intune: a}, server.Licence{UPN: "b@example.org", Basic: true, Intune: b})
	}
	says(func() { swap(false, true) }, "not what would happen now: 8 devices differ: UDID-1 registers anew, held by AUTH-30 (AUTH-16), was: moves to intune, held by AUTH-30 (AUTH-14); UDID-2 moves")
	says(func() { swap(true, false) }, "and 3 more")
	says(func() { x.profile(protocol.Intune, "mail", protocol.Email, "org.intune.mail") }, "4 devices differ: UDID-1 gets, keeps or loses other profiles; UDID-3 gets")
	says(func() {
		_, err := x.Retire(x.ctx, x.now, boss, phones[0].number)
		x.must(err)
	}, "UDID-1 leaves, held by AUTH-30 (AUTH-14), was: moves to intune")
	says(func() {
		x.deleted(phones[0].number)
		phones[0].drain()
		x.enrolled(1)
	}, "2 devices differ: UDID-1 is no longer enrolled, and it was: leaves, held by AUTH-30 (AUTH-14); UDID-9 is new: moves")
	says(func() { x.reopen(); swap(false, true); swap(false, true); swap(true, true); x.enrolled(2) }, "devices pending: 9, was 4")
	says(func() {
		x.reopen()
		x.take(server.ProfileRemoval{Authority: protocol.Intune, Name: "mail"})
	}, "9 devices differ: UDID-2 gets, keeps or loses other profiles")
	says(func() {
		x.must(x.ChangeSettings(x.ctx, x.now, boss, "", func(set *server.Settings) { set.Old = 3 * day }))
	}, "profiles of the authority before stay for 3 days, was 7 days")

	// The licences that were shown, not others that do the same.
	list := []server.Licence{{UPN: "a@example.org", Basic: true}}
	other := []server.Licence{{UPN: "a@example.org", Basic: true}, {UPN: "b@example.org", Basic: true, Intune: true}}
	p, err := x.PreviewLicences(x.ctx, x.now, list)
	x.must(err)
	_, err = x.SetLicences(x.ctx, x.now, boss, other, p.ID)
	x.refused(err, protocol.RuleOutdated)
	x.licences(list...)

	p = x.set(coexistence)
	v, err := x.Verify(x.ctx, x.now)
	x.must(err)
	var want []protocol.Device
	for _, m := range v.Outstanding {
		want = append(want, m.Device)
	}
	var got []protocol.Device
	for i := range p.Devices {
		if n := &p.Devices[i]; n.Concerned() {
			got = append(got, n.Device)
		}
	}
	x.equal("devices named", got, want)
}

// TestHST070Outdated: a preview of yesterday, or of before another administrator's change, changes nothing, and the refusal
// names the difference.
func TestHST070Outdated(t *testing.T) {
	x := bms(t)
	x.enrolled(1)
	p, err := x.PreviewAuthority(x.ctx, x.now, coexistence)
	x.must(err)
	x.enrolled(1)
	_, err = x.SetAuthority(x.ctx, x.now, boss, coexistence, p.ID, p.Stranded)
	x.refused(err, protocol.RuleOutdated)
	if !strings.Contains(err.Error(), "devices pending: 2, was 1; 1 device differs: UDID-2 is new: moves to intune, held by AUTH-30 (AUTH-14)") {
		t.Errorf("%v does not name the difference", err)
	}
	_, err = x.SetAuthority(x.ctx, x.now, boss, coexistence, "nonsense", 0)
	x.refused(err, protocol.RuleOutdated)

	// Two at once: one of them wins.
	p, err = x.PreviewAuthority(x.ctx, x.now, coexistence)
	x.must(err)
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() { _, errs[i] = x.SetAuthority(x.ctx, x.now, boss, coexistence, p.ID, p.Stranded) })
	}
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Fatalf("errors %v, want one", errs)
	}
	for _, err := range errs {
		if err != nil {
			x.refused(err, protocol.RuleOutdated)
		}
	}
	if e := x.World().Tenant.Epoch; e != 2 {
		t.Errorf("epoch %d", e)
	}
}

// TestHST070Shown: whatever a preview shows is confirmed with it, also what no device is counted by.
func TestHST070Shown(t *testing.T) {
	gap := func(on bool) func(*tenant) {
		return func(x *tenant) { x.decide(func(set *server.Settings) { set.Gap.NotOnCoexistence = !on }) }
	}
	for name, c := range map[string]struct {
		begin, change func(*tenant)
		says          string
	}{
		"a device is left without profiles": {
			func(x *tenant) {
				x.enrolled(1).drain()
				x.profile(protocol.Intune, "other", protocol.Configuration, "org.intune.other")
			},
			func(x *tenant) { x.take(server.ProfileRemoval{Authority: protocol.Intune, Name: "other"}) },
			"now 1 devices lose all profiles",
		},
		"another profile is meant for it": {
			func(x *tenant) { x.enrolled(1).drain() },
			func(x *tenant) { x.profile(protocol.Intune, "other", protocol.Configuration, "org.intune.other") },
			"UDID-1 gets, keeps or loses other profiles",
		},
		"the gap opens for an empty tenant":                   {gap(false), gap(true), "now Apple devices cannot check in"},
		"the gap does not open":                               {gap(true), gap(false), "no longer Apple devices cannot check in"},
		"the gap opens for devices that do not register anew": {func(x *tenant) { gap(false)(x); x.enrolled(0) }, gap(true), "now Apple devices cannot check in"},
		"other licence units": {
			func(x *tenant) { x.must(x.SetUnits(x.ctx, x.now, boss, 5)) },
			func(x *tenant) { x.must(x.SetUnits(x.ctx, x.now, boss, 6)) },
			"not the change that was shown",
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := bms(t)
			c.begin(x)
			p, err := x.PreviewAuthority(x.ctx, x.now, coexistence)
			x.must(err)
			c.change(x)
			_, err = x.SetAuthority(x.ctx, x.now, boss, coexistence, p.ID, p.Stranded)
			x.refused(err, protocol.RuleOutdated)
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v\ndoes not say %q", err, c.says)
			}
		})
	}
}

// TestAUTH30SameSlot: under coexistence the certificate is in Intune's slot already, so that a tenant that gives BMS up waits
// for no other one; a gap that is still open waits on.
func TestAUTH30SameSlot(t *testing.T) {
	x := bms(t)
	p := x.enrolled(1)
	x.set(coexistence)
	y := bms(t)
	q := y.enrolled(1)
	y.set(coexistence)
	for _, x := range []*tenant{x, y} {
		if x == y {
			y.renew()
			q.drain()
		}
		if shown := x.set(authority.Change{Authority: protocol.Intune, Force: true}); shown.OpensGap {
			t.Errorf("preview %+v", shown)
		}
		x.equal("openings", len(x.journal(delivery.WhatGapOpened)), 1)
	}
	x.refused(p.ask(), protocol.RulePushGap)
	n := len(y.since(0))
	y.later(time.Second)
	y.equal("woken", y.since(n), []string{"token of " + q.id})
	q.drain()
	q.registered(protocol.Intune, 3)
	if cert, _ := y.PushStatus(y.now); cert == nil || cert.Slot != protocol.Intune {
		t.Errorf("certificate %+v", cert)
	}
	x.renew()
	p.drain()
	p.registered(protocol.Intune, 3)
}

// TestAUTH30OpenedOnce: a gap that is open is not opened again by another change.
func TestAUTH30OpenedOnce(t *testing.T) {
	x := newTenant(t)
	x.set(sccm)
	x.set(intune)
	x.equal("openings", len(x.journal(delivery.WhatGapOpened)), 1)
	x.renew()
	x.set(sccm)
	x.equal("openings after the gap was closed", len(x.journal(delivery.WhatGapOpened)), 2)
}

// TestAUTH23SameIdentifier: a licence replaces a profile by one of the same identifier, and that is no overwriting by a
// namesake (AUTH-26).
func TestAUTH23SameIdentifier(t *testing.T) {
	x := bms(t)
	x.must(x.SetUnits(x.ctx, x.now, boss, 5))
	x.licences(server.Licence{UPN: "a@example.org", Basic: true})
	p := x.enrolled(1)
	x.set(coexistence)
	x.renew()
	p.drain()
	x.profile(protocol.Intune, "mail", protocol.Email, "org.bms.mail")
	x.licences(server.Licence{UPN: "a@example.org", Basic: true, Intune: true})
	p.drain()
	x.equal("overwritten", len(x.journal(delivery.WhatOverwritten)), 0)
	lines := x.journal(delivery.WhatProfileRemoved)
	for _, l := range lines {
		x.equal("rule of "+l.Detail, l.Rule, protocol.RuleLicenceMoves)
	}
	x.equal("removed", len(lines), 2)
}

// TestAUTH35Push: the preview of a renewal that closes the gap says who is released, and changes nothing.
func TestAUTH35Push(t *testing.T) {
	x := newTenant(t)
	x.enrolled(1)
	x.set(sccm)
	up, err := x.PreviewPush(x.ctx, x.now, x.pem(topic, 500*day), "")
	x.must(err)
	if p := up.Preview; p.Blocked != 0 || p.Stale != 1 || !slices.ContainsFunc(p.Warnings, func(w server.Warning) bool { return w.Rule == protocol.RuleGapClosed }) {
		t.Errorf("%+v", p)
	}
	if x.Content().Campaign.Gap == 0 {
		t.Error("the preview has closed the gap")
	}
}

// TestAUTH35Before: what opens the gap for enrolled devices, or leaves some without profiles (AUTH-23), is not done before it
// was shown.
func TestAUTH35Before(t *testing.T) {
	x := newTenant(t)
	if p, err := x.PreviewAuthority(x.ctx, x.now, sccm); err != nil || !p.OpensGap || p.Confirm {
		t.Errorf("without devices: %+v, %v", p, err)
	}
	x.enrolled(1)
	p, err := x.SetAuthority(x.ctx, x.now, boss, sccm, "", 0)
	x.refused(err, protocol.RulePreview)
	if !p.OpensGap || !p.Confirm {
		t.Errorf("%+v", p)
	}
	x.must(second(x.SetAuthority(x.ctx, x.now, boss, sccm, p.ID, p.Stranded)))

	x = bms(t)
	x.licences(server.Licence{UPN: "a@example.org", Basic: true}, server.Licence{UPN: "b@example.org", Intune: true})
	x.enrolled(1)
	x.set(coexistence)
	x.renew()
	list := []server.Licence{{UPN: "a@example.org", Basic: true, Intune: true}}
	p, err = x.SetLicences(x.ctx, x.now, boss, list, "")
	x.refused(err, protocol.RulePreview)
	if p.Unprotected != 1 || !p.Confirm {
		t.Errorf("%+v", p)
	}
	x.profile(protocol.Intune, "mail", protocol.Email, "org.intune.mail")
	x.must(second(x.SetLicences(x.ctx, x.now, boss, list, "")))
}

// TestPreviewBesideCheckIns: previews, a change and check-ins at once; each device ends up where the change has it.
func TestPreviewBesideCheckIns(t *testing.T) {
	x := newTenant(t)
	phones := make([]*phone, 20)
	for i := range phones {
		phones[i] = x.enrolled(delivery.UserID(i%2 + 1))
	}
	var wg sync.WaitGroup
	for _, p := range phones {
		wg.Go(func() {
			for range 20 {
				p.ask() // refused in the gap
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if _, err := x.PreviewAuthority(x.ctx, x.now, sccm); err != nil {
				t.Error(err)
			}
		}
	})
	change := func(confirm string) *server.Preview {
		p, err := x.SetAuthority(x.ctx, x.now, boss, sccm, confirm, 0)
		if confirm != "" {
			x.must(err)
		}
		return p
	}
	change(change("").ID) // the refusal is a preview too
	x.renew()
	wg.Wait()
	x.later(time.Second)
	for _, p := range phones {
		p.drain()
		p.registered(protocol.Intune, 2)
	}
	v, err := x.Verify(x.ctx, x.now)
	x.must(err)
	if v.Pending+v.Stale != 0 || v.ThisEpoch != len(phones) || v.Listed[protocol.Intune] != len(phones) {
		t.Errorf("verification %+v (AUTH-39)", v)
	}
}

// TestAUTH18Support: only the support action moves a userless device, at a completed check-in.
func TestAUTH18Support(t *testing.T) {
	x := bms(t)
	u, p := x.enrolled(0), x.enrolled(2)
	x.refused(x.SupportMove(x.ctx, x.now, boss, u.number), protocol.RuleUserless) // where a user's device would be too
	x.set(coexistence)
	x.renew()
	x.later(time.Second)
	u.drain()
	u.registered(protocol.Office365, 1)
	x.refused(x.SupportMove(x.ctx, x.now, boss, p.number), protocol.RuleUserless)
	x.refused(x.SupportMove(x.ctx, x.now, server.Actor{Name: "r", Role: store.Reader}, u.number), protocol.RuleRoles)
	helper := server.Actor{Name: "h", Role: store.Helpdesk}
	x.must(x.SupportMove(x.ctx, x.now, helper, u.number))
	x.must(x.SupportMove(x.ctx, x.now, helper, u.number))
	x.equal("journal", len(x.journal(delivery.WhatSupportMove)), 1)
	u.registered(protocol.Office365, 1)
	u.drain()
	u.registered(protocol.Intune, 2)
	if l := x.last(delivery.WhatMoved); l.Rule != protocol.RuleUserless {
		t.Errorf("journal %+v", l)
	}
}

// TestAUTH09Units: no more licences than units, and a tenant without any cannot add Intune.
func TestAUTH09Units(t *testing.T) {
	x := bms(t)
	x.must(x.SetUnits(x.ctx, x.now, boss, 0))
	x.refused(second(x.SetAuthority(x.ctx, x.now, boss, coexistence, "", 0)), "AUTH-09")
	x.must(x.SetUnits(x.ctx, x.now, boss, 1))
	_, err := x.SetLicences(x.ctx, x.now, boss, []server.Licence{{UPN: "b@example.org", Intune: true}}, "")
	x.refused(err, "AUTH-09")
	x.must(x.SetUnits(x.ctx, x.now, boss, 2))
	_, err = x.SetLicences(x.ctx, x.now, boss, []server.Licence{{UPN: "b@example.org", Intune: true}}, "")
	x.must(err)
	if u, _ := x.UserByUPN("b@example.org"); !u.IntuneLicence || u.BasicLicence || !slices.Equal(u.Groups, []string{"all"}) {
		t.Errorf("user %+v", u)
	}
}

// TestAUTH09NotKnown: where nobody says how many units there are, somebody has to hold a licence before Intune is added, and a
// warning says what is not known.
func TestAUTH09NotKnown(t *testing.T) {
	for _, change := range []authority.Change{coexistence, {Authority: protocol.Intune, Force: true}} {
		x := bms(t)
		warned := func(p *server.Preview) bool {
			return slices.ContainsFunc(p.Warnings, func(w server.Warning) bool { return w.Rule == "AUTH-09" && strings.Contains(w.Text, "not known") })
		}
		x.licences(server.Licence{UPN: "a@example.org", Basic: true})
		x.refused(second(x.PreviewAuthority(x.ctx, x.now, change)), "AUTH-09")
		_, err := x.SetAuthority(x.ctx, x.now, boss, change, "", 0)
		x.refused(err, "AUTH-09")
		if !strings.Contains(err.Error(), "--intune-units") {
			t.Errorf("%v says not what to do", err)
		}
		x.licences(server.Licence{UPN: "b@example.org", Intune: true})
		p := x.set(change)
		if !warned(p) || p.Need.Units != (authority.Units{}) {
			t.Errorf("warnings %+v, units %+v", p.Warnings, p.Need.Units)
		}
		y := bms(t)
		y.must(y.SetUnits(y.ctx, y.now, boss, 5))
		y.licences(server.Licence{UPN: "a@example.org", Basic: true})
		if p := y.set(change); warned(p) {
			t.Errorf("warnings %+v, and the units are known", p.Warnings)
		}
	}
}

// TestAUTH05Consent: who, when, which; once and for all.
func TestAUTH05Consent(t *testing.T) {
	x := empty(t)
	x.must(x.Consent(x.ctx, x.now, boss, server.ConsentPush))
	x.now = x.now.Add(time.Hour)
	x.must(x.Consent(x.ctx, x.now, server.Actor{Name: "other", Role: store.GlobalAdministrator}, server.ConsentPush))
	x.reopen()
	granted := 0
	for _, c := range x.Consents() {
		if len(c.Shared) == 0 || c.With == "" {
			t.Errorf("AUTH-07: %+v says not what is shared", c)
		}
		if c.Granted {
			granted++
			x.equal("consent", c.Consent, store.Consent{Service: server.ConsentPush, By: boss.Name, At: start})
		}
	}
	x.equal("granted", granted, 1)
	x.refused(x.Consent(x.ctx, x.now, boss, "x"), protocol.RuleConsent)
	x.refused(x.Consent(x.ctx, x.now, server.Actor{}, server.ConsentADE), protocol.RuleRoles)
}

// TestAUTH05Needed: without consent neither a first push certificate nor automated enrolment.
func TestAUTH05Needed(t *testing.T) {
	x := empty(t)
	x.must(x.SetUp(x.ctx, x.now, authority.Tenant{Authority: protocol.Intune}, delivery.Settings{}))
	x.refused(second(x.UploadPush(x.ctx, x.now, x.pem(topic, day), "", "", false, 0)), protocol.RuleConsent)
	x.refused(second(x.PushCSR(x.ctx, x.now, boss, protocol.Intune)), protocol.RuleConsent)
	x.refused(x.PutSerials(x.ctx, x.now, []store.Serial{{Serial: "C1"}}), protocol.RuleConsent)
	x.equal("in the journal", len(x.journal(delivery.WhatDenied)), 3)
	x.must(x.Consent(x.ctx, x.now, boss, server.ConsentPush))
	x.must(x.Consent(x.ctx, x.now, boss, server.ConsentADE))
	x.must(second(x.UploadPush(x.ctx, x.now, x.pem(topic, day), "", "", false, 0)))
	x.must(x.PutSerials(x.ctx, x.now, []store.Serial{{Serial: "C1"}}))
}

func (x *tenant) csr(slot protocol.Authority) []byte {
	x.Helper()
	csr, err := x.PushCSR(x.ctx, x.now, boss, slot)
	x.must(err)
	return csr
}

// signed is what the portal makes of a certificate request, without a key, and when it ends.
func (x *tenant) signed(csr []byte, life time.Duration) (cert []byte, until protocol.Time) {
	x.Helper()
	block, _ := pem.Decode(csr)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	x.must(err)
	x.must(request.CheckSignature())
	model, err := certs.ReadPush(x.pem(topic, life), "")
	x.must(err)
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	x.must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), RawSubject: model.Certificate.RawSubject, NotBefore: model.Certificate.NotBefore, NotAfter: model.Certificate.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	issuer := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the portal"}}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, request.PublicKey, signer)
	x.must(err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), protocol.At(template.NotAfter)
}

// TestAUTH30PreparedCSR: the certificate that a change waits for can be asked for before the change, and is taken after it;
// without a key that fits the refusal says what to do.
func TestAUTH30PreparedCSR(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	p.drain()
	bare, _ := x.signed(x.csr(protocol.Intune), 500*day)
	csr := x.csr(protocol.Intune) // the one before is forgotten
	x.set(sccm)
	x.csr(protocol.SCCM) // one for the slot in force is in nobody's way
	_, err := x.UploadPush(x.ctx, x.now, bare, "", "", false, 0)
	x.refused(err, protocol.RuleUpload)
	if err == nil || !strings.Contains(err.Error(), "without its private key") {
		t.Errorf("%v", err)
	}
	x.equal("gap", x.Content().Campaign.Gap != 0, true)
	prepared, _ := x.signed(csr, 500*day)
	x.must(second(x.UploadPush(x.ctx, x.now, prepared, "", "", false, 0)))
	if cert, _ := x.PushStatus(x.now); cert.Slot != protocol.SCCM || x.Content().Campaign.Gap != 0 {
		t.Errorf("certificate of %s, gap since %s", cert.Slot, x.Content().Campaign.Gap)
	}
	p.drain()
	p.registered(protocol.Intune, 2)
}

// TestAUTH34CSR: a certificate for the key of a request needs no key of its own.
func TestAUTH34CSR(t *testing.T) {
	x := newTenant(t)
	csr := x.csr(protocol.Intune)
	_, err := x.PushCSR(x.ctx, x.now, server.Actor{Role: store.Helpdesk}, protocol.Intune)
	x.refused(err, protocol.RuleRoles)
	other := x.pem(topic, 400*day)
	cut := bytes.Index(other, []byte("-----BEGIN PRIVATE KEY"))
	if cut < 0 {
		cut = bytes.Index(other, []byte("-----BEGIN EC PRIVATE KEY"))
	}
	x.refused(second(x.UploadPush(x.ctx, x.now, other[:cut], "", "", false, 0)), protocol.RuleUpload) // it is for another key

	// What the portal makes of the request is taken without a key, and wake-ups go out with it, after a restart too.
	p := x.enrolled(1)
	signed, until := x.signed(csr, 400*day)
	up, err := x.UploadPush(x.ctx, x.now, signed, "", "portal@example.org", false, 0)
	x.must(err)
	if cert, _ := x.PushStatus(x.now); up.OtherTopic || cert.Topic != topic || cert.AppleID != "portal@example.org" || cert.NotAfter != until {
		t.Errorf("%+v, %+v", up, cert)
	}
	x.reopen()
	n := len(x.since(0))
	_, err = x.Order(x.ctx, x.now, p.number, protocol.Command{})
	x.must(err)
	x.later(time.Second)
	x.equal("woken", x.since(n), []string{"token of " + p.id})
	x.equal("taken into use", len(x.topics), 3) // at first, by the upload, and by the restart
}

// TestAUTH48CleanUp: an enabled clean-up rule takes silent records away; a device that is heard of again gets it back.
func TestAUTH48CleanUp(t *testing.T) {
	x := newTenant(t)
	x.refused(x.SetCleanUp(x.ctx, x.now, boss, 29), protocol.RuleCleanUp)
	x.refused(x.SetCleanUp(x.ctx, x.now, boss, 271), protocol.RuleCleanUp)
	p, q := x.enrolled(1), x.enrolled(2)
	x.must(x.SetCleanUp(x.ctx, x.now, boss, 30))
	x.later(29 * day)
	q.drain()
	x.later(day)
	if p.state().Life != delivery.Deleted || q.state().Life != delivery.Enrolled {
		t.Errorf("lives %s and %s", p.state().Life, q.state().Life)
	}
	if l := x.last(delivery.WhatRecordRemoved); l.Rule != protocol.RuleCleanUp || l.Device != p.number {
		t.Errorf("journal %+v", l)
	}
	p.drain()
	p.registered(protocol.Intune, 1)
	if p.state().Life != delivery.Enrolled || len(x.journal(delivery.WhatRestored)) != 1 {
		t.Errorf("life %s", p.state().Life)
	}
}

// TestAUTH44Again: unenrol and enrol again attaches the device to the authority that resolves then.
func TestAUTH44Again(t *testing.T) {
	x := bms(t)
	u := x.enrolled(0)
	x.set(coexistence)
	x.renew()
	ticket, err := x.Reenrol(x.ctx, x.now, boss, u.number, time.Hour)
	x.must(err)
	u.drain()
	if u.state().Life != delivery.Ended {
		t.Fatalf("life %s", u.state().Life)
	}
	x.must(x.OpenTicket(x.ctx, x.now, ticket))
	u.certify(store.Grant{Purpose: delivery.ForEnrolment})
	number := u.number
	x.must(u.enrol())
	x.must(u.ready("again"))
	if u.number != number {
		t.Errorf("another record (AUTH-43)")
	}
	u.registered(protocol.Intune, 2)
}

// TestAUTH38Readiness: users with devices and nothing assigned, before and after a change.
func TestAUTH38Readiness(t *testing.T) {
	x := bms(t)
	x.enrolled(1)
	x.enrolled(2)
	before, err := x.Readiness(x.ctx, x.now, coexistence)
	x.must(err)
	x.equal("before", before, []server.Finding{{User: 1, UPN: "a@example.org", Devices: 1, Families: protocol.Families[:]}})
	x.set(coexistence)
	x.profile(protocol.Intune, "mail", protocol.Email, "org.mail")
	after, err := x.Readiness(x.ctx, x.now, authority.Change{})
	x.must(err)
	x.equal("after", after, []server.Finding{{User: 1, UPN: "a@example.org", Devices: 1, Families: protocol.Families[1:], Since: x.now}})
	x.equal("late", len(x.journal(delivery.WhatAssignedLate)), 0) // in the moment of the change
	x.now = x.now.Add(5*time.Hour + 30*time.Minute)
	x.profile(protocol.Intune, "post", protocol.Email, "org.post") // another one of a family that is there
	x.profile(protocol.Intune, "vpn", protocol.VPN, "org.vpn")
	x.profile(protocol.Office365, "more mail", protocol.Email, "org.bms.more") // who stays has it
	lines := x.journal(delivery.WhatAssignedLate)
	if len(lines) != 1 || lines[0].Rule != "AUTH-38" || lines[0].Detail != "vpn for 1 users, assigned 5.5 hours late" || lines[0].Actor != server.System.Name {
		t.Errorf("journal %+v", lines)
	}
}

// TestAUTH38EachDevice: what is missing for any of a user's devices is: an unlicensed user's phone under BMS hides nothing of the
// Mac that stays with Intune (AUTH-24), whichever enrolled first.
func TestAUTH38EachDevice(t *testing.T) {
	x := bms(t)
	x.enrolled(2) // stays with BMS
	x.set(coexistence)
	x.renew()
	x.licences(server.Licence{UPN: "b@example.org", Basic: true, Intune: true})
	mac := x.newPhone(2)
	x.must(mac.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{Platform: protocol.MacOS, Topic: topic}))
	mac.number = mac.out.State.Device
	x.must(mac.ready("mac"))
	mac.drain()
	x.licences(server.Licence{UPN: "b@example.org", Basic: true})
	changed := x.Content().Tenant.ChangedAt
	list, err := x.Readiness(x.ctx, x.now, authority.Change{})
	x.must(err)
	x.equal("missing", list, []server.Finding{{User: 2, UPN: "b@example.org", Devices: 2, Families: protocol.Families[:], Since: changed}})
	x.now = x.now.Add(time.Hour)
	x.profile(protocol.Intune, "vpn", protocol.VPN, "org.vpn")
	if l := x.last(delivery.WhatAssignedLate); !strings.HasPrefix(l.Detail, "vpn for 1 users, assigned ") {
		t.Errorf("journal %+v", l)
	}
}

// TestAUTH46Profiles: BMS has email and configuration only.
func TestAUTH46Profiles(t *testing.T) {
	x := bms(t)
	_, err := x.PutProfile(x.ctx, x.now, boss, server.ProfileChange{Name: "wifi", Family: protocol.WiFi, Identifier: "org.wifi", Payload: []byte("x")}, "")
	x.refused(err, protocol.RuleUnsupportedBMS)
}

// TestAUTH47Gates: each gate by its own rule, in their order; what a refusal finds shut uses nothing up (HST-044).
func TestAUTH47Gates(t *testing.T) {
	x := newTenant(t)
	x.must(x.SetSettings(x.ctx, x.now, boss, delivery.Settings{UnitsKnown: true, Units: 9, DeviceLimit: 2}))
	_, err := x.PutUsers(x.ctx, x.now, []store.User{{UPN: "c@example.org"}})
	x.must(err)
	x.refused(x.newPhone(3).enrol(), protocol.RuleGates) // no licence
	x.refused(x.newPhone(0).enrol(), protocol.RuleGates) // no device licence
	x.enrolled(1)
	second := x.enrolled(1)
	third := x.newPhone(1)
	x.refused(third.enrol(), protocol.RuleGates) // the limit
	second.certify(store.Grant{Purpose: delivery.ForEnrolment, User: 1})
	x.must(second.enrol()) // is no third one
	x.must(second.ready("again"))
	x.reopen()
	x.refused(third.enrol(), protocol.RuleGates)
	x.set(sccm)
	x.refused(third.enrol(), protocol.RulePushGap) // comes before
	x.renew()
	x.later(91 * day) // devices that are silent do not count
	third.certify(store.Grant{Purpose: delivery.ForEnrolment, User: 1})
	x.must(third.enrol())
}
