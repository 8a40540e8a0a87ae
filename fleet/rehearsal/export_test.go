package rehearsal

import (
	"syscall"
	"testing"
	"time"

	"rollcall/agent/dialect"
)

// Plainly has every round of the loop go through Server.Handle, over a store that many could use.
func (c *LoopConfig) Plainly() { c.plain = true }

// Garble has fault change what goes over the wire: the body of a message, or of its answer.
func (c *Config) Garble(fault func(s dialect.Step, answer bool, body []byte) []byte) { c.fault = fault }

// Plainly has every event of the story have its turn, and every round go through Server.Handle.
func (c *Config) Plainly() { c.plain = true }

// Processor is how much processor time this process has used: on a busy machine the only time that says anything.
func Processor(tb testing.TB) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// Waited has the device have waited so long for a move after its first.
func (l *Life) Waited(d time.Duration) { l.waited(d) }
