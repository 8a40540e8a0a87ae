package conformance

import (
	"bytes"
	"context"
	"crypto/x509"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/fleet/target"
	"rollcall/protocol/apple"
)

// TestCutOffAtAnIdentity: a run that is called off between a device's identity and the Authenticate that makes it the device's
// leaves nothing behind, be it the first identity or another, and whether the server heard the Authenticate or not.
func TestCutOffAtAnIdentity(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cut   int // the Authenticate in which the run is called off
		heard bool
	}{
		{"the first, unheard", 1, false},
		{"the first, unanswered", 1, true},
		{"another, unheard", 2, false},
		{"another, unanswered", 2, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startToy(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var mu sync.Mutex
			bound, said := map[string][]byte{}, 0 // whose device it is, by UDID
			s.message = func(w http.ResponseWriter, r *http.Request, m *apple.Message) bool {
				mu.Lock()
				defer mu.Unlock()
				leaf := r.TLS.PeerCertificates[0].Raw
				if m.MessageType == apple.Authenticate {
					if said++; said == tt.cut {
						cancel()
					}
					if said != tt.cut || tt.heard {
						bound[m.UDID] = leaf
					}
					return false
				}
				if !bytes.Equal(bound[m.UDID], leaf) {
					w.WriteHeader(http.StatusBadRequest)
					return true
				}
				if m.MessageType == apple.CheckOut {
					delete(bound, m.UDID)
				}
				return false
			}
			r, err := Run(ctx, s.config("APL-031"))
			mu.Lock()
			defer mu.Unlock()
			if err != nil || !r.Interrupted || r.Enrolled != 1 || len(r.Left) > 0 || len(bound) > 0 || said < tt.cut {
				t.Errorf("%v; interrupted: %t; %d enrolled, left %v; %d devices remain", err, r.Interrupted, r.Enrolled, r.Left, len(bound))
			}
		})
	}
}

// briefly has the toy issue identities that ended an hour ago, so that nobody waits for it.
func (s *toy) briefly() {
	s.scepOf(func(r *scep.Request) (*x509.Certificate, error) {
		return s.ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "toy", Now: time.Now().Add(-2 * time.Hour), Lifetime: time.Hour})
	})
}

// TestAPL094EndedElsewhere: a server whose clock is its own is asked about an identity that has ended where such a one is to be
// had, and where none is, the report says so.
func TestAPL094EndedElsewhere(t *testing.T) {
	s := startToy(t)
	s.message = func(w http.ResponseWriter, r *http.Request, m *apple.Message) bool {
		if m.MessageType == apple.GetToken && time.Now().After(r.TLS.PeerCertificates[0].NotAfter) {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	}
	if f := ask(t, s.config("APL-094")).of("APL-094"); f.Outcome != Pass || len(f.Without) != 1 || !strings.Contains(f.Without[0], "identities of a minute and ask --only APL-094") {
		t.Errorf("an identity of a year: %s: %s, not asked: %q", f.Outcome, f.Reason, f.Without)
	}
	s.briefly()
	r := ask(t, s.config("APL-094"))
	if f := r.of("APL-094"); f.Outcome != Fail || f.Exchange == nil || f.Exchange.Status != http.StatusUnauthorized || len(f.Without) > 0 {
		t.Errorf("an identity that has ended: %s: %s, not asked: %q", f.Outcome, f.Reason, f.Without)
	}
	if len(r.Left) > 0 {
		t.Errorf("left %v", r.Left)
	}
}

// A board is a push service that a test writes on.
type board struct {
	mu   sync.Mutex
	made byte
	got  map[string][]Push
}

func (b *board) Register(string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made++
	return bytes.Repeat([]byte{b.made}, 32)
}

func (b *board) push(token []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got[string(token)] = append(b.got[string(token)], Push{})
}

func (b *board) Got(token []byte) []Push {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got[string(token)]
}

func (b *board) Watch([]byte, func())    {}
func (b *board) Unregister([]byte)       {}
func (b *board) GoAway()                 {}
func (b *board) Refuse(string)           {}
func (b *board) Refused() map[string]int { return nil }

// TestAPL036Unknown: of a server that says nothing about its devices the check sees what there is: that it goes on pushing, or
// that whoever left cannot come again.
func TestAPL036Unknown(t *testing.T) {
	for _, tt := range []struct {
		name                   string
		seen, pushes, forgives bool
		want                   Outcome
		reason                 string
	}{
		{"a server in order", true, false, true, Pass, ""},
		{"pushes go on", true, true, true, Fail, "after CheckOut the device is pushed"},
		{"pushes go on, and nobody sees it", false, true, true, Pass, ""},
		{"whoever left stays away", false, false, false, Fail, "Authenticate of a device that left and enrols anew was answered 403"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startToy(t)
			b := &board{got: map[string][]Push{}}
			var mu sync.Mutex
			tokens, left, waits := map[string][]byte{}, false, ""
			s.message = func(w http.ResponseWriter, _ *http.Request, m *apple.Message) bool {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case m.MessageType == apple.TokenUpdate:
					tokens[m.UDID] = bytes.Clone(m.Token)
				case m.MessageType == apple.CheckOut:
					left = true
				case m.MessageType == apple.Authenticate && left && !tt.forgives:
					w.WriteHeader(http.StatusForbidden)
					return true
				case m.MessageType == apple.NoMessageType && waits != "" && m.CommandUUID != waits:
					w.Write(apple.EncodeCommand(nil, waits, apple.SecurityInfo{}))
					return true
				case m.CommandUUID == waits:
					waits = ""
				}
				return false
			}
			c := s.config("APL-036")
			c.Settle = time.Millisecond
			c.Steps.Queue = func(_ context.Context, device string, _ target.Order) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				waits = "C0F0C0F0-0000-4000-8000-000000000001"
				if !left || tt.pushes {
					b.push(tokens[device])
				}
				return waits, nil
			}
			if tt.seen {
				c.Pushes = b
			}
			f := ask(t, c).of("APL-036")
			if f.Outcome != tt.want || f.Reason != tt.reason && !strings.HasPrefix(f.Reason, tt.reason) || (len(f.Without) > 0) == tt.seen && f.Outcome == Pass {
				t.Errorf("%s: %s, not asked: %q", f.Outcome, f.Reason, f.Without)
			}
		})
	}
}
