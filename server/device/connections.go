package device

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// suspect is how long a connection may take over its first request before it is closed sooner than one that has had one.
const suspect = 3 * time.Second

// Guard puts a behind listener and s, whose ConnState it takes: s is to serve the listener that it returns.
func (a *Admission) Guard(s *http.Server, listener net.Listener) net.Listener {
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if c := keptOf(c); c != nil {
			c.changed(state)
		}
	}
	return &guarded{listener, a}
}

// keptOf returns what an Admission keeps of c; nil: none does.
func keptOf(c net.Conn) *conn {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	kept, _ := c.(*conn)
	return kept
}

type guarded struct {
	net.Listener
	a *Admission
}

// Accept returns the next connection once there is room for it. Those who wait for room are in the system's queue.
func (l *guarded) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) { // net/http tries again after a while
			l.a.conns.mu.Lock()
			l.a.conns.evict()
			l.a.conns.mu.Unlock()
		}
		return nil, err
	}
	c := &conn{Conn: raw, a: l.a, since: time.Now()}
	if !l.a.conns.admit(c) {
		raw.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *guarded) Close() error {
	l.a.conns.mu.Lock()
	l.a.conns.ended = true
	l.a.conns.mu.Unlock()
	l.a.conns.changed.Broadcast()
	return l.Listener.Close()
}

// connections are those that a server keeps.
type connections struct {
	most int

	mu      sync.Mutex
	changed sync.Cond // one is closed or can be
	ended   bool      // the listener is closed
	kept    int
	idle    list.List // of *conn: between two requests, the longest first
	young   list.List // of *conn: before their first request, the oldest first
	bodies  bodyLists
	evicted uint64
}

// bodyLists are those *conn that have yet to bring the whole body of a request, the longest first: of strangers, and of those who have an
// identity.
type bodyLists [2]list.List

// admit keeps c when there is room for it. False: the listener was closed meanwhile.
func (s *connections) admit(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.kept >= s.most && !s.ended {
		if !s.evict() {
			s.wait()
		}
	}
	if s.ended {
		return false
	}
	s.kept++
	c.list = &s.young
	c.place = s.young.PushBack(c)
	return true
}

// wait returns when there may be somebody to evict, or room. The caller holds s.mu.
func (s *connections) wait() {
	for i := range s.bodies {
		if first := s.bodies[i].Front(); first != nil {
			ripe := time.AfterFunc(suspect-time.Since(first.Value.(*conn).since), func() {
				s.mu.Lock() // whoever arms this waits before it can be heard
				defer s.mu.Unlock()
				s.changed.Signal()
			})
			defer ripe.Stop()
		}
	}
	s.changed.Wait()
}

// evict closes the connection that is least worth keeping: one that is suspiciously slow with its first request, one
// between two requests, any whose first request we wait for, or one that is suspiciously slow with a body, a stranger's first. False: all of
// them are being served. The caller holds s.mu.
func (s *connections) evict() bool {
	victim := s.slowest()
	if first := s.idle.Front(); first != nil && (victim == nil || time.Since(victim.since) < suspect) {
		victim = first.Value.(*conn)
	}
	for i := 0; i < len(s.bodies) && victim == nil; i++ {
		if first := s.bodies[i].Front(); first != nil && time.Since(first.Value.(*conn).since) >= suspect {
			victim = first.Value.(*conn)
		}
	}
	if victim == nil {
		return false
	}
	s.drop(victim)
	s.evicted++
	victim.Conn.Close() // the owner's own Close follows
	return true
}

// slowest returns the oldest of those that have not brought their first request yet and are not at our expense.
func (s *connections) slowest() *conn {
	for e := s.young.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*conn); c.awaited {
			return c
		}
	}
	return nil
}

// drop forgets c; later calls do nothing.
func (s *connections) drop(c *conn) {
	if c.dropped {
		return
	}
	c.dropped = true
	c.move(nil)
	s.kept--
	s.changed.Signal()
}

// A conn is one connection that is kept.
type conn struct {
	net.Conn
	a     *Admission
	since time.Time // that it is waited for: its first request, or a body; while it is, guarded by connections.mu

	began  bool        // its handshake was inside once; the reader's own
	inside atomic.Bool // of the turnstile of handshakes
	ready  atomic.Bool // its first request is here: handshake and suspicion are over

	// Guarded by connections.mu.
	list    *list.List
	place   *list.Element
	awaited bool // before its first request: the turn is the other side's
	dropped bool
}

// move takes c from its list to another one, nil: none.
func (c *conn) move(to *list.List) {
	if c.list != nil {
		c.list.Remove(c.place)
	}
	if c.list, c.place = to, nil; to != nil {
		c.place = to.PushBack(c)
	}
}

func (c *conn) Read(p []byte) (int, error) { return c.theirs(c.Conn.Read, p) }

func (c *conn) Write(p []byte) (int, error) { return c.theirs(c.Conn.Write, p) }

// theirs does what depends on the other side. Until the first request is here, whatever follows is at our expense, and has
// to wait for its turn.
func (c *conn) theirs(do func([]byte) (int, error), p []byte) (int, error) {
	if c.ready.Load() {
		return do(p)
	}
	c.leave()
	c.await(true)
	n, err := do(p)
	c.await(false)
	if err != nil {
		return n, err
	}
	if !c.a.handshakes.enter(c.began) {
		c.a.turnedAway(handshake)
		return 0, errBusy
	}
	c.began = true
	c.inside.Store(true)
	return n, nil
}

func (c *conn) await(is bool) {
	s := &c.a.conns
	s.mu.Lock()
	if c.awaited = is; is {
		s.changed.Signal()
	}
	s.mu.Unlock()
}

func (c *conn) leave() {
	if c.inside.CompareAndSwap(true, false) {
		c.a.handshakes.leave()
	}
}

// changed hears from net/http what c is about.
func (c *conn) changed(state http.ConnState) {
	s := &c.a.conns
	switch state {
	case http.StateActive:
		c.ready.Store(true)
		c.leave()
		s.mu.Lock()
		c.move(nil)
		s.mu.Unlock()
	case http.StateIdle:
		s.mu.Lock()
		if !c.dropped {
			c.move(&s.idle)
			s.changed.Signal()
		}
		s.mu.Unlock()
	}
}

// reads notes that the body of a request is awaited from now on. A nil conn is nobody's to keep.
func (c *conn) reads(known bool) {
	if c == nil {
		return
	}
	s := &c.a.conns
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.dropped {
		return
	}
	c.since = time.Now()
	of := &s.bodies[0]
	if known {
		of = &s.bodies[1]
	}
	c.move(of)
	s.changed.Signal()
}

// whole notes that the body is there. False: c was closed for room before it was.
func (c *conn) whole() bool {
	if c == nil {
		return true
	}
	s := &c.a.conns
	s.mu.Lock()
	defer s.mu.Unlock()
	c.move(nil)
	return !c.dropped
}

func (c *conn) Close() error {
	c.leave()
	s := &c.a.conns
	s.mu.Lock()
	s.drop(c)
	s.mu.Unlock()
	return c.Conn.Close()
}
