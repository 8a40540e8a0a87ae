//go:build !linux

package host

import "io"

// TakeMachine makes this process the one agent of the machine until the Closer is closed; nil: this user has no say over the machine, or
// somebody who has no say over this user holds its lock, which stops nothing. The error wraps [ErrRuns] and says which process has it.
func TakeMachine() (io.Closer, error) { return takeMachine(MachineFolder() + ".lock") }
