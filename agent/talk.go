package agent

import (
	"cmp"
	"time"

	"rollcall/protocol"
)

// tick starts a conversation when one is due, and drops what the authority's change has outlived.
func (d *Device) tick(now protocol.Time, out *Actions) {
	d.expire(now, out)
	if d.next == 0 || now < d.next || !d.free() {
		return
	}
	if !d.Owes() {
		d.flags |= wanted
	}
	d.open(out)
}

// woken starts a conversation outside the schedule.
func (d *Device) woken(out *Actions) {
	switch {
	case d.phase != Enrolled || d.flags&off != 0:
	case d.talk != quiet:
		d.flags |= again
	default:
		d.flags |= wanted
		d.open(out)
	}
}

// returned makes up for the contact that was due, or asked for, while the device was off the network: once, whatever it missed. Where its
// platform's devices spread, those that an outage kept away together do not come back together.
func (d *Device) returned(now protocol.Time, asked bool, out *Actions) {
	spread := protocol.ScheduleOf(d.platform).Return
	switch {
	case asked && (spread == 0 || d.phase != Enrolled || !d.free()):
		d.woken(out)
	case spread == 0:
		d.tick(now, out)
	case asked || d.next != 0 && d.next <= now && d.free():
		if d.next <= now {
			d.next = 0
		}
		d.next = d.next.Sooner(now.Add(d.late(spread, now)))
	}
}

// free tells whether a conversation may begin: an enrolling device has only its Ready to say.
func (d *Device) free() bool {
	return d.talk == quiet && d.flags&off == 0 && d.phase.managed()
}

// enrol says the first word of an enrolment, or of a new identity inside the one that there is.
func (d *Device) enrol(ev *Event, out *Actions) {
	switch {
	case d.talk == executing:
		d.flags |= renewing
	case d.talk != quiet || d.phase.managed() || d.flags&off != 0:
		return
	default:
		d.before, d.phase, d.round, d.tries = d.phase, Enrolling, 0, 0
		d.enrolments++
	}
	d.flags &^= checksOut
	if ev.CheckOut {
		d.flags |= checksOut
	}
	d.say(enrolling, protocol.CheckIn{Verb: protocol.Enrol}, out)
}

// open begins a conversation with what the server has still to hear, in the order in which it must hear it.
func (d *Device) open(out *Actions) {
	d.next, d.round = 0, 0
	switch {
	case d.flags&renewing != 0:
		d.say(enrolling, protocol.CheckIn{Verb: protocol.Enrol}, out)
	case d.flags&readyDue != 0:
		d.say(readying, protocol.CheckIn{Verb: protocol.Ready}, out)
	default:
		d.proceed(out)
	}
}

// proceed reports what is to be reported, or asks for work.
func (d *Device) proceed(out *Actions) {
	if d.flags&reportDue != 0 {
		d.report(out)
		return
	}
	d.status = protocol.NoStatus
	d.say(asking, protocol.CheckIn{Verb: protocol.Ask}, out)
}

func (d *Device) report(out *Actions) {
	d.say(reporting, protocol.CheckIn{Verb: protocol.Report, Status: d.status, Command: d.command}, out)
}

func (d *Device) say(t talk, c protocol.CheckIn, out *Actions) {
	d.talk = t
	if d.round < 1<<16-1 {
		d.round++
	}
	c.Device, c.Epoch, c.Round = d.id, d.epoch, d.round
	out.add(Action{Kind: Send, CheckIn: c})
}

// answered takes the server's good answer to the round that was sent.
func (d *Device) answered(now protocol.Time, ev *Event, out *Actions) {
	switch d.talk {
	case enrolling:
		d.flags |= readyDue
		if d.flags&renewing != 0 { // the new identity works: the command that brought it is done
			d.flags = d.flags&^renewing | reportDue
			d.status, d.then = protocol.Acknowledged, Nothing
		}
		if d.platform == protocol.Windows { // it is enrolled with its certificate (windows.md section 4); next is its first session
			d.taken(now)
		}
		d.say(readying, protocol.CheckIn{Verb: protocol.Ready}, out)
	case readying:
		d.flags &^= readyDue
		d.taken(now)
		if d.flags&(reportDue|wanted) != 0 {
			d.proceed(out)
		} else {
			d.finish(now)
		}
	case asking:
		d.take(now, ev, out)
	case reporting:
		d.flags &^= reportDue
		d.delivered(now, ev, out)
	case leaving:
		d.end(Removed, out)
	}
}

// taken is that the enrolment, if it is one, has come about.
func (d *Device) taken(now protocol.Time) {
	if d.phase == Enrolling {
		d.phase, d.enrolledAt = Enrolled, now
	}
}

// delivered does what had to wait for the report, or takes the next command.
func (d *Device) delivered(now protocol.Time, ev *Event, out *Actions) {
	then := d.then
	d.then = Nothing
	switch then {
	case Wipe:
		d.end(Wiped, out)
	case Leave:
		d.leave(out)
	case Reboot:
		d.finish(now)
	case Halt:
		d.finish(now)
		d.flags |= off
	default:
		d.take(now, ev, out)
	}
}

// take reads what an answer brought: one command, or the end of the conversation.
func (d *Device) take(now protocol.Time, ev *Event, out *Actions) {
	if ev.Reply.Kind != protocol.Work {
		d.finish(now)
		return
	}
	d.talk, d.command = executing, ev.Reply.Command.ID
	out.add(Action{Kind: Execute, Command: ev.Reply.Command})
}

// failed ends a conversation that got no further. What is owed stays owed.
func (d *Device) failed(now protocol.Time, ev *Event, out *Actions) {
	switch {
	case d.talk == quiet:
		return
	case d.talk == leaving:
		d.end(Removed, out)
	case d.talk == reporting && d.then == Wipe && d.platform != protocol.Android: // reported once, with no retry; Android's is taken first (AND-079)
		d.end(Wiped, out)
	case d.talk == enrolling && d.flags&renewing == 0:
		d.end(d.before, out)
	case d.talk == enrolling && ev.Kind == Refused: // the old identity still stands
		d.flags = d.flags&^renewing | reportDue
		d.status, d.then = protocol.Failed, Nothing
		d.report(out)
	default:
		d.talk = quiet
		d.flags &^= again
		d.next = now.Add(d.wait(now, ev.RetryAfter))
	}
}

// wait draws the time until the next try: for a try and an hour, as habits are drawn for a spell, so that a device that failed a millisecond
// later, as at a server that counts its devices in another order, comes again as much later.
func (d *Device) wait(now protocol.Time, asked time.Duration) time.Duration {
	back := LastRetry
	if d.tries < 6 { // 1 min << 6 is more than an hour
		back = FirstRetry << d.tries
		d.tries++
	}
	if asked > 0 { // not one moment sooner than asked, and not all devices at the same one
		asked = min(asked, MaxWait)
		return asked + d.someOf(min(asked/8, back), now)
	}
	return back - d.someOf(back/4, now)
}

// finish ends a conversation that went well.
func (d *Device) finish(now protocol.Time) {
	d.talk, d.tries = quiet, 0
	d.next = d.Scheduled(now)
	if d.status == protocol.NotNow && d.until > now { // it comes back by itself only if that was its last word
		d.next = d.next.Sooner(d.until)
	}
	if d.flags&again != 0 || d.Owes() {
		d.next = now
	}
	d.flags &^= wanted | again
	d.status = protocol.NoStatus
}

// Scheduled returns when the platform's own cadence wants the contact after now; 0: devices of the platform do not come by themselves.
func (d *Device) Scheduled(now protocol.Time) protocol.Time {
	s := protocol.ScheduleOf(d.platform)
	if !s.Polls {
		return 0
	}
	return s.After(d.enrolledAt, now, d.place())
}

// Steadily returns the first moment after now that is the device's own in a cadence: those of a population are spread over all of it
// (authority.md, "Schedules").
func (d *Device) Steadily(every time.Duration, now protocol.Time) protocol.Time {
	return (&protocol.Schedule{Steady: every}).After(0, now, d.place())
}

// unenrol removes the enrolment by a decision that is not a command's.
func (d *Device) unenrol(ev *Event, out *Actions) {
	if !d.phase.managed() {
		return
	}
	if ev.Then == Wipe {
		d.flags |= erased
	}
	if ev.CheckOut && d.phase == Enrolled {
		d.leave(out)
		return
	}
	d.end(Removed, out)
}

// leave says good-bye, once, where the enrolment asks for it.
func (d *Device) leave(out *Actions) {
	if d.flags&checksOut == 0 {
		d.end(Removed, out)
		return
	}
	d.say(leaving, protocol.CheckIn{Verb: protocol.Leave}, out)
}

// end ends the enrolment.
func (d *Device) end(p Phase, out *Actions) {
	if p == Removed && d.flags&erased != 0 {
		p = Wiped
	}
	d.strip(p)
	out.add(Action{Kind: Forget})
}

// strip leaves nothing but the phase and what the device is. The next server counts its own epochs.
func (d *Device) strip(p Phase) {
	*d = Device{id: d.id, platform: d.platform, seed: d.seed, enrolments: d.enrolments, phase: p}
}

// managed tells whether there is an enrolment, finished or not.
func (p Phase) managed() bool { return p == Enrolled || p == Enrolling }

// learn takes what the server says of the newest change of authority, where that is news, and a change cannot lie ahead of the
// moment in which it is told. What is on the device leaves with the seven days of the first
// change that it does not outlive, however many follow.
func (d *Device) learn(now protocol.Time, n protocol.Notice, out *Actions) {
	if d.talk == quiet || !d.News(n) {
		return
	}
	d.epoch = n.Epoch
	d.flags &^= grace
	if n.Rule == protocol.RuleRegistered { // all that is here is of the authority in force, also what an earlier change was to end
		for i := range d.profiles {
			d.profiles[i].Until = 0
		}
		d.drops = 0
		return
	}
	d.flags |= grace
	changed := min(n.ChangedAt, now)
	if changed < d.enrolledAt { // all that is here came after that change
		return
	}
	for i := range d.profiles {
		if p := &d.profiles[i]; p.Until == 0 {
			p.Until = changed.Add(cmp.Or(n.Kept, Grace))
		}
	}
	d.drops = now
	d.expire(now, out)
}

// expire drops the old authority's profiles once their time is over (AUTH-27).
func (d *Device) expire(now protocol.Time, out *Actions) {
	if d.drops == 0 || now < d.drops {
		return
	}
	d.drops = 0
	for i := 0; i < len(d.profiles); {
		p := d.profiles[i]
		if p.Until != 0 && p.Until <= now {
			d.Uninstall(i)
			out.add(Action{Kind: Drop, Profile: p})
			continue
		}
		d.drops = d.drops.Sooner(p.Until)
		i++
	}
}
