package host

import (
	"context"
	"time"

	"rollcall/agent/dialect"
	"rollcall/protocol"
)

// An allowance is used up one by one, and each is earned again after a while. Its zero value is whole.
type allowance struct {
	spent time.Time // until then some of it is missing
}

// rest is how long the next one is to wait, of spare in all.
func (a *allowance) rest(now time.Time, spare int, earns time.Duration) time.Duration {
	return max(a.spent.Add(-time.Duration(spare-1)*earns).Sub(now), 0)
}

func (a *allowance) use(now time.Time, earns time.Duration) {
	if a.spent.Before(now) {
		a.spent = now
	}
	a.spent = a.spent.Add(earns)
}

const (
	apart       = time.Second     // from the end of one conversation that a push asked for to the next
	spareTalks  = 60              // of them in a row may bring nothing, as where a laboratory steps its clock again and again
	talkEarned  = 5 * time.Second // until there is one more
	spareSends  = 1000            // requests to the server in a row
	sendsEarned = 500 * time.Millisecond
)

// A pace holds apart the conversations that pushes ask for, so that pushes without end do not make conversations without end (HST-120). The
// first after a rest is had at once, and a burst becomes one more, a moment later; those that bring nothing become rare. Its zero value is
// ready for use.
type pace struct {
	last  time.Time // the end of the latest
	spare allowance // of those that bring nothing
}

// rest is how long pushes are to wait.
func (p *pace) rest(now time.Time) time.Duration {
	return max(p.last.Add(apart).Sub(now), p.spare.rest(now, spareTalks, talkEarned))
}

// followed says that a conversation that a push asked for has ended.
func (p *pace) followed(now time.Time) {
	p.last = now
	p.spare.use(now, talkEarned)
}

// brought says that the server had something to do.
func (p *pace) brought() { p.spare = allowance{} }

// before waits until a request may go out: a server that always has one more command has it carried out and written down twice a second,
// not as fast as the machine can (HST-120).
func (h *Host) before(ctx context.Context, _ protocol.Device, _ dialect.Step) {
	wait := time.NewTimer(h.sends.rest(time.Now(), spareSends, sendsEarned))
	defer wait.Stop()
	select {
	case <-ctx.Done(): // the request will say so
	case <-wait.C:
	}
	h.sends.use(time.Now(), sendsEarned)
}
