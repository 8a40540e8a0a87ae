package apns

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Frame types and the one error code that matter here (RFC 9113, sections 6 and 7).
const (
	frameHeader  = 9 // bytes
	frameData    = 0x0
	frameHeaders = 0x1
	frameReset   = 0x3
	frameGoAway  = 0x7
	endStream    = 0x1 // flag of DATA and HEADERS
	codeNoError  = 0
)

var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// Credit against floods (HST-021): frames that ask for no push use it up, pushes earn some back. What is left
// over within a minute is far more than any client needs.
const (
	credit      = 2000
	earnRequest = 2
	costReset   = 3 // so that a request taken back at once costs more than it earned
	costIdle    = 1
)

var errFlood = errors.New("too many frames that ask for nothing")

// A listener wraps each connection in TLS and a conn. The handshake happens in the connection's own goroutine.
type listener struct {
	net.Listener
	service *Service

	mu      sync.Mutex
	conns   map[*conn]struct{}
	closing atomic.Bool
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := tls.Server(raw, l.service.tls)
	c := &conn{Conn: t, tls: t, raw: raw, listener: l, open: map[uint32]struct{}{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return c, nil
}

// sayGoodbye sends GOAWAY on every connection that speaks HTTP/2; what is under way there is still answered.
func (l *listener) sayGoodbye() {
	l.closing.Store(true)
	l.mu.Lock()
	conns := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(c.sayGoodbye)
	}
	wg.Wait()
}

type connKey struct{}

// A conn is one TLS connection. It watches the frames that pass: those that come in for floods, those that go
// out for GOAWAY, which gets its JSON here. It hides that it is TLS: net/http would leave HTTP/2 alone otherwise.
type conn struct {
	net.Conn // tls
	tls      *tls.Conn
	raw      net.Conn
	listener *listener
	http2    atomic.Bool // the preface has been read
	leaving  atomic.Bool // a fault makes it say GOAWAY

	// Used by the reading side only.
	shaken bool
	read   int // bytes of the preface that came; -1: something else came
	in     frames
	credit int
	since  time.Time

	mu      sync.Mutex
	out     frames
	held    []byte // of a frame that goes out: a header cut off so far, or a GOAWAY
	buf     []byte
	open    map[uint32]struct{} // streams that are not answered yet
	last    uint32              // highest stream that came
	goodbye bool                // GOAWAY waits for the end of a frame
	parting bool                // GOAWAY is out: close after the last answer

	identify sync.Once
	who      provider
}

// provider tells who is at the other end; only once the handshake is done.
func (c *conn) provider() *provider {
	c.identify.Do(func() {
		if certs := c.tls.ConnectionState().PeerCertificates; len(certs) > 0 {
			c.who = providerOf(certs[0])
		}
	})
	return &c.who
}

// Read completes the handshake first and counts how it went.
func (c *conn) Read(p []byte) (int, error) {
	if !c.shaken {
		c.shaken = true
		err := c.tls.Handshake()
		c.listener.service.shaken(err)
		if err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p)
	if c.watch(p[:n]); c.credit < 0 {
		c.Close()
		return 0, errFlood
	}
	return n, err
}

// watch follows what came in. HTTP/1 is let through, to be refused in words.
func (c *conn) watch(p []byte) {
	if c.read < len(preface) {
		n := min(len(p), len(preface)-max(c.read, 0))
		if c.read < 0 || !bytes.Equal(p[:n], preface[c.read:c.read+n]) {
			c.read = -1
			return
		}
		c.read += n
		p = p[n:]
		if c.read < len(preface) {
			return
		}
		c.http2.Store(true)
	}
	if now := time.Now(); now.Sub(c.since) > time.Minute {
		c.since, c.credit = now, credit
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		var begun bool
		if _, p, begun = c.in.cut(p); !begun {
			continue
		}
		switch {
		case c.in.kind() == frameHeaders:
			c.credit = min(c.credit+earnRequest, credit)
			if id := c.in.stream(); id > c.last { // else trailers
				c.last = id
				c.open[id] = struct{}{}
			}
		case c.in.kind() == frameReset:
			c.credit -= costReset
			delete(c.open, c.in.stream())
		case c.in.kind() != frameData || c.in.left == 0:
			c.credit -= costIdle
		}
	}
}

// Write passes p on, adding a reason to each GOAWAY without error. It holds a frame's header back until it is
// whole.
func (c *conn) Write(p []byte) (int, error) {
	if !c.http2.Load() {
		return c.Conn.Write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = c.buf[:0]
	for rest := p; len(rest) > 0; {
		var part []byte
		part, rest, _ = c.out.cut(rest)
		c.held = append(c.held, part...)
		if c.out.have < frameHeader || c.out.kind() == frameGoAway && c.out.left > 0 {
			continue
		}
		if c.out.kind() == frameGoAway {
			c.held = c.amend(c.held)
		}
		c.buf = append(c.buf, c.held...)
		c.held = c.held[:0]
		if c.out.left > 0 {
			continue
		}
		if c.out.kind() == frameReset || c.out.kind() <= frameHeaders && c.out.head[4]&endStream != 0 {
			delete(c.open, c.out.stream())
		}
		if c.goodbye {
			c.goodbye, c.parting = false, true
			c.buf = appendGoAway(c.buf, c.last, c.reason())
		}
	}
	if _, err := c.Conn.Write(c.buf); err != nil {
		return 0, err
	}
	if c.parting && len(c.open) == 0 {
		c.Close()
	}
	return len(p), nil
}

// sayGoodbye writes GOAWAY between two frames and closes the connection when all that came before is answered.
// net/http would leave it open for another second.
func (c *conn) sayGoodbye() {
	if !c.http2.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.have > 0 && (c.out.have < frameHeader || c.out.left > 0) {
		c.goodbye = true
		return
	}
	c.SetWriteDeadline(time.Now().Add(time.Second / 2)) // the peer may not be reading
	defer c.SetWriteDeadline(time.Time{})
	c.Conn.Write(appendGoAway(nil, c.last, c.reason())) // a peer that is gone needs none
	if c.parting = true; len(c.open) == 0 {
		c.Close()
	}
}

// reset cuts the connection as a failing network does.
func (c *conn) reset() {
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.raw.Close()
}

func (c *conn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

func (c *conn) reason() Reason {
	if c.leaving.Load() || c.listener.closing.Load() {
		return Shutdown
	}
	return IdleTimeout // the only other cause of a GOAWAY without error
}

// amend gives a GOAWAY frame of net/http its debug data, unless it tells of a protocol error.
func (c *conn) amend(frame []byte) []byte {
	if len(frame) != frameHeader+8 || binary.BigEndian.Uint32(frame[frameHeader+4:]) != codeNoError {
		return frame
	}
	last := binary.BigEndian.Uint32(frame[frameHeader:])
	return appendGoAway(frame[:0], last, c.reason())
}

// appendGoAway appends a GOAWAY frame: last stream, no error, and the JSON that a push would get.
func appendGoAway(b []byte, last uint32, r Reason) []byte {
	debug := answer{Reason: r}.json()
	n := 8 + len(debug)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), frameGoAway, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	b = binary.BigEndian.AppendUint32(b, codeNoError)
	return append(b, debug...)
}

// frames finds where frames begin and end in a stream of bytes.
type frames struct {
	head [frameHeader]byte
	have int // bytes of head
	left int // bytes of payload to come
}

func (f *frames) kind() byte     { return f.head[3] }
func (f *frames) stream() uint32 { return binary.BigEndian.Uint32(f.head[5:]) &^ (1 << 31) }

// cut takes from p what belongs to the frame at hand, of its header or of its payload. begun tells that the
// header became whole.
func (f *frames) cut(p []byte) (part, rest []byte, begun bool) {
	if f.have == frameHeader && f.left == 0 {
		f.have = 0
	}
	if f.have < frameHeader {
		n := copy(f.head[f.have:], p)
		f.have += n
		if begun = f.have == frameHeader; begun {
			f.left = int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])
		}
		return p[:n], p[n:], begun
	}
	n := min(f.left, len(p))
	f.left -= n
	return p[:n], p[n:], false
}
