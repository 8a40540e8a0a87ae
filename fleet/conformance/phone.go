package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A phone is one device of a run: it says what a check has it say.
type phone struct {
	a        *asking
	name     string // A, B, ... in exchanges
	platform protocol.Platform
	udid     string
	serial   string
	enrolment
	identity certs.Signer
	issued   []certs.Signer // all that it got, the newest last
	client   *http.Client

	token, unlock []byte
	magic         string
	seen          int    // pushes that were looked at
	member        string // as whom it enrolled; empty: it did not, or has left
}

// udidMark is where the UDIDs of all runs say whose they are.
const udidMark = "C0F0"

// ours tells whether a device is one of some run.
func ours(id string) bool {
	return len(id) == 25 && strings.HasPrefix(id, "0000"+udidMark+"-") || len(id) == 32 && strings.HasPrefix(id, pcMark)
}

// products are what devices of a platform say they are.
var products = map[protocol.Platform][2]string{
	protocol.IOS: {"iPhone14,5", "18.1"}, protocol.IPadOS: {"iPad13,4", "18.1"}, protocol.MacOS: {"Mac14,2", "15.1"},
}

// phone makes a device that has nothing yet.
func (a *asking) phone(p protocol.Platform) *phone {
	a.mu.Lock()
	a.made++
	n := a.made
	a.mu.Unlock()
	d := &phone{
		a: a, name: string(rune('A' + len(a.phones)%26)), platform: p, udid: fmt.Sprintf("0000%s-%s%08X", udidMark, a.label, n),
		serial: fmt.Sprintf("RC%s%04d", a.label, n), magic: fmt.Sprintf("magic-%s-%d", a.label, n),
	}
	d.token, d.unlock = make([]byte, 32), []byte("unlock-"+d.udid)
	rand.Read(d.token)
	a.phones = append(a.phones, d)
	return d
}

// invited is a device with its enrolment profile.
func (a *asking) invited(platform protocol.Platform) *phone {
	p := a.phone(platform)
	if err := p.fetch(); err != nil {
		a.unasked("no enrolment profile: %v", err)
	}
	return p
}

// identified is a device with the identity that its profile lets it have.
func (a *asking) identified(platform protocol.Platform) *phone {
	p := a.invited(platform)
	p.identify()
	return p
}

// enrolled is a device that is enrolled and has nothing left to do, on a server whose queue was tried.
func (a *asking) enrolled(platform protocol.Platform) *phone {
	p := a.standing(platform)
	a.probe()
	return p
}

func (a *asking) standing(platform protocol.Platform) *phone {
	p := a.identified(platform)
	p.enrol()
	p.drain()
	return p
}

// as gives p an identity.
func (p *phone) as(who certs.Signer) {
	p.identity = who
	p.client = p.a.clients.of(who, p.anchors)
}

// own gives p an identity that was issued to it.
func (p *phone) own(who certs.Signer) {
	p.issued = append(p.issued, who)
	p.as(who)
}

// anew gives an enrolled device another profile and identity, as one has that was wiped.
func (p *phone) anew() {
	if err := p.fetch(); err != nil {
		p.a.unasked("no enrolment profile: %v", err)
	}
	p.identify()
}

// rejoin enrols a device anew whose identity has ended.
func (p *phone) rejoin() {
	p.as(certs.Signer{})
	p.anew()
	p.say(p.authenticate())
	p.say(p.tokenUpdate())
}

// enrol says the two messages of an enrolment.
func (p *phone) enrol() {
	p.register()
	for _, m := range []apple.Message{p.authenticate(), p.tokenUpdate()} {
		if x := p.send(m); x.Status != http.StatusOK {
			p.a.unasked("no device could be enrolled: %s was answered %s", m.MessageType, x.answer())
		}
	}
}

// who is the device with its identity: a copy that speaks in another's name, or with another identity, is somebody else.
func (p *phone) who() string {
	if p.identity.Certificate == nil {
		return ""
	}
	return p.udid + string(p.identity.Certificate.Raw)
}

// register has the device counted among those that are to leave, and known to the push service.
func (p *phone) register() {
	if !slices.Contains(p.a.joined, p) { // else it enrols again
		p.a.joined = append(p.a.joined, p)
	}
	if p.a.Pushes != nil {
		p.token = p.a.Pushes.Register(p.mdm.Topic)
	}
}

func (p *phone) authenticate() apple.Message {
	product := products[p.platform]
	m := apple.Message{MessageType: apple.Authenticate, UDID: p.udid, Topic: p.mdm.Topic, OSVersion: product[1], BuildVersion: "22B83", ProductName: product[0], SerialNumber: p.serial}
	if p.platform == protocol.MacOS {
		m.DeviceName, m.Model, m.ModelName = "rollcall conform", "MNEH3", "MacBook Air"
	}
	return m
}

func (p *phone) tokenUpdate() apple.Message {
	m := apple.Message{MessageType: apple.TokenUpdate, UDID: p.udid, Topic: p.mdm.Topic, Token: p.token, PushMagic: p.magic}
	if p.platform != protocol.MacOS {
		m.UnlockToken = p.unlock
	}
	return m
}

func (p *phone) idle() apple.Message { return apple.Message{UDID: p.udid} }

func (p *phone) report(id string, s protocol.Status) apple.Message {
	return apple.Message{UDID: p.udid, Status: s, CommandUUID: id}
}

// drain acknowledges what the server has for the device, and returns the ids.
func (p *phone) drain() []string { return p.drainFrom(p.say(p.idle())) }

// drainFrom is drain where the server has answered with the first command already.
func (p *phone) drainFrom(x *Exchange) (ids []string) {
	for range 200 {
		id, _ := p.command(x)
		if id == "" {
			return ids
		}
		ids = append(ids, id)
		x = p.say(p.report(id, protocol.Acknowledged))
	}
	p.a.unasked("the server handed out 200 commands to a device that acknowledged each of them")
	return nil
}

// command reads the command of an answer; an empty id: there is none.
func (p *phone) command(x *Exchange) (string, apple.Command) {
	if len(bytes.TrimSpace(x.body)) == 0 {
		return "", nil
	}
	id, c, err := apple.DecodeCommand(x.body)
	if err != nil || id == "" {
		p.a.last = x
		p.a.unasked("the answer is no command: %v", err)
	}
	return id, c
}

// say sends what a check needs beforehand, and wants 200. What the check is about is for try.
func (p *phone) say(m apple.Message) *Exchange {
	x := p.send(m)
	if x.Status != http.StatusOK {
		p.a.unasked("%s was answered %s", x.What, x.answer())
	}
	return x
}

// try sends what the check is about, and fails it at anything but 200.
func (p *phone) try(m apple.Message) *Exchange {
	x := p.send(m)
	if x.Status != http.StatusOK {
		p.a.fail("%s was answered %s", x.What, x.answer())
	}
	return x
}

// send sends m where its kind belongs.
func (p *phone) send(m apple.Message) *Exchange {
	url, kind := p.mdm.ServerURL, apple.CommandType+"; charset=UTF-8"
	if m.MessageType != apple.NoMessageType {
		kind = apple.CheckInType
		if p.mdm.CheckInURL != "" {
			url = p.mdm.CheckInURL
		}
	}
	if m.MessageType == apple.CheckOut {
		p.member = ""
	}
	x := p.put(what(&m), url, kind, apple.EncodeMessage(nil, &m), nil)
	if m.MessageType == apple.TokenUpdate && !m.UserChannel() && x.Status == http.StatusOK {
		p.member = p.who()
	}
	return x
}

// what says a message in a few words.
func what(m *apple.Message) string {
	switch {
	case m.MessageType != apple.NoMessageType:
		return m.MessageType.String()
	case m.Status == protocol.NoStatus:
		return "Idle"
	}
	return m.Status.String() + " of " + m.CommandUUID
}

// put sends any body as a device would, signed if the profile says so.
func (p *phone) put(what, url, kind string, body []byte, header http.Header) *Exchange {
	h := http.Header{}
	if kind != "" {
		h.Set("Content-Type", kind)
	}
	h = p.signature(h, body)
	for name, values := range header {
		h[name] = values
	}
	return p.do(http.MethodPut, url, what, h, body)
}

// signature adds the device's signature over body to h, where its profile asks for one.
func (p *phone) signature(h http.Header, body []byte) http.Header {
	if p.mdm.SignMessage && p.identity.Certificate != nil {
		// What cannot be signed goes out unsigned, and the server says what it thinks of it.
		if sig, err := certs.SignDetached(body, p.identity, p.a.now()); err == nil {
			h.Set("Mdm-Signature", base64.StdEncoding.EncodeToString(sig))
		}
	}
	return h
}

// do sends one request and makes it the latest exchange. One that gets no answer has a status of 0.
func (p *phone) do(method, url, what string, header http.Header, body []byte) *Exchange {
	x := p.exchange(p.a.ctx, method, url, what, header, body)
	p.a.last = x
	if p.a.ctx.Err() != nil {
		p.a.unasked("the time for this check, or the run, is over")
	}
	return x
}

// exchange sends one request of the device, and takes note where the answer would end its enrolment.
func (p *phone) exchange(ctx context.Context, method, url, what string, header http.Header, body []byte) *Exchange {
	client := p.client
	if client == nil {
		client = p.a.clients.of(certs.Signer{}, p.anchors)
	}
	x := p.a.exchange(ctx, client, method, url, "device "+p.name+": "+what, header, body)
	if x.unenrols() && p.member != "" && p.member == p.who() && (url == p.mdm.ServerURL || url == p.mdm.CheckInURL) && !forUser(body) {
		p.a.removes(x)
	}
	return x
}

// forUser tells whether a body is a message of a user's channel, which may end where a device's may not (apple.md section 9).
func forUser(body []byte) bool {
	var m apple.Message
	return apple.DecodeMessage(body, &m) == nil && m.UserChannel()
}

// unenrols tells whether a device would take the answer for the end of its enrolment (apple.md section 12).
func (x *Exchange) unenrols() bool {
	if x.Status == http.StatusUnauthorized || x.Status == http.StatusGone {
		return true
	}
	if x.Status != http.StatusForbidden {
		return false
	}
	no, err := apple.DecodeForbidden(x.header.Get("Content-Type"), x.body)
	return err == nil && no.Code == apple.UnrecognizedDevice
}

// parting says one of the last messages of a device, by the identity that it has.
func (p *phone) parting(ctx context.Context, m apple.Message) *Exchange {
	url := p.mdm.CheckInURL
	if url == "" {
		url = p.mdm.ServerURL
	}
	body := apple.EncodeMessage(nil, &m)
	header := p.signature(http.Header{"Content-Type": {apple.CheckInType}}, body)
	return p.a.run.exchange(ctx, p.client, http.MethodPut, url, what(&m), header, body)
}

// checkOut says CheckOut by the identity that the server holds for the device's: a check may have been cut off between the
// moment in which it got one and the Authenticate that makes it the device's.
func (p *phone) checkOut(ctx context.Context) *Exchange {
	out := apple.Message{MessageType: apple.CheckOut, UDID: p.udid, Topic: p.mdm.Topic}
	first := p.parting(ctx, out)
	refused := func(x *Exchange) bool { return x.Status != http.StatusOK && x.Status < 500 && !x.timedOut() }
	if !refused(first) {
		return first
	}
	for _, who := range slices.Backward(p.issued) {
		p.as(who)
		if x := p.parting(ctx, out); !refused(x) {
			return x
		}
	}
	if len(p.issued) == 0 {
		return first
	}
	p.as(p.issued[len(p.issued)-1]) // nobody's yet
	if p.parting(ctx, p.authenticate()).Status != http.StatusOK {
		return first
	}
	return p.parting(ctx, out)
}

// leave ends the device's enrolment.
func (p *phone) leave(ctx context.Context) error {
	unheard := ""
	if x := p.checkOut(ctx); x.Status != http.StatusOK {
		unheard = "CheckOut was answered " + x.answer()
	}
	return p.a.run.forgotten(ctx, p.udid, unheard)
}
