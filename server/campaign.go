package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/push"
	"rollcall/server/store"
)

const (
	turnsAhead = 100 * time.Millisecond // once a batch has begun, turns that come so soon are taken with it
	turnsLate  = 15 * time.Minute       // a campaign that fell back so far begins again where it stands
)

// running tells whether a campaign of w has devices that did not have their turn.
func running(w *delivery.World) bool { return w.Wakes.From != 0 && w.Wakes.Cursor != delivery.Over }

// campaign wakes the devices whose turn in the campaign has come (AUTH-20), and tells whether there are others to come. The
// cursor is kept after each batch: a crash wakes the devices of one batch again.
func (s *Server) campaign(ctx context.Context, now protocol.Time, p *pace) (more bool, err error) {
	var failed error
	for {
		snap := s.snap.Load()
		c := snap.world.Wakes
		if !running(snap.world) || s.holds(now, snap.world) {
			return false, failed
		}
		turn := c.Turn(c.Cursor + 1)
		if turn > now {
			return true, failed
		}
		if now.Sub(turn) > turnsLate { // the further attempts count from here
			c.From = c.From.Add(now.Sub(turn))
			if err := s.advance(ctx, now, snap, c); err != nil {
				return true, errors.Join(failed, err)
			}
			continue
		}
		if p.holds() {
			return true, failed
		}
		page, err := s.page(ctx, c.Cursor, p.burst())
		if err != nil {
			return true, errors.Join(failed, err)
		}
		n := 0
		for n < len(page) && c.Turn(page[n].Device) <= now.Add(turnsAhead) {
			n++
		}
		failed = errors.Join(failed, s.wakePage(ctx, now, snap, page[:n]))
		if ctx.Err() != nil {
			return true, errors.Join(failed, ctx.Err())
		}
		if s.holds(now, s.World()) {
			return true, failed // the service refused the certificate: this batch has its turn again
		}
		switch {
		case n > 0 && (n < len(page) || len(page) == p.burst()):
			c.Cursor = page[n-1].Device
		case n == len(page):
			c.Cursor = delivery.Over
		}
		if err := s.advance(ctx, now, snap, c); err != nil {
			return true, errors.Join(failed, err)
		}
		if n == 0 && c.Cursor != delivery.Over {
			return true, failed
		}
	}
}

// page returns the states of up to n devices with numbers above after, ascending.
func (s *Server) page(ctx context.Context, after protocol.Device, n int) (page []*delivery.State, err error) {
	if s.alone != nil {
		return s.alone.page(after, n), nil
	}
	records, err := s.store.Records(ctx, after, n)
	for i := range records {
		page = append(page, &records[i].State)
	}
	return page, err
}

// wakePage wakes enrolled devices, many at once. One that fails to be kept does not hold up the others (HST-083).
func (s *Server) wakePage(ctx context.Context, now protocol.Time, snap *snapshot, page []*delivery.State) error {
	var mu sync.Mutex
	var failed error
	var g errgroup.Group
	g.SetLimit(pushesAtOnce)
	apple := s.wakesApple(now, snap.world)
	for _, st := range page {
		if st.Life != delivery.Enrolled || st.Push.Unreachable || st.Push.Token == nil || snap.world.InGap(st.Platform) || s.cfg.Push.Of(st.Platform) == nil ||
			st.Platform.Apple() && !apple {
			continue
		}
		if s.alone != nil {
			failed = errors.Join(failed, s.wake(ctx, now, snap, st))
			continue
		}
		g.Go(func() error {
			if err := s.wake(ctx, now, snap, st); err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
			return nil
		})
	}
	g.Wait()
	return failed
}

// advance keeps how far the campaign of snap has come, unless there is another one meanwhile.
func (s *Server) advance(ctx context.Context, now protocol.Time, snap *snapshot, to delivery.Campaign) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	present := s.snap.Load()
	if present.world.Wakes != snap.world.Wakes {
		return nil
	}
	campaign := present.content.Campaign
	campaign.Wakes = to
	c := store.Change{Campaign: &campaign}
	if err := s.apply(ctx, now, &c); err != nil {
		return err
	}
	next, world := *present, *present.world // nothing else has changed
	world.Wakes = to
	next.content, next.world = present.content.With(&c), &world
	s.show(&next)
	return nil
}

// holds tells whether no wake-up can go out at all.
func (s *Server) holds(now protocol.Time, w *delivery.World) bool {
	return !s.wakesApple(now, w) && !s.wakesOthers()
}

// wakesApple tells whether wake-ups can go out to Apple's devices: there is a usable push certificate, and the gap holds not all
// of their platforms (AUTH-30).
func (s *Server) wakesApple(now protocol.Time, w *delivery.World) bool {
	if s.cfg.Push.Apple == nil || !w.Push.Usable(now) {
		return false
	}
	if w.Gap == 0 {
		return true
	}
	for _, p := range protocol.Platforms {
		if p.Apple() && !w.InGap(p) {
			return true
		}
	}
	return false
}

// wakesOthers tells whether wake-ups can go out to other devices than Apple's: the gap and the push certificate are nothing to
// services of their own (AUTH-30).
func (s *Server) wakesOthers() bool {
	p := &s.cfg.Push
	return p.Windows != nil && p.Windows != p.Apple || p.Android != nil && p.Android != p.Apple
}

// expires is how long the push service keeps a wake-up for a device that it cannot reach; zero: it does not. Who polls comes by
// itself after an interval.
func expires(now protocol.Time, w *delivery.World, st *delivery.State) time.Time {
	_, pending, stale := w.Target(st)
	if st.Wake.Reason == delivery.Scheduled && len(st.Queue) == 0 && !pending && !stale {
		return time.Time{}
	}
	keep := push.KeepWork
	if every := protocol.ScheduleOf(st.Platform); every.Polls {
		keep = every.Steady
	}
	return now.Add(keep).Time()
}
