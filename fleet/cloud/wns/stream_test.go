package wns

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/cloud"
	"rollcall/fleet/cloud/streamtest"
	"rollcall/protocol/wake"
)

// machines has s take streams, and returns what makes one, which says its secret and name; stop waits for all of them to end.
func (s *sender) machines() (machineOf func(secret byte, pfn string) *streamtest.Machine, stop func()) {
	addr, stop := streamtest.Serve(s, s.service.Doorman())
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.service.CA())
	config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Time: s.service.cfg.Now, NextProtos: []string{wake.WNS}}
	return func(secret byte, pfn string) *streamtest.Machine {
		return streamtest.Dial(s, addr, config, strings.Repeat(string(rune(secret)), wake.TokenSize)+pfn)
	}, stop
}

// A machine hears at which channel it is reached, the same one each time, and gets what comes there until it has said that it has it.
func TestAStreamStoresAndForwards(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	machineOf, stop := s.machines()
	m := machineOf(1, pfn)
	channel := m.Want(wake.Welcome)
	push := func(body string) {
		t.Helper()
		if got := s.send(channel, body, "X-WNS-Cache-Policy", "cache"); got.StatusCode != http.StatusOK {
			t.Fatalf("%q: %s", body, got.Status)
		}
	}
	push("one")
	m.WantPush("one")
	m = machineOf(1, pfn) // the old stream ends without a word of it
	if again := m.Want(wake.Welcome); again != channel {
		t.Errorf("it is reached at %q, and was at %q", again, channel)
	}
	m.Got(m.WantPush("one"))
	s.pass(ChannelLife + time.Hour) // a channel lasts while a stream is up
	s.signedIn()                    // the token has ended
	push("two")                     // at once
	m.WantPush("two")               // and nothing before it
	push("three")                   // in place of it
	m.WantPush("three")
	stop()
	push("four")
	if n := s.service.Counters(); n.Accepted != 4 || n.Waiting != 1 || n.Delivered != 1 || n.Replaced != 2 {
		t.Errorf("counted %+v", n)
	}
	s.pass(ChannelLife)
	s.signedIn()
	if got := s.send(channel, "five"); got.StatusCode != http.StatusGone {
		t.Errorf("30 days after its stream the channel answers %s", got.Status)
	}
}

// Nobody has a channel of an app that is not known, and nobody costs memory who makes secrets up.
func TestAStreamIsTheMachines(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	machineOf, stop := s.machines()
	if got := machineOf(1, "Other_8wekyb3d8bbwe").Want(wake.Bye); got != "no app here has that package family name" {
		t.Errorf("it says %q", got)
	}
	first, second := machineOf(1, pfn), machineOf(2, pfn)
	channel, other := first.Want(wake.Welcome), second.Want(wake.Welcome)
	if channel == other {
		t.Fatal("two machines have one channel")
	}
	s.send(other, "for the second")
	second.WantPush("for the second")
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
	if n := s.service.Counters(); n.Delivered != 1 {
		t.Errorf("counted %+v", n)
	}
}
