package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

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

// Who has the name of the machine's agent stops whom it has a say over: root everybody, the agent that the system runs everybody, everybody
// else themselves alone.
func TestTheNameOfAnotherUserStopsNothing(t *testing.T) {
	const nobody, other = 65534, 65533
	dir, private := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Chown(dir, nobody, -1), os.Chmod(private, 0o700)); err != nil {
		t.Skipf("only root is another user: %v", err)
	}
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Mkdir(filepath.Join(private, "agent"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		has, wants int    // users
		machine    string // folder of the agent that the system runs
		stops      bool
	}{
		"root before root":                      {0, 0, t.TempDir(), true},
		"root before a user":                    {0, nobody, filepath.Join(dir, "none"), true},
		"a user before root":                    {nobody, 0, t.TempDir(), false},
		"a user before another":                 {other, nobody, t.TempDir(), false},
		"a user before the same":                {nobody, nobody, t.TempDir(), true},
		"the system's agent before root":        {nobody, 0, dir, true},
		"the system's agent before a user":      {nobody, other, dir, true},
		"where nobody may look, before a user":  {nobody, other, filepath.Join(private, "agent"), true},
		"a user before root, and a system's":    {other, 0, dir, false},
		"a user before root, no system's there": {other, 0, filepath.Join(dir, "none"), false},
	} {
		done := make(chan string)
		go func() { // whose thread is another user's and in a network of its own, and ends with it
			runtime.LockOSThread()
			done <- func() string {
				if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
					return "skip: no network of its own: " + err.Error()
				}
				be := func(user int) {
					if _, _, no := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(0), uintptr(user), uintptr(0)); no != 0 {
						panic(no)
					}
				}
				be(tt.has)
				first, err := takeName(tt.machine)
				be(0)
				if err != nil || first == nil {
					return fmt.Sprintf("the first: %v, %v", first, err)
				}
				defer first.Close()
				be(tt.wants)
				second, err := takeName(tt.machine)
				be(0)
				if stops := errors.Is(err, ErrRuns); second != nil || stops != tt.stops || (err != nil) != tt.stops {
					return fmt.Sprintf("the second: %v, %v", second, err)
				}
				return ""
			}()
		}()
		got := <-done
		if why, skip := strings.CutPrefix(got, "skip: "); skip {
			t.Skip(why)
		}
		if got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
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
	f, err := takeFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	d, err := newDesk(t.Context(), f, new(atomic.Pointer[courier.State]))
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
