package push

import (
	"context"
	"sync"

	"rollcall/server/delivery"
)

// A Recorder is a Pusher that keeps what it is given. Its zero value accepts everything.
type Recorder struct {
	Answer func(n Notification) Answer // nil: Accepted

	mu   sync.Mutex
	sent []Notification
}

// Push keeps n and gives r.Answer's answer.
func (r *Recorder) Push(_ context.Context, n Notification) Answer {
	r.mu.Lock()
	r.sent = append(r.sent, n)
	r.mu.Unlock()
	if r.Answer != nil {
		return r.Answer(n)
	}
	return Answer{Result: delivery.Accepted}
}

// Sent returns all notifications so far, in the order in which they came.
func (r *Recorder) Sent() []Notification {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Notification(nil), r.sent...)
}
