package courier

import (
	"math/rand/v2"
	"time"
)

// phase is where this agent's minutes begin, by chance: a thousand machines do not come in one moment of the minute.
var phase = rand.N(time.Minute)

// Together shortens a wait of a minute or more, so that it ends where a minute of this agent does: what an agent waits for wakes the
// machine's processor together, and not more than once a minute.
func Together(now time.Time, wait time.Duration) time.Duration { return together(now.Add(phase), wait) }

func together(now time.Time, wait time.Duration) time.Duration {
	if wait < time.Minute {
		return wait
	}
	end := now.Add(wait)
	return wait - end.Sub(end.Truncate(time.Minute))
}
