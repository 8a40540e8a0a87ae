package rehearsal

import (
	"errors"
	"fmt"
	"math"
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// Bounds are what waves of licences must keep. A zero bound is none.
type Bounds struct {
	CheckIns     float64       // in a minute, those of the devices that stay where they are among them
	Certificates float64       // issued in a minute, renewals of the others among them
	Unprotected  time.Duration // that a device is without a profile it should have
	From, To     time.Duration // working hours, from midnight in UTC
	Weekends     bool          // Saturdays and Sundays are worked too
}

// Movers are whom waves are about.
type Movers struct {
	Users   int     // that can be given a licence
	Devices int     // of theirs, that move by it
	Fleet   int     // devices that check in, those and all others
	Due     float64 // part of the movers' devices that gets a certificate at its move, being in the window of renewal (AUTH-41)
	Renewed float64 // certificates that the fleet renews in a minute anyhow
}

// A WaveDay is one wave: so many users get their licence, a few each minute, between two moments.
type WaveDay struct {
	At    time.Duration // from the beginning of the story
	Over  time.Duration
	Users int
}

// interval is the steady cadence of check-ins, in minutes.
const interval = 8 * 60

// PlanWaves computes the fastest waves that keep the bounds, one each working day that begins no earlier than after: as many
// users a minute as there is room for beside the check-ins of the others and of those who have moved, with four standard
// deviations to spare, for who comes in which minute is chance. start is the beginning of the story. It is a pure function; the
// error says which bound leaves room for nobody.
func PlanWaves(start protocol.Time, after time.Duration, m Movers, b Bounds) ([]WaveDay, error) {
	hours := b.To - b.From
	switch {
	case b.From < 0 || hours < time.Minute || b.To > plan.Day:
		return nil, fmt.Errorf("hours from %s to %s: want two times of a day, such as 08:00-18:00", clock(b.From), clock(b.To))
	case m.Users == 0:
		return nil, errors.New("nobody moves by a licence")
	}
	minutes := int(hours / time.Minute)
	perUser := float64(m.Devices) / float64(m.Users)
	steady := float64(m.Fleet-m.Devices)/interval + float64(m.Devices)/float64(min(minutes, interval)) // who moved comes again every interval, at the minutes of the waves
	devices := room(b.CheckIns, steady, 1)
	if devices <= 0 {
		return nil, fmt.Errorf("%.0f check-ins a minute leave room for nobody: %d devices make %.0f anyhow, and more by chance", b.CheckIns, m.Fleet, steady)
	}
	if m.Due > 0 {
		issued := room(b.Certificates, m.Renewed, m.Due)
		if issued <= 0 {
			return nil, fmt.Errorf("%.1f certificates a minute leave room for nobody: %.1f are renewed anyhow, and more by chance", b.Certificates, m.Renewed)
		}
		devices = min(devices, issued)
	}
	aDay := m.Users
	if perUser > 0 && devices/perUser*float64(minutes) < float64(m.Users) {
		aDay = int(devices / perUser * float64(minutes))
	}
	if aDay == 0 {
		return nil, errors.New("the bounds leave room for less than one user a day")
	}
	var days []WaveDay
	for left, at := m.Users, workday(start, after, b); left > 0; at = workday(start, at+time.Minute, b) {
		if len(days) == maxWaves {
			return nil, fmt.Errorf("the bounds leave room for %d users a day: more than %d waves for %d users", aDay, maxWaves, m.Users)
		}
		n := min(left, aDay)
		over := time.Duration(math.Ceil(float64(minutes)*float64(n)/float64(aDay))) * time.Minute
		days = append(days, WaveDay{At: at, Over: over, Users: n})
		left -= n
	}
	return days, nil
}

// maxWaves bounds the waves: nobody plans for longer than two years of working days.
const maxWaves = 500

// room returns how many devices a minute a bound leaves room for, each of which makes so many of what is bounded, beside what is
// there anyhow: the mean that stays below it by four standard deviations. Infinite: there is no bound.
func room(bound, steady, each float64) float64 {
	if bound == 0 {
		return math.Inf(1)
	}
	// mean + 4*sqrt(mean) = bound
	root := math.Sqrt(bound+4) - 2
	if root <= 0 {
		return 0
	}
	return (float64(root*root) - steady) / each
}

// workday returns the first beginning of working hours that is not before a moment of the story.
func workday(start protocol.Time, after time.Duration, b Bounds) time.Duration {
	t := start.Add(after).Time()
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	for ; ; day = day.AddDate(0, 0, 1) {
		at := day.Add(b.From)
		weekend := at.Weekday() == time.Saturday || at.Weekday() == time.Sunday
		if !at.Before(t) && (b.Weekends || !weekend) {
			return protocol.At(at).Sub(start)
		}
	}
}

// clock writes a time of day.
func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", d/time.Hour, d%time.Hour/time.Minute)
}
