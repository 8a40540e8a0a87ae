package android

import (
	"encoding/json"
	"errors"
	"fmt"

	"rollcall/protocol"
)

// Paths under the server's URL.
const (
	DiscoveryPath = "/android/v1/discovery" // GET, server TLS only
	EnrollPath    = "/android/v1/enroll"    // POST, bearer token, server TLS only
	CheckInPath   = "/android/v1/checkin"   // POST, mutual TLS
	UnenrollPath  = "/android/v1/unenroll"  // POST, mutual TLS
	ESTPath       = "/.well-known/est"      // RFC 7030
)

// ContentType is that of every body.
const ContentType = "application/json"

// A Discovery says where the server has what.
type Discovery struct {
	Protocol   int         `json:"protocol"`
	Enroll     string      `json:"enroll"` // path, as the others are
	SCEP       string      `json:"scep"`
	EST        string      `json:"est"`
	PolicyKeys []PolicyKey `json:"policyKeys"` // of orders, policies and notices

	IdentityKeys []string `json:"identityKeys"` // of the authorities that sign the devices' certificates: base64 of SubjectPublicKeyInfo, DER
}

func (d *Discovery) check() error { return checkProtocol(d.Protocol) }

// MarshalJSON writes a list that nobody made as an empty one: null is no list to a reader (schema Discovery).
func (d Discovery) MarshalJSON() ([]byte, error) {
	type plain Discovery
	if d.PolicyKeys == nil {
		d.PolicyKeys = []PolicyKey{}
	}
	if d.IdentityKeys == nil {
		d.IdentityKeys = []string{}
	}
	return json.Marshal(plain(d))
}

// A PolicyKey is a P-256 key of the server's.
type PolicyKey struct {
	KID  string `json:"kid"`
	SPKI string `json:"spki"` // base64 of the key's SubjectPublicKeyInfo, DER
}

// An EnrollRequest asks for the management of a device. Who may ask, the bearer token says.
type EnrollRequest struct {
	Protocol    int          `json:"protocol"`
	Role        Role         `json:"role"`
	Mode        Mode         `json:"mode"`
	Hardware    Hardware     `json:"hardware"`
	Software    Software     `json:"software"`
	User        *User        `json:"user,omitempty"` // none in a userless mode
	Push        *Push        `json:"push,omitempty"` // told again in the first check-in, which counts
	Attestation *Attestation `json:"attestation,omitempty"`
}

func (e *EnrollRequest) check() error {
	if err := checkProtocol(e.Protocol); err != nil {
		return err
	}
	if e.Mode.Userless() && e.User != nil {
		return in("user", fmt.Errorf("a device of mode %s has none", e.Mode))
	}
	if e.Hardware.ID() == "" {
		return in("hardware", errors.New("neither serialNumber nor enterpriseSpecificId"))
	}
	if err := e.Software.check(); err != nil {
		return in("software", err)
	}
	return e.Push.check()
}

// Hardware is what the device is.
type Hardware struct {
	Brand                string `json:"brand"`
	Model                string `json:"model"`
	SerialNumber         string `json:"serialNumber,omitempty"`         // none on a personal device since Android 12
	EnterpriseSpecificID string `json:"enterpriseSpecificId,omitempty"` // stable for a device and its enterprise
}

// ID is by what a device is known again: what is specific to device and enterprise, else brand and serial number
// (android.md, section 2.4). Empty: by nothing.
func (h *Hardware) ID() string {
	switch {
	case h.EnterpriseSpecificID != "":
		return "esid\x00" + h.EnterpriseSpecificID
	case h.SerialNumber != "":
		return h.Brand + "\x00" + h.SerialNumber
	}
	return ""
}

// Software is what runs on the device.
type Software struct {
	APILevel           int    `json:"apiLevel"`
	AndroidVersion     string `json:"androidVersion"`
	AgentVersion       string `json:"agentVersion,omitempty"`
	SecurityPatchLevel string `json:"securityPatchLevel,omitempty"`
	BuildNumber        string `json:"buildNumber,omitempty"`
}

func (s *Software) check() error {
	if s.APILevel < 1 {
		return in("apiLevel", fmt.Errorf("%d: want 1 or more", s.APILevel))
	}
	return nil
}

// A User is whose device it is.
type User struct {
	UPN string `json:"upn"`
}

// A Push is where the device is woken.
type Push struct {
	Kind string `json:"kind"` // fcm
	FID  string `json:"fid"`  // at most 4096 bytes
}

// maxFID bounds what a server keeps of a device for as long as it is enrolled, and says to FCM at each wake-up (HST-001).
const maxFID = 4096

func (p *Push) check() error {
	if p != nil && len(p.FID) > maxFID {
		return in("push.fid", fmt.Errorf("%d bytes, at most %d", len(p.FID), maxFID))
	}
	return nil
}

// An Attestation is what the device's key store says of it: certificates, base64 of DER, the leaf first.
type Attestation struct {
	Chain []string `json:"chain"`
}

// An EnrollAnswer takes the device in, up to its certificate.
type EnrollAnswer struct {
	Device      string             `json:"device"`
	Enrollment  string             `json:"enrollment"`
	Authority   protocol.Authority `json:"authority"` // who will manage it
	Epoch       uint32             `json:"epoch"`
	Certificate Offer              `json:"certificate"`
	CheckinBy   protocol.Time      `json:"checkinBy,omitzero"` // the token holds so long
}

func (e *EnrollAnswer) check() error {
	switch {
	case !ValidID(e.Device):
		return in("device", errID)
	case !ValidID(e.Enrollment):
		return in("enrollment", errID)
	}
	return nil
}

// An Offer says how to get an identity certificate.
type Offer struct {
	Method       string        `json:"method"`                 // est or scep
	URL          string        `json:"url"`                    // whole; of est, what the operations stand behind
	Challenge    string        `json:"challenge,omitempty"`    // one use; none for a renewal
	Subject      string        `json:"subject,omitempty"`      // CN=d-8f2c
	KeyAlgorithm string        `json:"keyAlgorithm,omitempty"` // EC_P256 or RSA_2048
	Expires      protocol.Time `json:"expires,omitzero"`       // of the challenge
}

// Methods and key algorithms of an [Offer].
const (
	EST     = "est"
	SCEP    = "scep"
	P256    = "EC_P256"
	RSA2048 = "RSA_2048"
)

// An UnenrollRequest says good-bye.
type UnenrollRequest struct {
	Device     string `json:"device"`
	Enrollment string `json:"enrollment"`
	Reason     string `json:"reason"` // USER_REQUEST or ORDER
}

// Reasons of an [UnenrollRequest].
const (
	UserRequest = "USER_REQUEST"
	ByOrder     = "ORDER" // the server's own
)

func (u *UnenrollRequest) check() error {
	if !ValidID(u.Device) {
		return in("device", errID)
	}
	return nil
}

// UnenrollAnswer says that the device is managed no more.
type UnenrollAnswer struct {
	Device string `json:"device"`
}

var errID = breaks("HST-050", "want 1 to 64 letters, digits, hyphens, dots or underscores")

// ValidID tells whether s may name a device, an enrolment, a check-in or a command (HST-050): it means nothing in a path, a query or a
// format.
func ValidID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && (c != '_' && c != '.' || i == 0) {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 64
}

// ErrVersion is wrapped by the error of a message of another version of the protocol.
var ErrVersion = errors.New("another version of the protocol")

func checkProtocol(v int) error {
	if v != Version {
		return in("protocol", fmt.Errorf("%w: %d, want %d", ErrVersion, v, Version))
	}
	return nil
}
