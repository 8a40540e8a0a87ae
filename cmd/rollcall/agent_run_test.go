package main

import (
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"testing"

	"rollcall/agent/host"
)

// An agent leaves all processors of its machine but one alone.
func TestAgentRunsOnOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	cmd := agentRunCommand(&agentFlags{state: filepath.Join(t.TempDir(), "state")})
	cmd.SetArgs([]string{"--beside"})
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	if err := cmd.ExecuteContext(t.Context()); !errors.Is(err, host.ErrUnmanaged) {
		t.Errorf("nobody manages it, and it ends with: %v", err)
	}
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("it runs on %d processors", n)
	}
}
