package link

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"rollcall/agent/dialect"
	"rollcall/certs"
)

// A failing connection sends what is written, and says from the second write on that it did not.
type failing struct {
	net.Conn
	writes int
}

func (f *failing) Write(p []byte) (int, error) {
	n, err := f.Conn.Write(p)
	if f.writes++; f.writes > 1 {
		return 0, syscall.EPIPE
	}
	return n, err
}

// A server that does not take the device's certificate says so while the device still writes: that is why the write failed, and what is told.
func TestWhyTheServerHungUp(t *testing.T) {
	var refuses atomic.Bool
	s := serve(t, func(_ *server, c *tls.Config) {
		c.VerifyConnection = func(tls.ConnectionState) error {
			if refuses.Load() {
				return errors.New("not this one")
			}
			return nil
		}
	})
	d := s.enrolled(s.link(Config{}), 1)
	refuses.Store(true)
	l := s.link(Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &failing{Conn: conn}, err
	}})
	if _, err := l.Converse(t.Context(), d, dialect.Pushed); !Barred(err) {
		t.Errorf("%v, want the server's alert", err)
	}
}

// stranger is a server that the devices of s do not trust, and what came of each handshake with it.
func (s *server) stranger() (dial func(context.Context, string, string) (net.Conn, error), heard chan error) {
	s.t.Helper()
	other, err := foreign()
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		s.t.Fatal(err)
	}
	leaf, err := other.IssueServer([]string{"127.0.0.1"}, key.Public(), noon, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	heard = make(chan error, 1)
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			heard <- tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}}).Handshake()
			theirs.Close()
		}()
		return ours, nil
	}, heard
}

// A server that a device does not trust is told so, as its log is where somebody looks.
func TestAServerHearsThatItIsNotTrusted(t *testing.T) {
	s := serve(t, nil)
	d := s.enrolled(s.link(Config{}), 1)
	dial, heard := s.stranger()
	if _, err := s.link(Config{Dial: dial}).Converse(t.Context(), d, dialect.Pushed); err == nil {
		t.Error("the device trusts it")
	}
	if err := <-heard; err == nil || !strings.Contains(err.Error(), "remote error: tls: ") {
		t.Errorf("the server hears %v", err)
	}
}

// A closing connection counts how often it is closed.
type closing struct {
	net.Conn
	times *atomic.Int32
}

func (c closing) Close() error {
	c.times.Add(1)
	return c.Conn.Close()
}

// A handshake that failed leaves nothing that waits for the end of its context, which may be that of a fleet.
func TestNothingWaitsAfterAFailedHandshake(t *testing.T) {
	s := serve(t, nil)
	d := s.enrolled(s.link(Config{}), 1)
	dial, heard := s.stranger()
	synctest.Test(t, func(t *testing.T) {
		var times atomic.Int32
		l := s.link(Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return closing{conn, &times}, err
		}})
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := l.Converse(ctx, d, dialect.Pushed); err == nil {
			t.Error("the device trusts it")
		}
		<-heard
		before := times.Load()
		cancel()
		synctest.Wait()
		if after := times.Load(); before == 0 || after != before {
			t.Errorf("closed %d times, and %d when its context ended", before, after)
		}
	})
}
