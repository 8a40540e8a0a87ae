package device

import (
	"context"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// twins are the lines about a serial number that two devices have, by what the wire calls the device.
func (l *lab) twins() map[string][]string {
	l.t.Helper()
	lines, err := l.store.Journal(context.Background(), store.LineFilter{}, 1000)
	l.must(err)
	out := map[string][]string{}
	for _, line := range lines {
		if line.What == delivery.WhatSameSerial {
			if line.Rule != "HST-051" || !strings.Contains(line.Detail, "rollcall devices delete") {
				l.t.Errorf("line %+v", line)
			}
			id := "nobody"
			for n := range 4 {
				if d, err := l.store.Device(context.Background(), udid(n)); err == nil && d == line.Device {
					id = udid(n)
				}
			}
			out[id] = append(out[id], line.Detail)
		}
	}
	return out
}

// Two machines with one serial number, as clones have, are both taken, and the journal says so of each and what to do: once for an
// enrolment, after a restart too, and not of one that has left (HST-051).
func TestHST051OneSerialNumber(t *testing.T) {
	l := newLab(t)
	enrols := func(n int, serial string) *phone {
		p := l.phone(udid(n))
		m := p.authenticate()
		m.SerialNumber = serial
		if a := p.send(m); a.status != 200 {
			t.Fatalf("answered %d", a.status)
		}
		p.send(p.tokenUpdate())
		return p
	}
	says := func(n int, serial string) {
		d := l.record(udid(n)).State.Device
		ev := delivery.Event{Kind: delivery.CheckInRound, Device: d}
		ev.Verb, ev.Credential = protocol.Report, delivery.Credential{Identity: l.record(udid(n)).State.Identity, Device: d}
		ev.Message.Device, ev.Facts = d, &delivery.Facts{Serial: serial}
		l.must(l.core.Handle(context.Background(), l.pnow(), &ev, new(delivery.Outcome)))
	}
	enrols(1, "VMware-56")
	enrols(2, "C02")
	if got := l.twins(); len(got) != 0 {
		t.Fatalf("with two serial numbers: %q", got)
	}
	enrols(3, "VMware-56")
	for range 2 { // it says so again
		says(3, "VMware-56")
		says(1, "VMware-56")
	}
	got := l.twins()
	if len(got) != 2 || len(got[udid(1)]) != 1 || len(got[udid(3)]) != 1 || !strings.Contains(got[udid(1)][0], udid(3)) || !strings.Contains(got[udid(3)][0], udid(1)) {
		t.Fatalf("the journal says %q", got)
	}
	core, err := server.Open(context.Background(), l.pnow(), server.Config{Store: l.store}) // after a restart
	l.must(err)
	l.core = core
	says(2, "VMware-56") // what it said before was wrong
	if got := l.twins(); len(got[udid(2)]) != 1 || len(got[udid(1)]) != 2 {
		t.Errorf("after a restart the journal says %q", got)
	}
	for _, n := range []int{1, 2, 3} {
		d := l.record(udid(n)).State
		ev := delivery.Event{Kind: delivery.CheckInRound, Device: d.Device}
		ev.Verb, ev.Credential, ev.Message.Device = protocol.Leave, delivery.Credential{Identity: d.Identity, Device: d.Device}, d.Device
		l.must(l.core.Handle(context.Background(), l.pnow(), &ev, new(delivery.Outcome)))
	}
	ev := delivery.Event{Kind: delivery.CheckInRound, ID: udid(0)}
	ev.Verb, ev.Platform, ev.Facts, ev.Topic = protocol.Enrol, protocol.IOS, &delivery.Facts{Serial: "VMware-56"}, testTopic
	ev.Credential = l.credential(store.Grant{Purpose: delivery.ForEnrolment, User: l.user})
	l.must(l.core.Handle(context.Background(), l.pnow(), &ev, new(delivery.Outcome)))
	if got := l.twins(); len(got[udid(0)]) != 0 {
		t.Errorf("of those that left the journal says %q", got)
	}
}

// credential is what the store knows of a new certificate.
func (l *lab) credential(g store.Grant) delivery.Credential {
	l.t.Helper()
	c, err := l.core.Credential(context.Background(), fingerprint(l.identity(g).Certificate))
	l.must(err)
	return c
}
