package windows

import (
	"fmt"
	"strconv"
	"strings"

	"rollcall/protocol"
)

// Discover asks where to enrol (MS-MDE2, section 3.1).
type Discover struct {
	EmailAddress       string // empty: the discovery URL was given to the device
	RequestVersion     Version
	DeviceType         string // DeviceDesktop
	ApplicationVersion string // build of the system: 10.0.22631.1
	OSEdition          uint32 // product: 4 Enterprise, 48 Pro
	OSVersion          string // empty: not sent
	AuthPolicies       []string
}

// A DiscoverResponse says where to enrol and how to sign in.
type DiscoverResponse struct {
	AuthPolicy        string
	EnrollmentVersion Version
	PolicyURL         string // empty: no policy service; RSA-2048 and the client's own defaults
	EnrollmentURL     string
	AuthenticationURL string // of the web page, with AuthPolicy Federated (WIN-005)
}

func (*Discover) element() (namespace, string, string) {
	return nsDiscovery, "Discover", ActionDiscover
}

func (*DiscoverResponse) element() (namespace, string, string) {
	return nsDiscovery, "DiscoverResponse", ActionDiscoverResponse
}

// Offers tells whether the client can sign in by this AuthPolicy (WIN-004).
func (d *Discover) Offers(policy string) bool {
	for _, p := range d.AuthPolicies {
		if p == policy {
			return true
		}
	}
	return false
}

// A Version is one of the enrolment protocol: 5.0.
type Version struct{ Major, Minor uint16 }

// parseVersion reads a version; one without a dot has minor 0. The error wraps [protocol.ErrMalformed].
func parseVersion(s string) (Version, error) {
	major, minor, dotted := strings.Cut(s, ".")
	if !dotted {
		minor = "0"
	}
	a, errA := strconv.ParseUint(major, 10, 16)
	b, errB := strconv.ParseUint(minor, 10, 16)
	if errA != nil || errB != nil {
		return Version{}, fmt.Errorf("version %.20q: %w", s, protocol.ErrMalformed)
	}
	return Version{uint16(a), uint16(b)}, nil
}

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Before tells whether v is older than w.
func (v Version) Before(w Version) bool {
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}
