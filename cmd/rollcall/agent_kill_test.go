//go:build !agentonly

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/agent/host"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// A reaper kills the agent at one request: it takes what is on disk at that moment, which is what a kill -9 leaves, and cuts the
// connection, before the server has the request or after it has answered.
type reaper struct {
	mu       sync.Mutex
	seen     int    // requests since it was armed
	at       int    // the one that is cut; 0: none
	answered bool   // the server has the request, and the answer is lost
	dir      string // the agent's
	kept     string // where what was on disk goes
	t        *testing.T
}

func (r *reaper) arm(at int, answered bool, dir, kept string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen, r.at, r.answered, r.dir, r.kept = 0, at, answered, dir, kept
}

// struck disarms it, and tells whether the request was reached.
func (r *reaper) struck() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	reached := r.at > 0 && r.seen >= r.at
	r.at = 0
	return reached
}

func (r *reaper) over(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		r.seen++
		now, answered := r.at > 0 && r.seen == r.at, r.answered
		dead := r.at > 0 && r.seen > r.at // the killed agent says no more
		if now {
			if err := os.CopyFS(r.kept, os.DirFS(r.dir)); err != nil {
				r.t.Error(err)
			}
		}
		r.mu.Unlock()
		if now && answered {
			inner.ServeHTTP(discard{http.Header{}}, q)
		}
		if now || dead {
			panic(http.ErrAbortHandler)
		}
		inner.ServeHTTP(w, q)
	})
}

// A discard takes an answer that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// An agent is killed at each request of its enrolment and of its renewal, before the server has it and after: whoever starts it again
// has one identity, the server knows the same one, and there is one device.
func TestHST121AgentKilledAtEachStep(t *testing.T) {
	t.Parallel()
	clock := newDrivenClock(t.TempDir(), time.Now())
	r := &reaper{t: t}
	m := newLabMachine(t, serveConfig{Clock: clock, Devices: r.over})
	pin := "sha256:" + m.s.Fingerprint
	one := func(m *labMachine, what string) {
		t.Helper()
		d, err := m.api.Device(t.Context(), m.status().UDID)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if s := m.status(); s.State != "managed" || s.Certificate == nil || d.Life != "enrolled" || d.Identity.Fingerprint != s.Certificate.SHA256 {
			t.Errorf("%s: the machine has %+v, the server %+v", what, s.Certificate, d.Identity)
		}
	}
	machines, cuts := 0, map[string]int{}
	for _, answered := range []bool{false, true} {
		for at := 1; ; at++ {
			machines++
			x := *m
			x.id = fmt.Sprintf("%032d", machines)
			x.dir = filepath.Join(t.TempDir(), "state")
			what := fmt.Sprintf("enrolment cut at request %d (answered: %v)", at, answered)
			url := x.invite()
			kept := x.dir + "-kept"
			h := x.open()
			r.arm(at, answered, x.dir, kept)
			err := h.Enrol(t.Context(), host.Join{URL: url, CA: pin})
			h.Close()
			if !r.struck() {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			cuts["enrolment"]++
			x.dir = kept
			h = x.open()
			for range 2 { // whoever pasted the line pastes it again; a daemon only goes on
				if err = h.Enrol(t.Context(), host.Join{URL: url, CA: pin}); err != nil && strings.Contains(err.Error(), "agent unenroll") {
					err = h.CheckIn(t.Context())
				}
			}
			if err == nil {
				err = h.CheckIn(t.Context())
			}
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			h.Close()
			one(&x, what)
		}
	}
	n := 0
	for d, err := range m.api.Devices(t.Context(), target.Filter{}) {
		if n++; err != nil || d.Life != "enrolled" {
			t.Errorf("%+v, %v", d, err)
		}
	}
	if n != machines {
		t.Errorf("%d machines are %d devices", machines, n)
	}

	const most = 8 // requests of a conversation with a renewal in it are fewer
	var renewing []*labMachine
	for i := range 2 * most {
		x := *m
		x.id, x.dir, x.user = fmt.Sprintf("%032d", 1000+i), filepath.Join(t.TempDir(), "state"), fmt.Sprintf("u%d@example.org", i/10) // AUTH-47
		if err := m.api.AddUsers(t.Context(), []target.User{{UPN: x.user, IntuneLicence: true}}); err != nil {
			t.Fatal(err)
		}
		h := x.open()
		if err := h.Enrol(t.Context(), host.Join{URL: x.invite(), CA: pin}); err != nil {
			t.Fatal(err)
		}
		if err := h.CheckIn(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.Close()
		renewing = append(renewing, &x)
	}
	if _, err := m.api.Step(t.Context(), protocol.At(clock.Now().Add(330*24*time.Hour))); err != nil {
		t.Fatal(err)
	}
	for i, x := range renewing {
		at, answered := i/2+1, i%2 == 1
		what := fmt.Sprintf("renewal cut at request %d (answered: %v)", at, answered)
		first := x.status().Certificate.SHA256
		kept := x.dir + "-kept"
		h := x.open()
		r.arm(at, answered, x.dir, kept)
		err := h.CheckIn(t.Context())
		h.Close()
		if r.struck() {
			cuts["renewal"]++
			x.dir = kept
			h = x.open()
			for range 3 {
				err = h.CheckIn(t.Context())
			}
			h.Close()
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		one(x, what)
		if x.status().Certificate.SHA256 == first {
			t.Errorf("%s: never renewed", what)
		}
	}
	t.Logf("killed at %v requests", cuts)
	if cuts["enrolment"] < 10 || cuts["renewal"] < 12 {
		t.Errorf("killed at %v requests: there are more", cuts)
	}
}
