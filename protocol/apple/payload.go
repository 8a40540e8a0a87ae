package apple

import (
	"fmt"
	"maps"
)

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

// The bits of AccessRights by what they permit (apple.md section 2.2).
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
	AllRights             = 8191
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

	SubjectAltName map[string]any `plist:",omitempty"` // rfc822Name, dNSName, uniformResourceIdentifier, ntPrincipalName: a string or []any of strings
}

// header are the keys that every payload has.
type header struct {
	PayloadType         string
	PayloadVersion      int64
	PayloadIdentifier   string
	PayloadUUID         string
	PayloadDisplayName  string `plist:",omitempty"`
	PayloadDescription  string `plist:",omitempty"`
	PayloadOrganization string `plist:",omitempty"`
}

var headerKeys = [...]string{
	"PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName", "PayloadDescription",
	"PayloadOrganization",
}

// content is the key under which certificates and SCEP settings stand.
const content = "PayloadContent"

// A payloadDict is a Payload as the library reads and writes it.
type payloadDict Payload

// MarshalPlist implements the library's Marshaler.
func (p payloadDict) MarshalPlist() (any, error) {
	h := header{p.Type, 1, p.Identifier, p.UUID, p.DisplayName, p.Description, p.Organization}
	if p.MDM != nil {
		return struct {
			header
			MDM
		}{h, *p.MDM}, nil
	}
	d := map[string]any{}
	maps.Copy(d, p.Settings)
	for i, v := range [...]string{h.PayloadType, "", h.PayloadIdentifier, h.PayloadUUID, h.PayloadDisplayName, h.PayloadDescription, h.PayloadOrganization} {
		if v != "" {
			d[headerKeys[i]] = v
		}
	}
	d["PayloadVersion"] = h.PayloadVersion
	switch {
	case p.SCEP != nil:
		d[content] = *p.SCEP
	case len(p.Certificate) > 0:
		d[content] = p.Certificate
	}
	return d, nil
}

// UnmarshalPlist implements the library's Unmarshaler. A required key that is missing is an error.
func (p *payloadDict) UnmarshalPlist(read func(any) error) error {
	var h header
	if err := read(&h); err != nil {
		return err
	}
	*p = payloadDict{
		Type: h.PayloadType, Identifier: h.PayloadIdentifier, UUID: h.PayloadUUID,
		DisplayName: h.PayloadDisplayName, Description: h.PayloadDescription, Organization: h.PayloadOrganization,
	}
	wrong := func(what string) error { return fmt.Errorf("payload %q: %s", h.PayloadIdentifier, what) }
	switch {
	case h.PayloadIdentifier == "":
		return wrong("no PayloadIdentifier")
	case h.PayloadType == "":
		return wrong("no PayloadType")
	case h.PayloadVersion != 1:
		return wrong("PayloadVersion is not 1")
	case h.PayloadUUID == "":
		return wrong("no PayloadUUID")
	}
	switch p.Type {
	case MDMPayload:
		p.MDM = new(MDM)
		return read(p.MDM)
	case SCEPPayload:
		var v struct{ PayloadContent *SCEP }
		if err := read(&v); err != nil {
			return err
		}
		if p.SCEP = v.PayloadContent; p.SCEP == nil {
			return wrong("no PayloadContent")
		}
		return nil
	case RootPayload, PKCS1Payload, PEMPayload, PKCS12Payload:
		var v struct{ PayloadContent []byte }
		if err := read(&v); err != nil {
			return err
		}
		if p.Certificate = v.PayloadContent; len(p.Certificate) == 0 {
			return wrong("no PayloadContent")
		}
	}
	d := map[string]any{}
	if err := read(&d); err != nil {
		return err
	}
	for _, key := range headerKeys {
		delete(d, key)
	}
	if p.Certificate != nil {
		delete(d, content)
	}
	if len(d) > 0 {
		p.Settings = d
	}
	return nil
}
