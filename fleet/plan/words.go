package plan

import (
	"fmt"
	"strings"

	"rollcall/protocol"
)

// A Gate is whether something is let in.
type Gate uint8

// The gates.
const (
	Accept Gate = iota + 1
	Refuse
)

var gateNames = []string{"", "accept", "refuse"}

func (g Gate) String() string { return gateNames[g] }

// MarshalText gives what String gives.
func (g Gate) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText takes accept and refuse.
func (g *Gate) UnmarshalText(b []byte) error { return word((*uint8)(g), gateNames, b) }

// A Decider is who decides a workload of co-managed PCs (AUTH-51).
type Decider uint8

// The deciders. The zero value is ByConfigMgr too.
const (
	ByConfigMgr Decider = iota + 1
	ByPilot             // Intune for those of the pilot
	ByIntune
)

var deciderNames = []string{"", "configmgr", "pilot", "intune"}

func (d Decider) String() string { return deciderNames[d] }

// MarshalText gives what String gives.
func (d Decider) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText takes configmgr, pilot and intune.
func (d *Decider) UnmarshalText(b []byte) error { return word((*uint8)(d), deciderNames, b) }

// A Trouble is how the server fails.
type Trouble uint8

// The troubles: no answer at all, or 503 as answer.
const (
	Down Trouble = iota + 1
	Busy
)

var troubleNames = []string{"", "down", "busy"}

func (t Trouble) String() string { return troubleNames[t] }

// MarshalText gives what String gives.
func (t Trouble) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText takes down and busy.
func (t *Trouble) UnmarshalText(b []byte) error { return word((*uint8)(t), troubleNames, b) }

// An Outage is how the push service fails.
type Outage uint8

// The outages: each device's latest push comes when the service is up again, or no push comes at all.
const (
	PushDown Outage = iota + 1
	PushLost
)

var outageNames = []string{"", "down", "lost"}

func (o Outage) String() string { return outageNames[o] }

// MarshalText gives what String gives.
func (o Outage) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText takes down and lost.
func (o *Outage) UnmarshalText(b []byte) error { return word((*uint8)(o), outageNames, b) }

// A Certificate is which push certificate is uploaded.
type Certificate uint8

// Renewed is a certificate of the same topic for another year, OtherTopic one that no enrolled device knows. The others are
// refused, as NotNewer and Expired by AUTH-34 and OtherAppleID, which nobody confirms, by AUTH-32.
const (
	Renewed Certificate = iota + 1
	OtherTopic
	NotNewer
	Expired
	OtherAppleID
)

var certificateNames = []string{"", "renewed", "other-topic", "not-newer", "expired", "other-apple-id"}

// Refused tells whether no server takes c.
func (c Certificate) Refused() bool { return c >= NotNewer }

func (c Certificate) String() string { return certificateNames[c] }

// MarshalText gives what String gives.
func (c Certificate) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText takes the names that String gives.
func (c *Certificate) UnmarshalText(b []byte) error { return word((*uint8)(c), certificateNames, b) }

// A Regime is what the authority of a tenant can be set to: an authority, or coexistence.
type Regime uint8

// The regimes. Unset is the authority unknown, which no tenant goes back to.
const (
	unset Regime = iota + 1
	intune
	sccm
	office365
	coexistence
)

var regimeNames = []string{"", "unknown", "intune", "sccm", "office365", "coexistence"}

func (r Regime) String() string { return regimeNames[r] }

// Authority returns the authority, and whether Intune was added beside it.
func (r Regime) Authority() (a protocol.Authority, added bool) {
	if r == coexistence {
		return protocol.Office365, true
	}
	return protocol.Authority(r - unset), false
}

// MarshalText gives what String gives.
func (r Regime) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText takes the names that String gives.
func (r *Regime) UnmarshalText(b []byte) error { return word((*uint8)(r), regimeNames, b) }

// slot returns whose push certificate and profiles are in use.
func (r Regime) slot() protocol.Authority {
	if r == coexistence {
		return protocol.Intune
	}
	a, _ := r.Authority()
	return a
}

// A Licence is what a user can be given: BasicLicence is one that BMS serves, IntuneLicence one that entitles Intune.
type Licence uint8

// The licences.
const (
	BasicLicence Licence = iota + 1
	IntuneLicence
)

var licenceNames = []string{"", "basic", "intune"}

func (l Licence) String() string { return licenceNames[l] }

// MarshalText gives what String gives.
func (l Licence) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText takes basic and intune.
func (l *Licence) UnmarshalText(b []byte) error { return word((*uint8)(l), licenceNames, b) }

// A [Target] of a [Licensing] names users by their licences with one of these, beside all, the platforms of their devices, and the groups.
const (
	NoLicence  = "none"   // neither
	OnlyBasic  = "basic"  // one that BMS serves, and none that entitles Intune
	WithIntune = "intune" // one that entitles Intune
)

// A Consent is a data-sharing consent (AUTH-05).
type Consent uint8

// The consents, by what needs them.
const (
	ApplePush Consent = iota + 1
	AndroidEnterprise
	AutomatedEnrolment
	SchoolManager
	VolumePurchase
)

// Consents lists them.
var Consents = [...]Consent{ApplePush, AndroidEnterprise, AutomatedEnrolment, SchoolManager, VolumePurchase}

// Graph's ids, and where it has none rollcall's (graph.md).
var consentNames = []string{"", "appleMDMPushCertificate", "androidManagedStore", "appleDeviceEnrollment", "appleSchoolManager", "appleVolumePurchase"}

func (c Consent) String() string { return consentNames[c] }

// MarshalText gives what String gives.
func (c Consent) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText takes the ids that String gives.
func (c *Consent) UnmarshalText(b []byte) error { return word((*uint8)(c), consentNames, b) }

func word(v *uint8, names []string, b []byte) error {
	for i, n := range names[1:] {
		if n == string(b) {
			*v = uint8(i + 1)
			return nil
		}
	}
	return fmt.Errorf("want one of %s", strings.Join(names[1:], ", "))
}
