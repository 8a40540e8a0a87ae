package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol/lang"
)

// A Pace is when arrivals are meant to happen: a rate over time, in pieces in each of which it changes evenly. It is pure:
// the same Pace gives the same instants every time, and what a server does about them changes none. The zero Pace
// has none.
type Pace struct {
	pieces []piece
	chance bool   // instants are drawn, not spaced
	seed   uint64 // of the draws
}

// A piece is a part of a Pace; rates are arrivals a second.
type piece struct {
	from, to float64
	lasts    time.Duration
}

// Constant is rate arrivals a second for d.
func Constant(rate float64, d time.Duration) Pace { return Ramp(rate, rate, d) }

// Ramp goes evenly from one rate to another.
func Ramp(from, to float64, d time.Duration) Pace {
	return Pace{pieces: []piece{{from, to, d}}}
}

// Then is p, and q after it. It is by chance if p is.
func (p Pace) Then(q Pace) Pace {
	pieces := append([]piece{}, p.pieces...)
	for _, x := range q.pieces {
		if x.lasts > 0 {
			pieces = append(pieces, x)
		}
	}
	p.pieces = pieces
	return p
}

// Poisson is p with instants drawn independently of one another at p's rate, by seed.
func (p Pace) Poisson(seed uint64) Pace {
	p.chance, p.seed = true, seed
	return p
}

// Length is how long p lasts.
func (p Pace) Length() time.Duration {
	var sum time.Duration
	for _, x := range p.pieces {
		sum += x.lasts
	}
	return sum
}

// Peak is the highest rate, in arrivals a second.
func (p Pace) Peak() float64 {
	top := 0.0
	for _, x := range p.pieces {
		top = max(top, x.from, x.to)
	}
	return top
}

// Total is how many arrivals there are; by chance, on average.
func (p Pace) Total() float64 {
	sum := 0.0
	for _, x := range p.pieces {
		sum += x.total()
	}
	return sum
}

// Arrivals is how many arrivals there are, by chance too.
func (p Pace) Arrivals() (n int) {
	c := p.cursor()
	for _, more := c.next(); more; _, more = c.next() {
		n++
	}
	return n
}

func (p Pace) String() string {
	words := make([]string, len(p.pieces))
	for i, x := range p.pieces {
		rate := perSecond(x.from)
		if x.from != x.to {
			rate = lang.English.Say("%s to %s", rate, perSecond(x.to))
		}
		words[i] = lang.English.Say("%s for %s", rate, plan.Duration(x.lasts))
	}
	if len(words) == 0 {
		return ""
	}
	s := words[0]
	for _, next := range words[1:] {
		s = lang.English.Say("%s, then %s", s, next)
	}
	if p.chance {
		s = lang.English.Say("%s, by chance (Poisson)", s)
	}
	return s
}

func perSecond(rate float64) string { return fmt.Sprintf("%.4g/s", rate) }

func (x piece) total() float64 { return float64((x.from + x.to) / 2 * x.lasts.Seconds()) }

// after returns when n arrivals of the piece have passed: the inverse of from·t + (to-from)·t²/2d, in the form that
// has no difference of nearly equal numbers.
func (x piece) after(n float64) time.Duration {
	if n == 0 {
		return 0 // at a rate of 0 it would be 0/0
	}
	slope := (x.to - x.from) / x.lasts.Seconds()
	root := math.Sqrt(max(0, float64(x.from*x.from)+float64(2*slope*n)))
	return time.Duration(2 * n / (x.from + root) * float64(time.Second))
}

// A cursor goes through the instants of a Pace in order. Two cursors of one Pace give the same instants.
type cursor struct {
	pace  Pace
	draws *rand.Rand
	piece int
	begin time.Duration // of the piece
	n     float64       // arrivals of the piece before the next instant
}

func (p Pace) cursor() *cursor {
	c := &cursor{pace: p}
	if p.chance {
		c.draws = rand.New(rand.NewPCG(p.seed, 0))
		c.n = c.draws.ExpFloat64()
	}
	return c
}

// next returns the next instant, counted from the beginning; false: there is none.
func (c *cursor) next() (time.Duration, bool) {
	for c.piece < len(c.pace.pieces) {
		x := c.pace.pieces[c.piece]
		if all := x.total(); c.n >= all-1e-9 { // a sum of fractions that is a hair below a whole number is that number
			c.n = max(0, c.n-all)
			c.begin += x.lasts
			c.piece++
			continue
		}
		at := c.begin + x.after(c.n)
		if c.draws != nil {
			c.n += c.draws.ExpFloat64()
		} else {
			c.n++
		}
		return at, true
	}
	return 0, false
}
