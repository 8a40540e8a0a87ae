package push

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstWait = 5 * time.Second
	longWait  = time.Hour
	patience  = 5 // failures in a row that open a breaker
)

// backOff is how long to wait after the attempt that many others preceded: full jitter, so that those who failed together
// do not come back together.
func backOff(attempt int) time.Duration {
	limit := longWait
	if attempt < 10 {
		limit = min(longWait, firstWait<<max(attempt, 0))
	}
	return rand.N(limit)
}

// Health is what one notification tells of the service as a whole.
type health uint8

const (
	unknown health = iota // nothing: it was given up, or stopped on our side
	well                  // it answered, if only to say no
	ill                   // it failed, or could not be reached
)

// A breaker keeps a slot from a service that is ill: after some failures in a row nothing is sent for a while, then one
// notification tries for all.
type breaker struct {
	mu     sync.Mutex
	failed int       // in a row
	until  time.Time // nothing is sent before
	trying bool      // one is on its way for all
}

// allow tells whether a notification may be sent at now, or else how long to wait at least. What it allowed is reported.
func (b *breaker) allow(now time.Time) (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failed < patience:
		return 0, true
	case now.Before(b.until):
		return b.until.Sub(now), false
	case b.trying:
		return firstWait, false
	}
	b.trying = true
	return 0, true
}

// report says what an allowed notification found.
func (b *breaker) report(now time.Time, h health) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
	switch h {
	case well:
		b.failed = 0
	case ill:
		b.failed++
		if b.failed >= patience {
			b.until = now.Add(backOff(b.failed - patience))
		}
	}
}

func (b *breaker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed, b.trying = 0, false
}
