package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/renewal"
	"rollcall/server/store"
)

// alone is what a server has whose store one goroutine has alone: it decides on states where they are, and keeps what is
// steady by writing it there. Whatever changes more is committed like everywhere else.
type alone struct {
	store  *store.Memory
	before delivery.State   // for whoever observes
	ev     delivery.Event   // report of the wake-up under way
	out    delivery.Outcome // of that
	lent   []*delivery.State
	owned  []protocol.Device
}

// devicesOf lends the devices of a user, until it is called again.
func (a *alone) devicesOf(s *Server, u delivery.UserID) []protocol.Device {
	a.owned = s.owners.devices(a.owned[:0], u)
	return a.owned
}

// Round is [Server.Handle] of a round of a check-in for who has the store alone: what is refused is in out.Refusal and is no error.
func (s *Server) Round(ctx context.Context, now protocol.Time, ev *delivery.Event, out *delivery.Outcome) error {
	if ev.Verb != protocol.Ask {
		_, err := s.handle(ctx, now, ev, out)
		return err
	}
	st := s.alone.store.Lend(ev.Device)
	if st == nil {
		return fmt.Errorf("device %d: %w", ev.Device, store.ErrNotFound)
	}
	world := s.World()
	delivery.Decide(now, world, st, ev, out)
	if out.Steady() && s.unwatched() {
		queue := st.Queue
		st.LastSeen, st.Queue, st.Pace = out.State.LastSeen, out.State.Queue, out.State.Pace
		out.Reuse(queue, nil)
		if out.Changed != 0 {
			s.alone.rewake(st, out.State.Wake)
		}
		return nil
	}
	tx, err := s.store.Begin(ctx, ev.Device)
	if err != nil {
		return err
	}
	defer tx.End()
	return s.keep(ctx, now, world, tx, ev, out)
}

// Rest is Round of an Ask that changes nothing but when the device was seen. It comes with the certificate c; nil: with the identity of the
// device's latest Round. Told is what its reply says of the newest change of authority. False: nothing has happened; call Round.
func (s *Server) Rest(now protocol.Time, d protocol.Device, c *delivery.Credential) (told protocol.Notice, ok bool) {
	st := s.alone.store.Lend(d)
	if st == nil || !s.unwatched() {
		return told, false
	}
	return s.World().Rest(now, st, c)
}

// Calm tells whether devices like p's (Apple's, or all others) have nothing to do but follow their schedules: until when that holds unless
// somebody asks for more, and whether their wake-ups go out, each when it is due. False: there may be more to do at any time.
func (s *Server) Calm(now protocol.Time, p protocol.Platform) (w *delivery.World, until protocol.Time, wakes, ok bool) {
	w = s.World()
	apple := !s.outbox.held.Load() && s.wakesApple(now, w)
	others := s.wakesOthers()
	if w.Doubt || running(w) && (apple || others) || !s.unwatched() {
		return w, 0, false, false
	}
	if wakes = others; p.Apple() {
		wakes = apple
	}
	until = math.MaxInt64
	if w.Settings.Silent != 0 { // a sweep asks when a device was seen last
		until = now.Add(renewal.Unfinished).Sooner(s.outbox.nextSweep()) - 1
	}
	return w, until, wakes, true
}

// unwatched tells whether nobody observes what is steady.
func (s *Server) unwatched() bool { return s.cfg.Observe == nil || s.cfg.ChangesOnly }

func (a *alone) rewake(st *delivery.State, w delivery.Wake) {
	st.Wake = w
	a.store.Rewoken(st.Device)
}

// relicense is change of what gives users other licences and does nothing else: only their devices are looked at, and the users of
// the world before get the new ones too.
func (s *Server) relicense(ctx context.Context, now protocol.Time, c *store.Change) error {
	snap := s.snap.Load()
	next, world := *snap, *snap.world
	decide := world.Tenant.Authority == protocol.Office365 && world.Tenant.Coexistence
	for i := range c.Users {
		id := c.Users[i].ID
		if !decide || world.Users[id].User == c.Users[i].User {
			continue
		}
		for _, d := range s.alone.devicesOf(s, id) {
			if st := s.alone.store.Lend(d); st != nil && st.User == id && st.Life == delivery.Enrolled {
				c.Wake = append(c.Wake, d)
			}
		}
	}
	slices.Sort(c.Wake)
	c.Wake = slices.Compact(c.Wake)
	s.spread(now, c)
	if err := s.apply(ctx, now, c); err != nil {
		return err
	}
	for i := range c.Users {
		world.Users[c.Users[i].ID].User = c.Users[i].User
	}
	world.Licensed = holdsKnown(next.content)
	next.world = &world
	s.show(&next)
	s.outbox.nudge()
	return nil
}

// page lends the states of up to n devices with numbers above after, ascending, until it is called again.
func (a *alone) page(after protocol.Device, n int) []*delivery.State {
	a.lent = a.lent[:0]
	for d := a.store.After(after); d != 0 && len(a.lent) < n; d = a.store.After(d) {
		a.lent = append(a.lent, a.store.Lend(d))
	}
	return a.lent
}

// wakeDue is wakeAll of what is due, one device after the other: so the order is always the same.
func (s *Server) wakeDue(ctx context.Context, now protocol.Time) error {
	a := s.alone
	var failed error
	for {
		snap := s.snap.Load()
		if !snap.world.Push.Usable(now) {
			s.outbox.held.Store(snap.world.Push.Topic != "")
		}
		if s.holds(now, snap.world) {
			return failed
		}
		a.store.WithoutApple(!s.wakesApple(now, snap.world))
		d, at := a.store.FirstDue()
		if d == 0 || at > now || ctx.Err() != nil {
			return errors.Join(failed, ctx.Err())
		}
		st := a.store.Lend(d)
		sent := st.Wake
		if err := s.wake(ctx, now, snap, st); err != nil {
			failed = errors.Join(failed, err)
		}
		if next, _ := a.store.FirstDue(); next == d && st.Wake == sent { // what could not be sent stays due, and does not hold up the others
			a.store.Postpone(d, true)
			defer a.store.Postpone(d, false)
		}
	}
}

// reportInPlace is report.
func (s *Server) reportInPlace(ctx context.Context, now protocol.Time, st *delivery.State, r *pushed) error {
	a := s.alone
	if r.result == delivery.Accepted && s.unwatched() && s.World().Woken(now, st) {
		a.store.Rewoken(st.Device)
		return nil
	}
	a.ev.Kind, a.ev.Device = delivery.PushReport, st.Device
	r.tell(&a.ev)
	world := s.World()
	delivery.Decide(now, world, st, &a.ev, &a.out)
	if a.out.Steady() && s.unwatched() {
		if a.out.Changed != 0 {
			a.rewake(st, a.out.State.Wake)
		}
		return nil
	}
	tx, err := s.store.Begin(ctx, st.Device)
	if err != nil {
		return err
	}
	defer tx.End()
	return s.keep(ctx, now, world, tx, &a.ev, &a.out)
}
