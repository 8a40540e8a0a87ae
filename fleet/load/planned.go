package load

import (
	"slices"
	"time"

	"rollcall/fleet/plan"
)

// PaceOf is the pace of a plan's arrival, which it must have, for so many devices.
func PaceOf(p *plan.Plan, devices int) Pace {
	a := p.Arrival
	until := time.Duration(p.Until)
	base := max(a.CheckIns.Rate(), a.Enrolments.Rate())
	ramp := time.Duration(a.Ramp)
	ends := []time.Duration{ramp, until}
	for _, s := range a.Steps {
		ends = append(ends, time.Duration(s.At))
	}
	if s := a.Spike; s != nil {
		ends = append(ends, time.Duration(s.At), time.Duration(s.At+s.For))
	}
	if w := a.Everyone; w != nil {
		ends = append(ends, time.Duration(w.At), time.Duration(w.At+w.Over))
	}
	slices.Sort(ends)
	// rate is that of a moment as it is seen from the middle of its piece.
	rate := func(at, middle time.Duration) float64 {
		r := base
		for _, s := range a.Steps {
			if middle >= time.Duration(s.At) {
				r = s.Rate.Rate()
			}
		}
		if middle < ramp {
			r = base * at.Seconds() / ramp.Seconds()
		}
		if s := a.Spike; s != nil && middle >= time.Duration(s.At) && middle < time.Duration(s.At+s.For) {
			r = s.Rate.Rate()
		}
		if w := a.Everyone; w != nil && middle >= time.Duration(w.At) && middle < time.Duration(w.At+w.Over) {
			r += float64(devices) / time.Duration(w.Over).Seconds()
		}
		return r
	}
	var all Pace
	from := time.Duration(0)
	for _, end := range ends {
		if end > from {
			middle := (from + end) / 2
			all = all.Then(Ramp(rate(from, middle), rate(end, middle), end-from))
			from = end
		}
	}
	if a.Poisson {
		all = all.Poisson(p.Seed)
	}
	return all
}
