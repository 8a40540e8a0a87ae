package rehearsal

import (
	"time"

	"rollcall/agent/dialect"
)

// Plainly has every round of the loop go through Server.Handle, over a store that many could use.
func (c *LoopConfig) Plainly() { c.plain = true }

// Garble has fault change what goes over the wire: the body of a message, or of its answer.
func (c *Config) Garble(fault func(s dialect.Step, answer bool, body []byte) []byte) { c.fault = fault }

// Plainly has every event of the story have its turn, and every round go through Server.Handle.
func (c *Config) Plainly() { c.plain = true }

// Waited has the device have waited so long for a move after its first.
func (l *Life) Waited(d time.Duration) { l.waited(d) }
