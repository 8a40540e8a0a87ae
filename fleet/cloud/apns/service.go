package apns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"rollcall/fleet/cloud"
)

// Config is what a Service is made of; the zero Config will do.
type Config struct {
	Certificate    *tls.Certificate // of the service; nil: made by New, with a CA of its own
	Hosts          []string         // more names and addresses for a made certificate, beside loopback and Apple's
	Issuers        *x509.CertPool   // whose push certificates are taken; nil: anybody's that has a topic
	Now            func() time.Time // clock for everything but the network's timeouts; nil: time.Now
	PerToken       cloud.Rate       // pushes to one token before it is 429; zero: 60 a minute
	RequireHeaders bool             // refuse pushes without apns-topic or apns-push-type, which Apple lets pass
	AnyToken       bool             // take every well-formed token: an unknown one is registered by its first push
	IdleTimeout    time.Duration    // real time until a connection without requests is closed; zero: one hour
	Faults         Faults           // where the dials stand at first
	Seed           uint64           // tokens and chance
	Observe        func(Push)       // called once for each push, when its answer is decided; may be nil
	ErrorLog       *log.Logger      // where net/http tells of broken connections; nil: the log package's own
}

// A Push is one request as the service saw it.
type Push struct {
	ID     string // apns-id
	Topic  string
	Token  string // as in the path
	Status int    // 0: no answer, because of a fault
	Reason Reason // empty: accepted, or what a fault sent was no answer of APNs
	Fault  Fault  // what was done to it on purpose
}

// Counters are what has happened since New. The sum of Delivered, Replaced, Expired, Discarded, Dropped and
// Waiting is Accepted.
type Counters struct {
	Registered  uint64            `json:"registered"`        // tokens given out
	Connections uint64            `json:"connections"`       // TLS handshakes that were completed
	Handshakes  uint64            `json:"handshakes_failed"` // TLS handshakes that failed
	Accepted    uint64            `json:"accepted"`          // pushes answered 200
	Delivered   uint64            `json:"delivered"`         // notifications handed to a device, at once or when it came online
	Stored      uint64            `json:"stored"`            // kept for an absent device
	Replaced    uint64            `json:"replaced"`          // of those, displaced by a later one
	Expired     uint64            `json:"expired"`           // of those, too old when the device came; and those not to be kept for an absent one
	Discarded   uint64            `json:"discarded"`         // of those, lost with their token
	Dropped     uint64            `json:"dropped"`           // accepted and lost by a fault
	Waiting     uint64            `json:"waiting"`           // kept now
	Hanging     uint64            `json:"hanging"`           // pushes that a fault holds now
	Streams     uint64            `json:"streams"`           // of devices, open now
	Refused     map[Reason]uint64 `json:"refused"`           // by reason, faults included
	Faults      map[Fault]uint64  `json:"faults"`            // by fault
}

// A Service is a simulated push service; make one with [New]. Its methods are safe for concurrent use.
type Service struct {
	cfg Config
	ca  []byte
	tls *tls.Config

	mu       sync.Mutex
	devices  map[token]*device
	names    map[[2]string]uint64 // generation of a token by topic and name
	nameless uint64               // devices registered without a name
	ids      *rand.ChaCha8
	dials    cloud.Dials[Fault]
	release  chan struct{} // closed by Release
	count    Counters
}

// New makes a Service. It fails if the faults cannot be or no certificate can be made.
func New(c Config) (*Service, error) {
	d, err := c.Faults.dials()
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.PerToken, err = c.PerToken.Or(cloud.Rate{Messages: 60, Per: time.Minute}); err != nil {
		return nil, fmt.Errorf("rate per token: %w", err)
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = time.Hour
	}
	if c.Observe == nil {
		c.Observe = func(Push) {}
	}
	s := &Service{
		cfg:     c,
		devices: map[token]*device{},
		names:   map[[2]string]uint64{},
		ids:     rand.NewChaCha8([32]byte{byte(c.Seed), byte(c.Seed >> 8), byte(c.Seed >> 16), byte(c.Seed >> 24)}),
		dials:   d,
		release: make(chan struct{}),
		count:   Counters{Refused: map[Reason]uint64{}, Faults: map[Fault]uint64{}},
	}
	cert := c.Certificate
	if cert == nil {
		if cert, s.ca, err = cloud.Certificate("APNs", c.Now(), append(slices.Clone(appleNames), c.Hosts...)...); err != nil {
			return nil, err
		}
	}
	s.tls = s.tlsConfig(cert, c.Issuers)
	return s, nil
}

// CA returns, as PEM, the certificate that clients must trust if New made the service's own; nil otherwise.
func (s *Service) CA() []byte { return s.ca }

// SetFaults sets all dials anew; what is left of an old script is forgotten. The error says which is wrong.
func (s *Service) SetFaults(f Faults) error {
	d, err := f.dials()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials = d
	return nil
}

// Release lets all pushes go on that hang by a fault.
func (s *Service) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.release)
	s.release = make(chan struct{})
}

// Counters returns a copy of what was counted so far.
func (s *Service) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.count
	c.Refused = maps.Clone(c.Refused)
	c.Faults = maps.Clone(c.Faults)
	return c
}

// Serve takes connections of ln until ctx ends; then it says so by GOAWAY (reason Shutdown), lets hanging
// pushes go, answers what is under way, closes everything, ln included, and returns nil. Any other end is an
// error. The Service may be served again.
func (s *Service) Serve(ctx context.Context, ln net.Listener) error {
	l := &listener{Listener: ln, service: s, conns: map[*conn]struct{}{}}
	// The TLS layer is ours, because GOAWAY shall carry JSON, which net/http cannot write: conn adds it on
	// the way out. To net/http that looks like HTTP/2 without TLS; HTTP/1 is on only to be refused in words.
	srv := &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: 10 * time.Second, // TLS handshake and preface
		ReadTimeout:       time.Minute,      // body of a push
		IdleTimeout:       s.cfg.IdleTimeout,
		ErrorLog:          s.cfg.ErrorLog,
		MaxHeaderBytes:    16 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 1000},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c.(*conn))
		},
	}
	srv.Protocols.SetUnencryptedHTTP2(true)
	srv.Protocols.SetHTTP1(true)
	return cloud.ServeUntil(ctx, srv, func() error { return srv.Serve(l) }, func() {
		l.sayGoodbye()
		s.Release()
	})
}
