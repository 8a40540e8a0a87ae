package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
)

// soonest is the least time between two conversations that nobody asked for.
const soonest = time.Second

// talkFor bounds a conversation: a server that always has one more command does not keep the machine busy for ever (HST-120).
const talkFor = 10 * time.Minute

// CheckIn has one conversation with the server, and goes on with an enrolment that was interrupted. The error says in one sentence
// what to do; it wraps [ErrUnmanaged] when there is no enrolment.
func (h *Host) CheckIn(ctx context.Context) error {
	if h.rec.Pending != nil && !h.managed() {
		return h.join(ctx)
	}
	return h.converse(ctx, dialect.Synced)
}

// Woken has a conversation because a wake-up came; one with another magic than the device's is none (APL-109).
func (h *Host) Woken(ctx context.Context, magic string) error {
	if !h.managed() || !h.device.Woken(magic) {
		return nil
	}
	return h.converse(ctx, dialect.Pushed)
}

// Push returns where wake-ups reach this machine; token nil: it is not managed.
func (h *Host) Push() (topic string, token []byte, magic string) {
	if h.device == nil {
		return "", nil, ""
	}
	return h.device.Push()
}

// Unenrol takes the machine out of management. The server is told, once; it goes on without its answer.
func (h *Host) Unenrol(ctx context.Context) error {
	if !h.managed() {
		if h.rec.Pending == nil {
			return ErrUnmanaged
		}
		return h.over("the enrolment was given up here")
	}
	return h.converse(ctx, dialect.UserRemoves)
}

func (h *Host) converse(ctx context.Context, why dialect.Why) error {
	if !h.managed() {
		return ErrUnmanaged
	}
	if h.rec.Clock.Driven != 0 {
		h.readClock(ctx)
	}
	h.facts = h.cfg.Facts(ctx)
	h.device.Share(h.model(), h.habits())
	if why == dialect.Synced && h.device.Phase() == agent.Enrolling { // it has only its TokenUpdate to say
		why = dialect.Scheduled
	}
	if h.device.Expire(protocol.At(h.now())) > 0 { // whether the server can be reached or not (AUTH-27)
		if err := h.keep(h.device, &dialect.Act{}); err != nil {
			return err
		}
	}
	talking, stop := context.WithTimeoutCause(ctx, talkFor, errEndless)
	r, err := h.link.Converse(talking, h.device, why)
	if errors.Is(err, context.DeadlineExceeded) {
		err = context.Cause(talking)
	}
	stop()
	if r.Notice != (protocol.Notice{}) {
		h.rec.Notice = r.Notice
	}
	if why == dialect.UserRemoves && !h.managed() {
		return h.over("it was taken out of management here")
	}
	return h.settle(err)
}

// settle keeps what a conversation came to.
func (h *Host) settle(err error) error {
	now := protocol.At(h.now())
	switch p := h.device.Phase(); {
	case p == agent.Wiped:
		return h.over("the server ordered to erase it: the agent's state was removed, and nothing else")
	case !h.managed():
		return errors.Join(h.over("the server took it out of management"), err)
	case h.device.Off(): // a machine that was to be shut down, and was not
		h.device.PowerOn(now)
	}
	if err == nil {
		h.rec.Good, h.rec.Bad, h.rec.Why = now, 0, ""
	} else if !errors.Is(err, context.Canceled) {
		if until := h.device.Identity().NotAfter; link.Barred(err) && now > until {
			err = &Advice{fmt.Sprintf("the certificate of this machine ended on %s, before it was renewed: rollcall agent unenroll, then enrol with a new line", day(until.Time())), err}
		}
		err = explain(err, h.rec.Link.Host, h.now())
		h.rec.Bad, h.rec.Why = now, err.Error()
	}
	if no := h.keep(h.device, &dialect.Act{}); err == nil { // else it may well be the same
		err = explain(no, h.rec.Link.Host, h.now())
	}
	h.follow() // what could not be done before, and what somebody changed
	return err
}

// over leaves nothing of an enrolment but what people want to know of it.
func (h *Host) over(why string) error {
	h.note(Entry{What: "ended", Note: why})
	h.device = nil
	h.follow() // while it is known what is allowed
	h.rec = h.rec.ended(protocol.At(h.now()), why)
	return h.folder.clear(h.rec)
}

// Run checks in when something is due, at each wake-up and every poll interval, until ctx ends or nobody manages the machine any more,
// which is no error. A wake-up is the magic that came with it; a nil channel means those of the server's push service, by a stream of
// package courier. What a conversation came to is in the log.
func (h *Host) Run(ctx context.Context, wakes <-chan string) error {
	if !h.managed() && h.rec.Pending == nil {
		return fmt.Errorf("%w: enrol it first (rollcall agent enroll)", ErrUnmanaged)
	}
	defer h.deafen()
	var asks <-chan asking
	if d, err := newDesk(ctx, h.folder.dir, &h.stream); err == nil {
		defer d.close()
		asks = d.asks
	} else {
		h.cfg.Log.WithError(err).Warn("nobody can ask this agent for anything while it runs")
	}
	for err := h.CheckIn(ctx); ; {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			h.cfg.Log.WithError(err).Warn("check-in")
		}
		if !h.managed() && h.rec.Pending == nil {
			h.cfg.Log.Info("nobody manages this machine any more")
			return nil
		}
		woken := wakes
		if woken == nil {
			woken = h.listen(ctx, err == nil)
		}
		wait := time.NewTimer(h.sleep())
		select {
		case <-ctx.Done():
		case magic := <-woken:
			err = h.Woken(ctx, magic)
		case a := <-asks:
			err = h.answer(ctx, a.what)
			a.done <- err
		case <-wait.C:
			err = h.CheckIn(ctx)
		}
		wait.Stop()
	}
}

// answer does what a person at this machine asked for.
func (h *Host) answer(ctx context.Context, what Request) error {
	if change, ok := strings.CutPrefix(string(what), string(requestChange)); ok {
		var c Change
		if err := json.Unmarshal([]byte(change), &c); err != nil {
			return err
		}
		return h.Change(c)
	}
	if what == RequestUnenrol {
		return h.Unenrol(ctx)
	}
	return h.CheckIn(ctx)
}

// sleep is how long nothing is to be done: machines that were enrolled together drift apart by a tenth.
func (h *Host) sleep() time.Duration {
	poll := h.rec.Poll - time.Duration(rand.Int64N(int64(h.rec.Poll)/10+1))
	if h.device == nil || h.rec.Clock.Driven != 0 { // a clock that stands still says nothing of how long
		return poll
	}
	if due := h.device.Due(); due != 0 {
		poll = min(poll, due.Sub(protocol.At(h.now())))
	}
	return max(poll, soonest)
}
