//go:build unix

package rehearsal

import (
	"syscall"
	"testing"
	"time"
)

// Processor is how much processor time this process has used: on a busy machine the only time that says anything.
func Processor(tb testing.TB) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
