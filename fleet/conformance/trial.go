package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcall/protocol/apple"
)

// A trial is one statement being asked of a device.
type trial struct {
	ruling
	judge  *judge
	ctx    context.Context
	said   error // what the last step said
	offers []*offer
	hosts  []host
}

// absence is how many links in a row may stay unopened before the device counts as gone.
const absence = 2

// try asks one statement, within its time.
func (j *judge) try(ctx context.Context, s *Statement) Finding {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, j.Check)
	defer cancel()
	t := &trial{ruling: newRuling(s), judge: j, ctx: ctx}
	t.hold(ctx, func() {
		if j.absent >= absence {
			t.unasked("nobody has opened the last %d links: there is no device", absence)
		}
		s.try(t)
	})
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer stop()
	t.ctx = late
	ended := t.ruling // what the leaving says changes nothing about the statement
	t.hold(late, func() { t.release(ctx.Err() == nil) })
	return ended.found(time.Since(began))
}

// needs skips the check unless the step is there.
func (t *trial) needs(there bool, what string) {
	if !there {
		t.skip("%s cannot %s", t.judge.Hands.Name, what)
	}
}

// do has somebody do something with the device, and waits until done says that it came to something, or until nothing more
// comes after it was done. Done nil: nothing is to come.
func (t *trial) do(step func(ctx context.Context) error, done func() bool) {
	j := t.judge
	if j.Hands.AtRest {
		t.simply(step)
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, j.Patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- step(ctx) }()
	over := false
	for waiting := true; waiting && (done == nil || !done()); {
		news := j.changes()
		if done != nil && done() {
			break
		}
		var quiet <-chan time.Time
		if over {
			quiet = time.After(j.Settle)
		}
		select {
		case <-news:
		case t.said = <-ended:
			over, ended = true, nil
			waiting = t.said == nil // who says that it failed does not wait
		case <-quiet:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	cancel()
	if !over {
		t.said = <-ended // a step obeys its context
	}
	t.calm()
	t.alive()
}

// simply has something done with the device and waits for nothing after it.
func (t *trial) simply(step func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(t.ctx, t.judge.Patience)
	defer cancel()
	t.said = step(ctx)
	t.alive()
}

// calm waits until the device has nothing more to say.
func (t *trial) calm() {
	for j := t.judge; t.ctx.Err() == nil; {
		j.mu.Lock()
		left := j.Settle - time.Since(j.latest)
		j.mu.Unlock()
		if left <= 0 {
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-t.ctx.Done():
		}
		timer.Stop()
	}
}

func (t *trial) alive() {
	if t.ctx.Err() != nil {
		t.unasked("the time for this check, or the run, is over")
	}
}

// enrol has the device install what o offers, and tells whether it is enrolled then.
func (t *trial) enrol(o *offer) bool {
	j := t.judge
	t.offers = append(t.offers, o)
	j.absent++
	defer func() { // the check may end here
		if o.wasOpened() {
			j.absent = 0
		}
	}()
	t.do(func(ctx context.Context) error { return j.Hands.Enrol(ctx, j.door.url+o.path) }, o.joined)
	if all := o.heard(""); len(all) > 0 {
		t.last = all[len(all)-1].Exchange
	}
	return o.joined()
}

// refuses wants the device not to install what o offers.
func (t *trial) refuses(o *offer) bool {
	if t.enrol(o) {
		return false
	}
	if !o.wasOpened() {
		t.unasked("nobody has opened the link%s", t.because())
	}
	return len(o.heard("Authenticate")) == 0
}

func (o *offer) wasOpened() bool {
	o.judge.mu.Lock()
	defer o.judge.mu.Unlock()
	return o.opened
}

// because is what the last step said, for a reason.
func (t *trial) because() string {
	if t.said == nil {
		return ""
	}
	return ": " + printable(t.said.Error())
}

// enrolled is an enrolment that the device has taken.
func (t *trial) enrolled(change func(o *offer)) *offer {
	o := t.offer(change)
	if !t.enrol(o) {
		t.unasked("the device did not enrol with a profile in good order%s", t.because())
	}
	return o
}

// wake has the device ask for commands. It tells whether there is a message of it.
func (t *trial) wake(o *offer) bool { return t.wakeFor(o, true) }

// wakeFor is wake where a message may be due or not.
func (t *trial) wakeFor(o *offer, due bool) bool {
	h, before := t.judge.Hands, len(o.heard(""))
	step := o.pushed(h)
	if step == nil {
		step = h.CheckIn
	}
	if step == nil {
		t.skip("%s cannot have the device ask for commands", h.Name)
	}
	var done func() bool
	if due {
		done = func() bool { return len(o.heard("")) > before }
	}
	t.do(step, done)
	return len(o.heard("")) > before
}

// pushed is a push to where the device said; nil: there is no way, or it has not said.
func (o *offer) pushed(h *Hands) func(ctx context.Context) error {
	if m := o.last("TokenUpdate"); m != nil && h.Push != nil {
		token, _ := m.dict["Token"].([]byte)
		return func(ctx context.Context) error {
			return h.Push(ctx, m.dict.text("Topic"), token, m.dict.text("PushMagic"))
		}
	}
	return nil
}

// asks queues commands, wakes the device, and returns their reports. It ends the check where one has none.
func (t *trial) asks(o *offer, commands ...apple.Command) []*message {
	orders := make([]*order, len(commands))
	for i, c := range commands {
		orders[i] = o.order(c)
	}
	t.wake(o)
	out := make([]*message, len(orders))
	for i, c := range orders {
		if out[i] = c.report(o); out[i] == nil {
			t.unasked("the device did not report %s%s", commands[i].RequestType(), t.because())
		}
		t.last = out[i].Exchange
	}
	return out
}

// later lets time go by until the device does by itself what is due; done says that it has.
func (t *trial) later(done func() bool) {
	if w := t.judge.Hands.Wait; w != nil {
		t.do(w, done)
		return
	}
	if !t.judge.Hands.AtRest {
		t.do(func(ctx context.Context) error {
			<-ctx.Done() // until done, or the patience is over
			return nil
		}, func() bool { return done != nil && done() })
	}
}

var errStays = errors.New("it did not leave")

// release takes the device out of what it enrolled in. Willing: whoever holds it may be asked.
func (t *trial) release(willing bool) {
	j := t.judge
	for _, o := range t.offers {
		if o.joined() {
			j.enrolled++
		}
	}
	for _, h := range t.hosts {
		if _, in, _ := t.look(h); in {
			j.enrolled++
		}
	}
	if j.Hands.Reset != nil {
		if t.simply(j.Hands.Reset); t.said != nil {
			j.left = append(j.left, fmt.Sprintf("the device of %s: %v", j.Hands.Name, t.said))
		}
		return
	}
	for _, o := range t.offers {
		t.remove(o, willing)
	}
	for _, h := range t.hosts {
		t.removeFrom(h, willing)
	}
}

// again takes the device out of o, so that it can enrol anew.
func (t *trial) again(o *offer) {
	if t.judge.Hands.Reset != nil {
		if t.simply(t.judge.Hands.Reset); t.said != nil {
			t.unasked("the device cannot be made new: %v", t.said)
		}
		return
	}
	t.remove(o, true)
}

// remove takes the device out of one enrolment, by command or by its user.
func (t *trial) remove(o *offer, willing bool) {
	if !o.joined() || o.gone() {
		return
	}
	udid := o.last("TokenUpdate").dict.text("UDID")
	err := errStays
	if willing {
		o.decide(nil)
		o.clear()
		c := o.order(apple.RemoveProfile{Identifier: o.profile.Identifier})
		t.wakeFor(o, true)
		if m := c.report(o); m != nil && m.kind == "Acknowledged" {
			return
		}
		if h := t.judge.Hands; h.Remove != nil {
			if t.simply(h.Remove); t.said == nil {
				return
			}
			err = t.said
		}
	}
	t.judge.left = append(t.judge.left, udid+": "+err.Error())
}

// gone tells whether the device said that it left.
func (o *offer) gone() bool { return len(o.heard("CheckOut")) > 0 }
