package rehearsal

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/server/delivery"
)

// linkLife is how long a link to enrol with is good for; it is used at once.
const linkLife = time.Hour

// A double is a device whose protocol says in one message what takes many by rule: Android's and Windows'. So rounds cannot be held against
// each other: a conversation is had twice, on the same state of the device, once by rule and once over the wire, where the server's
// core decides on a copy. At its end device and state must be the same. The enrolment's first word is decided once, as an Apple device's
// is, and its token, its certificate and the name that the server gives it are what the rule goes on with; so is the certificate of a
// renewal. A nil double does nothing.
type double struct {
	*voices
	speaker
	index   int
	act     dialect.Act
	state   delivery.State          // the copy, from the conversation's second word on
	began   delivery.ReportCounts   // those of the state when that began
	records map[delivery.Key][]byte // what its server keeps of the conversation's answers
	twice   bool                    // there is one
	whole   bool                    // a conversation, its commands with it, has been compared
	early   bool                    // the latest that came through was an enrolment's, which brings over the wire what by rule the next one does
	again   bool                    // after a renewal a PC has another session, in which what has failed is tried once more; by rule it is the same one
	failed  bool                    // a message was not answered, or refused: the protocol has the device come again by its own rule
	why     dialect.Why             // it talks
	quiet   bool                    // and it has not begun to
	torn    bool                    // a fault has cut one of the two in two, and they have not been the same since
	barred  error                   // why the handshake of one was refused
	owed    bool                    // over the wire the device wants another identity: it asks for that when it does by rule
	said    dialect.Step

	decided bool  // on the enrolment's first word
	broke   error // in that; the loop's
}

// A speaker is the part of a double that is its protocol's.
type speaker interface {
	dialogue() dialogue
	invited(f *double) error             // the enrolment goes on, up to what the first word needs
	hello(f *double) error               // the first word, and what it takes to say it
	begin(f *double, why dialect.Why)    // a conversation
	pauses(f *double) bool               // it has, since another identity is wanted first
	renewed(f *double) *x509.Certificate // another identity; nil: there is none, and the difference is noted
	rests(f *double)                     // holds what is the protocol's own
	owes() bool                          // the server has still to hear something of it
	profiles(f *double) (rule, wire []string)
	drops(f *double) (rule, wire protocol.Time) // when the first profile leaves by itself; 0: none will
}

// A dialogue is a device over the wire, of either platform.
type dialogue interface {
	Phase() agent.Phase
	Epoch() uint32
	Due() protocol.Time
	Expire(now protocol.Time) int
	Begin(now protocol.Time, why dialect.Why, out *dialect.Act) bool
	Answer(now protocol.Time, r *dialect.Response, out *dialect.Act)
	Abandon(now protocol.Time)
	Signer(w dialect.Which) (certs.Signer, error)
	Reissued(c *x509.Certificate)
}

func (f *double) now() protocol.Time { return f.loop.clockOf(f.index) }

// double is the voice of an Android or Windows device; nil: it has none.
func (vs *voices) double(i int) *double {
	if vs == nil {
		return nil
	}
	return vs.doubles[i]
}

func (f *double) silent() bool { return f == nil || f.doubles[f.index] != f }

// differs notes the device's first difference, and has it be played by rule from now on.
func (f *double) differs(field string, rule, wire any) {
	if f.silent() {
		return
	}
	delete(f.doubles, f.index)
	f.spoke.Differs++
	f.spoke.keep(&Difference{At: f.loop.now, Device: f.loop.places[f.index].named, Message: f.said.String(), Field: field, Rule: fmt.Sprint(rule), Wire: fmt.Sprint(wire)})
}

func (f *double) check(field string, rule, wire any) {
	if rule != wire {
		f.differs(field, rule, wire)
	}
}

// parts has the device be played by rule from now on, for what does not go over the wire here.
func (f *double) parts() {
	if f.silent() {
		return
	}
	delete(f.doubles, f.index)
	if f.whole {
		f.spoke.Parted++
	} else { // it is no proof of anything
		f.spoke.Devices[f.loop.places[f.index].platform-1]--
	}
}

// invites has the device ask for its enrolment, as far as it gets without its first word. The certificate is the one that it says that
// with; nil: it has none yet, or the rule must come to the same.
func (f *double) invites(by *delivery.Identity) *x509.Certificate {
	if f.silent() {
		return nil
	}
	err := f.open()
	if err == nil {
		err = f.invited(f)
	}
	if err != nil {
		f.differs("enrolment", "begun", err)
		return nil
	}
	if f.act.Kind != dialect.GetIdentity { // it was turned away, or asks with its first word
		return nil
	}
	return f.fits(f.renewed(f), by)
}

// fits tells whether a certificate is as long as by rule; else it is none.
func (f *double) fits(cert *x509.Certificate, by *delivery.Identity) *x509.Certificate {
	if cert == nil {
		return nil
	}
	if from, to := protocol.At(cert.NotBefore), protocol.At(cert.NotAfter); from != by.NotBefore || to != by.NotAfter {
		f.differs("validity", span(by.NotBefore, by.NotAfter), span(from, to))
		return nil
	}
	return cert
}

// sends sends what the device wants sent, with the identity that it is to come from.
func (f *double) sends() (dialect.Response, error) {
	r := &f.act.Request
	f.said = r.Step
	f.spoke.Messages[r.Step]++
	var who *certs.Signer
	if r.Identity != dialect.NoIdentity {
		signer, err := f.dialogue().Signer(r.Identity)
		if err != nil {
			return dialect.Response{}, err
		}
		who = &signer
	}
	if err := f.open(); err != nil {
		return dialect.Response{}, err
	}
	f.has = f
	defer func() { f.has = nil }()
	return f.exchange(f.loop.ctx, r, who, f.now().Time())
}

// asks carries on what comes before there is an identity.
func (f *double) asks() error {
	for f.act.Kind == dialect.Send {
		r, err := f.sends()
		if err != nil {
			return err
		}
		f.dialogue().Answer(f.now(), &r, &f.act)
	}
	return nil
}

// talks carries on a conversation, until it ends or the device wants another identity.
func (f *double) talks() {
	for f.act.Kind == dialect.Send {
		r, err := f.sends()
		if err != nil {
			f.barred, r = err, dialect.Response{Err: err, Refused: true}
		}
		f.failed = f.failed || r.Status != http.StatusOK
		f.dialogue().Answer(f.now(), &r, &f.act)
	}
	f.owed = f.pauses(f)
}

// begins tells the device what has happened to it. Whether it has anything to say, the rule tells.
func (f *double) begins(what agent.EventKind) {
	if f.silent() {
		return
	}
	f.twice, f.again, f.failed, f.owed = false, false, false, false
	f.records, f.barred = nil, nil
	if what == agent.Enrol { // it was invited
		f.early = false
		return
	}
	f.act.Kind, f.act.Err, f.why = dialect.Rest, nil, dialect.Synced
	switch what {
	case agent.Tick, agent.Returned:
		f.why = dialect.Scheduled
		f.dialogue().Expire(f.now())
	case agent.Unenrol:
		f.why = dialect.UserRemoves
	}
	f.quiet = true
	if a, ok := f.dialogue().(*dialect.Android); ok && (what == agent.Returned || what == agent.Missed) {
		a.Return(f.now(), what == agent.Missed)
	}
}

// opens has the device say its first word, unless it has.
func (f *double) opens() {
	if f.quiet {
		f.quiet = false
		f.begin(f, f.why)
	}
}

// misses is that a message of the conversation has not come through, or that its answer has not. Only the first of a conversation is the
// same one by rule and over the wire: what becomes of a later one cuts it in two by rule alone.
func (f *double) misses(wait time.Duration) {
	if f.silent() {
		return
	}
	f.opens()
	f.failed = f.failed || !f.twice
	switch {
	case f.twice:
		f.torn = true
	case f.act.Kind == dialect.Send:
		r := dialect.Response{Err: errNoAnswer}
		if wait > 0 {
			r = dialect.Response{Status: http.StatusServiceUnavailable, RetryAfter: wait}
		}
		f.dialogue().Answer(f.now(), &r, &f.act)
	default:
		f.dialogue().Abandon(f.now())
		f.act = dialect.Act{}
	}
}

// carries takes the message c to the server, and has that decide. Of a conversation that is had twice all goes over the wire first.
func (f *double) carries(c *protocol.CheckIn) error {
	l := f.loop
	if f.silent() || f.twice {
		return l.decide(f.index, c)
	}
	f.opens()
	switch {
	case c.Verb == protocol.Enrol && l.devices[f.index].Phase() == agent.Enrolling:
		return f.hello(f)
	case f.act.Kind == dialect.Rest && f.act.Err != nil: // its protocol has it say nothing, and the rule must come to nothing
		f.failed = true
		err := l.decide(f.index, c)
		if err == nil && l.out.Refusal.Rule == "" {
			f.differs("message", c.Verb, f.wants())
		}
		return err
	}
	state := l.store.Lend(l.places[f.index].number)
	if state == nil || f.act.Kind != dialect.Send {
		f.differs("message", c.Verb, f.wants())
		return l.decide(f.index, c)
	}
	f.keep(state)
	f.began = state.Reports
	f.twice, f.early = true, c.Verb == protocol.Ready
	f.talks()
	err := l.decide(f.index, c)
	if err == nil && f.barred != nil && l.out.Refusal.Rule == "" {
		f.differs("gate", "let in", f.barred)
	}
	return err
}

// turnedAway is that the device was turned away before its first word: it must be by rule as well.
func (f *double) turnedAway() error {
	err := f.loop.round()
	if err == nil && f.loop.out.Refusal.Rule == "" {
		f.differs("enrolment", "let in", f.wants())
	}
	return err
}

// renews has the device ask for the identity that it is to have by rule now; nil: the rule alone has to say what becomes of it.
func (f *double) renews(by *delivery.Identity) *x509.Certificate {
	if f.silent() || !f.twice || f.loop.devices[f.index].Phase() != agent.Enrolled {
		return nil
	}
	if !f.owed { // it has asked for one before, and a fault has kept that from the rule
		if f.torn {
			f.parts() // from now on each has an identity of its own
		}
		f.torn = true
		return nil
	}
	f.owed = false
	cert := f.fits(f.renewed(f), by)
	if cert == nil {
		return nil
	}
	f.talks()
	return cert
}

// issued is that the server has issued the device's next identity.
func (f *double) issued(cert *x509.Certificate) {
	cred := f.loop.store.LendCredential(sha256.Sum256(cert.Raw))
	if cred == nil || !f.twice {
		return
	}
	var out delivery.Outcome
	delivery.Decide(f.loop.Clock(), f.loop.server.World(), &f.state, &delivery.Event{Kind: delivery.IdentityIssued, Device: cred.Device, Message: delivery.Message{Credential: *cred}}, &out)
	f.keep(&out.State)
}

// ages gives the device a certificate as old as id, for the key that it has; nil: there is none.
func (f *double) ages(id agent.Identity) *x509.Certificate {
	f.said = dialect.Identify
	cert, err := f.older(f.dialogue(), id)
	if err != nil {
		f.differs("certificate", "of before the story", err)
		return nil
	}
	f.dialogue().Reissued(cert)
	return cert
}

// keep makes the copy a copy of s.
func (f *double) keep(s *delivery.State) {
	f.state = *s
	f.state.Queue, f.state.Profiles = slices.Clone(s.Queue), slices.Clone(s.Profiles)
	if s.Rare != nil {
		rare := *s.Rare
		f.state.Rare = &rare
	}
}

// met decides on what has come through the gate.
func (f *double) met(ev *delivery.Event, out *delivery.Outcome) error {
	if ev.Verb == protocol.Enrol {
		f.first(ev, out)
		if f.broke != nil {
			return f.broke
		}
	} else {
		f.check("device", f.state.Device, ev.Device)
		if ev.Prepare != nil {
			ev.Prepare(f.records[ev.Prior], &f.state)
		}
		delivery.Decide(f.loop.Clock(), f.loop.server.World(), &f.state, ev, out)
		f.keep(&out.State)
	}
	if out.Refusal.Rule != "" {
		no := out.Refusal
		return &no
	}
	if ev.Encode == nil {
		return nil
	}
	if record := ev.Encode(nil, out); record != nil {
		if f.records == nil {
			f.records = map[delivery.Key][]byte{}
		}
		f.records[ev.Key] = record
	}
	return nil
}

// first has the server decide once on the first word of an enrolment, on what is meant by rule.
func (f *double) first(ev *delivery.Event, out *delivery.Outcome) {
	l := f.loop
	f.decided = true
	cert := l.store.LendCredential(ev.Credential.Fingerprint)
	if p := &l.places[f.index]; p.cert != cert { // it came with the request that says the first word
		f.check("validity", span(p.cert.NotBefore, p.cert.NotAfter), span(cert.NotBefore, cert.NotAfter))
		l.install(f.index, cert)
		l.ev.Message.Credential = *cert
	}
	f.compare(&l.ev, ev)
	l.ev.Facts, l.ev.Message.Credential.Serial = ev.Facts, "" // it is said there
	if f.broke = l.round(); f.broke != nil {
		return
	}
	f.placed(f.index, protocol.Enrol)
	out.State, out.Reply, out.Refusal = l.out.State, l.out.Reply, l.out.Refusal
}

func (f *double) wants() string {
	switch {
	case f.act.Kind == dialect.Send:
		return f.act.Request.Step.String()
	case f.act.Kind == dialect.GetIdentity, f.act.Kind == dialect.MakeRequest:
		return dialect.Identify.String()
	case f.act.Err != nil:
		return f.act.Err.Error()
	}
	return ""
}

// expires is all that a device does off the network.
func (f *double) expires() {
	if !f.silent() {
		f.dialogue().Expire(f.now())
		f.stands()
	}
}

// placed gives a device that the server knows by another name than the population its place by that.
func (vs *voices) placed(i int, verb protocol.Verb) {
	if vs == nil || verb != protocol.Enrol || vs.loop.places[i].named == "" || vs.loop.out.State.Device == 0 {
		return
	}
	if r := vs.loop.store.Lend(vs.loop.out.State.Device); r != nil { // else it was turned away, and left nothing
		r.Place = delivery.PlaceOf(vs.loop.places[i].named)
		vs.loop.indexed(i, r.Device) // also if the device never hears of it
	}
}

// spoken is what went over the wire in the story, which is over: a device that a fault has torn did not come together again.
func (vs *voices) spoken() *Spoken {
	for _, f := range vs.doubles {
		if f.torn {
			f.parts()
		}
	}
	return &vs.spoke
}

// observer is observe, which hears of a double by the name that it has in the population.
func (vs *voices) observer(observe observer) observer {
	if observe == nil {
		return nil
	}
	return func(now protocol.Time, w *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome) {
		i, known := vs.loop.contact.Device, ev.Kind == delivery.CheckInRound // whom the server turns away has no number there
		if !known && int(after.Device) < len(vs.loop.index) {
			i, known = int(vs.loop.index[after.Device]), true
		}
		if known && vs.loop.places[i].named != "" {
			for k := range out.Effects {
				out.Effects[k].Detail = strings.Replace(out.Effects[k].Detail, vs.loop.places[i].id, vs.loop.places[i].named, 1)
			}
		}
		observe(now, w, ev, before, after, out)
	}
}
