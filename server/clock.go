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

// WatchClock tells the server that its clock says now when the time that has passed since some moment is passed. A clock that
// was set by more than five minutes since the last look is in doubt until it is set back or confirmed (HST-110). Run looks
// by itself.
func (s *Server) WatchClock(now protocol.Time, passed time.Duration) {
	s.outbox.ticking.Lock()
	defer s.outbox.ticking.Unlock()
	w := &s.outbox.clock
	if s.outbox.confirmed.Swap(false) {
		w.off = 0
	}
	jumped := w.look(now, passed)
	if jumped == 0 {
		return
	}
	doubt := w.off.Abs() > mostJump
	s.log.WithFields(logrus.Fields{"rule": protocol.RuleClock, "by": jumped.String(), "doubt": doubt}).
		Error("the clock was set: no record and no profile goes by time until it is confirmed or set back")
	s.doubt(doubt)
}

// doubt has decisions know whether the clock is to be trusted.
func (s *Server) doubt(is bool) {
	s.admin.Lock()
	defer s.admin.Unlock()
	s.doubted = is
	next := *s.snap.Load()
	world := *next.world
	world.Doubt = is
	next.world = &world
	s.snap.Store(&next)
}

// ConfirmClock says that the clock is right after it was set by more than five minutes: what was put off since, removals
// and the end of old profiles, goes on (HST-110).
func (s *Server) ConfirmClock(ctx context.Context, now protocol.Time, who Actor) error {
	s.admin.Lock()
	err := s.attempt(ctx, now, who, "clock", who.administers(), func(ctx context.Context) error {
		return s.apply(ctx, now, &store.Change{Lines: line(delivery.WhatTenant, protocol.RuleClock, fmt.Sprintf("the clock is confirmed: %s", now))})
	})
	s.admin.Unlock()
	if err != nil {
		return err
	}
	s.doubt(false)
	s.outbox.confirmed.Store(true)
	s.outbox.sweep.Store(int64(now))
	s.outbox.nudge()
	return nil
}
