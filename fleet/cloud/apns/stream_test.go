package apns

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/fleet/cloud"
	"rollcall/protocol/wake"
)

// devices has b take streams; stop waits for all of them to end.
func (b *bench) devices() (addr string, stop func()) {
	b.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.ServeDevices(ctx, ln, nil) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("ServeDevices: %v", err)
		}
	})
	b.t.Cleanup(stop)
	return ln.Addr().String(), stop
}

// A machine is the device's end of a stream.
type machine struct {
	*tls.Conn
	t testing.TB
}

func (b *bench) machine(addr string, tok []byte, topic string) *machine {
	b.t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.machineOn(raw, tok, topic)
}

func (b *bench) machineOn(raw net.Conn, tok []byte, topic string) *machine {
	config := b.clientTLS(nil)
	config.NextProtos = []string{wake.APNs}
	m := &machine{tls.Client(raw, config), b.t}
	b.t.Cleanup(func() { raw.Close() })
	m.send(wake.Hello, tok, []byte(topic))
	return m
}

func (m *machine) send(kind wake.Kind, parts ...[]byte) {
	m.t.Helper()
	if _, err := m.Write(wake.AppendFrame(nil, kind, parts...)); err != nil {
		m.t.Fatal(err)
	}
}

// want reads a frame of a kind, and returns its body.
func (m *machine) want(kind wake.Kind) []byte {
	m.t.Helper()
	f, err := wake.ReadFrame(m, nil)
	if err != nil || f.Kind != kind {
		m.t.Fatalf("got kind %d %q, %v; want kind %d", f.Kind, f.Body, err, kind)
	}
	return f.Body
}

func (m *machine) wantPush(payload string) (number []byte) {
	m.t.Helper()
	b := m.want(wake.Push)
	if string(b[4:]) != payload {
		m.t.Fatalf("push %q, want %q", b[4:], payload)
	}
	return b[:4]
}

// A device that comes gets the last notification, and gets it again until it has said that it has it.
func TestAPL107AStreamStoresAndForwards(t *testing.T) {
	t.Parallel()
	b := start(t, Config{})
	addr, stop := b.devices()
	tok := b.Register(topic)
	c := b.client(identity(t, nil))
	push := func(s string) {
		t.Helper()
		if got := b.do(c, b.request(tok, body(s))); got.status != 200 {
			t.Fatalf("push: %+v", got)
		}
	}
	push("one")
	push("two")
	m := b.machine(addr, tok, topic)
	m.want(wake.Welcome)
	m.wantPush("two")
	m = b.machine(addr, tok, topic) // the old stream ends without a word of the push
	m.want(wake.Welcome)
	number := m.wantPush("two")
	m.send(wake.Got, number)
	m.send(wake.Ping)
	m.want(wake.Pong) // it has heard both
	push("three")     // at once
	m.send(wake.Got, m.wantPush("three"))
	m.send(wake.Ping)
	m.want(wake.Pong)
	m = b.machine(addr, tok, topic)
	m.want(wake.Welcome)
	push("four") // nothing of what was got came again
	m.wantPush("four")
	stop()
	push("five")
	n := b.Counters()
	if n.Streams != 0 || n.Accepted != 5 || n.Delivered != 2 || n.Replaced != 2 || n.Waiting != 1 { // two and three; one, and four, which nobody said to have; five
		t.Errorf("counted %+v", n)
	}
}

func TestAPL107AStreamHonoursExpiration(t *testing.T) {
	t.Parallel()
	b := start(t, Config{})
	addr, _ := b.devices()
	tok := b.Register(topic)
	r := b.request(tok, body("old"))
	r.Header.Set("apns-expiration", fmt.Sprint(noon.Add(time.Minute).Unix()))
	c := b.client(identity(t, nil))
	b.do(c, r)
	b.advance(time.Minute)
	m := b.machine(addr, tok, topic)
	m.want(wake.Welcome)
	b.do(c, b.request(tok, body("new")))
	m.wantPush("new")
}

// What is not to be kept reaches a device that comes from the moment it has its stream on: nothing is lost between that and the welcome.
func TestAStreamIsReachedAtOnce(t *testing.T) {
	t.Parallel()
	b := start(t, Config{})
	tok := b.Register(topic)
	var st cloud.Stream
	if _, why := b.Doorman().Online(&st, [TokenSize]byte(tok), topic); why != "" {
		t.Fatal(why)
	}
	b.do(b.client(identity(t, nil)), b.request(tok, header("apns-expiration", "0")))
	if n, _ := st.Deliver(nil, nil); n == nil {
		t.Error("it did not get a push")
	}
}

// Nobody gets the pushes of a device without its token, and nobody costs memory who made one up.
func TestAStreamIsTheDevices(t *testing.T) {
	t.Parallel()
	b := start(t, Config{})
	addr, _ := b.devices()
	tok := b.Register(topic)
	gone := b.Register(topic)
	b.Unregister(gone)
	for _, tt := range []struct {
		name  string
		tok   []byte
		topic string
		want  string
	}{
		{"unknown", make([]byte, TokenSize), topic, "the token is not known here"},
		{"of another topic", tok, "com.apple.mgmt.External.other", "the token is of another topic"},
		{"unregistered", gone, topic, "the token is not valid any more"},
		{"no topic", tok, "a b", "no topic can be called that"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(b.machine(addr, tt.tok, tt.topic).want(wake.Bye)); got != tt.want {
				t.Errorf("it says %q", got)
			}
		})
	}
	any := start(t, Config{AnyToken: true})
	addr, stop := any.devices()
	m := any.machine(addr, tok, topic)
	m.want(wake.Welcome)
	other := any.machine(addr, gone, topic)
	other.want(wake.Welcome)
	any.do(any.client(identity(t, nil)), any.request(tok, nil))
	m.wantPush(`{"mdm":"magic"}`)
	stop()
	if n := any.Counters(); n.Registered != 1 || n.Waiting != 1 {
		t.Errorf("counted %+v", n)
	}
}

// The stream of a machine that is gone without a word ends after two and a half beats; one that beats stays.
func TestAQuietStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{Service: s, t: t, now: time.Now()}
		ours, theirs := net.Pipe()
		config := &tls.Config{Certificates: s.tls.Certificates, NextProtos: []string{wake.APNs}, SessionTicketsDisabled: true}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			cloud.ServeStream(theirs, config, s.Doorman())
		}()
		m := b.machineOn(ours, s.Register(topic), topic)
		m.want(wake.Welcome)
		begun := time.Now()
		for range 5 {
			time.Sleep(wake.Beat)
			m.send(wake.Ping)
			m.want(wake.Pong)
		}
		if _, err := m.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("read %v", err)
		}
		<-ended
		if lasted := time.Since(begun); lasted != 5*wake.Beat+cloud.SilentFor {
			t.Errorf("it lasted %v", lasted)
		}
	})
}

// What a thousand streams cost: heap and stacks of the service's end and of the device's, which are both in this process.
func BenchmarkStreams(b *testing.B) {
	s := start(b, Config{AnyToken: true})
	const streams = 1000
	for b.Loop() {
		addr, stop := s.devices()
		before := memory()
		conns := make([]*machine, streams)
		for i := range conns {
			conns[i] = s.machine(addr, binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i)), topic)
			conns[i].want(wake.Welcome)
		}
		b.ReportMetric(float64(memory()-before)/streams, "bytes/stream")
		for _, c := range conns {
			c.NetConn().Close()
		}
		stop()
	}
}

func memory() uint64 {
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
