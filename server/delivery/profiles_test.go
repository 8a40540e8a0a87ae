package delivery_test

import (
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

func TestProfilesAreInstalled(t *testing.T) {
	p := settled(t)
	equal(t, "profiles", p.profiles(), "wifi1 installed; mail3 installed")
	if p.s.Set != 11 {
		t.Errorf("reconciled with %d, want 11", p.s.Set)
	}
}

func TestNewVersionReplaces(t *testing.T) {
	p := settled(t)
	want(p.w, 12, wifi2, mail)
	p.ask()
	if c := p.out.Reply.Command; c.Kind != protocol.InstallProfile || c.Profile != wifi2 || len(p.s.Queue) != 1 {
		t.Fatalf("handed out %+v of %+v, want the new version alone", c, p.s.Queue)
	}
	equal(t, "meanwhile", p.profiles(), "wifi1 installed; wifi2 installing; mail3 installed")
	p.report(protocol.Acknowledged)
	equal(t, "then", p.profiles(), "wifi2 installed; mail3 installed")
	if p.count(delivery.WhatProfileInstalled) != 1 || p.count(delivery.WhatProfileRemoved) != 0 {
		t.Errorf("journal %+v", p.lines)
	}
}

func TestFailedVersionLeavesTheOld(t *testing.T) {
	p := settled(t)
	want(p.w, 12, wifi2, mail)
	for range 3 { // each in a conversation of its own
		p.ask()
		if c := p.out.Reply.Command; c.Profile != wifi2 {
			t.Fatalf("handed out %+v, want the new version", p.out.Reply)
		}
		p.report(protocol.Failed)
		p.gotNothing()
		equal(t, "profiles", p.profiles(), "wifi1 installed; wifi2 install failed; mail3 installed")
	}
	if kinds := p.drain(); len(kinds) != 0 || p.s.Set != 12 {
		t.Errorf("a fourth try: %v, set %d", kinds, p.s.Set)
	}
	want(p.w, 13, mail)
	p.drain()
	equal(t, "after it was unassigned", p.profiles(), "mail3 installed")
}

func TestAUTH55Unassigned(t *testing.T) {
	p := settled(t)
	want(p.w, 12, mail, restrictions)
	p.drain()
	want(p.w, 13)
	p.ask()
	for range 2 {
		c := p.out.Reply.Command
		if id := p.w.Profiles[c.Profile].Identifier; c.Kind != protocol.RemoveProfile || c.Text != id {
			t.Fatalf("handed out %+v, want the removal of %s", c, id)
		}
		p.report(protocol.Acknowledged)
	}
	p.gotNothing()
	equal(t, "profiles", p.profiles(), "")
	if p.count(delivery.WhatProfileRemoved) != 3 {
		t.Errorf("journal %+v, want three removals", p.lines)
	}
}

func TestUnassignedBeforeInstalled(t *testing.T) {
	p := newPhone(t)
	p.enrol()
	p.ready() // both installations are queued
	want(p.w, 12, mail)
	p.ask()
	p.report(protocol.Acknowledged)
	p.report(protocol.Acknowledged)
	// The installation may be on its way already, so it is not withdrawn: the removal follows it.
	equal(t, "waiting", p.profiles(), "wifi1 installing; mail3 installing")
	for p.out.Reply.Kind == protocol.Work {
		p.report(protocol.Acknowledged)
	}
	equal(t, "then", p.profiles(), "mail3 installed")
}

func TestAssignedAgainBeforeRemoved(t *testing.T) {
	p := settled(t)
	want(p.w, 12, mail)
	p.ask() // the removal of wifi is out
	want(p.w, 11, wifi1, mail)
	p.report(protocol.Acknowledged)
	equal(t, "then", p.profiles(), "wifi1 installing; mail3 installed")
	p.report(protocol.Acknowledged)
	equal(t, "at last", p.profiles(), "wifi1 installed; mail3 installed")
}

func TestOldVersionAgainBeforeTheNew(t *testing.T) {
	for answer, profiles := range map[protocol.Status]string{
		protocol.Acknowledged: "wifi1 installing; wifi2 installed; mail3 installed",
		protocol.Failed:       "wifi1 installed; wifi2 install failed; mail3 installed",
	} {
		p := settled(t)
		want(p.w, 12, wifi2, mail)
		p.ask() // the new version is out
		want(p.w, 11, wifi1, mail)
		p.report(answer)
		equal(t, "then", p.profiles(), profiles)
		for p.out.Reply.Kind == protocol.Work {
			p.report(protocol.Acknowledged)
		}
		p.drain()
		equal(t, "at last", p.profiles(), "wifi1 installed; mail3 installed")
	}
}

func TestWorldChangesInAConversation(t *testing.T) {
	p := settled(t)
	p.orders(protocol.SecurityInfo)
	p.ask()
	want(p.w, 12, wifi1, mail, restrictions)
	p.report(protocol.Acknowledged)
	if c := p.out.Reply.Command; c.Kind != protocol.InstallProfile || c.Profile != restrictions {
		t.Errorf("handed out %+v, want what was assigned meanwhile", p.out.Reply)
	}
}

func TestRemovalFails(t *testing.T) {
	p := settled(t)
	want(p.w, 12, mail)
	for range 3 {
		p.ask()
		p.report(protocol.Failed)
		p.gotNothing()
		equal(t, "profiles", p.profiles(), "wifi1 remove failed; mail3 installed")
	}
	if kinds := p.drain(); len(kinds) != 0 {
		t.Errorf("a fourth try: %v", kinds)
	}
	want(p.w, 13, wifi1, mail)
	p.drain()
	equal(t, "assigned again", p.profiles(), "wifi1 installed; mail3 installed")
}

// A profile is several commands to Windows: of one that failed the others may have been done. That goes when nobody wants it any more, and
// its namesake that was there before comes again over it (windows.md section 11).
func TestWIN038Remains(t *testing.T) {
	fails := func(t *testing.T) *phone {
		p := settled(t)
		p.s.Platform = protocol.Windows
		want(p.w, 12, wifi1, mail, restrictions)
		for range 3 {
			p.ask()
			p.report(protocol.Failed)
			p.gotNothing()
		}
		equal(t, "profiles", p.profiles(), "wifi1 installed; mail3 installed; restrictions4 install failed")
		want(p.w, 13, wifi1, mail)
		return p
	}
	handed := func(t *testing.T, p *phone, kind protocol.CommandKind, profile protocol.Profile) {
		t.Helper()
		if c := p.out.Reply.Command; c.Kind != kind || c.Profile != profile {
			t.Fatalf("handed out %+v, want %s of %d", p.out.Reply, kind, profile)
		}
	}
	t.Run("removed", func(t *testing.T) {
		p := fails(t)
		p.ask()
		handed(t, p, protocol.RemoveProfile, restrictions)
		p.report(protocol.Acknowledged)
		p.gotNothing()
		equal(t, "profiles", p.profiles(), "wifi1 installed; mail3 installed")
	})
	t.Run("the removal fails, and it is wanted again", func(t *testing.T) {
		p := fails(t)
		for range 3 {
			p.ask()
			handed(t, p, protocol.RemoveProfile, restrictions)
			p.report(protocol.Failed)
			p.gotNothing()
		}
		equal(t, "profiles", p.profiles(), "wifi1 installed; mail3 installed; restrictions4 remove failed")
		want(p.w, 14, wifi1, mail, restrictions)
		p.ask()
		handed(t, p, protocol.InstallProfile, restrictions)
	})
	t.Run("the version before is wanted again", func(t *testing.T) {
		p := settled(t)
		p.s.Platform = protocol.Windows
		want(p.w, 12, wifi2, mail)
		p.ask()
		p.report(protocol.Failed)
		want(p.w, 13, wifi1, mail)
		p.ask()
		handed(t, p, protocol.InstallProfile, wifi1)
		p.report(protocol.Acknowledged)
		p.gotNothing()
		equal(t, "profiles", p.profiles(), "wifi1 installed; mail3 installed")
	})
	t.Run("both versions go", func(t *testing.T) {
		p := settled(t)
		p.s.Platform = protocol.Windows
		want(p.w, 12, wifi2, mail)
		p.ask()
		want(p.w, 13, mail) // it is on its way
		p.report(protocol.Failed)
		handed(t, p, protocol.RemoveProfile, wifi1)
		p.report(protocol.Acknowledged)
		handed(t, p, protocol.RemoveProfile, wifi2)
		p.report(protocol.Acknowledged)
		p.gotNothing()
		equal(t, "profiles", p.profiles(), "mail3 installed")
	})
	t.Run("both versions go, the failed one being the older", func(t *testing.T) {
		p := settled(t)
		p.s.Platform = protocol.Windows
		want(p.w, 12, wifi2, mail)
		p.drain()
		want(p.w, 13, wifi1, mail)
		p.ask()
		p.report(protocol.Failed)
		want(p.w, 14, mail)
		p.ask()
		handed(t, p, protocol.RemoveProfile, wifi2)
		p.report(protocol.Acknowledged)
		handed(t, p, protocol.RemoveProfile, wifi1)
		p.report(protocol.Acknowledged)
		p.gotNothing()
		equal(t, "profiles", p.profiles(), "mail3 installed")
	})
	t.Run("the authority before's is no profile that stays for seven days (AUTH-27)", func(t *testing.T) {
		p := settled(t)
		p.s.Platform = protocol.Windows
		want(p.w, 12, wifi1, mail, restrictions)
		p.ask()
		p.report(protocol.Failed)
		p.w.Tenant = authority.Tenant{Authority: protocol.SCCM, Epoch: 2, ChangedAt: p.now}
		p.w.Profiles = append(p.w.Profiles, delivery.Profile{Name: "new", Family: protocol.WiFi, Authority: protocol.SCCM, Identifier: "org.new"})
		p.w.Sets = append(p.w.Sets, delivery.Set{Version: 99, Profiles: []protocol.Profile{protocol.Profile(len(p.w.Profiles) - 1)}})
		p.w.Users[1].Sets[protocol.SCCM] = 2
		for conversation, want := range []int{1, 1, 1, 0} {
			removals := 0
			for p.ask(); p.out.Reply.Kind == protocol.Work; {
				status := protocol.Acknowledged
				if c := p.out.Reply.Command; c.Kind == protocol.RemoveProfile {
					handed(t, p, protocol.RemoveProfile, restrictions)
					removals, status = removals+1, protocol.Failed
				}
				p.report(status)
			}
			if removals != want {
				t.Errorf("conversation %d: %d removals, want %d: %s", conversation+1, removals, want, p.profiles())
			}
			p.now = p.now.Add(time.Hour)
		}
		equal(t, "profiles", p.profiles(), "wifi1 installed; mail3 installed; restrictions4 remove failed; new5 installed")
	})
	t.Run("its removal fails, and so does its next version", func(t *testing.T) {
		p := settled(t)
		p.s.Platform = protocol.Windows
		want(p.w, 12, mail)
		p.drain()
		want(p.w, 13, wifi1, mail)
		p.ask()
		p.report(protocol.Failed)
		want(p.w, 14, mail)
		p.ask()
		handed(t, p, protocol.RemoveProfile, wifi1)
		p.report(protocol.Failed)
		want(p.w, 15, wifi2, mail)
		p.ask()
		handed(t, p, protocol.InstallProfile, wifi2)
		p.report(protocol.Failed)
		p.ask()
		handed(t, p, protocol.RemoveProfile, wifi1) // there is some of it, and nothing takes its place
		p.report(protocol.Acknowledged)
		p.gotNothing()
		p.ask()
		handed(t, p, protocol.InstallProfile, wifi2)
	})
	t.Run("unassigned on its way", func(t *testing.T) {
		p := settled(t)
		p.s.Platform = protocol.Windows
		want(p.w, 12, wifi1, mail, restrictions)
		p.ask()
		want(p.w, 13, wifi1, mail)
		p.report(protocol.Failed)
		handed(t, p, protocol.RemoveProfile, restrictions) // in the same conversation
	})
	t.Run("failed after it failed", func(t *testing.T) {
		p := settled(t)
		p.s.Platform = protocol.Windows
		want(p.w, 12, mail)
		p.drain()
		want(p.w, 13, wifi1, mail)
		p.ask()
		p.report(protocol.Failed)
		want(p.w, 14, wifi2, mail)
		p.ask()
		handed(t, p, protocol.InstallProfile, wifi2) // takes the place of what there is of the first
		p.report(protocol.Failed)
		p.ask()
		handed(t, p, protocol.RemoveProfile, wifi1) // which goes by itself
		p.report(protocol.Acknowledged)
		equal(t, "profiles", p.profiles(), "wifi2 install failed; mail3 installed")
	})
}
