package delivery

import (
	"time"

	"rollcall/protocol"
	"rollcall/server/renewal"
)

// Decide says what in means for the device in state s of world w, and overwrites out. It is pure: w, s and in are only
// read, and the same arguments give the same outcome. A steady Ask, with nothing to do, allocates nothing.
func Decide(now protocol.Time, w *World, s *State, in *Event, out *Outcome) {
	out.State = *s
	out.Changed, out.Completed, out.Facts = 0, false, nil
	out.Reply, out.Refusal = protocol.Reply{More: out.Reply.More[:0]}, protocol.Refusal{}
	out.Commands, out.Effects = out.Commands[:0], out.Effects[:0]
	out.Exchange.Key, out.Exchange.Answer = Key{}, out.Exchange.Answer[:0]

	d := decision{now: now, w: w, s: s, in: in, out: out, n: &out.State}
	switch in.Kind {
	case CheckInRound:
		if in.Verb == protocol.Enrol {
			d.enrol()
		} else if d.identify() && !d.blocked() {
			d.round()
		}
		d.notify()
	case PushReport:
		d.pushed()
	case Administered:
		d.order()
	case IdentityIssued:
		d.rare().Next = in.Credential.Identity
		d.out.Changed |= Core
		d.journal(WhatIssued, protocol.RuleRenewal, "")
	case RecordDue:
		d.cleanUp()
	case Supported:
		d.support()
	case Displaced:
		d.displaced()
	}
	if n := d.n; n.Set != s.Set || n.Awaiting != s.Awaiting || n.Rare != s.Rare && n.Rare.Read().Renewal != s.Rare.Read().Renewal { // which many things change by the way
		out.Changed |= Core
	}
	if d.ownQueue && len(d.n.Queue) == 0 && cap(d.n.Queue) > 0 { // a device at rest keeps no room for commands
		out.queues, d.n.Queue = spare(out.queues, d.n.Queue, nil), nil
	}
	d.n.Rare = d.n.Rare.Kept()
}

// notify tells an enrolled device of the newest change of authority, with whatever answer it gets (AUTH-27). A round with a Batch that is
// none of the conversation's own, or that the device has not said all of, is not answered with it: it hears in the next.
func (d *decision) notify() {
	if d.n.Life != Enrolled || d.w.Tenant.Epoch <= 1 || d.out.Refusal.Rule != "" {
		return
	}
	unheard := d.n.Heard != d.w.Tenant.Epoch
	if unheard && d.s.LastSeen <= d.w.Tenant.ChangedAt {
		d.recall()
	}
	b := d.in.Batch
	if b != nil && b.UserAlone {
		return
	}
	d.out.Reply.Notice = d.w.notice(d.n)
	if untold := b != nil && (b.Phase == Partial || b.Untold || d.in.Verb == protocol.Ready); unheard && !untold {
		d.hear()
	}
}

// hear notes that the device has been told of the newest change.
func (d *decision) hear() {
	d.n.Heard = d.w.Tenant.Epoch
	d.out.Changed |= Core
}

// recall keeps what the device had reported before the newest change, at its first contact since (AUTH-29).
func (d *decision) recall() {
	d.n.Before = d.s.latest()
	d.out.Changed |= Core
}

// A decision is one call of Decide. It never leaves the stack.
type decision struct {
	now protocol.Time
	w   *World
	s   *State // as it was
	in  *Event
	out *Outcome
	n   *State // as it will be: &out.State

	ownQueue, ownProfiles, ownRare bool // n.Queue, n.Profiles, n.Rare are copies already

	final bool // what in reports as failed is not tried again
	waits bool // what in reports as not now is only asked after
}

// rare returns n.Rare to be changed.
func (d *decision) rare() *Rare {
	if !d.ownRare {
		r := *d.n.Rare.Read()
		d.n.Rare, d.ownRare = &r, true
	}
	return d.n.Rare
}

// seen is that the device is heard of: after all that waits for it was queued, also where the clock was set back since (HST-110).
func (d *decision) seen() {
	d.n.LastSeen = d.now
	for i := range d.n.Queue {
		if d.n.Queue[i].At > d.now {
			q := &d.changeQueue()[i]
			q.At = d.now - 1
			d.out.Commands = append(d.out.Commands, CommandChange{Queued: *q})
		}
	}
}

// round is a round of an identified device's conversation, other than Enrol.
func (d *decision) round() {
	if d.s.Life == Deleted {
		d.restore()
	}
	if d.s.Life == Ended {
		// The device may not have heard that it is over, or repeats itself: answered, and nothing changes (HST-052).
		if d.in.Verb == protocol.Report {
			d.stray(d.in.Command.String())
		}
		if d.in.Verb == protocol.GetEscrow {
			d.out.Reply.Kind = protocol.Escrow
		}
		return
	}
	d.seen()
	if d.in.Verb != protocol.Leave {
		d.remains()
	}
	if d.in.WorkloadsKnown {
		d.workloads()
	}
	switch d.in.Verb {
	case protocol.Ready:
		d.ready()
	case protocol.Ask:
		d.ask()
	case protocol.Report:
		d.report()
	case protocol.Leave:
		d.leave()
	case protocol.PutEscrow:
		d.rare().Escrow = clone(d.in.Escrow)
		d.out.Changed |= Secrets
	case protocol.GetEscrow:
		d.out.Reply.Kind, d.out.Reply.Escrow = protocol.Escrow, d.s.Rare.Read().Escrow
	}
}

// ask begins a conversation: whatever the device should have is queued, and the head of the queue handed out.
func (d *decision) ask() {
	if d.s.Life != Enrolled {
		return // before Ready there is no work (APL-031)
	}
	if !d.pace() {
		return
	}
	d.facts()
	if b := d.in.Batch; b == nil || b.Phase < Inquiring {
		d.reconcile(true)
	}
	if d.n.Awaiting && !d.queued(protocol.Configured) {
		d.queue(protocol.Command{Kind: protocol.Configured})
	}
	id, set, r := &d.n.Identity, &d.w.Settings, &d.n.Rare.Read().Renewal
	if renewal.Due(d.now, id.NotBefore, id.NotAfter, r.Asked, r.Command != protocol.CommandID{}, set.Window, set.Renew) {
		d.renew()
	}
	if len(d.n.Queue) > 0 {
		for i := range d.changeQueue() {
			d.n.Queue[i].Offers, d.n.Queue[i].NotNow = 0, false
		}
	}
	if d.in.Batch != nil {
		d.nextOfBatch(d.in.Batch)
		return
	}
	d.next(protocol.NoStatus)
}

// A device may ask this often in a minute (HST-056): a thousand times a second, which no device has a reason to and a load
// test with few devices may come near to, and which leaves most of the server to the others.
const (
	paceAsks   = 60_000
	paceWindow = time.Minute
)

// ask counts an Ask at now; false: it is one too many.
func (p *Pace) ask(now protocol.Time) bool {
	if p.over(now) {
		*p = Pace{Since: now}
	}
	if p.Times >= paceAsks {
		return false
	}
	p.Times++
	return true
}

func (p *Pace) over(now protocol.Time) bool { return now.Sub(p.Since) >= paceWindow || now < p.Since }

// spent tells whether an Ask at now would be one too many.
func (p *Pace) spent(now protocol.Time) bool { return p.Times >= paceAsks && !p.over(now) }

// pace refuses a device that asks as fast as the line lets it. The journal hears of it once a minute.
func (d *decision) pace() bool {
	p := &d.n.Pace
	if p.ask(d.now) {
		return true
	}
	again, first := p.Since.Add(paceWindow).Sub(d.now), p.Times == paceAsks
	d.refusal(&protocol.Refusal{Rule: "HST-056", Reason: "the device asks too often", RetryAfter: again}, WhatRefused)
	if first {
		d.n.Pace.Times++
	} else {
		d.out.Effects = d.out.Effects[:0]
	}
	return false
}

// order is an administrator's: a command, or only a wake-up.
func (d *decision) order() {
	order := &d.in.Order
	switch {
	case d.s.Life != Enrolled && order.Kind == protocol.Retire && order.Text == AndDelete:
		if d.s.Identity.Fingerprint != (Fingerprint{}) { // nobody is there to be told
			d.effect(Revoke, d.s.Identity.Fingerprint)
		}
		d.remove(protocol.RuleRetire, "an administrator deleted it")
		return
	case d.s.Life != Enrolled:
		d.refuse(protocol.RuleNotRenewed, WhatRefused, "the device is not enrolled")
		return
	case order.Kind == protocol.Retire && order.Text == AndDelete:
		if !d.deleted() { // else it is told already
			d.queue(*order)
		}
	case order.Kind != protocol.NoCommand && d.leaving() && !(leaves(order.Kind) && d.queued(order.Kind)): // twice is once
		d.refuse(protocol.RuleRetire, WhatRefused, "the device is leaving already: what is ordered now it would never hear of")
		return
	case order.Kind == protocol.Lock && d.s.Registered == protocol.Office365:
		d.refuse(protocol.RuleUnsupportedBMS, WhatRefused, "the device is under Basic Mobility and Security, which has no remote lock: retire or wipe it")
		return
	case order.Kind == protocol.Lock && d.queued(protocol.Lock):
		if d.s.Platform == protocol.Android { // it has no PIN to leave it with
			d.refuse("AND-035", WhatRefused, "a lock is pending: the device locks when it hears of it, and a second one would do no more")
			return
		}
		d.refuse("APL-064", WhatRefused, "a lock is pending; a second one would leave the device with the first PIN")
		return
	case order.Kind != protocol.NoCommand:
		d.queue(*order)
	}
	d.n.Wake = d.s.Wake.Ask(d.now, Changed)
	d.out.Changed |= Wakes
}

// cleanUp removes the record of a device whose identity ended long ago (AUTH-43), that never finished its enrolment
// (HST-045), or that the clean-up rule calls silent (AUTH-48). A wake-up that the clock has put further away than any schedule does is
// scheduled again (HST-110).
func (d *decision) cleanUp() {
	if d.s.Life == Enrolled && d.s.Wake.Due.Sub(d.now) > protocol.LongestCadence {
		d.n.Wake = d.scheduled()
		d.out.Changed |= Wakes
	}
	switch silent := d.w.Settings.Silent; {
	case !d.aged():
	case d.s.GoneAt() != 0 && d.now >= d.s.GoneAt():
		d.gone()
	case d.s.Life == Enrolling && d.now >= d.s.LastSeen.Add(renewal.Unfinished):
		d.unfinished()
	case d.s.Identity.NotAfter != 0 && d.now >= renewal.RemovedAt(d.s.Identity.NotAfter, d.w.Settings.Records):
		d.remove(protocol.RuleRecordKept, "identity ended "+d.s.Identity.NotAfter.String())
	case silent == 0 || d.s.LastSeen == 0 || d.now < d.s.LastSeen.Add(silent) || d.s.Life == Deleted:
	case d.s.Life == Enrolled:
		d.n.Life = Deleted
		d.out.Changed |= Core
		d.journal(WhatRecordRemoved, protocol.RuleCleanUp, "silent since "+d.s.LastSeen.String())
	default:
		d.remove(protocol.RuleCleanUp, "silent since "+d.s.LastSeen.String())
	}
}

// unfinished ends an enrolment whose Ready never came: of a device that was never enrolled nothing is kept.
func (d *decision) unfinished() {
	const why = "the enrolment was not finished"
	d.effect(Revoke, d.s.Identity.Fingerprint)
	if d.s.Registered == protocol.Unknown {
		d.remove("HST-045", why)
		return
	}
	d.end("HST-045", why)
}

// restore gives a device its record back (AUTH-48).
func (d *decision) restore() {
	was := *d.s
	was.Life = Enrolled
	d.s, d.n.Life = &was, Enrolled
	d.n.Wake = d.scheduled()
	d.out.Changed |= Core | Wakes
	d.journal(WhatRestored, protocol.RuleCleanUp, "")
}

func (d *decision) remove(r protocol.Rule, why string) {
	d.out.Changed |= Gone
	d.journal(WhatRecordRemoved, r, why)
}

// refuse says no: nothing changes, and the journal says why.
func (d *decision) refuse(r protocol.Rule, what What, reason string) {
	d.refusal(&protocol.Refusal{Rule: r, Reason: reason}, what)
}

func (d *decision) refusal(no *protocol.Refusal, what What) {
	d.out.State, d.out.Changed, d.out.Facts, d.ownRare = *d.s, 0, nil, false
	d.out.Commands, d.out.Effects = d.out.Commands[:0], d.out.Effects[:0]
	d.out.Refusal = *no
	if d.s.Life != NoLife {
		d.journal(what, no.Rule, no.Reason)
		return
	}
	d.out.Changed = Gone // there is no record of it, and this does not make one
	d.out.Effects = append(d.out.Effects, Effect{Kind: Journal, Rule: no.Rule, What: what, Detail: "device " + d.in.ID + ": " + no.Reason})
}

func (d *decision) journal(what What, r protocol.Rule, detail string) {
	d.out.Effects = append(d.out.Effects, Effect{Kind: Journal, Device: d.s.Device, Rule: r, What: what, Detail: detail})
}

func (d *decision) effect(k EffectKind, f Fingerprint) {
	d.out.Effects = append(d.out.Effects, Effect{Kind: k, Device: d.s.Device, Fingerprint: f})
}

// clone copies b; nothing becomes nil.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}
