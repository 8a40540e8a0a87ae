//go:build unix

package sqlstore

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what this process has used so far, the kernel's share included.
func cpuTime() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
