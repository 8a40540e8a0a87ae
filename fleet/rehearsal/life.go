package rehearsal

import (
	"slices"
	"sync"
	"time"

	"rollcall/protocol"
)

// A Life is what became of one device. A rehearsal has as many as devices, all the time: it is small.
type Life struct {
	Standing   // at the end
	Enrolled   bool
	MustEnrol  bool // only a new enrolment helps (AUTH-42)
	Away       bool // off the network at the end
	Registered protocol.Authority
	Cut        bool   // a push certificate with another topic stranded it, whatever became of it since
	Lapsed     bool   // its identity had ended before it enrolled again
	Bare       bool   // it is at the end without a profile that it had had
	Prompted   bool   // its user may have been asked to sign in to mail again (AUTH-37)
	Moves      uint8  // how often another authority took it over; 255: that often or more
	Redundant  uint8  // profiles that nobody assigns any more, left on it at the end (AUTH-36)
	Back       bool   // its first move was back to Basic Mobility and Security (AUTH-24)
	later      uint32 // seconds: its longest wait for a move after its first

	FirstPending protocol.Time // when it could have begun its first move; 0: it was never to
	MovedAt      protocol.Time // when it moved first, or registered anew; 0: it did not
	LastSeen     protocol.Time // end of its latest completed check-in; 0: none
	CertEnd      protocol.Time // end of its identity certificate; 0: it has none, or had one before the story and nobody knows its end
	Blocked      time.Duration // time that the gap kept it from moving or registering anew
	Silenced     time.Duration // time that nobody could reach it because the push certificate had ended, whatever it had to do
	lack         *Lack         // nil: it lacked nothing

	CheckIns   uint32
	Enrolments uint16
	Again      uint8 // of these, after another one
	why        reason
}

// moved tells whether the device has ended the wait for its first move.
func (l *Life) moved() bool { return l.FirstPending != 0 && l.MovedAt >= l.FirstPending }

// waited notes a wait for a later move, in whole seconds, rounded up.
func (l *Life) waited(d time.Duration) {
	l.later = max(l.later, uint32((d+time.Second-1)/time.Second))
}

// longest is the device's longest wait for any of its moves, once the first is over: no quick one hides a slow one.
func (l *Life) longest() time.Duration {
	first, later := l.MovedAt.Sub(l.FirstPending), time.Duration(l.later)*time.Second
	if later-first >= time.Second {
		return later
	}
	return first
}

// A Lack is for how long a device was without profiles that it had had.
type Lack struct {
	Unprotected [6]time.Duration // by protocol.Family: time without a profile of this family
	Unassigned  time.Duration    // of that time, all families, while nobody had assigned another profile
}

// Lack is what the device lacked.
func (l *Life) Lack() Lack {
	if l.lack == nil {
		return Lack{}
	}
	return *l.lack
}

// lacks returns the device's lack to be added to.
func (l *Life) lacks() *Lack {
	if l.lack == nil {
		l.lack = new(Lack)
	}
	return l.lack
}

// Why is why the device is stranded or blocked, did not move, or cannot be reached; not enrolled: why the server refused that;
// empty: none of it.
func (l *Life) Why() protocol.Rule { return l.why.rule() }

// A reason is a rule, as a number; 0: none.
type reason uint8

// reasons are the rules behind the numbers, from 1 on.
var (
	reasonsMu sync.RWMutex
	reasons   []protocol.Rule
)

func (r reason) rule() protocol.Rule {
	if r == 0 {
		return ""
	}
	reasonsMu.RLock()
	defer reasonsMu.RUnlock()
	return reasons[r-1]
}

// reasonOf is the number of a rule. There are far fewer rules than numbers.
func reasonOf(rule protocol.Rule) reason {
	if rule == "" {
		return 0
	}
	reasonsMu.RLock()
	i := slices.Index(reasons, rule)
	reasonsMu.RUnlock()
	if i >= 0 {
		return reason(i + 1)
	}
	reasonsMu.Lock()
	defer reasonsMu.Unlock()
	if i = slices.Index(reasons, rule); i < 0 {
		i, reasons = len(reasons), append(reasons, rule)
	}
	return reason(i + 1)
}
