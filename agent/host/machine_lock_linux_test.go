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
