// Package streamtest is the machine's end of a stream (package protocol/wake), for tests of the services that take streams.
//
// Start with [Serve], and [Dial] what it serves. What does not go as a test wants it ends the test.
package streamtest

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"

	"rollcall/fleet/cloud"
	"rollcall/protocol/wake"
)

// Serve has a doorman take streams at addr until stop, or the test's end; stop waits for all of them to end.
func Serve(t testing.TB, d *cloud.Doorman) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cloud.ServeStreams(ctx, ln, nil, d) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ServeStreams: %v", err)
		}
	})
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

// A Machine is the device's end of a stream.
type Machine struct {
	*tls.Conn
	t testing.TB
}

// Dial opens a stream and says its hello: a token, and the topic behind it.
func Dial(t testing.TB, addr string, config *tls.Config, hello string) *Machine {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return On(t, raw, config, hello)
}

// On is Dial of a connection that is there.
func On(t testing.TB, raw net.Conn, config *tls.Config, hello string) *Machine {
	t.Helper()
	m := &Machine{tls.Client(raw, config), t}
	t.Cleanup(func() { raw.Close() })
	m.Say(wake.Hello, hello)
	return m
}

// Say writes a frame.
func (m *Machine) Say(kind wake.Kind, body string) {
	m.t.Helper()
	if _, err := m.Write(wake.AppendFrame(nil, kind, []byte(body))); err != nil {
		m.t.Fatal(err)
	}
}

// Want reads a frame of a kind, and returns its body.
func (m *Machine) Want(kind wake.Kind) string {
	m.t.Helper()
	f, err := wake.ReadFrame(m, nil)
	if err != nil || f.Kind != kind {
		m.t.Fatalf("got kind %d %q, %v; want kind %d", f.Kind, f.Body, err, kind)
	}
	return string(f.Body)
}

// WantPush reads a push with a payload, and returns its number.
func (m *Machine) WantPush(payload string) (number string) {
	m.t.Helper()
	b := m.Want(wake.Push)
	if b[4:] != payload {
		m.t.Fatalf("push %q, want %q", b[4:], payload)
	}
	return b[:4]
}

// Got says that the machine has a push; the service has heard it when Got returns.
func (m *Machine) Got(number string) {
	m.t.Helper()
	m.Say(wake.Got, number)
	m.Beat()
}

// Beat is a ping and its pong.
func (m *Machine) Beat() {
	m.t.Helper()
	m.Say(wake.Ping, "")
	m.Want(wake.Pong)
}
