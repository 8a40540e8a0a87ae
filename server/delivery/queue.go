package delivery

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"rollcall/protocol"
)

// maxOffers is how often a command that an Apple device answers NotNow is handed out in one conversation: without a limit two commands that are
// answered NotNow would go round for ever (apple.md section 6.4). To all others it is handed out once, as in a [Batch].
const maxOffers = 2

// queue puts c at the end of the queue under a new id.
func (d *decision) queue(c protocol.Command) protocol.CommandID {
	d.n.Seq++
	c.ID, c.Payload = d.id(), nil
	q := Queued{Command: c, Seq: d.n.Seq, At: max(d.now, d.n.LastSeen)} // the clock may have been set back since (HST-110)
	d.n.Queue = append(d.changeQueue(), q)
	d.out.Commands = append(d.out.Commands, CommandChange{Queued: q})
	d.out.Changed |= Counts
	d.journal(WhatQueued, "", d.describe(&c))
	return c.ID
}

// id makes the UUID (version 4) of the command that n.Seq counts. It differs between commands even when two events come
// with the same seed.
func (d *decision) id() (id protocol.CommandID) {
	var p rand.PCG
	p.Seed(d.in.Seed[0]^uint64(d.s.Device)<<32, d.in.Seed[1]^d.n.Seq)
	binary.BigEndian.PutUint64(id[:8], p.Uint64())
	binary.BigEndian.PutUint64(id[8:], p.Uint64())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// report records what became of a command and answers with the next.
func (d *decision) report() {
	d.facts()
	if b := d.in.Batch; b != nil {
		d.reports(b)
		return
	}
	if d.answer() && d.s.Life == Enrolled {
		d.reconcile(false)
		d.next(d.in.Status)
	}
}

// reports records what became of many commands and answers with the next.
func (d *decision) reports(b *Batch) {
	whole := d.in
	one := *whole
	d.in = &one
	goesOn := true
	for i := 0; i < len(b.Reports) && goesOn; i++ {
		r := &b.Reports[i]
		one.Command, one.Status, one.Result, one.Errors, one.Missing, d.final, d.waits = r.Command, r.Status, r.Result, r.Errors, r.Missing, r.Final, r.Pending
		goesOn = d.answer()
	}
	d.in, d.final, d.waits = whole, false, false
	if !goesOn || d.s.Life != Enrolled {
		return
	}
	if b.Phase < Inquiring {
		d.reconcile(b.Late)
	}
	d.nextOfBatch(b)
}

// answer records what became of one command. False: the enrolment ended with it.
func (d *decision) answer() bool {
	i := d.reported()
	switch {
	case i < 0 || d.in.Status == protocol.NoStatus:
		// A repeat, or a command of a time that the store does not remember: the device must be answered, or it would
		// say the same for ever (APL-052, APL-053).
		d.stray(d.in.Command.String() + " " + d.in.Status.String())
	case d.in.Status == protocol.NotNow && d.n.Queue[i].NotNow: // not handed out again since: our answer was lost
		d.stray(d.in.Command.String() + " " + d.in.Status.String())
	case d.in.Status == protocol.NotNow && d.waits && d.pendingSince(i).Add(maxPending) <= d.now:
		d.in.Status, d.in.Errors = protocol.Failed, d.in.Errors+"; no end after a week"
		return d.settle(i)
	case d.in.Status == protocol.NotNow:
		since := d.pendingSince(i)
		q := &d.changeQueue()[i]
		q.NotNow = true
		if q.Kind == protocol.InstallProfile {
			q.Text = ""
			if d.waits {
				q.Text = Pending + since.Time().UTC().Format(time.RFC3339)
			}
		}
		d.n.Reports.NotNow++
		d.answered(*q, false)
		d.journal(WhatDeferred, "", d.describe(&q.Command))
	default:
		return d.settle(i)
	}
	return true
}

const maxPending = 7 * 24 * time.Hour

// pendingSince is when the device began to be asked what has become of the command at i: now, where it is asked for the first time.
func (d *decision) pendingSince(i int) protocol.Time {
	text, _ := strings.CutPrefix(d.n.Queue[i].Text, Pending)
	since, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return d.now
	}
	return protocol.At(since)
}

// The journal hears of so many reports of unknown commands of one device in a day: enough for every answer that was lost,
// too few to fill a disk (HST-052).
const (
	maxStrays   = 20
	strayWindow = 24 * time.Hour
)

// stray writes a report of an unknown command into the journal.
func (d *decision) stray(detail string) {
	p := &d.rare().Strays
	if d.now.Sub(p.Since) >= strayWindow || d.now < p.Since {
		*p = Pace{Since: d.now}
	}
	if p.Times == maxStrays {
		return
	}
	if p.Times++; p.Times == maxStrays {
		detail += ": more of them are not written today"
	}
	d.journal(WhatUnknownReport, "HST-052", detail)
}

// reported finds the command that a report is about, -1: there is none. A report of a format error may not say which: then it
// is the one handed out last.
func (d *decision) reported() int {
	last := -1
	for i := range d.n.Queue {
		q := &d.n.Queue[i]
		if q.ID == d.in.Command {
			return i
		}
		if q.Offers > 0 && !q.NotNow {
			last = i
		}
	}
	if d.in.Command != (protocol.CommandID{}) || d.in.Status != protocol.CommandFormatError {
		return -1
	}
	if last < 0 && len(d.n.Queue) > 0 {
		return 0 // we have been restarted since: what is handed out is the head
	}
	return last
}

// settle takes the command at i, which was answered for good, out of the queue. False: the enrolment ended with it.
func (d *decision) settle(i int) bool {
	q := d.n.Queue[i]
	d.n.Queue = append(d.changeQueue()[:i], d.n.Queue[i+1:]...)
	done := d.in.Status == protocol.Acknowledged
	switch d.in.Status {
	case protocol.Acknowledged:
		d.n.Reports.Acknowledged++
	case protocol.Failed:
		d.n.Reports.Failed++
	default:
		d.n.Reports.FormatError++
	}
	d.answered(q, true)
	detail := d.describe(&q.Command) + ": " + d.in.Status.String()
	if d.in.Errors != "" {
		detail += ": " + d.in.Errors
	}
	d.journal(WhatReported, "", oneLine(detail))

	switch q.Kind {
	case protocol.InstallProfile:
		d.installed(q.Profile, done)
	case protocol.RemoveProfile:
		if q.Profile == 0 { // one that the server never knew
			d.journal(WhatProfileRemoved, protocol.RuleRestored, q.Text)
			break
		}
		d.removed(q.Profile, done)
	case protocol.ProfileList:
		if done && q.Text == FromBackup {
			d.listed(d.in.Installed)
		}
	case protocol.RenewIdentity:
		if d.n.Rare.Read().Renewal.Command == q.ID {
			d.rare().Renewal.Command = protocol.CommandID{}
		}
	case protocol.Configured:
		if done {
			d.n.Awaiting = false
			d.journal(WhatConfigured, "", "")
		}
	case protocol.Erase, protocol.Retire:
		if !done {
			break
		}
		why := "erased"
		switch {
		case q.Text == Farewell:
			d.end("", leftByItself)
			return false
		case q.Kind == protocol.Retire:
			why = "retired"
		}
		d.end(protocol.RuleRetire, why)
		if d.in.Kind != RecordDue { // else it may yet say farewell, and is answered (WIN-040)
			revoked := Effect{Kind: Revoke, Device: d.s.Device, Fingerprint: d.n.Identity.Fingerprint}
			if q.Kind == protocol.Retire && d.s.Platform != protocol.Android { // a wiped device has nothing left to say it with; an Android device has said it, or never will
				revoked.Farewell = d.now.Add(partsFor)
			}
			d.out.Effects = append(d.out.Effects, revoked)
			d.journal(WhatRevoked, protocol.RuleRetire, why)
		}
		if q.Kind == protocol.Retire && q.Text == AndDelete {
			d.remove(protocol.RuleRetire, "an administrator deleted it")
		}
		return false
	}
	return true
}

// answered writes a command's row of the history.
func (d *decision) answered(q Queued, final bool) {
	d.out.Commands = append(d.out.Commands, CommandChange{
		Queued: q, Status: d.in.Status, Final: final, Result: d.in.Result, Errors: d.in.Errors,
	})
	d.out.Changed |= Counts
}

// next answers with the command to be done next, or ends the conversation. Last is what the device just said.
func (d *decision) next(last protocol.Status) {
	again := -1
	for i := range d.n.Queue {
		q := &d.n.Queue[i]
		switch {
		case !q.NotNow: // new in this conversation, or handed out and not answered
			d.offer(i)
			return
		case q.Offers < maxOffers && again < 0 && d.s.Platform.Apple():
			again = i
		}
	}
	if again >= 0 && last != protocol.NotNow {
		// A device comes back by itself only if NotNow was the last that it said.
		d.offer(again)
		return
	}
	d.out.Completed = true
	d.register()
	d.rest()
}

func (d *decision) offer(i int) {
	q := &d.changeQueue()[i]
	if q.Offers == 0 || q.NotNow { // else our answer was lost, and this is the same offer again
		q.Offers++
	}
	q.NotNow = false
	d.out.Reply = protocol.Reply{Kind: protocol.Work, Command: q.Command}
}

// nextOfBatch answers with all commands that were not handed out in this conversation, or ends it. What was handed out and is not
// answered by the end of the conversation stays queued for the next one (WIN-036).
func (d *decision) nextOfBatch(b *Batch) {
	if b.Phase >= Inquiring {
		return
	}
	held := false
	for i := range d.n.Queue {
		q := &d.n.Queue[i]
		switch {
		case q.NotNow, q.Offers > 0 && !slices.Contains(b.Again, q.ID):
			continue
		case b.SignedOut && d.w.profile(q.Profile).UserScope: // held back (WIN-037)
			continue
		case b.UserAlone && !d.w.profile(q.Profile).UserScope:
			held = true
			continue
		}
		if q.Offers == 0 {
			q = &d.changeQueue()[i]
			q.Offers = 1
		}
		if r := &d.out.Reply; r.Kind != protocol.Work {
			r.Kind, r.Command = protocol.Work, q.Command
		} else {
			r.More = append(r.More, q.Command)
		}
	}
	if held || b.UserAlone && d.w.Tenant.Epoch > 1 && d.n.Heard != d.w.Tenant.Epoch {
		return // the device itself has not been asked for what it should have: it comes again, and does not move with this (AUTH-21)
	}
	if d.out.Reply.Kind != protocol.Work && b.Phase != Asking {
		d.out.Completed = true
		d.register()
		d.rest()
	}
}

// queued tells whether a command of kind k waits for its answer.
func (d *decision) queued(k protocol.CommandKind) bool {
	for i := range d.n.Queue {
		if d.n.Queue[i].Kind == k {
			return true
		}
	}
	return false
}

// changeQueue returns n.Queue as a slice that may be changed, with room for some more.
func (d *decision) changeQueue() []Queued {
	if !d.ownQueue {
		d.n.Queue = append(again(&d.out.queues, len(d.n.Queue), 4), d.n.Queue...)
		d.ownQueue = true
	}
	return d.n.Queue
}

// renew asks the device for a new identity. One such command at a time (APL-091).
func (d *decision) renew() {
	id := d.queue(protocol.Command{Kind: protocol.RenewIdentity})
	d.rare().Renewal = Renewal{Asked: d.now, Command: id, Tries: d.n.Rare.Read().Renewal.Tries + 1}
	d.journal(WhatRenewalAsked, protocol.RuleRenewal, "valid until "+d.n.Identity.NotAfter.String())
}

// maxDetail is how many bytes of what a device says go into one line of the journal. The report itself is kept whole.
const maxDetail = 1024

// oneLine makes one line of what a device says (HST-068).
func oneLine(s string) string {
	if len(s) <= maxDetail && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f }) < 0 {
		return s // mostly
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	if len(s) <= maxDetail {
		return s
	}
	cut := maxDetail
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// describe says a command in a few words.
func (d *decision) describe(c *protocol.Command) string {
	if c.Profile == 0 {
		return c.Kind.String()
	}
	return c.Kind.String() + " " + d.w.profile(c.Profile).Name
}
