package authority

import (
	"time"

	"rollcall/protocol"
)

// Resolve says who should manage a device, and the rule that decided (AUTH-10 to 19). A nil u is a userless device.
// Registered is who manages it now; Unknown: it is enrolling. The answer is Intune, Office365 or Unknown, which means
// nobody: refuse.
func Resolve(t Tenant, u *User, registered protocol.Authority, p protocol.Platform) (protocol.Authority, protocol.Rule) {
	to, rule := byTenant(t, u, registered)
	if to != protocol.Office365 || offeredByBMS(p) {
		return to, rule
	}
	if registered == protocol.Intune { // BMS cannot take it
		return protocol.Intune, protocol.RuleLicenceLost
	}
	return protocol.Unknown, protocol.RuleUnsupportedBMS
}

// byTenant is the table of the rules, without what BMS cannot manage.
func byTenant(t Tenant, u *User, registered protocol.Authority) (protocol.Authority, protocol.Rule) {
	coexistence := t.Coexistence && t.Authority == protocol.Office365
	switch {
	case t.Authority == protocol.Unknown:
		return protocol.Unknown, protocol.RuleUnknown
	case u == nil && registered != protocol.Unknown:
		return registered, protocol.RuleUserless
	case u == nil && t.Authority == protocol.Office365 && !coexistence && !t.AcceptUserless:
		return protocol.Unknown, protocol.RuleUserlessEnrol
	case u == nil && t.Authority == protocol.Office365 && !coexistence:
		return protocol.Office365, protocol.RuleUserlessEnrol
	case u == nil:
		return protocol.Intune, protocol.RuleUserlessEnrol
	case t.Authority == protocol.Intune:
		return protocol.Intune, protocol.RuleIntune
	case t.Authority == protocol.SCCM:
		return protocol.Intune, protocol.RuleCoManaged
	case !coexistence:
		return protocol.Office365, protocol.RuleBMS
	case u.IntuneLicence:
		return protocol.Intune, protocol.RuleEntitled
	case u.CoManaged:
		return protocol.Intune, protocol.RuleCoManagedUser
	case u.BasicLicence:
		return protocol.Office365, protocol.RuleBasic
	}
	return protocol.Office365, protocol.RuleNoLicence
}

// offeredByBMS tells whether BMS manages devices of p (AUTH-46).
func offeredByBMS(p protocol.Platform) bool { return p != protocol.MacOS }

// enrolAgain is when a device that was refused for want of a push certificate is asked to try again.
const enrolAgain = time.Hour

// Admit says whether a device may enrol now: nil, or the first gate of AUTH-47 that is shut. A nil u is a userless
// device. PushUsable tells whether the slot of the push certificate can wake devices; only Apple's need it.
func Admit(t Tenant, u *User, p protocol.Platform, pushUsable bool) *protocol.Refusal {
	if t.Authority == protocol.Unknown {
		return &protocol.Refusal{Rule: protocol.RuleUnset, Reason: "no authority is set yet, so no device can enrol"}
	}
	if to, rule := Resolve(t, u, protocol.Unknown, p); to == protocol.Unknown {
		reason := "basic mobility and security manages no " + p.String() + " devices"
		if rule == protocol.RuleUserlessEnrol {
			reason = "basic mobility and security enrols no userless devices"
		}
		return &protocol.Refusal{Rule: rule, Reason: reason}
	}
	if p.Apple() && !pushUsable {
		return &protocol.Refusal{
			Rule: protocol.RulePushExpired, RetryAfter: enrolAgain, Reason: "there is no usable Apple push certificate, so the device could not be managed",
		}
	}
	return nil
}

// Initial is the authority of a new tenant: one created at service release 1911 or later starts as intune, an older one
// as unknown (AUTH-02). A release is year and month, as in 1910.
func Initial(release uint16) protocol.Authority {
	if release >= 1911 {
		return protocol.Intune
	}
	return protocol.Unknown
}
