package cloud

import (
	"net/http"
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	var m Meter
	r := Rate{20, time.Hour} // a burst of 20, then one every three minutes
	for i := range 20 {
		if wait := m.Take(now, r); wait != 0 {
			t.Fatalf("message %d waits %s", i, wait)
		}
	}
	if wait := m.Take(now, r); wait != 3*time.Minute {
		t.Errorf("the 21st waits %s, want 3m", wait)
	}
	if wait := m.Take(now.Add(3*time.Minute), r); wait != 0 {
		t.Errorf("after three minutes it waits %s", wait)
	}
	for range 100 {
		if m.Take(now, Rate{Messages: -1}) != 0 {
			t.Error("no limit is one")
		}
	}
}

func TestTokens(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	var all Tokens
	a, b := all.Issue("a", now.Add(time.Hour)), all.Issue("b", now.Add(2*time.Hour))
	of := func(header string, at time.Time) string {
		who, ok := all.Of(&http.Request{Header: http.Header{"Authorization": {header}}}, at)
		if !ok && who != "" {
			t.Errorf("%s has no token and is %s", header, who)
		}
		return who
	}
	for _, tt := range []struct {
		header string
		after  time.Duration
		want   string
	}{
		{"Bearer " + a, 0, "a"},
		{"bearer " + b, 0, "b"},
		{"Basic " + a, 0, ""},
		{"Bearer guess", 0, ""},
		{"", 0, ""},
		{"Bearer ", 0, ""},
		{"Bearer " + a, time.Hour, ""},
		{"Bearer " + b, time.Hour, "b"},
	} {
		if got := of(tt.header, now.Add(tt.after)); got != tt.want {
			t.Errorf("%s after %s is %q, want %q", tt.header, tt.after, got, tt.want)
		}
	}
	all.Forget()
	if got := of("Bearer "+b, now); got != "" {
		t.Errorf("a forgotten token is %q's", got)
	}
}
