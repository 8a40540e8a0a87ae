package interop

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/fleet/cloud/apns"
)

const (
	topic      = "com.apple.mgmt.External.11111111-2222-4333-8444-555555555555"
	otherTopic = "com.apple.mgmt.External.99999999-2222-4333-8444-555555555555"
	pushHost   = "api.push.apple.com" // that nanopush insists on
)

// must unwraps a result that only a broken machine or a broken test can deny.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// rsaKey and spareKey are the RSA keys of all tests: making one takes a while.
var (
	rsaKey   = sync.OnceValue(makeKey)
	spareKey = sync.OnceValue(makeKey)
)

// oneKey signs the SCEP messages of our devices.
func oneKey() []*rsa.PrivateKey { return []*rsa.PrivateKey{rsaKey()} }

func makeKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// rsaAuthority is an authority whose own key does SCEP; ecAuthority has a registration authority for that.
var (
	rsaAuthority = sync.OnceValues(func() (*certs.Authority, error) {
		return certs.NewAuthority(certs.RSA2048, "interop RSA CA", time.Now())
	})
	ecAuthority = sync.OnceValues(func() (*certs.Authority, error) { return certs.NewAuthority(certs.P256, "interop CA", time.Now()) })
)

func authority(t testing.TB) *certs.Authority {
	t.Helper()
	return must(ecAuthority())(t)
}

// identity is a certificate of ca with a key of its own.
func identity(t testing.TB, ca *certs.Authority, handle string) certs.Signer {
	t.Helper()
	key := must(certs.GenerateKey(certs.P256))(t)
	c := must(ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: handle, Now: time.Now()}))(t)
	return certs.Signer{Certificate: c, Key: key}
}

// rsaIdentity is identity with the RSA key of all tests.
func rsaIdentity(t testing.TB, ca *certs.Authority, handle string) certs.Signer {
	t.Helper()
	c := must(ca.Issue(certs.IssueRequest{Public: rsaKey().Public(), Handle: handle, Now: time.Now()}))(t)
	return certs.Signer{Certificate: c, Key: rsaKey()}
}

func tlsCertificate(s certs.Signer) *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{s.Certificate.Raw}, PrivateKey: s.Key, Leaf: s.Certificate}
}

func poolOf(list ...*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range list {
		pool.AddCert(c)
	}
	return pool
}

// serve puts h behind TLS on loopback with a certificate of ca and returns its URL. It asks for client certificates
// of clients, unless that is nil.
func serve(t testing.TB, ca *certs.Authority, h http.Handler, clients *x509.Certificate) string {
	t.Helper()
	key := must(certs.GenerateKey(certs.P256))(t)
	face := must(ca.IssueServer([]string{"127.0.0.1"}, key.Public(), time.Now(), 0))(t)
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that are meant to fail
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*tlsCertificate(certs.Signer{Certificate: face, Key: key})}}
	if clients != nil {
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.VerifyClientCertIfGiven, poolOf(clients)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// clientOf trusts ca and shows the certificate of who, unless that has none.
func clientOf(t testing.TB, ca *certs.Authority, who certs.Signer) *http.Client {
	t.Helper()
	return clientTrusting(t, poolOf(ca.Certificate()), who)
}

func clientTrusting(t testing.TB, roots *x509.CertPool, who certs.Signer) *http.Client {
	t.Helper()
	config := &tls.Config{RootCAs: roots}
	if who.Certificate != nil {
		config.Certificates = []tls.Certificate{*tlsCertificate(who)}
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// A cloud is our simulated APNs on loopback.
type cloud struct {
	*apns.Service
	addr  string
	roots *x509.CertPool
}

func startAPNs(t testing.TB, c apns.Config) *cloud {
	t.Helper()
	s := must(apns.New(c))(t)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("APNs: %v", err)
		}
	})
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CA()) {
		t.Fatal("APNs: CA is no PEM")
	}
	return &cloud{Service: s, addr: listener.Addr().String(), roots: roots}
}

// inbox connects a device and returns what reaches it. It holds more than any test sends.
func (c *cloud) inbox(token []byte) <-chan apns.Notification {
	box := make(chan apns.Notification, 100)
	c.Connect(token, func(n apns.Notification) { box <- n })
	return box
}

// arrived is what has reached a device. APNs answers a push after it has delivered it, so there is nothing to wait for.
func arrived(t testing.TB, box <-chan apns.Notification) apns.Notification {
	t.Helper()
	select {
	case n := <-box:
		return n
	default:
		t.Fatal("no push reached the device")
		return apns.Notification{}
	}
}

// pushCertificate is one that the portal might have made for topic.
func pushCertificate(t testing.TB, topic string) *certs.Push {
	t.Helper()
	now := time.Now()
	return must(certs.MakePush(must(pushAuthority())(t), topic, now.Add(-time.Hour), now.AddDate(1, 0, 0)))(t)
}

var pushAuthority = sync.OnceValues(func() (*certs.Authority, error) { return certs.NewAuthority(certs.P256, "push CA", time.Now()) })
