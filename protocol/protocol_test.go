package protocol

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// The schedule's table: quick after the enrolment, then steady.
func TestSchedule(t *testing.T) {
	enrolled := At(time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC))
	for _, tt := range []struct {
		platform Platform
		age      time.Duration
		want     time.Duration // until the next contact
	}{
		{IOS, 0, 15 * time.Minute},
		{MacOS, 59 * time.Minute, 15 * time.Minute},
		{IPadOS, time.Hour, 7*time.Hour + 30*time.Minute},
		{Android, 14 * time.Minute, 3 * time.Minute},
		{Windows, 15 * time.Minute, 15 * time.Minute},
		{Windows, 150 * time.Minute, 6 * time.Hour},
		{Windows, 510 * time.Minute, 8 * time.Hour},
		{Windows, 510*time.Minute - time.Microsecond, time.Microsecond},
	} {
		now := enrolled.Add(tt.age)
		if got := ScheduleOf(tt.platform).After(enrolled, now, 1<<60).Sub(now); got != tt.want {
			t.Errorf("%s, enrolled %s ago: next in %s, want %s", tt.platform, tt.age, got, tt.want)
		}
	}
}

func TestTime(t *testing.T) {
	if !Time(0).Time().IsZero() || At(time.Time{}) != 0 || Time(0).String() != "never" {
		t.Error("never is not never")
	}
	for _, tt := range []struct{ a, b, want Time }{{0, 5, 5}, {5, 0, 5}, {3, 5, 3}, {5, 3, 3}, {0, 0, 0}} {
		if got := tt.a.Sooner(tt.b); got != tt.want {
			t.Errorf("Sooner of %d and %d = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
	var back Time
	at := At(time.Date(2050, 2, 28, 23, 59, 59, 123456000, time.UTC))
	if b, err := at.MarshalText(); err != nil || back.UnmarshalText(b) != nil || back != at {
		t.Errorf("%s came back as %s", at, back)
	}
}

func TestCommandID(t *testing.T) {
	const text = "7B1E0A52-0F3C-4D69-8A11-0123456789AB"
	id, err := ParseCommandID(text)
	if err != nil || id.String() != text {
		t.Errorf("%s came back as %s, %v", text, id, err)
	}
	for _, wrong := range []string{"", text[1:], text + "0", "7B1E0A52_0F3C-4D69-8A11-0123456789AB", "ZZ1E0A52-0F3C-4D69-8A11-0123456789AB"} {
		if _, err := ParseCommandID(wrong); !errors.Is(err, ErrMalformed) {
			t.Errorf("ParseCommandID(%q): %v, want ErrMalformed", wrong, err)
		}
	}
}

// A refusal is found by its rule however often it was wrapped.
func TestRefusal(t *testing.T) {
	err := fmt.Errorf("device 7: %w", &Refusal{Rule: RulePushGap, Reason: "wait"})
	if !errors.Is(err, RulePushGap) || errors.Is(err, RuleConsent) {
		t.Errorf("%v is not %s alone", err, RulePushGap)
	}
}
