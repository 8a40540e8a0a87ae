package apns

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/fleet/cloud"
)

const topic = "com.apple.mgmt.External.6f1c"

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// A bench is a running service with a clock to turn and certificates to push with.
type bench struct {
	*Service
	t    testing.TB
	addr string
	stop func() // ends Serve and waits for it

	mu  sync.Mutex
	now time.Time
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func start(t testing.TB, c Config) *bench {
	t.Helper()
	b := &bench{t: t, now: noon}
	c.Now = b.clock
	if c.PerToken == (cloud.Rate{}) {
		c.PerToken = cloud.Rate{Messages: -1}
	}
	c.ErrorLog = log.New(io.Discard, "", 0)
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	b.Service = s
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

// identity makes a push certificate, signed by itself, valid for a year from noon on.
func identity(t testing.TB, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(7),
		Subject: pkix.Name{CommonName: "APSP:6f1c", ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: oidUID, Value: topic},
		}},
		NotBefore: noon.Add(-time.Hour), NotAfter: noon.AddDate(1, 0, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		IsCA:        true, BasicConstraintsValid: true,
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (b *bench) clientTLS(cert *tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b.CA()) {
		b.t.Fatal("CA: no certificate")
	}
	c := &tls.Config{RootCAs: pool, ServerName: "api.push.apple.com", Time: b.clock, NextProtos: []string{"h2"}}
	if cert != nil {
		c.Certificates = []tls.Certificate{*cert}
	}
	return c
}

// client is net/http's own, with HTTP/2.
func (b *bench) client(cert *tls.Certificate) *http.Client {
	tr := &http.Transport{TLSClientConfig: b.clientTLS(cert), ForceAttemptHTTP2: true}
	b.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

type response struct {
	status    int
	reason    Reason
	timestamp int64
	header    http.Header
	body      string
}

// request is a good push to tok; change may spoil it.
func (b *bench) request(tok []byte, change func(*http.Request)) *http.Request {
	b.t.Helper()
	r, err := http.NewRequest("POST", "https://"+b.addr+pathPrefix+hex.EncodeToString(tok), strings.NewReader(`{"mdm":"magic"}`))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("apns-topic", topic)
	r.Header.Set("apns-push-type", "mdm")
	r.Header.Set("apns-priority", "10")
	if change != nil {
		change(r)
	}
	return r
}

func (b *bench) do(c *http.Client, r *http.Request) response {
	b.t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		b.t.Fatalf("push: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatalf("push: %v", err)
	}
	if resp.ProtoMajor != 2 {
		b.t.Fatalf("answered in %s", resp.Proto)
	}
	got := response{status: resp.StatusCode, header: resp.Header, body: string(body)}
	if len(body) > 0 && resp.Header.Get("Content-Type") == "application/json" {
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		var a answer
		if err := d.Decode(&a); err != nil {
			b.t.Fatalf("answer %q: %v", body, err)
		}
		got.reason, got.timestamp = a.Reason, a.Timestamp
	}
	return got
}

// inbox is a device that remembers what it got.
type inbox struct {
	mu  sync.Mutex
	got []Notification
}

func (i *inbox) deliver(n Notification) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.got = append(i.got, n)
}

func (i *inbox) payloads() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var s []string
	for _, n := range i.got {
		s = append(s, string(n.Payload))
	}
	return strings.Join(s, " ")
}

func body(s string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(s))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
		r.ContentLength = int64(len(s))
	}
}

func header(k, v string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(k, v) }
}
