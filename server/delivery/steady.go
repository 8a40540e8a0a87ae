package delivery

import (
	"rollcall/protocol"
	"rollcall/server/renewal"
)

// Most of what a server hears changes nothing. The functions below see that by a glance at the state, and then do in place what
// Decide would say; where they are not sure they do nothing, and Decide has to say it.

// Rest does what Decide says of an Ask with the certificate c, nil: that of the identity in use, not revoked, where that is only that the device was here: nothing waits for it,
// and it stays where it is. Told is what the reply says of the newest change of authority. False: ask Decide.
func (w *World) Rest(now protocol.Time, s *State, c *Credential) (told protocol.Notice, ok bool) {
	if told, ok = w.Rests(now, s, c); ok {
		s.Rest(now)
	}
	return told, ok
}

// Rests tells whether Rest would do it, and what it would tell.
func (w *World) Rests(now protocol.Time, s *State, c *Credential) (told protocol.Notice, ok bool) {
	if c != nil && (c.Fingerprint != s.Identity.Fingerprint || c.Revoked) || !s.RestsAt(now, w) {
		return told, false
	}
	return w.Settled(s)
}

// RestsAt is what Rests asks of the moment, and Settled the rest of it: that holds for as long as w, and nothing but Rest and Woken has
// changed s since.
func (s *State) RestsAt(now protocol.Time, w *World) bool {
	id, set, r := &s.Identity, &w.Settings, &s.Rare.Read().Renewal
	return now >= id.NotBefore && now < id.NotAfter && !s.Pace.spent(now) &&
		!renewal.Due(now, id.NotBefore, id.NotAfter, r.Asked, r.Command != protocol.CommandID{}, set.Window, set.Renew)
}

// Settled tells whether nothing waits for the device in state s, with the identity in use, and it stays where it is, and what it is told of
// the newest change of authority.
func (w *World) Settled(s *State) (told protocol.Notice, ok bool) {
	switch {
	case s.Life != Enrolled || s.Awaiting || s.Support || len(s.Queue) > 0 || s.Wake.Reason == Retry:
		return told, false
	case w.InGap(s.Platform), w.Tenant.Epoch > 1 && s.Heard != w.Tenant.Epoch:
		return told, false
	}
	to, pending, stale := w.Target(s)
	owner := w.owner(s, to)
	if pending || stale || s.Set != w.set(s, owner).Version || w.refreshes(s, owner) {
		return told, false
	}
	if w.Tenant.Epoch > 1 {
		told = w.notice(s)
	}
	return told, true
}

// Rest notes an Ask of which Rests said so.
func (s *State) Rest(now protocol.Time) {
	s.Pace.ask(now)
	s.LastSeen = now
}

// Woken does what Decide says of the report that the push service took the wake-up of s, sent at now, where that is only when the next
// of the schedule is due. False: ask Decide.
func (w *World) Woken(now protocol.Time, s *State) bool {
	if s.Life != Enrolled || s.Awaiting || len(s.Queue) > 0 || s.Wake.Reason >= Retry {
		return false
	}
	if w.Wakes.From != 0 {
		if _, pending, stale := w.Target(s); pending || stale { // it may have further attempts
			return false
		}
	}
	s.Wake = w.scheduled(now, s)
	return true
}
