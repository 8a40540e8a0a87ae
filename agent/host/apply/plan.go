package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A file is what one payload is to be below the root, at the first of its places whose folder is there.
type file struct {
	places  []place
	mode    fs.FileMode
	content []byte
}

// A place is where a system may want a file: slashes, no leading one.
type place struct{ dir, name string }

// updates are the commands that have a system read a folder again, where it does not by itself.
var updates = map[string][]string{
	"usr/local/share/ca-certificates":       {"update-ca-certificates", "--fresh"}, // else links to a CA that is gone stay
	"etc/pki/ca-trust/source/anchors":       {"update-ca-trust", "extract"},
	"etc/NetworkManager/system-connections": {"nmcli", "connection", "reload"},
	"etc/swanctl/conf.d":                    {"swanctl", "--load-all"},
}

// errNoForm is wrapped where a payload has no file form that is safe.
var errNoForm = errors.New("this system has no file for it")

// planned makes the file of one payload; tag is a name that nobody else has. The error says why there is none.
func planned(p *apple.Payload, tag string) (*file, error) {
	switch apple.FamilyOf(p.Type) {
	case protocol.Certificate:
		return trustAnchor(p, tag)
	case protocol.WiFi:
		return keyfile(p, tag)
	case protocol.VPN:
		return tunnel(p, tag)
	case protocol.Email:
		return autoconfig(p)
	}
	return settings(p, tag)
}

// tagOf names a payload of a profile, the same in all its versions: twelve hexadecimal digits.
func tagOf(profile, payload string) string {
	sum := sha256.Sum256([]byte(profile + "\x00" + payload))
	return hex.EncodeToString(sum[:6])
}

// maxText bounds a value in bytes.
const maxText = 1024

// textOf reads a setting that must be one line of text; absent: empty. The error names the key and never the value, which may be a
// secret.
func textOf(m map[string]any, key string) (string, error) {
	v, there := m[key]
	if !there {
		return "", nil
	}
	s, ok := v.(string)
	if !ok || !oneLine(s) {
		return "", fmt.Errorf("%s is no single line of text", key)
	}
	return s, nil
}

// textsOf reads several.
func textsOf(m map[string]any, keys ...string) (map[string]string, error) {
	out := make(map[string]string, len(keys))
	for _, key := range keys {
		s, err := textOf(m, key)
		if err != nil {
			return nil, err
		}
		out[key] = s
	}
	return out, nil
}

// oneLine tells whether s can stand on a line of a file.
func oneLine(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
	})
}

// boolOf reads a setting that is true or false.
func boolOf(m map[string]any, key string, otherwise bool) bool {
	if v, ok := m[key].(bool); ok {
		return v
	}
	return otherwise
}

// numberOf reads a whole number; 0: there is none, or it is not between least and most.
func numberOf(m map[string]any, key string, least, most int64) int64 {
	var n int64
	switch v := m[key].(type) {
	case int64:
		n = v
	case uint64:
		n = int64(min(v, 1<<62))
	}
	if n < least || n > most {
		return 0
	}
	return n
}

// hostOf checks the name or address of a server.
func hostOf(s string) error {
	if s == "" || len(s) > 253 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:") != "" || s[0] == '-' || s[0] == '.' {
		return errors.New("the server's name is none")
	}
	return nil
}

// safeName makes a file name of whatever a server calls something. It tells no two names apart.
func safeName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '.' || r == '-') {
			return r
		}
		return '_'
	}, s[:min(len(s), 40)])
	return "p-" + strings.Trim(s, ".")
}
