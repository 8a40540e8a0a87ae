package server_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus/hooks/test"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/push"
)

func TestAPL106PushAfterCommit(t *testing.T) {
	x := newTenant(t)
	p := x.newPhone(1)
	p.must(p.enrol())
	x.later(23 * time.Hour)
	if got := x.since(0); len(got) != 0 {
		t.Fatalf("pushes %v before the first TokenUpdate", got)
	}
	p.must(p.ready("a"))
	x.tick()
	x.equal("pushes", x.since(0), []string{"a"})
	got := x.pushes.Sent()[0]
	want := push.Notification{Topic: topic, Magic: "magic a", Token: []byte("a"), Expires: x.now.Add(7 * day).Time()}
	x.equal("notification", got, want)

	x.pushes.Answer = func(push.Notification) push.Answer {
		if st := p.state(); len(st.Queue) == 0 || st.Queue[len(st.Queue)-1].Kind != protocol.Restart {
			t.Errorf("the push goes out before the command is kept: %+v", st.Queue)
		}
		return push.Answer{Result: delivery.Accepted}
	}
	_, err := x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: protocol.Restart})
	x.must(err)
	x.tick()
	if len(x.since(0)) != 2 {
		t.Errorf("%d pushes, want one more for the order", len(x.since(0)))
	}
}

func TestAPL104OnePushForTenCommands(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	n := len(x.since(0))
	for range 10 {
		_, err := x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: protocol.SecurityInfo})
		x.must(err)
	}
	x.tick()
	x.tick()
	if got := len(x.since(n)); got != 1 {
		t.Errorf("%d pushes, want one", got)
	}
}

func TestScheduledPushIsNotStored(t *testing.T) {
	x := newTenant(t)
	x.enrolled(1)
	n := len(x.since(0))
	for range 4 {
		x.now = x.next()
		x.tick()
	}
	for _, sent := range x.pushes.Sent()[n:] {
		if !sent.Expires.IsZero() {
			t.Errorf("a wake-up without work is kept until %s", sent.Expires)
		}
	}
	if len(x.since(n)) != 4 {
		t.Errorf("%d pushes, want four", len(x.since(n)))
	}
}

func TestAPL102Suspended(t *testing.T) {
	x := newTenant(t)
	var all []*phone
	for range 20 {
		all = append(all, x.enrolled(0))
	}
	x.pushes.Answer = func(push.Notification) push.Answer {
		return push.Answer{Result: delivery.TryLater, Suspend: true, Reason: "BadCertificate"}
	}
	order := func(p *phone) {
		_, err := x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: protocol.Restart})
		x.must(err)
	}
	for _, p := range all {
		order(p)
	}
	x.tick()
	if lines := x.journal(delivery.WhatPushSuspended); len(lines) != 1 {
		t.Errorf("journal %+v, want one alarm", lines)
	}
	n := len(x.since(0))
	x.later(48 * time.Hour)
	if got := x.since(n); len(got) != 0 {
		t.Errorf("pushes %v while the slot is suspended", got)
	}
	if next := x.next(); next != 0 && next < x.now.Add(day) {
		t.Errorf("next at %s, now %s: held wake-ups count", next, x.now)
	}
	for _, p := range all {
		if len(p.state().Queue) != 1 {
			t.Errorf("the queue of %s was not kept: %+v", p.id, p.state().Queue)
		}
	}
	x.reopen() // a restart changes nothing of it
	x.tick()
	if got := x.since(n); len(got) != 0 {
		t.Errorf("pushes %v after a restart", got)
	}

	x.pushes.Answer = nil
	x.upload(topic, 730*day)
	x.tick() // without a restart
	if got := x.since(n); len(got) != len(all) {
		t.Errorf("%d pushes after the upload, want %d (AUTH-31)", len(got), len(all))
	}
	x.equal("certificates taken into use", x.topics, []string{topic, topic, topic}) // first upload, restart, second upload
}

func TestAUTH33Expired(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	x.now = start.Add(366 * day)
	n := len(x.since(0))
	x.tick()
	if got := x.since(n); len(got) != 0 {
		t.Errorf("pushes %v under a certificate that has ended", got)
	}
	if next := x.next(); next != 0 && next <= x.now {
		t.Errorf("next at %s, now %s: held wake-ups count", next, x.now)
	}
	q := x.newPhone(1)
	x.refused(q.enrol(), protocol.RulePushExpired)
	x.upload(topic, 365*day)
	if next := x.next(); next == 0 || next > x.now {
		t.Errorf("next at %s after the upload, now %s", next, x.now)
	}
	x.tick()
	x.equal("pushes after the upload", x.since(n), []string{"token of " + p.id})
	x.must(q.enrol())
}

// TestAPL105: what the push service did not answer is sent again.
func TestAPL105ServiceFailsInABatch(t *testing.T) {
	x := newTenant(t)
	want := map[string]bool{}
	for range 50 {
		p := x.newPhone(0)
		p.must(p.enrol())
		p.must(p.ready(p.id))
		want[p.id] = true
	}
	var answers atomic.Int64
	x.pushes.Answer = func(push.Notification) push.Answer {
		if answers.Add(1) > 20 { // the connection went away in mid-batch
			return push.Answer{Result: delivery.TryLater, RetryAfter: 30 * time.Second}
		}
		return push.Answer{Result: delivery.Accepted}
	}
	x.tick()
	if got := len(x.since(0)); got != 50 {
		t.Errorf("%d pushes, want one for each", got)
	}
	x.pushes.Answer = nil
	x.later(29 * time.Second)
	if got := len(x.since(50)); got != 0 {
		t.Errorf("%d pushes before the time that the service asked for", got)
	}
	x.later(time.Second)
	if got := len(x.since(50)); got != 30 {
		t.Errorf("%d pushes, want the 30 that failed", got)
	}
}

func TestHST083PoisonIsAlone(t *testing.T) {
	x := newTenant(t)
	var all []*phone
	for range 5 {
		all = append(all, x.enrolled(1))
	}
	poison := all[0].number
	x.cfg.Store = &failing{x.store, func(d protocol.Device) bool { return d == poison }}
	x.reopen()
	x.now = x.now.Add(time.Hour)
	n := len(x.since(0))
	if err := x.Tick(x.ctx, x.now); err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("Tick = %v, want the failure of one device", err)
	}
	if got := x.since(n); len(got) != 5 {
		t.Errorf("pushes %v, want one for each: the first must not hold up the others", got)
	}
	for _, p := range all[1:] {
		if p.state().Wake.Due <= x.now {
			t.Errorf("%s is still due", p.id)
		}
	}
}

// TestHST084NewerClaimWins: a token that another enrolment says is its own is no longer the older one's, after a restart too,
// until that says so again.
func TestHST084NewerClaimWins(t *testing.T) {
	x := newTenant(t)
	a, b := x.enrolled(1), x.enrolled(1)
	x.reopen()
	x.must(b.ready("token of " + a.id))
	if !a.state().Push.Unreachable || b.state().Push.Unreachable {
		t.Errorf("unreachable: older %v, newer %v; want the older one alone", a.state().Push.Unreachable, b.state().Push.Unreachable)
	}
	x.must(b.ready("token of " + a.id)) // the same again changes nothing
	n := len(x.since(0))
	for _, p := range []*phone{a, b} {
		_, err := x.Order(x.ctx, x.now, p.number, protocol.Command{})
		x.must(err)
	}
	x.tick()
	if got := len(x.since(n)); got != 1 {
		t.Errorf("%d pushes to one token, want one", got)
	}
	x.must(a.ready("token of " + a.id))
	if a.state().Push.Unreachable || !b.state().Push.Unreachable {
		t.Errorf("unreachable: claimed again %v, displaced %v", a.state().Push.Unreachable, b.state().Push.Unreachable)
	}
	x.must(b.ready("its own")) // and a token of its own is nobody else's business
	if a.state().Push.Unreachable || b.state().Push.Unreachable {
		t.Error("a new token displaced somebody")
	}
}

// TestAUTH32WrongTopicIsUndone: an upload with another topic strands every device; one with the old topic, even one that
// ends sooner, reaches them all again.
func TestAUTH32WrongTopicIsUndone(t *testing.T) {
	x := newTenant(t)
	var accepted int
	x.pushes.Answer = func(n push.Notification) push.Answer { // as push.APNs answers
		if n.Topic != x.topics[len(x.topics)-1] {
			return push.Answer{Result: delivery.TryLater, RetryAfter: day}
		}
		accepted++
		return push.Answer{Result: delivery.Accepted}
	}
	p := x.enrolled(1)
	old := x.pem(topic, 300*day)
	_, err := x.UploadPush(x.ctx, x.now, x.pem("com.apple.mgmt.External.other", 730*day), "", "", true, 1)
	x.must(err)
	accepted = 0
	for range 3 {
		x.later(day)
	}
	if accepted != 0 || p.state().Push.Unreachable || len(x.journal(delivery.WhatUnreachable)) != 0 {
		t.Errorf("%d pushes reached a stranded device; unreachable %v, want it only stranded", accepted, p.state().Push.Unreachable)
	}
	up, err := x.UploadPush(x.ctx, x.now, old, "", "", false, 0)
	x.refused(err, protocol.RuleOtherTopic)
	if up.Stranded != 0 {
		t.Errorf("going back strands %d devices, want none", up.Stranded)
	}
	if _, err = x.UploadPush(x.ctx, x.now, old, "", "", true, 0); err != nil {
		t.Fatalf("a wrong upload cannot be undone (AUTH-34): %v", err)
	}
	x.later(time.Second)
	if accepted != 1 {
		t.Errorf("%d pushes at once after the old topic is back, want one (AUTH-31)", accepted)
	}
}

// TestDueStorm: many due at once, all sent, by due time.
func TestDueStorm(t *testing.T) {
	x := newTenant(t)
	const n = 2500 // more than one batch
	for i := range n {
		p := x.newPhone(0)
		p.must(p.enrol())
		p.must(p.ready(fmt.Sprint(i)))
	}
	x.tick()
	got := x.since(0)
	slices.Sort(got)
	if got = slices.Compact(got); len(got) != n || len(x.since(0)) != n {
		t.Errorf("%d pushes to %d devices, want %d", len(x.since(0)), len(got), n)
	}
}

func TestRun(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		x.ctx = ctx
		clock := func() protocol.Time { return x.now.Add(time.Since(began)) }
		done := make(chan error)
		x.reopen() // channels of this bubble
		go func() { done <- x.Server.Run(ctx, clock) }()

		n := len(x.since(0))
		time.Sleep(15*time.Minute + time.Second)
		synctest.Wait()
		x.equal("pushes by schedule", x.since(n), []string{"token of " + p.id})
		if _, err := x.Order(ctx, clock(), p.number, protocol.Command{}); err != nil { // wakes the sleeping Run
			t.Error(err)
		}
		synctest.Wait()
		if got := len(x.since(n)); got != 2 {
			t.Errorf("%d pushes, want one at once for the order", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestAUTH33Warnings(t *testing.T) {
	x := newTenant(t)
	log, hook := test.NewNullLogger()
	x.cfg.Log = log
	x.reopen()
	x.enrolled(1)
	var said []string
	for x.now = start.Add(330 * day); x.now < start.Add(367*day); x.now = x.now.Add(8 * time.Hour) {
		x.tick()
		for _, e := range hook.AllEntries() {
			said = append(said, fmt.Sprint(int64(x.now.Sub(start)/day), ": ", e.Message, " ", e.Data["days"]))
			if e.Data["apple_id"] != "admin@example.org" {
				t.Errorf("%s: fields %v, want the Apple ID to renew it with", e.Message, e.Data)
			}
		}
		hook.Reset()
	}
	x.equal("warnings", said, []string{
		"335: the push certificate ends soon 30",
		"351: the push certificate ends soon 14",
		"358: the push certificate ends soon 7",
		"364: the push certificate ends soon 1",
		"365: the push certificate has ended: Apple devices cannot be reached until a renewed one is uploaded <nil>",
	})
}

// While those who come have to wait, wake-ups go out few and far between: whom they reach comes too.
func TestHST111WakeUpsWait(t *testing.T) {
	const n = 600
	x := newTenant(t)
	for range n {
		x.enrolled(0)
	}
	x.later(time.Hour)
	var strained atomic.Bool
	strained.Store(true)
	x.cfg.Strained = strained.Load
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		x.ctx = ctx
		x.reopen()
		x.set(sccm)
		x.renew()
		before := len(x.since(0))
		clock := func() protocol.Time { return x.now.Add(time.Since(began)) }
		done := make(chan error)
		go func() { done <- x.Server.Run(ctx, clock) }()
		time.Sleep(9 * time.Second)
		if got := len(x.since(before)); got > 256 {
			t.Errorf("%d pushes within nine seconds of strain, want 256", got)
		}
		time.Sleep(2 * time.Second)
		if got := len(x.since(before)); got < 257 || got > 512 {
			t.Errorf("%d pushes within eleven seconds of strain, want 512: nobody is left out for ever", got)
		}
		strained.Store(false)
		time.Sleep(time.Second)
		if got := len(x.since(before)); got != n {
			t.Errorf("%d pushes in all, want %d", got, n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}
