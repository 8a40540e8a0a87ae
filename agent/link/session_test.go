package link

import (
	"context"
	"net"
	"testing"

	"rollcall/agent/dialect"
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
