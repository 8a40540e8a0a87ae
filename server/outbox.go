package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/push"
	"rollcall/server/renewal"
	"rollcall/server/store"
)

const (
	pushesAtOnce = 256
	batch        = 1024        // wake-ups that are taken from the store at once
	retryTick    = time.Second // real time before Run tries again what failed
	strainTick   = 50 * time.Millisecond
	strainMost   = 10 * time.Second // a few wake-ups go out however strained the server is
)

// An outbox sends the wake-ups that the store holds. It keeps nothing that a crash could lose.
type outbox struct {
	nudged    chan struct{} // has one when something may be due sooner than it was
	ticking   sync.Mutex
	clock     watch        // guarded by ticking
	held      atomic.Bool  // the push certificate was found unusable, and none was uploaded since
	sweep     atomic.Int64 // protocol.Time of the next clean-up
	aging     atomic.Int64 // protocol.Time at which a record that has changed since may be due already; 0: none was
	mended    atomic.Bool  // the clock may have been wrong when wake-ups were put where they are
	confirmed atomic.Bool  // somebody has confirmed the clock since Run looked
	warned    atomic.Int64 // the latest warning of the push certificate's end
	alarms    alarms
}

func (o *outbox) nudge() {
	select {
	case o.nudged <- struct{}{}:
	default:
	}
}

// nextSweep returns when records are looked at next: in time for those of enrolments that are not finished and of devices that leave, too.
func (o *outbox) nextSweep() protocol.Time {
	return protocol.Time(o.sweep.Load()).Sooner(protocol.Time(o.aging.Load()))
}

// ages takes note that a record may be due at a time: an enrolment was begun, or a device is leaving.
func (o *outbox) ages(at protocol.Time) {
	for {
		known := o.aging.Load()
		if known != 0 && known <= int64(at) {
			return
		}
		if o.aging.CompareAndSwap(known, int64(at)) {
			o.nudge()
			return
		}
	}
}

// Next returns when Tick has something to do; 0: nothing is due ever. Wake-ups that are held because the push
// certificate is unusable do not count.
func (s *Server) Next(ctx context.Context) (protocol.Time, error) {
	next := s.outbox.nextSweep()
	w := s.World()
	apple := !s.outbox.held.Load() && s.wakesApple(0, w)
	if !apple && !s.wakesOthers() {
		return next, nil
	}
	if running(w) { // others wait until it is over
		return next.Sooner(w.Wakes.Turn(w.Wakes.Cursor + 1)), nil
	}
	if s.alone != nil {
		s.alone.store.WithoutApple(!apple)
	}
	due, err := s.store.NextDue(ctx, apple)
	if err != nil {
		return 0, fmt.Errorf("outbox: %w", err)
	}
	return next.Sooner(due), nil
}

// Tick does everything that is due at now: wake-ups, at least once each, and the clean-up of records. It returns when
// all of it is answered and committed.
func (s *Server) Tick(ctx context.Context, now protocol.Time) error {
	return s.tick(ctx, now, new(pace))
}

// A pace keeps wake-ups from calling more devices than can be served. The zero pace does not.
type pace struct {
	strained func() bool // nil: never
	passed   time.Time   // when the latest wake-ups went out, on the real clock
	held     bool        // since it was last set back
}

// burst is how many wake-ups may go out before the pace is asked again.
func (p *pace) burst() int {
	if p.strained == nil {
		return batch
	}
	return pushesAtOnce
}

// holds tells whether no wake-ups are to go out now.
func (p *pace) holds() bool {
	if p.strained == nil {
		return false
	}
	p.held = p.strained() && time.Since(p.passed) < strainMost
	if !p.held {
		p.passed = time.Now()
	}
	return p.held
}

func (s *Server) tick(ctx context.Context, now protocol.Time, p *pace) error {
	s.outbox.ticking.Lock()
	defer s.outbox.ticking.Unlock()
	switch due := now >= s.outbox.nextSweep(); {
	case due && s.World().Doubt:
		s.outbox.aging.Store(0) // it will find all
		s.outbox.sweep.Store(int64(now.Add(doubtAgain)))
	case due:
		if err := s.cleanUp(ctx, now); err != nil {
			return fmt.Errorf("clean-up: %w", err)
		}
	}
	if err := s.wakeAll(ctx, now, p); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}

// wakeAll sends every wake-up that is due. One that fails to be kept does not hold up the others (HST-083).
func (s *Server) wakeAll(ctx context.Context, now protocol.Time, p *pace) error {
	if s.cfg.Push == (push.Services{}) {
		return nil
	}
	s.warn(now)
	if more, err := s.campaign(ctx, now, p); more || err != nil {
		return err
	}
	if s.alone != nil {
		return s.wakeDue(ctx, now)
	}
	var mu sync.Mutex
	var failed error
	tried := map[protocol.Device]delivery.Wake{}
	for {
		snap := s.snap.Load()
		if !snap.world.Push.Usable(now) {
			s.outbox.held.Store(snap.world.Push.Topic != "")
		}
		if s.holds(now, snap.world) || p.holds() {
			return failed
		}
		due, err := s.store.Due(ctx, now, p.burst()+len(tried), s.wakesApple(now, snap.world))
		if err != nil {
			return err
		}
		var g errgroup.Group
		g.SetLimit(pushesAtOnce)
		fresh := 0
		for _, d := range due {
			r, err := s.store.Record(ctx, d)
			if errors.Is(err, store.ErrNotFound) {
				continue
			} else if err != nil {
				g.Wait()
				return err
			}
			if sent, again := tried[d]; again && sent == r.State.Wake {
				continue
			}
			tried[d] = r.State.Wake
			fresh++
			g.Go(func() error {
				if err := s.wake(ctx, now, snap, &r.State); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
				return nil
			})
		}
		g.Wait()
		if fresh == 0 || ctx.Err() != nil {
			return errors.Join(failed, ctx.Err())
		}
	}
}

// wake sends one wake-up, then keeps what became of it: a crash between the two sends it again.
func (s *Server) wake(ctx context.Context, now protocol.Time, snap *snapshot, st *delivery.State) error {
	r := pushed{at: now, sent: st.Wake, to: st.Push}
	service := s.cfg.Push.Of(st.Platform)
	switch {
	case snap.world.InGap(st.Platform), // only some platforms are in the gap; the upload wakes all (AUTH-31)
		service == nil: // it comes by itself
		r.result, r.retryAfter = delivery.TryLater, now.Add(protocol.ScheduleOf(st.Platform).Steady)
	default:
		n := push.Notification{
			Topic: st.Push.Topic, Magic: st.Push.Magic, Token: st.Push.Token, Attempt: int(st.Wake.Attempt), Expires: expires(now, snap.world, st),
		}
		a := service.Push(ctx, n)
		if a.Suspend && st.Platform.Apple() {
			return s.suspend(ctx, now, snap, a.Reason)
		}
		if ctx.Err() != nil {
			return nil // given up, not answered: it stays due
		}
		if a.Suspend || a.Alarm { // the others' clients hold back by themselves, and their devices come by themselves
			if err := s.alarm(ctx, now, st.Platform, &a); err != nil {
				return err
			}
		}
		r.result, r.inactiveSince = a.Result, protocol.At(a.InactiveSince)
		if a.RetryAfter > 0 {
			r.retryAfter = now.Add(a.RetryAfter)
		}
	}
	err := s.report(ctx, now, st, &r)
	if errors.Is(err, store.ErrNotFound) {
		return nil // removed meanwhile
	}
	return err
}

// pushed is what became of one wake-up.
type pushed struct {
	at, inactiveSince, retryAfter protocol.Time
	sent                          delivery.Wake
	to                            delivery.Push
	result                        delivery.PushResult
}

// report hears of what became of the wake-up of a device.
func (s *Server) report(ctx context.Context, now protocol.Time, st *delivery.State, r *pushed) error {
	if s.alone != nil {
		return s.reportInPlace(ctx, now, st, r)
	}
	ev := delivery.Event{Kind: delivery.PushReport, Device: st.Device}
	r.tell(&ev)
	return s.Handle(ctx, now, &ev, new(delivery.Outcome))
}

func (r *pushed) tell(ev *delivery.Event) {
	ev.PushedAt, ev.Sent, ev.Push, ev.InactiveSince, ev.RetryAfter = r.at, r.sent, r.result, r.inactiveSince, r.retryAfter
	ev.Topic, ev.Magic, ev.Token, ev.Told = r.to.Topic, r.to.Magic, r.to.Token, r.to.Since
}

// suspend holds all wake-ups until another push certificate is uploaded, and raises one alarm (APL-102).
func (s *Server) suspend(ctx context.Context, now protocol.Time, sent *snapshot, reason string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	refused, present := inUse(sent.content), inUse(s.Content())
	if present == nil || present.Suspended || present.Slot != refused.Slot || present.NotBefore != refused.NotBefore {
		return nil // known, or mended meanwhile
	}
	cert := *present
	cert.Suspended = true
	s.log.WithFields(logrus.Fields{"rule": protocol.RulePushExpired, "topic": cert.Topic, "reason": reason}).
		Error("the push service refuses the push certificate: all wake-ups are held")
	return s.change(ctx, now, &store.Change{Push: &cert, Lines: line(delivery.WhatPushSuspended, protocol.RulePushExpired, reason)})
}

// warn says once for each of its thresholds that the push certificate ends (AUTH-33).
func (s *Server) warn(now protocol.Time) {
	if s.cfg.Log == nil {
		return
	}
	cert, days := s.PushStatus(now)
	if cert == nil || s.outbox.warned.Swap(int64(days)) == int64(days) || days == 0 {
		return
	}
	log := s.log.WithFields(logrus.Fields{"rule": protocol.RulePushExpired, "topic": cert.Topic, "apple_id": cert.AppleID, "not_after": cert.NotAfter.Time()})
	if days < 0 {
		log.Error("the push certificate has ended: Apple devices cannot be reached until a renewed one is uploaded")
		return
	}
	log.WithField("days", days).Warn("the push certificate ends soon")
}

// Clean-up looks at all records; it need not look again before one can have reached its end.
const (
	sweepPage  = 1000
	sweepLeast = 24 * time.Hour
	sweepSoon  = time.Hour // for the sake of devices that leave
)

// cleanUp removes the records whose identity ended long ago (AUTH-43), that never finished their enrolment (HST-045), and
// that the clean-up rule calls silent (AUTH-48), ends the enrolments of devices whose silence says that they have left, and has wake-ups scheduled again that were due by a clock that was wrong (HST-110).
func (s *Server) cleanUp(ctx context.Context, now protocol.Time) error {
	s.outbox.sweep.Store(int64(now)) // until it is done
	s.outbox.aging.Store(0)          // before the first record is looked at
	mended := s.outbox.mended.Swap(false)
	silent, kept := s.World().Settings.Silent, s.World().Settings.Records
	next := renewal.RemovedAt(now, kept) // nothing issued from now on can end sooner
	if silent != 0 {
		next = next.Sooner(now.Add(silent))
	}
	var out delivery.Outcome
	for after := protocol.Device(0); ; {
		page, err := s.page(ctx, after, sweepPage)
		if err != nil {
			return err
		}
		for _, st := range page {
			end := renewal.RemovedAt(st.Identity.NotAfter, kept)
			if silent != 0 && st.LastSeen != 0 && st.Life != delivery.Deleted {
				end = end.Sooner(st.LastSeen.Add(silent))
			}
			if st.Life == delivery.Enrolling {
				end = end.Sooner(st.LastSeen.Add(renewal.Unfinished))
			}
			gone := st.GoneAt()
			if now < gone {
				s.outbox.ages(max(gone, now.Add(sweepSoon)))
			}
			if end = end.Sooner(gone); now < end {
				next = next.Sooner(end)
				if !mended || st.Wake.Due.Sub(now) <= protocol.LongestCadence {
					continue
				}
			}
			ev := delivery.Event{Kind: delivery.RecordDue, Device: st.Device}
			if err := s.Handle(ctx, now, &ev, &out); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		if len(page) < sweepPage {
			break
		}
		after = page[len(page)-1].Device
	}
	s.outbox.sweep.Store(int64(max(next, now.Add(sweepLeast))))
	return nil
}

// Run calls Tick whenever something is due by clock, until ctx ends. Whoever steps a clock by hand calls Tick instead: to
// Run, a clock that jumps is in doubt (HST-110). Only a closed store ends it sooner; what else fails
// is logged and tried again.
func (s *Server) Run(ctx context.Context, clock func() protocol.Time) error {
	began, p := time.Now(), &pace{strained: s.cfg.Strained}
	for ctx.Err() == nil {
		now := clock()
		s.WatchClock(ctx, now, time.Since(began)) // first: what it finds may be due now
		next, err := s.Next(ctx)
		wait := time.Duration(-1)
		switch {
		case err != nil:
		case next == 0:
		case next <= now:
			p.held = false
			if err = s.tick(ctx, now, p); err == nil && !p.held {
				continue
			}
			wait = strainTick
		default:
			wait = next.Sub(now)
		}
		if errors.Is(err, store.ErrClosed) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			s.log.WithError(err).Error("wake-ups are late")
			wait = retryTick
		}
		s.outbox.wait(ctx, wait)
	}
	return nil
}

// wait returns after d (negative: never), at a nudge, or when ctx ends.
func (o *outbox) wait(ctx context.Context, d time.Duration) {
	var due <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-o.nudged:
	case <-due:
	}
}
