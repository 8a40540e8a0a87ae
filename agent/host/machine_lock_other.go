//go:build !linux

package host

import "io"

// TakeMachine takes nothing: here the one service by its name, and the lock of a state folder, have to do.
func TakeMachine() (io.Closer, error) { return nil, nil }
