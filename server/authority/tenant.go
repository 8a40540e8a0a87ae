package authority

import "rollcall/protocol"

// A Tenant is what the rules know of the tenant as a whole.
type Tenant struct {
	Authority      protocol.Authority
	Coexistence    bool   // Intune was added beside office365
	Release        uint16 // service release the tenant was created at, e.g. 1910 (AUTH-02)
	AcceptUserless bool   // bms.userless: accept (AUTH-19)
	Epoch          uint32 // counts changes of authority
	ChangedAt      protocol.Time
}

// A User is what the rules know of a device's user.
type User struct {
	IntuneLicence bool // holds a licence that entitles Intune
	BasicLicence  bool // holds a licence that BMS serves
	CoManaged     bool // is under co-management (AUTH-15)
}
