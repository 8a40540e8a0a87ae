package device

import (
	"container/list"
	"sync"
	"time"
)

// A turnstile lets a few through at a time, in the order in which they came, and turns newcomers away while the line is too
// long or too old: whoever is let into it is served while the other side still waits.
type turnstile struct {
	width int           // that are inside at once
	most  int           // that stand in line
	age   time.Duration // nobody joins the line while its first has waited as long
	wait  time.Duration // that anybody stands in it at most

	mu     sync.Mutex
	inside int
	line   list.List // of *waiter: those who come
	back   list.List // those who were inside before, went out to wait for the other side, and have work done already
	served uint64    // since the gate was made
}

// A waiter stands in a line.
type waiter struct {
	turn  chan struct{} // closed when it has come
	since time.Time
}

// enter returns when the caller is inside; leave lets it out. False: it was turned away. Whoever was inside before comes
// back before all newcomers, and is never turned away for the length of their line.
func (t *turnstile) enter(again bool) bool {
	t.mu.Lock()
	if t.inside < t.width { // then nobody waits
		t.inside++
		t.mu.Unlock()
		return true
	}
	line := &t.line
	if again {
		line = &t.back
	} else if line.Len() >= t.most || t.oldest() >= t.age {
		t.mu.Unlock()
		return false
	}
	w := &waiter{turn: make(chan struct{}), since: time.Now()}
	place := line.PushBack(w)
	t.mu.Unlock()
	limit := time.NewTimer(t.wait)
	defer limit.Stop()
	select {
	case <-w.turn:
		return true
	case <-limit.C:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-w.turn: // it came at the same moment
		return true
	default:
		line.Remove(place)
		return false
	}
}

func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.served++
	for _, line := range [...]*list.List{&t.back, &t.line} {
		if first := line.Front(); first != nil {
			close(line.Remove(first).(*waiter).turn)
			return
		}
	}
	t.inside--
}

// oldest returns how long the first newcomer has waited. The caller holds t.mu.
func (t *turnstile) oldest() time.Duration {
	if first := t.line.Front(); first != nil {
		return time.Since(first.Value.(*waiter).since)
	}
	return 0
}

// queue returns how many wait and for how long the first newcomer has.
func (t *turnstile) queue() (waiting int, oldest time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.line.Len() + t.back.Len(), t.oldest()
}

// passed returns how many have been inside, since the gate was made.
func (t *turnstile) passed() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.served
}
