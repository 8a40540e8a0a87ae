//go:build !unix

package rehearsal

import (
	"testing"
	"time"
)

// Processor is not known here.
func Processor(tb testing.TB) time.Duration {
	tb.Skip("this system is not asked for the processor time of a process")
	return 0
}
