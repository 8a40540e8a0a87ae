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

// unlock gives the lock of f back, before f is closed: a process that is being started at this moment has f too until it is another program,
// and the lock would stay until then.
func unlock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) }

// noRoom are what the system says when nothing more can be written: disk, quota, limit on the size of files.
var noRoom = []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG}
