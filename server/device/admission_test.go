package device

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/server/logs"
)

func quiet(most int) *Admission { return NewAdmission(most, logs.New(io.Discard, true)) }

// A storm that takes four seconds if nobody ever had to come again: all devices at once, each coming again when it is told.
func TestHST111Storm(t *testing.T) {
	const (
		devices = 16_000
		work    = 256 * time.Millisecond // 4,000 a second
		ideal   = devices * work / requestsAtOnce
	)
	synctest.Test(t, func(t *testing.T) {
		log := &syncBuffer{}
		a := NewAdmission(0, logs.New(log, true))
		var inside, most atomic.Int64
		h := a.admit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n := inside.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(work)
			inside.Add(-1)
		}))
		began := time.Now()
		var refusals [devices]int
		var longest [devices]time.Duration // from coming to an answer
		var wg sync.WaitGroup
		for i := range devices {
			wg.Go(func() {
				for {
					came := time.Now()
					w := httptest.NewRecorder()
					h.ServeHTTP(w, httptest.NewRequest(http.MethodPut, commandPath, nil))
					longest[i] = max(longest[i], time.Since(came))
					if w.Code == 200 {
						return
					}
					refusals[i]++
					again, err := strconv.Atoi(w.Header().Get("Retry-After"))
					if w.Code != 503 || err != nil || again < 1 || !strings.Contains(w.Body.String(), "HST-111") {
						t.Errorf("answered %d %q, Retry-After %q", w.Code, w.Body, w.Header().Get("Retry-After"))
						return
					}
					time.Sleep(time.Duration(again) * time.Second)
				}
			})
		}
		time.Sleep(tooOld)
		if !a.Shedding() || !a.Strained() {
			t.Error("a storm is not noticed")
		}
		wg.Wait()
		took := time.Since(began)
		t.Logf("drained in %v, ideal %v; most refusals of one device %d, longest wait in line %v", took, time.Duration(ideal), slices.Max(refusals[:]), slices.Max(longest[:]))
		if took > 2*ideal {
			t.Errorf("drained in %v, want at most twice %v", took, time.Duration(ideal))
		}
		if n := slices.Max(refusals[:]); n > 3 || slices.Max(longest[:]) > 2*tooOld {
			t.Errorf("a device was refused %d times, one stood in line for %v", n, slices.Max(longest[:]))
		}
		if most.Load() > requestsAtOnce {
			t.Errorf("%d requests at once", most.Load())
		}
		time.Sleep(2 * calm)
		synctest.Wait()
		if a.Shedding() || a.Strained() {
			t.Error("the end of the storm is not noticed")
		}
		if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "overload is over") {
			t.Errorf("the log has %d lines, want one for the beginning and one for the end:\n%s", n, log)
		}
	})
}

func TestHST111Moments(t *testing.T) {
	var m moments
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	if got := m.take(now, 0, 0.5); got < soonest || got > 2*soonest {
		t.Errorf("the first comes again after %v", got)
	}
	now = now.Add(time.Second)
	m.take(now, 100, 0.5) // 100 a second, as it turns out
	first := m.take(now, 100, 0.5)
	if got := m.take(now, 100, 0.5) - first; got != 12500*time.Microsecond {
		t.Errorf("moments are %v apart, want those of 80 a second", got)
	}
	if low, high := m.take(now, 100, 0), m.take(now, 100, 1); high < low*5/3-100*time.Millisecond {
		t.Errorf("chance makes %v to %v of a moment", low, high)
	}
	for range 100_000 { // who does not listen
		m.take(now, 100, 0.5)
	}
	if got := m.take(now, 100, 1); got > latest*5/4 {
		t.Errorf("comes again after %v", got)
	}
}

func TestHST111Turnstile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &turnstile{width: 1, most: 4, age: 2 * time.Second, wait: 10 * time.Second}
		var got []string
		come := func(name string, again bool) {
			go func() {
				if !g.enter(again) {
					got = append(got, name+" is turned away")
					return
				}
				got = append(got, name)
			}()
			synctest.Wait()
		}
		next := func() {
			g.leave()
			synctest.Wait()
		}
		come("a", false)
		come("b", false)
		come("c", false)
		come("had a turn before", true)
		time.Sleep(2 * time.Second)
		come("late", false)
		come("has, too", true)
		if n, age := g.queue(); n != 4 || age != 2*time.Second {
			t.Errorf("%d wait, for %v", n, age)
		}
		for range 5 {
			next()
		}
		come("d", false)
		come("e", false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		next()
		come("f", false)
		want := []string{"a", "late is turned away", "had a turn before", "has, too", "b", "c", "d", "e is turned away", "f"}
		if !slices.Equal(got, want) {
			t.Errorf("came in as\n%q, want\n%q", got, want)
		}
		if g.passed() != 6 {
			t.Errorf("%d have passed", g.passed())
		}
	})
}

// pipes is a listener over which the test connects.
type pipes struct {
	made chan any // net.Conn or error
	done chan struct{}
	once sync.Once
}

func newPipes() *pipes { return &pipes{made: make(chan any), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case x := <-p.made:
		if err, ok := x.(error); ok {
			return nil, err
		}
		return x.(net.Conn), nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A caller is the other end of a connection.
type caller struct {
	net.Conn
	in *bufio.Reader
}

func (p *pipes) connect() *caller {
	ours, theirs := net.Pipe()
	p.made <- theirs
	synctest.Wait()
	return &caller{Conn: ours, in: bufio.NewReader(ours)}
}

// ask sends a request and tells how it was answered; empty: not at all.
func (c *caller) ask(path string) string {
	if over, ok := c.Conn.(*tls.Conn); ok {
		over.Handshake() // nobody waits for its locks, which a bubble would not see
	}
	go io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return ""
	}
	io.Copy(io.Discard, resp.Body)
	time.Sleep(time.Millisecond) // until the server knows that it is idle
	return resp.Status
}

// hungUp tells whether the server closed the connection.
func (c *caller) hungUp() bool {
	synctest.Wait()
	c.SetReadDeadline(time.Now().Add(time.Millisecond)) // of the bubble's clock
	_, err := c.in.Peek(1)
	c.SetReadDeadline(time.Time{})
	return err == io.EOF || err == io.ErrClosedPipe
}

// guardedServer serves over pipes in a bubble; /hold answers after letGo.
func guardedServer(t *testing.T, a *Admission, config *tls.Config) (p *pipes, letGo func()) {
	hold := make(chan struct{})
	letGo = sync.OnceFunc(func() { close(hold) })
	s := HTTPServer(a.admit(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			<-hold
		}
	})), config, logs.New(io.Discard, true))
	p = newPipes()
	listener := a.Guard(s, p)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if config == nil {
			s.Serve(listener)
		} else {
			s.ServeTLS(listener, "", "")
		}
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
		letGo()
		synctest.Wait()
		if st := a.State(); st.Connections != 0 || st.Idle != 0 || a.handshakes.inside != 0 {
			t.Errorf("%+v are left, %d inside", st, a.handshakes.inside)
		}
	})
	return p, letGo
}

func TestHST020Connections(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(t *testing.T, a *Admission, p *pipes, letGo func())
	}{
		{"the one that has been idle for longest makes room", func(t *testing.T, a *Admission, p *pipes, _ func()) {
			one, two := p.connect(), p.connect()
			two.ask("/")
			time.Sleep(time.Second)
			one.ask("/")
			three := p.connect()
			if got := three.ask("/"); got != "200 OK" {
				t.Errorf("the newcomer is answered %q", got)
			}
			if one.hungUp() || !two.hungUp() {
				t.Error("the wrong one went")
			}
			if st := a.State(); st.Connections != 2 || st.Evicted != 1 || st.Idle != 2 {
				t.Errorf("%+v", st)
			}
		}},
		{"who is slow with the first request goes before who has made one", func(t *testing.T, _ *Admission, p *pipes, _ func()) {
			slow, good := p.connect(), p.connect()
			good.ask("/")
			go slow.Write([]byte("G"))
			time.Sleep(suspect)
			if got := p.connect().ask("/"); got != "200 OK" {
				t.Errorf("the newcomer is answered %q", got)
			}
			if good.hungUp() || !slow.hungUp() {
				t.Error("the wrong one went")
			}
		}},
		{"who has just come goes after who is idle", func(t *testing.T, _ *Admission, p *pipes, _ func()) {
			idle, fresh := p.connect(), p.connect()
			idle.ask("/")
			if got := p.connect().ask("/"); got != "200 OK" {
				t.Errorf("the newcomer is answered %q", got)
			}
			if got := fresh.ask("/"); got != "200 OK" || !idle.hungUp() {
				t.Error("the wrong one went")
			}
		}},
		{"while all are served the next one waits", func(t *testing.T, a *Admission, p *pipes, letGo func()) {
			var wg sync.WaitGroup
			for range 2 {
				c := p.connect()
				wg.Go(func() {
					if got := c.ask("/hold"); got != "200 OK" {
						t.Errorf("answered %q", got)
					}
				})
			}
			synctest.Wait()
			late := p.connect()
			answer := make(chan string)
			go func() { answer <- late.ask("/") }()
			time.Sleep(time.Hour)
			if st := a.State(); st.Connections != 2 {
				t.Errorf("%d are kept", st.Connections)
			}
			letGo()
			if got := <-answer; got != "200 OK" {
				t.Errorf("then answered %q", got)
			}
			wg.Wait()
		}},
		{"who is slow with a body goes when all are", func(t *testing.T, a *Admission, p *pipes, _ func()) {
			one, two := p.connect(), p.connect()
			for _, c := range []*caller{one, two} {
				c.ask("/")
			}
			time.Sleep(suspect) // which is over nothing but the bodies
			for _, c := range []*caller{one, two} {
				go io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12345")
				time.Sleep(time.Second)
			}
			came := time.Now()
			if got := p.connect().ask("/"); got != "200 OK" {
				t.Errorf("the newcomer is answered %q", got)
			}
			if waited, want := time.Since(came).Round(time.Second), suspect-2*time.Second; waited != want {
				t.Errorf("it waited for %v, want %v", waited, want)
			}
			if !one.hungUp() || two.hungUp() {
				t.Error("the wrong one went")
			}
			go io.WriteString(two, "6789")
			if resp, err := http.ReadResponse(two.in, nil); err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("who has brought its body is answered %v, %v", resp, err)
			}
		}},
		{"whose body is there is served to the end", func(t *testing.T, a *Admission, p *pipes, letGo func()) {
			var wg sync.WaitGroup
			for range 2 {
				c := p.connect()
				wg.Go(func() {
					io.WriteString(c, "POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1")
					if resp, err := http.ReadResponse(c.in, nil); err != nil || resp.StatusCode != http.StatusOK {
						t.Errorf("answered %v, %v", resp, err)
					}
				})
			}
			synctest.Wait()
			late := p.connect()
			answer := make(chan string)
			go func() { answer <- late.ask("/") }()
			time.Sleep(time.Hour)
			letGo()
			if got := <-answer; got != "200 OK" {
				t.Errorf("the newcomer is answered %q", got)
			}
			wg.Wait()
		}},
		{"a stranger's body goes before a device's", func(t *testing.T, a *Admission, p *pipes, _ func()) {
			var kept [2]*conn // a device's, then a stranger's
			for i := range kept {
				ours, theirs := net.Pipe()
				t.Cleanup(func() { ours.Close() })
				kept[i] = &conn{Conn: theirs, a: a}
				a.conns.admit(kept[i])
				kept[i].reads(i == 0)
				time.Sleep(time.Second)
			}
			time.Sleep(suspect)
			a.conns.mu.Lock()
			a.conns.evict()
			a.conns.mu.Unlock()
			if !kept[0].whole() || kept[1].whole() {
				t.Error("the wrong one went")
			}
			kept[0].Close()
		}},
		{"a listener that is closed keeps nobody waiting", func(_ *testing.T, _ *Admission, p *pipes, _ func()) {
			for range 2 {
				c := p.connect()
				go c.ask("/hold")
			}
			synctest.Wait()
			p.connect()
		}},
		{"HST-099: no more files, and one idle connection goes", func(t *testing.T, _ *Admission, p *pipes, _ func()) {
			idle := p.connect()
			idle.ask("/")
			p.made <- &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
			if !idle.hungUp() {
				t.Error("it stays")
			}
			if got := p.connect().ask("/"); got != "200 OK" {
				t.Errorf("the next one is answered %q", got)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := quiet(2)
				p, letGo := guardedServer(t, a, nil)
				tt.play(t, a, p, letGo)
			})
		})
	}
}

// While handshakes wait for too long, a newcomer is closed before a byte is written to it; one under way goes on, and a
// connection that is kept is served as ever.
func TestHST111Handshakes(t *testing.T) {
	l := newLab(t)
	config := l.h.TLSConfig()
	config.Certificates = []tls.Certificate{l.serverCertificate()}
	_, client := l.client(nil)
	synctest.Test(t, func(t *testing.T) {
		a := quiet(0)
		p, _ := guardedServer(t, a, config)
		dial := func() *caller {
			raw := p.connect()
			c := tls.Client(raw.Conn, client)
			return &caller{Conn: c, in: bufio.NewReader(c)}
		}
		kept := dial()
		if got := kept.ask("/"); got != "200 OK" {
			t.Fatalf("answered %q", got)
		}
		for range a.handshakes.width {
			a.handshakes.enter(false)
		}
		waits := dial()
		answer := make(chan string)
		go func() { answer <- waits.ask("/") }()
		synctest.Wait()
		if st := a.State(); st.Handshakes != 1 {
			t.Fatalf("%d handshakes wait", st.Handshakes)
		}
		time.Sleep(tooOld)
		if !a.Strained() || a.Shedding() {
			t.Error("the line is not noticed")
		}
		raw := p.connect()
		go tls.Client(raw.Conn, client).Handshake()
		if b, err := raw.in.Peek(1); len(b) > 0 || err != io.EOF || !a.Shedding() {
			t.Errorf("the newcomer gets %x, %v", b, err)
		}
		if got := kept.ask("/"); got != "200 OK" {
			t.Errorf("the one that is kept is answered %q", got)
		}
		for range a.handshakes.width {
			a.handshakes.leave()
		}
		if got := <-answer; got != "200 OK" {
			t.Errorf("the one that waited is answered %q", got)
		}
		kept.Close()
		waits.Close()
		time.Sleep(2 * calm)
	})
}

// A handshake that the other side does not go on with holds up nobody.
func TestHST020Handshakes(t *testing.T) {
	l := newLab(t)
	config := l.h.TLSConfig()
	config.Certificates = []tls.Certificate{l.serverCertificate()}
	_, client := l.client(nil)
	synctest.Test(t, func(t *testing.T) {
		a := quiet(0)
		p, _ := guardedServer(t, a, config)
		end := make(chan struct{})
		defer close(end)
		for range 10 * a.handshakes.width {
			raw := p.connect()
			go tls.Client(halfDeaf{raw.Conn, end}, client).Handshake() // says hello and does not read the answer
		}
		synctest.Wait()
		if st := a.State(); st.Connections == 0 || st.Handshakes != 0 {
			t.Errorf("%+v", st)
		}
		raw := p.connect()
		c := tls.Client(raw.Conn, client)
		if got := (&caller{Conn: c, in: bufio.NewReader(c)}).ask("/"); got != "200 OK" {
			t.Errorf("answered %q", got)
		}
		c.Close()
		time.Sleep(time.Minute)
	})
}

type halfDeaf struct {
	net.Conn
	end chan struct{}
}

func (c halfDeaf) Read([]byte) (int, error) {
	<-c.end
	return 0, io.EOF
}
