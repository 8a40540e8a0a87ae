package push

import "sync"

// A tenth of the notifications may be sent a second time at once (HST-112), and a few more as long as there were few: where
// every connection breaks, trying twice is twice the load on a service that is ill. The queue tries the others later.
const (
	retryShare    = 0.1
	retriesAtOnce = 20.0
)

// A budget is for second tries. The zero budget has all that it can have.
type budget struct {
	mu    sync.Mutex
	spent float64
}

// earn counts one notification.
func (b *budget) earn() {
	b.mu.Lock()
	b.spent = max(0, b.spent-retryShare)
	b.mu.Unlock()
}

// take tells whether there is a second try left, and takes it.
func (b *budget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent+1 > retriesAtOnce {
		return false
	}
	b.spent++
	return true
}
