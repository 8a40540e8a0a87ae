//go:build !agentonly

package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// await looks until something has happened in another process, which nobody can tell the time and which has to live until then. It
// looks now and then only: without a pause it would take the processor from the process that it waits for.
func await(t testing.TB, ended <-chan error, errs fmt.Stringer, happened func() bool) {
	t.Helper()
	for !happened() {
		select {
		case err := <-ended:
			t.Fatalf("it ended before what was waited for: %v\n%s", err, errs)
		case <-time.After(lookAgain):
		}
	}
}

const lookAgain = 5 * time.Millisecond

var (
	firstPort = rand.Uint32N(20_000) // other processes test too
	lastPort  atomic.Uint32
)

// freeAddress is an address on loopback that nobody listens on. Its port is under those that systems give out by themselves (from
// 32768 or 49152 on): another test's listener or connection would sometimes get it before it is used, or between two uses. No two tests get the same.
func freeAddress() (string, error) {
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+(firstPort+lastPort.Add(1))%20_000)
		if free, err := isFree(address); free {
			return address, err
		}
	}
}

// released waits until an address can be had again that a listener of this process had, which is closed: a process that was started
// meanwhile has a copy of it until it has begun, and nobody can tell when that is.
func released(t testing.TB, address string) {
	t.Helper()
	for {
		if free, err := isFree(address); err != nil {
			t.Fatal(err)
		} else if free {
			return
		}
		time.Sleep(lookAgain)
	}
}

// isFree tells whether an address can be listened on. Meanwhile no process is started, which would have a copy of this listener.
func isFree(address string) (bool, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false, nil
	}
	return true, l.Close()
}

// fields splits a command line at its spaces, but for those in the name of a folder.
func fields(line, folder string) []string {
	out := strings.Fields(strings.ReplaceAll(line, folder, "\x00"))
	for i := range out {
		out[i] = strings.ReplaceAll(out[i], "\x00", folder)
	}
	return out
}
