//go:build !agentonly

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/agent/host"
	"rollcall/fleet/target"
)

// While an agent runs it does itself what a person at the machine asks for, answers with what came of it, and leaves no socket behind.
func TestAgentIsAskedWhileItRuns(t *testing.T) {
	t.Parallel()
	m, h := enrolledMachine(t, serveConfig{})
	id := m.device().ID
	wakes, ended := make(chan string), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	run := func(ctx context.Context) { ended <- h.Run(ctx, wakes) }
	socket := filepath.Join(m.dir, "socket")
	if err := os.WriteFile(socket, nil, 0o600); err != nil { // of one that was killed
		t.Fatal(err)
	}
	if err := host.Ask(t.Context(), m.dir, host.RequestCheckIn); !errors.Is(err, host.ErrRuns) || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("nobody listens: %v", err)
	}
	go run(ctx)
	wakes <- "" // the first check-in is over
	if _, err := m.api.Order(t.Context(), id, target.Order{Kind: target.Lock}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.tryOpen(false); !errors.Is(err, host.ErrRuns) {
		t.Errorf("two agents: %v", err)
	}
	if err := host.Ask(t.Context(), m.dir, host.RequestCheckIn); err != nil {
		t.Error(err)
	}
	if e := m.status().Asked; e == nil || e.What != "DeviceLock" {
		t.Errorf("after a check-in that was asked for: %+v", e)
	}
	if err := host.Ask(t.Context(), m.dir, "dance"); err == nil || !strings.Contains(err.Error(), `does not know "dance"`) {
		t.Errorf("something else: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}

	go run(t.Context())
	wakes <- ""
	if err := host.Ask(t.Context(), m.dir, host.RequestUnenrol); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil || m.status().State != "unmanaged" || m.device().Life == "enrolled" {
		t.Errorf("unenrolled: %v, %+v, %s", err, m.status(), m.device().Life)
	}
}

// Who asks an agent whose server does not take it hears why.
func TestAgentSaysWhyItCouldNot(t *testing.T) {
	t.Parallel()
	m, h := enrolledMachine(t, serveConfig{})
	wakes, ended := make(chan string), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer func() { stop(); <-ended }()
	go func() { ended <- h.Run(ctx, wakes) }()
	wakes <- ""
	m.s.Close()
	released(t, m.s.Addr) // until then somebody answers
	if err := host.Ask(t.Context(), m.dir, host.RequestCheckIn); err == nil || !strings.Contains(err.Error(), "nobody answers at") {
		t.Errorf("%v", err)
	}
}
