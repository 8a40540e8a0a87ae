package protocol

import (
	"fmt"
	"strings"
)

// An Authority is who manages devices. Names and numbers are Microsoft Graph's mdmAuthority.
type Authority uint8

// The four authorities. Coexistence is a flag beside Office365, not a fifth value.
const (
	Unknown Authority = iota
	Intune
	SCCM
	Office365
)

var authorityNames = [...]string{"unknown", "intune", "sccm", "office365"}

func (a Authority) String() string               { return name(authorityNames[:], uint8(a)) }
func (a Authority) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText takes the names that String gives; anything else is an error that lists those of authorities.
func (a *Authority) UnmarshalText(b []byte) error {
	if *a = Unknown; string(b) == Unknown.String() {
		return nil
	}
	i, err := parse("authority", authorityNames[1:], b)
	if err == nil {
		*a = Authority(i + 1)
	}
	return err
}

// A Platform is a device's operating system as plans, JSON and flags name it.
type Platform uint8

// The five platforms; NoPlatform is the zero value and belongs to no device.
const (
	NoPlatform Platform = iota
	IOS
	IPadOS
	MacOS
	Android
	Windows
)

// Platforms lists them in the order in which reports show them.
var Platforms = [...]Platform{IOS, IPadOS, MacOS, Android, Windows}

var platformNames = [...]string{"", "ios", "ipados", "macos", "android", "windows"}

func (p Platform) String() string               { return name(platformNames[:], uint8(p)) }
func (p Platform) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText takes the names that String gives; anything else is an error that lists them.
func (p *Platform) UnmarshalText(b []byte) error {
	i, err := parse("platform", platformNames[1:], b)
	*p = Platform(i + 1)
	return err
}

// Apple tells whether devices of p speak Apple's MDM protocol and are woken through APNs.
func (p Platform) Apple() bool { return p == IOS || p == IPadOS || p == MacOS }

// A Family is one of the five kinds of profile that a change of authority treats alike (AUTH-27).
type Family uint8

// The five families; NoFamily is the zero value.
const (
	NoFamily Family = iota
	Email
	VPN
	Certificate
	WiFi
	Configuration
)

// Families lists them in the order in which reports show them.
var Families = [...]Family{Email, VPN, Certificate, WiFi, Configuration}

var familyNames = [...]string{"", "email", "vpn", "certificate", "wifi", "configuration"}

func (f Family) String() string               { return name(familyNames[:], uint8(f)) }
func (f Family) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText takes the names that String gives; anything else is an error that lists them.
func (f *Family) UnmarshalText(b []byte) error {
	i, err := parse("family", familyNames[1:], b)
	*f = Family(i + 1)
	return err
}

func name(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%d", i)
}

func parse(what string, names []string, b []byte) (int, error) {
	for i, n := range names {
		if n == string(b) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%s %q: want one of %s", what, b, strings.Join(names, ", "))
}
