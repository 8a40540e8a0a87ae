package store

import "fmt"

// A Role is how far an administrator may go (AUTH-08). Each role may do all that those before it may.
type Role uint8

// The roles. The zero value may do nothing.
const (
	NoRole              Role = iota
	Reader                   // sees everything but secrets, changes nothing
	Helpdesk                 // devices: orders, enrolment links, retire, support moves; nothing of the tenant
	IntuneAdministrator      // the tenant: authority, consents, push certificates, users, licences, profiles, settings
	GlobalAdministrator      // tokens too
)

var roleNames = [...]string{"none", "reader", "helpdesk", "intune", "global"}

func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return "invalid"
}

// MarshalText gives the role's name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText takes a role's name; there is no name for none.
func (r *Role) UnmarshalText(b []byte) error {
	for i := Reader; i <= GlobalAdministrator; i++ {
		if roleNames[i] == string(b) {
			*r = i
			return nil
		}
	}
	return fmt.Errorf("%q is no role: want reader, helpdesk, intune or global", b)
}
