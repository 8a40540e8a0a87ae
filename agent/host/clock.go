package host

import (
	"strconv"
	"time"

	"rollcall/protocol"
)

// A clock is what the agent takes for the time: the machine's, or its server's where a laboratory steps that, and an offset from it.
type clock struct {
	Offset time.Duration `json:"offset,omitempty"`
	Driven protocol.Time `json:"driven,omitzero"` // where the server's stood when it was read last; 0: it has no clock of its own
}

// real is the true time, or what the server has in its place, when the machine's clock says real: without what the agent is ahead on purpose.
func (c *clock) real(real time.Time) time.Time {
	if c.Driven != 0 {
		return c.Driven.Time()
	}
	return real
}

// at returns the agent's time when the machine's clock says real.
func (c *clock) at(real time.Time) time.Time {
	return c.real(real).Add(c.Offset)
}

// follows tells whether who goes by this clock goes by what a server says of its own, 0 where that has none: whoever gave an offset from the
// machine's clock does not begin to.
func (c *clock) follows(driven protocol.Time) bool {
	return driven == 0 || c.Driven != 0 || c.Offset == 0
}

// early says why a machine that is ahead of its server on purpose is not renewed in time by its own clock; empty: it is not ahead.
func (c *clock) early() string {
	if c.Offset <= 0 {
		return ""
	}
	return "its server renews it by a clock of its own, and this agent's is " + c.ahead() + " ahead of that (--clock-offset): " + toRenew
}

// toRenew is how somebody sees a renewal who would not wait for it.
const toRenew = "to see a renewal, enrol without it at a server with serve --clock driven, and step that with rollcall clock step"

// ahead is the offset as --clock-offset takes it; empty: there is none.
func (c *clock) ahead() string {
	const day = 24 * time.Hour
	switch {
	case c.Offset == 0:
		return ""
	case c.Offset%day == 0:
		return strconv.Itoa(int(c.Offset/day)) + "d"
	}
	return c.Offset.String()
}
