package rehearsal_test

import (
	"time"
)

// restarted is the clock of a server that starts: nobody knows how long it was down, so a clock that is behind is right again
// when it comes to where it should have been (HST-110).
func (w *twin) restarted() {
	switch {
	case !w.doubt || w.clock.Sub(w.now) < w.trusted && w.clock >= w.right.Add(-5*time.Minute):
		w.trust()
	case w.clock.Sub(w.now) < w.trusted:
		w.behind = true
	}
}

// trust is somebody, or a start of the server, that takes the clock for right (HST-110).
func (w *twin) trust() {
	w.doubt, w.behind, w.trusted, w.calm = false, false, w.clock.Sub(w.now), w.clock
}

// settle notes since when each device should move, and could (I8). Soon: it is woken for what has just happened.
func (w *twin) settle(soon bool) {
	for _, u := range w.devices {
		w.settleOne(u, soon)
	}
}

func (w *twin) settleOne(u *unit, soon bool) {
	could := u.life == "enrolled" && u.managed && !u.away && !w.down && !w.held(u) && !w.unheard(u) && w.clock >= u.from
	if could {
		is := w.words(u, false)
		could = is&mustEnrol == 0 && (is&(pending|stale) != 0 || u.support && w.next(u) != u.registered)
	}
	switch {
	case !could:
		u.movable = 0
	case u.movable == 0:
		u.movable, u.soon = w.now, soon && u.apple()
	}
}

// Bounds of I8: one scheduled interval, the longest back-off after a contact that failed, and the spread of wake-ups.
const (
	interval = 8 * time.Hour
	spare    = time.Hour + 10*time.Minute
	atOnce   = time.Minute
)

// interval is the scheduled one: that of Apple's devices is the longest that the tenant had.
func (w *twin) interval(u *unit) time.Duration {
	if u.apple() {
		return max(w.every, interval)
	}
	return interval
}

// overdue holds the devices that should have moved by now against I8, and the records that should be gone against AUTH-43.
func (w *twin) overdue() {
	for i, u := range w.devices {
		bound := w.interval(u) + spare + w.stepped
		if u.soon && w.stepped == 0 {
			bound = atOnce
		}
		if u.movable != 0 && w.now.Sub(u.movable) > bound {
			w.breaks("I8", "device %d could move since %s, and at %s it has not", i, u.movable, w.now)
			u.movable = 0
		}
		due := u.ends.Add(time.Duration(w.days.records) * day)
		if u.life != "" && u.life != "removed" && !w.doubt && !w.down && w.clock > max(due, w.calm).Add(25*time.Hour) {
			w.breaks("AUTH-43", "the record of device %d, due at %s, is still there at %s", i, due, w.clock)
			u.life = "removed"
		}
	}
}

// removed is a record that the server removed by itself.
func (w *twin) removed(i int) {
	u := w.devices[i]
	silent := w.silent != 0 && w.clock >= u.seen.Add(w.silent)
	switch {
	case w.doubt:
		w.breaks("I6", "the record of device %d is removed while the clock is in doubt (HST-110)", i)
	case w.clock >= u.ends.Add(time.Duration(w.days.records)*day), silent && u.life != "enrolled",
		u.awaits("farewell") && u.awaits("delete") && w.clock >= u.seen.Add(2*interval):
		u.life = "removed"
		return
	default:
		w.breaks("I6", "the record of device %d is removed at %s, its identity ended at %s and it was heard of at %s", i, w.clock, u.ends, u.seen)
	}
	u.life = "removed"
}
