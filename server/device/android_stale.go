package device

import (
	"math"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// stale tells whether the device in state s keeps to another policy than the one that it should have, as far as the version known to be in
// force there and the record of its profiles tell: it was set back, remembers nothing, or has what this server does not remember.
func (x *androidRound) stale(s *delivery.State, known int64) bool {
	a := &x.msg.Applied
	if name, ok := strings.CutPrefix(a.PolicyName, policyPrefix); !ok || name != x.p.id || a.PolicyVersion != known {
		return true
	}
	w := x.h.cfg.Server.World()
	return x.lacks(w, s) || x.exceeds(w, s)
}

// lacks tells whether the device does not have, as it says, what the server knows to be on it.
func (x *androidRound) lacks(w *delivery.World, s *delivery.State) bool {
	owner := w.OwnerOf(s)
	for i := range s.Profiles {
		if a := &s.Profiles[i]; a.State == delivery.Installed && !w.Old(a.Profile, owner) && x.profile(a.Profile) == nil {
			return true
		}
	}
	return false
}

// exceeds tells whether the device has, as it says, what the server does not know to be on it, but for what stays on a device when it is
// not assigned any more (AUTH-55).
func (x *androidRound) exceeds(w *delivery.World, s *delivery.State) bool {
	for i := range x.msg.Applied.Profiles {
		a := &x.msg.Applied.Profiles[i]
		if !assigned(w, s, a.ID) && !stays(w, s, a) {
			return true
		}
	}
	return false
}

// assigned tells whether a profile of this name, in whatever version, is on the device or on its way there.
func assigned(w *delivery.World, s *delivery.State, identifier string) bool {
	for i := range s.Profiles {
		if w.Profiles[s.Profiles[i].Profile].Identifier == identifier {
			return true
		}
	}
	return false
}

func stays(w *delivery.World, s *delivery.State, a *android.AppliedProfile) bool {
	p := protocol.Profile(a.Version)
	return int(p) < len(w.Profiles) && w.Profiles[p].Identifier == a.ID && !authority.Leaves(s.Subject(), w.Profiles[p].Family, w.Settings.Leaving)
}

// policyPrefix begins the name of a device's policy.
const policyPrefix = "policies/"

// after is the version that follows v. It ends at the largest there is, which a device says that was never given it: no policy would be
// newer than what wraps around to below nothing (HST-009).
func after(v int64, by int) int64 {
	if v > math.MaxInt64-int64(by) {
		return math.MaxInt64
	}
	return v + int64(by)
}
