package delivery

import (
	"slices"

	"rollcall/protocol"
)

// Unsettled is a State.Set that no set of a world has: a profile failed, and the next conversation tries again.
const Unsettled = 1<<32 - 1

// maxTries is how often the installation or removal of a profile is tried.
const maxTries = 3

// profile returns what the catalogue knows of p; the zero Profile when that is nothing.
func (w *World) profile(p protocol.Profile) *Profile {
	if int(p) >= len(w.Profiles) {
		return &Profile{}
	}
	return &w.Profiles[p]
}

// set returns the profiles that a user's devices should have.
func (w *World) set(u UserID) *Set {
	var i uint32
	if int(u) < len(w.Users) {
		i = w.Users[u].Set
	}
	if int(i) >= len(w.Sets) {
		return &Set{}
	}
	return &w.Sets[i]
}

// leaves tells whether a profile that is unassigned leaves the device (AUTH-55).
func leaves(p protocol.Platform, f protocol.Family) bool {
	return f != protocol.Configuration || p != protocol.Android
}

// reconcile queues what it takes to give the device the profiles it should have. Again: what failed in an earlier
// conversation is tried once more.
func (d *decision) reconcile(again bool) {
	n := d.n
	set := d.w.set(n.User)
	if n.Set == set.Version || n.Set == Unsettled && !again {
		return
	}
	n.Set = set.Version
	d.out.Changed |= Core
	for _, a := range slices.Clone(n.Profiles) {
		if id := d.w.profile(a.Profile).Identifier; !d.wanted(set, id) {
			d.unassign(a.Profile, id)
		}
	}
	for _, p := range set.Profiles {
		id := d.w.profile(p).Identifier
		a := d.assigned(p)
		switch {
		case d.outlook(id) == p:
			if a != nil && a.State == RemoveFailed { // wanted again before it was gone
				d.put(p, Installed, 0)
			}
		case a != nil && a.State == InstallFailed && a.Tries >= maxTries:
		default:
			tries := uint8(0)
			if a != nil && a.State == InstallFailed {
				tries = a.Tries
			}
			d.put(p, Installing, tries)
			d.queue(protocol.Command{Kind: protocol.InstallProfile, Profile: p})
		}
	}
}

func (d *decision) wanted(set *Set, identifier string) bool {
	for _, p := range set.Profiles {
		if d.w.profile(p).Identifier == identifier {
			return true
		}
	}
	return false
}

// unassign takes a profile that nobody wants any more off the device, all versions of it at once: the device knows only
// the identifier.
func (d *decision) unassign(p protocol.Profile, identifier string) {
	a := d.assigned(p)
	if a == nil || a.State == RemoveFailed && a.Tries >= maxTries {
		return
	}
	if d.outlook(identifier) == 0 {
		if a.State == InstallFailed {
			d.drop(p)
		}
		return
	}
	if !leaves(d.n.Platform, d.w.profile(p).Family) {
		d.drop(p)
		return
	}
	for i := range d.changeProfiles() {
		if a := &d.n.Profiles[i]; d.w.profile(a.Profile).Identifier == identifier && a.State != InstallFailed {
			a.State, a.At = Removing, d.now
		}
	}
	d.queue(protocol.Command{Kind: protocol.RemoveProfile, Profile: p, Text: identifier})
}

// outlook is the version of a profile that the device will have once its queue is done: the last command about it
// decides, and without one what is there; 0: none.
func (d *decision) outlook(identifier string) protocol.Profile {
	if q := d.lastAbout(identifier); q != nil {
		if q.Kind == protocol.InstallProfile {
			return q.Profile
		}
		return 0
	}
	for i := range d.n.Profiles {
		a := &d.n.Profiles[i]
		if (a.State == Installed || a.State == RemoveFailed) && d.w.profile(a.Profile).Identifier == identifier {
			return a.Profile
		}
	}
	return 0
}

// lastAbout is the newest command in the queue that installs or removes the profile with this identifier.
func (d *decision) lastAbout(identifier string) *Queued {
	for i := len(d.n.Queue) - 1; i >= 0; i-- {
		q := &d.n.Queue[i]
		if (q.Kind == protocol.InstallProfile || q.Kind == protocol.RemoveProfile) && d.w.profile(q.Profile).Identifier == identifier {
			return q
		}
	}
	return nil
}

// installed is the end of an InstallProfile, which has left the queue. Later commands about the same profile say what its
// entries wait for.
func (d *decision) installed(q *Queued, done bool) {
	p := q.Profile
	name, identifier := d.w.profile(p).Name, d.w.profile(p).Identifier
	later := d.lastAbout(identifier)
	if done {
		d.journal(WhatProfileInstalled, "", name)
		switch { // what had this identifier before is replaced
		case later == nil:
			d.put(p, Installed, 0)
			d.dropOthers(identifier, p, p)
		case later.Kind == protocol.RemoveProfile:
			d.put(p, Removing, 0)
			d.dropOthers(identifier, p, p)
		case later.Profile == p:
			d.dropOthers(identifier, p, p)
		default:
			d.put(p, Installed, 0)
			d.dropOthers(identifier, p, later.Profile)
		}
		return
	}
	d.journal(WhatProfileFailed, "", name)
	switch { // what was there before is there again
	case later == nil:
		tries := uint8(1)
		if a := d.assigned(p); a != nil {
			tries = a.Tries + 1
		}
		d.put(p, InstallFailed, tries)
		if tries < maxTries {
			d.n.Set = Unsettled
		}
	case later.Profile != p || later.Kind == protocol.RemoveProfile:
		d.drop(p)
	}
}

// removed is the end of a RemoveProfile, which has left the queue.
func (d *decision) removed(q *Queued, done bool) {
	name, identifier := d.w.profile(q.Profile).Name, d.w.profile(q.Profile).Identifier
	later := d.lastAbout(identifier)
	if done {
		d.journal(WhatProfileRemoved, protocol.RuleUnassigned, name)
		keep := protocol.Profile(0)
		if later != nil {
			keep = later.Profile
		}
		d.dropOthers(identifier, keep, keep)
		return
	}
	d.journal(WhatProfileFailed, protocol.RuleUnassigned, name)
	if later != nil && later.Kind == protocol.RemoveProfile {
		return
	}
	for i := range d.changeProfiles() {
		a := &d.n.Profiles[i]
		if d.w.profile(a.Profile).Identifier != identifier || a.State != Removing {
			continue
		}
		a.At = d.now
		if later != nil { // a newer version will replace it
			a.State = Installed
			continue
		}
		a.State = RemoveFailed
		if a.Tries++; a.Tries < maxTries {
			d.n.Set = Unsettled
		}
	}
}

// assigned returns the entry of p, nil: there is none. Read only.
func (d *decision) assigned(p protocol.Profile) *Assigned {
	i, ok := slices.BinarySearchFunc(d.n.Profiles, p, byProfile)
	if !ok {
		return nil
	}
	return &d.n.Profiles[i]
}

func byProfile(a Assigned, p protocol.Profile) int { return int(int64(a.Profile) - int64(p)) }

// put sets the entry of p.
func (d *decision) put(p protocol.Profile, s ProfileState, tries uint8) {
	list := d.changeProfiles()
	i, ok := slices.BinarySearchFunc(list, p, byProfile)
	if !ok {
		list = slices.Insert(list, i, Assigned{})
	}
	list[i] = Assigned{Profile: p, State: s, Tries: tries, At: d.now}
	d.n.Profiles = list
}

// drop forgets the entry of p.
func (d *decision) drop(p protocol.Profile) {
	d.n.Profiles = slices.DeleteFunc(d.changeProfiles(), func(a Assigned) bool { return a.Profile == p })
}

// dropOthers forgets all entries with this identifier but two.
func (d *decision) dropOthers(identifier string, keep, too protocol.Profile) {
	d.n.Profiles = slices.DeleteFunc(d.changeProfiles(), func(a Assigned) bool {
		return a.Profile != keep && a.Profile != too && d.w.profile(a.Profile).Identifier == identifier
	})
}

// changeProfiles returns n.Profiles as a slice that may be changed.
func (d *decision) changeProfiles() []Assigned {
	if !d.ownProfiles {
		d.n.Profiles = append(make([]Assigned, 0, len(d.n.Profiles)+2), d.n.Profiles...)
		d.ownProfiles = true
	}
	d.out.Changed |= Profiles
	return d.n.Profiles
}
