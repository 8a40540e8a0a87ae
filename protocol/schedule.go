package protocol

import "time"

// A Schedule is how often a platform's devices are in contact: quick phases after enrolment, then a steady
// cadence (table "Schedules" of the authority specification).
type Schedule struct {
	Polls  bool // the device comes by itself; Apple devices wait for a push instead
	Steady time.Duration
	Quick  []Phase
}

// A Phase of a schedule: every Every until For after the enrolment.
type Phase struct{ Every, For time.Duration }

var (
	appleSchedule = Schedule{Steady: 8 * time.Hour, Quick: []Phase{{15 * time.Minute, time.Hour}}}
	pollSchedule  = Schedule{Polls: true, Steady: 8 * time.Hour, Quick: []Phase{
		{3 * time.Minute, 15 * time.Minute}, {15 * time.Minute, 2*time.Hour + 15*time.Minute},
	}}
)

// ScheduleOf returns the schedule of p's devices.
func ScheduleOf(p Platform) *Schedule {
	if p.Apple() {
		return &appleSchedule
	}
	return &pollSchedule
}

// After returns when the contact after now is due for a device enrolled at enrolled. It does not allocate.
func (s *Schedule) After(enrolled, now Time) Time {
	age := now.Sub(enrolled)
	for _, q := range s.Quick {
		if age < q.For {
			return now.Add(q.Every)
		}
	}
	return now.Add(s.Steady)
}
