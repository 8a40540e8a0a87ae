package device

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
	"rollcall/server/logs"
)

func TestHST001BodyCaps(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	over := func(n int, m apple.Message) []byte {
		body := encode(m)
		pad := fmt.Appendf(nil, "<key>Padding</key><string>%s</string></dict></plist>", bytes.Repeat([]byte("x"), n-len(body)))
		return append(bytes.TrimSuffix(body, []byte("</dict></plist>")), pad...)
	}
	report := apple.Message{Status: protocol.Acknowledged, CommandUUID: "00000000-0000-4000-8000-000000000000", UDID: p.id}
	for _, tt := range []struct {
		name string
		body []byte
		want int
	}{
		{"a check-in over 1 MiB", over(apple.MaxCheckIn+1, p.tokenUpdate()), 413},
		{"a result over 1 MiB", over(apple.MaxCheckIn+1, report), 200},
		{"a result over 16 MiB", over(apple.MaxMessage+1, report), 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The server answers before it has read all, and closes: a client may see either.
			a, err := p.do(http.MethodPut, commandPath, nil, tt.body)
			if err == nil && a.status != tt.want {
				t.Errorf("answered %d, want %d", a.status, tt.want)
			}
			if tt.want == 413 && !l.logged("HST-001", `"level":"error"`) {
				t.Error("no alarm in the log")
			}
		})
	}
	t.Run("claimed and not sent", func(t *testing.T) {
		got := l.raw(p, "PUT "+commandPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 17000000\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 413 ") {
			t.Errorf("answered %.40q, want 413 before the body is there", got)
		}
	})
	t.Run("nobody's body is not read", func(t *testing.T) {
		for _, path := range []string{commandPath, checkInPath} {
			got := l.raw(l.phoneOf(udid(1), certs.Signer{}), "PUT "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 16000000\r\n\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
				t.Errorf("answered %.40q, want 400", got)
			}
		}
		if l.logged("cut short") || !l.logged("HST-030") {
			t.Error("a body without identity was read")
		}
	})
	t.Run("chunked without end", func(t *testing.T) {
		pr, pw := io.Pipe()
		go func() {
			chunk := bytes.Repeat([]byte("x"), 1<<20)
			for {
				if _, err := pw.Write(chunk); err != nil {
					return
				}
			}
		}()
		req, _ := http.NewRequest(http.MethodPut, "https://"+testHost+commandPath, pr)
		resp, err := p.http.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != 413 {
				t.Errorf("answered %d, want 413", resp.StatusCode)
			}
		}
		pr.Close()
	})
}

func TestHST002CutBody(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	before := l.record(p.id).State
	update := p.tokenUpdate()
	update.PushMagic = "new"
	body := encode(update)
	for _, n := range []int{0, 1, len(body) / 2, len(body) - 1} {
		got := l.raw(p, fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", checkInPath, len(body), body[:n]))
		if got != "" && !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("cut after %d bytes: %.60q, want 400 or nothing", n, got)
		}
		if l.record(p.id).State.Push.Magic != before.Push.Magic {
			t.Errorf("cut after %d bytes: the state changed", n)
		}
	}
}

// raw sends bytes over p's TLS, closes its side and returns what comes back.
func (l *lab) raw(p *phone, request string) string {
	l.t.Helper()
	conn, err := tls.Dial("tcp", l.addr, p.tls)
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		l.t.Fatal(err)
	}
	conn.CloseWrite()
	b, _ := io.ReadAll(conn)
	return string(b)
}

func TestHST012ContentEncoding(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Factory = append(c.Factory, c.Enrolment.CA.Certificate()) })
	p := l.phone(udid(1)).enrol()
	for _, e := range []string{"gzip", "deflate", "br", "gzip, gzip"} {
		a, err := p.do(http.MethodPut, commandPath, http.Header{"Content-Encoding": {e}}, encode(p.idle()))
		if err != nil || a.status != http.StatusUnsupportedMediaType {
			t.Errorf("PUT with %s answered %d (%v), want 415", e, a.status, err)
		}
		a, err = p.do(http.MethodPost, "/apple/ade", http.Header{"Content-Encoding": {e}}, []byte("x"))
		if err != nil || a.status != http.StatusUnsupportedMediaType {
			t.Errorf("POST with %s answered %d (%v), want 415", e, a.status, err)
		}
	}
	if a, _ := p.do(http.MethodPut, commandPath, http.Header{"Content-Encoding": {"identity"}}, encode(p.idle())); a.status != 200 {
		t.Errorf("identity answered %d, want 200", a.status)
	}
}

func TestHST022OnePath(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	body := string(encode(p.idle()))
	request := func(line, headers string) string {
		return fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\n%s\r\n%s", line, testHost, headers, body)
	}
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	if got := l.raw(p, request("PUT "+commandPath, length)); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Fatalf("the plain request answered %.60q", got)
	}
	for _, tt := range []struct{ name, line, headers string }{
		{"absolute form", "PUT https://" + testHost + commandPath, length},
		{"absolute form of another host", "PUT https://evil.example" + commandPath, length},
		{"two slashes", "PUT //apple/mdm", length},
		{"dots", "PUT /e/../apple/mdm", length},
		{"dot", "PUT /./apple/mdm", length},
		{"encoded dots", "PUT /e/%2e%2e/apple/mdm", length},
		{"encoded slash", "PUT /apple%2fmdm", length},
		{"path parameter", "PUT /e/..;/apple/mdm", length},
		{"parameter at the end", "PUT /apple/mdm;x=1", length},
		{"backslash", `PUT /e\..\apple\mdm`, length},
		{"two lengths", "PUT " + commandPath, length + "Content-Length: 3\r\n"},
		{"a length that is none", "PUT " + commandPath, "Content-Length: +5\r\n"},
		{"unknown transfer coding", "PUT " + commandPath, "Transfer-Encoding: xchunked\r\n"},
		{"space before the colon", "PUT " + commandPath, "Content-Length : 3\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := l.raw(p, request(tt.line, tt.headers))
			if !strings.HasPrefix(got, "HTTP/1.1 400 ") && !strings.HasPrefix(got, "HTTP/1.1 501 ") {
				t.Errorf("answered %.60q, want 400", got)
			}
		})
	}
	if !l.logged(`"rule":"HST-022"`, "/e/%2e%2e/apple/mdm") || strings.Count(l.log.String(), `"rule":"HST-022"`) != 10 {
		t.Errorf("the log does not have one line for each path that was refused:\n%s", l.log)
	}
	t.Run("length beside chunks", func(t *testing.T) {
		// Chunks win (RFC 9112, section 6.1), so that the rest is one body and never a second request.
		got := l.raw(p, fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", commandPath, len(body), body))
		if n := strings.Count(got, "HTTP/1.1 "); n != 1 {
			t.Errorf("%d answers: %q", n, got)
		}
	})
	t.Run("bare LF in chunks", func(t *testing.T) {
		got := l.raw(p, fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\n%s\r\n0\r\n\r\n", commandPath, len(body), body))
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("answered %.60q, want 400", got)
		}
	})
}

// TestHST022Plain: what is taken for plain at a glance is so by all that is looked at elsewhere.
func TestHST022Plain(t *testing.T) {
	const marks = "/aZ5-.;%\\\x00:"
	taken := 0
	var each func(p string)
	each = func(p string) {
		u := &url.URL{Path: p}
		if plain(u) {
			taken++
			if p[0] != '/' || strings.ContainsAny(p, ".;%:\\\x00") || p != "/" && path.Clean(p) != strings.TrimSuffix(p, "/") {
				t.Errorf("%q is plain", p)
			}
		}
		for i := 0; i < len(marks) && len(p) < 5; i++ {
			each(p + marks[i:i+1])
		}
	}
	each("")
	if taken < 500 || !plain(&url.URL{Path: commandPath}) || !plain(&url.URL{Path: android.CheckInPath}) {
		t.Errorf("%d paths are plain, or ours are not", taken)
	}
	for _, u := range []url.URL{{Path: "/a", RawPath: "/%61"}, {Path: "/a", Host: "x"}, {Path: "/a", Scheme: "https"}} {
		if plain(&u) {
			t.Errorf("%+v is plain", u)
		}
	}
}

// TestHST022NothingBehind: where the end of a request is in doubt, what follows it is never a second one.
func TestHST022NothingBehind(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	body := string(encode(p.idle()))
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	second := "PUT " + commandPath + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body
	for _, tt := range []struct {
		name, line, headers, body string
		status, answers           int
	}{
		{"plain", commandPath + " HTTP/1.1", length, body, 200, 2}, // only this one may go on
		{"two equal lengths", commandPath + " HTTP/1.1", length + length, body, 200, 2},
		{"two lengths", commandPath + " HTTP/1.1", "Content-Length: 0\r\n" + length, body, 400, 1},
		{"chunks", commandPath + " HTTP/1.1", "Transfer-Encoding: chunked\r\n", chunks, 200, 1},
		{"a length, then chunks", commandPath + " HTTP/1.1", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunks, 200, 1},
		{"chunks, then a length", commandPath + " HTTP/1.1", "Transfer-Encoding: chunked\r\n" + length, chunks, 200, 1},
		{"no length beside chunks", commandPath + " HTTP/1.1", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", chunks, 200, 1},
		{"chunks twice", commandPath + " HTTP/1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunks, 501, 1},
		{"chunks that nobody reads", "/nothing HTTP/1.1", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunks, 404, 1},
		{"chunks in HTTP/1.0", commandPath + " HTTP/1.0", "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n" + length, body, 200, 1},
		{"a bad path", "/e/../apple/mdm HTTP/1.1", length, body, 400, 1},
		{"a bad path without a body", "/e/%2e%2e/x HTTP/1.1", "", "", 400, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := l.raw(p, "PUT "+tt.line+"\r\nHost: x\r\n"+tt.headers+"\r\n"+tt.body+second)
			if want := fmt.Sprint(tt.status, " "); !strings.HasPrefix(strings.TrimPrefix(got, "HTTP/1.1 "), want) && !strings.HasPrefix(strings.TrimPrefix(got, "HTTP/1.0 "), want) {
				t.Errorf("answered %.40q, want %d", got, tt.status)
			}
			if n := strings.Count(got, "HTTP/1."); n != tt.answers {
				t.Errorf("%d answers, want %d: %q", n, tt.answers, got)
			}
		})
	}
}

func TestHST023ForgedHeaders(t *testing.T) {
	l := newLab(t)
	a := l.phone(udid(1)).enrol()
	nobody := l.phoneOf(a.id, certs.Signer{})
	pem := certs.CertificatesPEM(a.who.Certificate)
	forged := http.Header{
		"X-Client-Cert": {strings.ReplaceAll(string(pem), "\n", "%0A")}, "Client-Cert": {"::"}, "X-Forwarded-For": {"203.0.113.9"},
		"X-Real-Ip": {"203.0.113.9"}, "True-Client-Ip": {"203.0.113.9"}, "X-Forwarded-Host": {"evil.example"},
	}
	if got, err := nobody.do(http.MethodPut, commandPath, forged, encode(a.idle())); err != nil || got.status != 400 {
		t.Errorf("a certificate in a header answered %d (%v), want 400", got.status, err)
	}
	if l.logged("203.0.113.9") || !l.logged(`"remote":"127.0.0.1:`) {
		t.Error("the log believes a header")
	}
}

func TestHST028HeaderFlood(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	for name, headers := range map[string]string{
		"one long line": "X-Long: " + strings.Repeat("a", 1<<20) + "\r\n",
		"many cookies":  strings.Repeat("Cookie: a=b\r\n", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", l.addr, p.tls)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go io.WriteString(conn, "PUT "+commandPath+" HTTP/1.1\r\nHost: x\r\n"+headers+"\r\n") // the server hangs up in the middle of it
			b := make([]byte, 64)
			n, _ := io.ReadFull(conn, b)
			if !bytes.HasPrefix(b[:n], []byte("HTTP/1.1 431 ")) {
				t.Errorf("answered %q, want 431", b[:n])
			}
		})
	}
	sig := strings.Repeat("A", 32<<10) // apple.md section 14: the signature of a Mac must fit
	if a, err := p.do(http.MethodPut, commandPath, http.Header{"Mdm-Signature": {sig}}, encode(p.idle())); err != nil || a.status != 200 {
		t.Errorf("a header of 32 KiB answered %d (%v), want 200: signatures are not asked for", a.status, err)
	}
}

// A bubble of virtual time: ten seconds and more pass at once.
func TestHST020Slowloris(t *testing.T) {
	for _, tt := range []struct {
		name  string
		send  func(c net.Conn)
		after time.Duration // the server hangs up
		reads int           // bytes of the body that the handler got
	}{
		{"headers, one byte a second", func(c net.Conn) {
			drip(c, "POST /x HTTP/1.1\r\nHost: x\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1, time.Second)
		}, patience, 0},
		{"a body of one byte a second", func(c net.Conn) {
			io.WriteString(c, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
			drip(c, strings.Repeat("b", 1000), 1, time.Second)
		}, patience, 10},
		{"nothing after the handshake", func(net.Conn) {}, patience, 0},
		{"a message of one byte a second", func(c net.Conn) {
			io.WriteString(c, "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
			drip(c, strings.Repeat("b", 1000), 1, time.Second)
		}, patience, 10},
		{"a message of 2 KiB a second for a minute", func(c net.Conn) {
			io.WriteString(c, "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 122880\r\n\r\n")
			drip(c, strings.Repeat("b", 120<<10), 2<<10, time.Second)
		}, time.Minute + idle, 120 << 10},
		{"2 KiB a second for a minute", func(c net.Conn) {
			io.WriteString(c, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 122880\r\n\r\n")
			drip(c, strings.Repeat("b", 120<<10), 2<<10, time.Second)
		}, time.Minute + idle, 120 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got int
				s := HTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPut {
						var x exchange
						x.read(r)
						got = len(x.body)
						return
					}
					b, _ := io.ReadAll(r.Body)
					got = len(b)
				}), nil, logs.New(io.Discard, true))
				ours, theirs := net.Pipe()
				defer synctest.Wait()
				defer ours.Close()
				l := &oneConn{conn: theirs}
				go s.Serve(l)
				start := time.Now()
				gone := make(chan struct{})
				go func() { // what the server answers is read, and its end noticed
					defer close(gone)
					io.Copy(io.Discard, ours)
				}()
				go tt.send(ours)
				<-gone
				if took := time.Since(start); took < tt.after-time.Second || took > tt.after+2*time.Second {
					t.Errorf("hung up after %v, want %v", took, tt.after)
				}
				s.Close()
				l.Close()
				time.Sleep(time.Second) // the slow sender notices
				if got < tt.reads-2 || got > tt.reads+2 {
					t.Errorf("the handler got %d bytes, want %d", got, tt.reads)
				}
			})
		})
	}
}

// An answer that nobody reads ends; one that is read slowly does not.
func TestHST020AnswerNobodyReads(t *testing.T) {
	const size = 1 << 20
	for _, tt := range []struct {
		name string
		read int           // bytes each second
		want time.Duration // the handler is done, at the latest
		ok   bool
	}{
		{"nothing is read", 0, patience + time.Second, false},
		{"8 KiB a second", 8 << 10, 3 * time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				done := make(chan error, 1)
				s := HTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, err := w.Write(make([]byte, size))
					done <- err
				}), nil, logs.New(io.Discard, true))
				ours, theirs := net.Pipe()
				l := &oneConn{conn: theirs}
				go s.Serve(l)
				io.WriteString(ours, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				go func() {
					for tt.read > 0 {
						if _, err := io.ReadFull(ours, make([]byte, tt.read)); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				var err error
				select {
				case err = <-done:
				case <-time.After(time.Hour):
					t.Error("the answer never ended")
				}
				if took := time.Since(start); (err == nil) != tt.ok || took > tt.want {
					t.Errorf("the answer ended after %v: %v", took, err)
				}
				ours.Close()
				s.Close()
				l.Close()
				time.Sleep(2 * time.Second)
			})
		})
	}
}

// TestHST020ContinueNobodyReads: whoever asks for leave to send and does not read the answer is not waited for.
func TestHST020ContinueNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, done := time.Now(), make(chan error, 1)
		s := HTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			done <- err
		}), nil, logs.New(io.Discard, true))
		ours, theirs := net.Pipe()
		l := &oneConn{conn: theirs}
		go s.Serve(l)
		io.WriteString(ours, "PUT /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
		select {
		case <-done:
			if took := time.Since(start); took > patience+time.Second {
				t.Errorf("it was waited for for %v", took)
			}
		case <-time.After(time.Hour):
			t.Error("it is waited for for ever")
		}
		ours.Close()
		s.Close()
		l.Close()
		time.Sleep(2 * time.Second)
	})
}

func drip(w io.Writer, s string, n int, every time.Duration) {
	for len(s) > 0 {
		if _, err := io.WriteString(w, s[:min(n, len(s))]); err != nil {
			return
		}
		s = s[min(n, len(s)):]
		time.Sleep(every)
	}
}

// oneConn is a listener that has one connection to give.
type oneConn struct {
	conn net.Conn
	once sync.Once
	done chan struct{}
	mu   sync.Mutex
}

func (l *oneConn) Accept() (net.Conn, error) {
	l.mu.Lock()
	if l.done == nil {
		l.done = make(chan struct{})
	}
	c := l.conn
	l.conn = nil
	l.mu.Unlock()
	if c != nil {
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error {
	l.mu.Lock()
	if l.done == nil {
		l.done = make(chan struct{})
	}
	l.mu.Unlock()
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }
