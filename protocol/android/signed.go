package android

import (
	"strconv"
	"time"

	"rollcall/protocol"
)

// Types of the statements that a server signs for its devices. Each is a compact JWS (RFC 7515) by ES256 (RFC 7518, section 3.4), whose
// protected header is always {"alg":"ES256","kid":KID,"typ":TYPE}, byte for byte; the type keeps one from standing for another.
const (
	OrderType  = "rollcall-order"  // payload: an [Order]
	NoticeType = "rollcall-notice" // payload: a [Notice]
	PolicyType = "rollcall-policy" // payload: [PolicyUpdate.Signed], which is left out of the text between the two dots (RFC 7515, appendix F)
)

// An Order tells one device, in one enrolment, to leave management (HST-027). No answer and no command ends management without one.
type Order struct {
	Device     string  `json:"device"`
	Enrollment string  `json:"enrollment"`
	IssuedAt   int64   `json:"iat"`  // seconds since 1970
	Mode       Removal `json:"mode"` // PROFILE: the work profile goes; RESET: to the factory state; RELEASE: management goes, personal data stays
}

// A Notice tells of the newest change of authority (AUTH-27, HST-057).
type Notice struct {
	Epoch     uint32        `json:"epoch"`
	ChangedAt protocol.Time `json:"changedAt"`
	Rule      protocol.Rule `json:"rule"`
	Kept      Seconds       `json:"kept,omitempty"` // old profiles stay so long; none: seven days
}

// NoticeOf says n in the protocol's words.
func NoticeOf(n protocol.Notice) Notice {
	return Notice{Epoch: n.Epoch, ChangedAt: n.ChangedAt, Rule: n.Rule, Kept: Seconds(n.Kept)}
}

// Notice says n in the words of package protocol.
func (n Notice) Notice() protocol.Notice {
	return protocol.Notice{Epoch: n.Epoch, ChangedAt: n.ChangedAt, Rule: n.Rule, Kept: time.Duration(n.Kept)}
}

// Signed returns what the signature of a policy is about: the device and its enrolment, so that it is nobody else's and of no earlier or
// later one, the version, the policy and the profiles as compact JSON with their members in the order of the message, a line feed after
// each but the last.
func (p *PolicyUpdate) Signed(device, enrollment string) []byte {
	b := append([]byte(device), '\n')
	b = append(append(b, enrollment...), '\n')
	b = append(strconv.AppendInt(b, p.Version, 10), '\n')
	b = append(append(b, p.Policy...), '\n')
	return Append(b, p.Profiles)
}
