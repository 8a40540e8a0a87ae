package link

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/protocol/apple"
)

func newPool(a *certs.Authority) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate())
	return pool
}

// TestHST120 meets a hostile server: the device keeps identity and enrolment, reads no more than its cap, follows
// nobody to another host, and comes back in its own time.
func TestHST120(t *testing.T) {
	s := serve(t, nil)
	l := s.link(Config{MaxBody: 1 << 20})
	d := s.enrolled(l, 1)
	identity := d.Identity()
	elsewhere := serve(t, nil)
	hijack := func(w http.ResponseWriter, text string) bool {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		io.WriteString(conn, text)
		conn.Close()
		return true
	}
	for _, tt := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request) bool
		want   error // nil: any
	}{
		{"endless body", func(w http.ResponseWriter, r *http.Request) bool {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return true
				}
			}
		}, ErrTooLong},
		{"a length of 1 GB", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "1000000000")
			w.Write(make([]byte, 2<<20))
			return true
		}, ErrTooLong},
		{"endless header", func(w http.ResponseWriter, r *http.Request) bool {
			conn, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(conn, "X: "+strings.Repeat("a", 1000)+"\r\n"); err != nil {
					conn.Close()
					return true
				}
			}
		}, ErrTooLong},
		{"endless 100 Continue", func(w http.ResponseWriter, r *http.Request) bool {
			conn, _, _ := w.(http.Hijacker).Hijack()
			for {
				if _, err := io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
					conn.Close()
					return true
				}
			}
		}, ErrTooLong},
		{"redirect to another host", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, elsewhere.URL+"/mdm", http.StatusTemporaryRedirect)
			return true
		}, ErrElsewhere},
		{"redirect without TLS", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, strings.Replace(s.URL, "https", "http", 1), http.StatusTemporaryRedirect)
			return true
		}, ErrElsewhere},
		{"redirect in a circle", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}, ErrCircle},
		{"no HTTP", func(w http.ResponseWriter, r *http.Request) bool { return hijack(w, "220 mail.example ESMTP\r\n") }, nil},
		{"no such status", func(w http.ResponseWriter, r *http.Request) bool {
			return hijack(w, "HTTP/1.1 002 OK\r\nContent-Length: 0\r\n\r\n")
		}, nil},
		{"two lengths", func(w http.ResponseWriter, r *http.Request) bool {
			return hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
		}, nil},
		{"body cut short", func(w http.ResponseWriter, r *http.Request) bool {
			return hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		}, nil},
		{"broken chunk", func(w http.ResponseWriter, r *http.Request) bool {
			return hijack(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n")
		}, nil},
		{"hangs up", func(w http.ResponseWriter, r *http.Request) bool { return hijack(w, "") }, nil},
		{"HTML", func(w http.ResponseWriter, r *http.Request) bool {
			io.WriteString(w, "<html>hello</html>")
			return true
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.mu.Lock()
			s.before = func(w http.ResponseWriter, r *http.Request, _ []byte) bool { return tt.answer(w, r) }
			s.mu.Unlock()
			_, err := l.Converse(t.Context(), d, dialect.Pushed)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if d.Phase() != agent.Enrolled || d.Identity() != identity {
				t.Fatalf("phase %s, identity %+v", d.Phase(), d.Identity())
			}
			if wait := d.Due().Time().Sub(s.now()); wait <= 0 || wait > time.Hour {
				t.Errorf("comes back after %s", wait)
			}
		})
	}
	if got := elsewhere.told(); len(got) != 0 {
		t.Errorf("the other host heard %q", got)
	}
	t.Run("Retry-After: 10^9", func(t *testing.T) {
		for _, value := range []string{"1000000000", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"} {
			s.mu.Lock()
			s.before = func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
				w.Header().Set("Retry-After", value)
				w.WriteHeader(503)
				return true
			}
			s.mu.Unlock()
			if r, err := l.Converse(t.Context(), d, dialect.Pushed); err == nil || r.RetryAfter < agent.MaxWait {
				t.Errorf("%s: %v, %s", value, err, r.RetryAfter)
			}
			if wait := d.Due().Time().Sub(s.now()); wait < agent.MaxWait || wait > agent.MaxWait+2*time.Hour {
				t.Errorf("%s: comes back after %s", value, wait)
			}
		}
	})
	s.mu.Lock()
	s.before = nil
	s.mu.Unlock()
	s.give(order{"A", apple.ProfileList{}})
	s.converse(l, d, dialect.Pushed) // and all is well again
}

func TestGoodAnswersInEveryForm(t *testing.T) {
	s := serve(t, nil)
	l := s.link(Config{})
	d := s.enrolled(l, 1)
	command := string(apple.EncodeCommand(nil, "A", apple.ProfileList{}))
	raw := func(w http.ResponseWriter, text string) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, text)
		conn.Close()
	}
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"chunked": func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); io.WriteString(w, command) },
		"closed at end": func(w http.ResponseWriter, r *http.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+command)
		},
		"HTTP/1.0": func(w http.ResponseWriter, r *http.Request) { raw(w, "HTTP/1.0 200 OK\r\n\r\n"+command) },
		"after a Continue": func(w http.ResponseWriter, r *http.Request) {
			raw(w, fmt.Sprintf("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(command), command))
		},
		"more than asked": func(w http.ResponseWriter, r *http.Request) {
			raw(w, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 401 No\r\n\r\n", len(command), command))
		},
		"redirected": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/mdm" {
				http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
				return
			}
			io.WriteString(w, command)
		},
	} {
		t.Run(name, func(t *testing.T) {
			first := true
			s.mu.Lock()
			s.before = func(w http.ResponseWriter, r *http.Request, body []byte) bool {
				if !bytes.Contains(body, []byte("Idle")) || !first && r.URL.Path == "/mdm" {
					return false
				}
				first = false
				answer(w, r)
				return true
			}
			s.mu.Unlock()
			r, err := l.Converse(t.Context(), d, dialect.Pushed)
			if err != nil || r.Commands != 1 {
				t.Errorf("%v, %+v", err, r)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  time.Duration
	}{
		{"", 0},
		{"120", 2 * time.Minute},
		{"0", 0},
		{"-5", 0},
		{"soon", 0},
		{noon.Add(time.Hour).Format(http.TimeFormat), time.Hour},
		{noon.Add(-time.Hour).Format(http.TimeFormat), 0},
	} {
		if got := retryAfter(tt.value, noon); got != tt.want {
			t.Errorf("retryAfter(%q) = %s, want %s", tt.value, got, tt.want)
		}
	}
}

// FuzzRead feeds the reader of answers. It must not panic, nor read more than its caps.
func FuzzRead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("HTTP/1.1 503 No\r\nRetry-After: 900\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 307 Go\r\nLocation: /x\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 002 OK\r\n\r\n"))
	l := &Link{config: Config{MaxBody: 64, Now: func() time.Time { return noon }}}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := conversation{link: l, conn: &conn{}}
		c.conn.limit.R, c.conn.limit.N = bytes.NewReader(b), maxHeader
		c.conn.in = bufio.NewReader(&c.conn.limit)
		answer, location, err := c.read(new(Exchange))
		if len(answer.Body) > 64 {
			t.Fatalf("%d bytes read", len(answer.Body))
		}
		if err == nil && location == "" && answer.Status < 200 {
			t.Fatalf("status %d", answer.Status)
		}
	})
}
