package apply

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"rollcall/protocol/apple"
)

// keyfile makes a connection of NetworkManager of com.apple.wifi.managed (keys: apple-schema, com.apple.wifi.managed.yaml).
func keyfile(p *apple.Payload, tag string) (*file, error) {
	v, err := textsOf(p.Settings, "SSID_STR", "EncryptionType", "Password")
	if err != nil {
		return nil, err
	}
	ssid, secret := v["SSID_STR"], v["Password"]
	if ssid == "" || len(ssid) > 32 {
		return nil, errors.New("SSID_STR has not 1 to 32 bytes")
	}
	if _, there := p.Settings["EAPClientConfiguration"]; there {
		return nil, fmt.Errorf("%w: it asks for 802.1X", errNoForm)
	}
	if proxy, err := textOf(p.Settings, "ProxyType"); err != nil || proxy != "" && proxy != "None" {
		return nil, fmt.Errorf("%w: it asks for a proxy", errNoForm)
	}
	management := ""
	switch v["EncryptionType"] {
	case "", "Any":
		if secret != "" {
			management = "wpa-psk"
		}
	case "None":
	case "WPA", "WPA2":
		management = "wpa-psk"
	case "WPA3":
		management = "sae"
	default:
		return nil, fmt.Errorf("%w: EncryptionType is not None, WPA, WPA2 or WPA3", errNoForm)
	}
	var b strings.Builder
	name := "rollcall-" + tag
	fmt.Fprintf(&b, "# made by rollcall of a profile, and removed with it\n[connection]\nid=%s\nuuid=%s\ntype=wifi\nautoconnect=%t\n",
		name, uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)), boolOf(p.Settings, "AutoJoin", true))
	fmt.Fprintf(&b, "\n[wifi]\nmode=infrastructure\nssid=%s\nhidden=%t\n", byteList(ssid), boolOf(p.Settings, "HIDDEN_NETWORK", false))
	if management != "" {
		psk, err := passphrase(secret, management)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "\n[wifi-security]\nkey-mgmt=%s\n%s", management, psk)
	}
	b.WriteString("\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n")
	return &file{
		[]place{{"etc/NetworkManager/system-connections", name + ".nmconnection"}}, 0o600, []byte(b.String()),
	}, nil
}

// byteList is how a keyfile holds bytes whatever they are.
func byteList(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%d;", s[i])
	}
	return b.String()
}

// passphrase makes the line of a secret: 8 to 63 printable ASCII characters, or 64 hexadecimal digits (IEEE 802.11, annex J); SAE takes
// any length. None: the user is asked.
func passphrase(s, management string) (string, error) {
	if s == "" {
		return "", nil
	}
	_, err := hex.DecodeString(s)
	isKey := len(s) == 64 && err == nil
	if management == "wpa-psk" && !isKey && (len(s) < 8 || len(s) > 63 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })) {
		return "", errors.New("its Password is no passphrase of 8 to 63 characters")
	}
	s = strings.ReplaceAll(s, `\`, `\\`)
	if end := strings.TrimRight(s, " "); len(end) < len(s) { // keyfiles drop blanks at both ends
		s = end + strings.Repeat(`\s`, len(s)-len(end))
	}
	if start := strings.TrimLeft(s, " "); len(start) < len(s) {
		s = strings.Repeat(`\s`, len(s)-len(start)) + start
	}
	return "psk=" + s + "\n", nil
}
