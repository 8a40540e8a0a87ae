package apple

// The codes of a 403 body that change what a device does (apple-schema/mdm/errors).
const (
	UnrecognizedDevice     = "com.apple.unrecognized.device"     // the device unenrols; only ever by an administrator's order
	SoftwareUpdateRequired = "com.apple.softwareupdate.required" // update, then ask for the profile again
)

// A Forbidden is the body of a 403. Its Content-Type must say which of the two forms it has.
type Forbidden struct {
	Code        string            `json:"code" plist:"code"`
	Description string            `json:"description,omitempty" plist:"description,omitempty"` // for the device's log
	Message     string            `json:"message,omitempty" plist:"message,omitempty"`         // for the user
	Details     *ForbiddenDetails `json:"details,omitempty" plist:"details,omitempty"`
}

// ForbiddenDetails say more about SoftwareUpdateRequired.
type ForbiddenDetails struct {
	OSVersion    string `json:"OSVersion" plist:"OSVersion"`
	BuildVersion string `json:"BuildVersion,omitempty" plist:"BuildVersion,omitempty"`
}

// JSON returns f for Content-Type application/json.
func (f *Forbidden) JSON() []byte { panic("soon") }

// Plist returns f for Content-Type application/xml.
func (f *Forbidden) Plist() []byte { panic("soon") }

// DecodeForbidden reads the body of a 403 by its Content-Type. Any other type, and a body without a code, is
// an error that wraps [protocol.ErrMalformed]: such a 403 means nothing but a failed request.
func DecodeForbidden(contentType string, body []byte) (*Forbidden, error) { panic("soon") }
