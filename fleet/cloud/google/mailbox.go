package google

import (
	"slices"
	"time"

	"rollcall/fleet/cloud"
)

// What FCM promises of the messages to one registration (android.md, section 10).
const (
	MaxTTL = 4 * 7 * 24 * time.Hour // of a message, and its time to live where it says none

	maxKeys    = 4   // collapse keys that are kept
	maxKept    = 100 // messages without one; when there is one more all are lost
	idleBefore = time.Hour
	windowFor  = 5 * time.Minute
	staleAfter = 270 * 24 * time.Hour // without contact: the registration has expired
)

var (
	burst     = cloud.Rate{Messages: 20, Per: time.Hour} // collapsible messages to one device: 20, then one every three minutes
	perMinute = cloud.Rate{Messages: 240, Per: time.Minute}
	perHour   = cloud.Rate{Messages: 5000, Per: time.Hour}
)

// A Message is what a device receives.
type Message struct {
	ID          string // last part of its name
	Data        map[string]string
	CollapseKey string    // empty: it is not collapsible
	High        bool      // it wakes from doze
	Sent        time.Time // when it was accepted
	Expires     time.Time // not delivered from then on; the moment it was sent: at once or never
	Deleted     bool      // it is none: messages were lost, and the device should ask for all that is new
}

// A mailbox is what FCM keeps for one registration. It is pure: time comes in.
type mailbox struct {
	online  bool
	idle    time.Time // since when the device is not used; zero: it is
	contact time.Time // when it was online last
	kept    []Message // oldest first
	deleted bool      // some were lost
	bursts  cloud.Meter
	minute  cloud.Meter
	hour    cloud.Meter
}

// leave takes the device offline.
func (m *mailbox) leave(now time.Time) {
	if m.online {
		m.contact, m.online = now, false
	}
}

// charge counts a message against the device's rates, and says how long to wait where it is one too many.
func (m *mailbox) charge(now time.Time) time.Duration {
	if wait := m.minute.Take(now, perMinute); wait > 0 {
		return wait
	}
	return m.hour.Take(now, perHour)
}

// put keeps a message, and says how many it displaced.
func (m *mailbox) put(n Message) (lost int) {
	before := len(m.kept) + 1
	if n.CollapseKey != "" {
		m.kept = slices.DeleteFunc(m.kept, func(o Message) bool { return o.CollapseKey == n.CollapseKey })
		if first := slices.IndexFunc(m.kept, collapsible); m.count(true) >= maxKeys {
			m.kept = slices.Delete(m.kept, first, first+1)
		}
	} else if m.count(false) >= maxKept {
		m.kept = slices.DeleteFunc(m.kept, func(o Message) bool { return !collapsible(o) })
		m.deleted = true
		return before - len(m.kept)
	}
	m.kept = append(m.kept, n)
	return before - len(m.kept)
}

func collapsible(n Message) bool { return n.CollapseKey != "" }

func (m *mailbox) count(collapsed bool) (n int) {
	for i := range m.kept {
		if collapsible(m.kept[i]) == collapsed {
			n++
		}
	}
	return n
}

// take returns what is delivered at now, and how many messages have expired. Next is when there may be more without anybody's doing;
// zero: never.
func (m *mailbox) take(now time.Time) (out []Message, expired int, next time.Time) {
	if m.online {
		m.contact = now
		if m.deleted {
			out = append(out, Message{Sent: now, Expires: now, High: true, Deleted: true})
			m.deleted = false
		}
	}
	open, opens := m.awake(now)
	later := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	m.kept = slices.DeleteFunc(m.kept, func(n Message) bool {
		fresh := n.Sent.Equal(now)
		switch {
		case !n.Expires.After(now) && !fresh:
			expired++
			return true
		case !m.online:
		case !n.High && !open:
			later(opens)
		default:
			wait := time.Duration(0)
			if collapsible(n) {
				wait = m.bursts.Take(now, burst)
			}
			if wait == 0 {
				out = append(out, n)
				return true
			}
			later(now.Add(wait))
		}
		if !n.Expires.After(now) { // at once, or never
			expired++
			return true
		}
		return false
	})
	return out, expired, next
}

// awake tells whether messages of normal priority are delivered at now, or else when the next window of doze opens.
func (m *mailbox) awake(now time.Time) (open bool, opens time.Time) {
	if m.idle.IsZero() || now.Before(m.idle.Add(idleBefore)) {
		return true, time.Time{}
	}
	began := m.idle.Add(idleBefore)
	for _, after := range [...]time.Duration{time.Hour, 2 * time.Hour, 4 * time.Hour} {
		if at := began.Add(after); now.Before(at) {
			return false, at
		} else if now.Before(at.Add(windowFor)) {
			return true, time.Time{}
		}
	}
	const every = 6 * time.Hour
	last := began.Add(4 * time.Hour)
	at := last.Add(now.Sub(last) / every * every)
	if at.After(last) && now.Before(at.Add(windowFor)) {
		return true, time.Time{}
	}
	return false, at.Add(every)
}
