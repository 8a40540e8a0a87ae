package cloud_test

import (
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
