package google

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"sync"
	"testing"

	"rollcall/fleet/cloud"
	"rollcall/protocol/wake"
)

// A machine is the device's end of a stream.
type machine struct {
	*tls.Conn
	t *testing.T
}

// machines has s take streams, and returns what makes one, which says its secret; stop waits for all of them to end.
func (s *sender) machines() (machineOf func(secret byte) *machine, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.service.ServeDevices(ctx, ln, nil) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.Errorf("ServeDevices: %v", err)
		}
	})
	s.Cleanup(stop)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.service.CA())
	return func(secret byte) *machine {
		conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: roots, NextProtos: []string{wake.FCM}})
		if err != nil {
			s.Fatal(err)
		}
		s.Cleanup(func() { conn.Close() })
		m := &machine{conn, s.T}
		m.say(wake.Hello, bytes.Repeat([]byte{secret}, wake.TokenSize))
		return m
	}, stop
}

func (m *machine) say(kind wake.Kind, parts ...[]byte) {
	m.t.Helper()
	if _, err := m.Write(wake.AppendFrame(nil, kind, parts...)); err != nil {
		m.t.Fatal(err)
	}
}

// want reads a frame of a kind, and returns its body.
func (m *machine) want(kind wake.Kind) string {
	m.t.Helper()
	f, err := wake.ReadFrame(m, nil)
	if err != nil || f.Kind != kind {
		m.t.Fatalf("got kind %d %q, %v; want kind %d", f.Kind, f.Body, err, kind)
	}
	return string(f.Body)
}

// TestAND091AStreamStoresAndForwards: a machine hears under which id it is reached, the same one each time, and is woken until it has said
// that it was. Nobody costs memory who makes secrets up.
func TestAND091AStreamStoresAndForwards(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	machineOf, stop := s.machines()
	m, idle := machineOf(1), machineOf(2)
	id := m.want(wake.Welcome)
	if other := idle.want(wake.Welcome); other == id || len(id) != 22 {
		t.Fatalf("ids %q and %q", id, other)
	}
	push := func() {
		t.Helper()
		if o := s.send(wakeUp(id)); o.status != 200 {
			t.Fatalf("%+v", o)
		}
	}
	push()
	m.want(wake.Push)
	m = machineOf(1) // the old stream ends without a word of it
	if again := m.want(wake.Welcome); again != id {
		t.Errorf("it is reached at %q, and was at %q", again, id)
	}
	number := m.want(wake.Push)
	m.say(wake.Got, []byte(number))
	m.say(wake.Ping)
	m.want(wake.Pong) // it has heard both
	m = machineOf(1)
	m.want(wake.Welcome)
	m.say(wake.Ping)
	m.want(wake.Pong) // nothing of what was got came again
	stop()
	push()
	push()
	if n := s.service.Counters(); n.Registered != 1 || n.Accepted != 3 || n.Delivered != 1 || n.Replaced != 1 || n.Waiting != 1 {
		t.Errorf("counted %+v", n)
	}
}

// A message for now or never reaches a machine from the moment it has its stream on: nothing is lost between that and the welcome.
func TestAStreamIsReachedAtOnce(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	var st cloud.Stream
	id, why := s.service.Doorman().Online(&st, [wake.TokenSize]byte{1}, "")
	if why != "" {
		t.Fatal(why)
	}
	if o := s.send(strings.Replace(wakeUp(id), "28800s", "0s", 1)); o.status != 200 {
		t.Fatalf("%+v", o)
	}
	if m, _ := st.Deliver(nil, nil); m == nil {
		t.Error("it did not get the message")
	}
}
