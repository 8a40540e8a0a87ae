package delivery

import "rollcall/protocol"

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
