package rehearsal

import (
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

// check refuses hours that are none.
func (b *Bounds) check() error {
	if b.From < 0 || b.minutes() < 1 || b.To > plan.Day {
		return fmt.Errorf("hours from %s to %s: want two times of a day, such as 08:00-18:00", clock(b.From), clock(b.To))
	}
	return nil
}

// minutes is how many there are in a working day.
func (b *Bounds) minutes() int { return int((b.To - b.From) / time.Minute) }

// worked tells whether t is in working hours.
func (b *Bounds) worked(t time.Time) bool {
	of := t.Sub(midnight(t))
	return of >= b.From && of < b.To && b.workday(t)
}

// workday tells whether t is on a day that is worked.
func (b *Bounds) workday(t time.Time) bool {
	return b.Weekends || t.Weekday() != time.Saturday && t.Weekday() != time.Sunday
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

	share plan.Share // that they are of those whose turn has not come
}

// interval is the steady cadence of check-ins, in minutes.
const interval = 8 * 60

// guess returns about how many users a day the bounds leave room for beside the check-ins of the others and of those who have
// moved, with four standard deviations to spare, for who comes in which minute is chance: where the search among rehearsals begins.
// The error says which bound leaves room for nobody, since there is more on average without any wave.
func guess(m Movers, b Bounds) (aDay int, err error) {
	minutes := b.minutes()
	perUser := float64(m.Devices) / float64(m.Users)
	if anyhow := float64(m.Fleet) / interval; b.CheckIns > 0 && anyhow >= b.CheckIns {
		return 0, fmt.Errorf("%g check-ins a minute leave room for nobody: %d devices make %.0f on average without any wave", b.CheckIns, m.Fleet, anyhow)
	}
	if b.Certificates > 0 && m.Due > 0 && m.Renewed >= b.Certificates {
		return 0, fmt.Errorf("%g certificates a minute leave room for nobody: %.1f are renewed on average without any wave", b.Certificates, m.Renewed)
	}
	steady := float64(m.Fleet-m.Devices)/interval + float64(m.Devices)/float64(min(minutes, interval)) // who moved comes again every interval, at the minutes of the waves
	devices := room(b.CheckIns, steady, 1)
	if m.Due > 0 {
		devices = min(devices, room(b.Certificates, m.Renewed, m.Due))
	}
	if perUser == 0 || devices/perUser*float64(minutes) >= float64(m.Users) {
		return m.Users, nil
	}
	return max(1, int(devices/perUser*float64(minutes))), nil
}

// room returns how many devices a minute a bound leaves room for, each of which makes so many of what is bounded, beside what is
// there anyhow: the mean that stays below it by four standard deviations. Infinite: there is no bound.
func room(bound, steady, each float64) float64 {
	if bound == 0 {
		return math.Inf(1)
	}
	// mean + 4*sqrt(mean) = bound
	root := max(0, math.Sqrt(bound+4)-2)
	return (float64(root*root) - steady) / each
}

// maxWaves bounds the waves: nobody plans for longer than two years of working days.
const maxWaves = 500

// fewest returns the smallest waves that users fit into.
func fewest(users int) int { return max(1, (users+maxWaves-1)/maxWaves) }

// inWaves puts so many users, of those with a basic licence, into waves of aDay each and a last one of those who are left, one each
// working day that begins no earlier than after. The waves add up to users, up to a million with a basic licence; among more, of
// whom a plan can name shares in millionths alone, to as many as these can say.
func inWaves(start protocol.Time, after time.Duration, users, basic, aDay int, b Bounds) (days []WaveDay, err error) {
	for at := workday(start, after, b); users > 0; at = workday(start, at+time.Minute, b) {
		n := min(users, aDay)
		share := nearest(n, basic)
		if share.Of(basic) > users {
			share--
		}
		if n = share.Of(basic); n == 0 {
			return days, nil
		}
		if len(days) == maxWaves {
			return nil, fmt.Errorf("there is room for %d users a day: more than %d waves", aDay, maxWaves)
		}
		over := time.Duration(math.Ceil(float64(b.minutes())*float64(min(n, aDay))/float64(aDay))) * time.Minute
		days = append(days, WaveDay{At: at, Over: over, Users: n, share: share})
		users, basic = users-n, basic-n
	}
	return days, nil
}

// nearest returns the share that n of all are. Of at most a million it gives exactly n.
func nearest(n, all int) plan.Share {
	return plan.Share(max(1, (uint64(n)*uint64(plan.Whole)+uint64(all)/2)/uint64(all)))
}

// largest returns the largest number that holds, as far as one can tell by trying few: n holds and n+1 does not, or n is hi. It begins
// at the guess, goes on in growing steps to where one holds and one does not, and halves what is between them. ok is false where not
// even lo holds.
func largest(lo, guess, hi int, holds func(n int) (bool, error)) (n int, ok bool, err error) {
	below, above := lo-1, hi+1 // the largest that holds, and the smallest that does not
	at, step := min(max(guess, lo), hi), max(1, guess/16)
	for below+1 < above {
		is, err := holds(at)
		if err != nil {
			return below, below >= lo, err
		}
		if is {
			below = at
		} else {
			above = at
		}
		switch {
		case above > hi:
			at = min(hi, below+step)
		case below < lo:
			at = max(lo, above-step)
		default:
			at = below + (above-below)/2
		}
		step *= 2
	}
	return below, below >= lo, nil
}

// workday returns the first beginning of working hours that is not before a moment of the story.
func workday(start protocol.Time, after time.Duration, b Bounds) time.Duration {
	t := start.Add(after).Time()
	for day := midnight(t); ; day = day.AddDate(0, 0, 1) {
		if at := day.Add(b.From); !at.Before(t) && b.workday(at) {
			return protocol.At(at).Sub(start)
		}
	}
}

func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// clock writes a time of day.
func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", d/time.Hour, d%time.Hour/time.Minute)
}
