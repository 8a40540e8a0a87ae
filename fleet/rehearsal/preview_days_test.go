package rehearsal

import (
	"testing"
	"time"

	"rollcall/protocol"
)

// TestDaysAhead: days are counted by the calendar, as the sample tenants' READMEs do (AUTH-43), whatever the hour.
func TestDaysAhead(t *testing.T) {
	now := protocol.At(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	for off, want := range map[time.Duration]int{0: 0, oneDay: 1, 11*oneDay - time.Hour: 11, 20*oneDay + time.Hour: 20, -oneDay: -1, -13 * time.Hour: -1} {
		if got := days(now.Add(off), now); got != want {
			t.Errorf("%v off: %d days, want %d", off, got, want)
		}
	}
}
