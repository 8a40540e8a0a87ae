package delivery

import (
	"bytes"
	"cmp"
	"hash/fnv"
	"slices"
	"time"

	"rollcall/protocol"
)

// Ask returns the one wake-up that w and another one, due at due for reason r, make together: the sooner of the two
// times and the larger of the two reasons, but not sooner than a throttled push service allows (APL-104). The result
// always differs from w, so that the report of a push that is already under way for w does not take the newer wish for
// its own: where nothing else changes, the time moves by a microsecond.
func (w Wake) Ask(due protocol.Time, r WakeReason) Wake {
	held := w.Attempt > 0 && r <= w.Reason
	if w.Due == 0 || due < w.Due && !held {
		w.Due = due
	} else {
		w.Due--
	}
	if r > w.Reason {
		w.Reason, w.Attempt = r, 0
	}
	return w
}

// How long a wake-up waits before it is tried again; each further try waits twice as long, and the schedule ends it.
const (
	awaitingRetry  = 15 * time.Second // a device in its setup assistant: the first push may be lost (apple.md section 10.4)
	notNowRetry    = 15 * time.Minute // a command was answered NotNow
	throttledRetry = time.Minute      // the push service said later, and not when
	throttledMost  = time.Hour
)

// rest is the end of a conversation: it says when the device is to be woken again for what is left.
func (d *decision) rest() {
	w := &d.n.Wake
	switch {
	case len(d.n.Queue) > 0 && w.Reason < Retry:
		*w = Wake{Due: w.Due.Sooner(d.now.Add(notNowRetry)), Reason: Retry}
	case len(d.n.Queue) == 0 && w.Reason == Retry:
		*w = d.scheduled()
	default:
		return
	}
	d.out.Changed |= Wakes
}

func (d *decision) scheduled() Wake { return d.w.scheduled(d.now, d.n) }

// scheduled is the wake-up that the schedule wants after now: none of a device that comes by itself.
func (w *World) scheduled(now protocol.Time, s *State) Wake {
	if protocol.ScheduleOf(s.Platform).Polls {
		return Wake{}
	}
	return Wake{Due: w.comes(now, s), Reason: Scheduled}
}

// comes is when the schedule wants the contact after now.
func (w *World) comes(now protocol.Time, s *State) protocol.Time {
	every := *protocol.ScheduleOf(s.Platform)
	if set := w.Settings.Cadence; set != 0 && !every.Polls { // who polls has a cadence of its own
		every.Steady = set
	}
	return every.After(s.EnrolledAt, now, uint64(s.Place)<<32)
}

// PlaceOf returns the Place of the device that the wire calls id. It is the device's own, so that who enrolled first
// makes no difference to when anybody is woken.
func PlaceOf(id string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(id))
	return h.Sum32()
}

// pushed is the report of a wake-up.
func (d *decision) pushed() {
	in, s := d.in, d.s
	switch {
	case s.Life != Enrolled:
	case d.elsewhere():
		if in.PushedAt != 0 { // what it was for, the device has not heard of
			d.n.Wake = s.Wake.Ask(d.now, Scheduled)
			d.out.Changed |= Wakes
		}
	case in.Push == BadAddress, in.Push == Inactive && in.InactiveSince >= s.Push.Since:
		if !s.Push.Unreachable {
			d.n.Push.Unreachable = true
			d.out.Changed |= Address
			d.journal(WhatUnreachable, "", "")
		}
	case s.Wake != in.Sent: // somebody asked for another one meanwhile
	case in.Push == Accepted:
		d.n.Wake = d.afterPush()
		d.out.Changed |= Wakes
	default: // TryLater, and an address that the service calls inactive since before the device told it (APL-101)
		due := d.now.Add(backoff(throttledRetry, s.Wake.Attempt, throttledMost))
		if in.RetryAfter > d.now {
			due = in.RetryAfter
		}
		d.n.Wake = Wake{Due: due, Reason: s.Wake.Reason, Attempt: min(s.Wake.Attempt, 254) + 1}
		d.out.Changed |= Wakes
	}
}

// elsewhere tells whether a report is not about the address that the device has: it has told another one since, while the push was under
// way, or said of this one that it is good, as Apple's devices do. The addresses say so themselves: a check-in may be older than a push
// and committed after it, and a clock may be set back (HST-110).
func (d *decision) elsewhere() bool {
	in, p := d.in, &d.s.Push
	if in.Topic != p.Topic || in.Magic != p.Magic || !bytes.Equal(in.Token, p.Token) {
		return true
	}
	return in.Push == BadAddress && d.s.Platform.Apple() && in.Told != p.Since
}

// afterPush is the wake-up that follows one that the push service took: the next of the schedule, or an earlier one for what
// waits on the device.
func (d *decision) afterPush() Wake {
	next := d.scheduled()
	tried := uint8(0) // how often again, for the same
	if d.s.Wake.Reason == Retry {
		tried = min(d.s.Wake.Attempt, 254) + 1
	}
	if at := d.attempt(); at != 0 && at < next.Due {
		next = Wake{Due: at, Reason: Retry, Attempt: tried}
	}
	first := awaitingRetry
	if !d.n.Awaiting {
		first = notNowRetry
		if !slices.ContainsFunc(d.n.Queue, func(q Queued) bool { return q.NotNow }) {
			return d.unheard(next, tried)
		}
	}
	due := d.now.Add(backoff(first, tried, d.w.comes(d.now, d.n).Sub(d.now)))
	return Wake{Due: due, Reason: Retry, Attempt: tried}
}

// unheard is the wake-up that follows where the device may not come: a push service's yes proves nothing. Work that waits gets
// three more attempts, then the schedule (HST-082).
func (d *decision) unheard(next Wake, tried uint8) Wake {
	came := d.s.LastSeen >= d.in.PushedAt
	if d.s.Wake.Reason < Retry || int(tried) >= len(attempts) || len(d.n.Queue) == 0 && came {
		return next
	}
	wait := attempts[tried]
	switch {
	case tried > 0:
		wait -= attempts[tried-1]
	case slices.ContainsFunc(d.n.Queue, func(q Queued) bool { return q.Kind == protocol.Erase || q.Kind == protocol.Retire }):
		wait = cmp.Or(d.w.Settings.Reach, wait)
	}
	return Wake{Due: next.Due.Sooner(d.now.Add(wait)), Reason: Retry, Attempt: tried}
}

// attempts are how long after its first wake-up of a change, or for work, a device that has not answered is woken again
// (AUTH-20, HST-082).
var attempts = [...]time.Duration{15 * time.Minute, time.Hour, 4 * time.Hour}

// attempt is when a pending or stale device has the next further attempt; 0: it waits for its schedule.
func (d *decision) attempt() protocol.Time {
	first := d.w.Wakes.Turn(d.s.Device)
	if first == 0 {
		return 0
	}
	if _, pending, stale := d.w.Target(d.s); !pending && !stale {
		return 0
	}
	for i, after := range attempts {
		if set := d.w.Settings.Attempts[i]; set != 0 {
			after = set
		}
		if at := first.Add(after); at > d.now {
			return at
		}
	}
	return 0
}

// backoff doubles first for each attempt, up to most.
func backoff(first time.Duration, attempt uint8, most time.Duration) time.Duration {
	for ; attempt > 0 && first < most; attempt-- {
		first *= 2
	}
	return min(first, most)
}

// A Campaign is the wake-up of every enrolled device after a change of authority (AUTH-20). When a device's turn is
// follows from its number, so that no device needs a row for it. The zero Campaign is none.
type Campaign struct {
	From   protocol.Time   // the turn of the device with number 0
	Cursor protocol.Device // all devices up to this one had their turn; they may have further attempts to come
	Others uint32          // each turn of its own is followed by those of so many others' devices; 0: it has the tenant alone. Not kept on disk
}

// Over is the cursor of a campaign in which all devices had their turn.
const Over protocol.Device = 1<<32 - 1

// turnSpacing is between the turns of two devices: no two have the same, so that their order is always the same.
const turnSpacing = 100 * time.Microsecond

// Turn is when d is to be woken; 0: never, there is no campaign.
func (c *Campaign) Turn(d protocol.Device) protocol.Time {
	if c.From == 0 {
		return 0
	}
	return c.From.Add(time.Duration(d) * time.Duration(c.Others+1) * turnSpacing)
}
