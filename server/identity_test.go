package server_test

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

func (x *tenant) wantErr(what string, err, want error) {
	x.Helper()
	if !errors.Is(err, want) {
		x.Errorf("%s = %v, want %v", what, err, want)
	}
}

func TestAPL008HST037HST041Issue(t *testing.T) {
	x := newTenant(t)
	challenge, err := x.Grant(x.ctx, x.now, store.Grant{Purpose: delivery.ForEnrolment, User: 1})
	x.must(err)
	if len(challenge) < 22 { // 128 bits in base64
		t.Errorf("challenge %q is too short", challenge)
	}
	_, err = x.Issue(x.ctx, x.now, x.claim(challenge+"x"))
	x.wantErr("an unknown challenge", err, server.ErrChallenge)
	_, err = x.Issue(x.ctx, x.now, x.claim(""))
	x.wantErr("no challenge", err, server.ErrChallenge)

	c := x.claim(challenge)
	made := 0
	inner := c.Make
	c.Make = func(g *store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
		made++
		return inner(g)
	}
	first, err := x.Issue(x.ctx, x.now, c)
	x.must(err)
	x.now = x.now.Add(23 * time.Hour) // long after the challenge's end
	again, err := x.Issue(x.ctx, x.now, c)
	x.must(err)
	if !bytes.Equal(first, again) || made != 1 {
		t.Errorf("the same request again got %x, at first %x; %d certificates made", again, first, made)
	}
	other := c
	other.Transaction = "another"
	_, err = x.Issue(x.ctx, x.now, other)
	x.wantErr("another transaction with a spent challenge", err, server.ErrSpent)
	_, err = x.Issue(x.ctx, x.now, x.claim(challenge))
	x.wantErr("another key with a spent challenge", err, server.ErrSpent)
	x.now = x.now.Add(time.Hour)
	_, err = x.Issue(x.ctx, x.now, c)
	x.wantErr("the same request a day later", err, server.ErrSpent)
}

func TestHST037Expired(t *testing.T) {
	x := newTenant(t)
	challenge, err := x.Grant(x.ctx, x.now, store.Grant{Purpose: delivery.ForEnrolment})
	x.must(err)
	x.now = x.now.Add(time.Hour)
	_, err = x.Issue(x.ctx, x.now, x.claim(challenge))
	x.wantErr("a challenge after an hour", err, server.ErrExpired)
}

func TestHST037TwoAtOnce(t *testing.T) {
	x := newTenant(t)
	challenge, err := x.Grant(x.ctx, x.now, store.Grant{Purpose: delivery.ForEnrolment})
	x.must(err)
	const n = 16
	claims := make([]server.Claim, n)
	for i := range claims {
		claims[i] = x.claim(challenge)
	}
	done := make(chan error)
	for _, c := range claims {
		go func() {
			_, err := x.Issue(x.ctx, x.now, c)
			done <- err
		}()
	}
	won := 0
	for range n {
		if err := <-done; err == nil {
			won++
		} else {
			x.wantErr("the loser's claim", err, server.ErrSpent)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d won, want one", won, n)
	}
}

func TestHST040KeyReuse(t *testing.T) {
	x := newTenant(t)
	grant := func() string {
		challenge, err := x.Grant(x.ctx, x.now, store.Grant{Purpose: delivery.ForEnrolment})
		x.must(err)
		return challenge
	}
	first := x.claim(grant())
	_, err := x.Issue(x.ctx, x.now, first)
	x.must(err)
	second := x.claim(grant())
	second.Key = first.Key
	_, err = x.Issue(x.ctx, x.now, second)
	x.wantErr("a key that another device has", err, server.ErrKeyReused)

	done := make(chan error)
	key := [32]byte{7}
	for range 8 { // eight devices with one key at once
		c := x.claim(grant())
		c.Key = key
		slow := c.Make
		c.Make = func(g *store.Grant) ([]byte, protocol.Time, protocol.Time, error) {
			for range 1000 {
				runtime.Gosched()
			}
			return slow(g)
		}
		go func() {
			_, err := x.Issue(x.ctx, x.now, c)
			done <- err
		}()
	}
	won := 0
	for range 8 {
		if <-done == nil {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d devices got a certificate for one key", won)
	}
}

func TestHST037FailedIssueSpendsNothing(t *testing.T) {
	x := newTenant(t)
	challenge, err := x.Grant(x.ctx, x.now, store.Grant{Purpose: delivery.ForEnrolment})
	x.must(err)
	c := x.claim(challenge)
	good, no := c.Make, errors.New("no")
	c.Make = func(*store.Grant) ([]byte, protocol.Time, protocol.Time, error) { return nil, 0, 0, no }
	_, err = x.Issue(x.ctx, x.now, c)
	x.wantErr("a certificate that cannot be made", err, no)
	c.Make = good
	if _, err = x.Issue(x.ctx, x.now, c); err != nil {
		t.Errorf("then = %v, want the certificate", err)
	}
}

// TestADEMayTryAgain: a device whose enrolment failed after its challenge was spent has only the profile it had.
func TestADEMayTryAgain(t *testing.T) {
	x := newTenant(t)
	challenge, err := x.Grant(x.ctx, x.now, store.Grant{Purpose: delivery.ForEnrolment, ID: "UDID-9", Serial: "C02", Automated: true})
	x.must(err)
	c := x.claim(challenge)
	first, err := x.Issue(x.ctx, x.now, c)
	x.must(err)
	again := x.claim(challenge)
	again.Key = c.Key
	second, err := x.Issue(x.ctx, x.now, again)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("another request with the same key = %x, %v, want the same certificate", second, err)
	}
	_, err = x.Issue(x.ctx, x.now, x.claim(challenge))
	x.wantErr("another key", err, server.ErrSpent)
	cred, err := x.Credential(x.ctx, fingerprint(first))
	x.must(err)
	if cred.ID != "UDID-9" || cred.Serial != "C02" || !cred.Automated || cred.Device != 0 {
		t.Errorf("credential %+v", cred)
	}
}

func TestGrantOfAKnownDeviceIsBoundToIt(t *testing.T) {
	x := newTenant(t)
	x.must(x.Consent(x.ctx, x.now, boss, server.ConsentADE))
	p := x.enrolled(1)
	p.certify(store.Grant{Purpose: delivery.ForEnrolment, User: 2, ID: p.id, Serial: "C02", Automated: true})
	cred, err := x.Credential(x.ctx, p.cert)
	x.must(err)
	if cred.Device != p.number {
		t.Errorf("credential %+v, want it bound to device %d", cred, p.number)
	}
	p.must(p.enrol())
	if p.state().User != 2 {
		t.Errorf("state %+v, want a new enrolment for user 2", p.state())
	}
}

func TestAPL091Renewal(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	x.upload(topic, 800*day)
	old := p.cert
	x.now = p.state().Identity.NotAfter.Add(-30 * day)
	ask := func() protocol.Command {
		p.must(p.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{}))
		return p.out.Reply.Command
	}
	first := ask()
	challenge := x.renewal
	if first.Kind != protocol.RenewIdentity || !strings.Contains(string(first.Payload), challenge) {
		t.Fatalf("handed out %+v", first)
	}
	x.now = x.now.Add(time.Hour)
	x.reopen()
	if again := ask(); !bytes.Equal(again.Payload, first.Payload) || again.ID != first.ID {
		t.Errorf("handed out %s again, at first %s", again.Payload, first.Payload)
	}
	claim := x.claim(challenge)
	der, err := x.Issue(x.ctx, x.now, claim)
	x.must(err)
	if st := p.state(); st.Rare.Read().Next.Fingerprint != fingerprint(der) || st.Identity.Fingerprint != old {
		t.Errorf("identity %x, next %x", st.Identity.Fingerprint[:4], st.Rare.Read().Next.Fingerprint[:4])
	}
	ask() // the old one still works: the new one was not used
	if second := ask(); !bytes.Equal(second.Payload, first.Payload) {
		t.Error("a spent renewal brings another challenge when it is handed out again")
	}
	p.cert = fingerprint(der)
	p.must(p.enrol())
	p.must(p.ready("renewed"))
	p.must(p.says(protocol.CheckIn{Verb: protocol.Report, Command: first.ID, Status: protocol.Acknowledged}, delivery.Message{}))
	if st := p.state(); st.Identity.Fingerprint != p.cert || st.Life != delivery.Enrolled || len(st.Queue) != 0 {
		t.Errorf("after the renewal: %+v", st)
	}
	p.cert = old
	x.refused(p.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{}), "HST-032")
	if len(x.journal(delivery.WhatOldIdentity)) != 1 || len(x.journal(delivery.WhatRenewed)) != 1 || len(x.journal(delivery.WhatIssued)) != 1 {
		t.Error("the journal lacks a line")
	}
}

// TestRenewalChallengeLives: a renewal that is deferred for weeks does not bring a dead challenge.
func TestRenewalChallengeLives(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	x.upload(topic, 800*day)
	x.now = p.state().Identity.NotAfter.Add(-40 * day)
	for range 36 {
		p.must(p.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{}))
		c := p.out.Reply.Command
		if c.Kind != protocol.RenewIdentity {
			t.Fatalf("handed out %+v", c)
		}
		p.must(p.says(protocol.CheckIn{Verb: protocol.Report, Command: c.ID, Status: protocol.NotNow}, delivery.Message{}))
		x.now = x.now.Add(day)
	}
	if _, err := x.Issue(x.ctx, x.now, x.claim(x.renewal)); err != nil {
		t.Errorf("Issue for the latest challenge = %v", err)
	}
}

// TestHST045Reissue: a device that renews again and again without using what it was given gets one identity an hour, and leaves nothing
// else behind.
func TestHST045Reissue(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	first := x.claim("")
	der, err := x.Reissue(x.ctx, x.now, p.cert, first)
	x.must(err)
	for range 5 {
		x.later(time.Minute)
		if _, err := x.Reissue(x.ctx, x.now, p.cert, x.claim("")); !errors.Is(err, server.ErrUnused) {
			t.Errorf("another one: %v", err)
		}
	}
	again, err := x.Reissue(x.ctx, x.now, p.cert, first)
	if err != nil || !bytes.Equal(again, der) { // HST-041
		t.Errorf("the same request again: %v", err)
	}
	x.now = x.now.Add(time.Hour)
	_, err = x.Reissue(x.ctx, x.now, p.cert, x.claim(""))
	x.must(err)
}

func TestAPL011Reissue(t *testing.T) {
	x := newTenant(t)
	p := x.enrolled(1)
	c := x.claim("")
	der, err := x.Reissue(x.ctx, x.now, p.cert, c)
	x.must(err)
	again, err := x.Reissue(x.ctx, x.now, p.cert, c)
	if err != nil || !bytes.Equal(der, again) {
		t.Errorf("the same request again = %x, %v, want the same certificate", again, err)
	}
	_, err = x.Reissue(x.ctx, x.now, delivery.Fingerprint{1}, x.claim(""))
	x.wantErr("by a foreign certificate", err, server.ErrPresent)
	_, err = x.Reissue(x.ctx, p.state().Identity.NotAfter, p.cert, x.claim(""))
	x.wantErr("by an expired one", err, server.ErrPresent)
	old := p.cert
	p.cert = fingerprint(der)
	p.drain() // the new one is used
	_, err = x.Reissue(x.ctx, x.now, old, x.claim(""))
	x.wantErr("by one that was replaced", err, server.ErrPresent)
	_, err = x.Order(x.ctx, x.now, p.number, protocol.Command{Kind: protocol.Retire})
	x.must(err)
	p.drain()
	_, err = x.Reissue(x.ctx, x.now, p.cert, x.claim(""))
	x.wantErr("by a revoked one", err, server.ErrPresent)
	unbound := x.newPhone(1)
	_, err = x.Reissue(x.ctx, x.now, unbound.cert, x.claim(""))
	x.wantErr("by one that never enrolled", err, server.ErrPresent)
}

// TestHST037Tickets: a link is one enrolment, however often it is opened.
func TestHST037Tickets(t *testing.T) {
	x := newTenant(t)
	token, err := x.Invite(x.ctx, x.now, 2, protocol.NoPlatform, 3*time.Hour)
	x.must(err)
	_, err = x.Issue(x.ctx, x.now, x.claim(token))
	x.wantErr("before the link is opened", err, server.ErrChallenge)
	x.wantErr("opening it too late", x.OpenTicket(x.ctx, x.now.Add(3*time.Hour), token), store.ErrNotFound)
	x.must(x.OpenTicket(x.ctx, x.now, token))
	_, err = x.Issue(x.ctx, x.now.Add(time.Hour), x.claim(token))
	x.wantErr("an hour after it was opened", err, server.ErrExpired)
	x.now = x.now.Add(2 * time.Hour)
	for range 2 {
		x.must(x.OpenTicket(x.ctx, x.now, token))
	}
	first := x.claim(token)
	der, err := x.Issue(x.ctx, x.now, first)
	x.must(err)
	if c, err := x.Credential(x.ctx, fingerprint(der)); err != nil || c.User != 2 || c.Purpose != delivery.ForEnrolment {
		t.Errorf("credential %+v, %v, want one of the link's user", c, err)
	}
	x.wantErr("opening it again", x.OpenTicket(x.ctx, x.now, token), store.ErrNotFound)
	if again, err := x.Issue(x.ctx, x.now, first); err != nil || !bytes.Equal(der, again) {
		t.Errorf("the same request again = %v, want the same certificate (APL-008)", err)
	}
	_, err = x.Issue(x.ctx, x.now, x.claim(token))
	x.wantErr("a second device", err, server.ErrSpent)
}
