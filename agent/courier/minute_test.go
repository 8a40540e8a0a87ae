package courier

import (
	"testing"
	"time"
)

// Waits that begin at any moment end on one minute, none is longer than it was, and once there all that takes whole minutes stays there.
func TestTogether(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		at, wait, want time.Duration
	}{
		{0, 4 * time.Minute, 4 * time.Minute},
		{time.Millisecond, 4 * time.Minute, 4*time.Minute - time.Millisecond},
		{50 * time.Second, 4 * time.Minute, 3*time.Minute + 10*time.Second},
		{0, 285 * time.Second, 4 * time.Minute},
		{59 * time.Second, time.Minute, time.Second},
		{0, time.Minute, time.Minute},
		{30 * time.Second, 59 * time.Second, 59 * time.Second}, // too short for it
		{10 * time.Second, 0, 0},
	} {
		if got := together(noon.Add(tt.at), tt.wait); got != tt.want {
			t.Errorf("%v after a minute a wait of %v takes %v, want %v", tt.at, tt.wait, got, tt.want)
		}
	}
	a, b := noon.Add(7*time.Second), noon.Add(31*time.Second) // by whatever phase
	if x, y := a.Add(Together(a, 5*time.Minute)), b.Add(Together(b, 4*time.Minute)); x.Sub(y)%time.Minute != 0 {
		t.Errorf("%v and %v", x, y)
	}
}
