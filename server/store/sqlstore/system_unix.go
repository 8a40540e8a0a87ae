//go:build unix

package sqlstore

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes the lock of f without waiting; false: another process has it. The kernel frees it with the process.
func tryLock(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// noRoom are what the system says when nothing more can be written: disk, quota, limit on the size of files.
var noRoom = []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG}
