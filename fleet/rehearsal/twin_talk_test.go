package rehearsal_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
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

func isLeaving(order string) bool { return order == "retire" || order == "delete" || order == "wipe" }

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

// owner is whose a profile version is: "3.2" is the second version of the third on the shelf.
func owner(version string) string {
	place, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(place)
	return shelf[n][1]
}

// old tells whether the server knows of profiles of the authority before, on the device or on their way.
func (w *twin) old(u *unit) bool {
	whose := w.profilesOf(u)
	for _, s := range u.listed {
		if s.whose != whose {
			return true
		}
	}
	for version := range u.tries {
		if owner(version) != whose {
			return true
		}
	}
	return slices.ContainsFunc(u.waiting, func(c *command) bool { return c.what == "install" && c.s.whose != whose })
}

// hear is a device that hears of the newest change: what it has had from before then has seven days (AUTH-27). A device is
// told of the change, not of each profile: where any is the authority before's, all go, and those that it should have come
// again. A licence that comes later, while the gap holds the device, makes its profiles the authority before's too.
func (w *twin) hear(u *unit) {
	newer, ends := u.heard != w.epoch, w.old(u) && !(w.tenant == "both" && u.epoch == w.epoch)
	if w.epoch <= 1 || u.kind == "api" || !newer && (u.ending || !ends) {
		return
	}
	u.heard, u.ending = w.epoch, ends
	for _, s := range u.on {
		switch {
		case !ends:
			s.dies = 0
		case w.changed < u.joined: // the server's clock was wrong: to the device all that is here came later
		case s.dies == 0:
			s.dies = min(w.changed, w.now).Add(7 * day)
		}
	}
	w.expire(u)
}

// expire takes from a device what has to go by now.
func (w *twin) expire(u *unit) {
	maps.DeleteFunc(u.on, func(_ string, s *setting) bool { return s.dies != 0 && s.dies <= w.now })
}

// renews tells whether a check-in renews the identity (AUTH-41): in the last 42 days, of a short life in its last third.
func (w *twin) renews(u *unit) bool {
	window := min(42*day, u.ends.Sub(u.from)/3)
	due := u.ends.Add(-window)
	return w.clock >= due-due%protocol.Time(time.Second/time.Microsecond)
}

// stays tells whether a profile that is unassigned stays on a device (AUTH-55).
func (u *unit) stays(family string) bool {
	return family == "configuration" && (u.kind == "android" || u.kind == "api")
}

// goes tells whether a profile that the server knows to be on a device has to go now.
func (w *twin) goes(u *unit, identifier string, wanted map[string]*setting) bool {
	s, next := u.listed[identifier], wanted[identifier]
	switch {
	case next != nil && next.version == s.version:
		return false
	case s.whose == w.profilesOf(u):
		return next == nil && !u.stays(s.family) // AUTH-55
	case next != nil && u.tries[next.version] == 0:
		return false // it is replaced
	case w.tenant == "both": // AUTH-23, AUTH-24
		return true
	case !w.doubt && w.clock >= w.changed.Add(7*day): // AUTH-27
		return true
	case s.late: // it was not there to be kept
		return true
	}
	for id, x := range wanted { // AUTH-26
		if x.name == s.name && x.family == s.family {
			return u.listed[id] != nil && u.listed[id].version == x.version
		}
	}
	return false
}

// mostTries is how often a profile that fails is tried.
const mostTries = 3

// plan puts what it takes to give a device what it should have behind the commands that wait. Anew: what failed in an earlier
// conversation is tried again.
func (w *twin) plan(u *unit, anew bool) {
	wanted := w.wanted(u)
	for version := range u.tries {
		if !slices.ContainsFunc(slices.Collect(maps.Values(wanted)), func(s *setting) bool { return s.version == version }) {
			delete(u.tries, version)
		}
	}
	// A device that may have dropped what it should have, or be about to, gets it again, once: one that heard of the change with
	// profiles of the authority before on it, and one that missed an epoch, of which nobody knows what it heard.
	again := u.owner >= 0 && u.epoch < w.epoch && u.fresh != w.epoch && (w.epoch-u.epoch > 1 || w.old(u))
	if again {
		u.fresh = w.epoch
	}
	w.takeOff(u, wanted, false)
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		s, has := wanted[id], u.listed[id]
		switch {
		case u.awaits(id), u.tries[s.version] >= mostTries, u.tries[s.version] > 0 && !anew, has != nil && has.version == s.version && !again:
		default:
			if has != nil && has.version == s.version {
				delete(u.listed, id)
			}
			u.waiting = append(u.waiting, &command{what: "install", identifier: id, s: s})
		}
	}
	w.takeOff(u, wanted, true) // after what takes their place
	for _, s := range u.listed {
		s.late = false
	}
}

// takeOff has profiles go: the authority's own, or those of the one before.
func (w *twin) takeOff(u *unit, wanted map[string]*setting, old bool) {
	whose := w.profilesOf(u)
	for _, id := range slices.Sorted(maps.Keys(u.listed)) {
		s := u.listed[id]
		switch {
		case u.awaits(id), (s.whose != whose) != old:
		case w.goes(u, id, wanted):
			u.waiting = append(u.waiting, &command{what: "remove", identifier: id})
		case wanted[id] == nil && s.whose == whose: // it stays, and is nobody's from now on
			delete(u.listed, id)
		}
	}
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
		second := protocol.Time(time.Second / time.Microsecond)
		u.from = w.clock - w.clock%second
		u.ends = u.from.Add(w.life)
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
		w.forget(u, c.identifier)
	case "remove":
		delete(u.listed, c.identifier)
	}
}

// forget has nobody count the tries of profiles with an identifier any more: one of them is there.
func (w *twin) forget(u *unit, identifier string) {
	maps.DeleteFunc(u.tries, func(version string, _ int) bool {
		place, _, _ := strings.Cut(version, ".")
		n, _ := strconv.Atoi(place)
		return shelf[n][4] == identifier
	})
}

// next is the command that the server hands out next; nil: the conversation is over. Last is what the device said last.
func (u *unit) following(last protocol.Status) *command {
	for _, c := range u.waiting {
		if !c.notNow {
			return c
		}
	}
	for _, c := range u.waiting {
		if c.offers < 2 && last != protocol.NotNow {
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
	if !t.lost && c != nil {
		w.breaks("I3", "the device was not asked for %s; what waits is %v", c, u.waiting)
	}
	if c == nil {
		w.registers(u)
	}
}

// leftBy tells whether a deed ends the enrolment: of a device that leaves once the server has confirmed it, or is wiped
// whatever becomes of its word, and of the server's record once that has heard of it (AUTH-53).
func (w *twin) leftBy(u *unit, d *deed, answered, heard bool) bool {
	at := slices.IndexFunc(u.waiting, func(c *command) bool { return c.id == d.id })
	if at < 0 || !u.waiting[at].isLeaving() || d.status != protocol.Acknowledged {
		return false
	}
	what := u.waiting[at].what
	if answered || what == "wipe" {
		u.forgets()
	}
	if heard {
		w.leaves(u, what, true)
	}
	return true
}

// registers is the end of a completed check-in.
func (w *twin) registers(u *unit) {
	u.was = u.registered
	if to := w.next(u); to != u.registered || u.owner >= 0 {
		u.registered, u.epoch = to, w.epoch
	}
	u.support = false
}

// waitingFor is what waits for a device, in any order.
func (u *unit) waitingFor() (all []string) {
	for _, c := range u.waiting {
		all = append(all, c.String())
	}
	slices.Sort(all)
	return all
}

func (s *setting) String() string {
	if s.dies != 0 {
		return fmt.Sprintf("%s until %s", s.version, s.dies)
	}
	return s.version
}
