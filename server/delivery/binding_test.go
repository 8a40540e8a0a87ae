package delivery_test

import (
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

var verbs = []protocol.Verb{protocol.Ready, protocol.Ask, protocol.Report, protocol.Leave, protocol.PutEscrow, protocol.GetEscrow}

// speak sends a round of every verb and calls check after each.
func (p *phone) speak(check func()) {
	p.t.Helper()
	for _, v := range append([]protocol.Verb{protocol.Enrol}, verbs...) {
		p.says(protocol.CheckIn{Verb: v, Status: protocol.Acknowledged}, delivery.Message{
			Topic: topic, Magic: "x", Token: []byte("x"), Escrow: []byte("x"), Platform: protocol.IOS,
		})
		check()
	}
}

func TestAPL023HST033OtherDevice(t *testing.T) {
	p := settled(t)
	p.order(protocol.Command{Kind: protocol.Restart})
	own, before := p.cred, p.s
	p.cred = p.issue(delivery.ForEnrolment)
	p.bound[p.cred.Fingerprint] = 2
	p.speak(func() {
		p.refused("HST-033", delivery.WhatWrongIdentity)
		if e := p.out.Effects; len(e) != 2 || e[0].Device != 1 || e[1].Device != 2 {
			t.Errorf("journal %+v, want a line for both devices", e)
		}
	})
	equal(t, "state of the device that was named", p.s, before)
	p.cred = own
	if out := p.ask(); out.Reply.Command.Kind != protocol.Restart {
		t.Errorf("the device's own Ask = %+v, want its restart", out.Reply)
	}
}

func TestHST030UnboundIdentity(t *testing.T) {
	p := settled(t)
	p.cred = p.issue(delivery.ForEnrolment)
	for _, v := range verbs {
		p.says(protocol.CheckIn{Verb: v}, delivery.Message{Topic: topic})
		p.refused("HST-033", delivery.WhatWrongIdentity)
		if len(p.out.Effects) != 1 {
			t.Errorf("journal %+v, want one line", p.out.Effects)
		}
	}
	p.bound[p.cred.Fingerprint] = 1 // issued for this very device, which has to enrol with it first
	p.ask()
	p.refused("HST-032", delivery.WhatOldIdentity)
	q := newPhone(t) // no record at all
	q.ask()
	q.refused("HST-033", delivery.WhatWrongIdentity)
}

func TestHST031AtTheNextRequest(t *testing.T) {
	p := settled(t)
	p.order(protocol.Command{Kind: protocol.Restart})
	p.ask()
	p.now = p.cred.NotAfter // in the middle of a conversation
	p.report(protocol.Acknowledged)
	p.refused("AUTH-42", delivery.WhatRefused)

	q := settled(t)
	q.revoked[q.cred.Fingerprint] = true
	q.ask()
	q.refused("AUTH-42", delivery.WhatRefused)
}

func TestHST032OldIdentity(t *testing.T) {
	p := renewing(t)
	next, old := p.cred, p.cred
	old.Identity = p.s.Identity
	old.Purpose = delivery.ForEnrolment

	p.cred = old
	p.bound[old.Fingerprint] = 1
	if out := p.ask(); out.Refusal.Rule != "" {
		t.Fatalf("the old identity is refused before the new one was used: %+v", out.Refusal)
	}
	p.cred = next
	if p.ask(); p.out.Refusal.Rule != "" || p.s.Identity != next.Identity || !p.revoked[old.Fingerprint] {
		t.Fatalf("the first message with the new identity did not retire the old one: %+v", p.s.Identity)
	}
	p.cred = old
	p.speak(func() { p.refused("HST-032", delivery.WhatOldIdentity) })

	delete(p.revoked, old.Fingerprint) // as a connection remembers it that was opened before
	p.speak(func() { p.refused("HST-032", delivery.WhatOldIdentity) })
}

// Two things keep an identity out that was replaced, each by itself: that it is older than the device's own, which holds where a renewal had issued
// it as well, and that no renewal issued it, which holds however new it is (WIN-065, HST-032).
func TestWIN065WhatRetires(t *testing.T) {
	for _, tt := range []struct {
		name    string
		purpose delivery.Purpose
		age     time.Duration
		refused bool
	}{
		{"older, of a renewal", delivery.ForRenewal, time.Second, true},
		{"newer, of an enrolment", delivery.ForEnrolment, -time.Second, true},
		{"newer, of a renewal", delivery.ForRenewal, -time.Second, false},
	} {
		p := renewing(t)
		p.ask()
		other := p.issue(tt.purpose)
		other.NotBefore = p.s.Identity.NotBefore.Add(-tt.age)
		p.bound[other.Fingerprint] = 1
		p.cred = other
		if p.ask(); tt.refused {
			p.refused("HST-032", delivery.WhatOldIdentity)
		} else if p.out.Refusal.Rule != "" || p.s.Identity != other.Identity {
			t.Errorf("%s: %+v, %+v", tt.name, p.out.Refusal, p.s.Identity)
		}
	}
}

func TestHST034RenewalIsLinkedAtIssue(t *testing.T) {
	for _, first := range []protocol.Verb{protocol.Enrol, protocol.Ready, protocol.Ask, protocol.Report} {
		p := renewing(t) // the server has heard nothing of the new identity but its issue
		p.says(protocol.CheckIn{Verb: first}, delivery.Message{Topic: topic, Platform: protocol.IOS})
		if p.out.Refusal.Rule != "" || p.s.Identity != p.cred.Identity || p.s.Life != delivery.Enrolled {
			t.Errorf("%s with the renewed identity: refusal %+v, state %+v", first, p.out.Refusal, p.s)
		}
	}
}

func TestIdentityIssued(t *testing.T) {
	p := settled(t)
	next := p.issue(delivery.ForRenewal)
	out := p.event(delivery.Event{Kind: delivery.IdentityIssued, Message: delivery.Message{Credential: next}})
	if out.Changed != delivery.Core || p.s.Rare.Read().Next != next.Identity || p.s.Identity != p.cred.Identity || p.count(delivery.WhatIssued) != 1 {
		t.Errorf("outcome %+v", out)
	}
	p.cred = next
	if p.ask(); p.s.Rare.Read().Next != (delivery.Identity{}) || p.s.Identity != next.Identity {
		t.Errorf("after its first use: %+v, next %+v", p.s.Identity, p.s.Rare.Read().Next)
	}
}

func TestAPL091Renewal(t *testing.T) {
	p := settled(t)
	end := p.s.Identity.NotAfter
	p.now = end.Add(-42*day - time.Second)
	if kinds := p.drain(); len(kinds) != 0 {
		t.Fatalf("%v before the window", kinds)
	}
	p.now = end.Add(-42 * day)
	p.ask()
	asked := p.out.Reply.Command
	if asked.Kind != protocol.RenewIdentity || p.count(delivery.WhatRenewalAsked) != 1 || p.s.Rare.Read().Renewal.Command != asked.ID {
		t.Fatalf("reply %+v, want a renewal", p.out.Reply)
	}
	p.report(protocol.NotNow)
	for range 30 { // retried, and not doubled
		p.now = p.now.Add(8 * time.Hour)
		if p.ask(); p.out.Reply.Command.ID != asked.ID || len(p.s.Queue) != 1 {
			t.Fatalf("reply %+v, queue %+v, want the same renewal again", p.out.Reply, p.s.Queue)
		}
		p.report(protocol.NotNow)
	}
	p.ask()
	p.report(protocol.Failed)
	p.now = p.s.Rare.Read().Renewal.Asked.Add(7*day - time.Second)
	if kinds := p.drain(); len(kinds) != 0 {
		t.Fatalf("%v within a week of the failed try", kinds)
	}
	p.now = p.now.Add(time.Second)
	if p.ask(); p.out.Reply.Command.Kind != protocol.RenewIdentity || p.out.Reply.Command.ID == asked.ID || p.s.Rare.Read().Renewal.Tries != 2 {
		t.Fatalf("reply %+v, want a second try", p.out.Reply)
	}
	p.now = end
	p.ask()
	p.refused("AUTH-42", delivery.WhatRefused) // silent until it expired: never renewed
}
