package link

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"rollcall/agent/dialect"
)

// A counted connection counts what is sent at a time.
type counted struct {
	net.Conn
	writes *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// A conversation of one question sends its hello, the end of the handshake with the question, and its farewell.
func TestGathering(t *testing.T) {
	s := serve(t, nil)
	var writes atomic.Int64
	l := s.link(Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return counted{conn, &writes}, err
	}})
	d := s.enrolled(l, 1)
	writes.Store(0)
	s.converse(l, d, dialect.Synced)
	if n := writes.Load(); n != 3 {
		t.Errorf("sent in %d pieces, want 3", n)
	}
	if got := s.told(); len(got) != 1 {
		t.Errorf("the server heard %q", got)
	}
}
