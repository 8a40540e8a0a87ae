package apple

import (
	"errors"
	"time"

	"rollcall/protocol"
)

// ProfileType is the MIME type of a profile, signed or not.
const ProfileType = "application/x-apple-aspen-config"

// ErrSigned is wrapped by [DecodeProfile]'s error when the bytes are CMS: package certs takes them out of it.
var ErrSigned = errors.New("profile is signed")

// A Profile is a configuration profile: apple-schema/mdm/profiles/TopLevel.yaml. PayloadType and
// PayloadVersion are always Configuration and 1.
type Profile struct {
	Identifier        string // PayloadIdentifier: the same identifier replaces, another one adds
	UUID              string
	DisplayName       string
	Description       string
	Organization      string
	RemovalDisallowed bool
	Scope             string    // System or User (macOS); empty: User
	RemovalDate       time.Time // zero: none
	Payloads          []Payload
	Encrypted         []byte // EncryptedPayloadContent: CMS in the place of Payloads
}

// A Payload is one dictionary of a profile: apple-schema/mdm/profiles/CommonPayloadKeys.yaml and one of MDM,
// SCEP, Certificate, Settings, by its Type.
type Payload struct {
	Type         string
	Identifier   string // unique inside the profile
	UUID         string
	DisplayName  string
	Description  string
	Organization string

	MDM         *MDM           // com.apple.mdm
	SCEP        *SCEP          // com.apple.security.scep
	Certificate []byte         // com.apple.security.root, .pkcs1: DER; .pem: PEM; .pkcs12: DER
	Settings    map[string]any // any other type: its own keys; for a .pkcs12 the keys beside the certificate
}

// The payload types that this package reads itself.
const (
	MDMPayload    = "com.apple.mdm"
	SCEPPayload   = "com.apple.security.scep"
	RootPayload   = "com.apple.security.root"
	PKCS1Payload  = "com.apple.security.pkcs1"
	PEMPayload    = "com.apple.security.pem"
	PKCS12Payload = "com.apple.security.pkcs12"
)

// MDM is the payload com.apple.mdm (apple.md section 2.2).
type MDM struct {
	IdentityCertificateUUID           string   // PayloadUUID of an identity payload of the same profile
	Topic                             string   // com.apple.mgmt...., immutable on update
	ServerURL                         string   // https, immutable on update
	CheckInURL                        string   `plist:",omitempty"` // immutable on update; empty: ServerURL
	SignMessage                       bool     `plist:",omitempty"` // adds the Mdm-Signature header
	AccessRights                      int64    `plist:",omitempty"` // bits; absent for user enrolment; an update may not add one
	UseDevelopmentAPNS                bool     `plist:",omitempty"`
	ServerCapabilities                []string `plist:",omitempty"`
	CheckOutWhenRemoved               bool     `plist:",omitempty"`
	ServerURLPinningCertificateUUIDs  []string `plist:",omitempty"`
	CheckInURLPinningCertificateUUIDs []string `plist:",omitempty"`
	PinningRevocationCheckRequired    bool     `plist:",omitempty"`
	EnrollmentMode                    string   `plist:",omitempty"` // BYOD, ADDE; immutable on update
	AssignedManagedAppleID            string   `plist:",omitempty"` // immutable on update
}

// AllRights is every bit of AccessRights.
const AllRights = 8191

// Access rights by what they permit (apple.md section 2.2).
const (
	RightInspectProfiles  = 1
	RightInstallProfiles  = 2 // needs RightInspectProfiles
	RightLock             = 4 // lock, passcode removal, restart
	RightErase            = 8
	RightDeviceInfo       = 16
	RightNetworkInfo      = 32
	RightInspectProvision = 64
	RightInstallProvision = 128 // needs RightInspectProvision
	RightInspectApps      = 256
	RightRestrictions     = 512
	RightSecurity         = 1024
	RightSettings         = 2048
	RightApps             = 4096
)

// SCEP is the dictionary under PayloadContent of com.apple.security.scep (apple.md section 2.3).
type SCEP struct {
	URL           string
	Name          string       `plist:",omitempty"` // sent as message of GetCACert
	Subject       [][][]string `plist:",omitempty"` // RDNs of [OID or short name, value] pairs
	Challenge     string       `plist:",omitempty"`
	Keysize       int64        `plist:",omitempty"` // bits; absent means 1024
	KeyType       string       `plist:"Key Type,omitempty"`
	KeyUsage      int64        `plist:"Key Usage,omitempty"`
	CAFingerprint []byte       `plist:",omitempty"` // SHA-256, SHA-1 or MD5 by its length
	Retries       int64        `plist:",omitempty"` // on PENDING; absent means 3
	RetryDelay    int64        `plist:",omitempty"` // seconds; absent means 10
}

// EncodeProfile returns p as an XML plist, unsigned.
func EncodeProfile(p *Profile) []byte { panic("soon") }

// DecodeProfile reads an unsigned profile and holds it against the required keys of apple.md section 2.1. The
// error wraps [ErrSigned] for CMS, else [protocol.ErrMalformed], and names payload and key.
func DecodeProfile(body []byte) (*Profile, error) { panic("soon") }

// Enrolment returns the MDM payload of p and the identity payload that it names. Both are nil, without error,
// when p has no MDM payload. The error names the rule of apple.md section 2.2 or 2.3 that is broken.
func (p *Profile) Enrolment() (mdm, identity *Payload, err error) { panic("soon") }

// CheckUpdate tells whether a device that is enrolled by m may take next as its update: ServerURL, CheckInURL,
// Topic, EnrollmentMode and AssignedManagedAppleID byte for byte the same, no right added (apple.md section 11).
func (m *MDM) CheckUpdate(next *MDM) error { panic("soon") }

// Family is the family of p's first payload; of a profile without payloads, Configuration.
func (p *Profile) Family() protocol.Family { panic("soon") }

// FamilyOf maps a payload type to the family that a change of authority treats it as (apple.md section 2.5).
func FamilyOf(payloadType string) protocol.Family { panic("soon") }

// NewProfile makes a small valid profile of a family, for tests and labs. UUIDs follow from identifier and
// name, so that the same arguments give the same profile and another name gives a changed document.
func NewProfile(identifier, name string, family protocol.Family) *Profile { panic("soon") }
