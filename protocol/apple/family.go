package apple

import (
	"encoding/base64"

	"github.com/google/uuid"

	"rollcall/protocol"
)

const acmePayload = "com.apple.security.acme"

// FamilyOf maps a payload type to the family that a change of authority treats it as (apple.md section 2.5).
func FamilyOf(payloadType string) protocol.Family {
	switch payloadType {
	case "com.apple.mail.managed", "com.apple.eas.account", "com.apple.ews.account":
		return protocol.Email
	case "com.apple.vpn.managed", "com.apple.vpn.managed.applayer":
		return protocol.VPN
	case RootPayload, PKCS1Payload, PEMPayload, PKCS12Payload, SCEPPayload, acmePayload:
		return protocol.Certificate
	case "com.apple.wifi.managed":
		return protocol.WiFi
	}
	return protocol.Configuration
}

// Family is the family of p's first payload; of a profile without payloads, Configuration.
func (p *Profile) Family() protocol.Family {
	if len(p.Payloads) == 0 {
		return protocol.Configuration
	}
	return FamilyOf(p.Payloads[0].Type)
}

// NewProfile makes a small valid profile of a family, for tests and labs. UUIDs follow from identifier and
// name, so that the same arguments give the same profile and another name gives a changed document.
func NewProfile(identifier, name string, family protocol.Family) *Profile {
	payload := Payload{Identifier: identifier + ".payload", UUID: derivedUUID(identifier, name, "payload"), DisplayName: name}
	switch family {
	case protocol.Email:
		payload.Type = "com.apple.mail.managed"
		payload.Settings = map[string]any{
			"EmailAccountType":                 "EmailTypeIMAP",
			"IncomingMailServerAuthentication": "EmailAuthPassword",
			"IncomingMailServerHostName":       "imap.example.com",
			"OutgoingMailServerAuthentication": "EmailAuthPassword",
			"OutgoingMailServerHostName":       "smtp.example.com",
		}
	case protocol.VPN:
		payload.Type = "com.apple.vpn.managed"
		payload.Settings = map[string]any{
			"UserDefinedName": name,
			"VPNType":         "VPN",
			"VPNSubType":      "com.example.vpn",
			"VPN":             map[string]any{"AuthenticationMethod": "Password"},
		}
	case protocol.Certificate:
		payload.Type = RootPayload
		payload.Certificate, _ = base64.StdEncoding.DecodeString(sampleRoot)
	case protocol.WiFi:
		payload.Type = "com.apple.wifi.managed"
		payload.Settings = map[string]any{"SSID_STR": name, "EncryptionType": "WPA2", "AutoJoin": true}
	default:
		payload.Type = "com.apple.mobiledevice.passwordpolicy"
		payload.Settings = map[string]any{"forcePIN": true, "minLength": int64(6)}
	}
	return &Profile{
		Identifier: identifier, UUID: derivedUUID(identifier, name, "profile"), DisplayName: name, Payloads: []Payload{payload},
	}
}

func derivedUUID(identifier, name, part string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(identifier+"\x00"+name+"\x00"+part)).String()
}

// sampleRoot is a self-signed certificate whose key nobody has, base64 of DER.
const sampleRoot = "" +
	"MIIBcTCCARegAwIBAgIBATAKBggqhkjOPQQDAjAfMR0wGwYDVQQDExRyb2xsY2FsbCBzYW1wbGUgcm9vdDAgFw0yMDAxMDEwMDAw" +
	"MDBaGA8yMTE5MTIzMTIzNTk1OVowHzEdMBsGA1UEAxMUcm9sbGNhbGwgc2FtcGxlIHJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMB" +
	"BwNCAAT30PfO4SBUSejfLDnjkBBsSe5KS7/8bLoBtw0E+1uMd6z6lTqrAR4qRfaFqjDdbftYngG9CYl+RLOyGO7c/qNso0IwQDAO" +
	"BgNVHQ8BAf8EBAMCAgQwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUlPAAYXDCUb9IIg44cAZuBnb3QFIwCgYIKoZIzj0EAwID" +
	"SAAwRQIhAOIl2icu4T9raBm2XKrSWJoToPU9DYMhpp7D1wwXF7XXAiAGGZtzC9a5eQ+96f7+opNzRn2suQ3RBMS8k9gpNgehDQ=="
