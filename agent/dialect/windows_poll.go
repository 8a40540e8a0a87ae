package dialect

import (
	"strconv"
	"time"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// poll returns the schedule as it stands in the settings; what is not there has Windows' own default.
func (d *Windows) poll() windows.Poll {
	p := windows.Poll{First: windows.PollSet{Interval: 15, Retries: 10}}
	for i, set := range [3]*windows.PollSet{&p.First, &p.Second, &p.Remaining} {
		d.number("Poll/"+windows.PollRetries[i], &set.Retries)
		d.number("Poll/"+windows.PollIntervals[i], &set.Interval)
	}
	return p
}

// userPoll returns the schedule that holds beside that of poll while the device's user is signed in.
func (d *Windows) userPoll() (p windows.Poll) {
	d.number("MultipleSession/NumberOfScheduledRetriesForUserSession", &p.First.Retries)
	d.number("MultipleSession/IntervalForScheduledRetriesForUserSession", &p.First.Interval)
	return p
}

// number reads a setting of the management account, where there is one.
func (d *Windows) number(name string, into *uint32) {
	if n, err := strconv.ParseUint(d.tree.value(d.node(name)), 10, 32); err == nil {
		*into = uint32(n)
	}
}

// pollAfter returns when the first session after now is due by the sets of p, which run one after the other from start; 0: never again.
// An endless set leaves nothing to those after it (WIN-057), and one that lasts a century is endless: numbers beyond that say nothing
// that a clock could (HST-009).
// Steady, unless nil, says when the next of an endless set is due that has begun.
func pollAfter(p windows.Poll, start, now protocol.Time, steady func(every time.Duration) protocol.Time) protocol.Time {
	const century = 100 * 365 * 24 * 60 // minutes
	begin := start
	for _, set := range p.Sets() {
		if set.Interval == 0 {
			continue
		}
		every := time.Duration(min(set.Interval, century)) * time.Minute
		n := now.Sub(begin)/every + 1
		if now < begin {
			n = 1
		}
		if set.Endless() && steady != nil && now >= begin {
			return steady(every)
		}
		if set.Endless() || uint64(set.Retries)*uint64(set.Interval) >= century || n <= time.Duration(set.Retries) {
			return begin + protocol.Time(n)*protocol.Time(every/time.Microsecond)
		}
		begin += protocol.Time(set.Retries) * protocol.Time(every/time.Microsecond)
	}
	return 0
}

const day = 24 * time.Hour

// lost returns when the device leaves by itself because its server has been silent for too long; 0: never (WIN-059).
func (d *Windows) lost() protocol.Time {
	days, err := strconv.ParseUint(d.tree.value(d.node("NumberOfDaysAfterLostContactToUnenroll")), 10, 16)
	if err != nil || days == 0 || d.habits.Seal != "" { // whose silence it is, a machine cannot know (HST-027)
		return 0
	}
	return d.contact.Add(time.Duration(days) * day)
}

// Due returns when the device wants [Windows.Begin] with [Scheduled]; 0: not until something happens to it.
func (d *Windows) Due() protocol.Time {
	if d.Phase() != agent.Enrolled || d.winTask != nil {
		return 0
	}
	due := d.core.Drops().Sooner(d.lost())
	if end := d.core.Identity().NotAfter; end == 0 || d.now < end {
		due = due.Sooner(d.next)
	}
	return due.Sooner(d.renewal.due)
}

// scheduled sets the next session by the poll sets.
func (d *Windows) scheduled(now protocol.Time) {
	d.next, d.tries, d.users = d.ownPoll(now), 0, false
	if d.login == uint8(LoginUser) {
		d.userScheduled(now)
	}
}

// ownPoll returns when the device's own sets have it come after now.
func (d *Windows) ownPoll(now protocol.Time) protocol.Time {
	var steady func(every time.Duration) protocol.Time
	if d.habits.Spread {
		steady = func(every time.Duration) protocol.Time { return d.core.Steadily(every, now) }
	}
	return pollAfter(d.poll(), d.started, now, steady)
}

// userScheduled has the signed-in user's own session come first where it is the sooner one.
func (d *Windows) userScheduled(now protocol.Time) {
	if due := pollAfter(d.userPoll(), d.started, now, nil); due != 0 && (d.next == 0 || due < d.next) {
		d.next, d.users = due, true
	}
}

// usersAlone tells whether a session that is due is the signed-in user's alone, and not the device's own as well.
func (d *Windows) usersAlone() bool {
	if !d.users || d.login != uint8(LoginUser) {
		return false
	}
	own := d.ownPoll(d.next - 1)
	return own == 0 || own > d.now
}

// unreached sets the next session after a connection that failed: again soon, with doubling back-off, as often as the account
// says; then by the schedule (WIN-058).
func (d *Windows) unreached(now protocol.Time) {
	a := d.account.Value()
	d.tries++
	if int(d.tries) >= a.retries {
		d.scheduled(now)
		return
	}
	wait := a.most
	if d.tries <= 32 && a.initial<<(d.tries-1) < a.most {
		wait = a.initial << (d.tries - 1)
	}
	d.next = now.Add(time.Duration(wait) * time.Millisecond)
}
