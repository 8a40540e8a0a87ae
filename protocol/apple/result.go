package apple

import "bytes"

// A Result is what a command brought back beside its status: the response keys of apple-schema/mdm/commands.
// Only the keys of the command that was asked are set; an empty list that is not nil is a key of its own.
type Result struct {
	QueryResponses           map[string]any // DeviceInformation: string, bool, int64 (uint64 as decoded), float64, []any, map[string]any, []byte
	SecurityInfo             *SecurityStatus
	ProfileList              []ProfileListItem
	CertificateList          []CertificateItem
	InstalledApplicationList []ApplicationItem
	MessageResult            string // DeviceLock: Success, DeviceInLostMode, NoPasscodeSet, Unknown
}

// SecurityStatus is the dictionary SecurityInfo. A nil field is a key that this device does not have.
type SecurityStatus struct {
	HardwareEncryptionCaps                 *int64            `plist:",omitempty"` // iOS: 1 block, 2 file, 3 both
	PasscodePresent                        *bool             `plist:",omitempty"` // iOS
	PasscodeCompliant                      *bool             `plist:",omitempty"` // iOS
	PasscodeCompliantWithProfiles          *bool             `plist:",omitempty"` // iOS
	FDEEnabled                             *bool             `plist:"FDE_Enabled,omitempty"`
	SystemIntegrityProtectionEnabled       *bool             `plist:",omitempty"`
	BootstrapTokenAllowedForAuthentication string            `plist:",omitempty"` // macOS: allowed, disallowed, not supported
	ManagementStatus                       *ManagementStatus `plist:",omitempty"`
}

// ManagementStatus says how the device is managed.
type ManagementStatus struct {
	EnrolledViaDEP             *bool `plist:",omitempty"`
	UserApprovedEnrollment     *bool `plist:",omitempty"`
	IsUserEnrollment           *bool `plist:",omitempty"`
	IsActivationLockManageable *bool `plist:",omitempty"`
}

// A ProfileListItem is one installed profile.
type ProfileListItem struct {
	PayloadUUID              string
	PayloadIdentifier        string
	PayloadVersion           int64
	PayloadDisplayName       string               `plist:",omitempty"`
	PayloadOrganization      string               `plist:",omitempty"`
	PayloadDescription       string               `plist:",omitempty"`
	PayloadRemovalDisallowed bool                 `plist:",omitempty"`
	HasRemovalPasscode       bool                 `plist:",omitempty"`
	IsEncrypted              bool                 `plist:",omitempty"`
	IsManaged                bool                 `plist:",omitempty"`
	SignerCertificates       [][]byte             `plist:",omitempty"` // DER
	PayloadContent           []ProfileListPayload `plist:",omitempty"`
}

// A ProfileListPayload is one payload of an installed profile.
type ProfileListPayload struct {
	PayloadType         string
	PayloadVersion      int64
	PayloadIdentifier   string
	PayloadUUID         string
	PayloadDisplayName  string `plist:",omitempty"`
	PayloadDescription  string `plist:",omitempty"`
	PayloadOrganization string `plist:",omitempty"`
}

// A CertificateItem is one installed certificate.
type CertificateItem struct {
	CommonName string
	IsIdentity bool
	Data       []byte // DER
}

// An ApplicationItem is one installed application; the keys are those that rollcall's devices fill in.
type ApplicationItem struct {
	Identifier   string `plist:",omitempty"` // may be absent on macOS
	Name         string `plist:",omitempty"`
	Version      string `plist:",omitempty"`
	ShortVersion string `plist:",omitempty"`
	BundleSize   int64  `plist:",omitempty"` // bytes
	DynamicSize  int64  `plist:",omitempty"` // bytes
	Installing   bool   `plist:",omitempty"`
	IsValidated  bool   `plist:",omitempty"`
}

// EncodeResult appends the report m together with what the command brought back: one XML property list.
func EncodeResult(dst []byte, m *Message, r *Result) []byte {
	w := writer{dst}
	w.begin()
	m.write(&w)
	keys := bytes.TrimPrefix(encodePlist(r.keys()), []byte(head+"<dict>"))
	w.b = append(w.b, keys...) // and the two closing tags
	return w.b
}

// keys are those of r that are there. The library's omitempty would leave out an empty list, which is an answer.
func (r *Result) keys() map[string]any {
	keys := map[string]any{}
	if r.QueryResponses != nil {
		keys["QueryResponses"] = r.QueryResponses
	}
	if r.SecurityInfo != nil {
		keys["SecurityInfo"] = *r.SecurityInfo
	}
	if r.ProfileList != nil {
		keys["ProfileList"] = r.ProfileList
	}
	if r.CertificateList != nil {
		keys["CertificateList"] = r.CertificateList
	}
	if r.InstalledApplicationList != nil {
		keys["InstalledApplicationList"] = r.InstalledApplicationList
	}
	if r.MessageResult != "" {
		keys["MessageResult"] = r.MessageResult
	}
	return keys
}

// DecodeResult reads what a report brings back beside its status; [DecodeMessage] reads the report itself from
// the same bytes. The error wraps [protocol.ErrMalformed].
func DecodeResult(body []byte) (*Result, error) {
	r := new(Result)
	if err := decodePlist(body, MaxMessage, r); err != nil {
		return nil, err
	}
	return r, nil
}
