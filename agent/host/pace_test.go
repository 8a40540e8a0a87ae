package host

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/protocol"
)

// Pushes without end are followed at once, then a second apart, and soon rarely; after a rest, and where one brings a command, at once again
// (HST-120).
func TestHST120PushesBecomeConversationsRarely(t *testing.T) {
	t.Parallel()
	var p pace
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	flood := func(n int) (waits []time.Duration) {
		for range n {
			rest := p.rest(now)
			now = now.Add(rest)
			p.followed(now)
			waits = append(waits, rest)
		}
		return waits
	}
	all := func(waits []time.Duration, want time.Duration) bool {
		return !slices.ContainsFunc(waits, func(d time.Duration) bool { return d != want })
	}
	got := flood(2 * spare)
	if got[0] != 0 || !all(got[1:spare], apart) || !all(got[len(got)-9:], earns) {
		t.Errorf("of nothing: after %v", got)
	}
	p.brought()
	p.followed(now)
	if got := flood(2 * spare); !all(got[:spare-1], apart) || !all(got[len(got)-9:], earns) {
		t.Errorf("after a command: %v", got)
	}
	now = now.Add(spare * earns)
	if got := flood(2); !slices.Equal(got, []time.Duration{0, apart}) {
		t.Errorf("after a rest: %v", got)
	}
	for range 100 { // all that bring something are a second apart
		p.brought()
		if rest := p.rest(now); rest > apart {
			t.Fatalf("a useful one waits %v", rest)
		}
		now = now.Add(apart)
		p.followed(now)
	}
}

// A command of any kind of device is a reason for a push (HST-120).
func TestHST120ACommandIsAReasonToPush(t *testing.T) {
	h := bare(t, filepath.Join(t.TempDir(), "state"))
	h.pushes.spent = time.Now().Add(time.Hour)
	if err := h.asked(&dialect.Order{Command: "LOCK", Status: protocol.Acknowledged}); err != nil {
		t.Fatal(err)
	}
	if rest := h.pushes.rest(time.Now()); rest != 0 {
		t.Errorf("the next push waits for %s", rest)
	}
}

// A talker is a machine that begins conversations, and whose identity has ended before they come to anything.
type talker struct {
	managed
	began func()
}

func (talker) Due() protocol.Time                  { return 0 }
func (talker) Expire(protocol.Time) int            { return 0 }
func (talker) Identity() dialect.Identity          { return dialect.Identity{NotAfter: 1} }
func (talker) Renewing() bool                      { return false }
func (talker) Phase() agent.Phase                  { return agent.Enrolled }
func (talker) AppendBinary([]byte) ([]byte, error) { return nil, errors.New("not kept") }
func (talker) profiles() []dialect.Profile         { return nil }
func (talker) settled(protocol.Time)               {}
func (talker) back(protocol.Time) bool             { return true } // it does not begin with one
func (talker) woken(magic string) bool             { return magic == "own" }
func (d talker) share(*Host)                       { d.began() }

// A push service without measure has the agent talk for a minute, then every five seconds; what is no push of its own costs no conversation, and
// none is lost (HST-120).
func TestHST120AFloodOfPushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := bare(t, filepath.Join(t.TempDir(), "state"))
		begun := time.Now()
		var at []time.Duration
		h.device, h.rec.Link, h.rec.Kind = talker{began: func() { at = append(at, time.Since(begun)) }}, &pasted{Host: "mdm.example.org:8443"}, protocol.Windows
		defer func() { h.device = nil }()
		ctx, stop := context.WithCancel(t.Context())
		wakes, ended := make(chan string), make(chan struct{})
		go func() {
			defer close(ended)
			h.loop(ctx, wakes, nil)
		}()
		for range 3 {
			wakes <- "another's"
		}
		if since := time.Since(begun); since != 0 || len(at) != 0 {
			t.Errorf("another's magic: %v, %v", since, at)
		}
		for range 2 * spare {
			wakes <- "own"
		}
		synctest.Wait()
		stop()
		<-ended
		for i, begun := range at[:spare] {
			if begun != time.Duration(i)*apart {
				t.Errorf("conversations at %v", at)
				break
			}
		}
		if n := len(at); n != 2*spare || at[n-1]-at[n-2] != earns {
			t.Errorf("%d conversations, the last two at %v", n, at[n-2:])
		}
	})
}
