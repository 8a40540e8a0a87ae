package apple

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/protocol"
)

func TestAPL001EnrolmentProfile(t *testing.T) {
	if err := enrolment().CheckEnrolment(topic); err != nil {
		t.Errorf("a complete profile: %v", err)
	}
	for _, tt := range []struct {
		name   string
		change func(p *Profile)
		want   string
	}{
		{"other topic", func(p *Profile) { p.Payloads[2].MDM.Topic += "x" }, "Topic"},
		{"no MDM", func(p *Profile) { p.Payloads = p.Payloads[:2] }, "no MDM payload"},
		{"short key", func(p *Profile) { p.Payloads[1].SCEP.Keysize = 1024 }, "Keysize"},
		{"default key", func(p *Profile) { p.Payloads[1].SCEP.Keysize = 0 }, "Keysize"},
		{"Wi-Fi on board", func(p *Profile) {
			p.Payloads = append(p.Payloads, NewProfile("x", "x", protocol.WiFi).Payloads...)
		}, "com.apple.wifi.managed"},
	} {
		p := enrolment()
		tt.change(p)
		if err := p.CheckEnrolment(topic); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "APL-001") {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

// TestAPL003Identity and APL-004: what a device refuses in an MDM payload.
func TestAPL003Identity(t *testing.T) {
	mdm, identity, err := enrolment().Enrolment()
	if err != nil || mdm == nil || mdm.Type != MDMPayload || identity == nil || identity.Type != SCEPPayload {
		t.Errorf("Enrolment() = %v, %v, %v", mdm, identity, err)
	}
	if mdm, identity, err := NewProfile("x", "x", protocol.WiFi).Enrolment(); mdm != nil || identity != nil || err != nil {
		t.Errorf("Enrolment() of a Wi-Fi profile = %v, %v, %v; want nothing", mdm, identity, err)
	}
	other := enrolment()
	other.Payloads[1] = Payload{Type: PKCS12Payload, Identifier: "p12", UUID: other.Payloads[1].UUID, Certificate: []byte{0x30}}
	if _, identity, err := other.Enrolment(); err != nil || identity.Type != PKCS12Payload {
		t.Errorf("identity by PKCS#12: %v, %v", identity, err)
	}
	for _, tt := range []struct {
		name   string
		change func(mdm *MDM, p *Profile)
		want   string
	}{
		{"APL-003 missing target", func(m *MDM, _ *Profile) { m.IdentityCertificateUUID = "nothing" }, "APL-003"},
		{"APL-003 target is no identity", func(m *MDM, p *Profile) { m.IdentityCertificateUUID = p.Payloads[0].UUID }, "APL-003"},
		{"APL-004 two", func(_ *MDM, p *Profile) { p.Payloads = append(p.Payloads, p.Payloads[2]) }, "APL-004"},
		{"topic", func(m *MDM, _ *Profile) { m.Topic = "com.example.topic" }, "Topic"},
		{"http", func(m *MDM, _ *Profile) { m.ServerURL = "http://mdm.example.com/mdm" }, "ServerURL"},
		{"no host", func(m *MDM, _ *Profile) { m.ServerURL = "https:///mdm" }, "ServerURL"},
		{"http check-in", func(m *MDM, _ *Profile) { m.CheckInURL = "http://mdm.example.com/mdm" }, "CheckInURL"},
		{"no rights", func(m *MDM, _ *Profile) { m.AccessRights = 0 }, "AccessRights"},
		{"too many rights", func(m *MDM, _ *Profile) { m.AccessRights = AllRights + 1 }, "AccessRights"},
		{"2 without 1", func(m *MDM, _ *Profile) { m.AccessRights = RightInstallProfiles }, "AccessRights"},
		{"128 without 64", func(m *MDM, _ *Profile) { m.AccessRights = RightInstallProvision }, "AccessRights"},
		{"SCEP without URL", func(_ *MDM, p *Profile) { p.Payloads[1].SCEP.URL = "" }, "SCEP URL"},
		{"SCEP with EC", func(_ *MDM, p *Profile) { p.Payloads[1].SCEP.KeyType = "ECSECPrimeRandom" }, "Key Type"},
	} {
		p := enrolment()
		tt.change(p.Payloads[2].MDM, p)
		if _, _, err := p.Enrolment(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	private := enrolment()
	private.Payloads[2].MDM.EnrollmentMode, private.Payloads[2].MDM.AccessRights = userEnrolment, 0
	if _, _, err := private.Enrolment(); err != nil {
		t.Errorf("user enrolment has no rights: %v", err)
	}
}

func TestAPL090Update(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(next *MDM)
		want   string
	}{
		{"same", func(*MDM) {}, ""},
		{"fewer rights", func(n *MDM) { n.AccessRights = RightInspectProfiles }, ""},
		{"other identity and capabilities", func(n *MDM) { n.IdentityCertificateUUID, n.ServerCapabilities = user, nil }, ""},
		{"ServerURL", func(n *MDM) { n.ServerURL += "/" }, "ServerURL"},
		{"CheckInURL", func(n *MDM) { n.CheckInURL = "" }, "CheckInURL"},
		{"Topic", func(n *MDM) { n.Topic += "x" }, "Topic"},
		{"EnrollmentMode", func(n *MDM) { n.EnrollmentMode = userEnrolment }, "EnrollmentMode"},
		{"AssignedManagedAppleID", func(n *MDM) { n.AssignedManagedAppleID = "zoe@school.example" }, "AssignedManagedAppleID"},
		{"a right more", func(n *MDM) { n.AccessRights |= RightErase }, "AccessRights"},
	} {
		old := *enrolment().Payloads[2].MDM
		old.AccessRights &^= RightErase
		next := old
		tt.change(&next)
		err := old.CheckUpdate(&next)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestProfileErrors(t *testing.T) {
	if _, err := DecodeProfile([]byte{0x30, 0x80, 0x06}); !errors.Is(err, ErrSigned) { // APL-002: certs takes it out
		t.Errorf("DecodeProfile of CMS = %v, want %q", err, ErrSigned)
	}
	for _, tt := range []struct {
		name, from, to, want string
	}{
		{"type", "<string>Configuration</string>", "<string>configuration</string>", "PayloadType is not Configuration"},
		{"identifier", "<key>PayloadIdentifier</key><string>example.rollcall.enrol</string>", "", "no PayloadIdentifier"},
		{"key of another case", "<key>PayloadUUID</key><string>D1E2F3A4", "<key>payloadUUID</key><string>D1E2F3A4", "no PayloadUUID"},
		{"version", "<key>PayloadVersion</key><integer>1</integer></dict></plist>", "<key>PayloadVersion</key><integer>2</integer></dict></plist>", "PayloadVersion is not 1"},
		{"scope", "<string>System</string>", "<string>system</string>", "PayloadScope"},
		{"encrypted without content", "<key>PayloadDescription</key>", "<key>IsEncrypted</key><true/><key>PayloadDescription</key>", "IsEncrypted"},
		{"payload without type", "<key>PayloadType</key><string>com.apple.mdm</string>", "", `payload "example.rollcall.mdm": no PayloadType`},
		{"payload without identifier", "<key>PayloadIdentifier</key><string>example.rollcall.mdm</string>", "", "no PayloadIdentifier"},
		{"payload without UUID", "<key>PayloadUUID</key><string>0A0B0C0D-0000-4000-8000-000000000003</string>", "", `payload "example.rollcall.mdm": no PayloadUUID`},
		{"two of one identifier", "<string>example.rollcall.scep</string>", "<string>example.rollcall.mdm</string>", "is there twice"},
		{"two of one UUID", "<string>0A0B0C0D-0000-4000-8000-000000000001</string>", "<string>0A0B0C0D-0000-4000-8000-000000000003</string>", "is there twice"},
		{"certificate as text", "<data>MIIB</data>", "<string>MIIB</string>", "cannot unmarshal"},
		{"empty certificate", "<data>MIIB</data>", "<data/>", `payload "example.rollcall.root": no PayloadContent`},
		{"rights as text", "<integer>8191</integer>", "<string>8191</string>", "cannot unmarshal"},
	} {
		p := enrolment()
		p.Payloads[0].Certificate = []byte{0x30, 0x82, 0x01}
		body := string(EncodeProfile(p))
		if !strings.Contains(body, tt.from) {
			t.Fatalf("%s: %q is not in %s", tt.name, tt.from, body)
		}
		_, err := DecodeProfile([]byte(strings.Replace(body, tt.from, tt.to, 1)))
		if !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	scep := EncodeProfile(&Profile{Identifier: "x", UUID: user, Payloads: []Payload{{Type: SCEPPayload, Identifier: "y", UUID: order}}})
	if _, err := DecodeProfile(scep); !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), "no PayloadContent") {
		t.Errorf("SCEP without settings: %v", err)
	}
}

func TestFamilies(t *testing.T) { // AUTH-27
	for _, family := range protocol.Families {
		p := NewProfile("example."+family.String(), "Some "+family.String(), family)
		if got := p.Family(); got != family {
			t.Errorf("NewProfile for %v is of family %v", family, got)
		}
		got, err := DecodeProfile(EncodeProfile(p))
		if err != nil || got.Family() != family {
			t.Errorf("%v: decoded as %v, %v", family, got, err)
		}
		if again := NewProfile(p.Identifier, p.DisplayName, family); !cmp.Equal(again, p) {
			t.Errorf("%v: the same arguments give another profile", family)
		}
		if changed := NewProfile(p.Identifier, "other", family); changed.UUID == p.UUID || changed.Payloads[0].UUID == p.Payloads[0].UUID {
			t.Errorf("%v: a changed document has the same UUIDs", family)
		}
	}
	for kind, want := range map[string]protocol.Family{
		"com.apple.eas.account": protocol.Email, "com.apple.ews.account": protocol.Email, "com.apple.vpn.managed.applayer": protocol.VPN,
		"com.apple.security.acme": protocol.Certificate, "com.apple.security.pem": protocol.Certificate, "com.apple.applicationaccess": protocol.Configuration,
		"com.example.anything": protocol.Configuration, MDMPayload: protocol.Configuration,
	} {
		if got := FamilyOf(kind); got != want {
			t.Errorf("FamilyOf(%q) = %v, want %v", kind, got, want)
		}
	}
	if got := (&Profile{}).Family(); got != protocol.Configuration {
		t.Errorf("an empty profile is of family %v", got)
	}
}
