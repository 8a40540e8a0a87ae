package push

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"time"
)

// Production is Apple's push service.
const Production = "https://api.push.apple.com"

// Config says how to reach a push service. The zero value reaches Apple's.
type Config struct {
	URL         string           // scheme https, host and port; empty: Production
	Roots       *x509.CertPool   // that the service's certificate must chain to; nil: the system's
	Now         func() time.Time // clock for certificates and back-off; nil: time.Now
	Timeout     time.Duration    // real time that one try may take; 0: 20 s
	Concurrency int              // notifications on their way at once, the others wait; 0: 500
}

// APNs is the client of Apple's push service for one slot: HTTP/2 over TLS with the slot's push certificate.
type APNs struct{ cfg Config }

// New returns a client without a certificate: until SetCertificate every Push answers that the slot is suspended.
// The error says what is wrong with cfg.URL.
func New(cfg Config) (*APNs, error) { return &APNs{cfg: cfg}, nil }

// SetCertificate makes all further notifications travel under this push certificate, whose topic is topic. Connections
// of the one before are closed as soon as their notifications are answered; a suspended slot is open again (APL-102).
func (a *APNs) SetCertificate(cert tls.Certificate, topic string) {}

// Push sends n and waits for the answer; see [Pusher].
func (a *APNs) Push(ctx context.Context, n Notification) Answer { return Answer{} }

// Close closes all connections. Pushes after it answer as a slot without a certificate does.
func (a *APNs) Close() {}
