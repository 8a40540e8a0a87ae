package conformance

import (
	"bytes"
	"net/http"
	"slices"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

var renewalStatements = []Statement{
	{
		ID: "APL-035", Suite: Apple, Class: OfApple, Must: true, alone: true, check: checkAPL035,
		Says:   "The Authenticate of a renewed identity clears nothing: what was queued comes afterwards.",
		Source: "apple.md 5, 11",
		Why:    "Servers that take it for a new enrolment lose the queue on every device, once a year (nanomdm; fleet#43098).",
		How:    "The clock goes into the renewal window; a device renews while a command waits behind, and then empties its queue.",
		Fix:    "Tell a renewal by the challenge from which the certificate was issued.",
	},
	{
		ID: "APL-090", Suite: Apple, Class: OfApple, Must: true, alone: true, check: checkAPL090,
		Says:   "The renewal profile differs from the installed one only where a device allows it.",
		Source: "apple.md 11",
		Why:    "Another ServerURL, Topic or one more right makes the device refuse the update, and its identity ends.",
		How:    "The clock goes into the renewal window; the profile that the server sends is held against the one of enrolment.",
		Fix:    "Build it from the stored enrolment, byte for byte, with a new challenge.",
	},
	{
		ID: "APL-091", Suite: Apple, Class: OfApple, Must: true, alone: true, check: checkAPL091,
		Says:   "In the last 42 days a check-in leads to exactly one renewal at a time; the old certificate works until the new one was used, and then is refused.",
		Source: "apple.md 11, 3.5; AUTH-41",
		Why:    "Devices with expired identities are lost for ever; renewals that start too late, miss devices or lock them out are a yearly theme (fleet#37880, micromdm#557, micromdm#1009).",
		How:    "The clock goes into the window; the device answers NotNow, comes again, renews, and then tries its old certificate.",
		Fix:    "Start early, one at a time, and retire the old certificate at the first use of the new.",
	},
	{
		ID: "APL-092", Suite: Apple, Class: OfApple, Must: true, alone: true, check: checkAPL092,
		Says:   "Bootstrap token and authority survive a renewal; a device that was wiped and enrols anew while its renewal waits finds nothing of before.",
		Source: "apple.md 11",
		Why:    "The token is not sent again: losing it broke remote erase in a shipped product (fleet#41167). And a wiped device whose enrolment passes for a renewal gets yesterday's commands and misses today's (fleet#41523, #48486, #48661).",
		How:    "A Mac sets its bootstrap token, renews, and asks for it; who manages it is read before and after, where the adapter can. Another is wiped while its renewal waits: it enrols by a new profile, and its token and queue are read. APL-035 asks after the queue; the unlock token is seen by nobody outside.",
		Fix:    "Tell a renewal by the challenge from which the certificate was issued; clear tokens at a new enrolment only.",
	},
}

// late is an enrolled device whose identity ends in forty days.
func (a *asking) late(platform protocol.Platform) *phone {
	if a.Steps.Step == nil {
		a.skip("the server's clock cannot be set, and its identities live too long to wait for")
	}
	a.freshPush()
	p := a.enrolled(platform)
	a.stepTo(p.identity.Certificate.NotAfter.Add(-40 * 24 * time.Hour))
	p.as(p.identity) // connections do not last as long
	return p
}

// renewal waits for the InstallProfile with which the server renews the device's identity, acknowledging what comes before.
func (p *phone) renewal() (id string, e enrolment) {
	x := p.say(p.idle())
	for range 20 {
		id, c := p.command(x)
		if id == "" {
			p.a.fail("forty days before its identity ends a device gets no renewal")
		}
		if install, ok := c.(apple.InstallProfile); ok {
			if e, err := readEnrolment(install.Payload); err == nil {
				p.a.last = x
				return id, e
			}
		}
		x = p.say(p.report(id, protocol.Acknowledged))
	}
	p.a.unasked("the server hands out commands without end")
	return "", enrolment{}
}

// renew obtains the identity that e offers and says Authenticate and TokenUpdate with it. The old identity is returned.
func (p *phone) renew(id string, e enrolment) certs.Signer {
	old := p.identity
	e.anchors = p.anchors
	p.enrolment = e
	p.identify()
	p.member = p.who()
	for _, m := range []apple.Message{p.authenticate(), p.tokenUpdate()} {
		if x := p.send(m); x.Status != http.StatusOK {
			p.a.fail("%s with the renewed identity was answered %s", m.MessageType, x.answer())
		}
	}
	return old
}

func checkAPL035(a *asking) {
	p := a.late(protocol.IOS)
	id, e := p.renewal()
	want := p.queue(2)
	p.renew(id, e)
	next, _ := p.command(p.try(p.report(id, protocol.Acknowledged)))
	for i := range want {
		if next == "" {
			a.fail("after the renewal %d of %d commands that waited are gone", len(want)-i, len(want))
		}
		if want[i] != "" && next != want[i] {
			a.fail("after the renewal command %s comes, want %s", next, want[i])
		}
		next, _ = p.command(p.try(p.report(next, protocol.Acknowledged)))
	}
}

func checkAPL090(a *asking) {
	p := a.late(protocol.IOS)
	before := p.enrolment
	_, after := p.renewal()
	if before.document.Identifier != after.document.Identifier {
		a.fail("the renewal has the identifier %q, the enrolment profile %q: it would be added, not replace", after.document.Identifier, before.document.Identifier)
	}
	if err := before.mdm.CheckUpdate(after.mdm); err != nil {
		a.fail("the device would refuse it: %v", err)
	}
	if after.scep.Challenge == before.scep.Challenge {
		a.fail("the renewal has the challenge of the enrolment, which is spent")
	}
}

func checkAPL091(a *asking) {
	p := a.late(protocol.IOS)
	id, _ := p.renewal()
	x := p.try(p.report(id, protocol.NotNow))
	for range 5 { // it may be offered once more
		again, _ := p.command(x)
		if again == "" {
			break
		}
		if again != id {
			a.fail("while a renewal waits, command %s comes beside it", again)
		}
		x = p.try(p.report(again, protocol.NotNow))
	}
	again, e := p.renewal()
	if again != id {
		a.fail("the renewal that was answered NotNow came again as another command")
	}
	if x := p.send(p.idle()); x.Status != http.StatusOK {
		a.fail("before the new identity was used, the old one is answered %s", x.answer())
	}
	old := p.renew(id, e)
	for next, _ := p.command(p.try(p.report(id, protocol.Acknowledged))); next != ""; next, _ = p.command(p.say(p.report(next, protocol.Acknowledged))) {
	}
	now := p.identity
	p.as(old)
	x = p.send(p.idle())
	p.as(now)
	if x.Status/100 == 2 || x.timedOut() {
		a.fail("after the new identity was used, the old one is answered %s", x.answer())
	}
	if x := p.send(p.idle()); x.Status != http.StatusOK || len(x.body) != 0 {
		a.fail("after the renewal Idle is answered %s with %d bytes", x.answer(), len(x.body))
	}
}

func checkAPL092(a *asking) {
	wiped := a.enrolled(protocol.MacOS)
	p := a.late(protocol.MacOS)
	wiped.as(wiped.identity) // connections do not last as long
	token := []byte("bootstrap of " + p.udid)
	p.say(apple.Message{MessageType: apple.SetBootstrapToken, UDID: p.udid, BootstrapToken: token})
	manager := ""
	if a.Steps.Known != nil {
		manager = p.known().Authority
	}
	id, e := p.renewal()
	p.renew(id, e)
	if got := p.bootstrap(); !bytes.Equal(got, token) {
		a.fail("after the renewal the bootstrap token is gone (%d bytes)", len(got))
	}
	if a.Steps.Known == nil {
		a.without("who manages it before and after: the adapter %s does not tell", a.Steps.Name)
	} else if now := p.known().Authority; now != manager {
		a.fail("after the renewal the device is managed by %q, was by %q", now, manager)
	}

	wiped.say(apple.Message{MessageType: apple.SetBootstrapToken, UDID: wiped.udid, BootstrapToken: token})
	waits, _ := wiped.renewal()
	old := append(wiped.queue(1), waits)
	wiped.anew()
	wiped.enrol()
	if got := wiped.bootstrap(); len(got) > 0 {
		a.fail("a device that was wiped while its renewal waited gets its old bootstrap token")
	}
	for _, id := range wiped.drain() {
		if id != "" && slices.Contains(old, id) {
			a.fail("a device that was wiped while its renewal waited gets command %s of the enrolment before", id)
		}
	}
}
