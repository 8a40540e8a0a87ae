package delivery

import (
	"fmt"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// A World is what decisions may read of the tenant: one immutable snapshot, replaced as a whole when an
// administrator changes something.
type World struct {
	Tenant   authority.Tenant
	Settings Settings
	Gap      protocol.Time // since when Apple devices wait for a renewed push certificate (AUTH-30); 0: they do not
	Wakes    Campaign
	Restored Restoration
	Doubt    bool      // the clock was set and nobody has confirmed it: nothing goes by time (HST-110)
	Licensed bool      // licences are known: see WhereKnown
	Users    []User    // by UserID; [0] is unused
	Sets     []Set     // by User.Set; [0] is the empty set of the userless
	Profiles []Profile // by protocol.Profile; [0] is unused
	Push     PushSlot
	Missing  Consents
}

// Consents are Graph's ids of the data-sharing consents that are needed and not granted (AUTH-05). Empty: nothing is missing.
type Consents struct {
	Push      string // for Apple devices
	Automated string // for Apple devices of Automated Device Enrolment
	Android   string // for Android's Management API, and with it work profiles
}

// of returns what is missing for a device that wants to enrol.
func (c *Consents) of(d authority.Device, automated bool) string {
	switch {
	case d.AndroidAPI:
		return c.Android
	case !d.Platform.Apple():
		return ""
	case automated && c.Automated != "":
		return c.Automated
	}
	return c.Push
}

// Settings are the times that the rules call settings. Zero means the default that is named.
type Settings struct {
	Lifetime time.Duration // of an identity; 365 days (AUTH-40)
	Window   time.Duration // before its end in which it renews; 42 days (AUTH-41)
	Renew    time.Duration // between two tries to renew; 7 days

	Attempts [3]time.Duration          // further wake-ups of a change, after the first; 15 min, 1 h, 4 h (AUTH-20)
	Gap      authority.GapSettings     // whom the gap of AUTH-30 holds
	Leaving  authority.LeavingSettings // what becomes of configuration that is unassigned (AUTH-55)

	Validity time.Duration // of a report of compliance; 30 days (AUTH-49)
	Lag      time.Duration // of the console's figures after a change; 7 days (AUTH-29)
	Silent   time.Duration // records silent for so long are deleted; none are (AUTH-48)

	Old          time.Duration // profiles of the authority before stay so long after a change that comes; 7 days (AUTH-27)
	Records      time.Duration // outlive their identity so long; 180 days (AUTH-43)
	PushGrace    time.Duration // in which a push certificate that has ended can be renewed; 30 days (AUTH-33)
	PushWarnings []int         // days before its end at which it is warned of, falling; 30, 14, 7, 1 (AUTH-33)

	Cadence time.Duration // between two wake-ups that the schedule has for an Apple device; 8 h (Schedules, AUTH-21)
	Counted time.Duration // a device in contact within it counts against the limit of its user; 90 days (AUTH-47)
	Reach   time.Duration // after which a device that has not heard of a wipe or retire is woken for it again; 15 min (AUTH-53)

	UnitsKnown     bool // the tenant's licences are known: enrolment asks for them (AUTH-09, AUTH-47)
	Units          int  // licences that entitle Intune, owned
	DeviceLicences bool // there are device licences for userless devices
	DeviceLimit    int  // devices a user may have under Intune; 15 (AUTH-47)

	Licences  LicenceGate        // whether enrolment asks for the user's licence (AUTH-47)
	Workloads authority.Deciders // of co-managed clients (AUTH-51)
	Pilots    string             // group of the users whose clients are in the pilot; empty: there is none
	Blast     int                // devices that wipes, deletions and changes may touch in an hour; 1000; negative: any number (HST-071)

	UnlicensedAdmins bool // an administrator need hold no Intune licence (AUTH-08)
}

// A LicenceGate says whether an enrolment asks for the user's licence (AUTH-47).
type LicenceGate uint8

// The gates. By default it does where licences are known: the tenant's units are, or any user holds one.
const (
	WhereKnown LicenceGate = iota
	Always
	NeverAsked
)

var licenceGateNames = [...]string{"where-known", "always", "never"}

func (g LicenceGate) String() string               { return licenceGateNames[g%LicenceGate(len(licenceGateNames))] }
func (g LicenceGate) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText takes the names that String gives.
func (g *LicenceGate) UnmarshalText(b []byte) error {
	for i, name := range licenceGateNames {
		if name == string(b) {
			*g = LicenceGate(i)
			return nil
		}
	}
	return fmt.Errorf("licence gate %q: want one of %s", b, strings.Join(licenceGateNames[:], ", "))
}

// A User is what decisions need of one user.
type User struct {
	authority.User
	Pilot bool      // in the group of Settings.Pilots
	Sets  [4]uint32 // what the devices should have, by whose profiles those are: indices into World.Sets
}

// A Set is the profiles that some users should have.
type Set struct {
	Version  uint32             // changes whenever Profiles does; never 0 for a set with profiles
	Profiles []protocol.Profile // ascending

	Access, Outside uint32 // parts of it, as indices into World.Sets: without configuration; without any family (AUTH-51)

	Mixed     bool   // it has documents for devices of one platform alone
	Elsewhere uint32 // of such a set, the part for all devices
	OnWindows uint32 // and the part for Windows devices
	OnAndroid uint32 // and for Android devices
}

// A Profile is one document of the catalogue.
type Profile struct {
	Name       string
	Family     protocol.Family
	Authority  protocol.Authority // whose it is: Intune, SCCM (Intune's in a co-managed tenant) or Office365
	Identifier string             // what the device knows it by; the same in all versions of a name
	Payload    []byte             // as it is sent
	Windows    bool               // a document for Windows devices alone
	Android    bool               // a document for Android devices alone
	UserScope  bool               // a Windows device takes it only while its user is signed in
}

// A PushSlot is the state of the place for the authority's push certificate.
type PushSlot struct {
	Topic     string        // empty: no certificate yet
	NotAfter  protocol.Time // of the certificate
	Suspended bool          // the push service refused the certificate: wake-ups are held (APL-102)
}

// Usable tells whether wake-ups can go out at now.
func (p *PushSlot) Usable(now protocol.Time) bool {
	return p.Topic != "" && !p.Suspended && now < p.NotAfter
}

// Enrolment is what the gates of AUTH-47 know of a device that wants to enrol at now. Automated: by Apple's enrolment service.
func (w *World) Enrolment(now protocol.Time, d authority.Device, automated bool) authority.Enrolment {
	set := &w.Settings
	e := authority.Enrolment{
		Device: d, ConsentMissing: w.Missing.of(d, automated), Gap: set.Gap, RetryAfter: gapAgain,
		Licences: set.Licences == Always || set.Licences == WhereKnown && w.Licensed, Limit: set.DeviceLimit,
		DeviceLicence: set.DeviceLicences || set.Licences != Always && !set.UnitsKnown, // of those nobody says by default how many there are
	}
	switch {
	case w.InGap(d.Platform):
		e.Push = authority.PushGap
	case !w.Push.Usable(now):
		e.Push = authority.PushEnded
	}
	return e
}
