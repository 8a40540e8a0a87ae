package policy

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
)

// gmail is the app that mail accounts are set up in.
const gmail = "com.google.android.gm"

// translate says a profile of Apple's in a policy's settings. A payload without a counterpart is left out; a profile of which nothing is
// left is refused, since it would do nothing.
func translate(p *apple.Profile) (*Profile, error) {
	out := &Profile{Family: p.Family()}
	for i := range p.Payloads {
		l := &p.Payloads[i]
		if err := payload(&out.Settings, p.Identifier, l); err != nil {
			return nil, fmt.Errorf("payload %q: %w: %w", l.Identifier, protocol.ErrMalformed, err)
		}
	}
	if len(android.Append(nil, &out.Settings)) == len("{}") {
		return nil, fmt.Errorf("profile %q: %w", p.Identifier, ErrNoCounterpart)
	}
	return out, nil
}

// payload translates one payload into what is there already. GUIDs follow from the profile's identifier, so that compiling again makes
// the same bytes (AND-061).
func payload(to *android.Policy, identifier string, l *apple.Payload) error {
	s := settings(l.Settings)
	guid := identifier + "/" + l.Identifier
	switch l.Type {
	case "com.apple.wifi.managed":
		return wifi(to, guid, s)
	case "com.apple.vpn.managed":
		vpn(to, s)
	case "com.apple.mail.managed":
		mail(to, map[string]string{"email_address": s.text("EmailAddress"), "exchange_host": s.text("IncomingMailServerHostName"), "exchange_username": s.text("IncomingMailServerUsername")})
	case "com.apple.eas.account":
		mail(to, map[string]string{"email_address": s.text("EmailAddress"), "exchange_host": s.text("Host"), "exchange_username": s.text("UserName")})
	case apple.RootPayload, apple.PKCS1Payload, apple.PEMPayload:
		return authority(to, guid, l.Certificate)
	case apple.PKCS12Payload:
		certificate(to, android.ONCCertificate{GUID: guid, Type: "Client", PKCS12: base64.StdEncoding.EncodeToString(l.Certificate)})
	case "com.apple.mobiledevice.passwordpolicy":
		passcode(to, s)
	case "com.apple.applicationaccess":
		if !s.flag("allowCamera", true) {
			to.CameraAccess = "CAMERA_ACCESS_DISABLED"
		}
	}
	return nil
}

// settings are a payload's own keys.
type settings map[string]any

func (s settings) text(key string) string { t, _ := s[key].(string); return t }

func (s settings) flag(key string, unless bool) bool {
	if b, ok := s[key].(bool); ok {
		return b
	}
	return unless
}

func (s settings) number(key string) int {
	switch n := s[key].(type) {
	case int64:
		return int(max(0, min(n, 1<<16)))
	case uint64:
		return int(min(n, 1<<16))
	}
	return 0
}

func network(to *android.Policy) *android.ONC {
	if to.OpenNetworkConfiguration == nil {
		to.OpenNetworkConfiguration = &android.ONC{}
	}
	return to.OpenNetworkConfiguration
}

func wifi(to *android.Policy, guid string, s settings) error {
	ssid := s.text("SSID_STR")
	if ssid == "" || len(ssid) > 32 {
		return fmt.Errorf("SSID_STR has not 1 to 32 bytes")
	}
	if s["EAPClientConfiguration"] != nil { // an enterprise network wants a server's authority and domain, which Apple's profile need not name
		return nil
	}
	w := &android.WiFi{SSID: ssid, HiddenSSID: s.flag("HIDDEN_NETWORK", false), AutoConnect: s.flag("AutoJoin", true), Security: "WPA-PSK", Passphrase: s.text("Password")}
	switch s.text("EncryptionType") {
	case "None":
		w.Security = "None"
	case "WEP":
		w.Security = "WEP-PSK"
	}
	net := network(to)
	net.NetworkConfigurations = append(net.NetworkConfigurations, android.NetworkConfiguration{GUID: guid, Name: ssid, Type: "WiFi", WiFi: w})
	return nil
}

// vpn is the app that makes the connection: there is no other VPN in a policy.
func vpn(to *android.Policy, s settings) {
	app := s.text("VPNSubType")
	if app == "" {
		return
	}
	to.Applications = append(to.Applications, android.Application{
		PackageName: app, InstallType: "FORCE_INSTALLED", ManagedConfiguration: object(map[string]string{"name": s.text("UserDefinedName")}),
	})
	to.AlwaysOnVPNPackage = &android.AlwaysOnVPNPackage{PackageName: app}
}

func mail(to *android.Policy, keys map[string]string) {
	to.Applications = append(to.Applications, android.Application{PackageName: gmail, InstallType: "FORCE_INSTALLED", ManagedConfiguration: object(keys)})
}

// object is a managed configuration of texts; empty ones are left out.
func object(keys map[string]string) android.Raw {
	for k, v := range keys {
		if v == "" {
			delete(keys, k)
		}
	}
	b, err := json.Marshal(keys) // its keys are sorted
	if err != nil {
		panic(err) // texts can be written
	}
	return b
}

func authority(to *android.Policy, guid string, der []byte) error {
	if block, _ := pem.Decode(der); block != nil {
		der = block.Bytes
	}
	if _, err := x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	certificate(to, android.ONCCertificate{GUID: guid, Type: "Authority", X509: base64.StdEncoding.EncodeToString(der)})
	return nil
}

func certificate(to *android.Policy, c android.ONCCertificate) {
	net := network(to)
	net.Certificates = append(net.Certificates, c)
}

func passcode(to *android.Policy, s settings) {
	if !s.flag("forcePIN", true) {
		return
	}
	p := android.PasswordPolicy{PasswordScope: "SCOPE_DEVICE", PasswordQuality: "NUMERIC", PasswordMinimumLength: s.number("minLength"), MaximumFailed: s.number("maxFailedAttempts")}
	if s.flag("requireAlphanumeric", false) {
		p.PasswordQuality = "ALPHANUMERIC"
	}
	to.PasswordPolicies = append(to.PasswordPolicies, p)
}
