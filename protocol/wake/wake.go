// Package wake is the stream by which a push service wakes a machine: rollcall's own, since how Apple's, Microsoft's and Google's reach
// their devices is not public. It is TLS 1.3 with the name of a service in ALPN ([APNs], [WNS], [FCM]); then both sides send frames of one
// byte of kind, two of length, and so many of body. Numbers are big-endian.
//
// Start with [ReadFrame]. The device says [Hello] with a secret of its own, and is welcomed with the address at which it is reached, where
// the service makes that. Package agent/courier is the device's end, package fleet/cloud a service's.
package wake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// The services' names in ALPN. One port may have streams of several.
const (
	APNs = "rollcall-courier/1"
	WNS  = "rollcall-courier-wns/1"
	FCM  = "rollcall-courier-fcm/1"
)

const (
	// Header is the header in which a server says, on every answer, at which port of its own host its devices' streams are
	// taken: a number. A server that wakes nobody this way does not send it.
	Header = "Rollcall-Courier"
	// Beat is the time after which a device that heard nothing sends a Ping. A service gives up a stream after two and a half.
	Beat = 4 * time.Minute

	TokenSize  = 32   // bytes of a device's secret: of Apple's its device token
	MaxBody    = 5120 // bytes: a push with its payload, which is at most 5000
	maxAddress = 512  // bytes
)

// A Kind says what a frame is.
type Kind byte

const (
	Hello   Kind = 1 // device's first: its token, then its topic (of WNS the package family name, of FCM none). Who has the token is the device
	Welcome Kind = 2 // service's answer: pushes reach the stream from here on. The body is the device's address: of WNS its channel's URI, of FCM its id, of APNs none: that is the token
	Push    Kind = 3 // service: a number of four bytes, then the payload, as the sender had it; of FCM none
	Got     Kind = 4 // device: the number of the push; one that is not answered is kept for the next stream
	Ping    Kind = 5 // device: no body
	Pong    Kind = 6 // service: no body
	Bye     Kind = 7 // service's last: why, as text
)

// ErrFrame is wrapped by the errors of frames that cannot be.
var ErrFrame = errors.New("no frame of a stream of wake-ups")

// A Frame is one frame. Body is valid until the next read into the same buffer.
type Frame struct {
	Kind Kind
	Body []byte
}

// AppendFrame appends a frame whose body is the parts, together at most MaxBody bytes.
func AppendFrame(b []byte, kind Kind, parts ...[]byte) []byte {
	at := len(b)
	b = append(b, byte(kind), 0, 0)
	for _, p := range parts {
		b = append(b, p...)
	}
	binary.BigEndian.PutUint16(b[at+1:], uint16(len(b)-at-3))
	return b
}

// ReadFrame reads one frame of r, its body into buf where that is large enough. The error is r's, or wraps [ErrFrame]; a
// body is never read that is longer than its kind can be.
func ReadFrame(r io.Reader, buf []byte) (Frame, error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	f := Frame{Kind: Kind(head[0])}
	n := int(binary.BigEndian.Uint16(head[1:]))
	least, most := f.Kind.sizes()
	if n < least || n > most {
		return f, fmt.Errorf("%w: kind %d with %d bytes", ErrFrame, f.Kind, n)
	}
	if n > len(buf) {
		buf = make([]byte, n)
	}
	f.Body = buf[:n]
	_, err := io.ReadFull(r, f.Body)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return f, err
}

// sizes are how long a body of the kind is: at least and at most, in bytes. No kind has most -1.
func (k Kind) sizes() (least, most int) {
	switch k {
	case Hello:
		return TokenSize, TokenSize + 255
	case Welcome:
		return 0, maxAddress
	case Push:
		return 4, MaxBody
	case Got:
		return 4, 4
	case Ping, Pong:
		return 0, 0
	case Bye:
		return 0, 200
	}
	return 0, -1
}
