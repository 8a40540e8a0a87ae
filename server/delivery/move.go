package delivery

import (
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// coexists tells whether each user's licences decide.
func (w *World) coexists() bool {
	return w.Tenant.Authority == protocol.Office365 && w.Tenant.Coexistence
}

// OwnerOf is whose profiles the device in state s should have: those of the authority that its next completed check-in
// registers it with. In a co-managed tenant Intune's are another authority's than those of Intune alone (AUTH-21). Those
// of a userless device end with the tenant's authority, though it stays where it is registered (AUTH-28).
func (w *World) OwnerOf(s *State) protocol.Authority {
	to, _, _ := w.Target(s)
	return w.owner(s, to)
}

// owner is OwnerOf of a device that should be managed by to.
func (w *World) owner(s *State, to authority.Resolution) protocol.Authority {
	switch {
	case s.User == 0 && !w.coexists():
		return w.Tenant.Authority
	case to.Authority == protocol.Intune && w.Tenant.Authority == protocol.SCCM:
		return protocol.SCCM
	}
	return to.Authority
}

// Subject is what the rules know of an enrolled device's state.
func (s *State) Subject() authority.Device {
	return authority.Device{Platform: s.Platform, Registered: s.Registered, AndroidAPI: s.AndroidAPI, CoManaged: s.CoManaged}
}

// User returns what the rules know of a user; nil: a userless device.
func (w *World) User(id UserID) *authority.User {
	if id == 0 || int(id) >= len(w.Users) {
		return nil
	}
	return &w.Users[id].User
}

// entitled is the user whom a userless device has for the support action (AUTH-18).
var entitled = authority.User{IntuneLicence: true, BasicLicence: true}

// Target says who should manage the device in state s, and whether it is pending or stale: its next completed check-in
// registers it. The support action counts as pending.
func (w *World) Target(s *State) (to authority.Resolution, pending, stale bool) {
	u := w.User(s.User)
	if u != nil && s.Epoch == w.Tenant.Epoch && !w.coexists() { // nothing has changed since it registered
		return authority.Resolution{Authority: s.Registered}, false, false
	}
	if u == nil {
		if !s.Support {
			return authority.Resolution{Authority: s.Registered, Rule: protocol.RuleUserless}, false, false
		}
		u = &entitled
	}
	to = authority.Resolve(w.Tenant, u, s.Subject())
	if to.Authority == protocol.Unknown {
		to.Authority = s.Registered
	}
	pending = to.Authority != s.Registered
	return to, pending, !pending && s.User != 0 && s.Epoch < w.Tenant.Epoch
}

// Management says who manages the device in state s, and by which rule. Where others should, it is to move, and no rule has it there any more.
// A device that enrols is managed by nobody yet.
func (w *World) Management(s *State) protocol.Management {
	m := protocol.Management{Replaced: s.Rare.Read().Replaced}
	if s.Life == Enrolling {
		return m
	}
	m.Authority, m.Since = s.Registered, s.RegisteredAt
	if to := authority.Resolve(w.Tenant, w.User(s.User), s.Subject()); to.Authority == s.Registered {
		m.Rule = to.Rule
	}
	return m
}

// Unregistered tells whether the device in state s has yet to register in the tenant's epoch: what it was told of that may have changed since.
func (w *World) Unregistered(s *State) bool {
	_, pending, stale := w.Target(s)
	return s.Epoch < w.Tenant.Epoch && (pending || stale)
}

// register makes the device's authority the one that resolves, in the tenant's epoch, at the end of a completed check-in
// (AUTH-21, I2).
func (d *decision) register() {
	n := d.n
	to, pending, stale := d.w.Target(n)
	switch {
	case pending:
		rule := to.Rule
		switch {
		case n.Support:
			rule = protocol.RuleUserless
		case d.w.coexists() && to.Authority == protocol.Office365:
			rule = protocol.RuleLicenceLost
		case n.Epoch == d.w.Tenant.Epoch:
			rule = protocol.RuleLicenceMoves
		}
		d.journal(WhatMoved, rule, n.Registered.String()+" to "+to.Authority.String())
		n.Registered, n.RegisteredAt = to.Authority, d.now
	case stale:
		d.journal(WhatReregistered, protocol.RuleRegistered, to.Authority.String())
	default:
		if n.Support { // nothing is left to move
			n.Support = false
			d.out.Changed |= Core
		}
		return
	}
	n.Epoch, n.Support = d.w.Tenant.Epoch, false
	d.out.Changed |= Core
	if n.Wake.Reason == Retry { // it need not be asked again to move
		n.Wake = d.scheduled()
		d.out.Changed |= Wakes
	}
	for i := range n.Profiles {
		if p := n.Profiles[i].Profile; !n.Profiles[i].State.Leaves() && d.w.Old(p, d.w.OwnerOf(n)) {
			d.journal(WhatRedundant, protocol.RuleNamesake, d.w.profile(p).Name)
		}
	}
}

// notice is what the device in state s is told of the newest change of authority (AUTH-27). Its rule says what becomes of
// the profiles that the device had before: by AUTH-27 they end seven days after the change, by AUTH-21 they stay. A
// tenant's first authority is no change.
func (w *World) notice(s *State) protocol.Notice {
	n := w.Tenant.Notice()
	if n.Epoch == 0 || s.Epoch == n.Epoch && w.coexists() { // in its epoch only a licence moves it, and the check-in removes what is old (AUTH-23)
		return n
	}
	if w.leavesOld(s, w.OwnerOf(s)) {
		n.Rule = protocol.RuleSevenDays
	}
	return n
}

// refreshes tells whether the device in state s, before it registers, may have dropped or be about to drop profiles that
// the owner wants it to have, or lost them in a time that the server does not know of: then they come again. It drops whatever is on it from before a change that it hears of with
// profiles of the authority before, and where it missed to register in an epoch, nobody knows what it heard (AUTH-21,
// AUTH-27).
func (w *World) refreshes(s *State, owner protocol.Authority) bool {
	if w.behind(s) {
		return true
	}
	return s.User != 0 && s.Epoch != 0 && s.Epoch < w.Tenant.Epoch && s.Fresh != w.Tenant.Epoch && (w.Tenant.Epoch-s.Epoch > 1 || w.leavesOld(s, owner))
}

// leavesOld tells whether the device in state s has profiles of the authority before.
func (w *World) leavesOld(s *State, owner protocol.Authority) bool {
	for i := range s.Profiles {
		if w.Old(s.Profiles[i].Profile, owner) {
			return true
		}
	}
	return false
}

// Old tells whether a profile is of another authority than the owner, whose profiles a device should have, so that it ends
// with that. What is outside the five families has no such end (AUTH-36).
func (w *World) Old(p protocol.Profile, owner protocol.Authority) bool {
	q := w.profile(p)
	return q.Authority != owner && q.Family != protocol.NoFamily
}

// gapAgain is when a device that is refused in the gap is asked to come again; the upload wakes it sooner (AUTH-31).
const gapAgain = time.Hour

// InGap tells whether devices of p are refused because Apple's push certificate is not renewed yet (AUTH-30).
func (w *World) InGap(p protocol.Platform) bool {
	if w.Gap == 0 {
		return false
	}
	return w.Settings.Gap.Covers(p)
}

// blocked refuses a device in the gap: it may come again, nothing of it is lost, and it hears of the change (I5). The
// journal says so once for each change. A farewell is no check-in.
func (d *decision) blocked() bool {
	if d.in.Verb == protocol.Leave || d.s.Life == Ended || !d.w.InGap(d.s.Platform) {
		return false
	}
	heard := d.s.Heard
	d.refusal(&protocol.Refusal{
		Rule: protocol.RulePushGap, Reason: "the authority has changed, and its Apple push certificate is not renewed yet",
		RetryAfter: gapAgain, Notice: d.w.notice(d.s),
	}, WhatBlocked)
	if heard == d.w.Tenant.Epoch {
		d.out.Effects = d.out.Effects[:0]
		return true
	}
	d.recall()
	d.hear()
	return true
}

// workloads takes what the client says of its workloads; its profiles follow (AUTH-51).
func (d *decision) workloads() {
	n, in := d.n, d.in
	if in.Platform == protocol.Windows && !in.CoManaged { // the client has gone
		if n.CoManaged {
			n.CoManaged, n.Told, n.Workloads = false, false, 0
			d.out.Changed |= Core
			d.journal(WhatWorkloads, "AUTH-12", "Configuration Manager's client has gone")
		}
		return
	}
	if in.CoManaged && in.Platform == protocol.Windows && !n.CoManaged {
		n.CoManaged = true
		d.out.Changed |= Core
	}
	if !n.CoManaged || n.Told && n.Workloads == in.Workloads {
		return
	}
	n.Workloads, n.Told = in.Workloads, true
	d.out.Changed |= Core
	d.decided()
}

// decided tells which workloads of a co-managed client are Intune's by what that has said.
func (d *decision) decided() {
	d.journal(WhatWorkloads, "AUTH-51", "Intune decides "+d.n.Workloads.Whole().String())
}

// support has a userless device move at its next completed check-in (AUTH-18).
func (d *decision) support() {
	n := d.n
	to := authority.Resolve(d.w.Tenant, &entitled, n.Subject())
	switch {
	case d.s.Life != Enrolled:
		d.refuse(protocol.RuleNotRenewed, WhatRefused, "the device is not enrolled")
	case d.s.User != 0:
		d.refuse(protocol.RuleUserless, WhatRefused, "the device has a user: it moves by itself")
	case to.Authority == protocol.Unknown || to.Authority == d.s.Registered:
		d.refuse(protocol.RuleUserless, WhatRefused, "the device is managed by "+d.s.Registered.String()+", where a user's device would be too")
	case d.s.Support:
	default:
		n.Support = true
		n.Wake = d.s.Wake.Ask(d.now, Changed)
		d.out.Changed |= Core | Wakes
		d.journal(WhatSupportMove, protocol.RuleUserless, "to "+to.Authority.String())
	}
}
