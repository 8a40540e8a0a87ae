package apply

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"

	"rollcall/protocol/apple"
)

// certificateOf reads a payload that is one certificate; nil: it is none.
func certificateOf(p *apple.Payload) *x509.Certificate {
	der := p.Certificate
	switch p.Type {
	case apple.PEMPayload:
		block, _ := pem.Decode(der)
		if block == nil {
			return nil
		}
		der = block.Bytes
	case apple.RootPayload, apple.PKCS1Payload:
	default:
		return nil
	}
	c, _ := x509.ParseCertificate(der)
	return c
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// trustAnchor makes a file of the system's trust store: of a CA that signed itself. Others are no anchors on Apple's systems either.
func trustAnchor(p *apple.Payload, tag string) (*file, error) {
	c := certificateOf(p)
	switch {
	case c == nil:
		return nil, fmt.Errorf("%w: it is no certificate", errNoForm)
	case !c.IsCA || !bytes.Equal(c.RawSubject, c.RawIssuer) || c.CheckSignatureFrom(c) != nil:
		return nil, fmt.Errorf("%w: it is no CA that signed itself", errNoForm)
	}
	return &file{[]place{
		{"usr/local/share/ca-certificates", "rollcall-" + tag + ".crt"},
		{"etc/pki/ca-trust/source/anchors", "rollcall-" + tag + ".pem"},
	}, 0o644, pemOf(c)}, nil
}

// A mailServer is a server in Thunderbird's autoconfiguration, format 1.1.
type mailServer struct {
	Type           string `xml:"type,attr"`
	Hostname       string `xml:"hostname"`
	Port           int64  `xml:"port"`
	SocketType     string `xml:"socketType"`
	Username       string `xml:"username"`
	Authentication string `xml:"authentication"`
}

type mailProvider struct {
	XMLName  xml.Name `xml:"clientConfig"`
	Version  string   `xml:"version,attr"`
	Provider struct {
		ID       string     `xml:"id,attr"`
		Domain   string     `xml:"domain"`
		Name     string     `xml:"displayName"`
		Incoming mailServer `xml:"incomingServer"`
		Outgoing mailServer `xml:"outgoingServer"`
	} `xml:"emailProvider"`
}

// autoconfig makes what Thunderbird knows of a domain, of com.apple.mail.managed. It holds no password: Thunderbird asks for it.
func autoconfig(p *apple.Payload) (*file, error) {
	if p.Type != "com.apple.mail.managed" {
		return nil, fmt.Errorf("%w: it is no IMAP or POP account", errNoForm)
	}
	v, err := textsOf(p.Settings, "EmailAddress", "EmailAccountType", "EmailAccountDescription", "IncomingMailServerHostName",
		"IncomingMailServerUsername", "OutgoingMailServerHostName", "OutgoingMailServerUsername")
	if err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(v["EmailAddress"], "@")
	domain = strings.ToLower(domain)
	if hostOf(domain) != nil || strings.Contains(domain, ":") || strings.Contains(domain, "..") {
		return nil, errors.New("EmailAddress has no domain")
	}
	for _, key := range []string{"IncomingMailServerHostName", "OutgoingMailServerHostName"} {
		if err := hostOf(v[key]); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	m := mailProvider{Version: "1.1"}
	m.Provider.ID, m.Provider.Domain, m.Provider.Name = domain, domain, v["EmailAccountDescription"]
	if m.Provider.Name == "" {
		m.Provider.Name = domain
	}
	in, ssl, plain := "imap", int64(993), int64(143)
	if v["EmailAccountType"] == "EmailTypePOP" {
		in, ssl, plain = "pop3", 995, 110
	}
	m.Provider.Incoming = server(p.Settings, in, "Incoming", v, ssl, plain)
	m.Provider.Outgoing = server(p.Settings, "smtp", "Outgoing", v, 465, 587)
	b, err := xml.MarshalIndent(&m, "", "  ")
	if err != nil {
		return nil, err
	}
	name := domain + ".xml"
	return &file{[]place{{"usr/lib/thunderbird/isp", name}, {"usr/lib64/thunderbird/isp", name}, {"opt/thunderbird/isp", name}}, 0o644, append(b, '\n')}, nil
}

func server(m map[string]any, kind, way string, v map[string]string, ssl, plain int64) mailServer {
	prefix := way + "MailServer"
	s := mailServer{kind, v[prefix+"HostName"], plain, "STARTTLS", v[prefix+"Username"], "password-cleartext"}
	if boolOf(m, prefix+"UseSSL", false) {
		s.Port, s.SocketType = ssl, "SSL"
	}
	if port := numberOf(m, prefix+"PortNumber", 1, 65535); port != 0 {
		s.Port = port
	}
	if s.Username == "" {
		s.Username = "%EMAILADDRESS%"
	}
	if m[prefix+"Authentication"] == "EmailAuthCRAMMD5" {
		s.Authentication = "password-encrypted"
	}
	return s
}

// settings makes a file of the one configuration that has a form here which can lock nobody out: how new passwords must be.
func settings(p *apple.Payload, tag string) (*file, error) {
	if p.Type != "com.apple.mobiledevice.passwordpolicy" {
		return nil, errNoForm
	}
	var b strings.Builder
	b.WriteString("# made by rollcall of a profile, and removed with it\n")
	if n := numberOf(p.Settings, "minLength", 1, 128); n != 0 {
		fmt.Fprintf(&b, "minlen = %d\n", max(n, 6)) // libpwquality knows no less
	}
	if n := numberOf(p.Settings, "minComplexChars", 1, 16); n != 0 {
		fmt.Fprintf(&b, "ocredit = -%d\n", n)
	}
	if boolOf(p.Settings, "requireAlphanumeric", false) {
		b.WriteString("lcredit = -1\ndcredit = -1\n")
	}
	return &file{[]place{{"etc/security/pwquality.conf.d", "rollcall-" + tag + ".conf"}}, 0o644, []byte(b.String())}, nil
}
