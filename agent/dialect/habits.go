package dialect

import (
	"time"

	"rollcall/agent"
	"rollcall/protocol"
)

// HeldUp tells whether the core d finds itself locked at now, for all commands of that moment: it is locked until busy already,
// or its habit has it so now; busy is then moved on. Ask it of commands that wait for a lock ([Waits]).
func (h *Habits) HeldUp(d *agent.Device, busy *protocol.Time, now protocol.Time) bool {
	if *busy <= now && happens(d, h.NotNow, chanceLocked, uint64(now)) {
		*busy = now.Add(h.lockedFor(d, now))
	}
	return *busy > now
}

// Fails tells whether the profile of this identifier does not install on the core d at now.
func (h *Habits) Fails(d *agent.Device, identifier string, now protocol.Time) bool {
	return h.ProfileFails > 0 && happens(d, h.ProfileFails, chanceProfile, id(identifier)^uint64(now))
}

// lockedFor draws how long the device stays locked: the habit, more or less by half.
func (h *Habits) lockedFor(d *agent.Device, now protocol.Time) time.Duration {
	usual := h.Locked
	if usual <= 0 {
		usual = 30 * time.Minute
	}
	return usual/2 + time.Duration(d.Draw(uint64(usual/time.Microsecond), chanceUnlocks, uint64(now)))*time.Microsecond
}

// happens draws whether something of a chance in millionths comes about.
func happens(d *agent.Device, millionths uint32, what agent.Chance, key uint64) bool {
	return millionths > 0 && d.Draw(1_000_000, what, key) < uint64(millionths)
}

// Waits tells whether a lock can hold up a command of this RequestType on an Apple platform (apple.md section 6.4). iOS: those
// that were seen to wait, which leaves out the eight that never do (APL-058). macOS: all but those that run in Power Nap on
// battery, and those that make an end.
func Waits(p protocol.Platform, request string) bool {
	if p == protocol.MacOS {
		return !unlocked[request]
	}
	return lockable[request]
}

var (
	lockable = map[string]bool{
		"InstallProfile": true, "SecurityInfo": true, "CertificateList": true, "InstallApplication": true,
		"ManagedMediaList": true, "InstallProvisioningProfile": true,
	}
	unlocked = map[string]bool{
		"DeviceLock": true, "EraseDevice": true, "RestartDevice": true, "ShutDownDevice": true,
		"DeleteUser": true, "UserList": true, "ActivationLockBypassCode": true, "ClearActivationLockBypassCode": true,
		"UnlockUserAccount": true,
	}
)
