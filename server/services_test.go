package server_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sirupsen/logrus/hooks/test"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/push"
)

// mixed is a tenant whose three platforms have each a push service, and one device.
type mixed struct {
	*tenant
	windows, android push.Recorder
	laptop, handset  *phone
	iphone           *phone
}

func newMixed(t *testing.T) *mixed {
	m := &mixed{tenant: newTenant(t)}
	m.cfg.Push.Windows, m.cfg.Push.Android = &m.windows, &m.android
	m.reopen()
	m.iphone = m.enrolled(1)
	m.laptop = m.joins(protocol.Windows, "https://wns2-sim.notify.windows.com/?token=1")
	m.handset = m.joins(protocol.Android, "f-123")
	m.tick()
	return m
}

// joins enrols a device of another platform.
func (m *mixed) joins(p protocol.Platform, address string) *phone {
	m.Helper()
	d := m.newPhone(1)
	m.must(d.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{Platform: p, Facts: &delivery.Facts{Name: d.id}}))
	d.number = d.out.State.Device
	m.must(d.says(protocol.CheckIn{Verb: protocol.Ready}, delivery.Message{Token: []byte(address)}))
	return d
}

// counts is how many wake-ups each service got.
func (m *mixed) counts() [3]int {
	return [3]int{len(m.pushes.Sent()), len(m.windows.Sent()), len(m.android.Sent())}
}

// TestEachPlatformByItsService: an address goes to the service of its platform, and work is kept for as long as it takes until the
// device comes by itself.
func TestEachPlatformByItsService(t *testing.T) {
	m := newMixed(t)
	for _, tt := range []struct {
		of      *push.Recorder
		address string
		keep    time.Duration
	}{{&m.windows, "https://wns2-sim.notify.windows.com/?token=1", 8 * time.Hour}, {&m.android, "f-123", 8 * time.Hour}} {
		sent := tt.of.Sent()
		if len(sent) != 1 {
			t.Fatalf("%d notifications for %s, want one", len(sent), tt.address)
		}
		m.equal("notification", sent[0], push.Notification{Token: []byte(tt.address), Expires: m.now.Add(tt.keep).Time()})
	}
	m.equal("the first", m.counts(), [3]int{1, 1, 1})
}

// TestAUTH30AND060GapLeavesOthersAlone: what holds Apple's wake-ups holds nobody else's: neither orders nor the wake-ups of a change.
func TestAUTH30AND060GapLeavesOthersAlone(t *testing.T) {
	m := newMixed(t)
	order := func() {
		for _, d := range []*phone{m.iphone, m.laptop, m.handset} {
			_, err := m.Order(m.ctx, m.now, d.number, protocol.Command{Kind: protocol.Restart})
			m.must(err)
		}
		m.tick()
	}
	was := m.counts()
	m.set(authority.Change{Authority: protocol.SCCM}) // opens the gap, and wakes everybody
	m.later(time.Second)
	now := m.counts()
	m.equal("woken by the change", [3]int{now[0] - was[0], min(now[1]-was[1], 1), min(now[2]-was[2], 1)}, [3]int{0, 1, 1})
	was = m.counts()
	order()
	now = m.counts()
	m.equal("woken for an order in the gap", [3]int{now[0] - was[0], now[1] - was[1], now[2] - was[2]}, [3]int{0, 1, 1})
	if next := m.next(); next != 0 && next <= m.now {
		t.Errorf("next at %s, now %s: what is held keeps the server busy", next, m.now)
	}
	was = m.counts()
	m.renew()
	m.later(time.Second)
	if now = m.counts(); now[0] == was[0] {
		t.Error("the iPhone is not woken when the gap closes")
	}
}

// TestEndedCertificateHoldsAppleAlone: the same where the certificate has ended, or is refused; then an upload wakes those that a
// change's wake-ups passed by meanwhile.
func TestEndedCertificateHoldsAppleAlone(t *testing.T) {
	m := newMixed(t)
	m.later(400 * day)
	m.pushes.Answer = nil
	was := m.counts()
	for _, d := range []*phone{m.iphone, m.laptop, m.handset} {
		_, err := m.Order(m.ctx, m.now, d.number, protocol.Command{Kind: protocol.Restart})
		m.must(err)
	}
	m.tick()
	now := m.counts()
	m.equal("woken for an order", [3]int{now[0] - was[0], now[1] - was[1], now[2] - was[2]}, [3]int{0, 1, 1})
	if next := m.next(); next != 0 && next <= m.now {
		t.Errorf("next at %s, now %s: what is held keeps the server busy", next, m.now)
	}
}

// TestAUTH20ChangeWhileTheCertificateIsRefused: the wake-ups of a change pass by Apple's devices; whoever uploads another
// certificate wakes them.
func TestAUTH20ChangeWhileTheCertificateIsRefused(t *testing.T) {
	x := bms(t)
	x.cfg.Push.Windows = new(push.Recorder)
	x.reopen()
	p, q := x.enrolled(1), x.enrolled(1)
	x.set(coexistence)
	x.renew()
	p.drain()
	q.drain()
	x.later(day)
	x.pushes.Answer = func(push.Notification) push.Answer {
		return push.Answer{Result: delivery.TryLater, Suspend: true, Reason: "BadCertificate"}
	}
	_, err := x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: protocol.Restart})
	x.must(err)
	x.tick() // refused
	p.drain()
	x.pushes.Answer = nil
	x.set(authority.Change{Authority: protocol.Intune, Force: true})
	n := len(x.since(0))
	x.later(time.Minute)
	x.equal("woken while the certificate is refused", x.since(n), []string(nil))
	x.renew()
	x.later(time.Second)
	got := x.since(n)
	slices.Sort(got)
	x.equal("woken by the upload", slices.Compact(got), []string{"token of " + p.id, "token of " + q.id})
}

// TestNoServiceNoWakeUp: without a service, or without an address, a device that polls is left to its schedule, and nothing is written of it.
func TestNoServiceNoWakeUp(t *testing.T) {
	m := newMixed(t)
	none := m.joins(protocol.Windows, "")
	m.cfg.Push.Android = nil
	m.reopen()
	was := m.counts()
	for _, d := range []*phone{none, m.handset} {
		_, err := m.Order(m.ctx, m.now, d.number, protocol.Command{Kind: protocol.Restart})
		m.must(err)
	}
	m.tick()
	m.equal("woken", m.counts(), was)
	if next := m.next(); next <= m.now {
		t.Errorf("next at %s, now %s", next, m.now)
	}
	if lines := m.journal(delivery.WhatUnreachable); len(lines) != 0 {
		t.Errorf("journal %+v", lines)
	}
}

// TestWokenOnceItTellsItsChannel: what could not go out for want of an address holds up nothing once there is one.
func TestWokenOnceItTellsItsChannel(t *testing.T) {
	m := newMixed(t)
	d := m.joins(protocol.Windows, "")
	m.tick()
	d.drain()
	m.must(d.says(protocol.CheckIn{Verb: protocol.Ready}, delivery.Message{Token: []byte("https://wns2-sim.notify.windows.com/?token=2")}))
	m.later(time.Minute)
	was := len(m.windows.Sent())
	_, err := m.Order(m.ctx, m.now, d.number, protocol.Command{Kind: protocol.Restart})
	m.must(err)
	m.tick()
	if got := len(m.windows.Sent()) - was; got != 1 {
		t.Errorf("%d notifications for an order, wake-up %+v; want one", got, d.state().Wake)
	}
	// The same where the address before was throttled.
	m.windows.Answer = func(push.Notification) push.Answer {
		return push.Answer{Result: delivery.TryLater, RetryAfter: 5 * time.Hour, Reason: "channelthrottled"}
	}
	d.drain()
	order := func() {
		_, err := m.Order(m.ctx, m.now, d.number, protocol.Command{Kind: protocol.Restart})
		m.must(err)
		m.later(time.Minute)
	}
	order()
	m.windows.Answer = nil
	to := func(token string) (n int) {
		for _, sent := range m.windows.Sent() {
			if string(sent.Token) == "https://wns2-sim.notify.windows.com/?token="+token {
				n++
			}
		}
		return n
	}
	was = to("2")
	order()
	if got := to("2") - was; got != 0 {
		t.Errorf("%d notifications to a throttled channel, want none", got)
	}
	m.must(d.says(protocol.CheckIn{Verb: protocol.Ready}, delivery.Message{Token: []byte("https://wns2-sim.notify.windows.com/?token=3")}))
	order()
	if got := to("3"); got != 1 {
		t.Errorf("%d notifications to the new channel, wake-up %+v; want one", got, d.state().Wake)
	}
}

// TestWIN042AlarmOnce: a service that refuses us holds its own devices' wake-ups, is said once, and leaves Apple's certificate alone.
func TestWIN042AlarmOnce(t *testing.T) {
	m := newMixed(t)
	log, hook := test.NewNullLogger()
	m.cfg.Log = log
	m.reopen()
	m.windows.Answer = func(push.Notification) push.Answer {
		return push.Answer{Result: delivery.TryLater, Suspend: true, RetryAfter: 10 * time.Minute, Reason: "no access token: invalid_client"}
	}
	m.android.Answer = func(push.Notification) push.Answer {
		return push.Answer{Result: delivery.BadAddress, Alarm: true, Reason: "SENDER_ID_MISMATCH"}
	}
	for range 20 {
		for _, d := range []*phone{m.laptop, m.handset} {
			_, err := m.Order(m.ctx, m.now, d.number, protocol.Command{Kind: protocol.Restart})
			m.must(err)
		}
		m.later(11 * time.Minute)
	}
	said := map[string]int{}
	for _, e := range hook.AllEntries() {
		said[e.Message]++
	}
	m.equal("said", said, map[string]int{
		"the push service refuses this server: its devices come by their schedules only": 1,
		"the push service refuses what a device gave as its address":                     1,
	})
	if lines := m.journal(delivery.WhatPushRefused); len(lines) != 1 || lines[0].Detail != "windows: no access token: invalid_client" {
		t.Errorf("journal %+v, want one line", lines)
	}
	if lines := m.journal(delivery.WhatPushSuspended); len(lines) != 0 || m.World().Push.Suspended {
		t.Errorf("journal %+v: Apple's certificate is not to blame", lines)
	}
	if !m.handset.state().Push.Unreachable || m.laptop.state().Push.Unreachable {
		t.Errorf("handset %+v, laptop %+v: want the handset's address refused, and the laptop's kept", m.handset.state().Push, m.laptop.state().Push)
	}
	if n := len(m.android.Sent()); n != 2 {
		t.Errorf("%d notifications to a refused address, want the first one and one more", n)
	}
}

// TestNewAddressDuringAPush: a device that tells another address while the push service judges the old one is called at the new one, for
// that wake-up and for its next order, whatever became of the push (APL-101, WIN-042, AND-093).
func TestNewAddressDuringAPush(t *testing.T) {
	const address = "https://wns2-sim.notify.windows.com/?token=new"
	answers := []push.Answer{
		{Result: delivery.Accepted},
		{Result: delivery.BadAddress},
		{Result: delivery.Inactive, InactiveSince: start.Add(300 * day).Time()},
		{Result: delivery.TryLater, RetryAfter: time.Hour},
	}
	for _, of := range []func(*mixed) (*phone, *push.Recorder){
		func(m *mixed) (*phone, *push.Recorder) { return m.iphone, &m.pushes },
		func(m *mixed) (*phone, *push.Recorder) { return m.laptop, &m.windows },
		func(m *mixed) (*phone, *push.Recorder) { return m.handset, &m.android },
	} {
		for _, answer := range answers {
			for _, moved := range []time.Duration{-time.Second, time.Second} { // a check-in may be committed long after it came
				m := newMixed(t)
				d, service := of(m)
				m.now = m.now.Add(time.Minute)
				before := len(service.Sent())
				var failed error
				service.Answer = func(push.Notification) push.Answer {
					service.Answer = nil
					m.now = m.now.Add(moved)
					failed = d.ready(address)
					m.now = m.now.Add(-moved)
					return answer
				}
				order := func() {
					_, err := m.Order(m.ctx, m.now, d.number, protocol.Command{Kind: protocol.Restart})
					m.must(err)
					m.tick()
				}
				called := func() (at []string) {
					for _, n := range service.Sent()[before:] {
						at = append(at, string(n.Token))
					}
					return at[1:]
				}
				order()
				m.must(failed)
				m.equal("called for the order during which it told another address", called(), []string{address})
				order()
				m.equal("called for the next", called(), []string{address, address})
				if st := d.state(); st.Push.Unreachable {
					t.Errorf("%s, %+v: push %+v, want it reachable", st.Platform, answer, st.Push)
				}
			}
		}
	}
}

// TestHST084ChannelOfAnother: the newer claim to a channel wins.
func TestHST084ChannelOfAnother(t *testing.T) {
	m := newMixed(t)
	other := m.joins(protocol.Windows, "https://wns2-sim.notify.windows.com/?token=1")
	if !m.laptop.state().Push.Unreachable || other.state().Push.Unreachable {
		t.Errorf("laptop %+v, the other %+v, want the newer claim alone", m.laptop.state().Push, other.state().Push)
	}
}
