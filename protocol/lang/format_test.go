package lang

import (
	"math"
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	for _, tt := range []struct {
		what   func(Language) string
		en, nl string
	}{
		{func(l Language) string { return l.Number(-1234567) }, "−1,234,567", "−1.234.567"},
		{func(l Language) string { return l.Number(-0.001) }, "0", "0"},
		{func(l Language) string { return l.Number(12.34) }, "12.3", "12,3"},
		{func(l Language) string { return l.Number(math.NaN()) }, "–", "–"},
		{func(l Language) string { return l.Percent(0.00001) }, "< 0.1%", "< 0,1%"},
		{func(l Language) string { return l.Percent(0.0123) }, "1.2%", "1,2%"},
		{func(l Language) string { return l.Percent(1) }, "100%", "100%"},
		{func(l Language) string { return l.Span(90 * time.Second) }, "1 min 30 s", "1 min 30 s"},
		{func(l Language) string { return l.Span(5*time.Hour + 10*time.Minute) }, "5 h 10 min", "5 u 10 min"},
		{func(l Language) string { return l.Span(50 * time.Hour) }, "2 days 2 h", "2 dagen 2 u"},
		{func(l Language) string { return l.Span(-2750 * time.Microsecond) }, "−2.75 ms", "−2,75 ms"},
		{func(l Language) string { return l.Moment(4*day+90*time.Minute, 14*day) }, "day 4, 01:30", "dag 4, 01:30"},
		{func(l Language) string { return l.Moment(-7*time.Hour-9*time.Minute, 14*day) }, "day -1, 16:51", "dag -1, 16:51"},
		{func(l Language) string { return l.Moment(-day, 14*day) }, "day -1, 00:00", "dag -1, 00:00"},
		{func(l Language) string { return l.Moment(30*time.Hour, 47*time.Hour) }, "30:00 h", "30:00 u"},
		{func(l Language) string { return l.Moment(90*time.Second, 2*time.Minute) }, "1:30 min", "1:30 min"},
		{func(l Language) string { return l.Date(time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)) }, "2 March 2026", "2 maart 2026"},
	} {
		for l, want := range map[Language]string{English: tt.en, Dutch: tt.nl} {
			if got := tt.what(l); got != want {
				t.Errorf("%s: %q, want %q", l, got, want)
			}
		}
	}
}
