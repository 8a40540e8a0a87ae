package rehearsal

import (
	"math"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/server/delivery"
)

// Most of what a device does is to come by its schedule and to hear that there is nothing to do. Nobody else notices that, but for
// whoever counts it: so what a device does of it until something else may happen to it is played at once, while the device and its record
// are in the processor's caches, and not in its turn among the other devices. At the first contact of which more may come it stops:
// that has its turn.

// ahead plays what is steady of device i, from its next contact on. False: nothing was.
func (l *Loop) ahead(i uint32) bool {
	p, d := &l.places[i], &l.devices[i]
	if l.cfg.Calm == nil || l.cfg.plain || l.cfg.Arrives != nil || l.cfg.Loses != nil || l.off != 0 || l.down || l.mute || p.away || !p.settled || l.voices.of(int(i)) != nil || l.voices.double(int(i)) != nil {
		return false
	}
	s := l.store.Lend(p.number)
	w, until, wakes, calm := l.server.Calm(l.now, d.Platform())
	if s == nil || !calm || d.Phase() != agent.Enrolled || d.Owes() || l.index[p.number] != i { // else the server has its address
		return false
	}
	told, ok := w.Settled(s)
	if !ok {
		return false
	}
	until = min(until, l.cfg.Calm(int(i)))
	if drops := d.Drops(); drops != 0 {
		until = min(until, l.trueTime(int(i), drops)-1)
	}
	now, played, rewoken := l.now, false, false
	l.contact = Contact{Device: int(i), Began: protocol.Ask, Done: true, Steady: true, Executed: l.contact.Executed[:0]}
	for {
		own, wake := l.dueOf(int(i)), protocol.Time(math.MaxInt64)
		if wakes && s.Wake.Due != 0 && !s.Push.Unreachable {
			wake = s.Wake.Due
		}
		if own == 0 {
			own = math.MaxInt64
		}
		at := min(own, wake)
		if at > until || at < now || own == wake && s.Platform.Apple() || !l.rests(w, s, i, at, at == wake, told) {
			break
		}
		played, rewoken = true, rewoken || at == wake
	}
	l.now = now
	if played {
		l.due.Set(i, l.dueOf(int(i)))
	}
	if rewoken {
		l.store.Rewoken(p.number)
		l.stale = true
	}
	return played
}

// first is the device whose wake-up is due first, where that is at a moment.
func (l *Loop) first(at protocol.Time) (i uint32, ok bool) {
	d, due := l.store.FirstDue()
	if due != at || int(d) >= len(l.index) {
		return 0, false
	}
	return l.index[d], true
}

// rests plays the steady contact of device i at a moment, or the wake-up of one that does not hear it. False: it is not steady.
func (l *Loop) rests(w *delivery.World, s *delivery.State, i uint32, at protocol.Time, woken bool, told protocol.Notice) bool {
	p, d := &l.places[i], &l.devices[i]
	if !s.RestsAt(at, w) {
		return false
	}
	l.now = at
	what := agent.Tick
	if woken {
		what = agent.Woken
		if s.Wake.Reason != delivery.Scheduled || s.Platform.Apple() && (!w.Push.Usable(at) || s.Push.Topic != w.Push.Topic) {
			return false
		}
	}
	hears := !woken || s.Platform.Apple()
	if hears && !d.Rest(l.clockOf(int(i)), what, p.heard(told)) {
		return false
	}
	if woken {
		w.Woken(at, s) // as it is settled, nothing waits
		if l.cfg.Pushed != nil {
			l.cfg.Pushed(int(i), delivery.Accepted)
		}
	}
	if hears {
		s.Rest(at)
		if l.contact.At = at; l.cfg.Contact != nil {
			l.cfg.Contact(&l.contact)
		}
	}
	return true
}

// fetch reads what the next rounds and wake-ups look at, of many devices at once: in a rehearsal of many partitions nothing of
// them is in the processor's caches any more when their turn comes, and one after the other each would wait for memory
// again and again.
func (l *Loop) fetch() {
	if l.cfg.plain {
		return
	}
	if coming, turn := l.store.Coming(); turn != l.fetched[0] {
		l.fetched[0] = turn
		for _, d := range coming {
			l.sink += l.store.Touch(protocol.Device(d.Device))
			if int(d.Device) < len(l.index) {
				l.touch(l.index[d.Device])
			}
		}
	}
	if coming, turn := l.due.Coming(); turn != l.fetched[1] {
		l.fetched[1] = turn
		for _, d := range coming {
			l.touch(d.Device)
		}
		for _, d := range coming {
			l.sink += l.store.Touch(l.places[d.Device].number)
		}
	}
}

// cools has what comes next be fetched again: others have had the processor's caches meanwhile.
func (l *Loop) cools() { l.fetched = [2]uint64{} }

func (l *Loop) touch(i uint32) {
	d, p := &l.devices[i], &l.places[i]
	l.sink += uint64(d.Due()) + uint64(d.Phase()) + uint64(p.number) + uint64(len(p.id))
	if u := l.server.World().User(p.user); u != nil && u.IntuneLicence {
		l.sink++
	}
	if l.cfg.Fetch != nil {
		l.sink += l.cfg.Fetch(i)
	}
}
