package delivery

import (
	"slices"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// Values of State.Set that no set of a world has for its version.
const (
	Unsettled  = 1<<32 - 1 // a profile failed, and the next conversation tries again
	Unfinished = 1<<32 - 2 // a change waits for the answer to a command about the same profile
	Leftover   = 1<<32 - 3 // profiles of the authority before are left, and each conversation looks whether they have to go
)

// maxTries is how often the installation or removal of a profile is tried.
const maxTries = 3

// GivenUp tells whether the device failed to install the profile so often that it is not asked again.
func (a *Assigned) GivenUp() bool { return a.State == InstallFailed && a.Tries >= maxTries }

// profile returns what the catalogue knows of p; the zero Profile when that is nothing.
func (w *World) profile(p protocol.Profile) *Profile {
	if int(p) >= len(w.Profiles) {
		return &Profile{}
	}
	return &w.Profiles[p]
}

// SetOf returns the index into w.Sets of the profiles that the device in state s should have.
func (w *World) SetOf(s *State) int { return int(w.index(s, w.OwnerOf(s))) }

// index returns the index of the profiles of owner that the device in state s should have: those of its user's sets that its
// workloads bring, where Configuration Manager decides the others (AUTH-12, AUTH-51).
func (w *World) index(s *State, owner protocol.Authority) uint32 {
	if int(s.User) >= len(w.Users) {
		return 0
	}
	i := w.Users[s.User].Sets[owner]
	if int(i) < len(w.Sets) && w.Sets[i].Mixed {
		switch set := &w.Sets[i]; s.Platform {
		case protocol.Windows:
			i = set.OnWindows
		case protocol.Android:
			return set.OnAndroid
		default:
			return set.Elsewhere
		}
	}
	if !s.CoManaged || s.Platform != protocol.Windows || owner == protocol.Office365 || int(i) >= len(w.Sets) {
		return i
	}
	switch on := w.Workloads(s); {
	case on.Brings(protocol.Configuration):
		return i
	case on.Brings(protocol.Email):
		return w.Sets[i].Access
	}
	return w.Sets[i].Outside
}

// Workloads are those of a co-managed device that Intune decides: what its client told, or what the tenant's deciders say
// (AUTH-51).
func (w *World) Workloads(s *State) authority.Workloads {
	if s.Told {
		return s.Workloads.Whole()
	}
	return w.Settings.Workloads.Of(int(s.User) < len(w.Users) && w.Users[s.User].Pilot)
}

// set returns the profiles of owner that the device in state s should have.
func (w *World) set(s *State, owner protocol.Authority) *Set {
	i := w.index(s, owner)
	if int(i) >= len(w.Sets) {
		return &Set{}
	}
	return &w.Sets[i]
}

// reconcile queues what it takes to give the device the profiles it should have: those of the authority that its next
// completed check-in registers it with. One command at a time is outstanding for one identifier, so that what is on the
// device is always known; what must wait for its answer is looked at again after each report. Again: what failed in an
// earlier conversation is tried once more.
func (d *decision) reconcile(again bool) {
	n := d.n
	owner := d.w.OwnerOf(n)
	set := d.w.set(n, owner)
	refresh := d.w.refreshes(n, owner)
	if !refresh && (n.Set == set.Version || n.Set == Unsettled && !again) {
		return
	}
	n.Set = set.Version
	if d.w.behind(n) {
		d.resynchronise()
	}
	if refresh {
		n.Fresh = d.w.Tenant.Epoch
		d.out.Changed |= Core
	}
	d.takeOff(set, owner, false, again)
	for _, p := range set.Profiles {
		a := d.assigned(p)
		switch {
		case a.State == Installing:
		case d.pending(d.w.profile(p).Identifier):
			n.Set = Unfinished
		case a.State == Installed && !refresh && !d.leftovers(p):
		case a.State == RemoveFailed && !refresh && !d.inParts(): // wanted again before it was gone
			d.put(p, Installed, 0)
		case a.GivenUp():
		case a.State == InstallFailed && !again:
			d.unsettle()
		default:
			tries := uint8(0)
			if a.State == InstallFailed {
				tries = a.Tries
			}
			d.put(p, Installing, tries)
			d.queue(protocol.Command{Kind: protocol.InstallProfile, Profile: p})
		}
	}
	d.takeOff(set, owner, true, again) // after what takes their place
}

// takeOff queues the removal of the profiles that are not in set: those of the owner, or, with old, those of the authority
// before.
func (d *decision) takeOff(set *Set, owner protocol.Authority, old, again bool) {
	n := d.n
	for i := 0; i < len(n.Profiles); i++ {
		a := n.Profiles[i]
		p := d.w.profile(a.Profile)
		never := a.State.Partial() && a.State != Clearing && !slices.Contains(set.Profiles, a.Profile) // what there may be of it, nobody wants
		switch {
		case d.w.Old(a.Profile, owner) != old:
		case never && !d.inParts():
			d.drop(a.Profile)
			i--
		case d.wanted(set, p.Identifier) && !((old || never) && d.failed(set, p.Identifier)):
		case d.pending(p.Identifier):
			n.Set = Unfinished
		case never && a.State == InstallFailed && d.has(p.Identifier): // it goes with that
		case old && !never && !d.ends(set, p) && !d.came(a.Profile):
			if n.Set == set.Version {
				n.Set = Leftover
			}
		case !old && !authority.Leaves(n.Subject(), p.Family, d.w.Settings.Leaving): // there to stay
			d.drop(a.Profile)
			i--
		case a.State.stuck() && a.Tries >= maxTries:
		case a.State.stuck() && !again:
			d.unsettle()
		default:
			leaves := Removing
			if a.State.Partial() {
				leaves = Clearing
			}
			if a.State == InstallFailed {
				a.Tries = 0 // those were to install it
			}
			d.put(a.Profile, leaves, a.Tries)
			d.queue(protocol.Command{Kind: protocol.RemoveProfile, Profile: a.Profile, Text: p.Identifier})
		}
	}
}

// inParts tells whether a profile is several commands to the device, of which one may fail and the others be done: what failed to come or to
// go is there in part.
func (d *decision) inParts() bool { return d.n.Platform == protocol.Windows }

// leftovers tells whether a version of p that failed has left something on the device: p comes again then, and takes the place of that.
func (d *decision) leftovers(p protocol.Profile) bool {
	return d.inParts() && slices.ContainsFunc(d.n.Profiles, func(b Assigned) bool {
		return b.Profile != p && b.State == InstallFailed && d.w.profile(b.Profile).Identifier == d.w.profile(p).Identifier
	})
}

// has tells whether a profile with this identifier is on the device, as far as that is known.
func (d *decision) has(identifier string) bool {
	return slices.ContainsFunc(d.n.Profiles, func(b Assigned) bool {
		return b.State != InstallFailed && d.w.profile(b.Profile).Identifier == identifier
	})
}

// ends tells whether a profile of the authority before has to go now, where set is what the device should have: under
// coexistence at once (AUTH-23, AUTH-24), else as soon as its namesake is there (AUTH-26), and seven days after the
// change at the latest (AUTH-27).
func (d *decision) ends(set *Set, p *Profile) bool {
	if d.w.coexists() || d.over() {
		return true
	}
	for _, s := range set.Profiles {
		if q := d.w.profile(s); q.Name == p.Name && q.Family == p.Family {
			return d.assigned(s).State == Installed
		}
	}
	return false
}

// failed tells whether the profile with this identifier that the device should have did not install: what was there before
// is not replaced, and goes when it has to all the same (AUTH-23, AUTH-27).
func (d *decision) failed(set *Set, identifier string) bool {
	return slices.ContainsFunc(set.Profiles, func(p protocol.Profile) bool {
		return d.w.profile(p).Identifier == identifier && d.assigned(p).State == InstallFailed
	})
}

// came tells whether this round brought p: one of the authority before that was still on its way was not there to be kept.
func (d *decision) came(p protocol.Profile) bool {
	i, ok := slices.BinarySearchFunc(d.s.Profiles, p, byProfile)
	return ok && d.s.Profiles[i].State == Installing && d.assigned(p).State == Installed
}

// over tells whether the time of the profiles of the authority before is up (AUTH-27).
func (d *decision) over() bool {
	return !d.w.Doubt && d.now >= d.w.Tenant.OldEnd()
}

// whyGone is the rule by which a profile leaves the device, and what the journal calls it.
func (d *decision) whyGone(p protocol.Profile) (protocol.Rule, What) {
	owner := d.w.OwnerOf(d.n)
	switch {
	case !d.w.Old(p, owner):
		return protocol.RuleUnassigned, WhatProfileRemoved
	case d.w.coexists() && owner == protocol.Office365:
		return protocol.RuleLicenceLost, WhatProfileRemoved
	case d.w.coexists():
		return protocol.RuleLicenceMoves, WhatProfileRemoved
	case d.over():
		return protocol.RuleSevenDays, WhatProfileRemoved
	}
	return protocol.RuleNamesake, WhatOverwritten
}

// unsettle has the next conversation try again.
func (d *decision) unsettle() {
	if d.n.Set != Unfinished {
		d.n.Set = Unsettled
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

// pending tells whether a command about the profile with this identifier waits for its answer.
func (d *decision) pending(identifier string) bool {
	for i := range d.n.Queue {
		if p := d.n.Queue[i].Profile; p != 0 && d.w.profile(p).Identifier == identifier {
			return true
		}
	}
	return false
}

// installed is the end of an InstallProfile, which has left the queue.
func (d *decision) installed(p protocol.Profile, done bool) {
	name, identifier := d.w.profile(p).Name, d.w.profile(p).Identifier
	if done { // what had this identifier before is replaced
		d.put(p, Installed, 0)
		d.overwritten(identifier, p)
		d.dropAll(identifier, p)
		if d.n.Set == Unsettled { // another failed, and all the same this one's namesake may have to go (AUTH-26)
			d.n.Set = Unfinished
		}
		d.journal(WhatProfileInstalled, "", name)
		return
	}
	a := d.assigned(p) // what was there before is there again
	if d.final {
		a.Tries = maxTries - 1
	}
	d.put(p, InstallFailed, a.Tries+1)
	d.unsettle()
	if slices.ContainsFunc(d.n.Profiles, func(b Assigned) bool {
		return b.State == Installed && d.w.profile(b.Profile).Identifier == identifier && d.w.profile(b.Profile).Authority != d.w.profile(p).Authority
	}) {
		d.n.Set = Unfinished // that may have to go all the same
	}
	if d.inParts() && !slices.Contains(d.w.set(d.n, d.w.OwnerOf(d.n)).Profiles, p) {
		d.n.Set = Unfinished // and so has what there is of it
	}
	d.journal(WhatProfileFailed, "", name)
}

// removed is the end of a RemoveProfile, which has left the queue.
func (d *decision) removed(p protocol.Profile, done bool) {
	name, identifier := d.w.profile(p).Name, d.w.profile(p).Identifier
	rule, what := d.whyGone(p)
	if done || d.in.Missing { // it is not there, and it should not be; one that failed to replace it is tried as before
		d.n.Profiles = slices.DeleteFunc(d.changeProfiles(), func(b Assigned) bool {
			return b.State != InstallFailed && d.w.profile(b.Profile).Identifier == identifier
		})
		if d.leftovers(p) {
			d.n.Set = Unfinished
		}
		d.journal(what, rule, name)
		return
	}
	a, stays := d.assigned(p), RemoveFailed
	if a.State == Clearing {
		stays = ClearFailed
	}
	d.put(p, stays, a.Tries+1)
	d.unsettle()
	d.journal(WhatProfileFailed, rule, name)
}

// overwritten notes that profiles of the authority before were replaced by p, which has their identifier: after a change of
// the tenant by AUTH-26, and under coexistence by the rule that has all of them go (AUTH-23, AUTH-24).
func (d *decision) overwritten(identifier string, p protocol.Profile) {
	for _, a := range d.n.Profiles {
		if q := d.w.profile(a.Profile); a.Profile != p && q.Identifier == identifier && q.Authority != d.w.profile(p).Authority {
			rule, what := protocol.RuleNamesake, WhatOverwritten
			if d.w.coexists() {
				rule, what = d.whyGone(a.Profile)
			}
			d.journal(what, rule, q.Name)
		}
	}
}

// assigned returns the entry of p, zero: there is none.
func (d *decision) assigned(p protocol.Profile) (a Assigned) {
	if i, ok := slices.BinarySearchFunc(d.n.Profiles, p, byProfile); ok {
		a = d.n.Profiles[i]
	}
	return a
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

// dropAll forgets all entries with this identifier but one.
func (d *decision) dropAll(identifier string, keep protocol.Profile) {
	d.n.Profiles = slices.DeleteFunc(d.changeProfiles(), func(a Assigned) bool {
		return a.Profile != keep && d.w.profile(a.Profile).Identifier == identifier
	})
}

// changeProfiles returns n.Profiles as a slice that may be changed.
func (d *decision) changeProfiles() []Assigned {
	if !d.ownProfiles {
		d.n.Profiles = append(again(&d.out.profiles, len(d.n.Profiles), 2), d.n.Profiles...)
		d.ownProfiles = true
	}
	d.out.Changed |= Profiles
	return d.n.Profiles
}
