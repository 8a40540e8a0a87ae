package renewal_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/renewal"
)

const day = 24 * time.Hour

var start = protocol.At(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

func TestAUTH41Due(t *testing.T) {
	year, short := start.Add(365*day), start.Add(3*day)
	for _, tt := range []struct {
		name            string
		now, end, asked protocol.Time
		outstanding     bool
		window, retry   time.Duration
		want            bool
	}{
		{"before the window", year.Add(-42*day - time.Second), year, 0, false, 0, 0, false},
		{"at the window", year.Add(-42 * day), year, 0, false, 0, 0, true},
		{"one is outstanding", year.Add(-day), year, start, true, 0, 0, false},
		{"asked six days ago", year.Add(-day), year, year.Add(-7 * day), false, 0, 0, false},
		{"asked seven days ago", year.Add(-day), year, year.Add(-8 * day), false, 0, 0, true},
		{"own spacing", year.Add(-day), year, year.Add(-2 * day), false, 0, day, true},
		{"own window", year.Add(-50 * day), year, 0, false, 60 * day, 0, true},
		{"AUTH-42: ended", year, year, 0, false, 0, 0, false},
		{"a short life is not due all of it", short.Add(-day - time.Second), short, 0, false, 0, 0, false},
		{"the last third of a short life", short.Add(-day), short, 0, false, 0, 0, true},
		{"no life at all", start, start, 0, false, 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := renewal.Due(tt.now, start, tt.end, tt.asked, tt.outstanding, tt.window, tt.retry); got != tt.want {
				t.Errorf("Due at %s of %s to %s, asked %s = %v, want %v", tt.now, start, tt.end, tt.asked, got, tt.want)
			}
		})
	}
}

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
		{"no life", 0, 0, 0, renewal.ErrLifetime},
		{"backwards", -day, 0, 0, renewal.ErrLifetime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			end := start.Add(tt.life)
			due, err := renewal.DueAt(start, end, tt.window)
			if !errors.Is(err, tt.err) {
				t.Fatalf("DueAt error %v, want %v", err, tt.err)
			}
			if err == nil && end.Sub(due) != tt.want {
				t.Errorf("due %s before the end, want %s", end.Sub(due), tt.want)
			}
		})
	}
	far := protocol.At(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)) // X.509's "no end"
	if due, err := renewal.DueAt(start, far, 0); err != nil || due != far.Add(-42*day) {
		t.Errorf("DueAt until 9999 = %s, %v", due, err)
	}
}

func TestAUTH43RemovedAt(t *testing.T) {
	if got, want := renewal.RemovedAt(start, 0), start.Add(180*day); got != want {
		t.Errorf("RemovedAt = %s, want %s", got, want)
	}
}

// TestAUTH43Setting: how long records outlive their identities is a setting.
func TestAUTH43Setting(t *testing.T) {
	if got, want := renewal.RemovedAt(start, 30*day), start.Add(30*day); got != want {
		t.Errorf("RemovedAt = %s, want %s", got, want)
	}
}

// TestAUTH33WarningsSetting: when a push certificate is warned of is a setting.
func TestAUTH33WarningsSetting(t *testing.T) {
	for left, want := range map[time.Duration]int{61 * day: 0, 60 * day: 60, 30 * day: 60, 3 * day: 3, time.Hour: 3, 0: -1} {
		if got := renewal.Warning(start, start.Add(left), []int{60, 3}); got != want {
			t.Errorf("Warning %s before the end = %d, want %d", left, got, want)
		}
	}
}

func TestCheckUpload(t *testing.T) {
	present := renewal.Push{Topic: "com.apple.mgmt.External.a", NotBefore: start, NotAfter: start.Add(365 * day)}
	now := start.Add(360 * day)
	next := func(topic string, from, until time.Duration) renewal.Push {
		return renewal.Push{Topic: topic, NotBefore: start.Add(from), NotAfter: start.Add(until)}
	}
	for _, tt := range []struct {
		name    string
		present renewal.Push
		next    renewal.Push
		other   bool
		refused string // part of the reason; empty: taken
	}{
		{"AUTH-34 first", renewal.Push{}, next(present.Topic, 359*day, 724*day), false, ""},
		{"AUTH-34 renewed", present, next(present.Topic, 359*day, 724*day), false, ""},
		{"AUTH-32 other topic", present, next("com.apple.mgmt.External.b", 359*day, 724*day), true, ""},
		{"AUTH-34 another topic's may end sooner, so that a wrong upload can be undone", present, next("com.apple.mgmt.External.b", 0, 364*day), true, ""},
		{"AUTH-34 no topic", present, next("", 359*day, 724*day), false, "topic"},
		{"AUTH-34 expired", present, next(present.Topic, 0, 359*day), false, "expired"},
		{"AUTH-34 not yet valid", present, next(present.Topic, 361*day, 724*day), false, "not valid before"},
		{"AUTH-34 the same again", present, present, false, "not later"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			other, no := renewal.CheckUpload(now, tt.present, tt.next)
			switch {
			case tt.refused == "" && no != nil:
				t.Errorf("refused: %v", no)
			case tt.refused != "" && (no == nil || no.Rule != protocol.RuleUpload || !strings.Contains(no.Reason, tt.refused)):
				t.Errorf("refusal %v, want AUTH-34 with %q", no, tt.refused)
			case other != tt.other:
				t.Errorf("other topic %v, want %v", other, tt.other)
			}
		})
	}
}

func TestAUTH33Warning(t *testing.T) {
	end := start.Add(365 * day)
	for left, want := range map[time.Duration]int{
		31 * day: 0, 30 * day: 30, 15 * day: 30, 14 * day: 14, 7 * day: 7, 2 * day: 7, day: 1, time.Second: 1, 0: -1, -day: -1,
	} {
		if got := renewal.Warning(end.Add(-left), end, nil); got != want {
			t.Errorf("Warning with %s left = %d, want %d", left, got, want)
		}
	}
}
