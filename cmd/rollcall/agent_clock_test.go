//go:build !agentonly

package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/agent/host"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server/api"
)

// restart has the server of m go on, with its data and its address, by another clock.
func (m *labMachine) restart(clock api.Clock) {
	m.t.Helper()
	if err := m.s.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.s = startTestServer(m.t, serveConfig{Listen: m.s.Addr, Data: filepath.Dir(m.s.CAFile), Simulated: true, Clock: clock})
	m.api = clientOf(m.s)
}

// A machine goes by the clock of its server as long as that is driven, and by its own again afterwards: by the one as by the other, the
// doctor says so (HST-120).
func TestHST120AServersClockIsDrivenNoMore(t *testing.T) {
	t.Parallel()
	clock := newDrivenClock(t.TempDir(), time.Now().Add(-10*24*time.Hour)) // its next certificate is not good yet by this one
	m, h := enrolledMachine(t, serveConfig{Clock: clock})
	if s := m.status(); s.Driven != protocol.At(clock.Now()) {
		t.Fatalf("the machine's clock is not the server's: %+v", s)
	}
	m.restart(realClock{})
	if err := h.CheckIn(t.Context()); err != nil {
		t.Error(err)
	}
	h.Close()
	if s := m.status(); s.Driven != 0 || time.Since(s.Good.Time()) > time.Hour {
		t.Errorf("the machine stands still: %+v", s)
	}
	if found := m.findings(); found["clock"]+found["authority"] != "" {
		t.Errorf("%v", found)
	}
}

// A server whose clock is driven since it started again takes its machines along; not one that was enrolled with an offset from its own clock.
func TestAUTH41AServersClockBecomesDriven(t *testing.T) {
	t.Parallel()
	for offset, follows := range map[time.Duration]bool{0: true, time.Hour: false} {
		m, h := enrolledMachine(t, serveConfig{}, func(j *host.Join) { j.Offset = offset })
		clock := newDrivenClock(t.TempDir(), time.Now().Add(30*24*time.Hour))
		m.restart(clock)
		if err := h.CheckIn(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.Close()
		if s := m.status(); (s.Driven == protocol.At(clock.Now())) != follows || (s.Driven == 0) == follows {
			t.Errorf("with an offset of %s the machine goes by %s, and the server's clock says %s", offset, s.Driven, clock.Now())
		}
		says := ""
		for _, f := range host.Examine(t.Context(), m.dir, host.Config{Machine: func(context.Context) string { return m.id }}) {
			if f.Check == "clock" {
				says = f.Says
			}
		}
		if strings.Contains(says, "the agent goes by it") != follows || strings.Contains(says, "--clock-offset 1h") == follows {
			t.Errorf("with an offset of %s the doctor says %s", offset, says)
		}
	}
}

// The clock of a server with which this machine's identity has ended already is read before anybody wonders (AUTH-42).
func TestAUTH42AnIdentityThatADrivenClockEnded(t *testing.T) {
	t.Parallel()
	m, h := enrolledMachine(t, serveConfig{})
	end := m.status().Certificate.Until.Time()
	m.restart(newDrivenClock(t.TempDir(), end.Add(time.Hour)))
	if err := h.CheckIn(t.Context()); err == nil || !strings.Contains(err.Error(), "before it was renewed") {
		t.Errorf("an ended identity: %v", err)
	}
}

// A time that cannot be a server's is not gone by, whenever it says it: an enrolment goes on once it says another, and a machine that is
// managed stays as it was (HST-120).
func TestHST120ATimeThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, said := range []string{"9999-12-31T23:59:59Z", "2500-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "soon"} {
		var wrong atomic.Bool
		wrong.Store(true)
		m := newLabMachine(t, serveConfig{Devices: func(inner http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if wrong.Load() {
					w.Header().Set(apple.ClockHeader, said)
				}
				inner.ServeHTTP(w, r)
			})
		}})
		h := m.open()
		j := host.Join{URL: m.invite(), CA: "sha256:" + m.s.Fingerprint}
		if err := h.Enrol(t.Context(), j); err == nil || !strings.Contains(err.Error(), "a clock of its own") || !strings.Contains(err.Error(), said) || !strings.Contains(err.Error(), "rollcall clock step") {
			t.Errorf("%s: %v", said, err)
		}
		wrong.Store(false)
		if err := h.Enrol(t.Context(), j); err != nil { // the same line
			t.Fatalf("%s: %v", said, err)
		}
		wrong.Store(true)
		if err := h.CheckIn(t.Context()); err != nil {
			t.Errorf("%s: %v", said, err)
		}
		if s := m.status(); s.State != "managed" || s.Driven != 0 {
			t.Errorf("%s: %+v", said, s)
		}
		h.Close()
	}
}
