package fleet

import (
	"context"
	"errors"
	"strings"
	"time"

	"rollcall/fleet/target"
	"rollcall/protocol"
)

// A Stepper is a server whose clock can be driven.
type Stepper interface {
	// Step moves the server's clock and returns when all that was due by then is done.
	Step(ctx context.Context, to protocol.Time) (target.Clock, error)
}

// Progress is how far a run has come.
type Progress struct {
	Start, Now, End protocol.Time
	Devices         int  // with a wire
	ByLots          bool // some are played from the beginning to the end, then others: Now is as far as all have come on average
	Played          int  // of these, how many devices are at the end
	Enrolled        int
	Busy            int
	Act             string // what the plan did last
	Part, Parts     int    // act of the plan, from 1, of so many; 0: it has none
	PartName        string
	Gap             bool // Apple devices wait for a renewed push certificate (AUTH-30)
	Counts          Counts
	Faults          uint64 // commands and profiles that went wrong, as far as the ledger knows
}

// Run plays the plan from beginning to end. It returns ctx's error when it was interrupted; what was counted until
// then stays.
func (f *Fleet) Run(ctx context.Context) error {
	defer f.link.Close()
	if err := f.setUp(ctx); err != nil {
		return err
	}
	if err := f.found(ctx); err != nil {
		return err
	}
	play := f.live
	if f.clock.driven {
		play = func(ctx context.Context) error { return f.drive(ctx, f.end) }
	}
	err := play(ctx)
	if l := f.intent.ledger; l != nil && err == nil {
		l.Close(f.clock.Now())
	}
	return err
}

// drive plays the plan on a driven clock until a moment: do all that is due, wait until nothing is in flight, step.
func (f *Fleet) drive(ctx context.Context, until protocol.Time) error {
	for {
		now := f.clock.Now()
		next, err := f.settle(ctx, now)
		if err != nil {
			return err
		}
		f.report()
		if now >= until {
			return nil
		}
		f.clock.step(f.stepTo(now, next, until))
	}
}

// mostTurns is how often server and devices may wake each other within one step before it is called a fault.
const mostTurns = 10_000

// settle does all that is due by now, server and devices in turn, until nobody has anything to do, and returns when
// the server has next; 0: it is down, or has nothing. The server's clock goes first, so that nobody talks to yesterday's.
func (f *Fleet) settle(ctx context.Context, now protocol.Time) (next protocol.Time, err error) {
	for range mostTurns {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		next = 0
		if !f.down {
			c, err := f.stepper.Step(ctx, now)
			if err != nil {
				return 0, fatal(now, err)
			}
			next = c.Next
		}
		played, err := f.play(ctx, now)
		if err != nil {
			return 0, err
		}
		worked := f.dispatch(ctx, now)
		f.talking.Wait()
		if !played && !worked && !f.pending(now) && (next == 0 || next > now) {
			return next, nil
		}
	}
	return 0, fatal(now, errors.New("server and devices keep waking each other without end"))
}

// stepTo returns where the clock goes next: to the end of the span in which somebody has something to do, but not past
// what the plan does, nor past until.
func (f *Fleet) stepTo(now, server, until protocol.Time) protocol.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.queue.next().Sooner(server)
	if next == 0 || next > until {
		next = until
	}
	together := protocol.Time(f.together / time.Microsecond)
	to := max(next, now+1)
	if together > 0 {
		to = f.begin + (to-f.begin+together-1)/together*together
	}
	if len(f.acts) > 0 && f.acts[0].at < to {
		to = max(f.acts[0].at, now+1)
	}
	return min(to, until)
}

// live plays the plan on the real clock; the server minds its own.
func (f *Fleet) live(ctx context.Context) error {
	defer f.talking.Wait()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		now := f.clock.Now()
		if _, err := f.play(ctx, now); err != nil {
			return err
		}
		if now >= f.end {
			return nil
		}
		f.dispatch(ctx, now)
		f.report()
		f.mu.Lock()
		next := f.queue.next().Sooner(f.end)
		f.mu.Unlock()
		timer := time.NewTimer(max(next.Sub(f.clock.Now()), 0))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-f.nudge:
		case <-tick.C:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// play does what the plan does by now, and tells whether that was anything.
func (f *Fleet) play(ctx context.Context, now protocol.Time) (played bool, err error) {
	for !f.founding && len(f.acts) > 0 && f.acts[0].at <= now {
		a := f.acts[0]
		f.acts = f.acts[1:]
		f.outcome = ""
		if a.do != nil {
			if err := a.do(ctx, now); err != nil {
				return false, fatal(now, err)
			}
		}
		played = true
		if a.Name == "" {
			continue // part of one that was said before
		}
		f.mu.Lock()
		f.done = append(f.done, Act{now, a.Name, strings.TrimSpace(a.Text + " " + f.outcome), a.Rule, a.fault, a.main})
		f.mu.Unlock()
	}
	return played, nil
}

// pending tells whether anything is due to a device by now.
func (f *Fleet) pending(now protocol.Time) bool {
	f.mu.Lock()
	next := f.queue.next()
	f.mu.Unlock()
	f.mailbox.Lock()
	defer f.mailbox.Unlock()
	return len(f.woken) > 0 || next != 0 && next <= now
}

// report notes how many are enrolled, and tells whoever wants to know how far the run has come.
func (f *Fleet) report() {
	f.mu.Lock()
	p := Progress{Start: f.start, Now: f.clock.Now(), End: f.end, Devices: f.wired, Enrolled: f.managed, Busy: f.busy}
	if n := len(f.done); n > 0 {
		p.Act = f.done[n-1].Name
	}
	p.Parts, p.Gap = len(f.plan.Acts), f.gap()
	for i, a := range f.plan.Acts {
		if p.Now >= f.start.Add(time.Duration(a.At)) {
			p.Part, p.PartName = i+1, a.Name
		}
	}
	away, mute := f.away, f.pushDown.Load() || f.pushEnd != 0 && p.Now >= f.pushEnd
	f.mu.Unlock()
	f.holds(p.Now, f.down || p.Gap || mute)
	f.checks(p.Now)
	f.tally.add(p.Now, func(_ *Counts, b *Bin) { b.Enrolled, b.Away = p.Enrolled, away })
	if f.progress != nil {
		p.Counts = f.tally.snapshot()
		p.Faults = f.faults()
		f.progress(p)
	}
}
