package policy

import (
	"bytes"
	"errors"
	"fmt"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
)

// ErrNoCounterpart is wrapped by [Read]'s error for a document of which nothing has a counterpart on Android.
var ErrNoCounterpart = errors.New("nothing of it has a counterpart on Android")

// A Profile is a document as part of a policy.
type Profile struct {
	Family   protocol.Family
	Settings android.Policy
}

// IsDocument tells whether a profile's payload is a policy, for Android alone, by its beginning.
func IsDocument(payload []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("{"))
}

// Identifier returns the identifier of a policy called name: the document itself has none.
func Identifier(name string) string { return "android." + name }

// Read reads a document as it was uploaded: a policy (see [IsDocument]), or a profile of Apple's, signed or not. The error says which
// member or key of it is wrong, and wraps [protocol.ErrMalformed] or [ErrNoCounterpart].
func Read(document []byte) (*Profile, error) {
	if IsDocument(document) {
		return readPolicy(document)
	}
	p, err := apple.OpenProfile(document, certs.Content)
	if err != nil {
		return nil, err
	}
	return translate(p)
}

// readPolicy reads a policy to the last member: an unknown word is a mistake, and so is what no Android could keep to (HST-014).
func readPolicy(document []byte) (*Profile, error) {
	var p android.Policy
	if err := android.DecodeKnown(document, &p); err != nil {
		return nil, err
	}
	if p.StatusReportingSettings != nil {
		return nil, fmt.Errorf("%w: statusReportingSettings: the server's own", protocol.ErrMalformed)
	}
	if err := possible(&p); err != nil {
		return nil, err
	}
	out := &Profile{Family: familyOf(&p), Settings: p}
	if len(android.Append(nil, &p)) == len("{}") {
		return nil, fmt.Errorf("policy: %w", ErrNoCounterpart)
	}
	return out, nil
}

// familyOf is the family of a policy's first settings.
func familyOf(p *android.Policy) protocol.Family {
	net := p.OpenNetworkConfiguration
	switch {
	case net != nil && len(net.NetworkConfigurations) > 0:
		return protocol.WiFi
	case p.AlwaysOnVPNPackage != nil:
		return protocol.VPN
	case net != nil && len(net.Certificates) > 0, len(p.ChoosePrivateKeyRules) > 0:
		return protocol.Certificate
	}
	for i := range p.Applications {
		if bytes.Contains(p.Applications[i].ManagedConfiguration, []byte(`"email_address"`)) {
			return protocol.Email
		}
	}
	return protocol.Configuration
}
