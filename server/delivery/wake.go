package delivery

import (
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

func (d *decision) scheduled() Wake {
	return Wake{Due: protocol.ScheduleOf(d.n.Platform).After(d.n.EnrolledAt, d.now), Reason: Scheduled}
}

// pushed is the report of a wake-up.
func (d *decision) pushed() {
	in, s := d.in, d.s
	if s.Life != Enrolled || in.PushedAt < s.Push.Since {
		return // it went to an address that is no longer the device's
	}
	switch {
	case in.Push == BadAddress, in.Push == Inactive && in.InactiveSince >= s.Push.Since:
		if !s.Push.Unreachable {
			d.n.Push.Unreachable = true
			d.out.Changed |= Core
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

// afterPush is the wake-up that follows one that the push service took: the next of the schedule, or an earlier one for what
// waits on the device.
func (d *decision) afterPush() Wake {
	next := d.scheduled()
	first := awaitingRetry
	if !d.n.Awaiting {
		first = notNowRetry
		waiting := false
		for i := range d.n.Queue {
			waiting = waiting || d.n.Queue[i].NotNow
		}
		if !waiting {
			return next
		}
	}
	attempt := uint8(0)
	if d.s.Wake.Reason == Retry {
		attempt = min(d.s.Wake.Attempt, 254) + 1
	}
	due := d.now.Add(backoff(first, attempt, next.Due.Sub(d.now)))
	return Wake{Due: due, Reason: Retry, Attempt: attempt}
}

// backoff doubles first for each attempt, up to most.
func backoff(first time.Duration, attempt uint8, most time.Duration) time.Duration {
	for ; attempt > 0 && first < most; attempt-- {
		first *= 2
	}
	return min(first, most)
}
