package apple

import (
	"fmt"

	"rollcall/protocol"
)

// A MessageType is the name of a check-in message. The zero value belongs to the messages of the command
// endpoint, which have a Status instead.
type MessageType uint8

// The check-in messages of apple-schema/mdm/checkin.
const (
	NoMessageType MessageType = iota
	Authenticate
	TokenUpdate
	CheckOut
	SetBootstrapToken
	GetBootstrapToken
	UserAuthenticate
	GetToken
	DeclarativeManagement
)

var messageTypes = [...]string{
	"", "Authenticate", "TokenUpdate", "CheckOut", "SetBootstrapToken", "GetBootstrapToken", "UserAuthenticate", "GetToken",
	"DeclarativeManagement",
}

func (t MessageType) String() string {
	if int(t) < len(messageTypes) {
		return messageTypes[t]
	}
	return fmt.Sprintf("%d", t)
}

// SharedUserID is the UserID of every user of a Shared iPad; the short name tells them apart.
const SharedUserID = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"

// A Message is what a device sends to the check-in or the command endpoint, flat: the keys of
// apple-schema/mdm/checkin and of apple.md section 6.1 under Apple's own names. A key that is absent is the
// zero value. What a command brought back beyond its status is a [Result].
//
// A message with neither MessageType nor Status is Idle: the device reports nothing and asks for work.
type Message struct {
	MessageType MessageType
	Status      protocol.Status // of CommandUUID; NoStatus in check-in messages and in Idle
	CommandUUID string

	// Who speaks: see [Message.ID].
	UDID             string
	EnrollmentID     string
	EnrollmentUserID string
	UserID           string
	UserShortName    string
	UserLongName     string

	Topic string // of the push certificate: Authenticate, TokenUpdate, CheckOut

	// TokenUpdate.
	Token                 []byte // APNs device token; its length is not fixed
	PushMagic             string
	UnlockToken           []byte // absent does not mean deleted
	AwaitingConfiguration bool   // in Setup Assistant until DeviceConfigured; the bootstrap messages have it too
	NotOnConsole          bool   // macOS user channel

	// Authenticate: what the device says of itself.
	OSVersion    string
	BuildVersion string
	ProductName  string // iPhone13,2
	SerialNumber string
	IMEI         string
	MEID         string
	DeviceName   string // macOS, as Model and ModelName
	Model        string
	ModelName    string

	BootstrapToken []byte // SetBootstrapToken; empty: forget it

	DigestResponse string // UserAuthenticate, second request

	TokenServiceType string // GetToken
	TokenParameters  TokenParameters

	Endpoint string // DeclarativeManagement: no leading slash
	Data     []byte // DeclarativeManagement: JSON

	ErrorChain []ErrorItem // top-level error first
}

// TokenParameters go with GetToken for com.apple.watch.pairing.
type TokenParameters struct {
	SecurityToken string
	PhoneUDID     string
	WatchUDID     string
}

// An ErrorItem is one link of an ErrorChain. Codes and domains are diagnostic and differ between releases:
// nothing may depend on them (apple.md section 6.1).
type ErrorItem struct {
	Code                 int64  // ErrorCode
	Domain               string // ErrorDomain
	LocalizedDescription string
	USEnglishDescription string // often absent
}

// UserChannel tells whether m belongs to a user of the device and not to the device itself. The two have
// their own tokens, PushMagic and queue.
func (m *Message) UserChannel() bool { return m.UserID != "" || m.EnrollmentUserID != "" }

// ID returns the enrolment that m belongs to (apple.md section 4.4): UDID, UDID:UserID,
// UDID:UserShortName (Shared iPad), EnrollmentID or EnrollmentID:EnrollmentUserID. No two enrolments
// share one, since [DecodeMessage] refuses a colon in a UDID and an EnrollmentID. Empty: the message does
// not say, which only SetBootstrapToken and GetBootstrapToken may do.
func (m *Message) ID() string {
	switch {
	case m.UDID != "" && m.UserID == SharedUserID:
		return m.UDID + ":" + m.UserShortName
	case m.UDID != "" && m.UserID != "":
		return m.UDID + ":" + m.UserID
	case m.UDID != "":
		return m.UDID
	case m.EnrollmentUserID != "":
		return m.EnrollmentID + ":" + m.EnrollmentUserID
	}
	return m.EnrollmentID
}

// DeviceID returns the ID of the device channel that m belongs to or stands beside: UDID or EnrollmentID.
func (m *Message) DeviceID() string {
	if m.UDID != "" {
		return m.UDID
	}
	return m.EnrollmentID
}

// CheckIn says m in the words that all platforms share: it sets Verb, Status, Awaiting and Command of c and
// leaves the rest alone. UserAuthenticate, GetToken and DeclarativeManagement have no such word: NoVerb. A
// CommandUUID that is no UUID gives the zero Command, as an absent one does.
func (m *Message) CheckIn(c *protocol.CheckIn) {
	c.Verb, c.Status, c.Awaiting, c.Command = verbs[m.MessageType], m.Status, m.AwaitingConfiguration, protocol.CommandID{}
	if m.MessageType != NoMessageType {
		return
	}
	c.Verb = protocol.Ask
	if m.Status != protocol.NoStatus {
		c.Verb = protocol.Report
		c.Command, _ = protocol.ParseCommandID(m.CommandUUID)
	}
}

var verbs = [...]protocol.Verb{
	Authenticate: protocol.Enrol, TokenUpdate: protocol.Ready, CheckOut: protocol.Leave,
	SetBootstrapToken: protocol.PutEscrow, GetBootstrapToken: protocol.GetEscrow, DeclarativeManagement: protocol.NoVerb,
}
