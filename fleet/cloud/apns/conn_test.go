package apns

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A wire is a connection whose frames the test makes itself.
type wire struct {
	*http2.Framer
	conn *tls.Conn
	t    *testing.T
}

func (b *bench) wire(t *testing.T, cert *tls.Certificate) *wire {
	t.Helper()
	conn, err := tls.Dial("tcp", b.addr, b.clientTLS(cert))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	w := &wire{Framer: http2.NewFramer(conn, conn), conn: conn, t: t}
	w.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := w.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (b *bench) headers(tok []byte) []byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"},
		{":scheme", "https"},
		{":authority", "api.push.apple.com"},
		{":path", pathPrefix + hex.EncodeToString(tok)},
		{"apns-topic", topic},
		{"apns-push-type", "mdm"},
	} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return block.Bytes()
}

func (w *wire) push(stream uint32, block []byte) {
	w.t.Helper()
	err := w.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true})
	if err == nil {
		err = w.WriteData(stream, true, []byte(`{"mdm":"m"}`))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// until reads frames up to the first that f accepts; an error is the end of the connection.
func (w *wire) until(f func(http2.Frame) bool) error {
	for {
		frame, err := w.ReadFrame()
		if err != nil {
			return err
		}
		if f(frame) {
			return nil
		}
	}
}

func goAway(frame http2.Frame) (last uint32, code http2.ErrCode, debug string, ok bool) {
	g, ok := frame.(*http2.GoAwayFrame)
	if !ok {
		return 0, 0, "", false
	}
	return g.LastStreamID, g.ErrCode, string(g.DebugData()), true
}

func TestGoAwayCarriesItsReason(t *testing.T) {
	const shutdown, idle = `{"reason":"Shutdown"}`, `{"reason":"IdleTimeout"}`
	expect := func(t *testing.T, w *wire, wantLast uint32, want string) {
		t.Helper()
		err := w.until(func(f http2.Frame) bool {
			last, code, debug, ok := goAway(f)
			if ok && (last != wantLast || code != http2.ErrCodeNo || debug != want) {
				t.Errorf("GOAWAY last %d, %s, %q; want last %d and %s", last, code, debug, wantLast, want)
			}
			return ok
		})
		if err != nil {
			t.Errorf("no GOAWAY: %v", err)
		}
	}
	t.Run("end of service", func(t *testing.T) {
		b := start(t, Config{})
		w := b.wire(t, identity(t, nil))
		w.push(1, b.headers(b.Register(topic)))
		if err := w.until(func(f http2.Frame) bool { return f.Header().Type == http2.FrameHeaders }); err != nil {
			t.Fatal(err)
		}
		go b.stop()
		expect(t, w, 1, shutdown)
	})
	t.Run("fault", func(t *testing.T) {
		b := start(t, Config{Faults: Faults{Script: []Fault{GoAway}}})
		w := b.wire(t, identity(t, nil))
		block := b.headers(b.Register(topic))
		w.push(1, block)
		expect(t, w, 1, shutdown)
		w.push(3, block) // too late: never looked at
		if err := w.until(func(f http2.Frame) bool { return f.Header().StreamID == 3 }); err == nil {
			t.Error("a stream after GOAWAY was answered")
		}
		if n := b.Counters(); n.Accepted != 0 || n.Refused[Shutdown] != 1 {
			t.Errorf("counters %+v", n)
		}
	})
	t.Run("idle", func(t *testing.T) {
		b := start(t, Config{IdleTimeout: time.Millisecond})
		w := b.wire(t, identity(t, nil))
		expect(t, w, 0, idle)
	})
	t.Run("protocol error", func(t *testing.T) {
		b := start(t, Config{})
		w := b.wire(t, identity(t, nil))
		if err := w.WriteData(2, true, nil); err != nil { // a stream that was never opened
			t.Fatal(err)
		}
		err := w.until(func(f http2.Frame) bool {
			_, code, debug, ok := goAway(f)
			if ok && (code != http2.ErrCodeProtocol || strings.Contains(debug, "reason")) {
				t.Errorf("GOAWAY %s %q; want PROTOCOL_ERROR and no reason of APNs", code, debug)
			}
			return ok
		})
		if err != nil {
			t.Errorf("no GOAWAY: %v", err)
		}
	})
}

// APL-105 seen from this side: net/http's client loses no push when GOAWAY comes in the middle of a batch.
func TestGoAwayInABatch(t *testing.T) {
	const pushes = 200
	b := start(t, Config{Faults: Faults{Script: []Fault{NoFault, NoFault, NoFault, GoAway, NoFault, NoFault, GoAway}}})
	tok := b.Register(topic)
	var in inbox
	b.Connect(tok, in.deliver)
	c := b.client(identity(t, nil))
	var wg sync.WaitGroup
	var unanswered atomic.Uint64
	for range pushes {
		wg.Go(func() {
			for {
				resp, err := c.Do(b.request(tok, nil))
				if err != nil {
					unanswered.Add(1)
					continue
				}
				resp.Body.Close()
				if resp.StatusCode == 200 {
					return
				}
			}
		})
	}
	wg.Wait()
	// net/http sends again by itself what GOAWAY left behind, which was not looked at. A second after its GOAWAY the server hangs up,
	// and a client that was not given the processor until then loses answers: only what it was told has failed may have come twice.
	n := b.Counters()
	if n.Accepted < pushes || n.Accepted > pushes+unanswered.Load() || uint64(len(in.got)) != n.Accepted || n.Refused[Shutdown] != 2 || n.Connections < 2 {
		t.Errorf("%d arrived, %d had no answer, counters %+v; want %d accepted after two GOAWAYs", len(in.got), unanswered.Load(), n, pushes)
	}
}

func TestRefusedAtTheDoor(t *testing.T) {
	issuer := identity(t, nil)
	issuerCert, err := x509.ParseCertificate(issuer.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(issuerCert)
	ended := identity(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Minute) })
	early := identity(t, func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Minute) })
	for _, tt := range []struct {
		name   string
		config Config
		cert   *tls.Certificate
		ok     bool
	}{
		{"accepted issuer", Config{Issuers: pool}, issuer, true},
		{"unknown issuer", Config{Issuers: pool}, identity(t, nil), false},
		{"any issuer", Config{}, identity(t, nil), true},
		{"ended", Config{}, ended, false},
		{"not yet valid", Config{}, early, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t, tt.config)
			resp, err := b.client(tt.cert).Do(b.request(b.Register(topic), nil))
			if err == nil {
				resp.Body.Close()
			}
			if (err == nil) != tt.ok {
				t.Fatalf("push: %v", err)
			}
			b.stop()
			n := b.Counters()
			if (n.Handshakes == 0) != tt.ok || (n.Accepted == 1) != tt.ok {
				t.Errorf("counters %+v", n)
			}
		})
	}
	t.Run("resumed after the end", func(t *testing.T) {
		b := start(t, Config{})
		tok := b.Register(topic)
		c := b.clientTLS(identity(t, func(c *x509.Certificate) { c.NotAfter = noon.Add(time.Hour) }))
		c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		resumed := false
		connect := func() (*http.Response, error) { // with a connection of its own and the session of the one before
			tr := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
			defer tr.CloseIdleConnections()
			trace := &httptrace.ClientTrace{TLSHandshakeDone: func(state tls.ConnectionState, _ error) { resumed = state.DidResume }}
			r := b.request(tok, nil)
			return (&http.Client{Transport: tr}).Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
		}
		for i := range 2 {
			resp, err := connect()
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resumed != (i == 1) {
				t.Fatalf("connection %d: resumed %v", i+1, resumed)
			}
		}
		b.advance(2 * time.Hour)
		if resp, err := connect(); err == nil {
			resp.Body.Close()
			t.Errorf("answered %d, want a failed handshake", resp.StatusCode)
		}
	})
	t.Run("TLS 1.1", func(t *testing.T) {
		b := start(t, Config{})
		c := b.clientTLS(identity(t, nil))
		c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		if conn, err := tls.Dial("tcp", b.addr, c); err == nil {
			conn.Close()
			t.Error("TLS 1.1 was taken")
		}
	})
	t.Run("TLS 1.2", func(t *testing.T) {
		b := start(t, Config{})
		c := b.clientTLS(identity(t, nil))
		c.MaxVersion = tls.VersionTLS12
		tr := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
		defer tr.CloseIdleConnections()
		if got := b.do(&http.Client{Transport: tr}, b.request(b.Register(topic), nil)); got.status != 200 {
			t.Errorf("answered %+v", got)
		}
	})
	for _, protos := range [][]string{nil, {"http/1.1"}} {
		t.Run("HTTP/1.1 by ALPN "+strings.Join(protos, ""), func(t *testing.T) {
			b := start(t, Config{})
			c := b.clientTLS(identity(t, nil))
			c.NextProtos = protos
			tr := &http.Transport{TLSClientConfig: c, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
			defer tr.CloseIdleConnections()
			resp, err := (&http.Client{Transport: tr}).Do(b.request(b.Register(topic), nil))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusHTTPVersionNotSupported || !strings.Contains(string(text), "HTTP/2 only") {
				t.Errorf("answered %d %q", resp.StatusCode, text)
			}
		})
	}
	t.Run("neither HTTP", func(t *testing.T) {
		b := start(t, Config{})
		c := b.clientTLS(nil)
		c.NextProtos = []string{"smtp"}
		if conn, err := tls.Dial("tcp", b.addr, c); err == nil {
			conn.Close()
			t.Error("a client of another protocol was let in")
		}
	})
}

// HST-021: a peer that sends what asks for nothing is cut off, and costs no memory.
func TestHST021FloodsEndTheConnection(t *testing.T) {
	b := start(t, Config{})
	cert := identity(t, nil)
	block := b.headers(b.Register(topic))
	for _, tt := range []struct {
		name  string
		write func(w *wire, i int) error
	}{
		{"resets", func(w *wire, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(
				w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}),
				w.WriteRSTStream(id, http2.ErrCodeCancel))
		}},
		{"CONTINUATION", func(w *wire, i int) error {
			if i == 0 {
				return w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block})
			}
			return w.WriteContinuation(1, false, nil)
		}},
		{"empty DATA", func(w *wire, i int) error {
			if i == 0 {
				return w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true})
			}
			return w.WriteData(1, false, nil)
		}},
		{"SETTINGS", func(w *wire, _ int) error { return w.WriteSettings() }},
		{"PING", func(w *wire, _ int) error { return w.WritePing(false, [8]byte{}) }},
		{"unknown frames", func(w *wire, _ int) error { return w.WriteRawFrame(0xfa, 0, 0, []byte("x")) }},
		{"WINDOW_UPDATE", func(w *wire, _ int) error { return w.WriteWindowUpdate(0, 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			w := b.wire(t, cert)
			var err error
			for i := 0; err == nil && i < 1_000_000; i++ {
				err = tt.write(w, i) // nobody reads what comes back
			}
			if err == nil {
				t.Error("a million frames were taken")
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
		})
	}
	if got := b.do(b.client(cert), b.request(b.Register(topic), nil)); got.status != 200 {
		t.Errorf("a push afterwards: %+v", got)
	}
}

func TestManyConnectionsAndStreams(t *testing.T) {
	b := start(t, Config{})
	tok := b.Register(topic)
	cert := identity(t, nil)
	var wg sync.WaitGroup
	for range 4 {
		c := b.client(cert)
		for range 50 {
			wg.Go(func() {
				for range 5 {
					if got := b.do(c, b.request(tok, nil)); got.status != 200 {
						t.Errorf("answered %+v", got)
					}
				}
			})
		}
	}
	wg.Wait()
	n := b.Counters()
	if n.Accepted != 1000 || n.Waiting != 1 || n.Replaced != 999 {
		t.Errorf("counters %+v", n)
	}
	balance(t, n)
}

func TestServeAgain(t *testing.T) {
	b := start(t, Config{Faults: Faults{Script: []Fault{Hang}}})
	tok := b.Register(topic)
	c := b.client(identity(t, nil))
	status := make(chan int)
	go func() { status <- b.do(c, b.request(tok, nil)).status }()
	hanging(b, 1)
	b.stop() // answers what is under way
	if got := <-status; got != 200 {
		t.Errorf("hanging push: %d, want 200", got)
	}
	if _, err := net.Dial("tcp", b.addr); err == nil {
		t.Error("the port is still open")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Serve(ctx, ln) }()
	b.addr = ln.Addr().String()
	if got := b.do(c, b.request(tok, nil)); got.status != 200 {
		t.Errorf("served again: %+v", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	ln.Close()
	if err := b.Serve(context.Background(), ln); err == nil {
		t.Error("a closed listener: no error")
	}
}

// FuzzFrames cuts a stream of frames anywhere: what conn passes on is the same, GOAWAY with its reason.
func FuzzFrames(f *testing.F) {
	goaway := binary.BigEndian.AppendUint32([]byte{0, 0, 8, frameGoAway, 0, 0, 0, 0, 0, 0, 0, 0, 5}, 0)
	data := append([]byte{0, 0, 3, frameData, 0, 0, 0, 0, 1}, "abc"...)
	empty := []byte{0, 0, 0, 4, 1, 0, 0, 0, 0}
	f.Add(slices.Concat(data, goaway, empty), uint8(1), uint8(30))
	f.Add(goaway, uint8(9), uint8(3))
	f.Add(slices.Concat(empty, data), uint8(0), uint8(0))
	f.Add([]byte{0xff, 0xff, 0xff, frameGoAway}, uint8(2), uint8(2))
	f.Fuzz(func(t *testing.T, stream []byte, a, b uint8) {
		cuts := []int{min(int(a), len(stream)), min(int(a)+int(b), len(stream))}
		whole := pass(t, stream)
		parts := pass(t, stream[:cuts[0]], stream[cuts[0]:cuts[1]], stream[cuts[1]:])
		if !bytes.Equal(whole, parts) {
			t.Errorf("cut at %v: %x, in one piece: %x", cuts, parts, whole)
		}
		if !bytes.Contains(stream, []byte{frameGoAway}) && !bytes.HasPrefix(stream, whole) {
			t.Errorf("changed: %x to %x", stream, whole)
		}
	})
}

// pass writes parts to a conn and returns what comes out.
func pass(t *testing.T, parts ...[]byte) []byte {
	sink := &sink{}
	c := &conn{Conn: sink, listener: &listener{}, open: map[uint32]struct{}{}}
	c.http2.Store(true)
	for _, p := range parts {
		if n, err := c.Write(p); n != len(p) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	return sink.Bytes()
}

type sink struct {
	net.Conn
	bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) { return s.Buffer.Write(p) }
func (s *sink) Read(p []byte) (int, error)  { return s.Buffer.Read(p) }

// FuzzListedTopics: no bytes in the extension of a push certificate break the reader or make a bad topic.
func FuzzListedTopics(f *testing.F) {
	f.Add([]byte{0x30, 0x00})
	f.Add([]byte{0x30, 0x07, 0x0c, 0x01, 'a', 0x30, 0x02, 0x0c, 0x00})
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, topic := range listedTopics(der) {
			if !goodTopic(topic) {
				t.Errorf("topic %q", topic)
			}
		}
	})
}

func BenchmarkPush(b *testing.B) {
	s := start(b, Config{})
	tok := s.Register(topic)
	s.Connect(tok, func(Notification) {})
	c := s.client(identity(b, nil))
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.do(c, s.request(tok, nil))
		}
	})
}
