package device

import (
	"container/list"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/protocol/apple"
)

// Bodies are read before a request takes a place, so that places are held by work only (HST-020). What is small has room as long as
// its connection does, and waits for its end no longer than patience; the memory of all that is larger comes out of one of two sums,
// so that those whom nobody knows crowd out only each other.
const (
	smallBody    = 4 << 10 // as much as net/http keeps for a connection anyway
	knownRoom    = 256 << 20
	strangerRoom = 64 << 20
	mostBody     = apple.MaxMessage // no endpoint takes more
)

var (
	errCut  = errors.New("HST-020: the body came slowly and others needed its room")
	errRoom = errors.New("HST-020: no room for the body")
)

// bodies are those that are larger than smallBody and on their way, or waiting and worked upon.
type bodies struct {
	ripe time.Duration // that a body is left to come in before another may have its room

	mu      sync.Mutex
	left    int64     // bytes
	reading list.List // of *body, the one that began first is first
}

// A body is one that was gathered: as many bytes as came, then err.
type body struct {
	bytes []byte
	at    int // read by the handler
	err   error

	// Of a large one.
	of      *bodies
	held    int64
	since   time.Time
	place   *list.Element // among those that are read; nil: it is whole
	cut     atomic.Bool   // set under of.mu
	control *http.ResponseController
}

var spareBodies = sync.Pool{New: func() any { return &body{bytes: make([]byte, 0, smallBody)} }}

// gather reads what r brings, and leaves it in b and why it ended in b.err: io.EOF when it is whole. Of errors, errCut and errRoom are
// ours.
func (b *body) gather(of *bodies, w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > mostBody {
		b.err = errTooLarge
		return
	}
	for b.err == nil {
		if len(b.bytes) == cap(b.bytes) {
			if len(b.bytes) > mostBody { // the endpoint will say so
				b.err = errTooLarge
				break
			}
			if b.of == nil {
				b.of, b.since, b.control = of, time.Now(), http.NewResponseController(w)
			}
			size := min(2*cap(b.bytes), mostBody+1)
			if r.ContentLength > 0 {
				size = min(size, int(r.ContentLength)) // it ends there, without another read
			}
			if !of.grow(b, int64(size)) {
				b.err = errRoom
				break
			}
			b.bytes = append(make([]byte, 0, size), b.bytes...)
		}
		var n int
		n, b.err = r.Body.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		if b.cut.Load() {
			b.err = errCut
		}
	}
	if b.of != nil {
		of.whole(b)
	}
}

// release ends b: nobody reads it any more.
func (b *body) release() {
	if b.of != nil {
		b.of.mu.Lock()
		b.of.left += b.held
		b.of.mu.Unlock()
		return // its bytes go
	}
	*b = body{bytes: b.bytes[:0]}
	spareBodies.Put(b)
}

func (b *body) Read(p []byte) (int, error) {
	if b.at == len(b.bytes) {
		return 0, b.err
	}
	n := copy(p, b.bytes[b.at:])
	if b.at += n; b.at == len(b.bytes) && b.err == io.EOF {
		return n, io.EOF
	}
	return n, nil
}

func (b *body) Close() error { return nil }

// grow has b hold size bytes. False: there is no room, although those who have been slow for long were cut.
func (s *bodies) grow(b *body, size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.cut.Load() {
		return false
	}
	more := size - b.held
	free := s.left
	for e := s.reading.Front(); e != nil && free < more; e = e.Next() {
		slow := e.Value.(*body)
		if slow != b && time.Since(slow.since) < s.ripe {
			break
		}
		if slow != b {
			free += slow.held
		}
	}
	if free < more { // cutting them would not help
		return false
	}
	for e := s.reading.Front(); e != nil && s.left < more; {
		slow := e.Value.(*body)
		if e = e.Next(); slow != b {
			s.drop(slow)
		}
	}
	s.left -= more
	b.held = size
	if b.place == nil {
		b.place = s.reading.PushBack(b)
	}
	return true
}

// drop ends the reading of slow and counts its room as free: its reader lets it go at once. The caller holds s.mu.
func (s *bodies) drop(slow *body) {
	slow.cut.Store(true) // before the deadline: its reader may be about to set a later one, and looks here afterwards
	slow.control.SetReadDeadline(time.Unix(1, 0))
	s.reading.Remove(slow.place)
	s.left += slow.held
	slow.place, slow.held = nil, 0
}

// whole takes b out of those that can be cut.
func (s *bodies) whole(b *body) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.place != nil {
		s.reading.Remove(b.place)
		b.place = nil
	}
	if b.cut.Load() { // even when its end came at the same moment: its connection is past its deadline
		b.err = errCut
	}
}
