package apple

import (
	"fmt"

	"rollcall/protocol"
)

// required are the keys that a message cannot do without (apple.md section 5), besides those that identify.
var required = [...]set{
	Authenticate:          1 << fieldTopic,
	TokenUpdate:           1<<fieldTopic | 1<<fieldToken | 1<<fieldPushMagic,
	CheckOut:              1 << fieldTopic,
	UserAuthenticate:      1<<fieldUDID | 1<<fieldUserID,
	GetToken:              1 << fieldTokenServiceType,
	DeclarativeManagement: 1 << fieldEndpoint,
}

// check holds a message against the rules that need all of it.
func (m *Message) check(seen set, size int) error {
	t := m.MessageType
	checkIn := seen.has(fieldMessageType)
	switch {
	case checkIn == seen.has(fieldStatus):
		return m.wrong("want either MessageType or Status")
	case checkIn && t != DeclarativeManagement && size > MaxCheckIn:
		return fmt.Errorf("%w: %s of %d bytes, at most %d", ErrTooLarge, t, size, MaxCheckIn)
	}
	for f := firstText; f <= lastData; f++ {
		if required[t].has(f) && (f <= lastText && *m.text(f) == "" || f > lastText && len(*m.data(f)) == 0) {
			return m.wrong("no " + fieldNames[f])
		}
	}
	switch {
	case m.UDID != "" && m.EnrollmentID != "":
		return m.wrong("UDID and EnrollmentID in one message")
	case m.DeviceID() == "" && t != SetBootstrapToken && t != GetBootstrapToken:
		return m.wrong("no UDID or EnrollmentID")
	case !identifier(m.DeviceID()):
		return m.wrong("UDID or EnrollmentID is not one (HST-050)")
	case !printable(m.UserID), !printable(m.UserShortName), !printable(m.EnrollmentUserID):
		return m.wrong("UserID, UserShortName or EnrollmentUserID is not one (HST-050)")
	case m.UserShortName != "" && m.UserID == "" && m.EnrollmentUserID == "":
		return m.wrong("UserShortName without UserID")
	case m.UserID == SharedUserID && m.UserShortName == "":
		return m.wrong("UserID of a Shared iPad without UserShortName")
	case m.UserChannel() && (t == Authenticate || t == CheckOut || t == SetBootstrapToken || t == GetBootstrapToken):
		return m.wrong("is of the device channel, not of a user's")
	case t == GetToken && m.TokenServiceType == watchPairing && m.TokenParameters == TokenParameters{}:
		return m.wrong("no TokenParameters (APL-039)")
	}
	return nil
}

const watchPairing = "com.apple.watch.pairing"

func (m *Message) wrong(what string) error {
	name := m.MessageType.String()
	if name == "" {
		name = "report"
	}
	return fmt.Errorf("%w: %s: %s", protocol.ErrMalformed, name, what)
}

// maxID is the longest identifier in bytes; a UUID has 36.
const maxID = 255

// identifier tells whether id can be a UDID or an EnrollmentID: letters, digits and - _ . only. Above all no
// colon, which separates device and user in [Message.ID].
func identifier(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return len(id) <= maxID
}

// printable tells whether a user's identifier is free of control characters and of bounded length.
func printable(id string) bool {
	for _, c := range []byte(id) {
		if c < ' ' || c == 0x7F {
			return false
		}
	}
	return len(id) <= maxID
}
