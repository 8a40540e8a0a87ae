package store

import (
	"context"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
)

// Catalogue keeps what administrators decide. It is small enough to be held whole; a change of it is one commit.
type Catalogue interface {
	// Load returns everything, as of the latest Apply.
	Load(ctx context.Context) (*Content, error)

	// Apply makes the change durable as one, wake-ups and journal lines included. Adding what exists replaces it.
	Apply(ctx context.Context, now protocol.Time, c *Change) error
}

// Content is all that administrators decided.
type Content struct {
	Tenant      authority.Tenant // zero Release: the tenant was never set up
	Campaign    Campaign
	Restored    delivery.Restoration // At zero, Since not: a backup was put in place, and the server has not noted it yet
	Clock       Doubt
	Settings    delivery.Settings
	Users       []User // by ID; IDs are 1, 2, ... without gaps
	Profiles    []Profile
	Assignments []Assignment
	Push        []PushCertificate // newest first within an authority's slot
	Consents    []Consent         // granted ones, by Service
	Serials     []Serial          // ADE devices of the tenant
	Tokens      []Token           // of the admin API
	Packages    []Package         // with which Windows devices enrol, by Name
	Admissions  []Admission       // of machines by packages
	Secrets     map[string][]byte // the server's own keys by name
}

// A User is one user of the tenant.
type User struct {
	ID     delivery.UserID
	UPN    string // unique, compared without case
	Name   string
	Groups []string
	authority.User
	Removed bool // kept for its number, and for the records of its devices
}

// A Campaign is what a change of authority leaves to be done: one row, however many devices there are.
type Campaign struct {
	Gap   protocol.Time // since when Apple waits for a renewed push certificate (AUTH-30); 0: it does not
	Wakes delivery.Campaign
}

// A Doubt is why the server's clock is not trusted (HST-110). The zero value: it is.
type Doubt struct {
	At  protocol.Time // what the clock said when it was set
	Off time.Duration // ahead of the time that had passed, by then; negative: behind
}

// A Consent is a data-sharing consent that was granted (AUTH-05).
type Consent struct {
	Service string // Graph's id
	By      string
	At      protocol.Time
}

// A Profile is one version of a named document. The newest version of an authority's name is the one that is assigned.
type Profile struct {
	Number     protocol.Profile   // 1, 2, ...
	Authority  protocol.Authority // whose it is: see delivery.Profile
	Name       string
	Family     protocol.Family
	Identifier string
	Payload    []byte
	Removed    bool // kept because devices may still hold it
}

// An Assignment gives a profile of an authority, by name, to a group of users.
type Assignment struct {
	Profile, Group string
	Authority      protocol.Authority
}

// A PushCertificate is one upload into an authority's slot (AUTH-34).
type PushCertificate struct {
	Slot                protocol.Authority
	Topic, AppleID      string
	NotBefore, NotAfter protocol.Time
	UploadedAt          protocol.Time
	Suspended           bool
	Certificate, Key    []byte // PEM
}

// A Serial is a device that Apple's enrolment service assigned to the tenant (ADE).
type Serial struct {
	Serial   string
	User     delivery.UserID // 0: userless
	Awaiting bool            // await_device_configured
}

// A Token opens the admin API; only its hash is kept.
type Token struct {
	Name    string
	Hash    [32]byte
	Made    protocol.Time
	Expires protocol.Time // 0: never
	Revoked bool
	Role    Role
}

// A Package is a provisioning package for Windows devices: whoever has the key of its certificate may enrol machines, so many of them
// and until it ends.
type Package struct {
	Name        string
	Certificate delivery.Fingerprint
	Most        int // machines
	Made, Ends  protocol.Time
	Revoked     bool
}

// An Admission is a machine that a package admitted: it counts once, however often it enrols.
type Admission struct {
	Package  string
	Hardware string // what the machine says of itself: HWDevID
	Device   string // the wire's name of what it enrolled as last
	At       protocol.Time
}

// A Change is one administrator's change. Fields left zero change nothing.
type Change struct {
	Tenant   *authority.Tenant
	Campaign *Campaign
	Restored *delivery.Restoration
	Clock    *Doubt
	Settings *delivery.Settings
	Users    []User
	Profiles []Profile
	Assign   []Assignment
	Unassign []Assignment
	Push     *PushCertificate // added to its slot, or the same one (by NotBefore and slot) updated
	Consents []Consent
	Serials  []Serial
	Tokens   []Token
	Packages []Package
	Admit    []Admission
	Secrets  map[string][]byte

	Wake    []protocol.Device // to be woken from WakeAt on; Wake[i] at WakeAt + i*Spacing, as delivery.Wake.Ask says
	WakeAt  protocol.Time
	Spacing time.Duration
	Lines   []delivery.Effect // Journal only
}
