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

// A PC knows settings, not profiles: those of one provider fail together, for a spell, whatever names are below it and however it is
// written; another's have a chance of their own.
func TestSettingsFailByProvider(t *testing.T) {
	const devices, half = 400, 500_000
	now := protocol.At(time.Date(2026, 1, 5, 15, 0, 0, 0, time.UTC))
	failed, apart := 0, 0
	for n := range devices {
		d := agent.NewDevice(protocol.Device(n+1), protocol.Windows, 7)
		fails := func(uri string, later time.Duration) bool { return SettingFails(&d, half, uri, now.Add(later)) }
		lock := fails("./Device/Vendor/MSFT/Policy/Config/DeviceLock/MinDevicePasswordLength", 0)
		for _, uri := range []string{"./Device/Vendor/MSFT/Policy/Config/Camera/AllowCamera", "./User/Vendor/MSFT/policy/config/Camera/AllowCamera", "./Vendor/MSFT/Policy/Config/DeviceLock/MaxInactivityTimeDeviceLock"} {
			if fails(uri, time.Minute) != lock {
				t.Errorf("device %d: %s fails: %v, and another policy: %v", n, uri, !lock, lock)
			}
		}
		if lock {
			failed++
		}
		if fails("./Device/Vendor/MSFT/WiFi/Profile/office/WlanXml", 0) != lock {
			apart++
		}
		if fails("./Device/Vendor/MSFT/DMClient/Provider/rollcall/Poll/NumberOfFirstRetries", 0) {
			t.Error("a setting of no profile fails")
		}
	}
	if failed < devices*4/10 || failed > devices*6/10 || apart < devices*4/10 || apart > devices*6/10 {
		t.Errorf("policies fail on %d of %d, and wifi otherwise than they on %d; want half", failed, devices, apart)
	}
}
