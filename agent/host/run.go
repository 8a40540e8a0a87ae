package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"rollcall/agent"
	"rollcall/agent/courier"
	"rollcall/agent/dialect"
	"rollcall/agent/host/apply"
	"rollcall/agent/link"
	"rollcall/protocol"
)

// soonest is the least time between two conversations that nobody asked for.
const soonest = time.Second

// CheckIn has one conversation with the server, and goes on with what was interrupted: an enrolment, or the end of one. The error says in
// one sentence what to do; it wraps [ErrUnmanaged] when there is no enrolment, and [ErrFiles] when all went well but the files of profiles.
func (h *Host) CheckIn(ctx context.Context) error {
	switch {
	case h.leaving():
		return h.over(endedBefore)
	case !h.managed() && h.rec.Pending != nil:
		return h.goOn(ctx)
	case !h.managed() && h.rec.Trouble != "":
		return h.follow()
	}
	return h.converse(ctx, dialect.Synced)
}

// Woken has a conversation because a wake-up came; one with another magic than the device's is none (APL-109). So it does where a push
// service reaches the machine otherwise than the server knows.
func (h *Host) Woken(ctx context.Context, magic string) error {
	why := dialect.Pushed
	switch {
	case !h.managed():
		return nil
	case h.moved():
		why = dialect.Synced
	case !h.device.woken(magic):
		return nil
	}
	err := h.converse(ctx, why)
	h.pushes.followed(time.Now())
	return err
}

// Magic is that of the wake-ups that count; empty: it is not managed, or all do.
func (h *Host) Magic() string {
	if h.device == nil {
		return ""
	}
	return h.device.push().magic
}

// Unenrol takes the machine out of management. The server is told, once; it goes on without its answer, and says so. The errors are as
// those of [Host.CheckIn]; one that wraps neither [ErrFiles] nor [ErrUntold] leaves the machine managed.
func (h *Host) Unenrol(ctx context.Context) error {
	switch {
	case h.lost != nil:
		return h.abandon()
	case h.managed():
		return h.converse(ctx, dialect.UserRemoves)
	case h.leaving():
		return h.over(endedBefore)
	case h.rec.Pending != nil:
		return h.over("the enrolment was given up here")
	case h.rec.Trouble != "":
		return h.follow()
	}
	return ErrUnmanaged
}

// ErrUntold is wrapped where the machine is out of management and its server does not know.
var ErrUntold = errors.New("the server was not told")

// endedBefore is why an enrolment is over whose end was cut off.
const endedBefore = "it was taken out of management before the agent stopped"

// leaving tells whether an enrolment has ended and the folder does not say so yet.
func (h *Host) leaving() bool {
	return h.device != nil && (h.device.Phase() == agent.Removed || h.device.Phase() == agent.Wiped)
}

func (h *Host) converse(ctx context.Context, why dialect.Why) error {
	if !h.managed() {
		return ErrUnmanaged
	}
	if h.rec.Clock.Driven != 0 {
		if err := h.readClock(ctx); err != nil { // the conversation that follows says why, or goes by what was read last
			h.cfg.Log.WithError(err).Warn("the clock of the server")
		}
	}
	h.facts = h.cfg.Facts(ctx)
	h.device.share(h)
	if err := h.outlived(); err != nil && why != dialect.UserRemoves {
		return h.settle(err)
	}
	if h.device.Expire(protocol.At(h.now())) > 0 { // whether the server can be reached or not (AUTH-27)
		if err := h.keep(h.device, &dialect.Act{}); err != nil {
			return err
		}
	}
	was := h.rec.Management.Authority
	h.told = false
	r, err := h.talk(ctx, func(ctx context.Context) (link.Report, error) { return h.link.Converse(ctx, h.device, why) })
	h.movedFrom(was, err == nil)
	if link.Barred(err) && h.rec.Clock.Driven == 0 { // perhaps by a clock that it did not say
		_ = h.readClock(ctx)
	}
	if r.Notice != (protocol.Notice{}) {
		h.rec.Notice = r.Notice
	}
	if why == dialect.UserRemoves && !h.managed() {
		return h.left(err)
	}
	return h.settle(err)
}

// talk has one conversation, within bounds: a server that always has one more command, or no certificate yet, holds nobody up for ever.
func (h *Host) talk(ctx context.Context, with func(context.Context) (link.Report, error)) (link.Report, error) {
	ctx, stop := context.WithTimeoutCause(ctx, h.cfg.Talk, errEndless)
	defer stop()
	h.talking = true
	r, err := with(ctx)
	h.talking = false
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil { // a request that timed out is not all of it
		err = context.Cause(ctx)
	}
	return r, err
}

// outlived is why nothing is said to the server: this machine's identity has ended by the agent's own clock, and that is no mistake of the
// clock, or, on Windows, no question to anybody.
func (h *Host) outlived() error {
	end := h.device.Identity().NotAfter
	if end == 0 || protocol.At(h.now()) <= end || h.device.Renewing() || h.rec.Clock.Offset == 0 && h.rec.Kind != protocol.Windows {
		return nil
	}
	return &advised{outlivedAt(end), errOutlived}
}

var errOutlived = errors.New("the identity has ended")

func outlivedAt(end protocol.Time) string {
	return fmt.Sprintf("the certificate of this machine ended on %s, before it was renewed: %senrol with a new line", day(end.Time()), toLeave)
}

// settle keeps what a conversation came to.
func (h *Host) settle(err error) error {
	now := protocol.At(h.now())
	switch p := h.device.Phase(); {
	case p == agent.Wiped:
		return h.wiped()
	case !h.managed():
		if f, ok := errors.AsType[*dialect.Failure](err); ok && (f.Step == dialect.CheckOut || f.Step == dialect.Unenroll) {
			err = nil // who ordered it need not hear the farewell
		}
		return errors.Join(h.over("the server took it out of management"), err)
	}
	h.device.settled(now)
	if err == nil {
		h.rec.Good, h.rec.Bad, h.rec.Why = now, 0, ""
	} else if !errors.Is(err, context.Canceled) {
		if until := h.device.Identity().NotAfter; link.Barred(err) && now > until {
			err = &advised{outlivedAt(until), err}
		}
		err = explain(err, h.rec.Link.Host, h.real())
		h.rec.Bad, h.rec.Why = now, bounded(err.Error())
	}
	no := h.keep(h.device, &dialect.Act{})
	if errors.Is(no, errTooLong) { // from here on it is what a restart would make of it
		bad, why := h.rec.Bad, h.rec.Why
		if err := h.reload(); err != nil {
			return err
		}
		h.rec.Bad, h.rec.Why = bad, why
		no = errors.Join(no, h.folder.save(h.rec))
	}
	if err == nil { // else it may well be the same
		err = explain(no, h.rec.Link.Host, h.real())
	}
	if no := h.follow(); err == nil { // what could not be done before, and what somebody changed
		err = no
	}
	return err
}

// left ends an enrolment that its owner ended; untold is why the server does not know.
func (h *Host) left(untold error) error {
	why := "it was taken out of management here"
	if untold != nil {
		server := ""
		if h.rec.Link != nil { // else it is lost with the rest
			server = h.rec.Link.Host
		}
		untold = explain(untold, server, h.real())
		if strings.Contains(untold.Error(), replacedRule) || strings.Contains(h.rec.Why, replacedRule) { // by this name it knows another, which is not to leave
			return h.over(why + "; its server goes on with what enrolled after it by the same identifier (" + replacedRule + ")")
		}
		if a, ok := errors.AsType[*advised](untold); ok { // it has left
			untold = &advised{strings.ReplaceAll(a.Text, toLeave, ""), a.cause}
		}
		untold = fmt.Errorf("%w: remove it there with %s: %w", ErrUntold, strings.TrimSpace("rollcall devices delete "+h.rec.id()), untold)
		why += ", but " + untold.Error()
	}
	err := h.over(why)
	switch {
	case err != nil && !errors.Is(err, ErrFiles):
		return err
	case err != nil && untold != nil:
		err = fmt.Errorf("%w; %w", untold, err)
	case err == nil:
		err = untold
	}
	if err != nil {
		err = fmt.Errorf("nobody manages this machine any more, but %w", err)
	}
	return err
}

// abandon ends an enrolment whose state is lost: the server hears nothing of it, and files go back as far as their list is there.
func (h *Host) abandon() error {
	if errors.Is(h.lost, errForeign) {
		id := h.rec.id()
		h.rec = &record{Apply: h.rec.Apply}
		return h.over("what was here was of another machine, which its server manages on: where that is gone, remove it there with rollcall devices delete " + id)
	}
	why := h.lost.why
	if h.rec.Apply.OnProfile == "" { // nobody knows any more whether there was one
		var told []string
		list, _, _, _ := apply.Read(filepath.Join(h.folder.dir, profilesFolder)) // what is damaged is told where it is needed
		for _, p := range list {
			if p.Told {
				told = append(told, p.Identifier)
			}
		}
		if len(told) > 0 {
			why = fmt.Errorf("%w; nor does the command of --on-profile, which is not known any more, hear that %s left", why, strings.Join(told, ", "))
		}
	}
	return h.left(why)
}

// over leaves nothing of an enrolment but what people want to know of it, and of what was there before all. That it is over is kept first:
// whatever happens then, files go back. What the folder cannot keep has not ended.
func (h *Host) over(why string) error {
	r := h.rec.ended(protocol.At(h.now()), why)
	r.Apply, r.Trouble = h.rec.Apply, notBack
	if err := h.folder.clear(r); errors.Is(err, errTaken) { // what is there now is nothing to go back to
		return err
	} else if err != nil {
		return errors.Join(err, h.reload())
	}
	h.rec, h.device = r, nil
	h.note(Entry{What: "ended", Note: why})
	return h.follow()
}

// notBack is the trouble of a machine whose enrolment has just ended.
const notBack = "what was there before profiles is not back yet"

// reload goes back to what the folder says.
func (h *Host) reload() error {
	r, err := load(h.folder.dir)
	if err != nil {
		return err
	}
	h.rec, h.device = r, nil
	if r.Device == nil {
		return nil
	}
	if h.link != nil {
		h.link.Close()
	}
	return h.wake()
}

// Run checks in when something is due, at each wake-up and every poll interval, until ctx ends or nobody manages the machine any more and
// all is back that was there before, which is no error; the error is that its state folder was taken away. A wake-up is the magic that came with it; a nil channel means those of the server's
// push service, by a stream of package courier. Many are followed by fewer conversations (HST-120). What a conversation came to is in the log.
func (h *Host) Run(ctx context.Context, wakes <-chan string) error {
	if h.idle() {
		return fmt.Errorf("%w: enrol it first (rollcall agent enroll)", ErrUnmanaged)
	}
	defer h.deafen()
	var asks <-chan asking
	if d, err := newDesk(ctx, h.folder, &h.stream); err == nil {
		defer d.close()
		asks = d.asks
	} else {
		h.cfg.Log.WithError(err).Warn("nobody can ask this agent for anything while it runs")
	}
	return h.loop(ctx, wakes, asks)
}

// loop is Run with what reaches it.
func (h *Host) loop(ctx context.Context, wakes <-chan string, asks <-chan asking) error {
	reached := true // the server was, just now, or nothing is known of that
	talked := func(err error) error {
		if err != nil && ctx.Err() == nil {
			h.cfg.Log.WithError(err).Warn("check-in")
		}
		reached = err == nil || errors.Is(err, ErrFiles)
		return err
	}
	if !h.late() {
		talked(h.CheckIn(ctx))
	}
	for ctx.Err() == nil {
		if err := h.folder.ours(); err != nil {
			return err
		}
		if h.idle() {
			h.cfg.Log.Info("nobody manages this machine any more")
			return nil
		}
		woken := wakes
		if woken == nil {
			woken = h.listen(ctx, reached)
		}
		reached = false
		sleep, rest := h.sleep(), h.pushes.rest(time.Now())
		if rest > 0 {
			woken = nil
		}
		rests := rest > 0 && rest < sleep
		if rests {
			sleep = rest
		}
		wait := time.NewTimer(sleep)
		select {
		case <-ctx.Done():
		case magic := <-woken:
			talked(h.Woken(ctx, magic))
		case a := <-h.acted:
			h.hasActed(a)
		case a := <-asks:
			a.done <- talked(h.answer(ctx, a.what))
		case <-wait.C:
			if !rests {
				talked(h.CheckIn(ctx))
			}
		}
		wait.Stop()
	}
	return nil
}

// late tells whether a machine that has just started is to come later, at a moment of its own: many that an outage kept away past their
// time do not all come at once (AND-082). Whoever asks for a check-in has it at once.
func (h *Host) late() bool {
	now := protocol.At(h.now())
	if !h.managed() || h.leaving() || !h.device.back(now) {
		return false
	}
	h.cfg.Log.WithField("in", h.device.Due().Sub(now).String()).Info("the time of a check-in has passed: it comes at a moment of its own, as others were away too (AND-082)")
	return true
}

// idle tells whether there is nothing to do for anybody.
func (h *Host) idle() bool {
	return !h.managed() && !h.leaving() && h.rec.Pending == nil && h.rec.Trouble == ""
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

// sleep is how long nothing is to be done: at most the poll interval. Machines that were enrolled together drift apart by a tenth.
func (h *Host) sleep() time.Duration {
	poll := cmp.Or(h.rec.Poll, DefaultPoll)                                     // none once it is over, and something is not back yet
	drift := time.Duration(rand.Int64N(int64(poll)/10+1)) - rand.N(time.Minute) // the mean of it by whole minutes
	poll = courier.Together(time.Now(), min(poll, poll-drift))
	if h.device == nil || h.rec.Clock.Driven != 0 { // a clock that stands still says nothing of how long
		return poll
	}
	if due := h.device.Due(); due != 0 {
		poll = min(poll, due.Sub(protocol.At(h.now())))
	}
	return max(poll, soonest)
}
