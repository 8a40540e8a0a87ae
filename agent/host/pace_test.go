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
	got := flood(2 * spareTalks)
	if got[0] != 0 || !all(got[1:spareTalks], apart) || !all(got[len(got)-9:], talkEarned) {
		t.Errorf("of nothing: after %v", got)
	}
	p.brought()
	p.followed(now)
	if got := flood(2 * spareTalks); !all(got[:spareTalks-1], apart) || !all(got[len(got)-9:], talkEarned) {
		t.Errorf("after a command: %v", got)
	}
	now = now.Add(spareTalks * talkEarned)
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
	h.pushes.spare.spent = time.Now().Add(time.Hour)
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
		for range 2 * spareTalks {
			wakes <- "own"
		}
		synctest.Wait()
		stop()
		<-ended
		for i, begun := range at[:spareTalks] {
			if begun != time.Duration(i)*apart {
				t.Errorf("conversations at %v", at)
				break
			}
		}
		if n := len(at); n != 2*spareTalks || at[n-1]-at[n-2] != talkEarned {
			t.Errorf("%d conversations, the last two at %v", n, at[n-2:])
		}
	})
}

// An endless is a machine that always has one more report.
type endless struct {
	managed
	left int
	at   []time.Time
}

func (*endless) Number() protocol.Device          { return 1 }
func (*endless) Renewing() bool                   { return false }
func (*endless) Abandon(protocol.Time)            {}
func (*endless) listed() string                   { return "" }
func (*endless) profiles() []dialect.Profile      { return nil }
func (*endless) Certificate(dialect.Which) []byte { return nil }
func (*endless) AppendBinary(b []byte) ([]byte, error) {
	return dialect.NewApple(dialect.Who{Number: 1, UDID: "A"}, &dialect.Model{Platform: protocol.IPadOS}, &dialect.Habits{}).AppendBinary(b)
}

func (d *endless) Begin(_ protocol.Time, _ dialect.Why, out *dialect.Act) bool {
	*out = dialect.Act{Kind: dialect.Send, Request: dialect.Request{Step: dialect.Report, URL: "of nobody", Repeat: true}}
	return true
}

func (d *endless) Answer(_ protocol.Time, _ *dialect.Response, out *dialect.Act) {
	d.at = append(d.at, time.Now())
	if d.left--; d.left == 0 {
		*out = dialect.Act{}
	}
}

// A server that always has one more command has the machine work twice a second, not as fast as it can; one that had much at once has it
// again after a rest (HST-120).
func TestHST120CommandsWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := bare(t, filepath.Join(t.TempDir(), "state"))
		h.rec.Link = &pasted{Host: "mdm.example.org:8443"}
		if err := h.connect(); err != nil {
			t.Fatal(err)
		}
		defer func() { h.device = nil }()
		const left, more = 4, 6
		for _, spare := range []int{left, left + more} { // after much at once, and a while later
			h.sends.spent = time.Now().Add(time.Duration(spareSends-spare) * sendsEarned)
			begun, d := time.Now(), &endless{left: left + more}
			h.device = d
			if _, err := h.link.Converse(t.Context(), d, dialect.Synced); err != nil {
				t.Fatal(err)
			}
			for i, at := range d.at {
				if want := time.Duration(max(i+1-spare, 0)) * sendsEarned; at.Sub(begun) != want {
					t.Errorf("with %d to spare, request %d went out after %v, want %v", spare, i, at.Sub(begun), want)
				}
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		h.sends.spent = time.Now().Add(time.Hour)
		if h.before(ctx, 1, dialect.Report); h.sends.rest(time.Now(), spareSends, sendsEarned) < time.Minute {
			t.Error("whoever ends a conversation waits for its next request")
		}
	})
}
