package authority

import "rollcall/protocol"

// Rules of profiles.
const (
	ruleRenewed   protocol.Rule = "AUTH-21" // registered anew, its authority unchanged
	ruleReplaced  protocol.Rule = "AUTH-23" // by a licence: BMS's profiles are removed at the check-in
	ruleNamesake  protocol.Rule = "AUTH-26" // a namesake of the same family overwrites
	ruleSevenDays protocol.Rule = "AUTH-27" // what is left goes after seven days
	ruleLeftThere protocol.Rule = "AUTH-28" // userless devices are not migrated
	ruleOutside   protocol.Rule = "AUTH-36" // settings outside the families have no end
)

// A Profile is one profile, policy or app on a device or meant for it. NoFamily is outside the five families (AUTH-36).
type Profile struct {
	Name      string
	Family    protocol.Family
	Authority protocol.Authority // whose it is
	Version   uint32             // differs where the documents do; 0: not known
	Old       bool               // of another authority than the one whose profiles the device should have after the change
}

// An Effect is what a change does to one profile of a device.
type Effect uint8

// The effects.
const (
	Keeps       Effect = iota
	Removed            // at the check-in, without another in its place (AUTH-23, AUTH-24)
	Replaced           // removed at the check-in, and a namesake comes
	Overwritten        // by its namesake, when that comes (AUTH-26)
	Redundant          // left behind until a moment, or until an administrator removes it (AUTH-27, 28, 36)
	Unassigned         // leaves, for nobody assigns it any more (AUTH-55)
	Installed          // is not on the device yet, and comes (AUTH-21, AUTH-52)
	Updated            // its newer version takes its place (AUTH-52)
)

// Effects lists them, but for Keeps.
var Effects = [...]Effect{Removed, Replaced, Overwritten, Redundant, Unassigned, Installed, Updated}

var effectNames = [...]string{"keeps", "removed", "replaced", "overwritten", "redundant", "unassigned", "installed", "updated"}

func (e Effect) String() string { return effectNames[e%Effect(len(effectNames))] }

// A Fall is what becomes of one profile, by which rule.
type Fall struct {
	Effect Effect
	Rule   protocol.Rule // empty: nothing happens to it
	Until  protocol.Time // it leaves at this moment at the latest; 0: no such moment
}

// Fall says what becomes of p, which is on c's device, when the change has come there. J is what [Scene.Judge] said of c.
func (s *Scene) Fall(c *Subject, j *Judgement, p Profile) Fall {
	switch {
	case j.ends():
		return Fall{}
	case (j.Pending || p.Old && c.Is != nil) && s.After.coexists():
		f := Fall{Effect: Removed, Rule: j.moves()}
		if c.namesake(p) {
			f.Effect = Replaced
		}
		return f
	case j.Pending, p.Old && c.Is != nil:
		return s.outlives(c, p, ruleSevenDays)
	case !p.Old && c.newer(p):
		return Fall{Effect: Updated, Rule: protocol.RuleWake}
	case c.Is == nil && (s.onlyEpoch() && c.Epoch < s.After.Epoch || !s.After.inForce(p.Authority)):
		return s.outlives(c, p, ruleLeftThere)
	case c.Assigned && !c.namesake(p) && Leaves(c.Device, p.Family, s.Leaving):
		return Fall{Effect: Unassigned, Rule: protocol.RuleUnassigned}
	case j.Stale:
		return Fall{Rule: ruleRenewed}
	}
	return Fall{}
}

// Gain says what becomes of p, which is meant for c's device: it comes, unless one with its name and family is there, whose
// [Scene.Fall] says it.
func (s *Scene) Gain(c *Subject, j *Judgement, p Profile) Fall {
	f := Fall{Effect: Installed, Rule: protocol.RuleWake}
	switch {
	case j.ends(), !c.Assigned, among(c.Has, p) != nil, c.refused(&p):
		return Fall{}
	case j.Pending && s.After.coexists():
		f.Rule = j.moves()
	case j.Pending, j.Stale:
		f.Rule = ruleRenewed
	}
	return f
}

// ends tells whether the device's enrolment does, and its profiles with it.
func (j *Judgement) ends() bool { return j.Leaving || j.MustEnrol || j.Stranded == TopicChanged }

// moves is the rule by which the profiles of a device go that a licence moves.
func (j *Judgement) moves() protocol.Rule {
	if j.After.Authority == protocol.Office365 {
		return protocol.RuleLicenceLost
	}
	return ruleReplaced
}

// outlives is the end of a profile of the old authority after a change of the tenant's.
func (s *Scene) outlives(c *Subject, p Profile, rule protocol.Rule) Fall {
	switch {
	case c.namesake(p) && p.Family == protocol.NoFamily:
		return Fall{Effect: Overwritten, Rule: ruleOutside}
	case c.namesake(p):
		return Fall{Effect: Overwritten, Rule: ruleNamesake}
	case p.Family == protocol.NoFamily:
		return Fall{Effect: Redundant, Rule: ruleOutside}
	}
	t := s.After
	if t.ChangedAt == 0 {
		t.ChangedAt = s.Now
	}
	return Fall{Effect: Redundant, Rule: rule, Until: t.OldEnd()}
}

// onlyEpoch tells whether the change leaves who manages a device as it was, so that the profiles of the older epoch are
// the old authority's (AUTH-21): between intune and sccm. Where the latest change is past, a stale device of an intune
// tenant is taken as such.
func (s *Scene) onlyEpoch() bool {
	b, a := s.Before.Authority, s.After.Authority
	return b == protocol.SCCM && a == protocol.Intune || a == protocol.SCCM || a == protocol.Intune && b == protocol.Intune
}

// inForce tells whether a still manages devices of the tenant.
func (t *Tenant) inForce(a protocol.Authority) bool {
	return t.coexists() || t.Authority == a || t.Authority == protocol.SCCM && a == protocol.Intune
}

// namesake tells whether a profile with p's name and family is meant for the device.
func (c *Subject) namesake(p Profile) bool { return among(c.Gets, p) != nil }

// newer tells whether another version of p is meant for the device.
func (c *Subject) newer(p Profile) bool {
	g := among(c.Gets, p)
	return g != nil && g.Version != p.Version && g.Version != 0 && p.Version != 0 && !c.refused(g)
}

// refused tells whether the device does not take this version of p.
func (c *Subject) refused(p *Profile) bool {
	f := among(c.Failed, *p)
	return f != nil && f.Version == p.Version
}

// among finds the profile with p's name and family; nil: there is none.
func among(list []Profile, p Profile) *Profile {
	if p.Name == "" {
		return nil
	}
	for i := range list {
		if g := &list[i]; g.Name == p.Name && g.Family == p.Family {
			return g
		}
	}
	return nil
}

// LeavingSettings say what becomes of configuration that is unassigned where the platform leaves it open (AUTH-55).
type LeavingSettings struct {
	WindowsKeeps    bool // Windows: the setting stays
	AndroidAPIDrops bool // Android Management API: the policy compiler takes it out
}

// Leaves tells whether a profile of family f that is unassigned leaves d (AUTH-55). Outside the families is like
// configuration.
func Leaves(d Device, f protocol.Family, s LeavingSettings) bool {
	switch {
	case f != protocol.Configuration && f != protocol.NoFamily:
		return true
	case d.Platform == protocol.Android:
		return d.AndroidAPI && s.AndroidAPIDrops
	case d.Platform == protocol.Windows:
		return !s.WindowsKeeps
	}
	return true
}
