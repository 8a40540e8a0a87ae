package push

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// A slot is one push certificate and the connections made with it.
type slot struct {
	cert   tls.Certificate
	topic  string
	tls    *tls.Config
	client *http.Client
	conns  conns

	// Guarded by APNs.mu.
	inFlight  int
	retired   bool // another one took its place: its connections close with its last notification
	suspended string
}

func (a *APNs) newSlot(cert tls.Certificate, topic string) *slot {
	s := &slot{cert: cert, topic: topic}
	s.tls = &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    a.cfg.Roots,
		Time:       a.cfg.Now,
		// Always this one: by itself the library keeps silent where the service's list of authorities lacks the issuer.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
	}
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	s.client = &http.Client{
		// Whoever redirects is not the service that was configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            s.conns.dial,
			Protocols:              &protocols,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: time.Hour, PingTimeout: a.cfg.Timeout},
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
			TLSHandshakeTimeout:    a.cfg.Timeout,
			TLSClientConfig:        s.tls.Clone(),
		},
	}
	return s
}

// leaf is the certificate itself, as DER.
func (s *slot) leaf() []byte {
	if len(s.cert.Certificate) == 0 {
		return nil
	}
	return s.cert.Certificate[0]
}

// replace makes next the slot of all further notifications; nil: there is none.
func (a *APNs) replace(next *slot) {
	a.mu.Lock()
	old := a.slot
	a.slot = next
	last := old != nil && old.inFlight == 0
	if old != nil {
		old.retired = true
	}
	a.mu.Unlock()
	if last {
		old.conns.close()
	}
}

// enter returns the slot for one notification, nil where there is none, and why it is suspended; leave gives it back.
func (a *APNs) enter() (s *slot, suspended string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.slot == nil {
		return nil, ""
	}
	a.slot.inFlight++
	return a.slot, a.slot.suspended
}

func (a *APNs) leave(s *slot) {
	a.mu.Lock()
	s.inFlight--
	last := s.retired && s.inFlight == 0
	a.mu.Unlock()
	if last {
		s.conns.close()
	}
}

// renew gives the certificate of s new connections, unless somebody else has done so. Its caller has a notification
// in flight, which closes the old ones when it leaves.
func (a *APNs) renew(s *slot) {
	next := a.newSlot(s.cert, s.topic)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.slot == s {
		next.suspended = s.suspended
		a.slot, s.retired = next, true
	}
}

// suspend stops all notifications of the certificate of s. False: another one has taken its place, and is not to blame.
func (a *APNs) suspend(s *slot, why string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.slot == nil || !bytes.Equal(a.slot.leaf(), s.leaf()) {
		return false
	}
	a.slot.suspended = why
	return true
}

// conns are a slot's open connections. The transport closes only those that it has found to be idle, which one may not
// be yet whose last answer has just been read.
type conns struct {
	mu   sync.Mutex
	open map[*conn]bool
}

type conn struct {
	net.Conn
	of *conns
}

func (c *conns) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	made := &conn{raw, c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[*conn]bool)
	}
	c.open[made] = true
	return made, nil
}

func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// close closes all connections.
func (c *conns) close() {
	c.mu.Lock()
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for conn := range open {
		conn.Close()
	}
}
