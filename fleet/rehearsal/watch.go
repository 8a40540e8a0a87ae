package rehearsal

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"rollcall/protocol"
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
	devices    map[protocol.Device]*watched
	names      map[string]*watched      // by what the wire calls them
	away       map[string]protocol.Time // off the network, since when
	over       bool                     // the story has ended
	world      *delivery.World          // of the latest event
	checked    uint64
	violations []Violation
	violated   uint64
}

// watched is what a Watch remembers of one device: the server's word of the last event, to be held against the next.
type watched struct {
	id    string
	queue []protocol.CommandID // not yet answered for good
	ended protocol.Time        // end of its identity certificate, as last known
	state delivery.State       // as far as the rules of authority ask
	since protocol.Time        // since when it could have moved, and should; 0: it should not, or cannot
	moved bool                 // its registered authority changed
	again bool                 // it took a newer epoch, its authority unchanged
	cut   bool                 // a push certificate with another topic stranded it
}

// Kept is how many violations a Watch keeps; the rest is counted.
const Kept = 100

// NewWatch makes a Watch that writes what it sees to log.
func NewWatch(log *Log) *Watch { return newWatch(log.Add) }

func newWatch(add func(Line)) *Watch {
	return &Watch{add: add, devices: map[protocol.Device]*watched{}, names: map[string]*watched{}, away: map[string]protocol.Time{}}
}

// Observe sees one committed event; it is a server's Config.Observe.
func (w *Watch) Observe(now protocol.Time, world *delivery.World, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.devices[after.Device]
	if d == nil {
		d = &watched{}
		for i := range before.Queue {
			d.queue = append(d.queue, before.Queue[i].ID)
		}
		w.devices[after.Device] = d
	}
	if ev.ID != "" {
		d.id = ev.ID
		w.names[d.id] = d
	}
	w.turn(now, world)
	w.checked++
	fail := func(invariant, format string, args ...any) { w.fail(now, d, invariant, format, args...) }
	checkAuthority(ev, before, after, out, fail)
	checkGap(world, ev, before, out, fail)
	checkLicences(world, before, after, fail)
	checkOld(now, world, after, out, fail)
	d.checkMove(now, world, before, after, out, fail)
	d.checkCommands(before, after, out, fail)
	checkProfiles(world, before, after, out, fail)
	d.checkRemoval(now, before, after, out, fail)
	d.state = *after
	d.state.Queue, d.state.Profiles, d.state.Unlock, d.state.Escrow = nil, nil, nil, nil
	w.settle(now, d)
	for i := range out.Effects {
		if e := &out.Effects[i]; e.Kind == delivery.Journal {
			w.add(Line{At: now, Side: OfServer, Device: d.id, What: string(e.What), Rule: e.Rule, Detail: undrawn(ev, e)})
		}
	}
}

// undrawn is the detail of e without the number that the server drew for the command of ev: one plan and seed write one log.
func undrawn(ev *delivery.Event, e *delivery.Effect) string {
	if e.What != delivery.WhatUnknownReport {
		return e.Detail
	}
	return strings.Replace(e.Detail, ev.Command.String(), "command", 1)
}

func (w *Watch) fail(now protocol.Time, d *watched, invariant, format string, args ...any) {
	w.violated++
	if len(w.violations) < Kept {
		w.violations = append(w.violations, Violation{now, d.id, invariant, fmt.Sprintf(format, args...)})
	}
}

// Result returns how many events were checked, how many invariants they broke, and the first of these.
func (w *Watch) Result() (checked, violated uint64, first []Violation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.checked, w.violated, slices.Clone(w.violations)
}

type failer func(invariant, format string, args ...any)

// checkAuthority holds I1 (one registered authority, none before the first check-in), I2 (it changes only in a
// completed check-in) and I7 (every enrolled device is in exactly one portal).
func checkAuthority(ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome, fail failer) {
	if after.Registered > protocol.Office365 {
		fail("I1", "registered authority %d does not exist", after.Registered)
	}
	if after.Life == delivery.Enrolled && after.Registered == protocol.Unknown {
		fail("I1", "enrolled and registered with nobody")
	}
	moved := before.Registered != after.Registered || before.Epoch != after.Epoch
	if moved && (ev.Kind != delivery.CheckInRound || !out.Completed) {
		fail("I2", "registered authority went from %s (epoch %d) to %s (%d) outside a completed check-in",
			before.Registered, before.Epoch, after.Registered, after.Epoch)
	}
	if after.Life == delivery.Enrolled && portals(after.Registered) != 1 {
		fail("I7", "listed in %d portals", portals(after.Registered))
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

// checkCommands holds I3 for commands: what is queued stays queued until it was answered for good, and is answered
// for good once. A new enrolment, and the end of one, clear the queue.
func (d *watched) checkCommands(before, after *delivery.State, out *delivery.Outcome, fail failer) {
	if !sameQueue(d.queue, before.Queue) {
		fail("I3", "the queue changed between two events: %d commands were waiting, %d are", len(d.queue), len(before.Queue))
	}
	for i := range out.Commands {
		c := &out.Commands[i]
		at := slices.Index(d.queue, c.ID)
		switch {
		case c.Status == protocol.NoStatus && !c.Final && at < 0:
			d.queue = append(d.queue, c.ID)
		case c.Final && at < 0:
			fail("I3", "command %s was answered for good and was not waiting", c.ID)
		case c.Final:
			d.queue = slices.Delete(d.queue, at, at+1)
		}
	}
	if cleared := after.Life != before.Life && (after.Life == delivery.Enrolling || after.Life == delivery.Ended) ||
		after.Life == delivery.Enrolling; cleared {
		d.queue = d.queue[:0]
		for i := range after.Queue {
			d.queue = append(d.queue, after.Queue[i].ID)
		}
	}
	if !sameQueue(d.queue, after.Queue) {
		fail("I3", "a command left the queue without an answer: %d should be waiting, %d are", len(d.queue), len(after.Queue))
	}
	d.queue = d.queue[:0]
	for i := range after.Queue {
		d.queue = append(d.queue, after.Queue[i].ID)
	}
}

func sameQueue(ids []protocol.CommandID, queue []delivery.Queued) bool {
	return len(ids) == len(queue) && !slices.ContainsFunc(queue, func(q delivery.Queued) bool { return !slices.Contains(ids, q.ID) })
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
				fail("I3", "profile %d was on the device and is forgotten without its word", p.Profile)
			}
		}
	}
}

// checkRemoval holds I6: no record is removed by itself (an administrator's delete names AUTH-53) earlier than 180 days
// after its certificate ended.
func (d *watched) checkRemoval(now protocol.Time, before, after *delivery.State, out *delivery.Outcome, fail failer) {
	d.ended = max(d.ended, before.Identity.NotAfter)
	for i := range out.Effects {
		if e := &out.Effects[i]; e.What == delivery.WhatRecordRemoved && e.Rule == protocol.RuleRecordKept && now < d.ended.Add(keptFor) {
			fail("I6", "record removed %s after the certificate's end", now.Sub(d.ended))
		}
	}
	if after.Identity.NotAfter != 0 {
		d.ended = after.Identity.NotAfter
	}
}
