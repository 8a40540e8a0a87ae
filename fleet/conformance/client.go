package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"rollcall/certs"
)

// How requests go out, of devices of all kinds.

// exchange sends one request.
func (r *run) exchange(ctx context.Context, client *http.Client, method, url, what string, header http.Header, body []byte) *Exchange {
	x := &Exchange{What: what, Request: method + " " + url, Header: shownHeader(header), Sent: shown(body, mostShown), length: -1}
	defer r.heard(x)
	ctx, cancel := context.WithTimeout(ctx, r.Request)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		x.err = err
		x.Error = err.Error()
		return x
	}
	req.Header = header
	if req.Header == nil {
		req.Header = http.Header{}
	}
	resp, err := client.Do(req)
	if err == nil {
		defer resp.Body.Close()
		x.body, err = io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	}
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("nothing within %s: %w", r.Request, err)
		}
		x.err, x.Error = err, err.Error()
		return x
	}
	x.Status, x.header, x.length = resp.StatusCode, resp.Header, resp.ContentLength
	x.Answer, x.Received = shownHeader(resp.Header), shown(x.body, mostShown)
	return x
}

// answer says how an exchange was answered.
func (x *Exchange) answer() string {
	if x.Status == 0 {
		return "by nothing: " + x.Error
	}
	return fmt.Sprintf("%d %s", x.Status, http.StatusText(x.Status))
}

// timedOut tells whether the server kept silent, where it could have broken the connection.
func (x *Exchange) timedOut() bool {
	return x.Status == 0 && (errors.Is(x.err, context.DeadlineExceeded) || isTimeout(x.err))
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// clients are the connections of a run's devices.
type clients struct {
	run *run
	mu  sync.Mutex
	all []*http.Transport
}

func newClients(r *run) *clients { return &clients{run: r} }

// of makes a client that presents who, whatever the server hints at, and trusts what the run and the device's profile do.
func (c *clients) of(who certs.Signer, anchors []*x509.Certificate) *http.Client {
	return c.from(nil, who, anchors)
}

// from is of with an address of this machine that connections come from; nil: any.
func (c *clients) from(from net.IP, who certs.Signer, anchors []*x509.Certificate) *http.Client {
	config := &tls.Config{RootCAs: c.run.trusts(anchors), Time: c.run.now, MinVersion: tls.VersionTLS12}
	if who.Certificate != nil {
		present := &tls.Certificate{Certificate: [][]byte{who.Certificate.Raw}, PrivateKey: who.Key}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return present, nil }
	}
	var only http.Protocols
	only.SetHTTP1(true)
	t := &http.Transport{TLSClientConfig: config, Protocols: &only, DisableCompression: true, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: c.run.Request}
	if from != nil {
		t.DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).DialContext
	}
	c.mu.Lock()
	c.all = append(c.all, t)
	c.mu.Unlock()
	return &http.Client{Transport: t, CheckRedirect: follow}
}

// trusts are the roots of a device: those of the run, else the system's, and what its profile brings.
func (r *run) trusts(anchors []*x509.Certificate) *x509.CertPool {
	if r.Roots != nil {
		return beside(r.Roots, anchors)
	}
	return beside(systemRoots(), anchors)
}

// systemRoots are this system's, where it has some.
func systemRoots() *x509.CertPool {
	if system, err := x509.SystemCertPool(); err == nil {
		return system
	}
	return x509.NewCertPool()
}

// beside is pool with anchors.
func beside(pool *x509.CertPool, anchors []*x509.Certificate) *x509.CertPool {
	if len(anchors) == 0 {
		return pool
	}
	pool = pool.Clone()
	for _, a := range anchors {
		pool.AddCert(a)
	}
	return pool
}

// follow follows a redirection as a device does (apple.md section 12), but to no other host, and not where the request would
// become another.
func follow(next *http.Request, before []*http.Request) error {
	first := before[0]
	if len(before) >= 10 || next.URL.Hostname() != first.URL.Hostname() || next.URL.Scheme != first.URL.Scheme || next.Method != first.Method {
		return http.ErrUseLastResponse
	}
	return nil
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.all {
		t.CloseIdleConnections()
	}
}
