package conformance

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"rollcall/certs"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// How an enrolment begins, begins anew and ends.

var enrolmentStatements = []Statement{
	{
		ID: "APL-031", Suite: Apple, Class: OfApple, Must: true, passes: true, check: checkAPL031,
		Says:   "Authenticate alone enrols nobody: no listing, no command, no push; the first TokenUpdate does, once.",
		Source: "apple.md 5; Apple, Authenticate",
		Why:    "Other payloads may still fail: a server that counts the device then has one that was never managed, and pushes by the token of an enrolment that is over (Apple forum thread 738806). Enrol-time work that starts twice comes twice (fleet#12159).",
		How:    "A device says Authenticate, asks for work and is looked for; then it says TokenUpdate, is looked for, empties its queue, and comes again. Then it says Authenticate by another identity, as after a wipe, and is looked for again, and its old address watched.",
		Fix:    "Wait for TokenUpdate with everything that an enrolment starts, and forget token and magic at Authenticate.",
	},
	{
		ID: "APL-032", Suite: Apple, Class: OfApple, Must: true, passes: true, check: checkAPL032,
		Says:   "A later TokenUpdate replaces token and PushMagic, and does not start the work of an enrolment again.",
		Source: "apple.md 5; Apple, Token Update",
		Why:    "Tokens change; a server that keeps the first one pushes into the void. One that enrols again at each sends its first commands for ever (fleet#12159, nanomdm#16).",
		How:    "A second TokenUpdate with another token and magic, and no UnlockToken; then the queue is read, and the next push is looked for at both addresses. Whether the UnlockToken is kept nobody outside sees until a passcode is cleared by it, which no adapter orders.",
		Fix:    "Store the latest token and magic, and an UnlockToken only where one comes; act on the first TokenUpdate after an Authenticate only.",
	},
	{
		ID: "APL-033", Suite: Apple, Class: OfApple, Must: true, check: checkAPL033,
		Says:   "The bare Authenticate of an old iOS and one of a Mac with unknown keys are both taken.",
		Source: "apple.md 5",
		Why:    "iOS 9 sends six keys, macOS sends keys that no page names, as nanomdm's recorded messages show: strictness locks them out.",
		How:    "Two devices enrol, one with the least of keys, one with keys of its own invention.",
		Fix:    "Demand MessageType, Topic and an identifier; ignore what you do not know.",
	},
	{
		ID: "APL-034", Suite: Apple, Class: OfApple, Must: true, check: checkAPL034,
		Says:   "A device that enrols anew finds no command and no bootstrap token of its earlier enrolment, and no other device loses any.",
		Source: "apple.md 5",
		Why:    "An erased device that gets yesterday's erase command is erased again; records of two enrolments for one device lead to pushes with the old magic (Apple forum thread 738806).",
		How:    "Two Macs set bootstrap tokens, and a command is queued for each; one enrols again with a new identity; both queues and tokens are read.",
		Fix:    "Clear queue and tokens of this enrolment at its Authenticate, unless it is a renewal.",
	},
	{
		ID: "APL-036", Suite: Apple, Class: OfApple, Must: true, passes: true, check: checkAPL036,
		Says:   "CheckOut ends the enrolment and its pushes, a second one is answered 200 as well, and the device may enrol anew.",
		Source: "apple.md 5; Apple, Check Out",
		Why:    "A device that left and is still pushed and counted makes every figure wrong, and hides those that lost their management (fleet#25361).",
		How:    "A device says CheckOut twice; then it is looked for, where the adapter can; a command is queued for it, where the server takes one, and its address watched, where pushes are seen; at last it enrols again.",
		Fix:    "Mark the enrolment ended, forget its address, keep its history, answer 200 whatever was before.",
	},
	{
		ID: "HST-044.apple", Suite: Apple, Class: OfApple, Must: true, check: checkHST044Apple,
		Says:   "What a device brought to an enrolment that was refused half-way is not used up: challenge and identity serve when it comes again in good order.",
		Source: "hostile.md 3; apple.md 3.4, 10.3",
		Why:    "Devices try again with the profile that they have, and fetch no other: one whose challenge was spent by a failure is stuck until somebody sees to it (nanomdm#73).",
		How:    "A SCEP request with a byte of its signature changed, then the same challenge in good order; an Authenticate that breaks off and a TokenUpdate without a token, then each in good order.",
		Fix:    "Spend the challenge in the transaction that records the certificate, and bind the identity with the Authenticate that you take.",
	},
}

// wear lets the time go by in which what has to happen soon happens.
func (a *asking) wear() {
	a.settle()
	for range minutes {
		a.pass(time.Minute)
	}
}

// stays is a push to the device within some minutes, on a server with a true clock within its time to settle; nil: there
// is none.
func (p *phone) stays() *Push {
	p.a.wear()
	if got := p.a.Pushes.Got(p.token); len(got) > p.seen {
		return &got[len(got)-1]
	}
	return nil
}

func checkAPL031(a *asking) {
	p := a.identified(protocol.IOS)
	p.register()
	if x := p.send(p.authenticate()); x.Status != http.StatusOK {
		a.unasked("Authenticate was answered %s", x.answer())
	}
	x := p.send(p.idle())
	if id, _ := p.command(x); x.Status == http.StatusOK && id != "" {
		a.fail("after Authenticate alone a command is handed out")
	}
	if a.Steps.Known != nil && p.known().Enrolled {
		a.fail("after Authenticate alone the server holds the device for enrolled")
	}
	p.try(p.tokenUpdate())
	if a.Steps.Known != nil && !p.known().Enrolled {
		a.fail("after TokenUpdate the server does not hold the device for enrolled")
	}
	done := map[string]bool{}
	p.once(done)
	a.wear()
	p.missed() // for that work, or for what was left of it
	p.once(done)

	p.anew()
	if x := p.send(p.authenticate()); x.Status != http.StatusOK {
		a.fail("the Authenticate of a device that was wiped was answered %s", x.answer())
	}
	if a.Steps.Known != nil && p.known().Enrolled {
		a.fail("after the Authenticate of another enrolment alone the server holds the device for enrolled")
	}
	if a.Pushes != nil && p.stays() != nil {
		a.fail("after the Authenticate of another enrolment alone the device is pushed at its old address")
	}
	p.try(p.tokenUpdate())
}

// once acknowledges what the server has for the device, and wants none of it to be done already.
func (p *phone) once(done map[string]bool) {
	x := p.say(p.idle())
	for range 200 {
		id, c := p.command(x)
		if id == "" {
			return
		}
		key := string(apple.EncodeCommand(nil, "", c))
		if _, unread := c.(apple.Unknown); !unread && done[key] {
			p.a.fail("the work of an enrolment is begun twice: the device gets the same %s again", c.RequestType())
		}
		done[key] = true
		x = p.say(p.report(id, protocol.Acknowledged))
	}
	p.a.unasked("the server hands out commands without end")
}

func checkAPL032(a *asking) {
	p := a.enrolled(protocol.IOS)
	old := p.token
	p.magic += "-2"
	if a.Pushes != nil {
		p.token = a.Pushes.Register(p.mdm.Topic)
	} else {
		p.token = append(bytes.Clone(old[1:]), old[0])
	}
	m := p.tokenUpdate()
	m.UnlockToken = nil
	p.try(m)
	if id, c := p.command(p.say(p.idle())); id != "" {
		a.fail("a second TokenUpdate starts work again: %s", c.RequestType())
	}
	if a.Pushes == nil || a.Steps.Queue == nil {
		a.without("the next push at the new address: %s", a.blind())
		return
	}
	p.queue(1)
	got := p.pushed()
	if got == nil {
		a.fail("after a second TokenUpdate no push reaches the new token")
	}
	if magic, _ := apple.DecodePush(got.Body); magic != p.magic {
		a.fail("after a second TokenUpdate the old PushMagic is pushed")
	}
}

func checkAPL033(a *asking) {
	old := a.identified(protocol.IOS)
	old.register()
	bare := apple.Message{
		MessageType: apple.Authenticate, UDID: old.udid, Topic: old.mdm.Topic, OSVersion: "9.3.5", BuildVersion: "13G36", ProductName: "iPad2,5", SerialNumber: old.serial,
	}
	if x := old.send(bare); x.Status != http.StatusOK {
		a.fail("the Authenticate of an iOS 9 was answered %s", x.answer())
	}
	mac := a.identified(protocol.MacOS)
	mac.register()
	m := mac.authenticate()
	body := string(apple.EncodeMessage(nil, &m))
	body = strings.Replace(body, "<key>Topic</key>", "<key>Challenge</key><data>AAEC</data><key>RollcallUnknown</key><array><dict><key>a</key><true/></dict></array><key>Topic</key>", 1)
	url := mac.mdm.CheckInURL
	if url == "" {
		url = mac.mdm.ServerURL
	}
	if x := mac.put("Authenticate with unknown keys", url, apple.CheckInType, []byte(body), nil); x.Status != http.StatusOK {
		a.fail("an Authenticate with unknown keys was answered %s", x.answer())
	}
}

func checkAPL034(a *asking) {
	a.needs(a.Steps.Queue != nil, "queue a command")
	p, other := a.enrolled(protocol.MacOS), a.enrolled(protocol.MacOS)
	kept := true // else APL-037 tells it
	for _, q := range []*phone{p, other} {
		kept = q.send(apple.Message{MessageType: apple.SetBootstrapToken, UDID: q.udid, BootstrapToken: []byte("bootstrap of " + q.udid)}).Status == http.StatusOK && kept
	}
	old := p.queue(1)[0]
	others := other.queue(1)[0]
	p.anew()
	p.enrol()
	for _, id := range p.drain() {
		if old != "" && id == old {
			a.fail("the new enrolment got command %s, which was queued for the one before", id)
		}
	}
	if id, _ := other.command(other.try(other.idle())); id == "" || others != "" && id != others {
		a.fail("another device has lost its command")
	}
	if !kept {
		return
	}
	if token := p.bootstrap(); len(token) > 0 {
		a.fail("the new enrolment got the bootstrap token of the one before")
	}
	if token := other.bootstrap(); !bytes.Equal(token, []byte("bootstrap of "+other.udid)) {
		a.fail("another device has lost its bootstrap token")
	}
}

// bootstrap is the bootstrap token that the server gives back; nil: none, whichever way it says so, which is APL-037's question.
func (p *phone) bootstrap() []byte {
	x := p.send(apple.Message{MessageType: apple.GetBootstrapToken, UDID: p.udid})
	token, err := apple.DecodeBootstrapToken(x.body)
	if err != nil || x.Status != http.StatusOK {
		return nil
	}
	return token
}

func checkAPL036(a *asking) {
	p := a.enrolled(protocol.IOS)
	if a.Pushes != nil {
		a.quiet(p)
	}
	out := apple.Message{MessageType: apple.CheckOut, UDID: p.udid, Topic: p.mdm.Topic}
	if x := p.send(out); x.Status != http.StatusOK {
		a.fail("CheckOut was answered %s", x.answer())
	}
	if x := p.send(out); x.Status != http.StatusOK {
		a.fail("a second CheckOut was answered %s", x.answer())
	}
	if a.Steps.Known != nil && p.known().Enrolled {
		a.fail("after CheckOut the server holds the device for enrolled")
	}
	if a.Pushes == nil || a.Steps.Queue == nil {
		a.without("that its pushes end: %s", a.blind())
	} else if p.tryQueue(); p.stays() != nil {
		a.fail("after CheckOut the device is pushed")
	}
	p.anew()
	for _, m := range []apple.Message{p.authenticate(), p.tokenUpdate()} {
		if x := p.send(m); x.Status != http.StatusOK {
			a.fail("%s of a device that left and enrols anew was answered %s", m.MessageType, x.answer())
		}
	}
}

// tryQueue queues a command for a device for which the server may refuse one.
func (p *phone) tryQueue() {
	ctx, cancel := p.a.administrator()
	defer cancel()
	_, _ = p.a.Steps.Queue(ctx, p.udid, target.Order{Kind: kinds[0]})
}

func checkHST044Apple(a *asking) {
	p := a.invited(protocol.IOS)
	r := p.request()
	altered := r.marshal()
	altered[len(altered)-1] ^= 1 // the last byte of the signature
	if c, _, _ := r.issued(r.post("PKCSReq with an altered signature", altered)); c != nil {
		a.unasked("a request whose signature does not verify got a certificate")
	}
	r.ask(p.scep.Challenge)
	c, _, err := r.issued(r.post("PKCSReq with the same challenge, in good order", r.marshal()))
	if err != nil {
		a.fail("after a request that was refused its challenge serves no more: %v", err)
	}
	p.own(certs.Signer{Certificate: c, Key: r.key})
	p.register()
	url := p.mdm.CheckInURL
	if url == "" {
		url = p.mdm.ServerURL
	}
	m := p.authenticate()
	body := apple.EncodeMessage(nil, &m)
	if x := p.put("an Authenticate that breaks off", url, apple.CheckInType, body[:len(body)/2], nil); x.Status/100 == 2 {
		a.unasked("an Authenticate that breaks off was answered %s", x.answer()) // APL-040 tells it
	}
	if x := p.send(m); x.Status != http.StatusOK {
		a.fail("after an Authenticate that was refused the one in good order was answered %s", x.answer())
	}
	bare := apple.Message{MessageType: apple.TokenUpdate, UDID: p.udid, Topic: p.mdm.Topic}
	p.send(bare) // whatever it is answered
	if x := p.send(p.tokenUpdate()); x.Status != http.StatusOK {
		a.fail("after a TokenUpdate that was refused the one in good order was answered %s", x.answer())
	}
}
