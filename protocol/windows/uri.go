package windows

import (
	"fmt"
	"net/url"
	"strings"

	"rollcall/protocol"
)

// EscapeNode writes one name of a LocURI: everything but letters, digits and - _ . as %XX (windows.md section 11).
func EscapeNode(name string) string {
	plain := true
	for i := 0; i < len(name); i++ {
		plain = plain && unreserved(name[i])
	}
	if plain {
		return name
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if c := name[i]; unreserved(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

func unreserved(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

// UnescapeNode reads one name of a LocURI. The error wraps [protocol.ErrMalformed].
func UnescapeNode(s string) (string, error) {
	name, err := url.PathUnescape(s)
	if err != nil {
		return "", fmt.Errorf("LocURI: %w: %.40q is no name", protocol.ErrMalformed, s)
	}
	return name, nil
}

// NodePath is the one spelling of the node that a LocURI names, for a device goes by what it says: Device/WiFi/Profile/office/WlanXml,
// with ./Vendor being the device's own (windows.md section 6) and each name as [EscapeNode] writes it, in the case that it came in. The
// code is a device's: [NotFound] of what is below no scope, [BadRequest] of an empty name or one that is none.
func NodePath(uri string) (string, Code) {
	rest, ok := strings.CutPrefix(uri, "./")
	if !ok {
		return "", NotFound
	}
	scoped := strings.HasPrefix(rest, "DevInfo") || strings.HasPrefix(rest, "DevDetail")
	for _, scope := range [...][2]string{{"Device/Vendor/MSFT/", "Device/"}, {"Vendor/MSFT/", "Device/"}, {"User/Vendor/MSFT/", "User/"}} {
		if from := scope[0]; len(rest) >= len(from) && strings.EqualFold(rest[:len(from)], from) {
			rest, scoped = scope[1]+rest[len(from):], true
			break
		}
	}
	if !scoped {
		return "", NotFound
	}
	var path strings.Builder
	for name := range strings.SplitSeq(rest, "/") {
		plain, err := UnescapeNode(name)
		if err != nil || name == "" {
			return "", BadRequest
		}
		if path.Len() > 0 {
			path.WriteByte('/')
		}
		path.WriteString(EscapeNode(plain))
	}
	return path.String(), OK
}

// SearchCriteria writes the SSLCLIENTCERTSEARCHCRITERIA of a certificate whose subject is a common name alone (WIN-018).
func SearchCriteria(commonName string, s Store) string {
	return "Subject=" + escapeDN("CN="+commonName) + "&Stores=" + escapeDN(`My\`+string(s))
}

// escapeDN writes a value of the criteria: spaces as %20, as they are documented.
func escapeDN(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// ReadSearchCriteria reads what [SearchCriteria] writes: the subject as CN=..., and the store. The error wraps
// [protocol.ErrMalformed].
func ReadSearchCriteria(s string) (subject string, store Store, err error) {
	v, err := url.ParseQuery(s)
	name, found := strings.CutPrefix(v.Get("Stores"), `My\`)
	if err != nil || !found || v.Get("Subject") == "" {
		return "", "", fmt.Errorf("search criteria: %w", protocol.ErrMalformed)
	}
	return v.Get("Subject"), Store(name), nil
}
