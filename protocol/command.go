package protocol

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// A CommandID is the UUID under which a command travels. The zero value is none.
type CommandID [16]byte

// String gives the canonical text in upper case, as Apple's servers write it.
func (id CommandID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return strings.ToUpper(string(b[:]))
}

// ParseCommandID reads the canonical text in either case. The error wraps [ErrMalformed].
func ParseCommandID(s string) (CommandID, error) {
	var id CommandID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, fmt.Errorf("command id: %w", ErrMalformed)
	}
	var digits [32]byte
	n := copy(digits[:], s[0:8])
	n += copy(digits[n:], s[9:13])
	n += copy(digits[n:], s[14:18])
	n += copy(digits[n:], s[19:23])
	copy(digits[n:], s[24:36])
	if _, err := hex.Decode(id[:], digits[:]); err != nil {
		return CommandID{}, fmt.Errorf("command id: %w", ErrMalformed)
	}
	return id, nil
}

// A CommandKind is what a command asks of a device.
type CommandKind uint8

// The kinds that rollcall's server gives. Each platform's file says them in its protocol's own words.
const (
	NoCommand CommandKind = iota
	InstallProfile
	RemoveProfile
	RenewIdentity // the enrolment profile again, with a new challenge
	Configured    // leave the setup assistant (DeviceConfigured)
	DeviceInformation
	SecurityInfo
	ProfileList
	CertificateList
	InstalledApplicationList
	Lock
	Erase
	Restart
	Retire // remove management and all that came with it

	// Android devices alone.
	ResetPasscode // Text: the new one; empty: none
	ClearAppData  // Text: names of packages, with spaces between them
	StartLostMode // Text: the message that the device shows
	StopLostMode
)

var commandNames = [...]string{
	"", "InstallProfile", "RemoveProfile", "RenewIdentity", "DeviceConfigured", "DeviceInformation", "SecurityInfo", "ProfileList",
	"CertificateList", "InstalledApplicationList", "DeviceLock", "EraseDevice", "RestartDevice", "Retire",
	"ResetPasscode", "ClearAppData", "StartLostMode", "StopLostMode",
}

func (k CommandKind) String() string               { return name(commandNames[:], uint8(k)) }
func (k CommandKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText takes the names that String gives; anything else is an error that lists them.
func (k *CommandKind) UnmarshalText(b []byte) error {
	i, err := parse("command", commandNames[1:], b)
	*k = CommandKind(i + 1)
	return err
}

// A Profile is a profile's number inside one core, 0 for none: one content of one name. A changed
// document is another number.
type Profile uint32

// A Command is one order for one device.
type Command struct {
	ID      CommandID
	Kind    CommandKind
	Profile Profile // InstallProfile, RemoveProfile
	PIN     string  // Lock, Erase: six digits on a Mac; empty: none
	Text    string  // Lock: message. RemoveProfile: the profile's identifier. Others as their kind says
	Payload []byte  // InstallProfile, RenewIdentity: the document; filled in by the server before encoding
}
