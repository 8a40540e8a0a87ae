//go:build !linux

package host

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// One agent runs on a machine: the second is told which process has it, and may when that has ended. Where there is no place for the
// whole machine, nobody is stopped.
func TestOneAgentAMachine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "agent.lock")
	lock, err := takeMachine(name)
	if err != nil || lock == nil {
		t.Fatalf("the first: %v, %v", lock, err)
	}
	again, err := takeMachine(name)
	if !errors.Is(err, ErrRuns) || again != nil || !strings.Contains(err.Error(), "--beside") || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("a second one: %v", err)
	}
	lock.Close()
	if lock, err = takeMachine(name); err != nil || lock == nil {
		t.Fatalf("after it: %v", err)
	}
	lock.Close()
	if lock, err := takeMachine(filepath.Join(t.TempDir(), "none", "agent.lock")); lock != nil || err != nil {
		t.Errorf("without a place: %v, %v", lock, err)
	}
}
