//go:build unix

package device

import (
	"bufio"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// BenchmarkStorm has b.N devices come at the same moment, each with a full handshake, fetch and acknowledge the one command that
// waits for it, and close after the empty answer. Who is turned away comes again: when it is told, or after a second
// and then twice as long each time. It shows how long it took until the last one was through, what it cost the server process, its
// peak of memory, how often the least lucky device had to come again, and how many were turned away before their handshake
// and after it. The devices share the machine with the server.
//
//	go test ./server/device -run xxx -bench Storm -benchtime 5000x
func BenchmarkStorm(b *testing.B) {
	if b.N < 100 {
		return // says nothing
	}
	s := startBenchServer(b, benchSize{b.N, b.N})
	certificates := make([]tls.Certificate, b.N)
	for i, who := range s.Identities {
		var err error
		if certificates[i], err = tls.X509KeyPair(who.Certificate, who.Key); err != nil {
			b.Fatal(err)
		}
	}
	s.ask(b, benchAsk{Do: "order", N: 1})
	s.ask(b, benchAsk{Do: "calm"})
	before := s.cpu(b)
	var wg sync.WaitGroup
	var worst atomic.Int64
	b.ResetTimer()
	for i := range b.N {
		wg.Go(func() {
			for again := int64(0); ; again++ {
				wait, done := s.visit(b, &certificates[i], s.Identities[i].UDID)
				if done {
					return
				}
				for w := worst.Load(); again+1 > w && !worst.CompareAndSwap(w, again+1); w = worst.Load() {
				}
				if wait == 0 {
					wait = time.Second << min(again, 5)
					wait += rand.N(wait)
				}
				time.Sleep(wait)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	used := s.cpu(b) - before
	peak := s.ask(b, benchAsk{Do: "peak"})
	b.ReportMetric(b.Elapsed().Seconds(), "s-to-drain")
	b.ReportMetric(float64(b.N)/used.Seconds(), "devices/server-cpu-s")
	b.ReportMetric(float64(peak.RSS)/(1<<20), "MiB-peak")
	b.ReportMetric(float64(worst.Load()), "times-again-at-most")
	b.ReportMetric(float64(peak.State.HandshakesAway), "handshakes-away")
	b.ReportMetric(float64(peak.State.RequestsAway), "requests-away")
}

// visit is one conversation. Not done: the device is to come again, after wait if it was told.
func (s *benchServer) visit(b *testing.B, identity *tls.Certificate, id string) (wait time.Duration, done bool) {
	conn, err := s.dial(identity)
	if err != nil {
		return 0, false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	in := bufio.NewReader(conn)
	for m := (apple.Message{UDID: id}); ; {
		if _, err := conn.Write(wire(m)); err != nil {
			return 0, false
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return 0, false
		}
		body, err := io.ReadAll(resp.Body)
		switch {
		case err != nil:
			return 0, false
		case resp.StatusCode == http.StatusServiceUnavailable:
			n, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
			return time.Duration(n) * time.Second, false
		case resp.StatusCode != http.StatusOK:
			b.Errorf("%s is answered %d %q", id, resp.StatusCode, body)
			return 0, true
		case len(body) == 0:
			return 0, true
		}
		command, _, err := apple.DecodeCommand(body)
		if err != nil {
			b.Error(err)
			return 0, true
		}
		m.Status, m.CommandUUID = protocol.Acknowledged, command
	}
}
