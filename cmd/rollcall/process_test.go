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
// Meanwhile no process is started: it would have a copy of the listener until it has begun.
func freeAddress() (string, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+(firstPort+lastPort.Add(1))%20_000)
		l, err := net.Listen("tcp", address)
		if err == nil {
			return address, l.Close()
		}
	}
}

// fields splits a command line at its spaces, but for those in the name of a folder.
func fields(line, folder string) []string {
	out := strings.Fields(strings.ReplaceAll(line, folder, "\x00"))
	for i := range out {
		out[i] = strings.ReplaceAll(out[i], "\x00", folder)
	}
	return out
}
