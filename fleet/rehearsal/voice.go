package rehearsal

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/server/delivery"
)

// voices are the devices of a loop that speak. Nil: none does.
type voices struct {
	edge
	by      map[int]*voice  // Apple's
	doubles map[int]*double // Android's and Windows'
	has     interface {     // whose message the server has
		met(ev *delivery.Event, out *delivery.Outcome) error
	}
	spoke Spoken
}

func newVoices(l *Loop, w *Wire) *voices {
	vs := &voices{edge: edge{Wire: w, loop: l}, by: map[int]*voice{}, doubles: map[int]*double{}}
	vs.decide = func(ev *delivery.Event, out *delivery.Outcome) error { return vs.has.met(ev, out) }
	return vs
}

func (vs *voices) add(i int, d any) {
	switch d := d.(type) {
	case *dialect.Apple:
		vs.by[i] = &voice{voices: vs, index: i, device: d}
	case *dialect.Android:
		hardware := android.Hardware{EnterpriseSpecificID: d.Who().ESID}
		vs.pair(i, &phone{d}, vs.loop.server.AndroidDevice(hardware.ID())) // the server names it, not the device
	case *dialect.Windows:
		vs.pair(i, &pc{device: d}, d.DeviceID())
	}
	vs.spoke.Devices[vs.loop.places[i].platform-1]++
}

// pair gives a device a double, which the server calls by an id.
func (vs *voices) pair(i int, s speaker, id string) {
	vs.doubles[i] = &double{voices: vs, index: i, speaker: s}
	p := &vs.loop.places[i]
	p.named, p.id = p.id, id
}

// of is the voice of an Apple device; nil: it has none.
func (vs *voices) of(i int) *voice {
	if vs == nil {
		return nil
	}
	return vs.by[i]
}

// A voice is a device as it speaks: with the same events at the same times as its core in the loop. What it sends is held against
// what the core sends, by the gate and the decoders that serve real devices; the server decides once, on what is meant by rule; the
// bytes of its answer must have the device do what its core does. A nil voice does nothing.
type voice struct {
	*voices
	index  int
	device *dialect.Apple
	act    dialect.Act
	conn   context.Context   // of the conversation; nil: there is none
	err    error             // of the decision on the message under way
	came   bool              // which has come through the gate
	answer *dialect.Response // to it; nil: none
	said   dialect.Step      // the latest message
}

func (v *voice) now() protocol.Time { return v.loop.clockOf(v.index) }

// differs notes a difference, and has the device be played by rule from now on.
func (v *voice) differs(field, rule, wire string) {
	if _, speaks := v.by[v.index]; speaks {
		v.spoke.Differs++
		delete(v.by, v.index)
	}
	v.spoke.keep(&Difference{At: v.loop.now, Device: v.device.UDID(), Message: v.said.String(), Field: field, Rule: rule, Wire: wire})
}

// silent tells whether the device is played by rule by now.
func (v *voice) silent() bool { return v == nil || v.by[v.index] != v }

// fetches has the device get its enrolment profile, and ask for an identity with this challenge.
func (v *voice) fetches(challenge string) {
	p := &v.loop.places[v.index]
	v.said = dialect.FetchProfile
	err := v.open()
	var profile []byte
	if err == nil {
		profile, err = v.enrolment.Profile(p.platform, v.loop.server.World().Push.Topic, challenge, v.loop.Clock().Time())
	}
	if err == nil {
		err = v.device.Enrol(v.now(), dialect.Start{URL: wireURL + "/e/rehearsal", ADE: p.automated, Awaiting: p.automated}, &v.act)
	}
	if err == nil && v.act.Request.Step == dialect.FetchADE {
		v.said = dialect.FetchADE
		v.spoke.Signatures++
		err = v.machine(&v.act.Request, p.id, v.now().Time())
	}
	if err != nil {
		v.differs("enrolment profile", "given", err.Error())
		return
	}
	v.spoke.Messages[v.said]++
	v.device.Answer(v.now(), &dialect.Response{Status: 200, ContentType: apple.ProfileType, Body: profile}, &v.act)
}

// identifies has the device get an identity by SCEP that is as by is; nil: the rule alone has to say what becomes of it.
func (v *voice) identifies(challenge string, by *delivery.Identity) *x509.Certificate {
	if v.silent() {
		return nil
	}
	if v.said = dialect.Identify; v.act.Kind != dialect.GetIdentity || v.act.SCEP.Challenge != challenge {
		v.differs("request", "an identity is asked for", v.wants())
		return nil
	}
	v.spoke.Messages[dialect.Identify]++
	key, cert, err := v.scep(&v.act.SCEP, v.now().Time())
	if err != nil {
		v.differs("certificate", "issued", err.Error())
		return nil
	}
	if from, to := protocol.At(cert.NotBefore), protocol.At(cert.NotAfter); from != by.NotBefore || to != by.NotAfter {
		v.differs("validity", span(by.NotBefore, by.NotAfter), span(from, to))
	}
	v.device.GotIdentity(v.now(), key, cert, nil, &v.act)
	return cert
}

// ages gives a device that speaks a certificate as old as id, for the key that it has; nil: there is none.
func (vs *voices) ages(i int, id agent.Identity) *x509.Certificate {
	if v := vs.of(i); v != nil {
		return v.ages(id)
	}
	if f := vs.double(i); f != nil {
		return f.ages(id)
	}
	return nil
}

// ages gives the device a certificate as old as id, for the key that it has; nil: there is none.
func (v *voice) ages(id agent.Identity) *x509.Certificate {
	v.said = dialect.Identify
	cert, err := v.older(v.device, id)
	if err != nil {
		v.differs("certificate", "of before the story", err.Error())
		return nil
	}
	v.device.Reissued(cert)
	return cert
}

func span(from, to protocol.Time) string { return from.String() + " to " + to.String() }

// wants says what the device wants done.
func (v *voice) wants() string {
	switch {
	case v.act.Kind == dialect.Send:
		return v.act.Request.Step.String()
	case v.act.Kind == dialect.GetIdentity:
		return dialect.Identify.String()
	case v.act.Err != nil:
		return v.act.Err.Error()
	}
	return ""
}

// begins tells the device what has happened to it.
func (v *voice) begins(what agent.EventKind) {
	if v == nil {
		return
	}
	switch what {
	case agent.Tick, agent.Returned:
		v.device.Begin(v.now(), dialect.Scheduled, &v.act)
	case agent.Woken, agent.Missed:
		v.device.Begin(v.now(), dialect.Synced, &v.act)
	case agent.Unenrol:
		v.device.Begin(v.now(), dialect.UserRemoves, &v.act)
	}
}

// steps are what Apple's protocol calls a round.
var steps = map[protocol.Verb]dialect.Step{
	protocol.Enrol: dialect.Authenticate, protocol.Ready: dialect.TokenUpdate, protocol.Leave: dialect.CheckOut,
	protocol.Ask: dialect.Idle, protocol.Report: dialect.Report,
}

// says has the device say what its core says.
func (v *voice) says(c *protocol.CheckIn) {
	v.said, v.answer = steps[c.Verb], nil
	if v.act.Kind != dialect.Send || v.act.Request.Step != v.said {
		v.differs("message", v.said.String(), v.wants())
	}
}

// carries takes the message to the server, and has it decide; the error is the loop's.
func (v *voice) carries() error {
	if v.silent() {
		return v.loop.round()
	}
	v.err, v.came, v.has = nil, false, v
	answer, err := v.sends(&v.act.Request)
	v.has = nil
	if err != nil {
		answer = dialect.Response{Err: err, Refused: true}
	}
	v.answer = &answer
	if v.came {
		return v.err
	}
	if v.err = v.loop.round(); v.err == nil && v.loop.out.Refusal.Rule == "" {
		v.differs("gate", "let in", cmp.Or(text(err), fmt.Sprintf("status %d", answer.Status)))
	}
	return v.err
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// sends sends a request with the identity that it is to come from.
func (v *voice) sends(r *dialect.Request) (dialect.Response, error) {
	who, err := v.device.Signer(r.Identity)
	if err == nil {
		err = v.open()
	}
	if err != nil {
		return dialect.Response{}, err
	}
	if v.conn == nil {
		v.conn = v.connect(v.loop.ctx, nil)
	}
	v.spoke.Messages[r.Step]++
	if r.Sign != dialect.NoSignature {
		v.spoke.Signatures++
	}
	return v.exchange(v.conn, r, &who, v.now().Time())
}

// signed is the Mdm-Signature of a body; empty: it has none.
func signed(how dialect.Sign, body []byte, who *certs.Signer, now time.Time) (string, error) {
	var der []byte
	var err error
	switch how {
	case dialect.NoSignature:
		return "", nil
	case dialect.SignLegacy:
		der, err = certs.SignLegacy(body, *who)
	default:
		der, err = certs.SignDetached(body, *who, now)
	}
	return base64.StdEncoding.EncodeToString(der), err
}

// met holds what has come through the gate against what was meant, and has the server decide on the latter.
func (v *voice) met(ev *delivery.Event, out *delivery.Outcome) error {
	v.came = true
	v.compare(&v.loop.ev, ev)
	v.err = v.loop.round()
	if v.err != nil {
		return v.err
	}
	if v.loop.out.Refusal.Rule != "" {
		no := v.loop.out.Refusal
		return &no
	}
	out.Reply = v.loop.out.Reply
	if c := &out.Reply.Command; out.Reply.Kind == protocol.Work && c.Kind == protocol.RenewIdentity {
		var err error
		if c.Payload, err = v.enrolment.Renewal(v.loop.ctx, v.loop.Clock(), &v.loop.out.State, string(c.Payload)); err != nil {
			return err
		}
	}
	return nil
}

// compare holds all that an Apple device says and a decision can hang on against what was meant. Rounds and epochs are not
// said, and decide nothing; addresses are the voice's own.
func (v *voice) compare(meant, came *delivery.Event) {
	check := func(field string, rule, wire any) {
		if rule != wire {
			v.differs(field, fmt.Sprint(rule), fmt.Sprint(wire))
		}
	}
	check("word", meant.Verb, came.Verb)
	check("device", meant.ID, came.ID)
	check("identity", meant.Credential, came.Credential)
	switch meant.Verb {
	case protocol.Enrol:
		check("platform", meant.Platform, came.Platform)
		check("topic", meant.Topic, came.Topic)
		check("way to enrol", meant.Way, came.Way)
	case protocol.Ready:
		topic, token, magic := v.device.Push()
		check("topic", meant.Topic, came.Topic)
		check("topic", topic, came.Topic)
		check("push token", fmt.Sprintf("%x", token), fmt.Sprintf("%x", came.Token))
		check("push magic", magic, came.Magic)
		check("held in the setup assistant", meant.Awaiting, came.Awaiting)
	case protocol.Report:
		check("status", meant.Status, came.Status)
		check("command", meant.Command, came.Command)
		check("profile missing", meant.Missing, came.Missing)
	}
	if meant.Verb != protocol.Enrol {
		check("number", meant.Device, came.Device)
	}
}

// loses is that the answer does not come back.
func (v *voice) loses() {
	if v != nil {
		v.answer = nil
	}
}

var errNoAnswer = errors.New("no answer")

// hears has the device hear what its core hears.
func (v *voice) hears() {
	if v.silent() {
		return
	}
	if v.answer == nil { // it never reached the server, or its answer was lost
		v.answer = &dialect.Response{Err: errNoAnswer}
		if wait := v.loop.step.RetryAfter; wait > 0 { // somebody before the server
			v.answer = &dialect.Response{Status: 503, RetryAfter: wait}
		}
	}
	v.device.Answer(v.now(), v.answer, &v.act)
}

// executes is that the core has been told to carry out c; the device has done so with what it was told.
func (v *voice) executes(c *protocol.Command) {
	if v.silent() || v.act.Kind == dialect.GetIdentity && c.Kind == protocol.RenewIdentity {
		return
	}
	got := v.wants()
	if v.act.Kind == dialect.Send && v.act.Request.Step == dialect.Report {
		got = v.act.Request.Command
	}
	if want := requestOf(c.Kind); got != want {
		v.differs("command", want, got)
	}
}

// expires is all that a device does off the network.
func (v *voice) expires() {
	if v != nil {
		v.device.Expire(v.now())
		v.stands()
	}
}

// rests holds the device at the end of a conversation against its core.
func (v *voice) rests() {
	if v.silent() {
		return
	}
	v.conn = nil
	if v.act.Kind != dialect.Rest {
		v.differs("end of the conversation", "", v.wants())
		return
	}
	v.stands()
}

// stands holds all that a device is against its core.
func (v *voice) stands() {
	check := func(field string, rule, wire any) {
		if rule != wire {
			v.differs(field, fmt.Sprint(rule), fmt.Sprint(wire))
		}
	}
	core, d := v.loop.Device(v.index), v.device
	check("phase", core.Phase(), d.Phase())
	check("next contact", core.Due(), d.Due())
	check("end of the old profiles", core.Drops(), d.Drops())
	check("epoch", core.Epoch(), d.Epoch())
	check("owing", core.Owes(), d.Owes())
	if id := d.Identity(); core.Phase() == agent.Enrolled {
		check("identity", span(core.Identity().NotBefore, core.Identity().NotAfter), span(id.NotBefore, id.NotAfter))
		check("held in the setup assistant", v.loop.places[v.index].awaits, d.Awaiting())
	}
	var rule, wire []string
	for _, p := range core.Profiles() {
		rule = append(rule, v.loop.server.World().Profiles[p.Content].Identifier+" ("+p.Family.String()+")")
	}
	for _, p := range d.Profiles() {
		if !p.MDM {
			wire = append(wire, p.Identifier+" ("+p.Family.String()+")")
		}
	}
	slices.Sort(rule)
	slices.Sort(wire)
	check("profiles", fmt.Sprint(rule), fmt.Sprint(wire))
}
