package host

import (
	"time"

	"rollcall/protocol"
)

// A clock is what the agent takes for the time: the machine's, or its server's where a laboratory steps that, and an offset from it.
type clock struct {
	Offset time.Duration `json:"offset,omitempty"`
	Driven protocol.Time `json:"driven,omitzero"` // where the server's stood when it was read last; 0: it has no clock of its own
}

// at returns the agent's time when the machine's clock says real.
func (c *clock) at(real time.Time) time.Time {
	if c.Driven != 0 {
		real = c.Driven.Time()
	}
	return real.Add(c.Offset)
}
