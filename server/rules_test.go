package server_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// leave takes management off the phone.
func (p *phone) leave() {
	p.Helper()
	p.must(p.says(protocol.CheckIn{Verb: protocol.Leave}, delivery.Message{}))
	if life := p.state().Life; life != delivery.Ended {
		p.Fatalf("life %s", life)
	}
}

// TestAUTH04Ended: a device that is gone keeps nobody on BMS.
func TestAUTH04Ended(t *testing.T) {
	x := bms(t)
	x.enrolled(1)
	p := x.enrolled(2)
	x.set(coexistence)
	x.renew()
	x.refused(second(x.PreviewAuthority(x.ctx, x.now, intune)), "AUTH-04")
	p.leave()
	x.must(second(x.PreviewAuthority(x.ctx, x.now, intune)))
}

// TestAUTH04CountsUsers: a user with two devices who still resolves to office365 is one user.
func TestAUTH04CountsUsers(t *testing.T) {
	x := bms(t)
	x.enrolled(2)
	x.enrolled(2)
	x.enrolled(1)
	x.set(coexistence)
	_, err := x.PreviewAuthority(x.ctx, x.now, intune)
	x.refused(err, "AUTH-04")
	if err == nil || !strings.Contains(err.Error(), "1 user") || strings.Contains(err.Error(), "2 user") {
		t.Errorf("%v, want it to count one user", err)
	}
}

// TestHST110Latest: a certificate that was uploaded after the clock was set back is the latest, whose topic and Apple ID the next
// renewal needs.
func TestHST110Latest(t *testing.T) {
	x := newTenant(t)
	x.set(sccm)
	x.now = x.now.Add(-day)
	x.must(second(x.UploadPush(x.ctx, x.now, x.pem(topic, 900*day), "", "renewed@example.org", false, 0)))
	if cert := x.Content().Latest(); cert.Slot != protocol.SCCM || cert.AppleID != "renewed@example.org" {
		t.Errorf("the latest is %s's, with Apple ID %s", cert.Slot, cert.AppleID)
	}
}

// TestAUTH18SupportOnce: the support action moves a userless device once, not whenever the tenant changes later.
func TestAUTH18SupportOnce(t *testing.T) {
	x := bms(t)
	u := x.enrolled(0)
	x.set(coexistence)
	x.renew()
	x.must(x.SupportMove(x.ctx, x.now, boss, u.number))
	u.drain()
	u.registered(protocol.Intune, 2)
	if u.state().Support {
		t.Error("the action is still to come")
	}
	back := authority.Change{Authority: protocol.Office365, Force: true}
	x.set(intune)
	x.renew()
	u.drain()
	x.set(back)
	x.renew()
	u.drain()
	u.registered(protocol.Intune, 2)
}

// TestAUTH20Late: a campaign that fell back counts its further attempts from when it goes on.
func TestAUTH20Late(t *testing.T) {
	x := newTenant(t)
	x.enrolled(1)
	x.enrolled(2)
	x.later(2 * time.Hour) // out of the phase of quick wake-ups
	x.set(sccm)
	x.renew()
	x.now = x.now.Add(6 * time.Hour)
	x.reopen()
	x.tick()
	n := len(x.since(0))
	x.later(14 * time.Minute)
	x.equal("before the quarter of an hour is over", x.since(n), []string(nil))
	x.later(2 * time.Minute)
	x.equal("after it", len(x.since(n)), 2)
}

// TestAUTH23Journal: a change of licences stands in the journal by rule, with the user and who made it.
func TestAUTH23Journal(t *testing.T) {
	x := bms(t)
	for _, tt := range []struct {
		licence server.Licence
		rule    protocol.Rule
		detail  string
	}{
		{server.Licence{UPN: "b@example.org", Intune: true, Basic: true}, protocol.RuleLicenceMoves, "b@example.org: intune, basic"},
		{server.Licence{UPN: "b@example.org", Basic: true}, protocol.RuleLicenceLost, "b@example.org: basic"},
	} {
		n := len(x.journal(delivery.WhatLicences))
		x.licences(tt.licence)
		if l := x.last(delivery.WhatLicences); len(x.journal(delivery.WhatLicences)) != n+1 || l.Rule != tt.rule || l.Detail != tt.detail || l.Actor != boss.Name {
			t.Errorf("journal %+v, want %s %q of %s", l, tt.rule, tt.detail, boss.Name)
		}
	}
}

// TestAUTH25NothingIsInterrupted: between a change and its next check-in a device keeps what it has, and nothing is queued that
// takes it away.
func TestAUTH25NothingIsInterrupted(t *testing.T) {
	x := bms(t)
	p, q := x.enrolled(1), x.enrolled(2)
	has := p.has()
	x.set(coexistence)
	x.renew()
	x.licences(server.Licence{UPN: "b@example.org", Intune: true, Basic: true})
	for range 3 {
		x.later(time.Hour)
		for _, p := range []*phone{p, q} {
			p.registered(protocol.Office365, 1)
			x.equal("on the device", p.has(), has)
			x.equal("in its queue", len(p.state().Queue), 0)
			x.equal("the credential still serves", second(x.Credential(x.ctx, p.cert)), nil)
		}
	}
}

// TestAUTH29Enrolled: the console lags for devices that were there before the change, not for those that came after it.
func TestAUTH29Enrolled(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	before := p.state().LastSeen
	x.later(time.Hour)
	x.set(sccm)
	x.renew()
	x.later(time.Hour)
	p.drain()
	q := x.enrolled(2)
	old, fresh := p.state(), q.state()
	if c := x.World().Compliance(x.now, &old); c.ConsoleSince != before {
		t.Errorf("there before: the console shows the report of %s, want %s", c.ConsoleSince, before)
	}
	if c := x.World().Compliance(x.now, &fresh); !c.Device || !c.Console || c.ConsoleSince != x.now {
		t.Errorf("came after: %+v, want what it reports now", c)
	}
}

// TestAUTH34EachSlot: the key of a request is that of the slot which the request was for.
func TestAUTH34EachSlot(t *testing.T) {
	x := bms(t)
	signed, _ := x.signed(x.csr(protocol.Office365), 400*day)
	x.must(second(x.UploadPush(x.ctx, x.now, signed, "", "", false, 0)))
	cert, _ := x.PushStatus(x.now)
	if cert.Slot != protocol.Office365 || !bytes.Equal(cert.Certificate, signed) {
		t.Errorf("in use: %+v", cert)
	}
}

// TestAUTH39Verify: expected and listed are compared device by device; a userless device is never pending, not even while
// the support action is to come.
func TestAUTH39Verify(t *testing.T) {
	x := bms(t)
	p, q, u := x.enrolled(1), x.enrolled(2), x.enrolled(0)
	x.set(coexistence)
	x.renew()
	x.must(x.SupportMove(x.ctx, x.now, boss, u.number))
	v, err := x.Verify(x.ctx, x.now)
	x.must(err)
	if v.Pending != 1 || v.Stale != 1 || v.ThisEpoch != 0 || len(v.Outstanding) != 2 || v.Outstanding[0].Device != p.number || v.Outstanding[1].Device != q.number {
		t.Errorf("after the change: %+v", v)
	}
	x.equal("listed", v.Listed, map[protocol.Authority]int{protocol.Office365: 3})
	for _, p := range []*phone{p, q, u} {
		p.drain()
	}
	v, err = x.Verify(x.ctx, x.now)
	x.must(err)
	if v.Pending+v.Stale+len(v.Outstanding) != 0 || v.ThisEpoch != 3 {
		t.Errorf("after the check-ins: %+v", v)
	}
	want := map[protocol.Authority]int{protocol.Office365: 1, protocol.Intune: 2}
	x.equal("expected", v.Expected, want)
	x.equal("listed", v.Listed, want)
}

// TestAUTH32Reported: the devices that another topic strands are counted and named, pending or not, until they enrol again.
func TestAUTH32Reported(t *testing.T) {
	x := newTenant(t)
	p, u := x.enrolled(1), x.enrolled(0)
	reported := func(what string, want ...*phone) {
		t.Helper()
		v, err := x.Verify(x.ctx, x.now)
		x.must(err)
		var names []protocol.Device
		for _, m := range v.Outstanding {
			if m.Rule == protocol.RuleOtherTopic {
				names = append(names, m.Device)
			}
		}
		var devices []protocol.Device
		for _, p := range want {
			devices = append(devices, p.number)
		}
		x.equal(what+": stranded", v.Stranded, len(want))
		x.equal(what+": named", names, devices)
	}
	reported("before")
	upload := func(topic string, count int) {
		t.Helper()
		x.must(second(x.UploadPush(x.ctx, x.now, x.pem(topic, 500*day), "", "", true, count)))
	}
	upload("com.apple.mgmt.External.other", 2)
	reported("another topic", p, u)
	x.set(sccm)
	reported("after a change too", p, u)
	upload(topic, 0)
	reported("the topic is back")
	x.now = x.Content().Latest().NotAfter.Add(30*day + time.Second)
	reported("after the grace", p, u)
}

// TestAUTH47Ended: a device that is gone does not count against the limit.
func TestAUTH47Ended(t *testing.T) {
	x := newTenant(t)
	x.must(x.SetSettings(x.ctx, x.now, boss, delivery.Settings{DeviceLimit: 1}))
	p := x.enrolled(1)
	x.refused(x.newPhone(1).enrol(), protocol.RuleGates)
	p.leave()
	x.must(x.newPhone(1).enrol())
}

// TestAUTH47Begun: devices that have begun to enrol count against the limit, however many begin at once.
func TestAUTH47Begun(t *testing.T) {
	x := newTenant(t)
	x.must(x.SetSettings(x.ctx, x.now, boss, delivery.Settings{DeviceLimit: 3}))
	var phones []*phone
	for range 12 {
		phones = append(phones, x.newPhone(1))
	}
	errs := make([]error, len(phones))
	var all sync.WaitGroup
	for i, p := range phones {
		cred, err := x.Credential(x.ctx, p.cert)
		x.must(err)
		ev := delivery.Event{Kind: delivery.CheckInRound, ID: p.id, Message: delivery.Message{
			CheckIn: protocol.CheckIn{Verb: protocol.Enrol}, Credential: cred, Platform: protocol.IOS, Topic: topic,
		}}
		all.Go(func() { errs[i] = x.Handle(x.ctx, x.now, &ev, new(delivery.Outcome)) })
	}
	all.Wait()
	begun := 0
	for _, err := range errs {
		if err == nil {
			begun++
			continue
		}
		x.refused(err, protocol.RuleGates)
	}
	if begun != 3 {
		t.Errorf("%d devices have begun, want 3", begun)
	}
	x.later(2 * day) // they were given up
	x.tick()
	x.must(x.newPhone(1).enrol())
}

// TestAUTH50Off: BMS is never unprovisioned; its profiles can be taken from its devices, which stay enrolled.
func TestAUTH50Off(t *testing.T) {
	x := bms(t)
	p := x.enrolled(2)
	x.refused(second(x.PreviewAuthority(x.ctx, x.now, authority.Change{Force: true})), "AUTH-03")
	x.take(server.ProfileRemoval{Authority: protocol.Office365, Name: "mail", Groups: []string{"all"}})
	p.drain()
	x.equal("unassigned", p.has(), []string{"restrictions:office365"})
	x.take(server.ProfileRemoval{Authority: protocol.Office365, Name: "restrictions"})
	p.drain()
	x.equal("removed", p.has(), []string(nil))
	p.registered(protocol.Office365, 1)
	x.set(coexistence)
	x.refused(second(x.PreviewAuthority(x.ctx, x.now, authority.Change{Authority: protocol.Office365, Force: true})), "AUTH-04")
}

// TestAUTH06AUTH46Lock: a fresh device is listed under the authority in force, is locked, and the lock is acknowledged; under
// BMS, which has none and refuses it, it is retired instead.
func TestAUTH06AUTH46Lock(t *testing.T) {
	for _, begin := range []func(*testing.T) *tenant{newTenant, bms} {
		x := begin(t)
		in := x.Content().Tenant.Authority
		p := x.enrolled(2)
		page, err := x.Portal(x.ctx, in, 0, 10)
		x.must(err)
		if len(page) != 1 || page[0].ID != p.id {
			t.Errorf("the portal of %s lists %+v", in, page)
		}
		kind := protocol.Lock
		if in == protocol.Office365 {
			x.refused(second(x.Order(server.As(x.ctx, boss.Name), x.now, p.number, protocol.Command{Kind: kind})), protocol.RuleUnsupportedBMS)
			if l := x.last(delivery.WhatRefused); l.Device != p.number || l.Actor != boss.Name || l.Rule != protocol.RuleUnsupportedBMS {
				t.Errorf("journal %+v", l)
			}
			x.equal("ordered by a refusal", len(p.state().Queue), 0)
			kind = protocol.Retire
		}
		x.must(second(x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: kind})))
		if done := p.drain(); len(done) == 0 || kind == protocol.Lock && done[0].Kind != kind {
			t.Errorf("%s: %+v", in, done)
		}
		x.equal("its queue", len(p.state().Queue), 0)
	}
}
