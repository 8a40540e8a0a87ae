package rehearsal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/protocol"
	"rollcall/server"
	"rollcall/server/csp"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A Passage is what becomes of a message and its answer on their way.
type Passage uint8

// The passages.
const (
	Whole      Passage = iota
	CutOff             // it does not reach the server
	Unanswered         // it does, and the answer is lost
	Busy               // somebody before the server answers 503
)

// busyAgain is when a device may come again that was answered 503 before the server.
const busyAgain = 15 * time.Minute

// ruleBusy stands for a 503 that did not come from the server.
const ruleBusy protocol.Rule = "HST-111"

// tell has something happen to a device, and carries out what it then wants done until it rests.
func (l *Loop) tell(i int, what agent.EventKind) error {
	d := &l.devices[i]
	l.step = agent.Event{Kind: what, CheckOut: what == agent.Enrol || what == agent.Unenrol}
	l.contact = Contact{Device: i, At: l.now, Steady: true, Executed: l.contact.Executed[:0]}
	v := l.voices.of(i)
	f := l.voices.double(i)
	v.begins(what)
	f.begins(what)
	for {
		d.Step(l.clockOf(i), &l.step, &l.actions)
		l.step.Kind = 0
		for k := range l.actions.List {
			a := &l.actions.List[k]
			var err error
			switch a.Kind {
			case agent.Send:
				err = l.send(i, &a.CheckIn)
			case agent.Execute:
				err = l.execute(i, &a.Command)
			case agent.Drop:
				l.contact.Dropped++
			}
			if err != nil {
				return fmt.Errorf("device %s: %w", l.places[i].id, err)
			}
		}
		if l.step.Kind == 0 {
			break
		}
	}
	v.rests()
	f.ends()
	l.due.Set(uint32(i), l.dueOf(i))
	if (l.contact.Began != protocol.NoVerb || l.contact.Dropped > 0) && l.cfg.Contact != nil {
		l.cfg.Contact(&l.contact)
	}
	return nil
}

// send takes one round to the server, and its answer back.
func (l *Loop) send(i int, c *protocol.CheckIn) error {
	v := l.voices.of(i)
	if v == nil {
		return l.deliver(i, c, nil)
	}
	v.says(c)
	err := l.deliver(i, c, v)
	v.hears()
	return err
}

// deliver is send; v is the device's voice, nil: it has none.
func (l *Loop) deliver(i int, c *protocol.CheckIn, v *voice) error {
	p, f := &l.places[i], l.voices.double(i)
	if l.contact.Began == protocol.NoVerb {
		l.contact.Began = c.Verb
	}
	l.contact.Done = false
	if !l.reaches(p) {
		l.fails()
		f.misses(0)
		return nil
	}
	passage := Whole
	if l.cfg.Arrives != nil {
		passage = l.cfg.Arrives(i, c)
	}
	switch passage {
	case Busy:
		l.fails()
		l.contact.Refusal, l.step.RetryAfter = ruleBusy, busyAgain
		f.misses(busyAgain)
		return nil
	case CutOff:
		l.fails()
		f.misses(0)
		return nil
	}
	if c.Verb == protocol.Ask && !l.cfg.plain && v == nil && f.silent() {
		cert := p.cert
		if p.settled {
			cert = nil // it need not be looked at
		}
		if told, ok := l.server.Rest(l.Clock(), p.number, cert); ok {
			if passage == Unanswered {
				l.fails()
				return nil
			}
			l.contact.Done = true
			l.step.Kind, l.step.Reply.Kind, l.step.Reply.Notice = agent.Answered, protocol.Done, p.heard(told)
			return nil
		}
	}
	if err := l.dress(i, c, passage); err != nil {
		return err
	}
	var err error
	switch {
	case v != nil:
		err = v.carries()
	case f != nil && passage != Unanswered:
		err = f.carries(c)
	default:
		err = l.decide(i, c)
	}
	no := &l.out.Refusal
	switch {
	case errors.Is(err, store.ErrNotFound):
		no = &protocol.Refusal{Rule: protocol.RuleRecordKept}
	case err != nil:
		return err
	default:
		l.voices.placed(i, c.Verb)
		l.contact.Steady = l.contact.Steady && l.out.Steady()
		l.stale = l.stale || l.out.Changed != 0
		p.settled = l.out.State.Life == delivery.Enrolled && l.out.State.Identity.Fingerprint == p.cert.Fingerprint
	}
	switch {
	case passage == Unanswered:
		l.fails()
		v.loses()
		f.misses(0)
	case no.Rule != "":
		l.contact.Refusal, l.contact.Steady = no.Rule, false
		l.step = agent.Event{Kind: agent.Refused, Notice: p.heard(no.Notice)}
		if no.RetryAfter > 0 {
			l.step.Kind, l.step.RetryAfter = agent.Failed, no.RetryAfter
		} else if c.Verb == protocol.Enrol {
			delete(l.renewed, i) // the old one still stands
		}
	default:
		if next := l.renewed[i]; c.Verb == protocol.Enrol && next != nil {
			l.install(i, next)
			delete(l.renewed, i)
		}
		l.numbered(i, l.out.State.Device)
		l.contact.Done = l.out.Reply.Kind != protocol.Work
		l.step.Kind, l.step.Reply = agent.Answered, l.out.Reply
		l.step.Reply.Notice = p.heard(l.out.Reply.Notice)
	}
	return nil
}

// numbered notes what the server calls a device.
func (l *Loop) numbered(i int, d protocol.Device) {
	p := &l.places[i]
	if p.number == d {
		return
	}
	p.number = d
	l.indexed(i, d)
}

// indexed notes which device the server calls d.
func (l *Loop) indexed(i int, d protocol.Device) {
	for int(d) >= len(l.index) {
		l.index = append(l.index, 0)
	}
	l.index[d] = uint32(i)
}

// fails is that a round got no answer.
func (l *Loop) fails() {
	l.contact.Steady = false
	l.step = agent.Event{Kind: agent.Failed}
}

// dress makes ev the round that a device sends. The certificate decides which device it is.
func (l *Loop) dress(i int, c *protocol.CheckIn, passage Passage) error {
	p, m := &l.places[i], &l.ev.Message
	cert := p.cert
	if c.Verb == protocol.Enrol && l.renewed[i] != nil {
		cert = l.renewed[i]
	}
	if l.dressed {
		l.ev, l.dressed = delivery.Event{}, false
	}
	switch {
	case cert == nil:
		m.Credential = delivery.Credential{}
	case l.cfg.plain:
		cred, err := l.server.Credential(l.ctx, cert.Fingerprint)
		if err != nil {
			return err
		}
		m.Credential = cred
	default:
		m.Credential = *cert
	}
	l.ev.Kind, l.ev.ID, l.ev.Device = delivery.CheckInRound, p.id, p.number
	m.CheckIn, m.Missing = *c, p.missing && c.Verb == protocol.Report
	m.Device = p.number
	m.Seed = [2]uint64{l.cfg.Seed, uint64(l.now)} // with the device and its count of commands
	switch c.Verb {
	case protocol.Enrol:
		m.Platform, m.AndroidAPI, m.CoManaged, m.Topic, m.Way, m.OtherMDM = p.platform, p.api, p.coManaged, l.topics[p.topic], p.way, p.otherMDM
		if w, known := l.workloads[i]; known {
			m.Workloads, m.WorkloadsKnown = w, true
		}
		l.ev.Device, l.dressed = 0, true
	case protocol.Ready:
		m.Topic, m.Token, m.Awaiting = l.topics[p.topic], l.token(i), p.awaits
		l.dressed = true
	case protocol.Ask:
		if p.platform == protocol.Windows && passage == Unanswered {
			m.Batch = l.opening(p)
			l.dressed = m.Batch != nil
		}
	case protocol.Leave:
		if p.platform == protocol.Windows { // which says only that it tries (windows.md section 7)
			m.Batch, l.dressed = &delivery.Batch{}, true
		}
	}
	return nil
}

// opening is what the first message of a PC's session is, where it cannot be the last one: the session goes on until the device has said that
// it has heard of the newest change of authority, and until a client of Configuration Manager's has said what is its business. So with the
// answer the rest of the session is lost, and the device does not move (AUTH-21). Nil: the message may be the last one, as the rule has it.
func (l *Loop) opening(p *place) *delivery.Batch {
	w, s := l.server.World(), l.store.Lend(p.number)
	switch {
	case s == nil || s.Life != delivery.Enrolled:
		return nil
	case w.Tenant.Authority == protocol.SCCM || s.CoManaged:
		return &delivery.Batch{Phase: delivery.Inquiring, Untold: true}
	case w.Tenant.Epoch > 1 && (s.Heard != w.Tenant.Epoch || w.Unregistered(s)):
		return &delivery.Batch{Phase: delivery.Asking, Untold: true}
	}
	return nil
}

// decide has the server decide on what device i says in c. A PC that leaves before its first session has that and says so with one message, which
// only announces that it tries (windows.md section 7).
func (l *Loop) decide(i int, c *protocol.CheckIn) error {
	if c.Verb == protocol.Leave && l.places[i].platform == protocol.Windows {
		if s := l.store.Lend(l.places[i].number); s != nil && s.Life == delivery.Enrolling {
			first := *c
			first.Verb, l.stale = protocol.Ready, true
			if err := l.dress(i, &first, Whole); err != nil {
				return err
			}
			if err := l.round(); err != nil || l.out.Refusal.Rule != "" {
				return err
			}
			if err := l.dress(i, c, Whole); err != nil {
				return err
			}
		}
	}
	return l.round()
}

// round has the server decide on ev. What it refuses is in out, and is no error.
func (l *Loop) round() error {
	if !l.cfg.plain {
		return l.server.Round(l.ctx, l.Clock(), &l.ev, &l.out)
	}
	err := l.server.Handle(l.ctx, l.Clock(), &l.ev, &l.out)
	if no := new(protocol.Refusal); errors.As(err, &no) {
		return nil
	}
	return err
}

// heard is what a device makes of a notice: nothing, where the vendor's cloud manages it.
func (p *place) heard(n protocol.Notice) protocol.Notice {
	if p.api {
		return protocol.Notice{}
	}
	return n
}

// token is the address of a device: its place, and its enrolment.
func (l *Loop) token(i int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(nil, uint32(i)), l.devices[i].Enrolments())
}

// execute carries out a command, by rule.
func (l *Loop) execute(i int, c *protocol.Command) error {
	d, at := &l.devices[i], &l.places[i]
	at.missing = false
	l.voices.of(i).executes(c)
	l.contact.Executed = append(l.contact.Executed, *c)
	l.step = agent.Event{Kind: agent.Executed, Status: protocol.Acknowledged}
	if l.cfg.Obeys != nil {
		if l.step.Status = l.cfg.Obeys(i, c); l.step.Status != protocol.Acknowledged {
			return nil
		}
	}
	if at.platform.Apple() && dialect.Waits(at.platform, requestOf(c.Kind)) && at.habits.HeldUp(d, &at.busy, l.clockOf(i)) {
		l.contact.Executed = l.contact.Executed[:len(l.contact.Executed)-1]
		l.contact.Deferred++
		l.step.Status, l.step.Until = protocol.NotNow, at.busy
		return nil
	}
	switch c.Kind {
	case protocol.InstallProfile:
		p := &l.server.World().Profiles[c.Profile]
		if l.step.Status = l.installs(i, c.Profile); l.step.Status != protocol.Acknowledged {
			break
		}
		d.Install(agent.Profile{Name: nameOf(p.Identifier), Content: uint64(c.Profile), Family: p.Family})
	case protocol.RemoveProfile:
		if k := d.Find(nameOf(c.Text)); k >= 0 {
			d.Uninstall(k)
		} else if at.platform.Apple() { // elsewhere what is not there is as good as removed (windows.md section 11, android.md section 6)
			l.step.Status, at.missing = protocol.Failed, true
		}
	case protocol.RenewIdentity:
		err := l.certify(i, string(c.Payload))
		switch {
		case errors.Is(err, server.ErrChallenge), errors.Is(err, server.ErrSpent), errors.Is(err, server.ErrExpired):
			l.step.Status = protocol.Failed
		case err != nil:
			return err
		default:
			l.step = agent.Event{Kind: agent.Enrol, CheckOut: true}
		}
	case protocol.Configured:
		at.awaits = false
	case protocol.Erase:
		l.step.Then = agent.Wipe
	case protocol.Retire:
		l.step.Then = agent.Leave
	case protocol.Restart:
		l.step.Then = agent.Reboot
	}
	return nil
}

// installs tells whether a profile installs on a device now. On a PC it does as its settings do; where it is those of its user alone that
// fail, the server takes that user for gone, and the profile for put off (WIN-037).
func (l *Loop) installs(i int, p protocol.Profile) protocol.Status {
	at, d := &l.places[i], &l.devices[i]
	if at.habits.ProfileFails == 0 {
		return protocol.Acknowledged
	}
	profile := &l.server.World().Profiles[p]
	if at.platform != protocol.Windows {
		if at.habits.Fails(d, profile.Identifier, l.clockOf(i)) {
			return protocol.Failed
		}
		return protocol.Acknowledged
	}
	settings, known := l.settings[p]
	if !known {
		if read, err := csp.Read(profile.Payload); err == nil { // else nothing of it has a counterpart
			for _, c := range leavesOf(read.Commands) {
				settings = append(settings, c.Items[0].Target)
			}
		}
		l.settings[p] = settings
	}
	status := protocol.Acknowledged
	for _, uri := range settings {
		switch {
		case !dialect.SettingFails(d, at.habits.ProfileFails, uri, l.clockOf(i)):
		case !strings.HasPrefix(uri, "./User/"):
			return protocol.Failed
		default:
			status = protocol.NotNow
		}
	}
	return status
}

// requestOf is what Apple's protocol calls a command.
func requestOf(k protocol.CommandKind) string {
	switch k {
	case protocol.RenewIdentity:
		return protocol.InstallProfile.String()
	case protocol.Retire:
		return protocol.RemoveProfile.String()
	}
	return k.String()
}

// nameOf is the number by which a device core knows a profile of this identifier.
func nameOf(identifier string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(identifier))
	return h.Sum64()
}
