package delivery_test

import (
	"testing"

	"rollcall/protocol"
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
