package server

import (
	"slices"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server/delivery"
	"rollcall/server/policy"
	"rollcall/server/store"
)

// AndroidPart is a profile on its way into a policy. One that says nothing to Android is listed all the same, and sets nothing; the error
// says why.
func AndroidPart(w *delivery.World, p protocol.Profile) (*android.Part, error) {
	q := &w.Profiles[p]
	part := &android.Part{ManifestEntry: android.ManifestEntry{ID: q.Identifier, Name: q.Name, Family: q.Family, Authority: q.Authority, Version: uint32(p)}}
	document, err := policy.Read(q.Payload)
	if err == nil {
		part.Settings = document.Settings
	}
	return part, err
}

// AndroidParts returns what the policy of a device in state st is made of, in its order: here is what it should have and what is on it,
// old what has to go. Read gives the part of a profile.
func AndroidParts(w *delivery.World, now protocol.Time, st *delivery.State, read func(protocol.Profile) android.Part) (here, old []android.Part) {
	owner := w.OwnerOf(st)
	for i := range st.Profiles {
		a := &st.Profiles[i]
		part := read(a.Profile)
		switch {
		case a.State == delivery.InstallFailed: // it is not there, and nobody tries it now
		case a.State.Leaves():
			part.RemoveAfter = now
			old = append(old, part)
		case w.Old(a.Profile, owner):
			part.RemoveAfter = w.Tenant.OldEnd()
			old = append(old, part)
		default:
			here = newest(here, part)
		}
	}
	if st.Life == delivery.Enrolling {
		for _, q := range w.Sets[w.SetOf(st)].Profiles {
			here = append(here, read(q))
		}
	}
	old = slices.DeleteFunc(old, func(o android.Part) bool { // a namesake takes its place (AUTH-26)
		return slices.ContainsFunc(here, func(p android.Part) bool { return p.ID == o.ID })
	})
	for i := range old { // what has to go is told, and sets nothing any more
		if old[i].RemoveAfter <= now {
			old[i].Settings = android.Policy{}
		}
	}
	return here, old
}

// newest adds a profile, or puts its newer version in the place of the one that it replaces.
func newest(list []android.Part, p android.Part) []android.Part {
	for i := range list {
		if list[i].ID == p.ID {
			if list[i].Version < p.Version {
				list[i] = p
			}
			return list
		}
	}
	return append(list, p)
}

// AndroidLeftOut returns which settings of its profiles are not in the policy of an Android device: another profile has set them
// otherwise, or the device has no such setting (AND-062).
func (s *Server) AndroidLeftOut(now protocol.Time, r *store.Record) []android.Conflict {
	w := s.World()
	_, mode, level := AndroidEnrolment(&r.Facts)
	here, old := AndroidParts(w, now, &r.State, func(p protocol.Profile) android.Part {
		part, _ := AndroidPart(w, p) // one that says nothing sets nothing
		return *part
	})
	return android.Compile(mode, level, append(here, old...)).Conflicts
}
