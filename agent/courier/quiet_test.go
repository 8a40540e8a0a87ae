package courier

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/protocol/wake"
)

// A late connection counts what is written once it is closed.
type late struct {
	net.Conn
	closed atomic.Bool
	writes atomic.Int32
}

func (l *late) Close() error {
	l.closed.Store(true)
	return l.Conn.Close()
}

func (l *late) Write(p []byte) (int, error) {
	if l.closed.Load() {
		l.writes.Add(1)
	}
	return l.Conn.Write(p)
}

// A stream that has ended asks nobody any more whether anybody is there: that would wake the machine.
func TestAStreamThatEndedIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		dial, conn := s.config.Dial, new(late)
		s.config.Dial = func(ctx context.Context, network, address string) (_ net.Conn, err error) {
			conn.Conn, err = dial(ctx, network, address)
			return conn, err
		}
		stop := s.run()
		s.welcome()
		stop()
		time.Sleep(2 * wake.Beat)
		if n := conn.writes.Load(); n != 0 {
			t.Errorf("it writes %d times", n)
		}
	})
}
