package google

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"rollcall/fleet/cloud"
	"rollcall/fleet/cloud/streamtest"
	"rollcall/protocol/wake"
)

// machines has s take streams, and returns what makes one, which says its secret; stop waits for all of them to end.
func (s *sender) machines() (machineOf func(secret byte) *streamtest.Machine, stop func()) {
	addr, stop := streamtest.Serve(s, s.service.Doorman())
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.service.CA())
	config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", NextProtos: []string{wake.FCM}}
	return func(secret byte) *streamtest.Machine {
		return streamtest.Dial(s, addr, config, strings.Repeat(string(rune(secret)), wake.TokenSize))
	}, stop
}

// TestAND091AStreamStoresAndForwards: a machine hears under which id it is reached, the same one each time, and is woken until it has said
// that it was. Nobody costs memory who makes secrets up.
func TestAND091AStreamStoresAndForwards(t *testing.T) {
	s := newSender(t, Config{}).signedIn()
	machineOf, stop := s.machines()
	m, idle := machineOf(1), machineOf(2)
	id := m.Want(wake.Welcome)
	if other := idle.Want(wake.Welcome); other == id || len(id) != 22 {
		t.Fatalf("ids %q and %q", id, other)
	}
	push := func() {
		t.Helper()
		if o := s.send(wakeUp(id)); o.status != 200 {
			t.Fatalf("%+v", o)
		}
	}
	for range 2 { // the second in place of the first
		push()
		m.WantPush("")
	}
	m = machineOf(1) // the old stream ends without a word of it
	if again := m.Want(wake.Welcome); again != id {
		t.Errorf("it is reached at %q, and was at %q", again, id)
	}
	m.Got(m.WantPush(""))
	m = machineOf(1)
	m.Want(wake.Welcome)
	m.Beat() // nothing of what was got came again
	stop()
	push()
	push()
	if n := s.service.Counters(); n.Registered != 1 || n.Accepted != 4 || n.Delivered != 1 || n.Replaced != 2 || n.Waiting != 1 {
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
	if n := s.service.Counters(); n.Delivered != 1 {
		t.Errorf("counted %+v", n)
	}
}
