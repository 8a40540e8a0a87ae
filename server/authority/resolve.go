package authority

import "rollcall/protocol"

// A Resolution is who should manage a device, and the rule that decided (AUTH-10 to 19, 24, 46).
type Resolution struct {
	Authority  protocol.Authority // Intune, Office365, or Unknown: nobody, refuse
	Rule       protocol.Rule
	CoManaged  bool // together with Configuration Manager (AUTH-12)
	Unlicensed bool // under Intune without entitlement (AUTH-24), or under BMS without a licence (AUTH-17)
}

// Resolve says who should manage d. A nil u is a userless device. It does not allocate.
func Resolve(t Tenant, u *User, d Device) Resolution {
	r := byTenant(&t, u, d.Registered)
	if t.Authority == protocol.Office365 && r.Authority != protocol.Intune && !d.underBMS() {
		r = Resolution{Rule: protocol.RuleUnsupportedBMS}
		if d.Registered == protocol.Intune { // BMS cannot take it
			r = Resolution{Authority: protocol.Intune, Rule: protocol.RuleLicenceLost}
		}
	}
	if u == nil {
		return r
	}
	switch r.Authority {
	case protocol.Intune:
		r.CoManaged = d.CoManaged && d.Platform == protocol.Windows
		r.Unlicensed = !u.IntuneLicence && !u.CoManaged && !r.CoManaged
	case protocol.Office365:
		r.Unlicensed = !u.IntuneLicence && !u.BasicLicence
	}
	return r
}

// byTenant is the table of the rules, without what BMS cannot manage.
func byTenant(t *Tenant, u *User, registered protocol.Authority) Resolution {
	switch {
	case t.Authority == protocol.Unknown:
		return Resolution{Rule: protocol.RuleUnknown}
	case u == nil && registered != protocol.Unknown:
		return Resolution{Authority: registered, Rule: protocol.RuleUserless}
	case u == nil && t.alone() && !t.AcceptUserless:
		return Resolution{Rule: protocol.RuleUserlessEnrol}
	case u == nil && t.alone():
		return Resolution{Authority: protocol.Office365, Rule: protocol.RuleUserlessEnrol}
	case u == nil:
		return Resolution{Authority: protocol.Intune, Rule: protocol.RuleUserlessEnrol}
	case t.Authority == protocol.Intune:
		return Resolution{Authority: protocol.Intune, Rule: protocol.RuleIntune}
	case t.Authority == protocol.SCCM:
		return Resolution{Authority: protocol.Intune, Rule: protocol.RuleCoManaged}
	case t.alone():
		return Resolution{Authority: protocol.Office365, Rule: protocol.RuleBMS}
	case u.IntuneLicence:
		return Resolution{Authority: protocol.Intune, Rule: protocol.RuleEntitled}
	case u.CoManaged:
		return Resolution{Authority: protocol.Intune, Rule: protocol.RuleCoManagedUser}
	case u.BasicLicence:
		return Resolution{Authority: protocol.Office365, Rule: protocol.RuleBasic}
	}
	return Resolution{Authority: protocol.Office365, Rule: protocol.RuleNoLicence}
}
