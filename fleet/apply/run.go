package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Runner does the steps of a record, each at its moment.
type Runner struct {
	Server *target.Rollcall
	Record *Record

	Push []target.PushUpload // renewed certificates with their keys, one for each such step in turn; none: the server makes one, if its push service is simulated
	PIN  string              // six digits, for Macs that are locked or erased

	Start protocol.Time // when the plan begins, for one that has not; 0: now

	Late bool // go on although a step's moment is past, and put off what is left by as much

	Others bool // go on although somebody else has done what a step does

	// Ask has somebody say yes to an irreversible step; about is what the server says of it. Nil: only what is Allowed is done.
	Ask  func(s *Step, about string) (bool, error)
	Link func(device string, i target.Invitation) error // takes the links of reenrol; they are secrets

	// Wait returns a while later, the sooner the less is left. The server's clock is read again then.
	Wait func(ctx context.Context, left time.Duration, driven bool) error
	// Begins is told that the record has the moment of each step; nil: nobody.
	Begins func()
	// Waits is told that the moment of a step is still to come, and when that is; nil: nobody.
	Waits func(s *Step, until protocol.Time)
	Tell  func(s *Step) // told each step whose state has changed; nil: nobody
	// Lost is told that the server does not answer while the moment of a step is waited for, and with nil that it answers again; nil:
	// nobody.
	Lost func(why error)

	clock target.Clock // when the server last told it
}

// A Pause is why a run ends before an irreversible step: nobody has said yes to it.
type Pause struct {
	Step  *Step
	About string
}

func (p *Pause) Error() string {
	return lang.English.Say("step %d waits for a yes: %s; %s; %s", p.Step.Number, p.Step.Text, p.About, p.Step.Irreversible)
}

// onTime is how late a step may be done without a word: its distance to the steps before it, which have been rehearsed, is about
// what it was.
const onTime = 15 * time.Minute

// An Overdue is why a run ends before a step whose moment is past.
type Overdue struct {
	Step *Step
	By   time.Duration
}

func (o *Overdue) Error() string {
	return lang.English.Say("step %d is late by %s, and with it what is due after it: %s; done at once, they would not be at the distances that were rehearsed", o.Step.Number, plan.Duration(o.By), o.Step.Text)
}

// Run does what is left. It can be ended at any moment, and run again: what was done is not done twice.
func (r *Runner) Run(ctx context.Context) (err error) {
	if r.clock, err = r.Server.Clock(ctx); err != nil {
		return err
	}
	if err := r.check(ctx); err != nil {
		return err
	}
	switch start := r.Record.Start; {
	case start != 0 && r.Start != 0 && start != r.Start:
		return fmt.Errorf("the plan has begun: it counts from %s", start)
	case start == 0:
		if r.Record.Start = r.Start; r.Start == 0 {
			r.Record.Start = r.clock.Now
		}
		if err := r.Record.save(); err != nil {
			return err
		}
	}
	if r.Others || r.Record.Journal == 0 {
		r.looked(ctx)
	}
	if r.Begins != nil {
		r.Begins()
	}
	uploads := 0
	for i := range r.Record.Steps {
		s := &r.Record.Steps[i]
		upload := uploads
		if s.takesUpload() {
			uploads++
		}
		if s.State == Done {
			continue
		}
		if err := r.step(ctx, s, upload); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) step(ctx context.Context, s *Step, upload int) error {
	now, err := r.until(ctx, s)
	if err != nil {
		return err
	}
	resumed := s.State == Begun
	if resumed {
		happened, err := r.happened(ctx, s)
		if err != nil {
			return fmt.Errorf("step %d was begun, and looked up on the server: %w", s.Number, err)
		}
		if happened {
			return r.done(ctx, s, now, lang.English.Say("found done on the server"))
		}
	} else if err := r.alone(ctx); err != nil {
		return err
	}
	if err := r.punctual(s, now); err != nil {
		return err
	}
	a, err := r.action(ctx, s, upload, resumed)
	if err != nil {
		return fmt.Errorf("step %d (%s): %w", s.Number, s.Field, err)
	}
	if s.Irreversible != "" && !s.Allowed {
		if r.Ask == nil {
			return &Pause{s, a.about}
		}
		yes, err := r.Ask(s, a.about)
		if err != nil {
			return err
		}
		if !yes {
			return &Pause{s, a.about}
		}
		s.Allowed = true
	}
	if s.State, s.Before = Begun, a.before; !resumed {
		s.Begun = now
	}
	if err := r.Record.save(); err != nil {
		return err
	}
	r.tell(s)
	outcome, err := a.do()
	_, some := errors.AsType[*unknown](err)
	if no, is := errors.AsType[*target.Error](err); is && no.Status/100 == 4 && !some { // the server has heard it, and nothing has happened
		s.State = Waiting
		err = errors.Join(err, r.Record.save())
	}
	if err != nil {
		return fmt.Errorf("step %d (%s): %w", s.Number, s.Field, err)
	}
	var twice error
	if !resumed { // else nobody knows whose it is that was done before
		twice = r.only(ctx, s)
	}
	return errors.Join(r.done(ctx, s, now, outcome), twice)
}

// punctual refuses a step that is late, or puts off what is left.
func (r *Runner) punctual(s *Step, now protocol.Time) error {
	late := now.Sub(r.Record.Moment(s)).Truncate(time.Second)
	switch {
	case late <= onTime:
		return nil
	case !r.Late:
		return &Overdue{s, late}
	}
	r.Record.Late += plan.Duration(late)
	return r.Record.save()
}

func (r *Runner) done(ctx context.Context, s *Step, now protocol.Time, outcome string) error {
	r.looked(ctx)
	s.State, s.Done, s.Outcome = Done, now, outcome
	if err := r.Record.save(); err != nil {
		return err
	}
	r.tell(s)
	return nil
}

func (r *Runner) tell(s *Step) {
	if r.Tell != nil {
		r.Tell(s)
	}
}

// until waits for the moment of a step on the server's clock, whoever drives that, and for a server that does not answer meanwhile.
func (r *Runner) until(ctx context.Context, s *Step) (now protocol.Time, err error) {
	at, lost := r.Record.Moment(s), false
	lose := func(why error) {
		if lost = why != nil; r.Lost != nil {
			r.Lost(why)
		}
	}
	for first := true; ; {
		pause := retry
		c, err := r.Server.Clock(ctx)
		switch {
		case err != nil && (ctx.Err() != nil || !passing(err)):
			return 0, err
		case err != nil && !lost:
			lose(err)
		case err == nil:
			if r.clock = c; lost {
				lose(nil)
			}
			if c.Now >= at {
				return c.Now, nil
			}
			if pause = at.Sub(c.Now); first && r.Waits != nil {
				r.Waits(s, at)
			}
			first = false
		}
		if err := r.Wait(ctx, pause, r.clock.Driven); err != nil {
			return 0, err
		}
	}
}

// retry is after what time a server that does not answer is asked again.
const retry = 10 * time.Second

// passing tells whether an error is one that waiting mends: a network or a server that is down.
func passing(err error) bool {
	if no, answered := errors.AsType[*target.Error](err); answered {
		return no.Status/100 == 5
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
