package apply

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"rollcall/protocol/apple"
)

// tunnel makes the connection of com.apple.vpn.managed (keys: apple-schema, com.apple.vpn.managed.yaml).
func tunnel(p *apple.Payload, tag string) (*file, error) {
	v, err := textsOf(p.Settings, "VPNType", "VPNSubType")
	if err != nil {
		return nil, err
	}
	switch {
	case v["VPNType"] == "IKEv2":
		settings, _ := p.Settings["IKEv2"].(map[string]any)
		return swanctl(settings, tag)
	case v["VPNType"] == "VPN" && (v["VPNSubType"] == "com.wireguard.ios" || v["VPNSubType"] == "com.wireguard.macos"):
		vendor, _ := p.Settings["VendorConfig"].(map[string]any)
		quick, _ := vendor["WgQuickConfig"].(string)
		return wireguard(quick, tag)
	}
	return nil, fmt.Errorf("%w: it is neither IKEv2 nor WireGuard", errNoForm)
}

// swanctl makes a connection of strongSwan. It is loaded, and brought up by whoever wants it.
func swanctl(m map[string]any, tag string) (*file, error) {
	v, err := textsOf(m, "RemoteAddress", "RemoteIdentifier", "LocalIdentifier", "AuthenticationMethod", "SharedSecret")
	if err != nil {
		return nil, err
	}
	if err := hostOf(v["RemoteAddress"]); err != nil {
		return nil, err
	}
	if v["AuthenticationMethod"] != "SharedSecret" || v["SharedSecret"] == "" {
		return nil, fmt.Errorf("%w: it does not authenticate by a shared secret", errNoForm)
	}
	remote, local := v["RemoteIdentifier"], v["LocalIdentifier"]
	if remote == "" {
		remote = v["RemoteAddress"]
	}
	name := "rollcall-" + tag
	var b strings.Builder
	fmt.Fprintf(&b, "# made by rollcall of a profile, and removed with it\nconnections {\n  %s {\n    version = 2\n    remote_addrs = %s\n    vips = 0.0.0.0, ::\n", name, v["RemoteAddress"])
	b.WriteString("    local {\n      auth = psk\n")
	if local != "" {
		fmt.Fprintf(&b, "      id = %s\n", quoted(local))
	}
	fmt.Fprintf(&b, "    }\n    remote {\n      auth = psk\n      id = %s\n    }\n", quoted(remote))
	fmt.Fprintf(&b, "    children {\n      %s {\n        remote_ts = 0.0.0.0/0, ::/0\n        start_action = none\n      }\n    }\n  }\n}\n", name)
	// 0s: base64 follows, in which no secret can end the line
	fmt.Fprintf(&b, "secrets {\n  ike-%s {\n    id = %s\n    secret = 0s%s\n  }\n}\n", name, quoted(remote), base64.StdEncoding.EncodeToString([]byte(v["SharedSecret"])))
	return &file{[]place{{"etc/swanctl/conf.d", name + ".conf"}}, 0o600, []byte(b.String())}, nil
}

// quoted is a text between quotes, as strongswan.conf has them.
func quoted(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }

// wireguardKeys are what a tunnel may say, by section. Those of wg-quick that run commands or save the file are not among them.
var wireguardKeys = map[string]map[string]func(string) bool{
	"interface": {"privatekey": isKey, "address": each(isPrefix), "dns": each(isName), "mtu": isNumber, "listenport": isNumber},
	"peer": {
		"publickey": isKey, "presharedkey": isKey, "allowedips": each(isPrefix), "endpoint": isEndpoint, "persistentkeepalive": isNumber,
	},
}

// tunnelLetters are all that a key and a value are of: wg-quick is a script of a shell, which splits words and has others mean files.
const tunnelLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:/+=-[]"

// wireguard makes a tunnel of what WireGuard's own app takes: a wg-quick file inside VendorConfig.
func wireguard(quick, tag string) (*file, error) {
	if quick == "" || len(quick) > 64<<10 {
		return nil, errors.New("WgQuickConfig is missing, or too long")
	}
	var b strings.Builder
	b.WriteString("# made by rollcall of a profile, and removed with it\n")
	section, own := "", false
	for n, line := range strings.Split(quick, "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		wrong := func(why string) error { return fmt.Errorf("WgQuickConfig: line %d %s", n+1, why) }
		switch {
		case line == "":
		case strings.EqualFold(line, "[Interface]"), strings.EqualFold(line, "[Peer]"):
			section = strings.ToLower(line[1 : len(line)-1])
			own = own || section == "interface"
			fmt.Fprintf(&b, "[%s]\n", strings.ToUpper(section[:1])+section[1:])
		default:
			key, value, _ := strings.Cut(line, "=")
			key, value = strings.TrimSpace(key), strings.TrimSpace(value)
			valid, known := wireguardKeys[section][strings.ToLower(key)]
			if !known {
				return nil, wrong("has a key that a profile may not set")
			}
			if strings.Trim(key+value, tunnelLetters) != "" || !valid(value) {
				return nil, wrong("has a value that is none")
			}
			fmt.Fprintf(&b, "%s = %s\n", key, value)
		}
	}
	if !own {
		return nil, errors.New("WgQuickConfig has no [Interface]")
	}
	return &file{[]place{{"etc/wireguard", "rc" + tag + ".conf"}}, 0o600, []byte(b.String())}, nil
}

func isKey(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && len(b) == 32
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func isPrefix(s string) bool {
	_, err := netip.ParsePrefix(s)
	if err != nil {
		_, err = netip.ParseAddr(s)
	}
	return err == nil
}

func isName(s string) bool { return hostOf(s) == nil }

func isEndpoint(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && isName(host) && isNumber(port)
}

// each wants all items of a list to be valid.
func each(valid func(string) bool) func(string) bool {
	return func(s string) bool {
		for item := range strings.SplitSeq(s, ",") {
			if !valid(strings.TrimSpace(item)) {
				return false
			}
		}
		return true
	}
}
