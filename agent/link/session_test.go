package link

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A session by which a handshake failed is forgotten: perhaps it was the reason, and the next one is whole.
func TestASessionOfAFailedHandshakeIsForgotten(t *testing.T) {
	s := serve(t, nil)
	cut := false
	l := s.link(Config{Sessions: 10, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil && cut {
			conn.Close()
		}
		return conn, err
	}})
	d := s.enrolled(l, 1)
	if r := s.converse(l, d, dialect.Pushed); !r.Resumed {
		t.Fatal("the second connection was not resumed")
	}
	cut = true
	if _, err := l.Converse(t.Context(), d, dialect.Pushed); err == nil {
		t.Fatal("a connection that is cut is good")
	}
	cut = false
	if r := s.converse(l, d, dialect.Pushed); r.Resumed {
		t.Error("the session by which it failed is used again")
	}
	if r := s.converse(l, d, dialect.Pushed); !r.Resumed {
		t.Error("the session of a good handshake is not")
	}
}

// A session is of one identity and one server, and of more devices than are remembered the one that talked longest ago goes.
func TestWhoseSessionItIs(t *testing.T) {
	s := sessions{most: 2}
	put := func(device protocol.Device) {
		s.of(device, []byte("certificate")).Put("a.example.org", new(tls.ClientSessionState))
	}
	has := func(device protocol.Device, certificate, server string) bool {
		_, ok := s.of(device, []byte(certificate)).Get(server)
		return ok
	}
	put(1)
	if !has(1, "certificate", "a.example.org") || has(1, "another", "a.example.org") || has(1, "certificate", "b.example.org") || has(2, "certificate", "a.example.org") {
		t.Error("a session is found by what it is not of, or not by what it is")
	}
	put(2)
	put(1)
	put(3)
	if !has(1, "certificate", "a.example.org") || has(2, "certificate", "a.example.org") || !has(3, "certificate", "a.example.org") {
		t.Error("another was forgotten than the one that talked longest ago")
	}
}

// A watched is a connection whose deadlines and ends are counted.
type watched struct {
	net.Conn
	deadlines, closed *atomic.Int32
}

func (w watched) SetDeadline(t time.Time) error {
	w.deadlines.Add(1)
	return w.Conn.SetDeadline(t)
}

func (w watched) Close() error {
	w.closed.Add(1)
	return w.Conn.Close()
}

// Each request has its own time, and a connection whose handshake failed is closed.
func TestConnectionsAreTimedAndClosed(t *testing.T) {
	s := serve(t, nil)
	other, err := foreign()
	if err != nil {
		t.Fatal(err)
	}
	var deadlines, closed atomic.Int32
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return watched{conn, &deadlines, &closed}, err
	}
	d := s.enrolled(s.link(Config{}), 1)
	s.give(order{"A", apple.ProfileList{}})
	s.converse(s.link(Config{Dial: dial}), d, dialect.Pushed)
	if heard := s.told(); !slices.Equal(heard[len(heard)-2:], []string{"Idle", "A Acknowledged"}) || deadlines.Load() != 2 || closed.Load() == 0 {
		t.Errorf("the server heard %q in %d times, and %d ends", heard, deadlines.Load(), closed.Load())
	}
	closed.Store(0)
	if _, err := s.link(Config{Dial: dial, Roots: newPool(other)}).Converse(t.Context(), d, dialect.Pushed); err == nil || closed.Load() == 0 {
		t.Errorf("%v, and it is closed %d times", err, closed.Load())
	}
}

// A connection that is kept is not used where the server is to be trusted by something else.
func TestAKeptConnectionIsOfOneTrust(t *testing.T) {
	other, err := foreign()
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, nil)
	s.edit = func(p *apple.Profile) {
		p.Payloads = append(p.Payloads, apple.Payload{Type: apple.RootPayload, Identifier: "pin", UUID: "9", Certificate: other.Certificate().Raw})
		p.Payloads[0].MDM.ServerURLPinningCertificateUUIDs = []string{"9"}
	}
	l := s.link(Config{KeepOpen: true})
	t.Cleanup(l.Close)
	d := s.enrolled(l, 1)
	if l.kept[1] == nil {
		t.Fatal("none is kept")
	}
	if _, err := l.Converse(t.Context(), d, dialect.Pushed); err == nil {
		t.Error("the one of before is used")
	}
}
