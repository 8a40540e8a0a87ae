package rehearsal

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/push"
)

// Mute has the push service reach nobody, or everybody again: then each has the latest wake-up that it missed.
func (l *Loop) Mute(is bool) error {
	l.mute = is
	for i := range l.places {
		if p := &l.places[i]; !is && !p.away && p.mail != 0 {
			if err := l.collect(i, agent.Tick, agent.Woken); err != nil {
				return err
			}
		}
	}
	return nil
}

// collect has a device that is there hear of the wake-up that the push service has kept for it, or else do what is due: the events that
// are one and the other.
func (l *Loop) collect(i int, due, kept agent.EventKind) error {
	mail := protocol.Time(0)
	if p := &l.places[i]; !l.mute {
		mail, p.mail = p.mail, 0
	}
	if at := l.dueOf(i); at != 0 && at <= l.now { // what is due at the same moment comes first
		if err := l.tell(i, due); err != nil {
			return err
		}
	}
	if mail > l.now && !l.loses(i) {
		return l.tell(i, kept)
	}
	return nil
}

func (l *Loop) loses(i int) bool { return l.cfg.Loses != nil && l.cfg.Loses(i) }

// hear has those check in whom the push service has reached.
func (l *Loop) hear() error {
	slices.Sort(l.woken)
	for _, i := range l.woken {
		if err := l.Sync(int(i)); err != nil {
			return err
		}
	}
	l.woken = l.woken[:0]
	return nil
}

// Push is the push service of every platform: it reaches devices at once and keeps the latest wake-up for one that is away.
func (l *Loop) Push(_ context.Context, n push.Notification) push.Answer {
	i := binary.BigEndian.Uint32(n.Token)
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.push(i, &n)
	if l.cfg.Pushed != nil {
		l.cfg.Pushed(int(i), a.Result)
	}
	return a
}

// others is the push service of the other platforms: another one than Apple's, which the push certificate does not hold (AUTH-30).
type others struct{ *Loop }

func (l *Loop) push(i uint32, n *push.Notification) push.Answer {
	d, p := &l.devices[i], &l.places[i]
	switch {
	case n.Topic != l.server.World().Push.Topic && d.Platform().Apple():
		return push.Answer{Result: delivery.TryLater, RetryAfter: time.Hour, Reason: "DeviceTokenNotForTopic"}
	case d.Phase() == agent.Enrolling && !d.Platform().Apple(): // it had an address before it enrolled, and is about to come
	case d.Phase() != agent.Enrolled || !l.addressed(n.Token, i):
		return push.Answer{Result: delivery.Inactive, InactiveSince: l.Clock().Time(), Reason: "Unregistered"}
	case !p.away && !l.mute:
		if !l.loses(int(i)) {
			l.woken = append(l.woken, i)
		}
	case !n.Expires.IsZero():
		p.mail = protocol.At(n.Expires).Add(-l.off)
	}
	return push.Answer{Result: delivery.Accepted}
}

// addressed tells whether a token is the address of device i in its present enrolment.
func (l *Loop) addressed(token []byte, i uint32) bool {
	return len(token) == 6 && binary.BigEndian.Uint32(token) == i && binary.BigEndian.Uint16(token[4:]) == l.devices[i].Enrolments()
}
