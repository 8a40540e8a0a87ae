package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"

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
}

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
			TLSClientConfig:        &tls.Config{RootCAs: pool, Time: c.Now, CurvePreferences: c.Curves, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    c.Timeout,
			MaxIdleConnsPerHost:    4,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(r *http.Request, before []*http.Request) error {
			if r.URL.Host != before[0].URL.Host || r.URL.Scheme != before[0].URL.Scheme || len(before) > maxHops {
				return ErrElsewhere
			}
			return nil
		},
	}
}

// ErrElsewhere is wrapped by the error of a request that was redirected out of its host.
var ErrElsewhere = errors.New("redirected to another host, or too often")
