package link

import (
	"container/list"
	"crypto/sha256"
	"crypto/tls"
	"sync"

	"rollcall/protocol"
)

// sessions remembers the latest TLS session of as many devices, those that talked last.
type sessions struct {
	most int

	mu     sync.Mutex
	order  list.List // of *session, latest first
	device map[protocol.Device]*list.Element
}

// A session may be dropped at any time: the next handshake is then a whole one.
type session struct {
	device   protocol.Device
	identity [sha256.Size]byte // of the client certificate that the session stands for
	server   string
	state    *tls.ClientSessionState
}

// sessionsOf returns the cache that one connection of d uses; nil when nothing is remembered.
func (l *Link) sessionsOf(d protocol.Device, certificate []byte) tls.ClientSessionCache {
	if resumes := l.config.Resumes; resumes != nil && !resumes(d) {
		return nil
	}
	return l.sessions.of(d, certificate)
}

// of returns the cache that one connection uses; nil when nothing is remembered. A session of another identity is not
// found: it would present the old certificate after a renewal.
func (s *sessions) of(d protocol.Device, certificate []byte) tls.ClientSessionCache {
	if s.most <= 0 || len(certificate) == 0 {
		return nil
	}
	return &sessionCache{s, d, sha256.Sum256(certificate)}
}

type sessionCache struct {
	all      *sessions
	device   protocol.Device
	identity [sha256.Size]byte
}

// Get implements [tls.ClientSessionCache].
func (c *sessionCache) Get(server string) (*tls.ClientSessionState, bool) {
	s := c.all
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.device[c.device]
	if e == nil {
		return nil, false
	}
	if x := e.Value.(*session); x.identity == c.identity && x.server == server {
		return x.state, true
	}
	return nil, false
}

// Put implements [tls.ClientSessionCache].
func (c *sessionCache) Put(server string, state *tls.ClientSessionState) {
	s := c.all
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.device[c.device]
	switch {
	case state == nil:
		if e != nil {
			s.drop(e)
		}
		return
	case e == nil:
		if s.device == nil {
			s.device = make(map[protocol.Device]*list.Element)
		}
		e = s.order.PushFront(&session{device: c.device})
		s.device[c.device] = e
		if s.order.Len() > s.most {
			s.drop(s.order.Back())
		}
	default:
		s.order.MoveToFront(e)
	}
	x := e.Value.(*session)
	x.identity, x.server, x.state = c.identity, server, state
}

func (s *sessions) drop(e *list.Element) {
	delete(s.device, e.Value.(*session).device)
	s.order.Remove(e)
}
