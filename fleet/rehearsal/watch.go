package rehearsal

import (
	"cmp"
	"encoding/binary"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// A Violation is an invariant that did not hold.
type Violation struct {
	At        protocol.Time
	Device    string // what the wire calls it
	Invariant string // I1 ... I10
	What      string
}

// A Watch holds every event of a server against the invariants of the authority specification and keeps the server's side
// of the log. It outlives restarts of the server. Of I4 it sees the server's word, the device's is held against that at the
// end ([Run.Tell]); for I8 it hears who is off the network, for I10 what was previewed. The zero Watch is not ready: use
// [NewWatch].
type Watch struct {
	add func(Line) // to the log

	mu         sync.Mutex
	devices    [][]watched                           // by number, in pieces that stay where they are
	ids        []string                              // by number: what the wire calls them, where nobody lends states
	names      map[string]*watched                   // by what the wire calls them
	away       map[string]protocol.Time              // off the network, since when, of those that were never heard of
	lend       func(protocol.Device) *delivery.State // where the state of a device that has a record lies, for as long as it has; nil: nobody lends one
	name       func(protocol.Device) string          // what the wire calls a device whose state is lent
	over       bool                                  // the story has ended
	world      *delivery.World                       // of the latest event
	oldEnd     protocol.Time                         // in that: when profiles of the authority before go (AUTH-27)
	lost       protocol.Time                         // in that: when its push certificate can be renewed no more; 0: it has none
	cadence    time.Duration                         // the longest between two wake-ups of the schedule that the tenant had; 0: nothing was observed
	checked    uint64
	violations []Violation
	violated   uint64
}

// watched is what a Watch remembers of one device: the server's word of the last event, to be held against the next. It is as much as
// fits into one line of a processor's cache.
type watched struct {
	queue  waiting
	ended  protocol.Time   // end of its identity certificate, as last known
	state  *delivery.State // as far as the rules of authority ask
	since  protocol.Time   // since when it could have moved, and should; 0: it should not, or cannot
	away   protocol.Time   // off the network, since when; 0: it is on it
	number protocol.Device // 0: it was never heard of
	stands Standing        // as it was settled last
	moved  bool            // its registered authority changed
	again  bool            // it took a newer epoch, its authority unchanged
	cut    bool            // a push certificate with another topic stranded it
}

// piece is how many devices are remembered in one piece.
const piece = 64

// Kept is how many violations a Watch keeps; the rest is counted.
const Kept = 100

// NewWatch makes a Watch that writes what it sees to log.
func NewWatch(log *Log) *Watch { return newWatch(log.Add) }

func newWatch(add func(Line)) *Watch {
	return &Watch{add: add, names: map[string]*watched{}, away: map[string]protocol.Time{}}
}

// Observe sees one committed event; it is a server's Config.Observe.
func (w *Watch) Observe(now protocol.Time, world *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome) {
	if w.lend == nil { // else nobody comes meanwhile
		w.mu.Lock()
		defer w.mu.Unlock()
	}
	d := w.device(after.Device)
	if d == nil {
		d = w.remember(after.Device, before)
	}
	if w.lend == nil && ev.ID != "" && w.ids[d.number] != ev.ID {
		w.ids[d.number] = ev.ID
		w.names[ev.ID] = d
		d.away = w.away[ev.ID]
		delete(w.away, ev.ID)
	}
	if w.world != world {
		w.turn(now, world)
	}
	w.checked++
	fail := func(invariant string, what lang.Key, args ...any) { w.fail(now, d, invariant, what, args...) }
	checkAuthority(ev, before, after, out, fail)
	checkGap(world, ev, before, out, fail)
	checkLicences(world, before, after, fail)
	w.checkOld(now, after, out, fail)
	w.checkMove(now, d, before, after, fail)
	d.checkCommands(before, after, out, fail)
	checkProfiles(world, before, after, out, fail)
	d.checkRemoval(now, world, before, after, out, fail)
	switch {
	case w.lend == nil:
		*d.state = *after
		d.state.Queue, d.state.Profiles, d.state.Rare = nil, nil, nil
	case out.Changed&delivery.Gone != 0:
		d.state = &unheard
	case d.state == &unheard:
		if kept := w.lend(after.Device); kept != nil {
			d.state = kept
		}
	}
	w.settle(now, d)
	d.checkCompleted(after, out, fail)
	for i := range out.Effects {
		if e := &out.Effects[i]; e.Kind == delivery.Journal {
			w.add(Line{At: now, Side: OfServer, Device: w.idOf(d), What: string(e.What), Rule: e.Rule, Detail: undrawn(ev, e)})
		}
	}
}

// unheard is the state of a device that has no record. Nobody writes it.
var unheard delivery.State

// undrawn is the detail of e without the number that the server drew for the command of ev: one plan and seed write one log.
func undrawn(ev *delivery.Event, e *delivery.Effect) string {
	if e.What != delivery.WhatUnknownReport {
		return e.Detail
	}
	return strings.Replace(e.Detail, ev.Command.String(), "command", 1)
}

// device is what is remembered of the device with a number; nil: it was never heard of.
func (w *Watch) device(d protocol.Device) *watched {
	if int(d/piece) >= len(w.devices) {
		return nil
	}
	if of := &w.devices[d/piece][d%piece]; of.number != 0 {
		return of
	}
	return nil
}

// remember begins to remember a device that is heard of for the first time.
func (w *Watch) remember(n protocol.Device, before *delivery.State) *watched {
	for int(n/piece) >= len(w.devices) {
		w.devices = append(w.devices, make([]watched, piece))
	}
	d := &w.devices[n/piece][n%piece]
	*d = watched{number: n, queue: waitingIn(before.Queue), state: &unheard}
	if w.lend == nil {
		d.state = new(delivery.State)
		for int(n) >= len(w.ids) {
			w.ids = append(w.ids, "")
		}
	}
	return d
}

// idOf is what the wire calls d.
func (w *Watch) idOf(d *watched) string {
	if w.lend != nil {
		return w.name(d.number)
	}
	return w.ids[d.number]
}

// all are the devices that were heard of, by number.
func (w *Watch) all() iter.Seq[*watched] {
	return func(yield func(*watched) bool) {
		for _, some := range w.devices {
			for i := range some {
				if d := &some[i]; d.number != 0 && !yield(d) {
					return
				}
			}
		}
	}
}

func (w *Watch) fail(now protocol.Time, d *watched, invariant string, what lang.Key, args ...any) {
	w.failOf(now, w.idOf(d), invariant, what, args...)
}

// failOf is fail for who is known by what the wire calls it; empty: the tenant.
func (w *Watch) failOf(now protocol.Time, id, invariant string, what lang.Key, args ...any) {
	w.violated++
	if len(w.violations) < Kept {
		w.violations = append(w.violations, Violation{now, id, invariant, lang.English.Say(what, args...)})
	}
}

// Result returns how many events were checked, how many invariants they broke, and the first of these.
func (w *Watch) Result() (checked, violated uint64, first []Violation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.checked, w.violated, slices.Clone(w.violations)
}

type failer func(invariant string, what lang.Key, args ...any)

// checkAuthority holds I1 (one registered authority, none before the first check-in), I2 (it changes only in a
// completed check-in) and I7 (every enrolled device is in exactly one portal).
func checkAuthority(ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome, fail failer) {
	if after.Registered > protocol.Office365 {
		fail("I1", lang.Key("registered authority %d does not exist"), after.Registered)
	}
	if after.Life == delivery.Enrolled && after.Registered == protocol.Unknown {
		fail("I1", lang.Key("enrolled and registered with nobody"))
	}
	moved := before.Registered != after.Registered || before.Epoch != after.Epoch
	if moved && (ev.Kind != delivery.CheckInRound || !out.Completed) {
		fail("I2", lang.Key("registered authority went from %s (epoch %d) to %s (%d) outside a completed check-in"),
			before.Registered, before.Epoch, after.Registered, after.Epoch)
	}
	if after.Life == delivery.Enrolled && portals(after.Registered) != 1 {
		fail("I7", lang.Key("listed in %d {portal|portals}"), portals(after.Registered))
	}
}

// portals returns how many portals list a device that a manages: sccm's devices are in Intune's (AUTH-45).
func portals(a protocol.Authority) int {
	n := 0
	if a == protocol.Intune || a == protocol.SCCM {
		n++
	}
	if a == protocol.Office365 {
		n++
	}
	return n
}

// A waiting stands for the commands in a queue, whatever their order.
type waiting struct {
	n   int32
	sum uint64
}

func waitingIn(queue []delivery.Queued) (w waiting) {
	for i := range queue {
		w.add(queue[i].ID, 1)
	}
	return w
}

// add puts a command into w, or takes it out: by is 1 or -1.
func (w *waiting) add(id protocol.CommandID, by int32) {
	w.n += by
	w.sum ^= binary.LittleEndian.Uint64(id[:8])*0x9e3779b97f4a7c15 + binary.LittleEndian.Uint64(id[8:])
}

// checkCommands holds I3 for commands: what is queued stays queued until it was answered for good, and is answered
// for good once. A new enrolment, and the end of one, clear the queue.
func (d *watched) checkCommands(before, after *delivery.State, out *delivery.Outcome, fail failer) {
	if len(before.Queue) == 0 && len(after.Queue) == 0 && len(out.Commands) == 0 && d.queue == (waiting{}) {
		return // nothing waited, came or went
	}
	if was := waitingIn(before.Queue); d.queue != was {
		fail("I3", lang.Key("the queue changed between two events: %d commands were waiting, %d are"), d.queue.n, was.n)
	}
	should := d.queue
	for i := range out.Commands {
		c := &out.Commands[i]
		there := func(q delivery.Queued) bool { return q.ID == c.ID }
		fresh := func(x delivery.CommandChange) bool { return x.ID == c.ID && x.Status == protocol.NoStatus && !x.Final }
		known := slices.ContainsFunc(before.Queue, there)
		switch {
		case c.Status == protocol.NoStatus && !c.Final && !known:
			should.add(c.ID, 1)
		case c.Final && !known && !slices.ContainsFunc(out.Commands[:i], fresh):
			fail("I3", lang.Key("command %s was answered for good and was not waiting"), c.ID)
		case c.Final:
			should.add(c.ID, -1)
		}
	}
	is := waitingIn(after.Queue)
	cleared := after.Life != before.Life && (after.Life == delivery.Enrolling || after.Life == delivery.Ended) || after.Life == delivery.Enrolling
	if !cleared && should != is {
		fail("I3", lang.Key("a command left the queue without an answer: %d should be waiting, %d are"), should.n, is.n)
	}
	d.queue = is
}

// checkProfiles holds I3 for profiles: one that the device confirmed leaves the list only by a removal that the
// device confirmed, a newer version, with the enrolment, or because it is unassigned and stays on such a device (AUTH-55).
func checkProfiles(world *delivery.World, before, after *delivery.State, out *delivery.Outcome, fail failer) {
	if after.Life != delivery.Enrolled || before.Life != delivery.Enrolled || len(out.Commands) == 0 && len(before.Profiles) <= len(after.Profiles) {
		return
	}
	for _, p := range before.Profiles {
		if p.State != delivery.Installed || int(p.Profile) < len(world.Profiles) && !authority.Leaves(before.Subject(), world.Profiles[p.Profile].Family, world.Settings.Leaving) {
			continue
		}
		if !slices.ContainsFunc(after.Profiles, func(q delivery.Assigned) bool { return q.Profile == p.Profile }) {
			if !slices.ContainsFunc(out.Commands, func(c delivery.CommandChange) bool { return c.Final && c.Status == protocol.Acknowledged }) {
				fail("I3", lang.Key("profile %d was on the device and is forgotten without its word"), p.Profile)
			}
		}
	}
}

// checkRemoval holds I6: no record is removed by itself (an administrator's delete names AUTH-53) earlier than 180 days,
// or what the tenant has set, after its certificate ended.
func (d *watched) checkRemoval(now protocol.Time, world *delivery.World, before, after *delivery.State, out *delivery.Outcome, fail failer) {
	d.ended = max(d.ended, before.Identity.NotAfter)
	for i := range out.Effects {
		if e := &out.Effects[i]; e.What == delivery.WhatRecordRemoved && e.Rule == protocol.RuleRecordKept && now < d.ended.Add(cmp.Or(world.Settings.Records, keptFor)) {
			fail("I6", lang.Key("record removed %s after the certificate's end"), now.Sub(d.ended))
		}
	}
	if after.Identity.NotAfter != 0 {
		d.ended = after.Identity.NotAfter
	}
}
