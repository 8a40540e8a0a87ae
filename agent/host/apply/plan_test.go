package apply

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

const tunnelOfTest = `[Interface]
PrivateKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
Address = 10.0.0.2/32, fd00::2/128
DNS = 10.0.0.1, example.org
[Peer] # the office
PublicKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = [2001:db8::1]:51820
`

// payload makes one with some settings beside a good one's.
func payload(family protocol.Family, change map[string]any) *apple.Payload {
	p := apple.NewProfile("org.example.x", "office", family).Payloads[0]
	if p.Settings == nil {
		p.Settings = map[string]any{}
	}
	if family == protocol.Email {
		p.Settings["EmailAddress"] = "ada@example.org"
	}
	for key, v := range change {
		p.Settings[key] = v
	}
	return &p
}

func ikev2(change map[string]any) map[string]any {
	m := map[string]any{"RemoteAddress": "vpn.example.org", "AuthenticationMethod": "SharedSecret", "SharedSecret": "s3cret"}
	for key, v := range change {
		m[key] = v
	}
	return map[string]any{"VPNType": "IKEv2", "IKEv2": m}
}

func quick(text string) map[string]any {
	return map[string]any{"VPNType": "VPN", "VPNSubType": "com.wireguard.ios", "VendorConfig": map[string]any{"WgQuickConfig": text}}
}

// What a payload says reaches its file in the file's own form.
func TestFilesOfPayloads(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		p    *apple.Payload
		want []string
	}{
		"wpa":              {payload(protocol.WiFi, map[string]any{"SSID_STR": "Lab;1", "Password": ` a\b  c `, "EncryptionType": "WPA2"}), []string{"ssid=76;97;98;59;49;\n", "key-mgmt=wpa-psk\n", "psk=\\sa\\\\b  c\\s\n", "autoconnect=true"}},
		"wpa3":             {payload(protocol.WiFi, map[string]any{"Password": "x", "EncryptionType": "WPA3", "AutoJoin": false}), []string{"key-mgmt=sae\n", "autoconnect=false\n"}},
		"ikev2":            {payload(protocol.VPN, ikev2(map[string]any{"LocalIdentifier": `a"b\`})), []string{"remote_addrs = vpn.example.org\n", "start_action = none\n", `id = "a\"b\\"`, "secret = 0sczNjcmV0\n"}},
		"wireguard":        {payload(protocol.VPN, quick(tunnelOfTest)), []string{"[Interface]\nPrivateKey = AAAA", "DNS = 10.0.0.1, example.org\n", "[Peer]\n", "Endpoint = [2001:db8::1]:51820\n"}},
		"mail":             {payload(protocol.Email, map[string]any{"EmailAccountDescription": "<a&b>", "IncomingMailServerUseSSL": true}), []string{"<domain>example.org</domain>", "&lt;a&amp;b&gt;", "<port>993</port>", "<socketType>STARTTLS</socketType>"}},
		"passwordpolicy":   {payload(protocol.Configuration, map[string]any{"minLength": uint64(12), "minComplexChars": int64(2)}), []string{"minlen = 12\n", "ocredit = -2\n"}},
		"a short password": {payload(protocol.Configuration, map[string]any{"minLength": uint64(4)}), []string{"minlen = 6\n"}},
		"root":             {payload(protocol.Certificate, nil), []string{"-----BEGIN CERTIFICATE-----\n"}},
	} {
		f, err := planned(tt.p, "0123456789ab")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range tt.want {
			if !bytes.Contains(f.content, []byte(want)) {
				t.Errorf("%s: no %q in\n%s", name, want, f.content)
			}
		}
	}
}

// What might say more in its file than a payload may, has none; why tells no secret.
func TestHST120HostilePayloads(t *testing.T) {
	t.Parallel()
	const secret = "hunter2hunter2"
	for name, p := range map[string]*apple.Payload{
		"ssid breaks the line":       payload(protocol.WiFi, map[string]any{"SSID_STR": "a\n[ipv4]"}),
		"ssid of 33 bytes":           payload(protocol.WiFi, map[string]any{"SSID_STR": strings.Repeat("x", 33)}),
		"no ssid":                    payload(protocol.WiFi, map[string]any{"SSID_STR": ""}),
		"ssid is a number":           payload(protocol.WiFi, map[string]any{"SSID_STR": int64(1)}),
		"passphrase breaks the line": payload(protocol.WiFi, map[string]any{"Password": secret + "\n[connection]\npermissions=user:eve"}),
		"passphrase with NUL":        payload(protocol.WiFi, map[string]any{"Password": secret + "\x00"}),
		"huge passphrase":            payload(protocol.WiFi, map[string]any{"Password": strings.Repeat(secret, 1000)}),
		"802.1X":                     payload(protocol.WiFi, map[string]any{"EAPClientConfiguration": map[string]any{}}),
		"WEP":                        payload(protocol.WiFi, map[string]any{"EncryptionType": "WEP", "Password": secret}),
		"server opens a section":     payload(protocol.VPN, ikev2(map[string]any{"RemoteAddress": "a { include /etc/shadow"})),
		"identity breaks the line":   payload(protocol.VPN, ikev2(map[string]any{"LocalIdentifier": "a\"\n}"})),
		"secret breaks the line":     payload(protocol.VPN, ikev2(map[string]any{"SharedSecret": secret + "\n"})),
		"certificate authentication": payload(protocol.VPN, ikev2(map[string]any{"AuthenticationMethod": "Certificate"})),
		"no settings":                payload(protocol.VPN, map[string]any{"VPNType": "IKEv2", "IKEv2": "x"}),
		"tunnel runs a command":      payload(protocol.VPN, quick(tunnelOfTest+"[Interface]\nPostUp = rm -rf /\n")),
		"tunnel saves itself":        payload(protocol.VPN, quick("[Interface]\nSaveConfig = true\n")),
		"tunnel without a section":   payload(protocol.VPN, quick("PrivateKey = x")),
		"tunnel's address":           payload(protocol.VPN, quick("[Interface]\nAddress = 10.0.0.1/32; reboot\n")),
		"tunnel's key":               payload(protocol.VPN, quick("[Interface]\nPrivateKey = "+secret+"\n")),
		"tunnel's zone":              payload(protocol.VPN, quick("[Interface]\nAddress = fe80::1%eth0$(touch${IFS}x)\n")),
		"tunnel's zone is a file":    payload(protocol.VPN, quick("[Interface]\nAddress = fe80::1%*\n")),
		"tunnel's blank is none":     payload(protocol.VPN, quick("[Interface]\nAddress = 10.0.0.1/32,\u00a010.0.0.2/32\n")),
		"tunnel's letter is another": payload(protocol.VPN, quick("[Interface]\nPrivate\u212aey = "+strings.Repeat("A", 43)+"=\n")),
		"tunnel is peers alone":      payload(protocol.VPN, quick("[Peer]\nAllowedIPs = 10.0.0.0/8\n")),
		"tunnel breaks by a return":  payload(protocol.VPN, quick("[Interface]\nMTU = 1\rPostUp = reboot\n")),
		"mail climbs":                payload(protocol.Email, map[string]any{"EmailAddress": "a@../../../etc/passwd"}),
		"mail from the root":         payload(protocol.Email, map[string]any{"EmailAddress": "a@/etc/passwd"}),
		"mail is hidden":             payload(protocol.Email, map[string]any{"EmailAddress": "a@.ssh"}),
		"mail of dots":               payload(protocol.Email, map[string]any{"EmailAddress": "a@x..y"}),
		"mail with NUL":              payload(protocol.Email, map[string]any{"EmailAddress": "a@example.org\x00"}),
		"mail without an address":    payload(protocol.Email, map[string]any{"EmailAddress": "ada"}),
		"mail server":                payload(protocol.Email, map[string]any{"IncomingMailServerHostName": "a/b"}),
		"another configuration":      {Type: "com.apple.applicationaccess"},
		"no certificate":             {Type: apple.RootPayload, Certificate: []byte("x")},
		"a key":                      {Type: apple.PKCS12Payload, Certificate: []byte("x")},
	} {
		f, err := planned(p, "0123456789ab")
		if err == nil {
			t.Errorf("%s: became\n%s", name, f.content)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
}

// Whatever texts a payload has, each line of its file is one that the adapter meant.
func FuzzPlanned(f *testing.F) {
	f.Add("office", "correct horse", "vpn.example.org", tunnelOfTest, "ada@example.org")
	f.Add("a\nb", "x\r", "-a", "[Peer]\nPostUp=x", "a@b\x00")
	f.Fuzz(func(t *testing.T, ssid, secret, server, tunnel, mail string) {
		for _, p := range []*apple.Payload{
			payload(protocol.WiFi, map[string]any{"SSID_STR": ssid, "Password": secret}),
			payload(protocol.VPN, ikev2(map[string]any{"RemoteAddress": server, "SharedSecret": secret, "LocalIdentifier": ssid})),
			payload(protocol.VPN, quick(tunnel)),
			payload(protocol.Email, map[string]any{"EmailAddress": mail, "EmailAccountDescription": ssid, "IncomingMailServerHostName": server}),
		} {
			file, err := planned(p, "0123456789ab")
			if err != nil {
				continue
			}
			for _, r := range string(file.content) {
				if r != '\n' && (r < ' ' || r == 0x7f || r == utf8.RuneError) {
					t.Fatalf("%q in\n%q", r, file.content)
				}
			}
			for _, line := range strings.Split(string(file.content), "\n") {
				key, _, _ := strings.Cut(line, "=")
				switch key = strings.ToLower(strings.TrimSpace(key)); {
				case strings.HasPrefix(key, "post"), strings.HasPrefix(key, "pre") && key != "presharedkey", key == "saveconfig", key == "include", key == "permissions":
					t.Fatalf("%q in\n%s", line, file.content)
				}
			}
			for _, place := range file.places {
				if strings.ContainsAny(place.name, "/\\\x00") || strings.HasPrefix(place.name, ".") {
					t.Fatalf("a file named %q", place.name)
				}
			}
		}
	})
}

// A password of 64 hexadecimal digits is the key itself.
func TestKeyAsPassphrase(t *testing.T) {
	t.Parallel()
	if _, err := passphrase(strings.Repeat("0a", 32), "wpa-psk"); err != nil {
		t.Error(err)
	}
	if _, err := passphrase(strings.Repeat("x", 64), "wpa-psk"); err == nil {
		t.Error("64 characters that are no key")
	}
}

// Only a CA that signed itself becomes an anchor of the system: no other CA's, none that but says so, and no server's certificate.
func TestHST120WhatIsNoAnchor(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	made := func(subject, issuer string, ca bool, by *ecdsa.PrivateKey) []byte {
		t.Helper()
		c := func(name string) *x509.Certificate {
			return &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: ca, BasicConstraintsValid: true}
		}
		der, err := x509.CreateCertificate(rand.Reader, c(subject), c(issuer), key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	for name, tt := range map[string]struct {
		der    []byte
		anchor bool
	}{
		"a root":                      {made("root", "root", true, key), true},
		"a CA of another's":           {made("below", "root", true, other), false},
		"one that says it is its own": {made("root", "root", true, other), false},
		"another's, by the same key":  {made("below", "root", true, key), false},
		"a server that signed itself": {made("server", "server", false, key), false},
	} {
		f, err := trustAnchor(&apple.Payload{Type: apple.RootPayload, Certificate: tt.der}, "tag")
		if (f != nil) != tt.anchor || (err == nil) != tt.anchor {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
