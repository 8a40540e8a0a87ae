package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/certs"
	"rollcall/protocol"
)

// A wire is a network of pipes: what listens on it and what dials it can live in a bubble of package synctest, where time
// passes only while all wait, so that every latency is exact.
type wire struct {
	calls chan net.Conn
	end   chan struct{}
	once  sync.Once

	refusal atomic.Pointer[error] // of all that dial; nil: none
}

func newWire() *wire { return &wire{calls: make(chan net.Conn), end: make(chan struct{})} }

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.calls:
		return c, nil
	case <-w.end:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.end) })
	return nil
}

type name string

func (name) Network() string  { return "pipe" }
func (n name) String() string { return string(n) }

func (w *wire) Addr() net.Addr { return name("127.0.0.1:443") }

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if no := w.refusal.Load(); no != nil {
		return nil, *no
	}
	ours, theirs := net.Pipe()
	select {
	case w.calls <- theirs:
		return ours, nil
	case <-w.end:
		return nil, errors.New("nobody listens")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A rig is a server on a wire and a load on it.
type rig struct {
	t    *testing.T
	wire *wire
	ca   *certs.Authority
	http *http.Server
	busy atomic.Int64 // handlers at work; no WaitGroup: one comes to be busy while close waits for another

	weather *weather // between it and the devices; nil: fine
}

// newRig serves h. It must be made within the bubble, and closed there.
func newRig(t *testing.T, h http.HandlerFunc) *rig {
	t.Helper()
	r := &rig{t: t, wire: newWire()}
	var err error
	if r.ca, err = certs.NewIssuer("test CA", time.Now()); err != nil {
		t.Fatal(err)
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	own, err := r.ca.IssueServer([]string{"127.0.0.1"}, key.Public(), time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	r.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			r.busy.Add(1)
			defer r.busy.Add(-1)
			h(w, q)
		}), ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{own.Raw}, PrivateKey: key}}, ClientAuth: tls.RequestClientCert},
	}
	go r.http.ServeTLS(r.wire, "", "")
	return r
}

func (r *rig) close() {
	r.http.Close()
	r.wire.Close()
	synctest.Wait() // nobody is between its request and its handler now
	for r.busy.Load() > 0 {
		time.Sleep(time.Millisecond) // of the bubble
	}
}

// load makes a load of n devices on the rig's server.
func (r *rig) load(n int, c Config) *Load {
	r.t.Helper()
	for i := range n {
		c.Devices = append(c.Devices, newPhone(i))
	}
	c.Link.Roots = x509.NewCertPool()
	c.Link.Roots.AddCert(r.ca.Certificate())
	c.Link.Dial = r.wire.dial
	if w := r.weather; w != nil {
		c.Link.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := r.wire.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &far{Conn: conn, w: w}, nil
		}
	}
	if c.Link.TransportKeys == nil {
		c.Link.Identity = Mint(r.ca, time.Now)
	}
	e := Endpoint{ServerURL: "https://127.0.0.1/mdm", Topic: "com.apple.mgmt.External.x"}
	profile, err := e.Profile()
	if err != nil {
		r.t.Fatal(err)
	}
	c.Start = ByProfile(profile)
	l, err := New(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// run enrols and runs, and returns what was noted.
func (r *rig) run(n int, c Config) (*Load, *book) {
	r.t.Helper()
	l := r.load(n, c)
	defer l.Close()
	if _, err := l.Enrol(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	if err := l.Run(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return l, l.total()
}

var kept = link.Config{KeepOpen: true}

func newPhone(i int) *dialect.Apple {
	who := dialect.Who{Number: protocol.Device(i + 1), Seed: uint64(i), UDID: fmt.Sprintf("00008101-%016X", i), Serial: fmt.Sprintf("RC%08d", i)}
	return dialect.NewApple(who, phone, &dialect.Habits{})
}
