package csp

import (
	"crypto/sha1" //nolint:gosec // by which Windows names certificates
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
)

const vendorNode = "./Device/Vendor/MSFT/"

// translate says a profile of Apple's in Windows' nodes. A payload without a counterpart is left out; a profile of which nothing is
// left is refused, since it would do nothing.
func translate(p *apple.Profile) (*Profile, error) {
	out := &Profile{Family: p.Family()}
	for i := range p.Payloads {
		commands, err := payload(p, &p.Payloads[i])
		if err != nil {
			return nil, fmt.Errorf("payload %q: %w: %w", p.Payloads[i].Identifier, protocol.ErrMalformed, err)
		}
		out.Commands = append(out.Commands, commands...)
	}
	if len(out.Commands) == 0 {
		return nil, fmt.Errorf("profile %q: %w", p.Identifier, ErrNoCounterpart)
	}
	return out, nil
}

// payload translates one payload; nothing: it has no counterpart.
func payload(p *apple.Profile, l *apple.Payload) ([]windows.Command, error) {
	s := settings(l.Settings)
	switch l.Type {
	case "com.apple.wifi.managed":
		return wifi(s)
	case "com.apple.vpn.managed":
		return vpn(p, s)
	case "com.apple.mail.managed":
		return mail(p, l, s), nil
	case "com.apple.eas.account":
		return exchange(p, l, s), nil
	case apple.RootPayload, apple.PKCS1Payload, apple.PEMPayload:
		return certificate(l.Certificate)
	case apple.SCEPPayload:
		return scep(l), nil
	case "com.apple.mobiledevice.passwordpolicy":
		return passcode(s), nil
	case "com.apple.applicationaccess":
		return restrictions(s), nil
	}
	return nil, nil
}

// settings are a payload's own keys.
type settings map[string]any

func (s settings) text(key string) string { t, _ := s[key].(string); return t }

func (s settings) dict(key string) settings { m, _ := s[key].(map[string]any); return m }

func (s settings) flag(key string, unless bool) bool {
	if b, ok := s[key].(bool); ok {
		return b
	}
	return unless
}

// number returns a number's digits; empty: there is none.
func (s settings) number(key string) string {
	switch n := s[key].(type) {
	case int64:
		return strconv.FormatInt(n, 10)
	case uint64:
		return strconv.FormatUint(n, 10)
	}
	return ""
}

func add(uri, format, data string) windows.Command {
	return windows.Command{Verb: windows.Add, Items: []windows.Item{{Target: uri, Meta: windows.Meta{Format: format, Type: "text/plain"}, Data: data}}}
}

func node(uri string) windows.Command {
	return windows.Command{Verb: windows.Add, Items: []windows.Item{{Target: uri, Meta: windows.Meta{Format: windows.FormatNode}}}}
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

// guid is that of an account: the same for the same profile and payload.
func guid(p *apple.Profile, l *apple.Payload) string {
	return "%7B" + strings.ToUpper(uuid.NewSHA1(uuid.NameSpaceURL, []byte(p.Identifier+"\x00"+l.Identifier)).String()) + "%7D"
}

func wifi(s settings) ([]windows.Command, error) {
	ssid := s.text("SSID_STR")
	if ssid == "" || len(ssid) > 32 {
		return nil, fmt.Errorf("SSID_STR has not 1 to 32 bytes")
	}
	if s.dict("EAPClientConfiguration") != nil {
		return nil, nil
	}
	authentication, encryption := "WPA2PSK", "AES"
	switch s.text("EncryptionType") {
	case "None":
		authentication, encryption = "open", "none"
	case "WPA":
		authentication = "WPAPSK"
	case "WPA3":
		authentication = "WPA3SAE"
	case "WEP":
		authentication, encryption = "open", "WEP"
	}
	mode := "manual"
	if s.flag("AutoJoin", true) {
		mode = "auto"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<WLANProfile xmlns="http://www.microsoft.com/networking/WLAN/profile/v1"><name>%s</name><SSIDConfig><SSID><name>%[1]s</name></SSID>`, escape(ssid))
	if s.flag("HIDDEN_NETWORK", false) {
		b.WriteString("<nonBroadcast>true</nonBroadcast>")
	}
	fmt.Fprintf(&b, "</SSIDConfig><connectionType>ESS</connectionType><connectionMode>%s</connectionMode><MSM><security><authEncryption>"+
		"<authentication>%s</authentication><encryption>%s</encryption><useOneX>false</useOneX></authEncryption>", mode, authentication, encryption)
	if secret := s.text("Password"); secret != "" {
		kind := "passPhrase"
		if encryption == "WEP" {
			kind = "networkKey"
		}
		fmt.Fprintf(&b, "<sharedKey><keyType>%s</keyType><protected>false</protected><keyMaterial>%s</keyMaterial></sharedKey>", kind, escape(secret))
	}
	b.WriteString("</security></MSM></WLANProfile>")
	return []windows.Command{add(vendorNode+"WiFi/Profile/"+windows.EscapeNode(ssid)+"/WlanXml", windows.FormatChr, b.String())}, nil
}

func vpn(p *apple.Profile, s settings) ([]windows.Command, error) {
	title := s.text("UserDefinedName")
	if title == "" {
		title = p.DisplayName
	}
	var body string
	switch kind := s.text("VPNType"); kind {
	case "IKEv2", "L2TP":
		server := s.dict(kind).text("RemoteAddress")
		if kind == "L2TP" {
			server = s.dict("PPP").text("CommRemoteAddress")
		}
		if server == "" {
			return nil, fmt.Errorf("%s has no server", kind)
		}
		method := "<UserMethod>Eap</UserMethod>"
		if kind == "L2TP" || s.dict(kind).text("AuthenticationMethod") == "SharedSecret" {
			method = "<UserMethod>MSChapv2</UserMethod>"
		}
		if s.dict(kind).text("AuthenticationMethod") == "Certificate" {
			method = "<MachineMethod>Certificate</MachineMethod>"
		}
		body = fmt.Sprintf("<NativeProfile><Servers>%s</Servers><NativeProtocolType>%s</NativeProtocolType><Authentication>%s</Authentication>"+
			"<RoutingPolicyType>ForceTunnel</RoutingPolicyType></NativeProfile>", escape(server), kind, method)
	case "VPN": // an app's own
		body = fmt.Sprintf("<PluginProfile><ServerUrlList>%s</ServerUrlList><PluginPackageFamilyName>%s</PluginPackageFamilyName></PluginProfile>",
			escape(s.dict("VPN").text("RemoteAddress")), escape(s.text("VPNSubType")))
	default:
		return nil, nil
	}
	always := strconv.FormatBool(s.flag("OnDemandEnabled", s.dict("VPN").flag("OnDemandEnabled", false)))
	profile := "<VPNProfile><ProfileName>" + escape(title) + "</ProfileName><AlwaysOn>" + always + "</AlwaysOn>" + body + "</VPNProfile>"
	return []windows.Command{add(vendorNode+"VPNv2/"+windows.EscapeNode(title)+"/ProfileXML", windows.FormatChr, profile)}, nil
}

// mail is an account of POP or IMAP.
func mail(p *apple.Profile, l *apple.Payload, s settings) []windows.Command {
	at := "./User/Vendor/MSFT/EMAIL2/" + guid(p, l) + "/"
	kind := "IMAP4"
	if s.text("EmailAccountType") == "EmailTypePOP" {
		kind = "POP3"
	}
	var children []windows.Command
	for _, leaf := range [][2]string{
		{"SERVICETYPE", kind},
		{"SERVICENAME", p.DisplayName},
		{"NAME", s.text("EmailAccountName")},
		{"REPLYADDR", s.text("EmailAddress")},
		{"INSERVER", s.text("IncomingMailServerHostName")},
		{"OUTSERVER", s.text("OutgoingMailServerHostName")},
		{"AUTHNAME", s.text("IncomingMailServerUsername")},
		{"AUTHSECRET", s.text("IncomingPassword")},
	} {
		if leaf[1] != "" {
			children = append(children, add(at+leaf[0], windows.FormatChr, leaf[1]))
		}
	}
	return []windows.Command{{Verb: windows.Atomic, Commands: children}}
}

// exchange is an account of ActiveSync: all of it at once, or none.
func exchange(p *apple.Profile, l *apple.Payload, s settings) []windows.Command {
	at := "./User/Vendor/MSFT/ActiveSync/Accounts/" + guid(p, l) + "/"
	ssl := "0"
	if s.flag("SSL", true) {
		ssl = "1"
	}
	children := []windows.Command{
		add(at+"AccountType", windows.FormatChr, "Exchange"), add(at+"AccountName", windows.FormatChr, p.DisplayName),
		add(at+"EmailAddress", windows.FormatChr, s.text("EmailAddress")), add(at+"ServerName", windows.FormatChr, s.text("Host")),
		add(at+"UserName", windows.FormatChr, s.text("UserName")), add(at+"Domain", windows.FormatChr, s.text("Domain")),
	}
	if secret := s.text("Password"); secret != "" {
		children = append(children, add(at+"Password", windows.FormatChr, secret))
	}
	children = append(children, add(at+"Options/UseSSL", windows.FormatInt, ssl), add(at+"Options/Schedule", windows.FormatInt, "-1"))
	return []windows.Command{{Verb: windows.Atomic, Commands: children}}
}

func certificate(raw []byte) ([]windows.Command, error) {
	if block, _ := pem.Decode(raw); block != nil {
		raw = block.Bytes
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	store := "CA"
	if string(c.RawIssuer) == string(c.RawSubject) {
		store = "Root"
	}
	return []windows.Command{trust(store, raw)}, nil
}

func trust(store string, raw []byte) windows.Command {
	uri := fmt.Sprintf("%sRootCATrustedCertificates/%s/%X/EncodedCertificate", vendorNode, store, sha1.Sum(raw))
	return add(uri, windows.FormatB64, base64.StdEncoding.EncodeToString(raw))
}

// Trust is a profile of one trusted root certificate in DER.
func Trust(root []byte) *Profile {
	return &Profile{Family: protocol.Certificate, Commands: []windows.Command{trust("Root", root)}}
}

// scep has the device ask for a certificate of its own.
func scep(l *apple.Payload) []windows.Command {
	if l.SCEP == nil {
		return nil
	}
	at := vendorNode + "ClientCertificateInstall/SCEP/" + windows.EscapeNode(l.Identifier)
	var subject []string
	for _, rdn := range l.SCEP.Subject {
		for _, pair := range rdn {
			if len(pair) == 2 {
				subject = append(subject, pair[0]+"="+pair[1])
			}
		}
	}
	size := l.SCEP.Keysize
	if size == 0 {
		size = 2048
	}
	children := []windows.Command{node(at)}
	for _, leaf := range [][3]string{
		{"ServerURL", windows.FormatChr, l.SCEP.URL},
		{"Challenge", windows.FormatChr, l.SCEP.Challenge},
		{"EKUMapping", windows.FormatChr, "1.3.6.1.5.5.7.3.2"},
		{"KeyUsage", windows.FormatInt, "160"},
		{"SubjectName", windows.FormatChr, strings.Join(subject, ",")},
		{"KeyProtection", windows.FormatInt, "3"},
		{"RetryCount", windows.FormatInt, "3"},
		{"RetryDelay", windows.FormatInt, "1"},
		{"KeyLength", windows.FormatInt, strconv.FormatInt(size, 10)},
		{"HashAlgorithm", windows.FormatChr, "SHA-256"},
	} {
		children = append(children, add(at+"/Install/"+leaf[0], leaf[1], leaf[2]))
	}
	children = append(children, windows.Command{Verb: windows.Exec, Items: []windows.Item{{Target: at + "/Install/Enroll"}}})
	return []windows.Command{{Verb: windows.Atomic, Commands: children}}
}

func policy(area, name, value string) windows.Command {
	c := add(vendorNode+"Policy/Config/"+area+"/"+name, windows.FormatInt, value)
	c.Verb = windows.Replace
	return c
}

func passcode(s settings) (out []windows.Command) {
	if s.flag("forcePIN", false) {
		out = append(out, policy("DeviceLock", "DevicePasswordEnabled", "0")) // 0 is on
	}
	for key, name := range map[string]string{
		"minLength": "MinDevicePasswordLength", "maxFailedAttempts": "MaxDevicePasswordFailedAttempts",
		"maxInactivity": "MaxInactivityTimeDeviceLock", "maxPINAgeInDays": "DevicePasswordExpiration", "pinHistory": "DevicePasswordHistory",
	} {
		if n := s.number(key); n != "" {
			out = append(out, policy("DeviceLock", name, n))
		}
	}
	return sorted(out)
}

func restrictions(s settings) (out []windows.Command) {
	for key, at := range map[string][2]string{
		"allowCamera": {"Camera", "AllowCamera"}, "allowAssistant": {"Experience", "AllowCortana"}, "allowCloudBackup": {"System", "DisableOneDriveFileSync"},
	} {
		allowed, ok := s[key].(bool)
		if !ok {
			continue
		}
		if at[1] == "DisableOneDriveFileSync" {
			allowed = !allowed
		}
		value := "0"
		if allowed {
			value = "1"
		}
		out = append(out, policy(at[0], at[1], value))
	}
	return sorted(out)
}

// sorted puts policies in the order of their names, so that the same profile gives the same commands.
func sorted(out []windows.Command) []windows.Command {
	slices.SortFunc(out, func(a, b windows.Command) int { return strings.Compare(a.Items[0].Target, b.Items[0].Target) })
	return out
}
