package device

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"rollcall/protocol/apple"
)

// A sender is a connection of a client that is slow with its body.
type sender struct {
	*tls.Conn
	in *bufio.Reader
}

// half begins a request and returns once the server reads its body, of which so many bytes are there then.
func (l *lab) half(config *tls.Config, method, path, headers string, length, sent int) *sender {
	l.t.Helper()
	c, err := tls.Dial("tcp", l.addr, config)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	s := &sender{c, bufio.NewReader(c)}
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n%s\r\n", method, path, length, headers)
	if got := s.status(); got != http.StatusContinue {
		l.t.Fatalf("%s %s is answered %d before its body is asked for", method, path, got)
	}
	c.Write(make([]byte, sent))
	return s
}

// status is that of the next answer, which is read.
func (s *sender) status() int {
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return 0
	}
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// Ten times as many half-sent bodies as there are places take none, whoever sends them.
func TestHST020Bodies(t *testing.T) {
	for _, tt := range []struct {
		name, method, path, headers string
		sent                        int
		known                       bool
	}{
		{"SCEP of strangers", http.MethodPost, scepPath + "?operation=PKIOperation", "", 1300, false},
		{"SCEP of strangers, most of it", http.MethodPost, scepPath + "?operation=PKIOperation", "", 50_000, false},
		{"messages with a signature that nobody has checked", http.MethodPut, commandPath, "Mdm-Signature: AAAA\r\n", 1300, false},
		{"a path that there is not", http.MethodPost, "/x", "", 1300, false},
		{"messages of a device", http.MethodPut, commandPath, "", 1300, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := quiet(0)
			l := newLab(t, func(c *Config) { c.Admission, c.SignMessage = a, true })
			a.requests.width, a.requests.age = 2, 0 // nobody waits for a place
			p, other := l.phone(udid(1)).enrol(), l.phone(udid(2)).enrol()
			_, config := l.client(nil)
			if tt.known {
				config = other.tls
			}
			for range 10 * a.requests.width {
				l.half(config, tt.method, tt.path, tt.headers, 60_000, tt.sent)
			}
			if got := p.send(p.idle()); got.status != 200 {
				t.Errorf("a check-in is answered %d %s", got.status, got.body)
			}
			if got, err := l.phoneOf(udid(3), other.who).do(http.MethodGet, scepPath+"?operation=GetCACaps", nil, nil); err != nil || got.status != 200 {
				t.Errorf("a newcomer is answered %d (%v)", got.status, err)
			}
		})
	}
}

// TestHST020Room: the memory of what is on its way is bounded, and strangers take it from each other only.
func TestHST020Room(t *testing.T) {
	const length = 60_000
	a := quiet(0)
	l := newLab(t, func(c *Config) { c.Admission = a })
	p := l.phone(udid(1)).enrol()
	_, nobody := l.client(nil)
	set := func(ripe time.Duration) {
		a.strangers.mu.Lock()
		defer a.strangers.mu.Unlock()
		a.strangers.ripe = ripe
	}
	const room = length + length/2
	a.strangers.left = room
	left := func(s *bodies) int64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.left
	}
	knownLeft := left(&a.known)
	scep := scepPath + "?operation=PKIOperation"
	first := l.half(nobody, http.MethodPost, scep, "", length, length-1)
	for left(&a.strangers) != room-length { // all of it was sent, its reader is on its way
		runtime.Gosched()
	}

	set(time.Hour)
	second := l.half(nobody, http.MethodPost, scep, "", length, 16<<10) // and its reader wants more room than there is
	if got := second.status(); got != http.StatusServiceUnavailable {
		t.Errorf("without room a stranger is answered %d, want 503", got)
	}
	if a.Shedding() || a.State().RequestsAway != 1 {
		t.Error("a stranger without room is overload, or is not counted")
	}
	large := apple.EncodeMessage(nil, &apple.Message{UDID: p.id})
	large = bytes.Replace(large, []byte("<dict>"), []byte("<dict><key>X</key><string>"+strings.Repeat("x", 2*length)+"</string>"), 1)
	if got, err := p.do(http.MethodPut, commandPath, nil, large); err != nil || got.status != 200 {
		t.Errorf("a device with a large message is answered %d %s (%v)", got.status, got.body, err)
	}
	if left(&a.known) != knownLeft {
		t.Error("a message that is answered holds room")
	}

	set(0)
	third := l.half(nobody, http.MethodPost, scep, "", length, length-1)
	if got := first.status(); got != http.StatusServiceUnavailable {
		t.Errorf("the one that was slow for long is answered %d, want 503", got)
	}
	third.Write(make([]byte, 1))
	if got := third.status(); got != http.StatusBadRequest { // it was read to its end
		t.Errorf("the one that took its room is answered %d, want 400", got)
	}
	if got := left(&a.strangers); got != room {
		t.Errorf("%d bytes of room are left, want %d", got, room)
	}
}
