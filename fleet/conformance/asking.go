package conformance

import (
	"context"
	"fmt"
	"time"

	"rollcall/fleet/target"
	"rollcall/protocol"
)

// An asking is one statement being asked of a server.
type asking struct {
	*run
	ruling
	ctx       context.Context
	statement *Statement
	slot      int // whose devices these are
	phones    []*phone
	joined    []*phone                  // of these, that may be enrolled
	leavers   []leaver                  // of other platforms
	restore   func(ctx context.Context) // puts the tenant in order afterwards; nil: nothing is to be
}

// ask asks one statement, within its time.
func (r *run) ask(ctx context.Context, s *Statement, slot int) Finding {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.Check)
	defer cancel()
	a := &asking{run: r, ctx: ctx, statement: s, slot: slot, ruling: newRuling(s)}
	a.hold(ctx, func() {
		if x := r.removal(); s.last && x != nil {
			a.failRemoval(x)
		}
		if why := r.gone(); why != "" {
			a.unasked("%s", why)
		}
		s.check(a)
	}) // every request in it obeys ctx
	if a.restore != nil {
		late, stop := context.WithTimeout(context.WithoutCancel(ctx), 3*r.Request)
		a.ctx = late
		ended := a.ruling // what putting things in order says changes nothing about the statement
		a.hold(late, func() { a.restore(late) })
		a.ruling = ended
		stop()
	}
	r.leave(ctx, a.joined)
	r.leaveAll(ctx, a.leavers)
	f := a.found(time.Since(began))
	r.tell(f)
	return f
}

// needs skips the check unless the step is there.
func (a *asking) needs(there bool, what string) {
	if !there {
		a.skip("the adapter %s cannot %s", a.Steps.Name, what)
	}
}

// administrator gives the administrator's steps their time.
func (a *asking) administrator() (context.Context, context.CancelFunc) {
	return context.WithTimeout(a.ctx, max(3*a.Request, 35*time.Second)) // a command line has 30
}

// standingOf tells how a device stands.
func (a *asking) standingOf(device string) target.Standing {
	ctx, cancel := a.administrator()
	defer cancel()
	s, err := a.Steps.Known(ctx, device)
	if err != nil && !target.IsNotFound(err) {
		a.unasked("the server does not say how the device stands: %v", err)
	}
	return s
}

// outcomeOf is what the server says became of a device's command; empty: it does not say.
func (a *asking) outcomeOf(device, id string) string {
	if a.Steps.Known == nil || id == "" {
		return ""
	}
	for _, c := range a.standingOf(device).Commands {
		if c.ID == id {
			return c.Status
		}
	}
	return ""
}

// gone tells why the server is not asked any more; empty: it is.
func (r *run) gone() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.barred
}

// removes takes note of an answer that a device in good standing takes for its removal. Whichever check meets it, the
// statement that is asked last fails by it.
func (a *asking) removes(x *Exchange) {
	a.mu.Lock()
	if a.removed == nil {
		a.removed = x
	}
	a.mu.Unlock()
	if a.statement.last {
		a.failRemoval(x)
	}
}

func (a *asking) failRemoval(x *Exchange) {
	a.failBy(x, "%s was answered %s: a device takes that for its removal", x.What, x.answer())
}

// removal is the first such answer; nil: there was none.
func (r *run) removal() *Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.removed
}

// heard takes note whether a request got an answer.
func (r *run) heard(x *Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x.Status != 0 {
		r.silent = 0
		return
	}
	if r.silent++; r.silent >= silence && r.barred == "" {
		r.barred = fmt.Sprintf("the server has not answered for %d requests in a row: %s", silence, x.Error)
	}
}

// settle has the server do what is due.
func (a *asking) settle() {
	if a.Steps.Step == nil {
		a.sleep(a.Settle)
		return
	}
	a.step(func(now time.Time) time.Time { return now })
}

// ages ends a check that would set the clock ahead under others: links, challenges and signatures are good for minutes, and a busy
// machine takes its time between getting and using one.
func (a *asking) ages() {
	if a.Steps.Step != nil && !a.statement.inTurn() {
		a.unasked("it lets time pass, and is asked beside others: this is a fault of rollcall's")
	}
}

// pass lets some time go by, where time can be set.
func (a *asking) pass(d time.Duration) {
	a.ages()
	if a.Steps.Step != nil {
		a.step(func(now time.Time) time.Time { return now.Add(d) })
	}
}

// stepTo sets the clock ahead; a time that is past changes nothing.
func (a *asking) stepTo(to time.Time) {
	a.ages()
	a.step(func(now time.Time) time.Time {
		if to.Before(now) {
			return now
		}
		return to
	})
}

// ownsTime tells whether the tenant's time may be set ahead by months.
func (a *asking) ownsTime() bool {
	return a.Mine && a.crowded == "" && a.Steps.Step != nil && a.Steps.UploadPush != nil && a.Steps.PushState != nil
}

// outlive lets time go by until p's identity has ended, and has p enrol anew after the check, since by an ended identity it
// cannot leave. False: its end is out of reach, and part of the statement is not asked.
func (a *asking) outlive(p *phone, part string) bool {
	end := p.identity.Certificate.NotAfter
	left := end.Sub(a.now())
	switch {
	case a.ownsTime():
		topic := p.mdm.Topic
		a.restore = func(ctx context.Context) {
			a.restorePush(ctx, topic)
			p.rejoin()
		}
		a.stepTo(end.Add(time.Hour))
	case a.Steps.Step == nil && left < a.Check/2:
		a.restore = func(context.Context) { p.rejoin() }
		a.sleep(left + time.Second)
	default:
		a.without("%s: it lives until %s, and the server's time is not this run's to set; issue identities of a minute and ask --only %s to have it asked", part, end.UTC().Format(time.DateOnly), a.statement.ID)
		return false
	}
	p.as(p.identity) // on a new connection
	return true
}

// step sets a driven clock, one check at a time.
func (a *asking) step(to func(now time.Time) time.Time) {
	a.stepping.Lock()
	defer a.stepping.Unlock()
	ctx, cancel := a.administrator()
	defer cancel()
	at := to(a.now())
	if err := a.Steps.Step(ctx, at); err != nil {
		a.unasked("the server's clock cannot be set to %s: %v", at.UTC().Format(time.RFC3339), err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock = at
}

func (a *asking) sleep(d time.Duration) {
	t := time.NewTimer(d) // at once, where d is past
	defer t.Stop()
	select {
	case <-t.C:
	case <-a.ctx.Done():
		a.unasked("the time for this check is over")
	}
}

// platforms are those that speak this protocol.
var platforms = []protocol.Platform{protocol.IOS, protocol.IPadOS, protocol.MacOS}
