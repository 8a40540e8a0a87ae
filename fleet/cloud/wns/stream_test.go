package wns

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"rollcall/fleet/cloud"
	"rollcall/protocol/wake"
)

// A machine is the device's end of a stream.
type machine struct {
	*tls.Conn
	t *testing.T
}

// machines has s take streams, and returns what makes one, which says its secret and name; stop waits for all of them to end.
func (s *sender) machines() (machineOf func(secret byte, pfn string) *machine, stop func()) {
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
	return func(secret byte, pfn string) *machine {
		conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: roots, Time: s.service.cfg.Now, NextProtos: []string{wake.WNS}})
		if err != nil {
			s.Fatal(err)
		}
		s.Cleanup(func() { conn.Close() })
		m := &machine{conn, s.T}
		m.say(wake.Hello, bytes.Repeat([]byte{secret}, wake.TokenSize), []byte(pfn))
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

// A machine hears at which channel it is reached, the same one each time, and gets what comes there until it has said that it has it.
func TestAStreamStoresAndForwards(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	machineOf, stop := s.machines()
	m := machineOf(1, pfn)
	channel := m.want(wake.Welcome)
	push := func(body string) {
		t.Helper()
		if got := s.send(channel, body, "X-WNS-Cache-Policy", "cache"); got.StatusCode != http.StatusOK {
			t.Fatalf("%q: %s", body, got.Status)
		}
	}
	push("one")
	if got := m.want(wake.Push); got[4:] != "one" {
		t.Errorf("it got %q", got)
	}
	m = machineOf(1, pfn) // the old stream ends without a word of it
	if again := m.want(wake.Welcome); again != channel {
		t.Errorf("it is reached at %q, and was at %q", again, channel)
	}
	got := m.want(wake.Push)
	if got[4:] != "one" {
		t.Errorf("it got %q", got)
	}
	m.say(wake.Got, []byte(got[:4]))
	m.say(wake.Ping)
	m.want(wake.Pong)                   // it has heard both
	s.pass(ChannelLife + time.Hour)     // a channel lasts while a stream is up
	s.signedIn()                        // the token has ended
	push("two")                         // at once
	if m.want(wake.Push)[4:] != "two" { // and nothing before it
		t.Error("it did not get the second")
	}
	stop()
	push("three")
	if n := s.service.Counters(); n.Accepted != 3 || n.Waiting != 1 || n.Delivered != 1 || n.Replaced != 1 {
		t.Errorf("counted %+v", n)
	}
	s.pass(ChannelLife)
	s.signedIn()
	if got := s.send(channel, "four"); got.StatusCode != http.StatusGone {
		t.Errorf("30 days after its stream the channel answers %s", got.Status)
	}
}

// Nobody has a channel of an app that is not known, and nobody costs memory who makes secrets up.
func TestAStreamIsTheMachines(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	machineOf, stop := s.machines()
	if got := machineOf(1, "Other_8wekyb3d8bbwe").want(wake.Bye); got != "no app here has that package family name" {
		t.Errorf("it says %q", got)
	}
	first, second := machineOf(1, pfn), machineOf(2, pfn)
	channel, other := first.want(wake.Welcome), second.want(wake.Welcome)
	if channel == other {
		t.Fatal("two machines have one channel")
	}
	s.send(other, "for the second")
	if got := second.want(wake.Push); got[4:] != "for the second" {
		t.Errorf("it got %q", got)
	}
	stop()
	if n := s.service.Counters(); n.Channels != 1 {
		t.Errorf("%d channels are kept, want that which was sent to", n.Channels)
	}
}

// What is not to be kept reaches a machine from the moment it has its stream on: nothing is lost between that and the welcome.
func TestAStreamIsReachedAtOnce(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	var st cloud.Stream
	channel, why := s.service.Doorman().Online(&st, [wake.TokenSize]byte{1}, pfn)
	if why != "" {
		t.Fatal(why)
	}
	s.send(channel, "now or never")
	if n, _ := st.Deliver(nil, nil); n == nil {
		t.Error("it did not get the notification")
	}
}
