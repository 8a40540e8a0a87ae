package host

import "time"

const (
	apart = time.Second     // from the end of one conversation that a push asked for to the next
	spare = 60              // of them in a row may bring nothing, as where a laboratory steps its clock again and again
	earns = 5 * time.Second // until there is one more
)

// A pace holds apart the conversations that pushes ask for, so that pushes without end do not make conversations without end (HST-120). The
// first after a rest is had at once, and a burst becomes one more, a moment later; those that bring nothing become rare. Its zero value is
// ready for use.
type pace struct {
	last  time.Time // the end of the latest
	spent time.Time // until then what brought nothing counts
}

// rest is how long pushes are to wait.
func (p *pace) rest(now time.Time) time.Duration {
	return max(p.last.Add(apart).Sub(now), p.spent.Add(-(spare-1)*earns).Sub(now), 0)
}

// followed says that a conversation that a push asked for has ended.
func (p *pace) followed(now time.Time) {
	p.last = now
	if p.spent.Before(now) {
		p.spent = now
	}
	p.spent = p.spent.Add(earns)
}

// brought says that the server had something to do.
func (p *pace) brought() { p.spent = time.Time{} }
