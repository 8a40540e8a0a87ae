package server

import (
	"context"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A clock that was set by this much is in doubt (HST-110).
const mostJump = 5 * time.Minute

// doubtAgain is when a clean-up that the doubt put off is looked at again.
const doubtAgain = time.Hour

// A watch compares a clock with time as it passes.
type watch struct {
	clock, passed protocol.Time
	off           time.Duration // how far the clock was set since it was last trusted
	floor         protocol.Time // not zero: the clock is right again when it is set to then or later, by however much
	unkept        bool          // the store could not be told yet
}

// look takes note that the clock says now when the time that has passed since some moment is passed. Jumped: it was set
// since the last look.
func (w *watch) look(now protocol.Time, passed time.Duration) (jumped time.Duration) {
	at := protocol.Time(passed / time.Microsecond)
	if w.clock != 0 {
		jumped = now.Sub(w.clock) - at.Sub(w.passed)
	}
	w.clock, w.passed = now, at
	if jumped.Abs() <= mostJump {
		return 0 // slewed, or this process stood still
	}
	w.off += jumped
	return jumped
}

// wrong is how far the clock is from right after it was set; 0: near enough.
func (w *watch) wrong() time.Duration {
	switch {
	case w.floor != 0 && w.clock >= w.floor:
		w.off, w.floor = 0, 0
	case w.floor != 0:
		return w.clock.Sub(w.floor)
	case w.off.Abs() > mostJump:
		return w.off
	}
	return 0
}

// WatchClock tells the server what its clock says, now, and how much time has truly passed since some fixed moment. A
// clock that was set by more than five minutes since the last look is in doubt until it is set back or confirmed
// (HST-110). Run looks by itself.
func (s *Server) WatchClock(ctx context.Context, now protocol.Time, passed time.Duration) {
	s.outbox.ticking.Lock()
	defer s.outbox.ticking.Unlock()
	w := &s.outbox.clock
	if s.outbox.confirmed.Swap(false) {
		w.off, w.floor, w.unkept = 0, 0, false
	}
	jumped := w.look(now, passed)
	if jumped == 0 && !w.unkept {
		return
	}
	off := w.wrong()
	why := rightAgain
	if off != 0 {
		why = "the clock was set by " + jumped.String() + inDoubt
	}
	s.log.WithFields(logrus.Fields{"rule": protocol.RuleClock, "by": jumped.String(), "doubt": off != 0}).Error(why)
	if err := s.setBlasts(ctx, now, jumped); err != nil {
		s.log.WithField("rule", protocol.RuleBlast).WithError(err).Error("what was done within the hour could not be read: a step of the clock may begin or prolong it")
	}
	s.admin.Lock()
	err := s.judge(As(ctx, System.Name), now, off, why)
	s.admin.Unlock()
	if w.unkept = err != nil; w.unkept {
		s.log.WithField("rule", protocol.RuleClock).WithError(err).Error("whether the clock is in doubt could not be kept")
	}
	if err == nil && off == 0 {
		s.outbox.mended.Store(true)
		s.outbox.sweep.Store(int64(now)) // what was put off
	}
}

const rightAgain, inDoubt = "the clock is right again", ": no record and no profile goes by time until it is confirmed or set back"

// openClock sees whether the clock of a server that starts is to be trusted: it was in doubt when the server ended and is still
// as it was then, or it is before the newest moment that the journal knows (HST-110). How long the server was down nobody
// knows.
func (s *Server) openClock(ctx context.Context, now protocol.Time) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	kept, right := s.Content().Clock, protocol.Time(0)
	if kept.Off != 0 {
		right = kept.At.Add(-kept.Off) // it was by then
	} else {
		var err error
		if right, err = s.newestLine(ctx); err != nil {
			return err
		}
	}
	switch behind := now < right.Add(-mostJump); {
	case kept.Off == 0 && !behind:
		return nil
	case kept.Off > 0 && now >= kept.At.Add(-mostJump):
		s.outbox.clock.off = kept.Off
		s.doubt(true)
		s.log.WithField("rule", protocol.RuleClock).Error("the clock was set before the server started" + inDoubt)
		return nil
	case !behind:
		return s.judge(As(ctx, System.Name), now, 0, rightAgain)
	}
	s.outbox.clock.floor = right
	why := "the clock is before " + right.String() + ", which has been" + inDoubt
	s.log.WithField("rule", protocol.RuleClock).Error(why)
	return s.judge(As(ctx, System.Name), now, now.Sub(right), why)
}

// newestLine is when the newest line of the journal was written; 0: there is none.
func (s *Server) newestLine(ctx context.Context) (protocol.Time, error) {
	end, err := s.store.JournalEnd(ctx)
	if err != nil || end == 0 {
		return 0, err
	}
	lines, err := s.store.Journal(ctx, store.LineFilter{After: end - 1}, 1)
	if err != nil || len(lines) == 0 {
		return 0, err
	}
	return lines[0].At, nil
}

// judge keeps how far the clock is off, 0: it is trusted, and has decisions know. A clock that could not be kept as trusted is
// not. The caller holds admin.
func (s *Server) judge(ctx context.Context, now protocol.Time, off time.Duration, why string) error {
	c := store.Change{Clock: new(store.Doubt), Lines: line(delivery.WhatTenant, protocol.RuleClock, why)}
	if off != 0 {
		*c.Clock = store.Doubt{At: now, Off: off}
	}
	err := s.apply(ctx, now, &c)
	if err == nil {
		next := *s.snap.Load()
		next.content = next.content.With(&c)
		s.show(&next)
	}
	s.doubt(off != 0 || err != nil)
	return err
}

// doubt has decisions know whether the clock is in doubt. The caller holds admin.
func (s *Server) doubt(is bool) {
	s.doubted = is
	next := *s.snap.Load()
	world := *next.world
	world.Doubt = is
	next.world = &world
	s.show(&next)
}

// ConfirmClock says that the clock is right after it was set by more than five minutes: what was put off since, removals
// and the end of old profiles, goes on (HST-110).
func (s *Server) ConfirmClock(ctx context.Context, now protocol.Time, who Actor) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	err := s.attempt(ctx, now, who, "clock", who.administers(), func(ctx context.Context) error {
		return s.judge(ctx, now, 0, fmt.Sprintf("the clock is confirmed: %s", now))
	})
	if err != nil {
		return err
	}
	s.outbox.confirmed.Store(true)
	s.outbox.mended.Store(true)
	s.outbox.sweep.Store(int64(now))
	s.outbox.nudge()
	return nil
}
