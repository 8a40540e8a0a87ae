//go:build !agentonly

package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"rollcall/agent/host"
)

// findings are what the doctor finds on a machine: each check with what is wrong, and what to do; empty where it is well.
func (m *labMachine) findings() map[string]string {
	found := map[string]string{}
	for _, f := range host.Examine(m.t.Context(), m.dir, host.Config{
		Now:     func() time.Time { return time.Now().Add(m.ahead) },
		Machine: func(context.Context) string { return m.id },
	}) {
		found[f.Check] = ""
		if !f.OK {
			found[f.Check] = f.Says + " | " + f.Do
		}
		if f.Says == "" || f.OK != (f.Do == "") || strings.Contains(f.Says+f.Do, "\n") {
			m.t.Errorf("a finding %+v", f)
		}
	}
	return found
}

// The doctor finds each fault by itself and says what to do, beside an agent that runs, and changes nothing.
func TestAgentDoctor(t *testing.T) {
	t.Parallel()
	m, h := enrolledMachine(t, serveConfig{})
	wakes, ended := make(chan string), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- h.Run(ctx, wakes) }()
	wakes <- ""
	before := m.status()
	all := m.findings()
	for _, check := range []string{"folder", "agent", "enrolment", "name", "port", "authority", "clock", "certificate", "identity", "check-ins"} {
		if bad, looked := all[check]; bad != "" || !looked {
			t.Errorf("a machine that is well: %s: looked %v, %s", check, looked, bad)
		}
	}
	if after := m.status(); after.Good != before.Good || *after.Asked != *before.Asked || m.device().Life != "enrolled" {
		t.Errorf("the doctor had a conversation: %+v", after)
	}
	// only is that one check is bad, by these words; after it nothing else is than what is listed.
	only := func(what, check string, also []string, words ...string) {
		t.Helper()
		found := m.findings()
		for _, w := range words {
			if !strings.Contains(found[check], w) {
				t.Errorf("%s: %s says %q, want %q", what, check, found[check], w)
			}
		}
		for c, bad := range found {
			if bad != "" && c != check && !strings.Contains(strings.Join(also, " "), c) {
				t.Errorf("%s: %s is bad too: %s", what, c, bad)
			}
		}
	}
	m.ahead = 20 * time.Minute
	only("a clock ahead", "clock", []string{"check-ins"}, "20m", "ahead of the server's", "set this machine's clock")
	m.ahead = -20 * time.Minute
	only("a clock behind", "clock", []string{"certificate", "authority"}, "behind the server's")
	m.ahead = 20 * 365 * 24 * time.Hour
	only("a clock years off", "authority", []string{"clock", "certificate", "check-ins"}, "this agent's clock says", "set the clock")
	only("a certificate that ended", "certificate", []string{"clock", "authority", "check-ins"}, "ended on", "enrol with a new line")
	m.ahead = 0
	id := m.id
	m.id = strings.Repeat("f", 32)
	only("a copied folder", "folder", nil, "of another machine", "--anew")
	m.id = id

	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	only("a folder that is held", "agent", nil, "takes no requests", "end that process")
	h.Close()
	only("no agent", "agent", nil, "no agent runs", "rollcall agent install")
	if found := m.findings(); !maps.Equal(found, m.findings()) {
		t.Errorf("looking changes what is found: %v", found)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(m.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		only("an open folder", "folder", []string{"agent"}, "others may look into", "chmod 700")
		if err := os.Chmod(m.dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}

	m.s.Close()
	released(t, m.s.Addr) // until then somebody answers
	h = m.open()
	if err := h.CheckIn(t.Context()); err == nil {
		t.Error("a check-in without a server")
	}
	h.Close()
	only("a check-in that failed", "check-ins", []string{"agent", "port"}, "the last one failed at", "nobody answers")
	only("no server", "port", []string{"agent", "check-ins"}, "nobody answers", "start the server")
	if found := m.findings(); len(found) != 6 {
		t.Errorf("beyond a closed port there is nothing to see: %v", found)
	}
	if err := os.WriteFile(filepath.Join(m.dir, "agent.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	only("a damaged state, and a whole one before it", "folder", []string{"agent", "port", "check-ins"}, "the one before it is used", "check the disk")
	os.Remove(filepath.Join(m.dir, "agent.json.previous"))
	only("a damaged state", "folder", nil, "damaged", "--anew")
	m.dir += "-none"
	only("no state", "folder", nil, "no state in", "enrol this machine")
}

// Somebody else behind the server's name, and a machine that left.
func TestAgentDoctorBeforeAStranger(t *testing.T) {
	t.Parallel()
	m, h := enrolledMachine(t, serveConfig{})
	h.Close()
	addr := m.s.Addr
	m.s.Close()
	s := startTestServer(t, serveConfig{Clock: realClock{}, Data: t.TempDir(), Simulated: true, Listen: addr})
	found := m.findings()
	if bad := found["authority"]; !strings.Contains(bad, "is not the server of this line") || !strings.Contains(bad, "ask for a new line") {
		t.Errorf("another authority: %v", found)
	}
	if _, asked := found["identity"]; asked {
		t.Error("a stranger is shown this machine's certificate")
	}
	s.Close()
	h = m.open()
	if err := h.Unenrol(t.Context()); !errors.Is(err, host.ErrUntold) || !strings.Contains(err.Error(), "devices delete") {
		t.Fatalf("it left, and who should know does not: %v", err)
	}
	h.Close()
	if bad := m.findings()["enrolment"]; !strings.Contains(bad, "nobody manages this machine since") {
		t.Errorf("after it left: %s", bad)
	}
}

// A secretClock is driven, and tells nobody.
type secretClock struct{ *drivenClock }

func (secretClock) Driven() bool { return false }

// The server's word about this machine's certificate counts, whatever this machine's clock says of it.
func TestAgentDoctorOfAnEndedIdentity(t *testing.T) {
	t.Parallel()
	clock := secretClock{newDrivenClock(t.TempDir(), time.Now())}
	m, h := enrolledMachine(t, serveConfig{Clock: clock})
	h.Close()
	end := m.status().Certificate.Until.Time()
	clock.Step(end.Add(time.Minute))
	m.ahead = time.Until(end.Add(-2 * time.Minute))
	found := m.findings()
	if bad := found["identity"]; !strings.Contains(bad, "does not take this machine's certificate") || !strings.Contains(bad, "enrol with a new line") || found["certificate"] != "" {
		t.Errorf("%v", found)
	}
}

// A machine goes by the clock of a server whose clock is driven, where it stands now.
func TestAgentDoctorByADrivenClock(t *testing.T) {
	t.Parallel()
	clock := newDrivenClock(t.TempDir(), time.Now())
	m, h := enrolledMachine(t, serveConfig{Clock: clock})
	h.Close()
	if found := m.findings(); found["clock"]+found["certificate"]+found["identity"] != "" {
		t.Errorf("before it is stepped: %v", found)
	}
	clock.Step(m.status().Certificate.Until.Time().Add(time.Minute))
	if found := m.findings(); found["clock"] != "" || !strings.Contains(found["certificate"], "ended on") {
		t.Errorf("after the end: %v", found)
	}
}
