package target

import (
	"context"
	"iter"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/android"
)

// A Target is a server under test. Safe for concurrent use.
type Target interface {
	// SetUp sets the tenant up, once, before anybody enrols.
	SetUp(ctx context.Context, t Tenant) error

	// AddUsers adds users, or changes those that exist by UPN.
	AddUsers(ctx context.Context, users []User) error

	// Invite makes one enrolment link for each user, in the same order. An empty UPN asks for a userless one.
	Invite(ctx context.Context, upns []string) ([]Invitation, error)

	// ApplyProfile makes document the newest version of the profile called name and assigns it to groups, besides
	// those that have it. A nil document changes assignments only.
	ApplyProfile(ctx context.Context, name string, document []byte, groups []string) error

	// Unassign takes the profile from the group.
	Unassign(ctx context.Context, profile, group string) error

	// Order queues a command for a device, or only wakes it. The id is the one under which the device will get the command;
	// empty: it is only woken.
	Order(ctx context.Context, device string, o Order) (id string, err error)

	// Devices lists devices, in an order that does not change while nothing else does. An error ends the list.
	Devices(ctx context.Context, f Filter) iter.Seq2[Device, error]
}

// A Tenant is the set-up of a tenant. Zero durations leave the server's defaults.
type Tenant struct {
	Authority      protocol.Authority `json:"authority"`
	Coexistence    bool               `json:"coexistence,omitempty"`
	Release        uint16             `json:"release,omitempty"`         // e.g. 1910 (AUTH-02); 0: the server's own
	AcceptUserless bool               `json:"accept_userless,omitempty"` // AUTH-19
	Epoch          uint32             `json:"epoch,omitempty"`           // counts changes of authority; told, not taken
	ChangedAt      protocol.Time      `json:"changed_at,omitzero"`       // told, not taken
	Lifetime       Seconds            `json:"lifetime_seconds,omitempty"`
	Window         Seconds            `json:"window_seconds,omitempty"`
	Renew          Seconds            `json:"renew_seconds,omitempty"`
}

// Seconds is a duration as the API writes it: whole seconds.
type Seconds int64

// SecondsOf rounds d up to whole seconds.
func SecondsOf(d time.Duration) Seconds { return Seconds((d + time.Second - 1) / time.Second) }

// A User is one user of the tenant.
type User struct {
	UPN           string   `json:"upn"`
	Name          string   `json:"name,omitempty"`
	Groups        []string `json:"groups,omitempty"`
	IntuneLicence bool     `json:"intune_licence,omitempty"`
	BasicLicence  bool     `json:"basic_licence,omitempty"`
	CoManaged     bool     `json:"co_managed,omitempty"`
	Premium       bool     `json:"directory_premium,omitempty"` // Azure AD Premium (AUTH-51)
	Manager       *bool    `json:"enrolment_manager,omitzero"`  // enrols devices for others (AUTH-47); nil: as before, of a new one no
}

// Manages tells whether u is known to be an enrolment manager.
func (u *User) Manages() bool { return u.Manager != nil && *u.Manager }

// An Invitation is an enrolment link for one device.
type Invitation struct {
	User    string        `json:"user,omitempty"`
	URL     string        `json:"url"`
	Expires protocol.Time `json:"expires"`
	CA      string        `json:"ca,omitempty"` // sha256: and the hash of the CA certificate that the server shows; empty: it did not say

	// Of an Android device alone.
	Token     string `json:"token,omitempty"`
	QR        string `json:"qr,omitempty"`         // the text of a QR code to scan after a factory reset: [android.ProvisioningData]
	ZeroTouch string `json:"zero_touch,omitempty"` // dpcExtras of a zero-touch configuration
}

// An Order is what an administrator asks of one device.
type Order struct {
	Kind    OrderKind `json:"-"`
	PIN     string    `json:"pin,omitempty"`     // Lock and Wipe of a Mac: six digits
	Message string    `json:"message,omitempty"` // Lock, StartLostMode
	Drop    bool      `json:"drop,omitempty"`    // Retire: by the platform's own answer instead of a command

	Passcode string   `json:"passcode,omitempty"` // ResetPasscode; empty: none
	Packages []string `json:"packages,omitempty"` // ClearAppData: whose data goes
}

// An OrderKind is the last part of an order's path.
type OrderKind string

// The orders.
const (
	Sync         OrderKind = "sync" // only wake it
	Lock         OrderKind = "lock"
	Wipe         OrderKind = "wipe"
	Restart      OrderKind = "restart"
	Retire       OrderKind = "retire"
	Information  OrderKind = "information"
	Security     OrderKind = "security"
	ProfileList  OrderKind = "profile-list"
	Certificates OrderKind = "certificate-list"
	Applications OrderKind = "application-list"

	// Of Android devices alone.
	ResetPasscode OrderKind = "reset-passcode"
	ClearAppData  OrderKind = "clear-app-data"
	StartLostMode OrderKind = "start-lost-mode"
	StopLostMode  OrderKind = "stop-lost-mode"
)

// A Filter narrows a list of devices. Its zero value takes all.
type Filter struct {
	Platform   protocol.Platform
	User       string             // UPN
	Registered protocol.Authority // the portal that lists them (AUTH-45)
}

// A Device is one device as its server sees it.
type Device struct {
	ID           string             `json:"id"` // what the wire calls it
	Serial       string             `json:"serial"`
	Name         string             `json:"name"`
	Model        string             `json:"model"`
	OSVersion    string             `json:"os_version"`
	Platform     protocol.Platform  `json:"platform"`
	User         string             `json:"user"`       // UPN; empty: userless
	Life         string             `json:"life"`       // enrolling, enrolled or ended
	Registered   protocol.Authority `json:"registered"` // who manages it
	Epoch        uint32             `json:"epoch"`      // in which it registered
	Automated    bool               `json:"automated"`  // enrolled by ADE
	Awaiting     bool               `json:"awaiting"`   // held in Setup Assistant
	Reachable    bool               `json:"reachable"`  // has a push address that the push service did not refuse
	RegisteredAt protocol.Time      `json:"registered_at"`
	RegisteredBy protocol.Rule      `json:"registered_by,omitempty"` // the rule that has it there; empty: it is to move, or is not enrolled
	EnrolledAt   protocol.Time      `json:"enrolled_at"`
	EndedAt      protocol.Time      `json:"ended_at"`
	LeavesAt     protocol.Time      `json:"leaves_at,omitzero"` // a PC that is leaving has left when it is silent until then; 0: it is not
	LastSeen     protocol.Time      `json:"last_seen"`
	Wake         protocol.Time      `json:"wake"` // when the pending wake-up goes out
	Identity     Identity           `json:"identity"`
	Queue        int                `json:"queue"` // commands not yet answered for good
	Reports      Reports            `json:"reports"`
	Profiles     []DeviceProfile    `json:"profiles"`
	Android      *AndroidDevice     `json:"android,omitempty"` // nil: it is of another platform
	Windows      *WindowsDevice     `json:"windows,omitempty"` // nil: it is of another platform, or a PC of which there is nothing to say
}

// A WindowsDevice is what a PC says that an administrator should know.
type WindowsDevice struct {
	PushFault string   `json:"push_fault,omitempty"` // why it cannot be woken
	Torn      []string `json:"torn,omitempty"`       // identifiers of profiles that it carried out in part, which it could not undo (516)
}

// An AndroidDevice is what is known of an Android device beyond others.
type AndroidDevice struct {
	Mode          android.Mode    `json:"mode"`
	Enrollment    string          `json:"enrollment"` // by which token it enrolled
	APILevel      int             `json:"api_level"`
	PolicyVersion int64           `json:"policy_version"`     // of the policy that it has applied; 0: none yet
	NonCompliance []NonCompliance `json:"non_compliance"`     // empty: it complies
	LeftOut       []LeftOut       `json:"left_out,omitempty"` // of [Details] alone
}

// A LeftOut is a setting of a profile's that is not in its device's policy.
type LeftOut struct {
	Profile string `json:"profile"` // its identifier
	Setting string `json:"setting"`
	Reason  string `json:"reason"`
}

// A NonCompliance is why a device does not keep to a setting of its policy, as its latest report said.
type NonCompliance struct {
	Setting string `json:"setting"`
	Package string `json:"package,omitempty"`
	Reason  string `json:"reason"`
}

// An Identity is the certificate a device is known by.
type Identity struct {
	Fingerprint string        `json:"fingerprint"` // SHA-256 of the DER in lower-case hex
	NotBefore   protocol.Time `json:"not_before"`
	NotAfter    protocol.Time `json:"not_after"`
}

// Reports counts a device's commands by how they ended.
type Reports struct {
	Acknowledged uint32 `json:"acknowledged"`
	Failed       uint32 `json:"failed"`
	FormatError  uint32 `json:"format_error"`
	NotNow       uint32 `json:"not_now"`
}

// A DeviceProfile is one profile on its way to, on, or on its way from a device.
type DeviceProfile struct {
	Name       string          `json:"name"`
	Number     uint32          `json:"number"` // of this version of the document
	Identifier string          `json:"identifier"`
	Family     protocol.Family `json:"family"`
	State      string          `json:"state"` // installing, installed, install failed, removing, remove failed
	At         protocol.Time   `json:"at"`    // when it reached State
}

// Details are what a server knows of one device beyond a list's row.
type Details struct {
	Device
	Compliance *Compliance `json:"compliance"` // nil: it is not enrolled
	CoManaged  bool        `json:"co_managed"` // Configuration Manager's client is there (AUTH-12)
	Workloads  []string    `json:"workloads"`  // of a co-managed device, that Intune decides (AUTH-51)
	Head       *Command    `json:"head"`       // of the queue; nil: it is empty
	Commands   []Command   `json:"commands"`   // newest first
	LastRaw    string      `json:"last_raw"`   // the latest report as it came, at most 64 KiB of it
}

// A Compliance is what three parties believe of one device, and since when (AUTH-29).
type Compliance struct {
	Device       bool          `json:"device"` // it has what it should have
	Reported     protocol.Time `json:"reported"`
	Directory    bool          `json:"directory"`     // and has said so lately (AUTH-49)
	Console      bool          `json:"console"`       // what the console shows, which may lag after a change
	ConsoleSince protocol.Time `json:"console_since"` // the report that it shows
	ConfigMgr    bool          `json:"config_mgr"`    // Configuration Manager decides (AUTH-51)
}

// A Command is one command for a device.
type Command struct {
	ID      string        `json:"id"`
	Kind    string        `json:"kind"` // Apple's name
	Profile string        `json:"profile"`
	Seq     uint64        `json:"seq"`    // order within the device
	At      protocol.Time `json:"at"`     // when it was queued
	Status  string        `json:"status"` // as the device answered; empty: not yet
	Final   bool          `json:"final"`  // it has left the queue
	Errors  string        `json:"errors"`
}
