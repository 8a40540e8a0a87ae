package cloud

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/protocol/wake"
)

// What comes for a device between its hello and its welcome is sent after the welcome: the last of it.
func TestAStreamIsWelcomedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cert, ca, err := Certificate("test", time.Now(), "localhost")
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		ours, theirs := net.Pipe()
		defer ours.Close()
		online := func(st *Stream, _ [wake.TokenSize]byte, _ string) (address, why string) {
			st.Deliver(1, []byte("one"))
			if replaced, ok := st.Deliver(2, []byte("two")); replaced != 1 || !ok {
				t.Errorf("the second displaced %v, %v", replaced, ok)
			}
			synctest.Wait() // whoever could send it now has
			return "here", ""
		}
		unread := make(chan any, 1)
		d := &Doorman{ALPN: wake.APNs, Online: online, Offline: func(*Stream) {}, GiveBack: func(_ *Stream, what any) { unread <- what }}
		go ServeStream(theirs, &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{d.ALPN}, SessionTicketsDisabled: true}, d)
		device := tls.Client(ours, &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{d.ALPN}})
		if _, err := device.Write(wake.AppendFrame(nil, wake.Hello, make([]byte, wake.TokenSize))); err != nil {
			t.Fatal(err)
		}
		for _, want := range []struct {
			kind wake.Kind
			body string
		}{{wake.Welcome, "here"}, {wake.Push, "\x00\x00\x00\x02two"}} {
			f, err := wake.ReadFrame(device, nil)
			if err != nil || f.Kind != want.kind || string(f.Body) != want.body {
				t.Fatalf("kind %d %q, %v; want kind %d %q", f.Kind, f.Body, err, want.kind, want.body)
			}
		}
		ours.Close()
		if got := <-unread; got != 2 {
			t.Errorf("%v is given back", got)
		}
	})
}
