package dialect

import (
	"strings"
	"time"

	"rollcall/agent"
	"rollcall/protocol"
)

// A habit is drawn for a spell, not for a moment: whether a device was woken a millisecond sooner, as by a server that counted another
// device after it, changes nothing about its life.

// failsFor is how long a spell is of profiles that do not install.
const failsFor = time.Hour

// HeldUp tells whether the core d finds itself locked at now, for all commands of that moment: it is locked until busy already,
// or its habit has it so now; busy is then moved on. Ask it of commands that wait for a lock ([Waits]).
func (h *Habits) HeldUp(d *agent.Device, busy *protocol.Time, now protocol.Time) bool {
	if *busy <= now && happens(d, h.NotNow, chanceLocked, h.lockSpell(now)) {
		*busy = now.Add(h.lockedFor(d, now))
	}
	return *busy > now
}

// Fails tells whether the profile of this identifier does not install on the core d at now.
func (h *Habits) Fails(d *agent.Device, identifier string, now protocol.Time) bool {
	return fails(d, h.ProfileFails, identifier, now)
}

// SettingFails tells whether the setting at this LocURI is answered with 500 on the core d at now, where a profile fails by a chance in
// millionths. A PC knows settings, not profiles: for a spell the whole provider of one fails, and with it each profile that uses it.
func SettingFails(d *agent.Device, millionths uint32, uri string, now protocol.Time) bool {
	_, rest, _ := strings.Cut(uri, "/MSFT/")
	for _, n := range profileNodes {
		if len(rest) > len(n.node) && strings.EqualFold(rest[:len(n.node)], n.node) {
			return fails(d, millionths, n.node, now)
		}
	}
	return false
}

func fails(d *agent.Device, millionths uint32, what string, now protocol.Time) bool {
	return happens(d, millionths, chanceProfile, id(what)^spell(now, failsFor))
}

// lockedFor draws how long the device stays locked: the habit, more or less by half.
func (h *Habits) lockedFor(d *agent.Device, now protocol.Time) time.Duration {
	usual := h.locked()
	return usual/2 + time.Duration(d.Draw(uint64(usual/time.Microsecond), chanceUnlocks, h.lockSpell(now)))*time.Microsecond
}

func (h *Habits) locked() time.Duration {
	if h.Locked <= 0 {
		return 30 * time.Minute
	}
	return h.Locked
}

// lockSpell is the spell of now in which a device is locked or not: as long as the shortest lock, so that none ends in the one it began in.
func (h *Habits) lockSpell(now protocol.Time) uint64 { return spell(now, h.locked()/2) }

// spell counts the spells of a length up to now.
func spell(now protocol.Time, length time.Duration) uint64 {
	return uint64(now) / max(uint64(length/time.Microsecond), 1)
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
