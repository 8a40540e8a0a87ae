package authority

import (
	"time"

	"rollcall/protocol"
)

// Rules of profiles.
const (
	ruleRenewed   protocol.Rule = "AUTH-21" // registered anew, its authority unchanged
	ruleReplaced  protocol.Rule = "AUTH-23" // by a licence: BMS's profiles are removed at the check-in
	ruleNamesake  protocol.Rule = "AUTH-26" // a namesake of the same family overwrites
	ruleSevenDays protocol.Rule = "AUTH-27" // what is left goes after seven days
	ruleLeftThere protocol.Rule = "AUTH-28" // userless devices are not migrated
	ruleOutside   protocol.Rule = "AUTH-36" // settings outside the families have no end
)

// Kept is how long after a change of the tenant's authority profiles of the old one stay on a device (AUTH-27).
const Kept = 7 * 24 * time.Hour

// A Profile is one profile, policy or app on a device or meant for it. NoFamily is outside the five families (AUTH-36).
type Profile struct {
	Name      string
	Family    protocol.Family
	Authority protocol.Authority // whose it is
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
)

var effectNames = [...]string{"keeps", "removed", "replaced", "overwritten", "redundant", "unassigned"}

func (e Effect) String() string { return effectNames[e%Effect(len(effectNames))] }

// A Fall is what becomes of one profile, by which rule.
type Fall struct {
	Effect Effect
	Rule   protocol.Rule // empty: nothing happens to it
	Until  protocol.Time // it leaves at this moment at the latest; 0: no such moment
}

// Fall says what becomes of p, which is on c's device, when the change has come there. J is what [Judge] said of c.
func (s *Scene) Fall(c *Subject, j *Judgement, p Profile) Fall {
	switch {
	case j.Leaving, j.MustEnrol, j.Stranded == TopicChanged: // its enrolment ends, and the profiles with it
		return Fall{}
	case j.Pending && s.After.coexists():
		f := Fall{Effect: Removed, Rule: ruleReplaced}
		if j.After.Authority == protocol.Office365 {
			f.Rule = protocol.RuleLicenceLost
		}
		if c.namesake(p) {
			f.Effect = Replaced
		}
		return f
	case j.Pending:
		return s.outlives(c, p, ruleSevenDays)
	case j.Stale && s.onlyEpoch():
		return s.outlives(c, p, ruleSevenDays)
	case j.Stale:
		return Fall{Rule: ruleRenewed}
	case c.Is == nil && (s.onlyEpoch() && c.Epoch < s.After.Epoch || !s.After.inForce(p.Authority)):
		return s.outlives(c, p, ruleLeftThere)
	case c.Assigned && !c.namesake(p) && Leaves(c.Device, p.Family, s.Leaving):
		return Fall{Effect: Unassigned, Rule: protocol.RuleUnassigned}
	}
	return Fall{}
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
	changed := s.After.ChangedAt
	if changed == 0 {
		changed = s.Now
	}
	return Fall{Effect: Redundant, Rule: rule, Until: changed.Add(Kept)}
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
func (c *Subject) namesake(p Profile) bool {
	if p.Name == "" {
		return false
	}
	for i := range c.Gets {
		if g := &c.Gets[i]; g.Name == p.Name && g.Family == p.Family {
			return true
		}
	}
	return false
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
