package population

import (
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Population is the devices and users of one tenant at one moment.
type Population struct {
	Tenant  Tenant
	Users   []User
	Later   []User // Users with the licences of [Options.LicenceFile]; nil: without one
	Devices []Device
	Groups  []string // their names; User.Groups counts in this order

	// What an import has to say about the export; empty for a population made from a plan.
	Total    int          // records read
	LeftOut  []LeftOut    // records not taken into the population
	Doubts   []Doubt      // records taken that can be read in two ways
	Assumed  []Assumption // what the export cannot say
	Findings []Finding    // contradictions and warnings to see to before any run
	BadRows  plan.Errors  // under Lenient, the first hundred of Bad
	Bad      int          // rows that could not be read, of whatever file
	Returns  Returns      // how silent devices come back; zero: no older export says, see Since

	silences []plan.Silence // of the plan that it was made from

	keys []uint64 // of the records of Devices, the same in every export of the tenant; nil: made from a plan, or resampled
}

// A Tenant is the tenant's present state.
type Tenant struct {
	Name        string
	Authority   protocol.Authority
	Coexistence bool          // beside Office365
	Epoch       uint32        // number of the latest change of authority; 1 for the first
	ChangedAt   protocol.Time // of that change; 0: not known
	AsOf        protocol.Time // the moment that Devices and Users describe; 0: a plan's beginning
	APNs        APNs
	Consents    map[string]bool // data-sharing consents by Graph's id; nil: not known
	Domains     []string        // verified domains; empty: not known
	Units       Units
}

// Tenancy returns what a plan that plays an export's devices may leave out.
func (p *Population) Tenancy() *plan.Tenancy {
	t := &plan.Tenancy{Authority: p.Tenant.Authority, Coexistence: p.Tenant.Coexistence, Exported: true}
	for i := range p.Devices {
		t.Add(p.Devices[i].Platform, p.Devices[i].Userless())
	}
	return t
}

// APNs is the Apple push certificate in force. A zero field is not known.
type APNs struct {
	Topic    string
	AppleID  string
	Modified protocol.Time
	Expires  protocol.Time
}

// Units are the licences that entitle Intune: owned, and of these not assigned to anybody. Known tells
// whether the export says so (AUTH-09).
type Units struct {
	Known       bool
	Owned, Free int
}

// Licence is what a user's licences come to.
type Licence uint8

// The two services that licences open; a user can have both or neither (AUTH-14, AUTH-16, AUTH-17).
const (
	BMSLicence    Licence = 1 << iota // a mailbox: Basic Mobility and Security serves this user
	IntuneLicence                     // entitles Intune
	NoLicence     Licence = 0
)

// A User is one user of the tenant.
type User struct {
	UPN        string // user principal name, or its token
	Licence    Licence
	Group      int16 // index in Population.Groups; -1: in none
	CoManaged  bool  // a PC of this user is co-managed (AUTH-15)
	Disabled   bool  // the account is disabled
	NoLocation bool  // no usage location: a licence cannot be assigned
	PlanOff    bool  // has a licence whose Intune plan is switched off: no unit is needed to entitle this user (AUTH-09)
	Assumed    bool  // the export does not show this user; Licence is the default
}

// Nobody is the user of a userless device.
const Nobody int32 = -1

// A Device is one device. Strings are shared where many devices have the same.
type Device struct {
	Name      string // what its owner calls it, or a token
	Serial    string // serial number, or a token; empty: not known
	UDID      string // in the platform's own form
	Model     *Model
	OSVersion string
	User      int32 // index in Population.Users; Nobody: userless
	Platform  protocol.Platform
	Ownership Ownership
	Enrolment Enrolment
	Traits    Traits
	Habits    Habits
	Workloads Workloads

	Registered protocol.Authority // who manages it as the story begins; Unknown: not enrolled yet
	Current    bool               // registered in the tenant's present epoch
	Joins      time.Duration      // when it enrols, counted from the beginning; Already: before, Never: by no action
	Enrolled   protocol.Time      // when it enrolled; 0: not known or not yet
	Contact    Span               // last contact
	CertEnd    protocol.Time      // end of its identity certificate; 0: none yet
}

// Special values of [Device.Joins].
const (
	Already time.Duration = -1
	Never   time.Duration = -2
)

// Userless tells whether d has no user.
func (d *Device) Userless() bool { return d.User == Nobody }

// A Span is a moment known only to lie between two: Earliest equals Latest when it is exact, both are 0 when
// nothing is known. Where one answer is needed Latest decides.
type Span struct{ Earliest, Latest protocol.Time }

// Silent returns how long before asOf s was, at least and at most; ok is false when s is not known.
func (s Span) Silent(asOf protocol.Time) (least, most time.Duration, ok bool) {
	if s.Latest == 0 {
		return 0, 0, false
	}
	return max(0, asOf.Sub(s.Latest)), max(0, asOf.Sub(s.Earliest)), true
}

// A Model is a kind of hardware.
type Model struct {
	Name         string // marketing name: iPhone 14
	Product      string // Apple's ProductName: iPhone14,7; empty elsewhere
	Manufacturer string
}

// Ownership is whose the device is.
type Ownership uint8

// The ownerships; the numbers are Graph's managedDeviceOwnerType.
const (
	UnknownOwner Ownership = iota
	Company
	Personal
)

// Enrolment is how a device came under management.
type Enrolment uint8

// The ways to enrol that rules tell apart.
const (
	ByUser              Enrolment = iota // user's own enrolment, or not known
	ByManager                            // a device-enrolment manager's account
	Automated                            // Apple's automated enrolment (ADE), School Manager or Configurator
	Bulk                                 // Windows bulk enrolment
	SelfDeployed                         // Windows self-deploying
	Joined                               // Windows joined to the directory
	CoManagement                         // through Configuration Manager
	AppleUser                            // Apple user enrolment: no wipe
	Dedicated                            // Android dedicated device
	FullyManaged                         // Android fully managed
	WorkProfile                          // Android work profile
	CloudPC                              // an Azure virtual machine
	GroupPolicy                          // Windows by group policy
	Autopilot                            // Windows Autopilot, by the user
	DirectoryRegistered                  // Windows registered with the directory: its user's own
	Packaged                             // Windows bulk enrolment by a package with a bootstrap certificate
	AOSP                                 // Android without Google's services
)

// Traits are yes-or-no facts of a device.
type Traits uint16

// The traits.
const (
	Supervised     Traits = 1 << iota
	CoManaged             // managed together with Configuration Manager (AUTH-12)
	AndroidAPI            // managed through Android Management API (AUTH-46)
	Leaving               // retire, wipe or delete is pending (AUTH-53)
	Enrolling             // enrolment is not complete
	Revoked               // its identity was revoked: must enrol again (AUTH-42)
	Disabled              // its directory object is disabled
	Noncompliant          // in the directory
	InGracePeriod         // noncompliant, with time left
	AssumedCertEnd        // CertEnd is an assumption
	Elsewhere             // another MDM manages it when it wants to enrol (AUTH-47)
)

// Has tells whether all of t's bits are in d.
func (d *Device) Has(t Traits) bool { return d.Traits&t == t }

// Habits are what a device or its user tends to do.
type Habits uint8

// The habits; the plan's keys of the same names say how many devices have them.
const (
	NotNow Habits = 1 << iota
	UnreachableNight
	ProfileFails
	Dozes // Android's alone
)

// Workloads are the co-management workloads that Intune decides (AUTH-51); the others are ConfigMgr's.
type Workloads uint8

// The workloads.
const (
	Compliance Workloads = 1 << iota
	ResourceAccess
	DeviceConfiguration
	EndpointProtection
	Update
	OfficeApps
	ClientApps
)

// LeftOut counts records of one platform that were left out for one reason.
type LeftOut struct {
	Reason   Reason
	Platform protocol.Platform // NoPlatform: none of the five
	Records  int
}

// A Reason is why a record was left out, as result.json spells it.
type Reason string

// The reasons, in the order in which they are looked for.
const (
	Unreadable     Reason = "unreadable"      // a bad row, under Lenient only (HST-122)
	Discovered     Reason = "discovered"      // known, not enrolled
	Agent          Reason = "agent"           // not enrolled in MDM here
	ProfileType    Reason = "profile_type"    // a printer, a virtual machine
	ManagementType Reason = "management_type" // mail only, or another kind of management
	NotManaged     Reason = "not_managed"
	OtherMDM       Reason = "other_mdm"
	MacUnderBMS    Reason = "mac_under_bms" // AUTH-46
	NoSuchPlatform Reason = "platform"      // Linux, ChromeOS, unknown
)

// LeftOutBy returns the records left out by reason, as result.json wants them.
func (p *Population) LeftOutBy() map[string]int {
	by := map[string]int{}
	for _, l := range p.LeftOut {
		by[string(l.Reason)] += l.Records
	}
	return by
}

// A Doubt is a record that can be read in two ways. There is at most one for each device and kind.
type Doubt struct {
	Kind   DoubtKind
	Device int       // index in Population.Devices; -1: about the tenant
	Name   string    // the device's name or token
	Owner  int32     // TwoOwners: the user of the other reading; else Nobody
	Text   lang.Text // what is contradictory and how it was read
	Other  lang.Text // what the other reading would change
}

// A DoubtKind names one kind of doubt.
type DoubtKind string

// An Assumption is something that the export cannot say, for a number of devices.
type Assumption struct {
	What    lang.Key
	Assumed lang.Text
	Devices int
}

// A Finding is a contradiction or warning about the tenant as a whole, with its rule.
type Finding struct {
	Rule    protocol.Rule
	Text    lang.Text
	Devices int // concerned; 0: none in particular
}
