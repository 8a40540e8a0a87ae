package agent

import "rollcall/protocol"

// Rest does all at once what [Device.Step] does for a steady check-in at now: a [Tick] that finds the contact of the schedule due, or Woken,
// and the answer that there is nothing to do, with notice n. False: nothing has happened, and it takes Step to say what will.
func (d *Device) Rest(now protocol.Time, what EventKind, n protocol.Notice) bool {
	const busy = readyDue | reportDue | renewing | again | off
	switch {
	case d.phase != Enrolled || d.talk != quiet || d.flags&busy != 0 || d.News(n):
		return false
	case what == Tick && (d.next == 0 || now < d.next || d.drops != 0 && now >= d.drops):
		return false
	}
	d.round, d.tries, d.status = 1, 0, protocol.NoStatus
	d.flags &^= wanted
	d.next = d.Scheduled(now)
	return true
}
