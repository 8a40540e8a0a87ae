package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/agent/dialect"
)

// trusts remembers what the certificates of an enrolment profile, which all devices of a server share, mean for TLS.
type trusts struct {
	mu    sync.Mutex
	known map[dialect.Trust]*trust
}

// mostTrusts bounds the memory that servers with a certificate for each device could take (HST-120).
const mostTrusts = 64

// A trust is whom to believe, and the HTTP client for SCEP that does.
type trust struct {
	pool   *x509.CertPool
	client *http.Client
	latest atomic.Pointer[verdict]
}

// A verdict is that a server's certificates were found good: for a host, and while all of them are valid.
type verdict struct {
	host        string
	chain       []*x509.Certificate // as the server sent them
	from, until time.Time
}

// verify does what [tls.Config] does by itself: the same certificates are good for the same host as long as they are valid. A fleet
// meets one server again and again, and the signatures are a tenth of what its full handshakes cost.
func (t *trust) verify(host string, now func() time.Time) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		at := now()
		if v := t.latest.Load(); v != nil && v.host == host && !at.Before(v.from) && !at.After(v.until) && slices.EqualFunc(v.chain, cs.PeerCertificates, (*x509.Certificate).Equal) {
			return nil
		}
		if len(cs.PeerCertificates) == 0 {
			return errNoCertificate
		}
		between := x509.NewCertPool()
		for _, c := range cs.PeerCertificates[1:] {
			between.AddCert(c)
		}
		leaf := cs.PeerCertificates[0]
		chains, err := leaf.Verify(x509.VerifyOptions{Roots: t.pool, Intermediates: between, CurrentTime: at})
		if err == nil {
			err = leaf.VerifyHostname(host) // once its names are known to be the server's own words
		}
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
		}
		v := &verdict{host: host, chain: cs.PeerCertificates, from: leaf.NotBefore, until: leaf.NotAfter}
		for _, c := range chains[0] {
			if c.NotBefore.After(v.from) {
				v.from = c.NotBefore
			}
			if c.NotAfter.Before(v.until) {
				v.until = c.NotAfter
			}
		}
		t.latest.Store(v)
		return nil
	}
}

var errNoCertificate = errors.New("the server has no certificate")

// of returns what t means.
func (ts *trusts) of(c *Config, t dialect.Trust) (*trust, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if known := ts.known[t]; known != nil {
		return known, nil
	}
	pool := c.Roots
	if t.Anchors != "" {
		anchors, err := x509.ParseCertificates([]byte(t.Anchors))
		if err != nil {
			return nil, fmt.Errorf("certificates of the enrolment profile: %w", err)
		}
		pool = x509.NewCertPool()
		if !t.Pinned {
			pool = c.Roots.Clone()
		}
		for _, a := range anchors {
			pool.AddCert(a)
		}
	}
	made := &trust{pool: pool, client: scepClient(c, pool)}
	if ts.known == nil {
		ts.known = make(map[dialect.Trust]*trust)
	}
	if len(ts.known) >= mostTrusts {
		for old, gone := range ts.known { // any of them: there should not be so many
			gone.client.CloseIdleConnections()
			delete(ts.known, old)
			break
		}
	}
	ts.known[t] = made
	return made, nil
}

// scepClient makes the client for the requests that carry no identity but their own.
func scepClient(c *Config, pool *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout: c.Timeout,
		Transport: &http.Transport{
			DialContext:            c.Dial,
			TLSClientConfig:        &tls.Config{RootCAs: pool, Time: c.Clock, CurvePreferences: c.Curves, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    c.Timeout,
			MaxIdleConnsPerHost:    64, // of a fleet that enrols: a handshake for each is a tenth of the enrolment
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(r *http.Request, before []*http.Request) error {
			switch {
			case r.URL.Host != before[0].URL.Host || r.URL.Scheme != before[0].URL.Scheme:
				return ErrElsewhere
			case len(before) > maxHops:
				return ErrCircle
			}
			return nil
		},
	}
}

var (
	// ErrElsewhere is wrapped by the error of a request that was redirected out of its host.
	ErrElsewhere = errors.New("redirected to another host")
	// ErrCircle is wrapped by the error of one that was redirected within it too often.
	ErrCircle = errors.New("redirected too often")
	// ErrTooLong is wrapped by the error of one whose answer is longer than is read.
	ErrTooLong = errors.New("the answer is longer than is read")
)
