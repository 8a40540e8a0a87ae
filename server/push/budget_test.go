package push

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"testing"

	"rollcall/server/delivery"
)

// However many connections break, second tries stay a tenth of the notifications, and a few.
func TestHST112RetryBudget(t *testing.T) {
	for _, share := range []int{1, 2, 20} { // every one breaks, every other one ...
		var b budget
		const n = 10_000
		second := 0
		for i := range n {
			b.earn()
			if i%share == 0 && b.take() {
				second++
			}
		}
		most := min(n/share, n/10+int(retriesAtOnce))
		if second > most || second < most-int(retriesAtOnce)-1 {
			t.Errorf("where every %dth breaks %d of %d are sent again, want %d", share, second, n, most)
		}
	}
}

// A service that hangs up on everybody gets no more connections than the budget allows.
func TestHST112ServiceThatHangsUp(t *testing.T) {
	s := newService(t, Config{}, answers(200, ""))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"h2"}, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var conns atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			go func(c net.Conn) {
				c.(*tls.Conn).Handshake()
				c.Close()
			}(c)
		}
	}()
	cfg := s.apns.cfg
	cfg.URL = "https://" + l.Addr().String()
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	a.SetCertificate(s.ca.issue(t, start.AddDate(0, 0, 1)), topic)
	const n = 200
	for range n {
		a.breaker.reset() // which would hide it
		if got := a.Push(t.Context(), notification()); got.Result != delivery.TryLater || got.Suspend {
			t.Fatalf("Push = %+v, want it later", got)
		}
	}
	// Each first try is one connection; a second one and the look at what the service says of the certificate are two more: 3n without
	// a budget, 1.4n with it. net/http dials once more by itself where a connection ends before anything was written on it, which is
	// seldom and how often is the scheduler's: halfway between tells the two apart.
	if got, most := conns.Load(), int64(2*n); got > most || got < n {
		t.Errorf("%d connections for %d notifications, want at most %d", got, n, most)
	}
}
