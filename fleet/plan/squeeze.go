package plan

import (
	"cmp"
	"math/bits"
	"time"
)

// Squeezed returns p with its story told in d: every moment and length of the timeline, the faults and the arrival shrinks alike. Lives
// of certificates and cadences are not the story's, and stay. For a run on the real clock, which nobody waits weeks for.
func (p *Plan) Squeezed(d time.Duration) *Plan {
	shrink := func(t Duration) Duration { return Duration(scale(time.Duration(t), d, time.Duration(p.Until))) }
	s := *p
	s.Until = Duration(d)
	s.Acts = make([]Act, len(p.Acts))
	for i, a := range p.Acts {
		s.Acts[i] = Act{shrink(a.At), a.Name}
	}
	s.Timeline = make([]Action, len(p.Timeline))
	for i, a := range p.Timeline {
		a.At = shrink(a.At)
		if a.Enrol != nil {
			e := *a.Enrol
			e.Over = shrink(e.Over)
			a.Enrol = &e
		}
		if a.Licences != nil {
			l := *a.Licences
			l.Over, l.Every = shrink(l.Over), shrink(cmp.Or(l.Every, Duration(time.Hour)))
			if l.Over == 0 {
				l.Every = 0
			}
			a.Licences = &l
		}
		if a.Reenrol != nil {
			r := *a.Reenrol
			r.Over = shrink(r.Over)
			a.Reenrol = &r
		}
		if a.Absence != nil {
			absence := *a.Absence
			absence.Lasts = absence.Lasts.squeezed(d, time.Duration(p.Until))
			a.Absence = &absence
		}
		s.Timeline[i] = a
	}
	s.Faults = make([]Fault, len(p.Faults))
	for i, f := range p.Faults {
		f.At, f.For = shrink(f.At), shrink(f.For)
		s.Faults[i] = f
	}
	if p.Arrival != nil {
		a := *p.Arrival
		a.Ramp = shrink(a.Ramp)
		a.Steps = make([]RateStep, len(p.Arrival.Steps))
		for i, step := range p.Arrival.Steps {
			a.Steps[i] = RateStep{shrink(step.At), step.Rate}
		}
		if a.Spike != nil {
			a.Spike = &Spike{shrink(a.Spike.At), shrink(a.Spike.For), a.Spike.Rate}
		}
		if a.Everyone != nil {
			a.Everyone = &Wave{shrink(a.Everyone.At), shrink(a.Everyone.Over)}
		}
		s.Arrival = &a
	}
	s.Step = min(s.Step, s.Until)
	return &s
}

// squeezed returns d with every length times to/from.
func (d Distribution) squeezed(to, from time.Duration) Distribution {
	cuts := make([]time.Duration, len(d.cuts))
	for i, c := range d.cuts {
		cuts[i] = scale(c, to, from)
	}
	return Distribution{text: d.text + " squeezed", cuts: cuts}
}

// scale returns t times to/from, to the microsecond, the same on every machine.
func scale(t, to, from time.Duration) time.Duration {
	hi, lo := bits.Mul64(uint64(t/time.Microsecond), uint64(to))
	quotient, _ := bits.Div64(hi, lo, uint64(from))
	return time.Duration(quotient) * time.Microsecond
}
