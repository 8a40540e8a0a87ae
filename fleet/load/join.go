package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs/scep"
	"rollcall/fleet"
)

// How often a device comes again: mostTries where the server asked it to, before its load began or at the end; mostVain where its
// enrolment had no answer.
const (
	mostTries = 20
	mostVain  = 4
)

// joined is how the enrolment before the load goes.
type joined struct {
	answered atomic.Bool // some request was, by a good answer
	patient  atomic.Int64
	again    atomic.Int64
	gaveUp   atomic.Int64
	inTurn   atomic.Int64 // devices that gave up since one enrolled
}

// Enrol enrols the devices that are not, as fast as the server takes so many at a time; it is no part of the load. A device that was
// not answered comes again, and gives up in the end; the others go on. The error is that of the first one that was refused, or of a
// server that does not enrol anybody any more. Where each arrival is an enrolment it does nothing.
func (l *Load) Enrol(ctx context.Context) (Enrolled, error) {
	var joining []fleet.Device
	for _, d := range l.config.Devices {
		if d.Phase() != agent.Enrolled {
			joining = append(joining, d)
		} else {
			l.enrolled.Add(1)
		}
	}
	if len(joining) == 0 || l.config.Enrolments {
		return Enrolled{}, nil
	}
	l.begin = time.Now()
	err := l.join(ctx, joining)
	j := &l.joined
	e := Enrolled{
		Devices: len(joining), Patient: int(j.patient.Load()), Again: int(j.again.Load()), GaveUp: int(j.gaveUp.Load()),
		Seconds: time.Since(l.begin).Seconds(), Steps: stepsOf(l.total()),
	}
	l.turnOver()
	return e, err
}

// join enrols devices, some at a time.
func (l *Load) join(ctx context.Context, joining []fleet.Device) error {
	if l.config.Start == nil {
		return fmt.Errorf("%d devices are not enrolled, and nobody says where they could", len(joining))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type joiner struct {
		device fleet.Device
		start  Start
	}
	todo := make(chan joiner)
	var working sync.WaitGroup
	for range min(l.config.Parallel, len(joining)) {
		working.Go(func() {
			for j := range todo {
				if err := l.enrolOne(ctx, j.device, j.start); err != nil {
					cancel(fmt.Errorf("enrol device %s: %w", Name(j.device), err))
				}
			}
		})
	}
	report := l.reporter(true)
	const batch = 1000 // invitations end: not all at once
	for from := 0; from < len(joining) && ctx.Err() == nil; from += batch {
		part := joining[from:min(from+batch, len(joining))]
		starts, err := l.config.Start(ctx, part)
		if err != nil {
			cancel(err)
			break
		}
		for i, d := range part {
			select {
			case todo <- joiner{d, starts[i]}:
				report()
			case <-ctx.Done():
			}
		}
	}
	close(todo)
	working.Wait()
	return context.Cause(ctx)
}

// enrolOne enrols one device. A wave that is too fast for the server is its right to turn away: the device then comes again, and so does
// one that was not answered, as a real one or whoever holds it would. The error ends the wave.
func (l *Load) enrolOne(ctx context.Context, d fleet.Device, start Start) error {
	j := &l.joined
	for patient, vain := 0, 0; ; {
		l.rise(l.number.of(d.Number()), time.Since(l.begin))
		var err error
		switch {
		case d.Phase() == agent.Enrolling:
			_, err = l.link.Converse(ctx, d, dialect.Scheduled)
		case vain > 0: // what it was given may be used up, by what came of the try before
			_, err = l.enrolAnew(ctx, d)
		default:
			_, err = start(ctx, l.link)
		}
		if d.Phase() == agent.Enrolled {
			l.enrolled.Add(1)
			j.inTurn.Store(0)
			l.channel(d)
			return l.welcome(ctx, d)
		}
		if err == nil {
			err = errors.New("the server did not take it")
		}
		wait := patience(err, patient)
		switch told := wait > 0; {
		case ctx.Err() != nil || !told && !l.worthwhile(err, vain):
			return err
		case told && patient < mostTries:
			patient++
			j.patient.Add(1)
		case !told && vain < mostVain:
			if wait = time.Second << vain; d.Phase() == agent.Enrolling {
				wait = l.until(d.Due())
			}
			vain++
			j.again.Add(1)
		default:
			return l.giveUp(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// welcome has the one conversation of a device that has just enrolled: the server has first questions, and would push. They are no
// part of the load, and how they went is the server's business.
func (l *Load) welcome(ctx context.Context, d fleet.Device) error {
	l.rise(l.number.of(d.Number()), time.Since(l.begin))
	if _, err := l.link.Converse(ctx, d, dialect.Synced); d.Phase() != agent.Enrolled {
		return fmt.Errorf("the server threw it out again: %w", err)
	}
	return ctx.Err()
}

// giveUp counts a device that tried often enough. As many in turn as try at a time mean that the server is gone for all of them.
func (l *Load) giveUp(err error) error {
	gone, inTurn := l.joined.gaveUp.Add(1), l.joined.inTurn.Add(1)
	switch {
	case inTurn >= int64(l.config.Parallel):
		return fmt.Errorf("%d devices in turn gave up, this one at last: %w", inTurn, err)
	case gone == int64(len(l.config.Devices)):
		return err
	}
	return nil
}

// patience is how long a device waits that was told to come again; 0: it was told something else.
func patience(err error, try int) time.Duration {
	f, ok := errors.AsType[*dialect.Failure](err)
	if !ok {
		return 0
	}
	if status := statusOf(err); status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests {
		return 0
	}
	return min(max(f.RetryAfter, time.Duration(try+1)*time.Second), time.Minute)
}

// worthwhile tells whether to come again after err: there was no answer, or one that says that the server could not, and there is
// a server, as some device knows, or the connection that it broke might tell.
func (l *Load) worthwhile(err error, vain int) bool {
	switch o := outcomeOfError(err); {
	case o == Cut && vain == 0:
		return true
	case o == Silent, o == Cut, o == Unreachable, statusOf(err) >= 500:
		return l.joined.answered.Load()
	}
	return false
}

// statusOf is the status of the answer that failed; 0: there was none.
func statusOf(err error) int {
	if s, ok := errors.AsType[*scep.StatusError](err); ok {
		return s.Status
	}
	if f, ok := errors.AsType[*dialect.Failure](err); ok {
		return f.Status
	}
	return 0
}
