package apple

import (
	"errors"
	"fmt"
	"mime"

	"rollcall/protocol"
)

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
func (f *Forbidden) JSON() []byte { return encodeJSON(f) }

// Plist returns f for Content-Type application/xml.
func (f *Forbidden) Plist() []byte { return encodePlist(f) }

// DecodeForbidden reads the body of a 403 by its Content-Type. Any other type, and a body without a code, is
// an error that wraps [protocol.ErrMalformed]: such a 403 means nothing but a failed request.
func DecodeForbidden(contentType string, body []byte) (*Forbidden, error) {
	f := new(Forbidden)
	kind, _, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && kind == "application/json":
		var object map[string]any
		if object, err = decodeJSON(body); err == nil {
			err = f.from(object)
		}
	case err == nil && (kind == "application/xml" || kind == "text/xml"):
		err = decodePlist(body, maxJSON, f)
	default:
		err = fmt.Errorf("%w: Content-Type %.64q", protocol.ErrMalformed, contentType)
	}
	if err == nil && f.Code == "" {
		err = fmt.Errorf("%w: no code", protocol.ErrMalformed)
	}
	if err != nil {
		return nil, fmt.Errorf("403: %w", err)
	}
	return f, nil
}

// from takes over a JSON object; other keys than ours are ignored.
func (f *Forbidden) from(object map[string]any) error {
	set := func(to *string, object map[string]any, key string) error {
		v, there := object[key]
		text, ok := v.(string)
		if there && !ok {
			return fmt.Errorf("%w: %s is no text", protocol.ErrMalformed, key)
		}
		*to = text
		return nil
	}
	err := errors.Join(set(&f.Code, object, "code"), set(&f.Description, object, "description"), set(&f.Message, object, "message"))
	if v, there := object["details"]; there {
		details, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%w: details is no object", protocol.ErrMalformed)
		}
		f.Details = new(ForbiddenDetails)
		err = errors.Join(err, set(&f.Details.OSVersion, details, "OSVersion"), set(&f.Details.BuildVersion, details, "BuildVersion"))
	}
	return err
}
