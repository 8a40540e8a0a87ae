package courier

import "time"

const (
	firstWait = time.Second
	mostWait  = 10 * time.Minute
	steady    = time.Minute // a stream that lasted this long was a good one
)

// A backoff says how long to wait after a stream that ended, or could not be made. Its zero value is ready for use.
type backoff struct{ bad int }

// after returns the wait after a try that had a stream for lasted (0: had none): from half of a time to all of it, as chance says. The
// time begins at a second and doubles up to ten minutes; a stream that was steady begins it anew.
func (b *backoff) after(lasted time.Duration, chance uint64) time.Duration {
	if lasted >= steady {
		b.bad = 0
	}
	wait := mostWait
	if b.bad < 10 { // 1024 s is beyond the most
		wait = min(firstWait<<b.bad, mostWait)
		b.bad++
	}
	return wait/2 + time.Duration(chance%uint64(wait/2+1))
}
