package link

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"

	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol"
)

// Config is how devices reach their servers. Zero values mean the default that is named.
type Config struct {
	Roots *x509.CertPool   // trusted for every device, beside what enrolment profiles bring; nil: the system's
	Now   func() time.Time // also of TLS verification; nil: time.Now
	// Dial opens connections; nil: a net.Dialer. The fleet gives each device its own source address with it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	TransportKeys []*rsa.PrivateKey               // for SCEP messages; none: one is made at the first enrolment
	RSAKeys       func() (*rsa.PrivateKey, error) // identities are RSA keys from here; nil: P-256
	// Factory gives the identity that signs a device's MachineInfo; nil: ADE is refused.
	Factory func(udid string) (certs.Signer, error)

	Sessions int           // devices whose latest TLS session is remembered for resumption; 0: none
	Curves   []tls.CurveID // nil: X25519 alone, half the price of Go's default (said in reports)
	KeepOpen bool          // keep the connection for the next conversation, until [Link.Close]
	Timeout  time.Duration // for one request, on the real clock; 0: 30 s
	MaxBody  int64         // bytes of an answer that are read; 0: 16 MiB (HST-120)

	Faults  Faults  // nil: none
	Watcher Watcher // nil: nobody
}

// Faults plays bad networks. Both methods are called from many goroutines.
type Faults interface {
	// BeforeSend may say no: the connection is reset in the middle of the request.
	BeforeSend(d protocol.Device, s dialect.Step) bool
	// AfterSend may say no: the request has gone out whole, and the connection is dropped before the answer is read.
	AfterSend(d protocol.Device, s dialect.Step) bool
}

// A Watcher hears of every request as it ends. Called from many goroutines; what x points to is used again.
type Watcher interface {
	Exchanged(d protocol.Device, x *Exchange)
}

// An Exchange is one request and what it brought.
type Exchange struct {
	Step      dialect.Step
	Status    int             // HTTP; 0: no answer
	Command   string          // with Report: RequestType
	Reported  protocol.Status // with Report
	Repeat    bool            // the report had been sent before
	Begun     time.Time       // by the real clock
	Took      time.Duration   // by the real clock, connection and handshake included
	Sent      int             // bytes of the body
	Received  int
	Connected bool // made a new connection
	Resumed   bool // its TLS session was resumed
	Err       error
}

// A Report is what one conversation came to.
type Report struct {
	Steps      [dialect.Steps]uint16 // requests by Step, that got a 2xx
	Failed     uint16                // requests that did not
	Commands   uint16                // reported, and confirmed
	Errors     uint16                // of these: Error or CommandFormatError
	NotNow     uint16                // of these
	Repeats    uint16                // reports sent again
	Resumed    bool
	Handshake  time.Duration // of the first connection, by the real clock; 0: the connection was there
	Sent       int64         // bytes of bodies
	Received   int64
	RetryAfter time.Duration // of the answer that ended the conversation
}

// A Link carries the conversations of devices. Safe for concurrent use, but one device talks in one goroutine.
type Link struct {
	config Config
}

// New checks c and makes a link.
func New(c Config) (*Link, error) { panic("soon") }

// Enrol enrols d. The error is nil when d is enrolled, or has only its TokenUpdate left to say; otherwise why not.
func (l *Link) Enrol(ctx context.Context, d *dialect.Apple, s dialect.Start) (Report, error) {
	panic("soon")
}

// Converse runs one whole conversation of d, and does nothing when d has nothing to say. The error tells why it ended
// early: d has then set itself a time to try again, which Due gives.
func (l *Link) Converse(ctx context.Context, d *dialect.Apple, why dialect.Why) (Report, error) {
	panic("soon")
}

// Close ends kept connections.
func (l *Link) Close() { panic("soon") }

var (
	_ http.Handler
	_ scep.CACache
)
