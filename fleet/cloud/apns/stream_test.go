package apns

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/fleet/cloud"
	"rollcall/fleet/cloud/streamtest"
	"rollcall/protocol/wake"
)

func (b *bench) machine(addr string, tok []byte, topic string) *streamtest.Machine {
	b.t.Helper()
	return streamtest.Dial(b.t, addr, b.machineTLS(), string(tok)+topic)
}

func (b *bench) machineTLS() *tls.Config {
	config := b.clientTLS(nil)
	config.NextProtos = []string{wake.APNs}
	return config
}

// A device that comes gets the last notification, and gets it again until it has said that it has it.
func TestAPL107AStreamStoresAndForwards(t *testing.T) {
	t.Parallel()
	b := start(t, Config{})
	addr, stop := streamtest.Serve(t, b.Doorman())
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
	m.Want(wake.Welcome)
	m.WantPush("two")
	m = b.machine(addr, tok, topic) // the old stream ends without a word of the push
	m.Want(wake.Welcome)
	m.Got(m.WantPush("two"))
	push("three") // at once
	m.Got(m.WantPush("three"))
	m = b.machine(addr, tok, topic)
	m.Want(wake.Welcome)
	push("four") // nothing of what was got came again
	m.WantPush("four")
	push("five") // in place of it
	m.WantPush("five")
	stop()
	push("six")
	n := b.Counters()
	if n.Streams != 0 || n.Accepted != 6 || n.Delivered != 2 || n.Replaced != 3 || n.Waiting != 1 { // two and three; one, and four and five, which nobody said to have; six
		t.Errorf("counted %+v", n)
	}
}

func TestAPL107AStreamHonoursExpiration(t *testing.T) {
	t.Parallel()
	b := start(t, Config{})
	addr, _ := streamtest.Serve(t, b.Doorman())
	tok := b.Register(topic)
	r := b.request(tok, body("old"))
	r.Header.Set("apns-expiration", fmt.Sprint(noon.Add(time.Minute).Unix()))
	c := b.client(identity(t, nil))
	b.do(c, r)
	b.advance(time.Minute)
	m := b.machine(addr, tok, topic)
	m.Want(wake.Welcome)
	b.do(c, b.request(tok, body("new")))
	m.WantPush("new")
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
	if n := b.Counters(); n.Delivered != 1 {
		t.Errorf("counted %+v", n)
	}
}

// Nobody gets the pushes of a device without its token, and nobody costs memory who made one up.
func TestAStreamIsTheDevices(t *testing.T) {
	t.Parallel()
	b := start(t, Config{})
	addr, _ := streamtest.Serve(t, b.Doorman())
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
			if got := b.machine(addr, tt.tok, tt.topic).Want(wake.Bye); got != tt.want {
				t.Errorf("it says %q", got)
			}
		})
	}
	any := start(t, Config{AnyToken: true})
	addr, stop := streamtest.Serve(t, any.Doorman())
	m := any.machine(addr, tok, topic)
	m.Want(wake.Welcome)
	other := any.machine(addr, gone, topic)
	other.Want(wake.Welcome)
	any.do(any.client(identity(t, nil)), any.request(tok, nil))
	m.WantPush(`{"mdm":"magic"}`)
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
		m := streamtest.On(t, ours, b.machineTLS(), string(s.Register(topic))+topic)
		m.Want(wake.Welcome)
		begun := time.Now()
		for range 5 {
			time.Sleep(wake.Beat)
			m.Beat()
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
