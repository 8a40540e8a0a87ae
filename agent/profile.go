package agent

import "rollcall/protocol"

// A Profile is one installed profile, in numbers whose meaning is the caller's: a rehearsal takes those of its
// catalogue, a dialect takes them from hashes.
type Profile struct {
	Name    uint64        // the same for all versions of a profile: a new one replaces the old by it
	Content uint64        // differs between versions
	Until   protocol.Time // when it leaves by itself: it came from an authority that is no longer in force (AUTH-27); 0: never
	Family  protocol.Family
}

// Profiles returns the installed profiles in the order in which they came. The slice is the device's own:
// read it, and keep nothing of it beyond the next change.
func (d *Device) Profiles() []Profile { return d.profiles }

// Install puts p on the device, replacing the profile of the same name in its place, and returns where it now
// stands and what was there (Name 0: nothing). Whatever the device heard before does not concern p (AUTH-26).
func (d *Device) Install(p Profile) (at int, old Profile) {
	p.Until = 0
	if at = d.Find(p.Name); at >= 0 {
		old, d.profiles[at] = d.profiles[at], p
		return at, old
	}
	grown := make([]Profile, len(d.profiles), len(d.profiles)+1) // exact: a device sleeps longer than it grows
	copy(grown, d.profiles)
	d.profiles = append(grown, p)
	return len(d.profiles) - 1, Profile{}
}

// Find returns where the profile of a name stands, or -1.
func (d *Device) Find(name uint64) int {
	for i := range d.profiles {
		if d.profiles[i].Name == name {
			return i
		}
	}
	return -1
}

// Uninstall takes the profile at a place off the device. Those after it move up.
func (d *Device) Uninstall(at int) {
	d.profiles = append(d.profiles[:at], d.profiles[at+1:]...)
	if len(d.profiles) == 0 {
		d.profiles = nil
	}
}
