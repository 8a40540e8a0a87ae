package link

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A device can be given its identity in place of SCEP; Before is called for each request, and an answer of 200 that is none
// of an MDM server's is told to the watcher.
func TestGivenIdentity(t *testing.T) {
	s := serve(t, nil)
	var watched record
	var steps []string
	l := s.link(Config{
		Watcher: &watched,
		Before: func(_ context.Context, d protocol.Device, step dialect.Step) {
			if d != 1 {
				t.Errorf("device %d", d)
			}
			steps = append(steps, step.String())
		},
		Identity: func(d *dialect.Apple, asked *dialect.SCEP) (crypto.Signer, *x509.Certificate, error) {
			if asked.URL != s.URL+"/scep" {
				t.Errorf("asked for %+v", asked)
			}
			key, err := certs.GenerateKey(certs.P256)
			if err != nil {
				return nil, nil, err
			}
			c, err := s.ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: d.UDID(), Now: noon})
			return key, c, err
		},
	})
	d := s.enrolled(l, 1)
	if got := d.Identity().Serial; s.serials[got] != 2 {
		t.Errorf("requests by serial number %v, want 2 by %s", s.serials, got)
	}
	if want := []string{"profile", "SCEP", "Authenticate", "TokenUpdate"}; !slices.Equal(steps, want) {
		t.Errorf("before %q, want %q", steps, want)
	}
	s.mu.Lock()
	s.before = func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		io.WriteString(w, "<html>Sign in</html>")
		return true
	}
	s.mu.Unlock()
	if _, err := l.Converse(t.Context(), d, dialect.Synced); err == nil {
		t.Error("a page was taken for a command")
	}
	if last := watched.list[len(watched.list)-1]; last.Status != 200 || last.Err == nil {
		t.Errorf("watched %+v", last)
	}
}

// With CertificateHeader the certificate is in a header (RFC 9440) and not in TLS.
func TestCertificateHeader(t *testing.T) {
	s := serve(t, nil)
	headers := 0
	var l *Link
	d := device(1)
	s.before = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.Method != http.MethodPut {
			return false
		}
		headers++
		if len(r.TLS.PeerCertificates) > 0 {
			t.Error("a certificate in TLS too")
		}
		text := r.Header.Get("X-Client-Cert")
		der, err := base64.StdEncoding.DecodeString(strings.Trim(text, ":"))
		if err != nil || !strings.HasPrefix(text, ":") || !strings.HasSuffix(text, ":") || !bytes.Equal(der, d.Certificate(dialect.Current)) {
			t.Errorf("header %q (%v)", text, err)
		}
		return true
	}
	l = s.link(Config{CertificateHeader: "X-Client-Cert"})
	if _, err := l.Enrol(t.Context(), d, dialect.Start{URL: s.URL + "/enrol"}); err != nil || headers != 2 {
		t.Errorf("%v, %d headers", err, headers)
	}
}

// With SignatureAlone Apple's devices have no certificate in TLS; others have.
func TestSignatureAlone(t *testing.T) {
	s := serve(t, nil)
	asked := 0
	s.edit = func(p *apple.Profile) { p.Payloads[0].MDM.SignMessage = true }
	s.before = func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.Method == http.MethodPut {
			if asked++; len(r.TLS.PeerCertificates) > 0 || r.Header.Get("Mdm-Signature") == "" {
				t.Errorf("%d certificates in TLS, signature %q", len(r.TLS.PeerCertificates), r.Header.Get("Mdm-Signature"))
			}
		}
		return r.Method == http.MethodPut
	}
	l := s.link(Config{SignatureAlone: true})
	if _, err := l.Enrol(t.Context(), device(1), dialect.Start{URL: s.URL + "/enrol"}); err != nil || asked != 2 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}

// A server that does not answer on a kept connection has the request: the device does not send it again by itself, which
// would double the load of a server that is slow already (HST-112).
func TestHST112SilentServerIsAskedOnce(t *testing.T) {
	s := serve(t, nil)
	var watched record
	var dialled net.Conn
	l := s.link(Config{KeepOpen: true, Watcher: &watched, Dial: func(ctx context.Context, network, address string) (_ net.Conn, err error) {
		dialled, err = new(net.Dialer).DialContext(ctx, network, address)
		return dialled, err
	}})
	d := s.enrolled(l, 1)
	release := make(chan struct{})
	defer close(release)
	var asked atomic.Int32
	s.mu.Lock()
	s.before = func(http.ResponseWriter, *http.Request, []byte) bool {
		asked.Add(1)
		s.mu.Unlock()
		dialled.SetReadDeadline(time.Unix(1, 0)) // the device's patience is over
		<-release
		s.mu.Lock()
		return true
	}
	s.mu.Unlock()
	if _, err := l.Converse(t.Context(), d, dialect.Synced); err == nil {
		t.Error("nobody answered, and that was taken for an answer")
	}
	if last := watched.list[len(watched.list)-1]; asked.Load() != 1 || last.Connected || last.Status != 0 {
		t.Errorf("asked %d times, %+v; want once, on the connection that was kept", asked.Load(), last)
	}
}
