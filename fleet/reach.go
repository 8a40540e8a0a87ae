package fleet

import (
	"time"

	"rollcall/agent/dialect"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
)

// A reach is why a device is off the network; several reasons can hold at once.
type reach uint8

const (
	night   reach = 1 << iota // switched off at night
	spell                     // one of the spells that every device has
	absence                   // the timeline took it away
)

// Night is when devices with that habit are off, in hours of UTC.
const (
	nightFrom = 23
	nightTo   = 7
)

// Night returns when the next night begins or, when inside is true, when the present one ends; each device
// keeps its own quarter of an hour, so that mornings are no storm.
func (d Draws) Night(i int, now protocol.Time, inside bool) protocol.Time {
	late := time.Duration(within(d.draw(i, forNight, 0), uint64(30*time.Minute)))
	hour := nightFrom
	if inside {
		hour = nightTo
	}
	t := now.Time()
	at := time.Date(t.Year(), t.Month(), t.Day(), hour, 0, 0, 0, time.UTC).Add(late)
	if !at.After(t) {
		at = at.AddDate(0, 0, 1)
	}
	return protocol.At(at)
}

// Spell returns the n-th pair of a time on the network and the spell off it that follows. In the long run the
// device is off for the plan's share of the time.
func (d Draws) Spell(i int, n uint64) (on, off time.Duration) {
	offline := &d.plan.Population.Offline
	r := d.draw(i, forSpell, n)
	off = offline.Lasts.Draw(r)
	share := uint64(offline.Share)
	mean := uint64(offline.Lasts.Mean()/time.Second) * (uint64(plan.Whole) - share) / share
	on = time.Duration(within(r, 2*mean)) * time.Second
	return on, off
}

// beginHabits puts the first moment of each habit of device i into the queue.
func (f *Fleet) beginHabits(i int, now protocol.Time) {
	d := &f.population.Devices[i]
	if d.Habits&population.UnreachableNight != 0 {
		f.at(i, f.draws.Night(i, now, false), leaves, night)
	}
	if f.plan.Population.Offline.Share > 0 {
		f.spell(i, now)
	}
	if rate := f.plan.Population.Habits.SyncsByHand; rate.Share > 0 {
		f.at(i, f.draws.Sync(i, now), syncs, 0)
	}
}

// spell plans device i's next spell off the network, and its end.
func (f *Fleet) spell(i int, now protocol.Time) {
	d := &f.devices[i]
	on, off := f.draws.Spell(i, uint64(d.spells))
	d.spells++
	f.at(i, now.Add(on), leaves, spell)
	f.at(i, now.Add(on+off), returns, spell)
}

// Sync returns when the user of device i next starts a check-in by hand: each period of the plan's rate has
// one with the rate's share.
func (d Draws) Sync(i int, now protocol.Time) protocol.Time {
	rate := d.plan.Population.Habits.SyncsByHand
	period := protocol.Time(rate.Per / time.Microsecond)
	for n := now/period + 1; ; n++ {
		if r := d.draw(i, forSync, uint64(n)); within(r, uint64(plan.Whole)) < uint64(rate.Share) {
			return n*period + protocol.Time(within(r, uint64(period)))
		}
	}
}

// returning says to whom the push service is about to give what it has kept: the index plus 1; 0: nobody.
func (f *Fleet) returning(device int) {
	f.mailbox.Lock()
	f.back = device
	f.mailbox.Unlock()
}

// moves changes why device i is off the network; coming back it hears of the last push that it missed, and what
// was due meanwhile is due now, or for Android soon.
func (f *Fleet) moves(i int, now protocol.Time, m moment) {
	d := &f.devices[i]
	before := d.away
	if m.kind == leaves {
		d.away |= m.why
	} else {
		d.away &^= m.why
	}
	switch {
	case m.why == night:
		next := returns
		if m.kind == returns {
			next = leaves
		}
		f.at(i, f.draws.Night(i, now, m.kind == leaves), next, night)
	case m.why == spell && m.kind == returns:
		f.spell(i, now)
	}
	if d.Device == nil {
		return
	}
	if before&m.why < d.away&m.why {
		f.tally.add(now, func(c *Counts, _ *Bin) { c.left(m.why) })
	}
	if (before == 0) == (d.away == 0) {
		return
	}
	if d.away != 0 {
		f.away++
		f.unplug(i)
		f.note(now, i, Left, "")
		return
	}
	f.away--
	f.note(now, i, Returned, "")
	if a, ok := d.Device.(*dialect.Android); ok {
		a.Return(now, false)
	}
	f.returning(i + 1)
	f.plug(i)
	f.returning(0)
	if due := f.due(i); due != 0 && due <= now {
		d.due = now
		f.at(i, now, acts, 0)
	} else {
		f.schedule(i) // away, only profiles that leave had a moment
	}
}
