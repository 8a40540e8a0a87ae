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

// maxKept is how large a buffer in bytes a message keeps for its next use: one status report of a Mac should not
// stay in memory for every connection.
const maxKept = 64 << 10

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
			if *to = (*to)[:0]; cap(*to) > maxKept {
				*to = nil
			}
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
