package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// takeMachine takes the lock of a machine: a file that stays, where only who looks after the machine can make one or gets at it.
func takeMachine(name string) (io.Closer, error) {
	lock, pid, err := hold(name)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), diskTrouble(err) != "":
		return nil, nil // the lock of the state folder has to do
	case err == nil && lock == nil && squats(name):
		return nil, nil
	case err == nil && lock == nil:
		return nil, machineRuns(pid)
	}
	if err == nil {
		if err = keepPrivate(name); err == nil {
			return lock, nil
		}
		lock.Close()
	}
	return nil, fmt.Errorf("the lock of this machine's agent: %w", err)
}
