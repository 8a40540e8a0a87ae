package cloud

import (
	"errors"
	"time"
)

// A Rate is so many messages in each span of Per, all at once if need be. A negative Messages is no limit.
type Rate struct {
	Messages int
	Per      time.Duration
}

// Or is r, or rate where r is zero. The error says that nothing could ever be sent at it.
func (r Rate) Or(rate Rate) (Rate, error) {
	if r == (Rate{}) {
		return rate, nil
	}
	if r.Messages == 0 || r.Per <= 0 && r.Messages > 0 {
		return r, errors.New("want messages and a span of time above zero")
	}
	return r, nil
}

// A Meter measures one sender or receiver against a rate, by the generic cell rate algorithm. The zero Meter has seen nothing.
type Meter struct {
	arrival int64 // theoretical arrival time of the next message, Unix nanoseconds
}

// Take counts a message at now, or says how long until one is within the rate.
func (m *Meter) Take(now time.Time, r Rate) (wait time.Duration) {
	if r.Messages < 0 {
		return 0
	}
	// Every message moves the arrival time on by its share of the span; it may run ahead of the clock by one span.
	at := now.UnixNano()
	next := max(m.arrival, at) + int64(r.Per)/int64(r.Messages)
	if early := next - at - int64(r.Per); early > 0 {
		return time.Duration(early)
	}
	m.arrival = next
	return 0
}
