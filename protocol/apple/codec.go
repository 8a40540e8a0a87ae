package apple

import (
	"fmt"

	"rollcall/protocol"
)

// Content types of the two endpoints and of their answers. Requests are told apart by prefix: parameters may follow.
const (
	CheckInType = "application/x-apple-aspen-mdm-checkin"
	CommandType = "application/x-apple-aspen-mdm"
	AnswerType  = "application/xml; charset=UTF-8"
)

// Caps of a body in bytes (HST-001). A check-in that is not DeclarativeManagement may have MaxCheckIn; as its
// MessageType may stand behind a long Data, an endpoint reads up to MaxMessage and [DecodeMessage] decides.
const (
	MaxCheckIn = 1 << 20
	MaxMessage = 16 << 20
)

// ErrTooLarge is wrapped by the error of bytes over their cap; it wraps [protocol.ErrMalformed].
var ErrTooLarge = fmt.Errorf("too large: %w", protocol.ErrMalformed)

// Gate is the strict pass that stands before everything decoded by a library: it tells whether body is an XML
// plist of at most limit bytes that every parser reads alike. The error wraps [protocol.ErrMalformed] and names
// the byte. See the package comment for what is refused.
func Gate(body []byte, limit int) error { panic("soon") }

// DecodeMessage reads one message into m, which may have been used before: its buffers are used again, so
// nothing of m may be kept beyond the next call but copies of its byte slices. Gate and decoding are one pass.
// Unknown keys are ignored, a known key of the wrong type is refused, required keys are demanded (apple.md
// sections 5 and 6.1). The error wraps [protocol.ErrMalformed] and names key and byte; m is then empty.
func DecodeMessage(body []byte, m *Message) error { panic("soon") }

// EncodeMessage appends m as an XML plist.
func EncodeMessage(dst []byte, m *Message) []byte { panic("soon") }

// EncodeReply appends the body that answers a device: a command, a bootstrap token, or nothing at all (zero
// bytes, as apple.md section 6.2 asks). RenewIdentity is an InstallProfile of Payload, Retire a RemoveProfile of the
// MDM profile whose identifier Text carries, DeviceInformation asks for [Queries].
func EncodeReply(dst []byte, r *protocol.Reply) []byte { panic("soon") }

// DecodeBootstrapToken reads the answer to GetBootstrapToken. No token: nil, also for an empty body.
func DecodeBootstrapToken(body []byte) ([]byte, error) { panic("soon") }

// Queries are the facts that DeviceInformation asks for when rollcall's server sends it.
var Queries = []string{"UDID", "DeviceName", "OSVersion", "BuildVersion", "ModelName", "Model", "ProductName", "SerialNumber", "IsSupervised"}

type writer struct{ b []byte }
