package push

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

const topic = "com.apple.mgmt.External.6f1c"

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// An authority makes push certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "push"}, NotBefore: start.Add(-time.Hour),
		NotAfter: start.Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) issue(t testing.TB, end time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "APSP:1"}, NotBefore: start.Add(-time.Hour), NotAfter: end,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A service is a push service that answers as handler does, and a client of it.
type service struct {
	*httptest.Server
	apns   *APNs
	ca     *authority
	closed chan struct{} // one for each connection that has ended

	mu  sync.Mutex
	now time.Time
}

func (s *service) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *service) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func newService(t testing.TB, cfg Config, handler http.HandlerFunc) *service {
	t.Helper()
	s := &service{Server: httptest.NewUnstartedServer(handler), ca: newAuthority(t), now: start, closed: make(chan struct{}, 100)}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it says what the tests do to it
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			s.closed <- struct{}{}
		}
	}
	clients := x509.NewCertPool()
	clients.AddCert(s.ca.cert)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, Time: s.time}
	s.StartTLS()
	t.Cleanup(s.Close)
	cfg.URL, cfg.Now = s.URL, s.time
	cfg.Roots = x509.NewCertPool()
	cfg.Roots.AddCert(s.Certificate())
	var err error
	if s.apns, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.apns.Close)
	s.apns.SetCertificate(s.ca.issue(t, start.Add(100*time.Hour)), topic)
	return s
}

func notification() Notification {
	return Notification{Topic: topic, Magic: "9B3C1C47", Token: []byte{0xAB, 0xCD, 0x01}, Expires: start.Add(KeepWork)}
}

func answers(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}
