package rehearsal_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// onShelf is the row of a profile version: "3.2" is the second version of the third on the shelf.
func onShelf(version string) []string {
	place, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(place)
	return shelf[n]
}

// owner is whose a profile version is.
func owner(version string) string { return onShelf(version)[1] }

// stays tells whether a profile that is unassigned stays on a device (AUTH-55).
func (u *unit) stays(family string) bool {
	return family == "configuration" && u.android()
}

// old tells whether the server knows of profiles of the authority before, on the device or on their way.
func (w *twin) old(u *unit) bool {
	whose := w.profilesOf(u)
	for _, s := range u.listed {
		if s.whose != whose {
			return true
		}
	}
	for version := range u.tries {
		if owner(version) != whose {
			return true
		}
	}
	return slices.ContainsFunc(u.waiting, func(c *command) bool { return c.what == "install" && c.s.whose != whose })
}

// hear is a device that hears of the newest change: what it has had from before then has seven days (AUTH-27). A device is
// told of the change, not of each profile: where any is the authority before's, all go, and those that it should have come
// again. A licence that comes later, while the gap holds the device, makes its profiles the authority before's too.
func (w *twin) hear(u *unit) {
	newer, ends := u.heard != w.epoch, w.old(u) && !(w.tenant == "both" && u.epoch == w.epoch)
	if w.epoch <= 1 || u.kind == "api" || !newer && (u.ending || !ends) {
		return
	}
	u.heard, u.ending = w.epoch, ends
	for _, s := range u.on {
		switch {
		case !ends:
			s.dies = 0
		case w.changed < u.joined: // the server's clock was wrong: to the device all that is here came later
		case s.dies == 0:
			s.dies = min(w.changed, w.now).Add(time.Duration(w.kept) * day)
		}
	}
	w.expire(u)
}

// expire takes from a device what has to go by now.
func (w *twin) expire(u *unit) {
	maps.DeleteFunc(u.on, func(_ string, s *setting) bool { return s.dies != 0 && s.dies <= w.now })
}

// goes tells whether a profile that the server knows to be on a device has to go now.
func (w *twin) goes(u *unit, identifier string, wanted map[string]*setting) bool {
	s, next := u.listed[identifier], wanted[identifier]
	switch {
	case next != nil && next.version == s.version:
		return false
	case s.whose == w.profilesOf(u) && !s.part:
		return next == nil && !u.stays(s.family) // AUTH-55
	case next != nil && u.tries[next.version] == 0:
		return false // it is replaced
	case s.part: // it was never there to be kept
		return true
	case w.tenant == "both": // AUTH-23, AUTH-24
		return true
	case !w.doubt && w.clock >= w.changed.Add(time.Duration(w.kept)*day): // AUTH-27
		return true
	case s.late: // it was not there to be kept
		return true
	}
	for id, x := range wanted { // AUTH-26
		if x.name == s.name && x.family == s.family {
			return u.listed[id] != nil && u.listed[id].version == x.version
		}
	}
	return false
}

// mostTries is how often a profile that fails to come or to leave is tried.
const mostTries = 3

// plan puts what it takes to give a device what it should have behind the commands that wait. Anew: what failed in an earlier
// conversation is tried again.
func (w *twin) plan(u *unit, anew bool) {
	wanted := w.wanted(u)
	// A device that may have dropped what it should have, or be about to, gets it again, once: one that heard of the change with
	// profiles of the authority before on it, and one that missed an epoch, of which nobody knows what it heard.
	again := u.owner >= 0 && u.epoch < w.epoch && u.fresh != w.epoch && (w.epoch-u.epoch > 1 || w.old(u))
	// What nobody wants any more is not tried; that it was on its way has counted. A PC may have a part of it.
	for version := range u.tries {
		if !u.pc() && !slices.ContainsFunc(slices.Collect(maps.Values(wanted)), func(s *setting) bool { return s.version == version }) {
			delete(u.tries, version)
		}
	}
	if again {
		u.fresh = w.epoch
	}
	w.takeOff(u, wanted, false, anew)
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		s, has := wanted[id], u.listed[id]
		anyway := again || u.pc() && (u.stuck[id] > 0 || u.inParts(id, s.version))
		if has != nil && has.version == s.version && !u.awaits(id) {
			delete(u.stuck, id) // nobody wants it to leave any more
		}
		switch {
		case u.awaits(id), u.tries[s.version] >= mostTries, u.tries[s.version] > 0 && !anew, has != nil && has.version == s.version && !anyway:
		default:
			if has != nil && has.version == s.version {
				delete(u.listed, id)
			}
			u.waiting = append(u.waiting, &command{what: "install", identifier: id, s: s})
		}
	}
	w.takeOff(u, wanted, true, anew) // after what takes their place
	for _, s := range u.listed {
		s.late = false
	}
}

// takeOff has profiles go: the authority's own, or those of the one before.
func (w *twin) takeOff(u *unit, wanted map[string]*setting, old, anew bool) {
	whose := w.profilesOf(u)
	for _, version := range slices.Sorted(maps.Keys(u.tries)) { // on a PC: what there is of one that failed goes with its namesake, or by itself
		f := onShelf(version)
		id, next := f[4], wanted[f[4]]
		switch {
		case next != nil && next.version == version, (f[1] != whose) != old:
		case u.awaits(id), u.listed[id] != nil, next != nil && u.tries[next.version] == 0:
		default:
			delete(u.tries, version)
			u.listed[id] = &setting{whose: f[1], name: f[2], family: f[3], version: version, part: true}
			u.waiting = append(u.waiting, &command{what: "remove", identifier: id})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(u.listed)) {
		s := u.listed[id]
		switch {
		case u.awaits(id), (s.whose != whose) != old:
		case w.goes(u, id, wanted) && (u.stuck[id] >= mostTries || u.stuck[id] > 0 && !anew):
		case w.goes(u, id, wanted):
			u.waiting = append(u.waiting, &command{what: "remove", identifier: id})
		case wanted[id] == nil && s.whose == whose: // it stays, and is nobody's from now on
			delete(u.listed, id)
			delete(u.stuck, id)
		}
	}
}

// forget has nobody count the tries of profiles with an identifier any more: one of them is there.
func (w *twin) forget(u *unit, identifier string) {
	maps.DeleteFunc(u.tries, func(version string, _ int) bool { return onShelf(version)[4] == identifier })
}

// inParts tells whether another version of a profile has failed, and may be there in part.
func (u *unit) inParts(identifier, version string) bool {
	for v := range u.tries {
		if v != version && onShelf(v)[4] == identifier {
			return true
		}
	}
	return false
}
