package device

import (
	"net/http"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// Who manages a device is told to those that ask, and to nobody else.
func TestAUTH11WhoAsksIsToldWhoManages(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	for _, asked := range []http.Header{nil, {apple.ManagementHeader: {apple.AsksManagement}}} {
		a, err := p.do(http.MethodPut, commandPath, asked, encode(p.idle()))
		if err != nil || a.status != http.StatusOK {
			t.Fatal(a, err)
		}
		said := a.header.Get(apple.ManagementHeader)
		if asked == nil {
			if said != "" {
				t.Errorf("who does not ask is told %q", said)
			}
			continue
		}
		if m, err := apple.DecodeManagement(said); err != nil || m.Authority != protocol.Intune || m.Rule != protocol.RuleIntune || m.Since == 0 {
			t.Errorf("told %q: %+v, %v", said, m, err)
		}
	}
}

// A device that takes the place of one is told so when it begins to enrol, and not where that one had left (HST-032).
func TestHST032WhosePlaceIsTakenIsTold(t *testing.T) {
	l := newLab(t)
	asks := http.Header{apple.ManagementHeader: {apple.AsksManagement}, "Content-Type": {apple.CheckInType}}
	says := func(p *phone, m apple.Message) string {
		t.Helper()
		a, err := p.do(http.MethodPut, checkInPath, asks, encode(m))
		if err != nil || a.status != http.StatusOK {
			t.Fatal(a, err)
		}
		return a.header.Get(apple.ManagementHeader)
	}
	first := l.phone(udid(1))
	if said := says(first, first.authenticate()); said != "" {
		t.Errorf("the first is told %q", said)
	}
	says(first, first.tokenUpdate())
	since := l.record(first.id).State.EnrolledAt
	second := l.phone(udid(1))
	for range 2 { // the answer may be lost
		if m, err := apple.DecodeManagement(says(second, second.authenticate())); err != nil || m != (protocol.Management{Replaced: since}) || since == 0 {
			t.Errorf("the second is told %+v, %v; the first is enrolled since %d", m, err, since)
		}
	}
	if m, err := apple.DecodeManagement(says(second, second.tokenUpdate())); err != nil || m.Authority != protocol.Intune || m.Replaced != 0 {
		t.Errorf("once it is enrolled, it is told %+v, %v", m, err)
	}
	if a := second.send(apple.Message{MessageType: apple.CheckOut, UDID: second.id, Topic: testTopic}); a.status != http.StatusOK {
		t.Fatal(a)
	}
	third := l.phone(udid(1))
	if said := says(third, third.authenticate()); said != "" {
		t.Errorf("the third is told %q", said)
	}
}
