package protocol

import (
	"math/bits"
	"time"
)

// A Schedule is how often a platform's devices are in contact: quick phases after enrolment, then a steady
// cadence (table "Schedules" of the authority specification).
type Schedule struct {
	Polls  bool // the device comes by itself; Apple devices wait for a push instead
	Steady time.Duration
	Quick  []Phase
	Return time.Duration // a device that is on the network again makes up for what it missed within this, not at once as all others; 0: at once
}

// LongestCadence is the most that a tenant may have between two contacts: what is due later than that was put there by a clock that
// was wrong (HST-110).
const LongestCadence = 24 * time.Hour

// A Phase of a schedule: every Every until For after the enrolment.
type Phase struct{ Every, For time.Duration }

var (
	appleSchedule = Schedule{Steady: 8 * time.Hour, Quick: []Phase{{15 * time.Minute, time.Hour}}}
	pollSchedule  = Schedule{Polls: true, Steady: 8 * time.Hour, Quick: []Phase{
		{3 * time.Minute, 15 * time.Minute}, {15 * time.Minute, 2*time.Hour + 15*time.Minute},
	}}
	androidSchedule = Schedule{Polls: true, Steady: pollSchedule.Steady, Quick: pollSchedule.Quick, Return: 5 * time.Minute} // android.md, section 7
)

// ScheduleOf returns the schedule of p's devices.
func ScheduleOf(p Platform) *Schedule {
	switch {
	case p.Apple():
		return &appleSchedule
	case p == Android:
		return &androidSchedule
	}
	return &pollSchedule
}

// After returns when the contact after now is due for a device enrolled at enrolled. In the steady cadence each device keeps a
// place of its own, given as a share of 2^64: those that a wake-up brought together, or an outage kept away, are spread again
// within one interval, and none waits longer than that. It does not allocate.
func (s *Schedule) After(enrolled, now Time, place uint64) Time {
	age := now.Sub(enrolled)
	for _, q := range s.Quick {
		if age < q.For {
			return now.Add(q.Every)
		}
	}
	every := Time(s.Steady / time.Microsecond)
	first, _ := bits.Mul64(place, uint64(every))
	since := (now - Time(first)) % every
	if since < 0 { // a clock before 1970
		since += every
	}
	return now + every - since
}
