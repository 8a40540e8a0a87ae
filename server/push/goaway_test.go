package push

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"rollcall/server/delivery"
)

// TestAPL105GoAway sends a batch to a service that says GOAWAY in its middle, on every connection but the last: it answers
// what it has taken, drops the rest, and closes.
func TestAPL105GoAway(t *testing.T) {
	const batch, perConn = 20, 8
	s := newService(t, Config{}, answers(200, ""))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"h2"}, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var conns, answered atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			last := conns.Add(1) > 2
			go func() {
				defer c.Close()
				serveSome(c, perConn, last, &answered)
			}()
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
	var wg sync.WaitGroup
	for range batch {
		wg.Go(func() {
			// What even the second try did not get through is told, and tried again by whoever keeps the queue.
			for {
				got := a.Push(t.Context(), notification())
				if got.Result == delivery.Accepted {
					return
				}
				if got.Result != delivery.TryLater || got.Suspend {
					t.Errorf("Push = %+v, want it accepted or later", got)
					return
				}
				a.breaker.reset() // its pause is over
			}
		})
	}
	wg.Wait()
	if answered.Load() < batch {
		t.Errorf("%d answers for %d notifications", answered.Load(), batch)
	}
	if conns.Load() < 3 {
		t.Errorf("%d connections, want a new one after each GOAWAY", conns.Load())
	}
}

// serveSome speaks HTTP/2: it answers n requests, or all where last, then says GOAWAY.
func serveSome(c net.Conn, n int, last bool, answered *atomic.Int64) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	f := http2.NewFramer(c, c)
	f.WriteSettings()
	for taken := 0; ; {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				f.WritePing(true, frame.Data)
			}
		case *http2.DataFrame:
			if !frame.StreamEnded() {
				continue
			}
			if taken++; !last && taken == n {
				f.WriteGoAway(frame.StreamID-2, http2.ErrCodeNo, []byte(`{"reason":"Shutdown"}`))
				return
			}
			answered.Add(1) // before anybody can know
			var head writer
			e := hpack.NewEncoder(&head)
			e.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, BlockFragment: head, EndHeaders: true, EndStream: true})
		}
	}
}

type writer []byte

func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}
