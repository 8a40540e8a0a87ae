package certs

import (
	"errors"
	"testing"
	"time"
)

func TestAUTH41DueAt(t *testing.T) {
	for _, tt := range []struct {
		name         string
		life, window time.Duration
		want         time.Duration // before the end
		err          error
	}{
		{"a year, by default 42 days", 365 * day, 0, 42 * day, nil},
		{"a year, another window", 365 * day, 60 * day, 60 * day, nil},
		{"window of a year", 365 * day, 365 * day, 365 * day / 3, nil},
		{"126 days is where a third begins", 126 * day, 0, 42 * day, nil},
		{"5 days of a plan", 5 * day, 0, 40 * time.Hour, nil},
		{"one second", time.Second, 0, time.Second, nil}, // whole seconds: due at once
		{"no life", 0, 0, 0, ErrLifetime},
		{"backwards", -day, 0, 0, ErrLifetime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			due, err := DueAt(at, at.Add(tt.life), tt.window)
			if !errors.Is(err, tt.err) {
				t.Fatalf("DueAt error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			if got := at.Add(tt.life).Sub(due); got != tt.want {
				t.Errorf("due %s before the end, want %s", got, tt.want)
			}
			if due.Before(at) {
				t.Error("due before it is valid")
			}
		})
	}
	far := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) // X.509's "no end": the difference does not fit a Duration
	if due, err := DueAt(at, far, 0); err != nil || !due.Equal(far.Add(-42*day)) {
		t.Errorf("DueAt until 9999 = %s, %v", due, err)
	}
}
