//go:build !agentonly

package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rollcall/agent/host"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/server/authority"
)

// A labMachine is one pretended machine beside a server of a test.
type labMachine struct {
	t     *testing.T
	s     *runningServer
	api   *target.Rollcall
	dir   string
	ahead time.Duration // of its clock
	id    string
	facts host.Facts
}

func newLabMachine(t *testing.T, cfg serveConfig) *labMachine {
	t.Helper()
	if cfg.Clock == nil {
		cfg.Clock = realClock{}
	}
	cfg.Data, cfg.Simulated, cfg.Tenant = t.TempDir(), true, &authority.Tenant{Release: 2611, Authority: protocol.Intune}
	s := startTestServer(t, cfg)
	m := &labMachine{
		t: t, s: s, api: clientOf(s), dir: filepath.Join(t.TempDir(), "state"), id: "0123456789abcdef0123456789abcdef",
		facts: host.Facts{Name: "bench-3", OS: "debian", OSVersion: "13.1", Kernel: "6.12.9", Vendor: "Lenovo", Model: "ThinkPad T480", Serial: "PF1ABCDE"},
	}
	if err := m.api.AddUsers(t.Context(), []target.User{{UPN: "ada@example.org", IntuneLicence: true}}); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *labMachine) open() *host.Host {
	m.t.Helper()
	h, err := m.tryOpen(false)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { h.Close() })
	return h
}

func (m *labMachine) tryOpen(anew bool) (*host.Host, error) {
	return host.Open(m.t.Context(), m.dir, host.Config{
		Now:     func() time.Time { return time.Now().Add(m.ahead) },
		Facts:   func(context.Context) host.Facts { return m.facts },
		Machine: func(context.Context) string { return m.id },
		Anew:    anew,
	})
}

func (m *labMachine) invite() string {
	m.t.Helper()
	list, err := m.api.Invite(m.t.Context(), []string{"ada@example.org"})
	if err != nil {
		m.t.Fatal(err)
	}
	return list[0].URL
}

func (m *labMachine) status() host.Status {
	m.t.Helper()
	s, err := host.Read(m.dir, time.Now(), m.facts)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func (m *labMachine) device() target.Device {
	m.t.Helper()
	var found []target.Device
	for d, err := range m.api.Devices(m.t.Context(), target.Filter{}) {
		if err != nil {
			m.t.Fatal(err)
		}
		found = append(found, d)
	}
	if len(found) != 1 {
		m.t.Fatalf("the server has %d devices, want 1", len(found))
	}
	return found[0]
}

func TestAgentEnrolsAndChecksIn(t *testing.T) {
	t.Parallel()
	m := newLabMachine(t, serveConfig{})
	h := m.open()
	if err := h.Enrol(t.Context(), host.Join{URL: m.invite(), CA: "sha256:" + m.s.Fingerprint}); err != nil {
		t.Fatal(err)
	}
	if d := m.device(); d.Life != "enrolled" || d.Serial != "PF1ABCDE" || d.Platform != protocol.IPadOS {
		t.Errorf("the server has %+v", d)
	}
	if err := h.CheckIn(t.Context()); err != nil {
		t.Error(err)
	}
	s := m.status()
	if s.State != "managed" || s.Server == "" || s.Organization != "rollcall" || s.Certificate == nil || len(s.Profiles) == 0 || !s.Profiles[0].Management || s.Good == 0 {
		t.Errorf("status %+v", s)
	}
	if _, err := m.tryOpen(false); err == nil {
		t.Error("two agents on one state")
	}
	h.Close()
	h = m.open() // a restart
	if err := h.CheckIn(t.Context()); err != nil {
		t.Error(err)
	}
	if err := h.Unenrol(t.Context()); err != nil {
		t.Error(err)
	}
	if s := m.status(); s.State != "unmanaged" || s.Ended == 0 {
		t.Errorf("status %+v", s)
	}
	if d := m.device(); d.Life == "enrolled" {
		t.Errorf("the server was not told: %+v", d)
	}
	if b, err := os.ReadFile(filepath.Join(m.dir, "agent.json.previous")); err == nil {
		t.Errorf("secrets of the enrolment are left: %.80s", b)
	}
}
