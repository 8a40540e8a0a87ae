package google

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// A life is a mailbox in virtual time.
type life struct {
	*testing.T
	box     mailbox
	now     time.Time
	got     []string
	expired int
	due     time.Time
}

func newLife(t *testing.T) *life { return &life{T: t, now: start} }

func (l *life) take() {
	out, expired, due := l.box.take(l.now)
	for _, m := range out {
		name := m.Data["n"]
		if m.Deleted {
			name = "deleted"
		}
		l.got = append(l.got, fmt.Sprintf("%s@%s", name, l.now.Sub(start)))
	}
	l.expired += expired
	l.due = due
}

func (l *life) send(n, key string, high bool, ttl time.Duration) {
	l.box.put(Message{Data: map[string]string{"n": n}, CollapseKey: key, High: high, Sent: l.now, Expires: l.now.Add(ttl)})
	l.take()
}

// until plays what is due up to a moment after the start.
func (l *life) until(after time.Duration) {
	end := start.Add(after)
	for !l.due.IsZero() && !l.due.After(end) {
		if l.due.Before(l.now) {
			l.Fatalf("due at %s, which is before %s", l.due, l.now)
		}
		l.now = l.due
		l.take()
	}
	l.now = end
	l.take()
}

func (l *life) want(want ...string) {
	l.Helper()
	if !reflect.DeepEqual(l.got, want) {
		l.Errorf("got %v, want %v", l.got, want)
	}
}

// TestAND091Collapses: of ten wake-ups for a device that is away it gets the last, or none when they have expired.
func TestAND091Collapses(t *testing.T) {
	l := newLife(t)
	for i := range 10 {
		l.send(fmt.Sprint(i), "rc-sync", true, 8*time.Hour)
	}
	l.until(time.Hour)
	l.box.online = true
	l.until(2 * time.Hour)
	l.want("9@2h0m0s")
	l.box.online = false
	l.send("late", "rc-sync", true, time.Hour)
	l.until(3 * time.Hour)
	l.box.online = true
	l.take()
	l.want("9@2h0m0s")
	if l.expired != 1 {
		t.Errorf("%d expired, want 1", l.expired)
	}
	l.send("now", "rc-sync", true, 0)
	l.box.online = false
	l.send("never", "rc-sync", true, 0)
	l.box.online = true
	l.take()
	l.want("9@2h0m0s", "now@3h0m0s")
}

func TestAND091FourKeysAndAHundredOthers(t *testing.T) {
	l := newLife(t)
	for i := range 6 {
		l.send(fmt.Sprint(i), fmt.Sprint("key", i), true, time.Hour)
	}
	l.box.online = true
	l.take()
	l.want("2@0s", "3@0s", "4@0s", "5@0s")
	l = newLife(t)
	for i := range 100 {
		l.send(fmt.Sprint(i), "", true, time.Hour)
	}
	l.send("with a key", "k", true, time.Hour)
	l.send("one too many", "", true, time.Hour)
	l.send("after it", "", true, time.Hour)
	l.box.online = true
	l.take()
	l.want("deleted@0s", "with a key@0s", "after it@0s")
}

// TestAND092Doze: high priority at once, normal in the next window: 1, 2 and 4 hours after doze began, then every 6, for five minutes.
func TestAND092Doze(t *testing.T) {
	l := newLife(t)
	l.box.online, l.box.idle = true, start
	l.now = start.Add(59 * time.Minute)
	l.send("awake", "a", false, MaxTTL)
	l.now = start.Add(time.Hour)
	l.send("1", "a", false, MaxTTL)
	l.send("high", "b", true, MaxTTL)
	l.until(2*time.Hour + 4*time.Minute)
	l.send("in the window", "a", false, MaxTTL)
	l.now = start.Add(2*time.Hour + 5*time.Minute)
	for _, n := range []string{"2", "3", "4", "5"} {
		l.send(n, "a", false, MaxTTL)
		l.until(l.due.Sub(start))
		l.now = l.now.Add(10 * time.Minute)
	}
	l.want("awake@59m0s", "high@1h0m0s", "1@2h0m0s", "in the window@2h4m0s", "2@3h0m0s", "3@5h0m0s", "4@11h0m0s", "5@17h0m0s")
	l.send("used", "a", false, MaxTTL)
	l.box.idle = time.Time{}
	l.take()
	if last := l.got[len(l.got)-1]; last != "used@17h10m0s" {
		t.Errorf("when it is used it gets %s", last)
	}
}

// TestAND092Burst: the 21st collapsible message waits until the rate allows it; others do not.
func TestAND092Burst(t *testing.T) {
	l := newLife(t)
	l.box.online = true
	for i := range 22 {
		l.send(fmt.Sprint(i), "rc-sync", true, MaxTTL)
	}
	l.send("other", "", true, MaxTTL)
	if len(l.got) != 21 || l.got[20] != "other@0s" {
		t.Fatalf("got %v, want 20 and the one without a key", l.got)
	}
	l.until(10 * time.Minute)
	if len(l.got) != 22 || l.got[21] != "21@3m0s" {
		t.Errorf("got %v, want the last one after three minutes", l.got[20:])
	}
}

func TestRates(t *testing.T) {
	var m mailbox
	for i := range 240 {
		if wait := m.charge(start); wait != 0 {
			t.Fatalf("message %d waits %s", i, wait)
		}
	}
	if m.charge(start) == 0 {
		t.Error("241 messages in a minute pass")
	}
	now, passed := start, 240
	for range 40 {
		now = now.Add(time.Minute)
		for m.charge(now) == 0 {
			passed++
		}
	}
	if passed < 5000 || passed > 5000+40*84+1 {
		t.Errorf("%d messages in 40 minutes, want the hour's 5000 and what grows back", passed)
	}
}
