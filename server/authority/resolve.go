package authority

import "rollcall/protocol"

// Resolve says who should manage a device, and the rule that decided (AUTH-10 to 19; AUTH-12 adds co-management to
// them and changes no answer). A nil u is a userless device. Registered is who manages the device now; Unknown: it is
// enrolling. [protocol.Unknown] as the answer means nobody: refuse.
func Resolve(t Tenant, u *User, registered protocol.Authority, p protocol.Platform) (protocol.Authority, protocol.Rule) {
	return protocol.Unknown, protocol.RuleUnset
}

// Admit says whether a device may enrol now: nil, or the first gate of AUTH-47 that is shut. A nil u is a userless
// device. pushUsable tells whether the slot of the push certificate can wake devices; only Apple's need it.
func Admit(t Tenant, u *User, p protocol.Platform, pushUsable bool) *protocol.Refusal { return nil }

// Initial is the authority of a new tenant: one created at service release 1911 or later starts as intune, an older one
// as unknown (AUTH-02).
func Initial(release uint16) protocol.Authority { return protocol.Unknown }
