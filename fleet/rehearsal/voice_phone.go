package rehearsal

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/certs/est"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server/delivery"
)

// tokenLife is how long a token to enrol with is good for; it is used at once.
const tokenLife = time.Hour

// A phone is an Android device as it speaks. Its protocol says in one message what takes many by rule, so rounds cannot be held against
// each other: a conversation is had twice, on the same state of the device, once by rule and once over the wire, where the server's
// core decides on a copy. At its end device and state must be the same. The enrolment's first word is decided once, as an Apple device's
// is, and its token, its certificate by EST and the name that the server gives it are what the rule goes on with. A nil phone does
// nothing.
type phone struct {
	*voices
	index  int
	device *dialect.Android
	act    dialect.Act
	state  delivery.State // the copy, from the conversation's second word on
	twice  bool           // there is one
	whole  bool           // a conversation, its commands with it, has been compared
	early  bool           // it is an enrolment's, which brings over the wire what by rule the next one does
	began  bool           // a message of the conversation was sent
	failed bool           // one was not answered, or refused: the protocol has the device come again by its own rule
	said   dialect.Step

	decided bool  // on the enrolment's first word
	broke   error // in that; the loop's
}

func (f *phone) now() protocol.Time { return f.loop.clockOf(f.index) }

// phone is the voice of an Android device; nil: it has none.
func (vs *voices) phone(i int) *phone {
	if vs == nil {
		return nil
	}
	return vs.phones[i]
}

func (f *phone) silent() bool { return f == nil || f.phones[f.index] != f }

// differs notes the device's first difference, and has it be played by rule from now on.
func (f *phone) differs(field string, rule, wire any) {
	if f.silent() {
		return
	}
	delete(f.phones, f.index)
	f.spoke.Differs++
	f.spoke.keep(&Difference{At: f.loop.now, Device: f.device.Who().Serial, Message: f.said.String(), Field: field, Rule: fmt.Sprint(rule), Wire: fmt.Sprint(wire)})
}

// parts has the device be played by rule from now on, for what does not go over the wire here.
func (f *phone) parts() {
	if f.silent() {
		return
	}
	delete(f.phones, f.index)
	if f.whole {
		f.spoke.Parted++
	} else { // it is no proof of anything
		f.spoke.Devices[protocol.Android-1]--
	}
}

// enrols has the device ask for its enrolment with a token, up to the certificate; nil: it has none, and the rule must come to the same.
func (f *phone) enrols(by *delivery.Identity) *x509.Certificate {
	if f.silent() {
		return nil
	}
	if err := f.open(); err != nil {
		f.differs("enrolment", "begun", err)
		return nil
	}
	l, user, mode := f.loop, f.loop.places[f.index].user, android.WorkProfileCompany // which takes orders of both kinds, to leave and to be erased
	if user == 0 {
		mode = android.Dedicated
	}
	token, err := l.server.InviteAndroid(l.ctx, l.Clock(), user, mode, tokenLife)
	if no := new(protocol.Refusal); errors.As(err, &no) {
		return nil
	}
	if err == nil {
		err = f.device.Enrol(f.now(), dialect.AndroidStart{URL: wireURL, Token: token, Mode: mode}, &f.act)
	}
	for err == nil && f.act.Kind == dialect.Send {
		var r dialect.Response
		if r, err = f.sends(); err == nil {
			f.device.Answer(f.now(), &r, &f.act)
		}
	}
	if err != nil {
		f.differs("enrolment", "begun", err)
		return nil
	}
	if f.act.Kind != dialect.GetIdentity { // it was turned away
		return nil
	}
	f.said = dialect.Identify
	f.spoke.Messages[dialect.Identify]++
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		f.differs("certificate", "issued", err)
		return nil
	}
	client := est.Client{URL: f.act.EST.URL, HTTP: &http.Client{Transport: &f.edge}}
	cert, err := client.Enroll(l.ctx, key, f.act.EST.Subject, f.act.EST.User, f.act.EST.Challenge)
	if err != nil {
		f.differs("certificate", "issued", err)
		return nil
	}
	if from, to := protocol.At(cert.NotBefore), protocol.At(cert.NotAfter); from != by.NotBefore || to != by.NotAfter {
		f.differs("validity", span(by.NotBefore, by.NotAfter), span(from, to))
		return nil
	}
	f.device.GotIdentity(f.now(), key, cert, nil, &f.act)
	return cert
}

// sends sends what the device wants sent, with the identity that it is to come from.
func (f *phone) sends() (dialect.Response, error) {
	r := &f.act.Request
	f.said = r.Step
	f.spoke.Messages[r.Step]++
	var who *certs.Signer
	if r.Step == dialect.CheckIn || r.Step == dialect.Unenroll {
		signer, err := f.device.Signer(r.Identity)
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

// begins tells the device what has happened to it.
func (f *phone) begins(what agent.EventKind) {
	if f == nil {
		return
	}
	f.twice, f.early, f.began, f.failed = false, false, false, false
	switch what {
	case agent.Tick:
		why := dialect.Scheduled
		if due := f.device.Due(); due == 0 || due > f.now() { // after a failure it comes by its own rule, and now because the rule has it come
			why = dialect.Synced
		}
		f.device.Begin(f.now(), why, &f.act)
	case agent.Woken:
		f.device.Begin(f.now(), dialect.Synced, &f.act)
	case agent.Unenrol:
		f.device.Begin(f.now(), dialect.UserRemoves, &f.act)
	}
}

// misses is that a message of the conversation has not come through. Only the first of a conversation is the same one by rule and over
// the wire.
func (f *phone) misses(wait time.Duration) {
	switch {
	case f.silent():
	case f.began || f.act.Kind != dialect.Send:
		f.parts()
	default:
		f.began, f.failed = true, true
		r := dialect.Response{Err: errNoAnswer}
		if wait > 0 {
			r = dialect.Response{Status: http.StatusServiceUnavailable, RetryAfter: wait}
		}
		f.device.Answer(f.now(), &r, &f.act)
	}
}

// carries takes the message c to the server, and has that decide. Of a conversation that is had twice all goes over the wire first.
func (f *phone) carries(c *protocol.CheckIn) error {
	l := f.loop
	switch {
	case f.silent(), f.twice:
		return l.round()
	case c.Verb == protocol.Enrol:
		return f.hello()
	}
	state := l.store.Lend(l.places[f.index].number)
	if state == nil || f.act.Kind != dialect.Send {
		f.differs("message", c.Verb, f.wants())
		return l.round()
	}
	f.keep(state)
	f.twice, f.early, f.began = true, c.Verb == protocol.Ready, true
	for f.act.Kind == dialect.Send {
		r, err := f.sends()
		if err != nil {
			f.differs("gate", "let in", err)
			return l.round()
		}
		f.failed = f.failed || r.Status != http.StatusOK
		f.device.Answer(f.now(), &r, &f.act)
	}
	if f.act.Kind == dialect.GetIdentity {
		f.parts()
	}
	return l.round()
}

// hello is the first word of an enrolment: the server decides once, on what is meant by rule.
func (f *phone) hello() error {
	l := f.loop
	if f.act.Kind != dialect.Send || f.act.Request.Step != dialect.CheckIn { // it was turned away before
		err := l.round()
		if err == nil && l.out.Refusal.Rule == "" {
			f.differs("enrolment", "let in", f.wants())
		}
		return err
	}
	f.began = true
	f.decided = false
	r, err := f.sends()
	if err != nil || !f.decided {
		f.differs("gate", "let in", fmt.Sprintf("%v, status %d", err, r.Status))
		return l.round()
	}
	if err := f.broke; err != nil {
		return err
	}
	f.failed = r.Status != http.StatusOK
	f.device.Answer(f.now(), &r, &f.act)
	return nil
}

// observer is observe, which hears of a phone by the name that it has in the population.
func (vs *voices) observer(observe observer) observer {
	if observe == nil {
		return nil
	}
	return func(now protocol.Time, w *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome) {
		if i := vs.loop.index; after.Platform == protocol.Android && int(after.Device) < len(i) {
			if p := &vs.loop.places[i[after.Device]]; p.named != "" {
				for k := range out.Effects {
					out.Effects[k].Detail = strings.Replace(out.Effects[k].Detail, p.id, p.named, 1)
				}
			}
		}
		observe(now, w, ev, before, after, out)
	}
}

// keep makes the copy a copy of s.
func (f *phone) keep(s *delivery.State) {
	f.state = *s
	f.state.Queue, f.state.Profiles = slices.Clone(s.Queue), slices.Clone(s.Profiles)
	if s.Rare != nil {
		rare := *s.Rare
		f.state.Rare = &rare
	}
}

// met decides on what has come through the gate.
func (f *phone) met(ev *delivery.Event, out *delivery.Outcome) error {
	l := f.loop
	if ev.Verb == protocol.Enrol {
		f.decided = true
		f.compare(&l.ev, ev)
		l.ev.Facts, l.ev.Message.Credential.Serial = ev.Facts, "" // it is said there
		f.broke = l.round()
		if f.broke != nil {
			return f.broke
		}
		if p := &l.places[f.index]; l.out.State.Device != 0 {
			l.store.Lend(l.out.State.Device).Place = delivery.PlaceOf(p.named)
		}
		out.State, out.Reply, out.Refusal = l.out.State, l.out.Reply, l.out.Refusal
	} else {
		if ev.Device != f.state.Device {
			f.differs("device", f.state.Device, ev.Device)
		}
		if ev.Prepare != nil {
			ev.Prepare(nil, &f.state)
		}
		delivery.Decide(l.Clock(), l.server.World(), &f.state, ev, out)
		f.keep(&out.State)
	}
	if out.Refusal.Rule != "" {
		no := out.Refusal
		return &no
	}
	if ev.Encode != nil {
		ev.Encode(nil, out)
	}
	return nil
}

// compare holds the first word of an enrolment against what was meant.
func (f *phone) compare(meant, came *delivery.Event) {
	check := func(field string, rule, wire any) {
		if rule != wire {
			f.differs(field, rule, wire)
		}
	}
	check("word", meant.Verb, came.Verb)
	check("device", meant.ID, came.ID)
	check("platform", meant.Platform, came.Platform)
	check("identity", meant.Credential.Identity, came.Credential.Identity)
	check("user", meant.Credential.User, came.Credential.User)
	check("epoch", meant.Epoch, came.Epoch)
}

func (f *phone) wants() string {
	switch {
	case f.act.Kind == dialect.Send:
		return f.act.Request.Step.String()
	case f.act.Kind == dialect.GetIdentity:
		return dialect.Identify.String()
	case f.act.Err != nil:
		return f.act.Err.Error()
	}
	return ""
}

// expires is all that a device does off the network.
func (f *phone) expires() {
	if !f.silent() {
		f.device.Expire(f.now())
		f.stands()
	}
}

// rests holds device and state at the end of a conversation against what the rule has made of them.
func (f *phone) rests() {
	if f.silent() {
		return
	}
	if f.act.Kind != dialect.Rest {
		f.differs("end of the conversation", "", f.wants())
		return
	}
	f.stands()
	state := f.loop.store.Lend(f.loop.places[f.index].number)
	if f.silent() || !f.twice || state == nil {
		return
	}
	check := func(field string, rule, wire any) {
		if rule != wire {
			f.differs(field, rule, wire)
		}
	}
	mine := &f.state
	check("life", state.Life, mine.Life)
	check("authority", state.Registered, mine.Registered)
	check("epoch of the record", state.Epoch, mine.Epoch)
	check("change heard of", state.Heard, mine.Heard)
	check("seen", state.LastSeen, mine.LastSeen)
	check("enrolled", state.EnrolledAt, mine.EnrolledAt)
	check("identity of the record", state.Identity, mine.Identity)
	if f.early {
		return
	}
	check("commands left", len(state.Queue), len(mine.Queue))
	check("profiles of the record", f.assigned(state), f.assigned(mine))
	check("reports", state.Reports, mine.Reports)
	f.whole = true
}

// assigned are the profiles of a record as text.
func (f *phone) assigned(s *delivery.State) string {
	list := make([]string, len(s.Profiles))
	for i, a := range s.Profiles {
		list[i] = f.loop.server.World().Profiles[a.Profile].Identifier + " " + a.State.String()
	}
	return fmt.Sprint(list)
}

// stands holds all that a device is against its core.
func (f *phone) stands() {
	check := func(field string, rule, wire any) {
		if rule != wire {
			f.differs(field, rule, wire)
		}
	}
	core, d := f.loop.Device(f.index), f.device
	check("phase", core.Phase(), d.Phase())
	if core.Phase() != agent.Enrolled {
		return
	}
	check("end of the old profiles", core.Drops(), d.Drops())
	check("epoch", core.Epoch(), d.Epoch())
	if f.early {
		return
	}
	if !f.failed {
		check("next contact", core.Due(), d.Due())
		check("owing", core.Owes(), d.Owes())
	}
	var rule, wire []string
	for _, p := range core.Profiles() {
		rule = append(rule, f.loop.server.World().Profiles[p.Content].Identifier+" ("+p.Family.String()+")")
	}
	for _, p := range d.Profiles() {
		wire = append(wire, p.Identifier+" ("+p.Family.String()+")")
	}
	slices.Sort(rule)
	slices.Sort(wire)
	check("profiles", fmt.Sprint(rule), fmt.Sprint(wire))
}
