package scep

import (
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"strconv"

	"rollcall/certs"
)

// A MessageType is the messageType attribute (RFC 8894, section 3.2.1.2).
type MessageType int

// The message types that are spoken here. UpdateReq (18), GetCert (21) and GetCRL (22) are refused.
const (
	CertRep    MessageType = 3
	RenewalReq MessageType = 17
	PKCSReq    MessageType = 19
	CertPoll   MessageType = 20
)

// A FailInfo is the failInfo attribute (RFC 8894, section 3.2.1.4).
type FailInfo int

// The failInfo values of RFC 8894.
const (
	BadAlg          FailInfo = 0
	BadMessageCheck FailInfo = 1
	BadRequest      FailInfo = 2
	BadTime         FailInfo = 3
	BadCertID       FailInfo = 4
)

var failInfoNames = [...]string{"badAlg", "badMessageCheck", "badRequest", "badTime", "badCertId"}

func (f FailInfo) String() string {
	if f < 0 || int(f) >= len(failInfoNames) {
		return "failInfo " + strconv.Itoa(int(f))
	}
	return failInfoNames[f]
}

// A Failure is a CertRep FAILURE: what [Server.Issue] returns to refuse, and what [Client.Enrol] returns when
// refused.
type Failure struct {
	Info FailInfo
	Text string // failInfoText, read by people at both ends; may be empty, holds no secret
}

func (f *Failure) Error() string {
	if f.Text == "" {
		return "SCEP: " + f.Info.String()
	}
	return "SCEP: " + f.Info.String() + ": " + f.Text
}

// ErrPending is what [Server.Issue] returns to let the client poll, and what [Client.Enrol] returns when it
// has polled often enough.
var ErrPending = errors.New("SCEP: pending")

// pkiStatus values (RFC 8894, section 3.2.1.3).
const (
	success = 0
	failure = 2
	pending = 3
)

// Signed attributes (RFC 8894, section 3.2.1).
var (
	oidMessageType    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	oidPKIStatus      = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 3}
	oidFailInfo       = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 4}
	oidSenderNonce    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	oidRecipientNonce = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 6}
	oidTransactionID  = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}
	oidFailInfoText   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 24, 1}
)

const (
	maxMessage       = 128 << 10 // HST-001
	maxTransactionID = 255
	nonceSize        = 16
	maxNonce         = 64 // what others send is echoed, within reason
)

// A message is a pkiMessage that has been read and not been verified.
type message struct {
	*certs.Signed
	kind          MessageType // -1: not a number
	transactionID asn1.RawValue
	senderNonce   []byte
}

// parseMessage reads a pkiMessage as far as an answer to it needs. The error wraps [certs.ErrMalformed].
func parseMessage(der []byte) (*message, error) {
	signed, err := certs.ParseSigned(der)
	if err != nil {
		return nil, err
	}
	m := &message{Signed: signed}
	if err := signed.Attribute(oidTransactionID, &m.transactionID); err != nil {
		return nil, err
	}
	if n := len(m.transactionID.Bytes); n == 0 || n > maxTransactionID || !visible(m.transactionID) {
		return nil, fmt.Errorf("transactionID: %w", certs.ErrMalformed)
	}
	if err := signed.Attribute(oidSenderNonce, &m.senderNonce); err != nil {
		return nil, err
	}
	if n := len(m.senderNonce); n == 0 || n > maxNonce {
		return nil, fmt.Errorf("senderNonce of %d bytes: %w", n, certs.ErrMalformed)
	}
	kind, err := m.number(oidMessageType)
	if err != nil {
		return nil, err
	}
	m.kind = MessageType(kind)
	return m, nil
}

// visible says whether v is a string of visible ASCII, of whatever string type: it is echoed and logged.
func visible(v asn1.RawValue) bool {
	if v.Class != asn1.ClassUniversal || v.IsCompound {
		return false
	}
	switch v.Tag {
	case asn1.TagPrintableString, asn1.TagUTF8String, asn1.TagIA5String:
	default:
		return false
	}
	for _, b := range v.Bytes {
		if b < 0x20 || b > 0x7e {
			return false
		}
	}
	return true
}

// number reads an attribute that is a decimal number as text; text that is none reads as -1, which means
// nothing in any of them.
func (m *message) number(id asn1.ObjectIdentifier) (int, error) {
	var text string
	if err := m.Attribute(id, &text); err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return -1, nil
	}
	return int(n), nil
}

func newNonce() []byte {
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)
	return nonce
}

// text is an attribute value of digits, which [asn1.Marshal] writes as PrintableString.
func text[T ~int](n T) string { return strconv.Itoa(int(n)) }
