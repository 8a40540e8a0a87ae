package fleet

import (
	"sync/atomic"
	"time"

	"rollcall/protocol"
)

// A Clock is the time of a fleet: the machine's own, or one that is stepped. Safe for concurrent use.
type Clock struct {
	driven bool
	now    atomic.Int64
}

// Real returns the machine's clock.
func Real() *Clock { return &Clock{} }

// Driven returns a clock that stands at start until it is stepped.
func Driven(start protocol.Time) *Clock {
	c := &Clock{driven: true}
	c.now.Store(int64(start))
	return c
}

// Now returns the present moment.
func (c *Clock) Now() protocol.Time {
	if c.driven {
		return protocol.Time(c.now.Load())
	}
	return protocol.At(time.Now())
}

// Time is Now as TLS and X.509 want it.
func (c *Clock) Time() time.Time { return c.Now().Time() }

// step moves a driven clock to t.
func (c *Clock) step(t protocol.Time) { c.now.Store(int64(t)) }
