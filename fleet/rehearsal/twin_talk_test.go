package rehearsal_test

import (
	"slices"
	"time"

	"rollcall/protocol"
)

// A command waits at the server until the device has answered it for good.
type command struct {
	what       string // install, remove, RenewIdentity, or an order in the administrators' words
	identifier string // of the profile that it installs or removes
	s          *setting
	id         protocol.CommandID // once it was handed out
	offers     int                // in this conversation
	notNow     bool               // and so it was answered
}

// String is what the server calls it, in the twin's words.
func (c *command) String() string {
	switch c.what {
	case "install":
		return "install " + c.s.version
	case "remove":
		return "remove " + c.identifier
	}
	return c.what
}

// isLeaving tells whether an order ends the enrolment (AUTH-53).
func (c *command) isLeaving() bool { return isLeaving(c.what) }

func isLeaving(order string) bool {
	return order == "farewell" || order == "retire" || order == "delete" || order == "wipe"
}

// A deed is what a device did with a command that it was handed.
type deed struct {
	id      protocol.CommandID
	command string // as a command's String says
	status  protocol.Status
}

// A talk is a conversation that the server did not refuse.
type talk struct {
	asked bool // the device asked for work, and did not begin with a report that it owes
	deeds []deed
	lost  bool // the device did not hear the answer to its last word
	cut   bool // which the server never heard
}

// order puts an order behind those that wait.
func (u *unit) order(what string) { u.waiting = append(u.waiting, &command{what: what}) }

// awaits tells whether an order, or a command about a profile with this identifier, waits.
func (u *unit) awaits(what string) bool {
	return slices.ContainsFunc(u.waiting, func(c *command) bool { return c.what == what || c.identifier != "" && c.identifier == what })
}

func (u *unit) isLeaving() bool { return slices.ContainsFunc(u.waiting, (*command).isLeaving) }

// waitingFor is what waits for a device, in any order.
func (u *unit) waitingFor() (all []string) {
	for _, c := range u.waiting {
		all = append(all, c.String())
	}
	slices.Sort(all)
	return all
}

// talks is a conversation: the device carries out what waits for it, and at the end of a whole one it is registered
// (AUTH-21, 23 to 27, 55).
func (w *twin) talks(u *unit, t *talk) {
	if u.life == "deleted" {
		u.life = "enrolled" // AUTH-48
	}
	if t.asked != (u.owes == nil) {
		w.breaks("I3", "the device asked for work: %v; it owes a report: %v", t.asked, u.owes != nil)
		return
	}
	u.seen = w.clock
	last := protocol.NoStatus
	if t.asked {
		for _, c := range u.waiting {
			c.offers, c.notNow = 0, false
		}
	} else {
		last = u.owes.status
		if w.leftBy(u, u.owes, true, true) {
			return
		}
		w.reported(u, u.owes)
		u.owes = nil
	}
	w.plan(u, t.asked)
	if t.asked && w.renews(u) && !u.awaits("RenewIdentity") {
		u.order("RenewIdentity")
	}
	w.hear(u)
	for i := range t.deeds {
		d := &t.deeds[i]
		c := u.handed(d, last)
		if c == nil {
			w.breaks("I3", "the device was handed %s %s; what waits is %v", d.command, d.id, u.waiting)
			return
		}
		w.does(u, c, d)
		answered := !t.lost || i < len(t.deeds)-1
		if !answered {
			u.owes = d
		}
		if w.leftBy(u, d, answered, answered || !t.cut) || !answered && t.cut {
			return
		}
		w.reported(u, d)
		last = d.status
		w.plan(u, false)
	}
	c := u.following(last)
	switch {
	case c == nil:
		w.registers(u)
	case !t.lost:
		w.breaks("I3", "the device was not asked for %s; what waits is %v", c, u.waiting)
	default:
		c.notNow = false // it is offered, which the device has not heard
	}
}

// following is the command that the server hands out next; nil: the conversation is over. Last is what the device said last.
func (u *unit) following(last protocol.Status) *command {
	for _, c := range u.waiting {
		if !c.notNow {
			return c
		}
	}
	for _, c := range u.waiting {
		if u.apple() && c.offers < 2 && last != protocol.NotNow { // the others come again by themselves
			return c
		}
	}
	return nil
}

// handed finds the command that a device was handed, among those that could be: orders in their order, the rest in any.
func (u *unit) handed(d *deed, last protocol.Status) *command {
	first := u.following(last)
	if first == nil {
		return nil
	}
	ordered := true // no order has been passed over
	for _, c := range u.waiting {
		if c.notNow != first.notNow || c.notNow && c.offers >= 2 {
			continue
		}
		if c.String() == d.command && (c.id == d.id || c.id == protocol.CommandID{}) && (c.identifier != "" || ordered) {
			return c
		}
		ordered = ordered && c.identifier != ""
	}
	return nil
}

// does is what becomes of a device by what it was told to do.
func (w *twin) does(u *unit, c *command, d *deed) {
	c.id = d.id
	if c.offers++; c.offers > 2 {
		w.breaks("I3", "%s was handed out for the %dth time in one conversation", c, c.offers)
	}
	if d.status != protocol.Acknowledged {
		return
	}
	switch c.what {
	case "install":
		fresh := *c.s
		fresh.dies, fresh.late = 0, false
		u.on[c.identifier] = &fresh
	case "remove":
		delete(u.on, c.identifier)
	case "RenewIdentity":
		w.identifies(u)
	}
}

// reported is the device's word of a command, when it has come to the server.
func (w *twin) reported(u *unit, d *deed) {
	at := slices.IndexFunc(u.waiting, func(c *command) bool { return c.id == d.id })
	if at < 0 {
		return // it has said so before
	}
	c := u.waiting[at]
	if d.status == protocol.NotNow {
		c.notNow = true
		return
	}
	u.waiting = slices.Delete(u.waiting, at, at+1)
	switch c.what {
	case "install":
		if d.status != protocol.Acknowledged {
			u.tries[c.s.version]++
			return
		}
		s := *c.s
		want := w.wanted(u)[c.identifier]
		s.late = want == nil || want.version != s.version
		u.listed[c.identifier] = &s
		delete(u.stuck, c.identifier)
		w.forget(u, c.identifier)
	case "remove":
		if d.status != protocol.Acknowledged {
			u.stuck[c.identifier]++
			return
		}
		delete(u.listed, c.identifier)
		delete(u.stuck, c.identifier)
	}
}

// leftBy tells whether a deed ends the enrolment: of a device that leaves once the server has confirmed it, or is wiped
// whatever becomes of its word, unless it is Android's, which waits for that as well (AND-079), and of the server's record once that has
// heard of it (AUTH-53).
func (w *twin) leftBy(u *unit, d *deed, answered, heard bool) bool {
	at := slices.IndexFunc(u.waiting, func(c *command) bool { return c.id == d.id })
	if at < 0 || !u.waiting[at].isLeaving() || d.status != protocol.Acknowledged {
		return false
	}
	what := u.waiting[at].what
	if answered || what == "wipe" && !u.android() {
		u.forgets()
	}
	if heard {
		w.leaves(u, what, true)
	}
	return true
}

// renews tells whether a check-in renews the identity (AUTH-41): in the last 42 days, of a short life in its last third.
func (w *twin) renews(u *unit) bool {
	window := min(42*day, u.ends.Sub(u.from)/3)
	due := u.ends.Add(-window)
	return w.clock >= due-due%protocol.Time(time.Second/time.Microsecond)
}

// registers is the end of a completed check-in.
func (w *twin) registers(u *unit) {
	u.was = u.registered
	if to := w.next(u); to != u.registered || u.owner >= 0 {
		u.registered, u.epoch = to, w.epoch
	}
	u.support = false
}
