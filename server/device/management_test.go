package device

import (
	"net/http"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
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
	if m, err := apple.DecodeManagement(says(second, second.tokenUpdate())); err != nil || m.Authority != protocol.Intune || m.Replaced != since {
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

// A PC enrols with its first session, and hears in each answer whose place it took: the first ones may be lost (HST-032).
func TestHST032APCWhoseFirstAnswersAreLostIsTold(t *testing.T) {
	l := newWindowsLab(t)
	since := l.pc(pcID(1)).enrol().state().EnrolledAt
	p := l.pc(pcID(1))
	given, fault := p.ask(password(ada, l.ticketFor(l.user)), p.rst(windows.EnrollmentFull, csr(t, p.key)))
	if fault != nil {
		t.Fatal(fault)
	}
	asks := http.Header{apple.ManagementHeader: {apple.AsksManagement}, "Content-Type": {windows.SyncMLContentType}}
	for range 3 {
		p.wears(given.Client, p.key) // over a connection of its own
		a, err := p.do(http.MethodPost, windows.ManagementPath, asks, windows.EncodeMessage(nil, p.begin()))
		if err != nil || a.status != http.StatusOK {
			t.Fatal(a, err)
		}
		if m, err := apple.DecodeManagement(a.header.Get(apple.ManagementHeader)); err != nil || m.Authority != protocol.Intune || m.Replaced != since || since == 0 {
			t.Errorf("it is told %+v, %v; the first is enrolled since %d", m, err, since)
		}
	}
}
