package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"rollcall/agent/courier"
)

// One agent runs on a machine: the second is told which process has it, and may when that has ended.
func TestOneAgentAMachine(t *testing.T) {
	lock, err := TakeMachine()
	if err != nil || lock == nil {
		t.Skipf("this machine has an agent: %v", err)
	}
	if again, err := TakeMachine(); !errors.Is(err, ErrRuns) || again != nil || !strings.Contains(err.Error(), "--beside") {
		t.Errorf("a second one: %v", err)
	}
	lock.Close()
	if lock, err = TakeMachine(); err != nil || lock == nil {
		t.Fatalf("after it: %v", err)
	}
	lock.Close()
}

// Whoever has the name, two agents of root's never run: only root makes the file that they have as well.
func TestOneAgentOfRootsWhoeverHasTheName(t *testing.T) {
	dir := t.TempDir()
	lock, err := takeRoots(nil, dir) // another user has the name
	if err != nil || lock == nil {
		t.Fatalf("the first: %v, %v", lock, err)
	}
	name := new(closed)
	if again, err := takeRoots(name, dir); !errors.Is(err, ErrRuns) || again != nil || !bool(*name) { // and has let it go
		t.Errorf("a second one: %v, %v; the name is given back: %v", again, err, *name)
	}
	lock.Close()
	*name = false
	if lock, err = takeRoots(name, dir); err != nil || lock.Close() != nil || !bool(*name) {
		t.Errorf("after it: %v", err)
	}
	if lock, err = takeRoots(name, filepath.Join(dir, "none")); err != nil || lock == nil {
		t.Errorf("without a place: %v, %v", lock, err)
	}
}

// closed tells whether it was closed.
type closed bool

func (c *closed) Close() error { *c = true; return nil }

// A state folder whose path is longer than the name of a socket may be is asked all the same.
func TestALongPathHasASocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := newDesk(t.Context(), dir, new(atomic.Pointer[courier.State]))
	if err != nil {
		t.Fatal(err)
	}
	if _, runs := Stream(t.Context(), dir); !runs {
		t.Error("nobody is there")
	}
	d.close()
	if _, err := os.Lstat(filepath.Join(dir, socketFile)); err == nil {
		t.Error("the socket is left behind")
	}
}
