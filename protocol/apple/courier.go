package apple

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// The stream of a device to a push service: rollcall's own, since Apple's is not public. It is TLS 1.3 with [CourierProtocol] as its
// ALPN; then both sides send frames of one byte of kind, two of length, and so many of body. Numbers are big-endian.
const (
	// CourierProtocol is the name in ALPN.
	CourierProtocol = "rollcall-courier/1"
	// CourierHeader is the header in which a server says, on every answer, at which port of its own host its devices' streams are
	// taken: a number. A server that wakes nobody this way does not send it.
	CourierHeader = "Rollcall-Courier"
	// CourierBeat is the time after which a device that heard nothing sends a Ping. A service gives up a stream after two and a half.
	CourierBeat = 4 * time.Minute

	CourierTokenSize = 32   // bytes of a device token
	MaxCourierBody   = 4608 // bytes: a push with its payload, which is at most 4096
)

// A CourierKind says what a frame is.
type CourierKind byte

const (
	CourierHello   CourierKind = 1 // device's first: its token, then its topic. Who has the token is the device
	CourierWelcome CourierKind = 2 // service's answer: pushes reach the stream from here on; no body
	CourierPush    CourierKind = 3 // service: a number of four bytes, then the payload
	CourierGot     CourierKind = 4 // device: the number of the push; one that is not answered is kept for the next stream
	CourierPing    CourierKind = 5 // device: no body
	CourierPong    CourierKind = 6 // service: no body
	CourierBye     CourierKind = 7 // service's last: why, as text
)

// ErrCourier is wrapped by the errors of frames that cannot be.
var ErrCourier = errors.New("no frame of " + CourierProtocol)

// A CourierFrame is one frame. Body is valid until the next read into the same buffer.
type CourierFrame struct {
	Kind CourierKind
	Body []byte
}

// AppendCourierFrame appends a frame whose body is the parts, together at most MaxCourierBody bytes.
func AppendCourierFrame(b []byte, kind CourierKind, parts ...[]byte) []byte {
	at := len(b)
	b = append(b, byte(kind), 0, 0)
	for _, p := range parts {
		b = append(b, p...)
	}
	binary.BigEndian.PutUint16(b[at+1:], uint16(len(b)-at-3))
	return b
}

// ReadCourierFrame reads one frame of r, its body into buf where that is large enough. The error is r's, or wraps [ErrCourier]; a
// body is never read that is longer than its kind can be.
func ReadCourierFrame(r io.Reader, buf []byte) (CourierFrame, error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return CourierFrame{}, err
	}
	f := CourierFrame{Kind: CourierKind(head[0])}
	n := int(binary.BigEndian.Uint16(head[1:]))
	least, most := f.Kind.sizes()
	if n < least || n > most {
		return f, fmt.Errorf("%w: kind %d with %d bytes", ErrCourier, f.Kind, n)
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
func (k CourierKind) sizes() (least, most int) {
	switch k {
	case CourierHello:
		return CourierTokenSize + 1, CourierTokenSize + 255
	case CourierPush:
		return 4, MaxCourierBody
	case CourierGot:
		return 4, 4
	case CourierWelcome, CourierPing, CourierPong:
		return 0, 0
	case CourierBye:
		return 0, 200
	}
	return 0, -1
}
