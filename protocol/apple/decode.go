package apple

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"rollcall/protocol"
)

// Content types of the two endpoints and of their answers. Requests are told apart by prefix: parameters may
// follow.
const (
	CheckInType = "application/x-apple-aspen-mdm-checkin"
	CommandType = "application/x-apple-aspen-mdm"
	AnswerType  = "application/xml; charset=UTF-8"
)

// A field is a key of a message that this package knows, in the order in which [EncodeMessage] writes them.
type field uint8

const (
	noField field = iota
	fieldMessageType
	fieldStatus
	fieldCommandUUID
	fieldUDID
	fieldEnrollmentID
	fieldEnrollmentUserID
	fieldUserID
	fieldUserShortName
	fieldUserLongName
	fieldTopic
	fieldPushMagic
	fieldOSVersion
	fieldBuildVersion
	fieldProductName
	fieldSerialNumber
	fieldIMEI
	fieldMEID
	fieldDeviceName
	fieldModel
	fieldModelName
	fieldDigestResponse
	fieldTokenServiceType
	fieldEndpoint
	fieldToken
	fieldUnlockToken
	fieldBootstrapToken
	fieldData
	fieldAwaitingConfiguration
	fieldNotOnConsole
	fieldTokenParameters
	fieldErrorChain
	fields

	firstText = fieldCommandUUID
	lastText  = fieldEndpoint
	firstData = fieldToken
	lastData  = fieldData
)

var fieldNames = [fields]string{
	"", "MessageType", "Status", "CommandUUID", "UDID", "EnrollmentID", "EnrollmentUserID", "UserID", "UserShortName", "UserLongName",
	"Topic", "PushMagic", "OSVersion", "BuildVersion", "ProductName", "SerialNumber", "IMEI", "MEID", "DeviceName", "Model", "ModelName",
	"DigestResponse", "TokenServiceType", "Endpoint", "Token", "UnlockToken", "BootstrapToken", "Data", "AwaitingConfiguration",
	"NotOnConsole", "TokenParameters", "ErrorChain",
}

// fieldOf compares byte by byte: another case or a look-alike is another key (HST-007). A switch over texts, as
// this is where a check-in spends its time.
func fieldOf(key []byte) field {
	switch string(key) {
	case "MessageType":
		return fieldMessageType
	case "Status":
		return fieldStatus
	case "CommandUUID":
		return fieldCommandUUID
	case "UDID":
		return fieldUDID
	case "EnrollmentID":
		return fieldEnrollmentID
	case "EnrollmentUserID":
		return fieldEnrollmentUserID
	case "UserID":
		return fieldUserID
	case "UserShortName":
		return fieldUserShortName
	case "UserLongName":
		return fieldUserLongName
	case "Topic":
		return fieldTopic
	case "PushMagic":
		return fieldPushMagic
	case "OSVersion":
		return fieldOSVersion
	case "BuildVersion":
		return fieldBuildVersion
	case "ProductName":
		return fieldProductName
	case "SerialNumber":
		return fieldSerialNumber
	case "IMEI":
		return fieldIMEI
	case "MEID":
		return fieldMEID
	case "DeviceName":
		return fieldDeviceName
	case "Model":
		return fieldModel
	case "ModelName":
		return fieldModelName
	case "DigestResponse":
		return fieldDigestResponse
	case "TokenServiceType":
		return fieldTokenServiceType
	case "Endpoint":
		return fieldEndpoint
	case "Token":
		return fieldToken
	case "UnlockToken":
		return fieldUnlockToken
	case "BootstrapToken":
		return fieldBootstrapToken
	case "Data":
		return fieldData
	case "AwaitingConfiguration":
		return fieldAwaitingConfiguration
	case "NotOnConsole":
		return fieldNotOnConsole
	case "TokenParameters":
		return fieldTokenParameters
	case "ErrorChain":
		return fieldErrorChain
	}
	return noField
}

func (m *Message) text(f field) *string {
	switch f {
	case fieldCommandUUID:
		return &m.CommandUUID
	case fieldUDID:
		return &m.UDID
	case fieldEnrollmentID:
		return &m.EnrollmentID
	case fieldEnrollmentUserID:
		return &m.EnrollmentUserID
	case fieldUserID:
		return &m.UserID
	case fieldUserShortName:
		return &m.UserShortName
	case fieldUserLongName:
		return &m.UserLongName
	case fieldTopic:
		return &m.Topic
	case fieldPushMagic:
		return &m.PushMagic
	case fieldOSVersion:
		return &m.OSVersion
	case fieldBuildVersion:
		return &m.BuildVersion
	case fieldProductName:
		return &m.ProductName
	case fieldSerialNumber:
		return &m.SerialNumber
	case fieldIMEI:
		return &m.IMEI
	case fieldMEID:
		return &m.MEID
	case fieldDeviceName:
		return &m.DeviceName
	case fieldModel:
		return &m.Model
	case fieldModelName:
		return &m.ModelName
	case fieldDigestResponse:
		return &m.DigestResponse
	case fieldTokenServiceType:
		return &m.TokenServiceType
	default:
		return &m.Endpoint
	}
}

func (m *Message) data(f field) *[]byte {
	switch f {
	case fieldToken:
		return &m.Token
	case fieldUnlockToken:
		return &m.UnlockToken
	case fieldBootstrapToken:
		return &m.BootstrapToken
	default:
		return &m.Data
	}
}

// DecodeMessage reads one message into m, which may have been used before: its byte slices and ErrorChain are
// filled again, so what is kept of them must be copied first. Gate and decoding are one pass. Unknown keys are
// ignored, a known key of the wrong type is refused, required keys are demanded (apple.md sections 5 and 6.1).
// The error wraps [protocol.ErrMalformed] and names key and byte; m is then empty.
func DecodeMessage(body []byte, m *Message) error {
	s := newScanner(false)
	defer s.release()
	s.open(body, MaxMessage)
	seen := m.scan(s)
	s.finish()
	err := s.err
	if err == nil {
		err = m.check(seen, len(body))
	}
	if err != nil {
		*m = Message{}
	}
	return err
}

// A set of fields.
type set uint64

func (s set) has(f field) bool { return s&(1<<f) != 0 }

// scan fills m and returns which keys were there.
func (m *Message) scan(s *scanner) (seen set) {
	m.MessageType, m.Status = NoMessageType, protocol.NoStatus
	m.AwaitingConfiguration, m.NotOnConsole = false, false
	m.TokenParameters = TokenParameters{}
	m.ErrorChain = m.ErrorChain[:0]
	d := s.dict(s.value())
	for {
		key, ok := s.key(&d)
		if !ok {
			break
		}
		f := fieldOf(key)
		seen |= 1 << f
		switch {
		case f == noField:
			s.skip(s.value())
		case f == fieldMessageType:
			m.MessageType = s.messageType()
		case f == fieldStatus:
			m.Status = s.status()
		case f <= lastText:
			to := m.text(f)
			// Steady values (topic, serial number) are often there from the message before.
			if text := s.string(); *to != string(text) {
				*to = string(text)
			}
		case f <= lastData:
			to := m.data(f)
			*to = s.data((*to)[:0])
		case f == fieldAwaitingConfiguration:
			m.AwaitingConfiguration = s.flag()
		case f == fieldNotOnConsole:
			m.NotOnConsole = s.flag()
		case f == fieldTokenParameters:
			m.TokenParameters = s.tokenParameters()
		case f == fieldErrorChain:
			m.ErrorChain = s.errorChain(m.ErrorChain)
		}
	}
	for f := firstText; f <= lastText; f++ {
		if !seen.has(f) {
			*m.text(f) = ""
		}
	}
	for f := firstData; f <= lastData; f++ {
		if !seen.has(f) {
			to := m.data(f)
			*to = (*to)[:0]
		}
	}
	for _, name := range [...]*string{&m.DeviceName, &m.Model, &m.ModelName, &m.UserLongName} {
		if *name != "" {
			*name = readable(*name)
		}
	}
	return seen
}

func (s *scanner) messageType() MessageType {
	text := s.string()
	for i, name := range messageTypes {
		if string(text) == name && i > 0 {
			return MessageType(i)
		}
	}
	s.fail(fmt.Sprintf("unknown MessageType %.64q", string(text)))
	return NoMessageType
}

func (s *scanner) status() protocol.Status {
	text := s.string()
	switch string(text) {
	case "Idle":
		return protocol.NoStatus
	case "Acknowledged":
		return protocol.Acknowledged
	case "NotNow":
		return protocol.NotNow
	case "Error":
		return protocol.Failed
	case "CommandFormatError":
		return protocol.CommandFormatError
	}
	s.fail(fmt.Sprintf("unknown Status %.64q", string(text)))
	return protocol.NoStatus
}

func (s *scanner) tokenParameters() (p TokenParameters) {
	d := s.dict(s.value())
	for {
		key, ok := s.key(&d)
		if !ok {
			return p
		}
		switch string(key) {
		case "SecurityToken":
			p.SecurityToken = string(s.string())
		case "PhoneUDID":
			p.PhoneUDID = string(s.string())
		case "WatchUDID":
			p.WatchUDID = string(s.string())
		default:
			s.skip(s.value())
		}
	}
}

func (s *scanner) errorChain(chain []ErrorItem) []ErrorItem {
	if !s.array(s.value()) {
		return chain
	}
	for {
		t, f, ok := s.item()
		if !ok {
			return chain
		}
		d := s.dict(t, f)
		var e ErrorItem
		for {
			key, ok := s.key(&d)
			if !ok {
				break
			}
			switch string(key) {
			case "ErrorCode":
				e.Code = s.integer()
			case "ErrorDomain":
				e.Domain = string(s.string())
			case "LocalizedDescription":
				e.LocalizedDescription = string(s.string())
			case "USEnglishDescription":
				e.USEnglishDescription = string(s.string())
			default:
				s.skip(s.value())
			}
		}
		chain = append(chain, e)
	}
}

// maxName is how many characters of a name for people are kept (HST-010).
const maxName = 256

// readable is a name for people as it is kept: NFC, at most maxName characters. What identifies (UDID, short
// names) is never touched.
func readable(name string) string {
	if norm.NFC.IsNormalString(name) && utf8.RuneCountInString(name) <= maxName {
		return name
	}
	runes := 0
	name = norm.NFC.String(name)
	for i := range name {
		if runes++; runes > maxName {
			return name[:i]
		}
	}
	return name
}

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
