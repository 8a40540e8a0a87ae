//go:build !agentonly

package main

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"rollcall/fleet/report"
)

// realClock is the machine's.
type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }
func (realClock) Driven() bool   { return false }
func (realClock) Step(time.Time) {}

// A drivenClock stands still until it is stepped. It remembers where it stood in a file, so that a server's time
// does not go back when it starts again.
type drivenClock struct {
	now  atomic.Pointer[time.Time]
	file string
}

const (
	clockFile   = "clock"
	clockFormat = "2006-01-02T15:04:05.000000Z\n"
)

// newDrivenClock goes on where the clock of this data folder stood, else at start.
func newDrivenClock(dir string, start time.Time) *drivenClock {
	c := &drivenClock{file: filepath.Join(dir, clockFile)}
	if b, err := os.ReadFile(c.file); err == nil {
		if t, err := time.Parse(clockFormat, string(b)); err == nil {
			start = t
		}
	}
	start = start.UTC().Truncate(time.Microsecond)
	c.now.Store(&start)
	return c
}

func (c *drivenClock) Now() time.Time { return *c.now.Load() }
func (c *drivenClock) Driven() bool   { return true }

func (c *drivenClock) Step(to time.Time) {
	c.now.Store(&to)
	// Without the file a later start goes on at the machine's time; that is no reason to stop the present run. The text
	// always has the same length, so that one write replaces it, and it is not flushed: a lab steps thousands of times.
	f, err := os.OpenFile(c.file, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.WriteString(to.UTC().Format(clockFormat))
}

// writeFile writes a file whole or not at all.
func writeFile(name string, data []byte, mode os.FileMode) error {
	if err := report.Regular(name); err != nil {
		return err
	}
	tmp, err := temporary(name)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it is renamed
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
