package cloud_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/fleet/cloud"
	"rollcall/fleet/cloud/streamtest"
	"rollcall/protocol/wake"
)

// Handshakes take turns, so that a thousand machines at once do not each hold what one takes; nobody waits long for callers that say
// nothing, and these are given up.
func TestHandshakesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert, ca, err := cloud.Certificate("test", time.Now(), "localhost")
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		d := &cloud.Doorman{
			ALPN: wake.APNs, Certificates: []tls.Certificate{*cert},
			Online:  func(*cloud.Stream, [wake.TokenSize]byte, string) (address, why string) { return "", "" },
			Offline: func(*cloud.Stream) {},
		}
		ln := make(pipes)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- cloud.ServeStreams(ctx, ln, nil, d) }()
		device := func() *streamtest.Machine {
			return streamtest.On(t, ln.dial(), &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{d.ALPN}}, string(make([]byte, wake.TokenSize)))
		}
		begun := time.Now()
		device().Want(wake.Welcome)
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("the first waits %v", waited)
		}
		silent := make([]net.Conn, 100)
		for i := range silent {
			silent[i] = ln.dial()
		}
		synctest.Wait()
		device().Want(wake.Welcome)
		if waited := time.Since(begun); waited == 0 || waited > 5*time.Second {
			t.Errorf("behind callers that say nothing it waits %v", waited)
		}
		for _, c := range silent {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("whoever says nothing is answered")
			}
		}
		if waited := time.Since(begun); waited > time.Minute {
			t.Errorf("whoever says nothing is given up after %v", waited)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// pipes is a listener without a network.
type pipes chan net.Conn

func (p pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p <- theirs
	return ours
}

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error {
	close(p)
	return nil
}

func (p pipes) Addr() net.Addr { return nil }

// What comes for a device between its hello and its welcome is sent after the welcome: the last of it. What it does not have is given
// back at the end of its stream, and from then on at once.
func TestAStreamIsWelcomedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert, ca, err := cloud.Certificate("test", time.Now(), "localhost")
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		ours, theirs := net.Pipe()
		var stream *cloud.Stream
		online := func(st *cloud.Stream, _ [wake.TokenSize]byte, _ string) (address, why string) {
			stream = st
			st.Deliver(1, []byte("one"))
			st.Deliver(2, []byte("two"))
			synctest.Wait() // whoever could send it now has
			return "here", ""
		}
		replaced, unread := make(chan any, 1), make(chan any, 1)
		d := &cloud.Doorman{
			ALPN: wake.APNs, Online: online, Offline: func(*cloud.Stream) {},
			Replaced: func(what any) { replaced <- what }, GiveBack: func(_ *cloud.Stream, what any) { unread <- what },
		}
		go cloud.ServeStream(theirs, &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{d.ALPN}, SessionTicketsDisabled: true}, d)
		device := streamtest.On(t, ours, &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{d.ALPN}}, string(make([]byte, wake.TokenSize)))
		if address := device.Want(wake.Welcome); address != "here" {
			t.Errorf("it is welcomed with %q", address)
		}
		if number := device.WantPush("two"); number != "\x00\x00\x00\x02" {
			t.Errorf("its number is %q", number)
		}
		if got := <-replaced; got != 1 {
			t.Errorf("the second displaced %v", got)
		}
		ours.Close()
		if got := <-unread; got != 2 {
			t.Errorf("%v is given back", got)
		}
		if stream.Deliver(3, []byte("three")); <-unread != 3 {
			t.Error("what comes after the end is not given back")
		}
	})
}
