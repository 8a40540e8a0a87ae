//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// takeLimits makes a write beyond the allowed size of a file an error like that of a full disk; left alone, the signal
// ends a Go program in the middle of what it does.
func takeLimits() { signal.Ignore(syscall.SIGXFSZ) }
