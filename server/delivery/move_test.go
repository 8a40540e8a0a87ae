package delivery_test

import (
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// TestAUTH29Compliance: the device's own state and the directory's are right at once, the console may lag.
func TestAUTH29Compliance(t *testing.T) {
	p := settled(t)
	at := p.now
	p.now = p.now.Add(day)
	equal(t, "in contact", p.w.Compliance(p.now, &p.s), delivery.Compliance{Device: true, Reported: at, Directory: true, Console: true, ConsoleSince: at})
	p.w.Settings.Validity = 3 * day
	equal(t, "AUTH-49: no report", p.w.Compliance(p.now.Add(3*day), &p.s), delivery.Compliance{Device: true, Reported: at, ConsoleSince: at})

	p.w.Tenant = authority.Tenant{Authority: protocol.SCCM, Epoch: 2, ChangedAt: p.now}
	p.w.Profiles = append(p.w.Profiles, delivery.Profile{Name: "new", Family: protocol.WiFi, Authority: protocol.SCCM, Identifier: "org.new"})
	p.w.Sets = append(p.w.Sets, delivery.Set{Version: 99, Profiles: []protocol.Profile{protocol.Profile(len(p.w.Profiles) - 1)}})
	p.w.Users[1].Sets[protocol.SCCM] = 2
	changed := p.now
	equal(t, "right after the change", p.w.Compliance(p.now, &p.s), delivery.Compliance{Reported: at, Console: true, ConsoleSince: at})
	p.drain()
	p.now = p.now.Add(day)
	equal(t, "moved, and the console lags", p.w.Compliance(p.now, &p.s), delivery.Compliance{Device: true, Reported: changed, Directory: true, Console: true, ConsoleSince: at})
	p.now = changed.Add(7 * day)
	p.ask()
	equal(t, "seven days later", p.w.Compliance(p.now, &p.s), delivery.Compliance{Device: true, Reported: p.now, Directory: true, Console: true, ConsoleSince: p.now})
}

// TestAUTH29TheReportOfBefore: the console shows what the device had reported when the tenant changed, be that good or bad or
// too old, and whatever the gap holds back; not what it reports since.
func TestAUTH29TheReportOfBefore(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(p *phone)
		want   bool
	}{
		{"it complied", func(*phone) {}, true},
		{"a profile had failed", func(p *phone) {
			p.s.Profiles[0].State, p.s.Set = delivery.InstallFailed, delivery.Unsettled
		}, false},
		{"a change was under way", func(p *phone) { p.s.Set = delivery.Unfinished }, false},
		{"a profile was on its way", func(p *phone) { p.s.Profiles[0].State = delivery.Installing }, false},
		{"the report had been too old", func(p *phone) { p.now = p.now.Add(31 * day) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := settled(t)
			at := p.now
			p.now = p.now.Add(day)
			tt.before(p)
			p.w.Tenant = authority.Tenant{Authority: protocol.SCCM, Epoch: 2, ChangedAt: p.now}
			p.w.Gap = p.now
			check := func(when string) {
				t.Helper()
				if c := p.w.Compliance(p.now, &p.s); c.Console != tt.want || c.ConsoleSince != at {
					t.Errorf("%s the console shows %v as of %s, want %v as of %s", when, c.Console, c.ConsoleSince, tt.want, at)
				}
			}
			check("right after the change")
			p.now = p.now.Add(time.Hour)
			p.ask()
			if p.out.Refusal.Rule != protocol.RulePushGap {
				t.Fatalf("refusal %+v", p.out.Refusal)
			}
			check("in the gap")
			p.w.Gap = 0
			p.drain()
			check("afterwards")
			if c := p.w.Compliance(p.now, &p.s); !c.Device || !c.Directory || c.Reported == at {
				t.Errorf("the device and the directory: %+v", c)
			}
		})
	}
}

// TestAUTH29BeforeItHears: what it reports in conversations in which it does not hear of the change is not of before.
func TestAUTH29BeforeItHears(t *testing.T) {
	for _, tt := range []struct {
		name  string
		batch delivery.Batch
	}{
		{"lost", delivery.Batch{Phase: delivery.Asking, Untold: true}},
		{"partial", delivery.Batch{Phase: delivery.Partial}},
		{"its user's", delivery.Batch{UserAlone: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := settled(t)
			at := p.now
			p.now = p.now.Add(day)
			p.w.Tenant = authority.Tenant{Authority: protocol.SCCM, Epoch: 2, ChangedAt: p.now}
			check := func(heard bool) {
				t.Helper()
				if c := p.w.Compliance(p.now, &p.s); c.ConsoleSince != at || !c.Console || (p.s.Heard == 2) != heard {
					t.Errorf("the console shows %v as of %s, want that of %s; heard of %d", c.Console, c.ConsoleSince, at, p.s.Heard)
				}
			}
			for range 2 {
				p.now = p.now.Add(time.Hour)
				p.asks(tt.batch)
				check(false)
			}
			p.now = p.now.Add(time.Hour)
			p.tells(delivery.Batch{})
			check(true)
		})
	}
}

// TestSteadyAskAfterAChange costs no memory under coexistence either.
func TestSteadyAskAfterAChange(t *testing.T) {
	p := settled(t)
	p.w.Tenant = authority.Tenant{Authority: protocol.Office365, Coexistence: true, Epoch: 2, ChangedAt: p.now}
	p.w.Users[1].IntuneLicence = true
	p.drain()
	if p.s.Epoch != 2 || p.s.Registered != protocol.Intune {
		t.Fatalf("registered with %s in epoch %d", p.s.Registered, p.s.Epoch)
	}
	m := delivery.Message{CheckIn: protocol.CheckIn{Verb: protocol.Ask}, Credential: p.cred}
	m.Credential.Device = 1
	in := delivery.Event{Kind: delivery.CheckInRound, Device: 1, Message: m}
	now := p.now.Add(time.Hour)
	if n := testing.AllocsPerRun(100, func() { delivery.Decide(now, p.w, &p.s, &in, &p.out) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if p.out.Changed != 0 || p.out.Reply.Notice.Epoch != 2 {
		t.Errorf("outcome %+v", p.out)
	}
}

// TestAUTH31GapWithRenewal: an identity that was renewed in the gap is used afterwards; in the gap nothing changes.
func TestAUTH31GapWithRenewal(t *testing.T) {
	p := settled(t)
	p.w.Tenant = authority.Tenant{Authority: protocol.SCCM, Epoch: 2, ChangedAt: p.now}
	p.w.Gap = p.now
	old := p.cred
	p.cred = p.issue(delivery.ForRenewal)
	p.enrol()
	if p.out.Refusal.Rule != protocol.RulePushGap || p.s.Identity != old.Identity || p.revoked[old.Fingerprint] {
		t.Fatalf("refusal %+v, identity %+v: in the gap nothing changes", p.out.Refusal, p.s.Identity)
	}
	if p.leave(); p.out.Refusal.Rule != "" {
		t.Errorf("a farewell is refused by %s", p.out.Refusal.Rule)
	}
}

// TestAUTH23Failed: at the check-in that a licence moves it with, every profile of BMS leaves, also one whose namesake did
// not install in its place. That is tried again as any other.
func TestAUTH23Failed(t *testing.T) {
	p := newPhone(t)
	p.w.Tenant = authority.Tenant{Authority: protocol.Office365, Coexistence: true, Epoch: 1, ChangedAt: start}
	p.w.Profiles = append(p.w.Profiles, delivery.Profile{Name: "mail", Family: protocol.Email, Authority: protocol.Office365, Identifier: "org.mail"})
	bms := protocol.Profile(len(p.w.Profiles) - 1)
	p.w.Sets = append(p.w.Sets, delivery.Set{Version: 12, Profiles: []protocol.Profile{bms}})
	p.w.Users[1].BasicLicence, p.w.Users[1].Sets[protocol.Office365] = true, 2
	p.enrol()
	p.ready()
	p.drain()
	equal(t, "under BMS", p.profiles(), "mail5 installed")

	p.w.Users[1].IntuneLicence = true
	p.now = p.now.Add(day)
	var said []string
	p.ask()
	for p.out.Reply.Kind == protocol.Work {
		c := p.out.Reply.Command
		said = append(said, c.Kind.String()+" "+p.w.Profiles[c.Profile].Name)
		if len(said) > 20 {
			t.Fatalf("the conversation does not end: %v", said)
		}
		if c.Kind == protocol.InstallProfile && c.Profile == mail {
			p.report(protocol.Failed)
		} else {
			p.report(protocol.Acknowledged)
		}
	}
	equal(t, "the check-in", said, []string{"InstallProfile wifi", "InstallProfile mail", "RemoveProfile mail"})
	if p.s.Registered != protocol.Intune || p.count(delivery.WhatRedundant) != 0 || p.count(delivery.WhatMoved) != 1 {
		t.Errorf("registered with %s, journal %+v", p.s.Registered, p.lines)
	}
	p.drain()
	equal(t, "at the next check-in", p.profiles(), "wifi1 installed; mail3 installed")
}

// TestAUTH27Failed: where the tenant changed, a profile whose namesake does not install has its seven days, and no more,
// however often that was tried.
func TestAUTH27Failed(t *testing.T) {
	p := settled(t)
	p.w.Tenant = authority.Tenant{Authority: protocol.SCCM, Epoch: 2, ChangedAt: p.now}
	p.w.Profiles = append(p.w.Profiles, delivery.Profile{Name: "mail", Family: protocol.Email, Authority: protocol.SCCM, Identifier: "org.mail"})
	next := protocol.Profile(len(p.w.Profiles) - 1)
	p.w.Sets = append(p.w.Sets, delivery.Set{Version: 99, Profiles: []protocol.Profile{next}})
	p.w.Users[1].Sets[protocol.SCCM] = 2
	removed := map[string]int{}
	for range 5 * 8 {
		p.now = p.now.Add(day / 5)
		p.ask()
		for p.out.Reply.Kind == protocol.Work {
			c := p.out.Reply.Command
			if c.Kind == protocol.RemoveProfile {
				if removed[p.w.Profiles[c.Profile].Name]++; p.now < p.w.Tenant.ChangedAt.Add(7*day) {
					t.Errorf("%s taken off after %s", p.w.Profiles[c.Profile].Name, p.now.Sub(p.w.Tenant.ChangedAt))
				}
			}
			if c.Kind == protocol.InstallProfile {
				p.report(protocol.Failed)
			} else {
				p.report(protocol.Acknowledged)
			}
		}
	}
	equal(t, "taken off", removed, map[string]int{"wifi": 1, "mail": 1})
}

// TestAUTH26AtOnce: a profile that is there overwrites its namesake in the same conversation, also after another has failed in it.
func TestAUTH26AtOnce(t *testing.T) {
	p := settled(t)
	p.w.Tenant = authority.Tenant{Authority: protocol.SCCM, Epoch: 2, ChangedAt: p.now}
	n := protocol.Profile(len(p.w.Profiles))
	p.w.Profiles = append(p.w.Profiles,
		delivery.Profile{Name: "net", Family: protocol.Certificate, Authority: protocol.SCCM, Identifier: "org.net"},
		delivery.Profile{Name: "mail", Family: protocol.Email, Authority: protocol.SCCM, Identifier: "org.mail.sccm"})
	p.w.Sets = append(p.w.Sets, delivery.Set{Version: 99, Profiles: []protocol.Profile{n, n + 1}})
	p.w.Users[1].Sets[protocol.SCCM] = 2
	p.now = p.now.Add(day)
	p.ask()
	var said []string
	for p.out.Reply.Kind == protocol.Work {
		c := p.out.Reply.Command
		said = append(said, c.Kind.String()+" "+p.w.Profiles[c.Profile].Identifier)
		if c.Profile == n {
			p.report(protocol.Failed)
		} else {
			p.report(protocol.Acknowledged)
		}
	}
	equal(t, "the check-in", said, []string{"InstallProfile org.net", "InstallProfile org.mail.sccm", "RemoveProfile org.mail"})
}

// TestAUTH21Stuck: a profile that did not leave when it was unassigned, and is wanted again after changes of which nobody knows
// what the device heard, comes again as all others do: it may have dropped it (AUTH-27).
func TestAUTH21Stuck(t *testing.T) {
	for _, changes := range []uint32{0, 2} {
		p := settled(t)
		set := p.w.Sets[1]
		p.w.Sets[1] = delivery.Set{Version: 90}
		p.ask()
		for p.out.Reply.Kind == protocol.Work {
			p.report(protocol.Failed)
		}
		equal(t, "unassigned", p.profiles(), "wifi1 remove failed; mail3 remove failed")
		set.Version = 91
		p.w.Sets[1] = set
		p.w.Tenant.Epoch += changes
		p.w.Tenant.ChangedAt = p.now
		p.now = p.now.Add(day)
		want := []protocol.CommandKind(nil)
		if changes > 0 {
			want = []protocol.CommandKind{protocol.InstallProfile, protocol.InstallProfile}
		}
		equal(t, "at the check-in", p.drain(), want)
		equal(t, "assigned again", p.profiles(), "wifi1 installed; mail3 installed")
	}
}

// TestWIN068ClientGone: a PC whose Configuration Manager client has gone says so, and is not co-managed any more.
func TestWIN068ClientGone(t *testing.T) {
	p := settled(t)
	p.s.CoManaged, p.s.Told, p.s.Workloads = true, true, authority.Compliance
	p.says(protocol.CheckIn{Verb: protocol.Ask}, delivery.Message{Platform: protocol.Windows, WorkloadsKnown: true})
	if p.s.CoManaged || p.s.Told || p.s.Workloads != 0 || p.out.Changed&delivery.Core == 0 || p.count(delivery.WhatWorkloads) != 1 {
		t.Errorf("%+v", p.s)
	}
}
