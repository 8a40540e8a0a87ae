package apple

import (
	"fmt"
	"strings"

	"rollcall/protocol"
)

// ManagementHeader is the header with which a machine asks, in the request of a check-in on any platform, who manages it, and which has the
// answer in the server's. The name is rollcall's own. What it says is for people to read; nothing is decided by it, and so it is not signed.
const ManagementHeader = "Rollcall-Authority"

// AsksManagement is the value of [ManagementHeader] in a request: true, as RFC 8941 has it.
const AsksManagement = "?1"

// maxManagement bounds the value of [ManagementHeader] in an answer, in bytes.
const maxManagement = 192

// ManagementValue returns the value of [ManagementHeader] in an answer, a dictionary of RFC 9651. Replaced is there only where it says
// something.
func ManagementValue(m protocol.Management) string {
	since, _ := m.Since.MarshalText() // has no error
	value := fmt.Sprintf(`authority="%s", since="%s", rule="%s"`, m.Authority, since, m.Rule)
	if m.Replaced != 0 {
		value += `, replaced="` + m.Replaced.String() + `"`
	}
	return value
}

// DecodeManagement reads what [ManagementValue] writes, and nothing else. The error wraps [protocol.ErrMalformed].
func DecodeManagement(value string) (m protocol.Management, err error) {
	wrong := fmt.Errorf("%s: %w", ManagementHeader, protocol.ErrMalformed)
	if len(value) > maxManagement {
		return protocol.Management{}, wrong
	}
	authority, rest, _ := strings.Cut(strings.TrimPrefix(value, `authority="`), `", since="`)
	since, rule, _ := strings.Cut(rest, `", rule="`)
	rule, replaced, _ := strings.Cut(strings.TrimSuffix(rule, `"`), `", replaced="`)
	if m.Authority.UnmarshalText([]byte(authority)) != nil || m.Since.UnmarshalText([]byte(since)) != nil || m.Replaced.UnmarshalText([]byte(replaced)) != nil {
		return protocol.Management{}, wrong
	}
	m.Rule = protocol.Rule(rule)
	if !named(m.Rule) || ManagementValue(m) != value {
		return protocol.Management{}, wrong
	}
	return m, nil
}

// named tells whether r can be a rule's name: ASCII letters, digits and hyphens.
func named(r protocol.Rule) bool {
	return strings.Trim(string(r), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
