package dialect

import (
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/protocol"
)

// A device that is woken a few milliseconds sooner or later, as by a server that counts its devices in another order, is locked as long
// and fails the same profiles; an hour later it has another chance.
func TestHabitsAreDrawnForASpell(t *testing.T) {
	const devices, half = 400, 500_000
	h := &Habits{NotNow: half, ProfileFails: half}
	wakes := protocol.At(time.Date(2026, 1, 5, 15, 0, 0, 255_000_000, time.UTC))
	failed, locked, again := 0, 0, 0
	for n := range devices {
		d := agent.NewDevice(protocol.Device(n+1), protocol.IOS, 7)
		fails := h.Fails(&d, "example.restrictions", wakes)
		var busy protocol.Time
		held := h.HeldUp(&d, &busy, wakes)
		for _, off := range []time.Duration{-250 * time.Millisecond, -2 * time.Millisecond, time.Microsecond, time.Minute} {
			var other protocol.Time
			if now := wakes.Add(off); h.Fails(&d, "example.restrictions", now) != fails {
				t.Errorf("device %d, %s later: fails is %v, want %v as before", n, off, !fails, fails)
			} else if h.HeldUp(&d, &other, now) != held || held && other.Sub(busy) != off {
				t.Errorf("device %d, %s later: locked until %s, and before until %s", n, off, other, busy)
			}
		}
		if fails {
			failed++
			if h.Fails(&d, "example.restrictions", wakes.Add(time.Hour)) {
				again++
			}
		}
		if held {
			locked++
			if h.lockSpell(busy) == h.lockSpell(wakes) {
				t.Errorf("device %d: what locked it at %s still does at %s, when it unlocks", n, wakes, busy)
			}
		}
	}
	for what, got := range map[string][2]int{"failed": {failed, devices}, "locked": {locked, devices}, "failed again": {again, failed}} {
		if share := float64(got[0]) / float64(got[1]); share < 0.4 || share > 0.6 {
			t.Errorf("%d of %d %s, want half", got[0], got[1], what)
		}
	}
}
