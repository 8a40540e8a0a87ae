package delivery_test

import (
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

func TestAPL031EnrolledByFirstReady(t *testing.T) {
	p := newPhone(t)
	p.enrol()
	if p.s.Life != delivery.Enrolling || p.s.Wake.Due != 0 || len(p.s.Queue) != 0 || p.s.Registered != protocol.Unknown {
		t.Errorf("after Enrol: %+v, want no wake-up, no command, no authority", p.s)
	}
	if out := p.ask(); out.Reply.Kind != protocol.Done || out.Completed {
		t.Errorf("Ask before Ready = %+v, want nothing and no completed check-in", out)
	}
	if out := p.ready(); !out.Completed || p.s.Life != delivery.Enrolled || p.s.Registered != protocol.Intune || p.s.Epoch != 1 || p.s.EnrolledAt != p.now {
		t.Errorf("after Ready: %+v, want enrolled under intune in epoch 1", p.s)
	}
	if !p.noted(delivery.WhatEnrolled, "") || !p.noted(delivery.WhatRegistered, "AUTH-11 intune") {
		t.Errorf("journal %+v", p.out.Effects)
	}
	if p.s.Wake != (delivery.Wake{Due: p.now, Reason: delivery.Changed}) {
		t.Errorf("wake-up %+v, want one at once", p.s.Wake)
	}
	equal(t, "first commands", p.drain(), []protocol.CommandKind{
		protocol.DeviceInformation, protocol.SecurityInfo, protocol.InstallProfile, protocol.InstallProfile,
	})
	p.ready()
	if p.count(delivery.WhatEnrolled) != 1 || p.count(delivery.WhatRegistered) != 1 || len(p.s.Queue) != 0 {
		t.Errorf("the second Ready enrolled again: %+v", p.lines)
	}
}

// TestAUTH51ToldAtEnrolment: what a client of Configuration Manager says with its first word is in the journal once it is enrolled.
func TestAUTH51ToldAtEnrolment(t *testing.T) {
	for _, told := range []bool{true, false} {
		p := newPhone(t)
		p.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{
			Platform: protocol.Windows, CoManaged: true, Workloads: authority.Compliance, WorkloadsKnown: told, Facts: &delivery.Facts{Name: "pc"},
		})
		if p.count(delivery.WhatWorkloads) != 0 {
			t.Error("before it is enrolled")
		}
		if p.ready(); p.noted(delivery.WhatWorkloads, "AUTH-51 Intune decides compliance") != told {
			t.Errorf("told %v: %+v", told, p.lines)
		}
	}
}

func TestAPL032SecondReady(t *testing.T) {
	p := settled(t)
	p.now = p.now.Add(time.Hour)
	p.says(protocol.CheckIn{Verb: protocol.Ready}, delivery.Message{Topic: topic, Magic: "magic2", Token: []byte("token2")})
	want := delivery.Push{Topic: topic, Magic: "magic2", Token: []byte("token2"), Since: p.now}
	equal(t, "push address", p.s.Push, want)
	if string(p.s.Rare.Read().Unlock) != "unlock" {
		t.Errorf("unlock token %q, want the first one: none was given", p.s.Rare.Read().Unlock)
	}
	p.says(protocol.CheckIn{Verb: protocol.Ready}, delivery.Message{Topic: topic, Magic: "m", Token: []byte("t"), Unlock: []byte("unlock2")})
	if string(p.s.Rare.Read().Unlock) != "unlock2" {
		t.Errorf("unlock token %q, want the new one", p.s.Rare.Read().Unlock)
	}
}

func TestReadyKeepsNothingOfTheRequest(t *testing.T) {
	p := newPhone(t)
	p.enrol()
	token, unlock := []byte("token"), []byte("unlock")
	p.says(protocol.CheckIn{Verb: protocol.Ready}, delivery.Message{Topic: topic, Magic: "m", Token: token, Unlock: unlock})
	token[0], unlock[0] = 'X', 'X'
	if string(p.s.Push.Token) != "token" || string(p.s.Rare.Read().Unlock) != "unlock" {
		t.Errorf("state has %q and %q, slices of the request", p.s.Push.Token, p.s.Rare.Read().Unlock)
	}
}

func TestAPL034NewEnrolmentClears(t *testing.T) {
	p := settled(t)
	p.order(protocol.Command{Kind: protocol.Restart})
	p.says(protocol.CheckIn{Verb: protocol.PutEscrow}, delivery.Message{Escrow: []byte("escrow")})
	old := p.cred.Fingerprint
	p.cred = p.issue(delivery.ForEnrolment)
	p.enrol()
	s := p.s
	if s.Life != delivery.Enrolling || len(s.Queue) != 0 || len(s.Profiles) != 0 || s.Rare.Read().Unlock != nil || s.Rare.Read().Escrow != nil || s.Push.Token != nil || s.Wake.Due != 0 {
		t.Errorf("something of the old enrolment is left: %+v", s)
	}
	if s.Registered != protocol.Intune {
		t.Errorf("registered authority %s changed outside a completed check-in (I2)", s.Registered)
	}
	if !p.revoked[old] {
		t.Error("the old identity is still accepted")
	}
	if c := p.out.Commands; len(c) != 1 || c[0].Kind != protocol.Restart || !c[0].Final || c[0].Status != protocol.NoStatus {
		t.Errorf("history %+v, want the restart withdrawn", c)
	}
	p.ready()
	if p.count(delivery.WhatEnrolled) != 1 || p.s.Life != delivery.Enrolled {
		t.Errorf("not enrolled again: %+v", p.s)
	}
}

// renewing is a settled phone that was asked for a new identity and has it.
func renewing(t *testing.T) *phone {
	p := settled(t)
	p.says(protocol.CheckIn{Verb: protocol.PutEscrow}, delivery.Message{Escrow: []byte("escrow")})
	p.now = p.now.Add(330 * day)
	p.ask()
	if p.out.Reply.Command.Kind != protocol.RenewIdentity {
		t.Fatalf("reply %+v, want a renewal", p.out.Reply)
	}
	p.cred = p.issue(delivery.ForRenewal)
	return p
}

func TestAPL035APL092RenewalClearsNothing(t *testing.T) {
	p := renewing(t)
	renew := p.out.Reply.Command.ID
	p.order(protocol.Command{Kind: protocol.Restart})
	before := p.s
	p.enrol()
	if p.s.Life != delivery.Enrolled || p.count(delivery.WhatRenewed) != 1 {
		t.Fatalf("life %s after the renewal, journal %+v", p.s.Life, p.lines)
	}
	p.says(protocol.CheckIn{Verb: protocol.Ready}, delivery.Message{Topic: topic, Magic: "m2", Token: []byte("t2")})
	equal(t, "queue", p.s.Queue, before.Queue)
	equal(t, "profiles", p.s.Profiles, before.Profiles)
	equal(t, "bootstrap token", p.s.Rare.Read().Escrow, before.Rare.Read().Escrow)
	equal(t, "unlock token", p.s.Rare.Read().Unlock, before.Rare.Read().Unlock)
	equal(t, "authority", p.s.Registered, before.Registered)
	equal(t, "enrolled at", p.s.EnrolledAt, before.EnrolledAt)
	equal(t, "new identity", p.s.Identity, p.cred.Identity)
	if p.count(delivery.WhatEnrolled) != 0 {
		t.Error("enrolled again by a renewal")
	}
	p.reportOf(renew, protocol.Acknowledged)
	if p.out.Reply.Command.Kind != protocol.Restart {
		t.Errorf("reply %+v, want the pending restart", p.out.Reply)
	}
	if p.s.Rare.Read().Renewal != (delivery.Renewal{}) {
		t.Errorf("renewal %+v is still outstanding", p.s.Rare.Read().Renewal)
	}
}

func TestAPL092WipedDuringRenewal(t *testing.T) {
	t.Run("enrolment challenge", func(t *testing.T) {
		p := renewing(t)
		p.cred = p.issue(delivery.ForEnrolment)
		p.enrol()
		if p.s.Life != delivery.Enrolling || len(p.s.Queue) != 0 || p.s.Rare.Read().Escrow != nil || p.s.Rare.Read().Renewal != (delivery.Renewal{}) {
			t.Errorf("%+v, want a new enrolment", p.s)
		}
	})
	t.Run("awaiting configuration", func(t *testing.T) {
		p := renewing(t)
		p.enrol()
		p.says(protocol.CheckIn{Verb: protocol.Ready, Awaiting: true}, delivery.Message{Topic: topic, Magic: "m2", Token: []byte("t2")})
		if p.s.Rare.Read().Escrow != nil || p.s.EnrolledAt != p.now || !p.s.Awaiting || p.count(delivery.WhatEnrolled) != 1 {
			t.Errorf("%+v, want a new enrolment", p.s)
		}
		if p.s.Identity != p.cred.Identity {
			t.Errorf("identity %+v, want the one it speaks with", p.s.Identity)
		}
	})
}

func TestAPL036Leave(t *testing.T) {
	p := settled(t)
	p.order(protocol.Command{Kind: protocol.Restart})
	p.leave()
	if p.s.Life != delivery.Ended || p.s.EndedAt != p.now || p.s.Push.Token != nil || p.s.Wake.Due != 0 || len(p.s.Queue) != 0 {
		t.Errorf("after Leave: %+v", p.s)
	}
	if p.count(delivery.WhatEnded) != 1 {
		t.Errorf("journal %+v", p.lines)
	}
	for range 2 {
		if out := p.leave(); out.Refusal.Rule != "" || out.Changed != 0 || len(out.Effects) != 0 {
			t.Errorf("repeated Leave = %+v, want nothing", out)
		}
	}
	if out := p.order(protocol.Command{Kind: protocol.Restart}); out.Refusal.Rule == "" {
		t.Error("a command was queued for a device that left")
	}
	p.cred = p.issue(delivery.ForEnrolment) // AUTH-44
	p.enrol()
	p.ready()
	if p.s.Life != delivery.Enrolled || p.s.EndedAt != 0 {
		t.Errorf("after enrolling again: %+v", p.s)
	}
}

func TestAPL037Escrow(t *testing.T) {
	p := settled(t)
	get := func() string {
		out := p.says(protocol.CheckIn{Verb: protocol.GetEscrow}, delivery.Message{})
		if out.Reply.Kind != protocol.Escrow || out.Changed != 0 {
			t.Errorf("GetEscrow = %+v", out)
		}
		return string(out.Reply.Escrow)
	}
	if got := get(); got != "" {
		t.Errorf("escrow %q before any was stored", got)
	}
	if out := p.says(protocol.CheckIn{Verb: protocol.PutEscrow}, delivery.Message{Escrow: []byte("secret")}); out.Changed&delivery.Secrets == 0 {
		t.Errorf("PutEscrow changed %b, want the secrets", out.Changed)
	}
	if got := get(); got != "secret" {
		t.Errorf("escrow %q, want the one stored", got)
	}
	p.says(protocol.CheckIn{Verb: protocol.PutEscrow}, delivery.Message{})
	if got := get(); got != "" {
		t.Errorf("escrow %q after it was deleted", got)
	}
}

func TestAPL086Awaiting(t *testing.T) {
	p := newPhone(t)
	p.enrol()
	p.says(protocol.CheckIn{Verb: protocol.Ready, Awaiting: true}, delivery.Message{Topic: topic, Magic: "m", Token: []byte("t")})
	if p.s.Wake.Due != p.now {
		t.Fatalf("wake-up %+v, want one at once", p.s.Wake)
	}
	p.push(delivery.Accepted) // it does not connect: again soon, then ever more rarely
	for _, wait := range []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute} {
		if got := p.s.Wake.Due.Sub(p.now); got != wait || p.s.Wake.Reason != delivery.Retry {
			t.Fatalf("wake-up %+v in %s, want a retry in %s", p.s.Wake, got, wait)
		}
		p.now = p.s.Wake.Due
		p.push(delivery.Accepted)
	}
	kinds := p.drain()
	equal(t, "commands", kinds, []protocol.CommandKind{
		protocol.DeviceInformation, protocol.SecurityInfo, protocol.InstallProfile, protocol.InstallProfile, protocol.Configured,
	})
	if p.s.Awaiting || p.count(delivery.WhatConfigured) != 1 {
		t.Errorf("still awaiting: %+v", p.s)
	}
	if kinds := p.drain(); len(kinds) != 0 {
		t.Errorf("then %v, want nothing: DeviceConfigured once", kinds)
	}
}

func TestAPL086ConfiguredAgainAfterFailure(t *testing.T) {
	p := newPhone(t)
	p.enrol()
	p.says(protocol.CheckIn{Verb: protocol.Ready, Awaiting: true}, delivery.Message{Topic: topic, Magic: "m", Token: []byte("t")})
	p.ask()
	for p.out.Reply.Command.Kind != protocol.Configured {
		p.report(protocol.Acknowledged)
	}
	p.report(protocol.Failed)
	if !p.s.Awaiting {
		t.Fatal("let out of the setup assistant by a failure")
	}
	equal(t, "next conversation", p.drain(), []protocol.CommandKind{protocol.Configured})
}

func TestAPL087UserlessFollowsAUTH18(t *testing.T) {
	p := newPhone(t)
	p.cred.User, p.cred.Automated, p.cred.Serial, p.cred.ID = 0, true, "C02", p.id
	p.enrol()
	p.ready()
	if p.s.User != 0 || !p.s.Automated || p.s.Registered != protocol.Intune || !p.noted(delivery.WhatRegistered, "AUTH-19") {
		t.Errorf("%+v, want a userless, automated device under intune by AUTH-19", p.s)
	}
	equal(t, "commands of a device without user", p.drain(), []protocol.CommandKind{protocol.DeviceInformation, protocol.SecurityInfo})
}

func TestEnrolmentGates(t *testing.T) {
	for _, tt := range []struct {
		rule    protocol.Rule
		what    delivery.What
		prepare func(p *phone)
		retry   bool
	}{
		{"AUTH-01", delivery.WhatRefused, func(p *phone) { p.w.Tenant = authority.Tenant{} }, false},
		{"AUTH-19", delivery.WhatRefused, func(p *phone) { p.w.Tenant.Authority, p.cred.User = protocol.Office365, 0 }, false},
		{"AUTH-32", delivery.WhatRefused, func(p *phone) { p.w.Push.Topic = "com.apple.mgmt.External.other" }, false},
		{"AUTH-33", delivery.WhatRefused, func(p *phone) { p.w.Push.NotAfter = p.now }, true},
		{"AUTH-33", delivery.WhatRefused, func(p *phone) { p.w.Push = delivery.PushSlot{} }, true},
		{"AUTH-42", delivery.WhatRefused, func(p *phone) { p.cred.NotAfter = p.now }, false},
		{"AUTH-42", delivery.WhatRefused, func(p *phone) { p.revoked[p.cred.Fingerprint] = true }, false},
		{"HST-031", delivery.WhatRefused, func(p *phone) { p.cred.NotBefore = p.now + 1 }, false},
		{"HST-033", delivery.WhatWrongIdentity, func(p *phone) { p.bound[p.cred.Fingerprint] = 2 }, false},
		{"HST-037", delivery.WhatWrongIdentity, func(p *phone) { p.cred.ID = "UDID-2" }, false},
		{"HST-042", delivery.WhatWrongIdentity, func(p *phone) { p.cred.Serial = "C03" }, false},
	} {
		t.Run(string(tt.rule), func(t *testing.T) {
			p := newPhone(t)
			tt.prepare(p)
			p.enrol()
			p.refused(tt.rule, tt.what)
			if (p.out.Refusal.RetryAfter > 0) != tt.retry {
				t.Errorf("retry after %s, want one: %v", p.out.Refusal.RetryAfter, tt.retry)
			}
			if p.s.Life != delivery.NoLife {
				t.Errorf("life %s", p.s.Life)
			}
		})
	}
}

func TestAUTH46MacUnderOffice365(t *testing.T) {
	p := newPhone(t)
	p.w.Tenant.Authority = protocol.Office365
	p.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{Platform: protocol.MacOS, Topic: topic})
	p.refused("AUTH-46", delivery.WhatRefused)
	p.enrol() // a phone
	p.ready()
	if p.s.Registered != protocol.Office365 {
		t.Errorf("registered with %s, want office365", p.s.Registered)
	}
}

func TestHST042HST051SecondEnrolment(t *testing.T) {
	other := func(p *phone) delivery.Credential {
		c := p.issue(delivery.ForEnrolment)
		c.User = 2
		return c
	}
	t.Run("another user's", func(t *testing.T) {
		p := settled(t)
		own := p.cred
		p.cred = other(p)
		p.enrol()
		p.refused("HST-051", delivery.WhatDuplicate)
		p.cred = own
		if out := p.ask(); out.Refusal.Rule != "" {
			t.Errorf("the first device is refused: %+v", out.Refusal)
		}
	})
	t.Run("userless with a serial number alone", func(t *testing.T) {
		p := settled(t)
		p.cred = other(p)
		p.cred.User, p.cred.Serial = 0, "C02"
		p.enrol()
		p.refused("HST-051", delivery.WhatDuplicate)
	})
	t.Run("bound to this device", func(t *testing.T) {
		p := settled(t)
		p.cred = other(p)
		p.cred.User, p.cred.Serial, p.cred.ID, p.cred.Automated = 0, "C02", p.id, true
		p.enrol()
		if p.s.Life != delivery.Enrolling || p.s.User != 0 {
			t.Errorf("%+v, want a new enrolment", p.s)
		}
	})
	t.Run("after the first has ended", func(t *testing.T) {
		p := settled(t)
		p.leave()
		p.cred = other(p)
		p.enrol()
		if p.s.Life != delivery.Enrolling || p.s.User != 2 {
			t.Errorf("%+v, want a new enrolment of the other user", p.s)
		}
	})
	t.Run("before the first was complete", func(t *testing.T) {
		p := newPhone(t)
		p.enrol()
		own, old := p.cred, p.cred.Fingerprint
		p.cred = other(p)
		p.enrol()
		p.refused("HST-051", delivery.WhatDuplicate)
		p.cred = own // its user tries again
		if p.enrol(); p.out.Refusal.Rule != "" {
			t.Errorf("its own user is refused: %+v", p.out.Refusal)
		}
		p.now = p.now.Add(time.Hour) // it was given up
		p.cred = other(p)
		p.enrol()
		if p.s.Life != delivery.Enrolling || p.s.User != 2 || !p.revoked[old] {
			t.Errorf("%+v, want the second in place of the first", p.s)
		}
	})
	for _, tt := range []struct {
		name      string
		owner     delivery.UserID
		cred      delivery.Credential
		kind      protocol.Platform
		after     time.Duration
		displaces bool
	}{
		{"bound to its name before it came, for another user", 1, delivery.Credential{User: 2, ID: "UDID-1"}, protocol.IOS, 0, false},
		{"bound to its name before it came, for nobody", 0, delivery.Credential{ID: "UDID-1"}, protocol.IOS, 0, false},
		{"nobody's in place of nobody's", 0, delivery.Credential{}, protocol.IOS, 0, false},
		{"its user's of another kind", 1, delivery.Credential{User: 1}, protocol.Windows, 0, false},
		{"bound, of another kind", 0, delivery.Credential{ID: "UDID-1", Automated: true}, protocol.Windows, 0, false},
		{"its user's", 1, delivery.Credential{User: 1}, protocol.IPadOS, 0, true},
		{"nobody's, when its identity has ended", 0, delivery.Credential{}, protocol.IOS, 365 * day, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPhone(t)
			p.cred.User = tt.owner
			p.enrol()
			p.ready()
			owner := p.cred
			p.now = p.now.Add(tt.after)
			c := p.issue(delivery.ForEnrolment)
			c.User, c.ID, c.Automated = tt.cred.User, tt.cred.ID, tt.cred.Automated
			p.cred = c
			p.says(protocol.CheckIn{Verb: protocol.Enrol}, delivery.Message{Platform: tt.kind, Topic: topic})
			if tt.displaces {
				if p.s.Life != delivery.Enrolling || !p.revoked[owner.Fingerprint] {
					t.Errorf("%+v, want a new enrolment", p.s)
				}
				return
			}
			p.refused("HST-051", delivery.WhatDuplicate)
			if p.s.Identity != owner.Identity || p.s.Platform != protocol.IOS {
				t.Errorf("%+v: the first device has lost its place", p.s)
			}
			if !p.revoked[c.Fingerprint] {
				t.Error("the refused identity waits until the first device has gone")
			}
		})
	}
}

func TestAUTH43CleanUp(t *testing.T) {
	p := settled(t)
	due := func() *delivery.Outcome { return p.event(delivery.Event{Kind: delivery.RecordDue}) }
	p.now = p.s.Identity.NotAfter.Add(180*day) - 1
	if out := due(); out.Changed != 0 {
		t.Error("removed before its time (I6)")
	}
	p.now++
	if out := due(); out.Changed&delivery.Gone == 0 || !p.noted(delivery.WhatRecordRemoved, "AUTH-43") {
		t.Errorf("outcome %+v, want the record gone", out)
	}
}

// TestHST045Unfinished: an enrolment that is begun and never finished leaves nothing, and one of a device that was enrolled
// before leaves the record of that (AUTH-43).
func TestHST045Unfinished(t *testing.T) {
	due := func(p *phone) *delivery.Outcome { return p.event(delivery.Event{Kind: delivery.RecordDue}) }
	p := newPhone(t)
	p.enrol()
	p.now = p.now.Add(day) - 1
	if out := due(p); out.Changed != 0 {
		t.Error("removed before its time")
	}
	p.now++
	if out := due(p); out.Changed&delivery.Gone == 0 || !p.noted(delivery.WhatRecordRemoved, "HST-045") || !p.revoked[p.cred.Fingerprint] {
		t.Errorf("outcome %+v, want the record gone", out)
	}

	p = settled(t)
	p.enrol()
	p.now = p.now.Add(day)
	if out := due(p); out.Changed&delivery.Gone != 0 || p.s.Life != delivery.Ended || p.s.Registered != protocol.Intune || !p.noted(delivery.WhatEnded, "HST-045") {
		t.Errorf("state %+v, want the enrolment ended and its record kept", p.s)
	}

	p = newPhone(t)
	p.enrol()
	p.w.Doubt = true // HST-110
	p.now = p.now.Add(day)
	if out := due(p); out.Changed != 0 {
		t.Errorf("outcome %+v while the clock is in doubt", out)
	}
}

// TestAPL031ReadySaysNothingNew: TokenUpdates that change nothing are not written, and anything new is.
func TestAPL031ReadySaysNothingNew(t *testing.T) {
	p := settled(t)
	written := 0
	for range 3 * 24 {
		p.now = p.now.Add(time.Hour)
		if p.ready(); p.out.Changed != 0 || len(p.out.Effects) > 0 || len(p.out.Commands) > 0 {
			written++
		}
		if p.s.Push.Since != p.now {
			t.Fatalf("address of %s at %s: an older report of the push service would be believed", p.s.Push.Since, p.now)
		}
	}
	if written != 0 {
		t.Errorf("%d of them were written", written)
	}
	for name, change := range map[string]func(s *delivery.State){
		"token": func(s *delivery.State) { s.Push.Token = []byte("another") }, "magic": func(s *delivery.State) { s.Push.Magic = "another" },
		"topic": func(s *delivery.State) { s.Push.Topic = "another" }, "unreachable": func(s *delivery.State) { s.Push.Unreachable = true },
	} {
		change(&p.s)
		if p.ready(); p.out.Changed&delivery.Address == 0 {
			t.Errorf("%s: nothing is written", name)
		}
	}
}
