package dialect

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// Begin starts a conversation and tells whether there is anything to do: out is then the first thing.
func (d *Apple) Begin(now protocol.Time, why Why, out *Act) bool {
	out.reset()
	ev := agent.Event{Kind: agent.Tick}
	switch why {
	case Pushed, Synced:
		ev.Kind = agent.Woken
	case UserRemoves:
		ev.Kind, ev.CheckOut = agent.Unenrol, true
	}
	d.advance(now, &ev, out)
	return out.Kind != Rest
}

// Abandon ends a conversation that nobody carries on. What the server has still to hear stays due.
func (d *Apple) Abandon(now protocol.Time) {
	var out Act
	if d.core.Resting() { // not yet, or no more, in a conversation with the check-in endpoint
		if d.task != nil && !d.core.Owes() {
			d.task = nil
		}
		return
	}
	if d.task != nil && d.step == Identify {
		d.incoming = nil // the server gives the command again
	}
	d.advance(now, &agent.Event{Kind: agent.Failed}, &out)
}

// Answer tells the device what its request brought, and what to do next.
func (d *Apple) Answer(now protocol.Time, r *Response, out *Act) {
	out.reset()
	if d.task == nil {
		return
	}
	step := d.step
	if step == FetchProfile || step == FetchADE {
		d.fetched(now, r, out)
		return
	}
	ev := agent.Event{Kind: agent.Failed, Notice: d.heard(r.Notice), RetryAfter: r.RetryAfter}
	if d.habits.Doubts.IgnoresRetryAfter {
		ev.RetryAfter = 0
	}
	err := error(nil)
	switch {
	case r.Status >= 200 && r.Status < 300:
		ev.Kind = agent.Answered
		ev.Reply.Notice = ev.Notice
		err = d.read(now, step, r, &ev)
	case step != Authenticate && step != CheckOut && d.unenrols(now, r):
		ev.Kind, ev.CheckOut, err = agent.Unenrol, d.habits.Ordered, failure(step, r)
	case r.Status >= 400 && r.Status < 500 && r.Status != 429, r.Refused:
		ev.Kind, err = agent.Refused, failure(step, r)
	default:
		err = failure(step, r)
	}
	if ev.Kind == agent.Refused && step == Authenticate && d.bonded() && d.incoming != nil {
		d.incoming = nil // the old identity still stands
	}
	d.advance(now, &ev, out)
	out.Heard = ev.Notice
	if out.Kind == Rest {
		out.Err = err
	}
}

// read takes a good answer: what was sent is delivered, and the body may hold the next command.
func (d *Apple) read(now protocol.Time, step Step, r *Response, ev *agent.Event) error {
	switch step {
	case Authenticate, TokenUpdate: // whose answer is empty or a property list (apple.md section 5)
		if err := foreign(step, r); err != nil {
			ev.Kind = agent.Failed
			return err
		}
		if step == Authenticate && d.incoming != nil {
			d.commit()
		}
		return nil
	case Report:
		if d.locks {
			d.busy, d.locks = now.Add(d.habits.lockedFor(&d.core, now)), false
		}
		d.report, d.uuid, d.command, d.order, d.old, d.repeated = nil, "", "", nil, nil, false
	case Idle:
	default:
		return nil
	}
	if len(r.Body) == 0 {
		return nil
	}
	uuid, order, err := apple.DecodeCommand(r.Body)
	if len(uuid) > mostUUID {
		uuid, err = "", fmt.Errorf("CommandUUID of %d bytes, at most %d (HST-120)", len(uuid), mostUUID)
	}
	if err != nil && uuid == "" {
		if step == Idle { // no answer of an MDM server, whatever its status says
			ev.Kind = agent.Failed
		}
		if err := foreign(step, r); err != nil {
			return err
		}
		return &Failure{Step: step, Status: r.Status, Err: fmt.Errorf("command: %w", err)}
	}
	d.uuid, d.order = uuid, order
	d.task.ordered = d.habits.Ordered && d.ordered(now, r.Order)
	ev.Reply.Kind = protocol.Work
	if ev.Reply.Command.ID, err = protocol.ParseCommandID(uuid); err != nil {
		ev.Reply.Command.ID = protocol.CommandID([]byte(fmt.Sprintf("%016x", id(uuid))))
	}
	return nil
}

// mostUUID bounds a CommandUUID in bytes: it is kept, and said again.
const mostUUID = 1 << 10

// ErrNoPropertyList is an answer whose status is good and whose body no MDM server sends: a proxy's, or that of a server that is none for
// devices.
var ErrNoPropertyList = errors.New("answered something that is no property list")

// foreign says what is wrong with an answer that is neither empty nor a property list; nil: it is either.
func foreign(step Step, r *Response) error {
	if len(r.Body) == 0 {
		return nil
	}
	err := apple.CheckPropertyList(r.Body)
	switch {
	case err == nil:
		return nil
	case strings.HasPrefix(r.ContentType, "text/html") && bytes.HasPrefix(bytes.TrimSpace(r.Body), []byte("<")): // whoever sends bytes may call them so
		err = fmt.Errorf("%w but a web page", ErrNoPropertyList)
	default:
		err = fmt.Errorf("%w: %w", ErrNoPropertyList, err)
	}
	return &Failure{Step: step, Status: r.Status, Err: err}
}

// unenrols tells whether an answer makes an Apple device remove its enrolment (APL-093, apple.md section 12). A real machine asks for
// the server's signature: a proxy that answers in its place ends nothing (HST-027).
func (d *Apple) unenrols(now protocol.Time, r *Response) bool {
	if d.habits.Ordered {
		return forbidden(r) == apple.UnrecognizedDevice && d.ordered(now, r.Order)
	}
	if r.Status == 401 {
		return true
	}
	if d.habits.Doubts.GoneUnenrols && (r.Status == 410 || r.Status == 404 || r.Status == 403) {
		return true
	}
	return forbidden(r) == apple.UnrecognizedDevice
}

// forbidden returns the code of a 403 that has one.
func forbidden(r *Response) string {
	if r.Status != 403 {
		return ""
	}
	f, err := apple.DecodeForbidden(r.ContentType, r.Body)
	if err != nil {
		return ""
	}
	return f.Code
}

func failure(s Step, r *Response) *Failure {
	f := &Failure{Step: s, Status: r.Status, Code: forbidden(r), RetryAfter: r.RetryAfter, Err: r.Err}
	if why := reason(r); f.Err == nil && why != "" {
		f.Err = errors.New(why)
	}
	return f
}

// mostReason is how much of a server's word about a refusal is passed on, in bytes.
const mostReason = 200

// reason returns what a refusal says of itself: the first line of its text, escaped where somebody might forge a line with it (HST-068).
func reason(r *Response) string {
	if r.Status < 300 || !strings.HasPrefix(r.ContentType, "text/plain") {
		return ""
	}
	line, _, _ := bytes.Cut(bytes.TrimSpace(r.Body[:min(len(r.Body), mostReason)]), []byte("\n"))
	quoted := strconv.Quote(string(bytes.ToValidUTF8(bytes.TrimSpace(line), nil)))
	return quoted[1 : len(quoted)-1]
}

// advance gives the core an event and turns what it wants into the next act.
func (d *Apple) advance(now protocol.Time, ev *agent.Event, out *Act) {
	var space [4]agent.Action
	actions := agent.Actions{List: space[:0]}
	d.core.Step(now, ev, &actions)
	for i := range actions.List {
		switch a := &actions.List[i]; a.Kind {
		case agent.Send:
			d.send(&a.CheckIn, out)
		case agent.Execute:
			d.execute(now, out)
		case agent.Drop:
			d.dropped(a.Profile)
			out.Dropped++
		case agent.Forget:
			d.forget()
		}
	}
	if d.core.Resting() && !d.core.Owes() && out.Kind == Rest {
		d.task = nil
	}
}

// send makes the request for one round.
func (d *Apple) send(c *protocol.CheckIn, out *Act) {
	if d.task == nil {
		d.task = &task{}
	}
	b := d.bond.Value()
	if d.incoming != nil {
		b = d.incoming.bond
	}
	r := Request{Method: "PUT", URL: b.checkInURL, ContentType: apple.CheckInType, UserAgent: d.userAgent(), Identity: Current}
	if r.URL == "" {
		r.URL = b.serverURL
	}
	pins := b.checkInPins
	m := apple.Message{UDID: d.UDID(), Topic: b.topic}
	switch c.Verb {
	case protocol.Enrol:
		r.Step, m.MessageType = Authenticate, apple.Authenticate
		if d.incoming != nil {
			r.Identity = Next
		}
		d.introduce(&m, b.rights)
	case protocol.Ready:
		r.Step, m.MessageType = TokenUpdate, apple.TokenUpdate
		m.Token, m.PushMagic, m.UnlockToken, m.AwaitingConfiguration = d.token[:], d.magic.String(), d.unlockToken(), d.awaits
	case protocol.Leave:
		r.Step, m.MessageType = CheckOut, apple.CheckOut
	default:
		r.URL, r.ContentType, pins = b.serverURL, apple.CommandType+"; charset=UTF-8", b.serverPins
		m.Topic = ""
		r.Step = Idle
		if c.Verb == protocol.Report {
			r.Step, r.Command, r.UUID, r.Status, r.Repeat = Report, d.command, d.uuid, c.Status, d.repeated
			r.Profile, r.Version, r.Shown, r.Why = d.profile, d.version, d.shown, d.why
			d.repeated = true
			if d.old != nil {
				r.Identity = Previous
			}
			if d.report == nil { // the end of a renewal, which the core reports by itself
				m.Status, m.CommandUUID = c.Status, d.uuid
				if c.Status != protocol.Acknowledged {
					m.ErrorChain = chain(profileFailed, errRefusedIdentity)
					r.Why = causeOf(m.ErrorChain)
				}
				d.report = apple.EncodeMessage(nil, &m)
			}
			r.Body = d.report
		}
	}
	if r.Body == nil {
		out.scratch = apple.EncodeMessage(out.scratch[:0], &m)
		r.Body = out.scratch
	}
	if b.signs {
		r.Sign = SignBody
		if d.habits.Legacy {
			r.Sign = SignLegacy
		}
	}
	out.Kind, out.Request = Send, r
	out.Trust = Trust{Anchors: b.anchors}
	if pins != "" {
		out.Trust = Trust{Anchors: pins, Pinned: true}
	}
	d.step = r.Step
}

// introduce fills in what Authenticate says of the device; iOS says it only to those who may ask.
func (d *Apple) introduce(m *apple.Message, rights int64) {
	w := d.Who()
	mac := d.model.Platform == protocol.MacOS
	if mac {
		m.DeviceName, m.ModelName, m.Model = w.Name, d.model.Name, d.model.Number
	}
	mayAsk := rights&apple.RightDeviceInfo != 0
	if mac || mayAsk {
		m.OSVersion, m.BuildVersion, m.ProductName = d.model.OSVersion, d.model.Build, d.model.Product
	}
	if mayAsk {
		m.SerialNumber = w.Serial
		if !mac {
			m.IMEI = w.IMEI
		}
	}
}

func (d *Apple) userAgent() string {
	if d.model.Platform == protocol.MacOS {
		return "MDM-OSX/1.0 mdmclient/" + d.model.Build
	}
	return "MDM/1.0"
}

func (a *Act) reset() { *a = Act{scratch: a.scratch} }
