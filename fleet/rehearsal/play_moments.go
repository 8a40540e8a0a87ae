package rehearsal

import (
	"rollcall/agent"
	"rollcall/fleet"
	"rollcall/protocol"
	"rollcall/server/store"
)

// A momentKind is what happens to a device at a moment, beside what its own core is due for.
type momentKind uint8

const (
	enrols   momentKind = iota + 1 // it opens its enrolment link
	syncs                          // its user starts a check-in, as is their habit
	asked                          // its user starts a check-in, for once
	leaves                         // it goes off the network
	returns                        // it comes back
	unenrols                       // its user removes management
	reenrols                       // its user removes management and enrols it again
)

// A moment is when something happens to a device. Two at the same time are taken by device, then by kind.
type moment struct {
	at     protocol.Time
	device uint32 // in its partition
	kind   momentKind
	why    reach // leaves, returns: which reason begins or ends
}

// Before tells whether m is taken before n.
func (m moment) Before(n moment) bool {
	if m.at != n.at {
		return m.at < n.at
	}
	if m.device != n.device {
		return m.device < n.device
	}
	return m.kind < n.kind
}

// moments are those to come of a partition's devices: a calendar for each thing that a device does again and again, and a heap
// for the rest.
type moments struct {
	nights, spells, syncs store.Calendar
	rare                  fleet.Heap[moment]
	awaited               []uint16 // of rare, by device: how many
}

// grow makes room for n devices.
func (m *moments) grow(n int) { m.awaited = make([]uint16, n) }

// set has a calendar of m, for which there is room when the first habit needs it, have device i due at a moment.
func (m *moments) set(c *store.Calendar, i uint32, at protocol.Time) {
	c.Grow(len(m.awaited))
	c.Set(i, at)
}

func (m *moments) add(x moment) {
	m.rare.Push(x)
	m.awaited[x.device]++
}

// take takes the moment that next returned.
func (m *moments) take(x moment) {
	switch {
	case x.kind == syncs:
		m.set(&m.syncs, x.device, 0)
	case x.why == night:
		m.set(&m.nights, x.device, 0)
	case x.why == spell:
		m.set(&m.spells, x.device, 0)
	default:
		m.rare.Pop()
		m.awaited[x.device]--
		if len(m.rare) == 0 { // many enrol, and few do anything else
			m.rare = nil
		}
	}
}

// next returns the first of the moments to come; false: there are none.
func (k *part) next() (first moment, any bool) {
	sooner := func(m moment) {
		if !any || m.Before(first) {
			first, any = m, true
		}
	}
	edge := func(c *store.Calendar, why reach) {
		if d, ok := c.First(); ok {
			kind := leaves
			if k.units[d.Device].away&why != 0 {
				kind = returns
			}
			sooner(moment{d.At, d.Device, kind, why})
		}
	}
	edge(&k.moments.nights, night)
	edge(&k.moments.spells, spell)
	if d, ok := k.moments.syncs.First(); ok {
		sooner(moment{at: d.At, device: d.Device, kind: syncs})
	}
	if len(k.moments.rare) > 0 {
		sooner(k.moments.rare[0])
	}
	return first, any
}

// spell plans the next spell off the network of device i, from now on.
func (k *part) spell(i int, now protocol.Time) {
	u := &k.units[i]
	on, _ := k.draws.Spell(int(u.device), uint64(u.spells))
	k.moments.set(&k.moments.spells, uint32(i), now.Add(on))
}

// moves changes why device i is off the network; coming back it hears of the last push that it missed, and does what was due
// meanwhile.
func (k *part) moves(i int, now protocol.Time, m moment) error {
	u := &k.units[i]
	n, before := int(u.device), u.away
	if m.kind == leaves {
		u.away |= m.why
	} else {
		u.away &^= m.why
	}
	switch {
	case m.why == night:
		k.moments.set(&k.moments.nights, m.device, k.draws.Night(n, now, m.kind == leaves))
	case m.why == spell && m.kind == leaves:
		_, off := k.draws.Spell(n, uint64(u.spells))
		k.moments.set(&k.moments.spells, m.device, now.Add(off))
	case m.why == spell:
		u.spells++
		k.spell(i, now)
	}
	if (before == 0) == (u.away == 0) {
		return nil
	}
	what := fleet.Left
	if u.away == 0 {
		what = fleet.Returned
	}
	k.note(now, i, what, "", "")
	if d := k.watch.device(k.loop.Number(i)); d != nil {
		k.watch.reach(now, d, u.away == 0)
	}
	k.census.away(k.pop.Devices[n].Platform, u.away != 0)
	return k.loop.Reach(i, u.away == 0)
}

// enrol has the user of device i open its enrolment link.
func (k *part) enrol(i int, now protocol.Time) error {
	u := &k.units[i]
	switch phase := k.loop.Device(i).Phase(); {
	case phase == agent.Enrolling, phase == agent.Enrolled && !k.cut(i, now):
		return nil
	case phase == agent.Enrolled: // with an identity that is over: its user takes the old enrolment off first
		if end := k.loop.Device(i).Identity().NotAfter; end != 0 && end <= now {
			k.lives[u.device].Lapsed = true
		}
		if err := k.loop.Unenrol(i); err != nil {
			return err
		}
	}
	k.failedBy = ""
	if k.fetched(i) {
		if err := k.loop.Enrol(i); err != nil {
			return err
		}
		if phase := k.loop.Device(i).Phase(); phase == agent.Enrolled || phase == agent.Enrolling { // the latter has its last word left to say, and will
			return nil
		}
	}
	k.note(now, i, fleet.NotJoined, k.failedBy, "")
	k.bars(i, now)
	k.moments.add(moment{at: now.Add(k.draws.TryLater(int(u.device), now, u.tries)), device: uint32(i), kind: enrols})
	u.tries = min(u.tries+1, 5)
	return nil
}

// bars notes by which rule the server has just refused to enrol device i.
func (k *part) bars(i int, now protocol.Time) {
	if k.failedBy == "" || k.failedBy == ruleBusy || now < k.start {
		return
	}
	b := k.barred[k.failedBy]
	if b == nil {
		b = &bars{of: make([]bool, len(k.units))}
		k.barred[k.failedBy] = b
	}
	b.Attempts++
	b.Devices += one(!b.of[i])
	b.of[i] = true
	k.lives[k.units[i].device].why = reasonOf(k.failedBy)
}

// bars are the enrolments that the server refused by one rule.
type bars struct {
	Refusals
	of []bool // by device of the loop: it was refused
}

// fetched tells whether device i gets its enrolment profile: a request like those of a conversation.
func (k *part) fetched(i int) bool {
	if k.down {
		return false
	}
	passage := k.passes(i)
	if passage == Busy {
		k.failedBy = ruleBusy
	}
	return passage == Whole
}

// cut tells whether device i is enrolled and nobody can reach it any more: its identity is over, or the push certificate has
// another topic (AUTH-32).
func (k *part) cut(i int, now protocol.Time) bool {
	end := k.loop.Device(i).Identity().NotAfter
	topic := k.loop.topic(i)
	return end != 0 && end <= now || topic != "" && topic != k.topic
}

// loses plays a push service that loses pushes.
func (k *part) loses(i int) bool {
	u := &k.units[i]
	u.pushes = u.pushes.Next(k.loop.Now().Sub(k.start))
	return k.draws.PushLost(int(u.device), u.pushes, k.lose)
}

// arrives plays bad networks and busy servers.
func (k *part) arrives(i int, _ *protocol.CheckIn) Passage { return k.passes(i) }

func (k *part) passes(i int) Passage {
	u := &k.units[i]
	n := int(u.device)
	u.request = u.request.Next(k.loop.Now().Sub(k.start))
	switch {
	case k.draws.Reset(n, u.request, k.reset):
		return CutOff
	case k.draws.Busy(n, u.request, k.busy) && k.draws.Dropped(n, u.request, k.drop):
		return CutOff
	case k.draws.Busy(n, u.request, k.busy):
		return Busy
	case k.draws.Dropped(n, u.request, k.drop):
		return Unanswered
	}
	return Whole
}

// mustEnrol tells whether device i was enrolled and only a new enrolment helps.
func (k *part) mustEnrol(i int, now protocol.Time) bool {
	phase := k.loop.Device(i).Phase()
	return phase == agent.Removed || phase == agent.Wiped || phase == agent.Enrolled && k.cut(i, now)
}
