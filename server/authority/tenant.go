package authority

import (
	"cmp"
	"time"

	"rollcall/protocol"
)

// A Tenant is what the rules know of the tenant as a whole.
type Tenant struct {
	Authority      protocol.Authority
	Coexistence    bool   // Intune was added beside office365
	Release        uint16 // service release the tenant was created at, e.g. 1910 (AUTH-02)
	AcceptUserless bool   // bms.userless: accept (AUTH-19)
	Epoch          uint32 // counts changes of authority
	ChangedAt      protocol.Time
	Kept           time.Duration // how long profiles of the authority before stay after the newest change: that one was told to devices; 0: seven days (AUTH-27)
}

// kept is how long profiles of the authority before stay on a device after a change of the tenant's, where no setting says otherwise.
const kept = 7 * 24 * time.Hour

// OldEnd is when the profiles of the authority before t's newest change leave the devices at the latest (AUTH-27).
func (t *Tenant) OldEnd() protocol.Time { return t.ChangedAt.Add(cmp.Or(t.Kept, kept)) }

// coexists tells whether each user's licences decide.
func (t *Tenant) coexists() bool { return t.Coexistence && t.Authority == protocol.Office365 }

// alone tells whether Basic Mobility and Security is all that the tenant has.
func (t *Tenant) alone() bool { return t.Authority == protocol.Office365 && !t.Coexistence }

// Same tells whether t and o have the same authority, whatever their epochs.
func (t *Tenant) Same(o *Tenant) bool {
	return t.Authority == o.Authority && t.coexists() == o.coexists()
}

// Name is the authority's name, "coexistence" where Intune was added beside office365.
func (t *Tenant) Name() string {
	if t.coexists() {
		return "coexistence"
	}
	return t.Authority.String()
}

// Notice is what a device without profiles is told of the newest change of authority (AUTH-30): nothing that it has ends. A
// tenant's first authority is no change.
func (t *Tenant) Notice() protocol.Notice {
	if t.Epoch <= 1 {
		return protocol.Notice{}
	}
	return protocol.Notice{Epoch: t.Epoch, ChangedAt: t.ChangedAt, Rule: protocol.RuleRegistered, Kept: t.Kept}
}

// A User is what the rules know of a device's user.
type User struct {
	IntuneLicence bool // holds a licence that entitles Intune
	BasicLicence  bool // holds a licence that BMS serves
	CoManaged     bool // is under co-management (AUTH-15)
	Premium       bool // holds Azure AD Premium, which Configuration Manager's enrolment needs (AUTH-51)
	Manager       bool // is an enrolment manager, who enrols devices for others: another device limit holds (AUTH-47)
}

// A Device is what the rules know of a device to say who should manage it.
type Device struct {
	Platform   protocol.Platform
	Registered protocol.Authority // who manages it now; Unknown: it is enrolling
	AndroidAPI bool               // managed through Android Management API (AUTH-46)
	CoManaged  bool               // Windows 10 1709 or later with Configuration Manager's client (AUTH-12)
}

// underBMS tells whether Basic Mobility and Security can manage d (AUTH-46).
func (d *Device) underBMS() bool { return d.Platform != protocol.MacOS && !d.AndroidAPI }

// Slot is the authority whose push certificate wakes the tenant's Apple devices: each has a slot of its own.
func (t *Tenant) Slot() protocol.Authority {
	if t.coexists() {
		return protocol.Intune
	}
	return t.Authority
}
