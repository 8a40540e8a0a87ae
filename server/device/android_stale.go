package device

import (
	"math"
	"slices"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// believed is the version of the policy that the device keeps to: what it says, where that is known to be in force there or was given
// with the answer to the round before; 0: it says another one, which nobody gave it.
func (x *androidRound) believed(known, given int64) int64 {
	a := &x.msg.Applied
	if name, ok := strings.CutPrefix(a.PolicyName, policyPrefix); !ok || name != x.p.id || a.PolicyVersion != known && a.PolicyVersion != given {
		return 0
	}
	return a.PolicyVersion
}

// stale tells whether the device in state s keeps to another policy than the one that it should have, as far as the version known to be in
// force there and the record of its profiles tell: it was set back, remembers nothing, or has what this server does not remember.
func (x *androidRound) stale(s *delivery.State) bool {
	w := x.h.cfg.Server.World()
	return x.version == 0 || x.lacks(w, s) || x.exceeds(w, s)
}

// lacks tells whether the device does not have, as it says, what the server knows to be on it. What it still works on it has been told of.
func (x *androidRound) lacks(w *delivery.World, s *delivery.State) bool {
	owner := w.OwnerOf(s)
	for i := range s.Profiles {
		a := &s.Profiles[i]
		if a.State != delivery.Installed || w.Old(a.Profile, owner) {
			continue
		}
		if said := x.profile(a.Profile); said == nil || said.Status == android.Failed {
			return true
		}
	}
	return false
}

// exceeds tells whether the device has, as it says, what the server does not know to be on it, but for what stays on a device when it is
// not assigned any more (AUTH-55). Of a profile in two versions one is too many, and so it is of one that is listed twice.
func (x *androidRound) exceeds(w *delivery.World, s *delivery.State) bool {
	of := make(map[string]bool, 8) // whether the version of the list is there already
	for i := range x.msg.Applied.Profiles {
		a := &x.msg.Applied.Profiles[i]
		if of[a.ID] {
			return true
		}
		of[a.ID] = true
		if !assigned(w, s, a) && !stays(w, s, a) {
			return true
		}
	}
	return false
}

// assigned tells whether a profile is on the device, in the version that it says, or on its way there.
func assigned(w *delivery.World, s *delivery.State, a *android.AppliedProfile) bool {
	return slices.ContainsFunc(s.Profiles, func(p delivery.Assigned) bool {
		return uint32(p.Profile) == a.Version && w.Profiles[p.Profile].Identifier == a.ID
	})
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
