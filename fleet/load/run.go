package load

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet"
	"rollcall/protocol"
)

// Run is the load: it returns when all that was meant to happen has, or has had its time. The error is ctx's when it was
// interrupted; what was noted until then stays.
func (l *Load) Run(ctx context.Context) error {
	l.plug()
	defer l.unplug()
	l.catchUp(ctx)
	if err := l.fill(); err != nil {
		return err
	}
	life, stop := context.WithCancel(ctx)
	defer stop()
	l.members = l.Enrolled()
	if l.config.Ledger != nil {
		for _, d := range l.members {
			l.config.Ledger.Enrolled(protocol.At(l.now()), d.Number())
			if heedful(d) {
				l.beds[l.number.of(d.Number())].call |= heeds
			}
		}
	}
	before := l.config.CPU()
	l.begin, l.paced = time.Now(), l.config.Closed == 0
	l.play(life)
	var checking sync.WaitGroup
	if l.config.Ledger != nil {
		checking.Go(func() { l.check(life) })
	}
	if l.config.Closed > 0 {
		l.loop(life)
	} else {
		l.dispatch(life)
	}
	l.stopping.Store(true)
	stop()
	close(l.jobs)
	l.working.Wait()
	l.played.went.Wait()
	checking.Wait()
	l.ended, l.spent = time.Since(l.begin), l.config.CPU()-before
	l.all.Store(l.total())
	l.settle(ctx)
	return ctx.Err()
}

// fill makes ready whoever can take an arrival.
func (l *Load) fill() error {
	for i, d := range l.config.Devices {
		if (d.Phase() == agent.Enrolled) != l.config.Enrolments {
			l.sleep(int32(i))
		}
	}
	if l.count[resting] > 0 {
		return nil
	}
	if l.config.Enrolments {
		return errors.New("load: all devices are enrolled already")
	}
	return errors.New("load: no device is enrolled")
}

// dispatch starts conversations when they are due until the load is over.
func (l *Load) dispatch(ctx context.Context) {
	offer := l.config.Pace.cursor()
	next, more := offer.next()
	l.take = l.config.Pace.cursor()
	end := l.length() + l.config.Drain
	report := l.reporter(false)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Since(l.begin)
		for more && next <= now {
			l.offer(next)
			l.pending++
			next, more = offer.next()
		}
		wait, idle := l.start(ctx, now)
		if now >= end || !more && l.pending == 0 && idle && (!l.config.calls() || l.came()) {
			return
		}
		report()
		if more {
			wait = min(wait, next-now)
		}
		timer.Reset(min(max(wait, 0), end-now, time.Second))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-l.news:
		}
	}
}

func (l *Load) offer(at time.Duration) {
	l.offered.Add(1)
	b := l.books[0]
	b.mu.Lock()
	b.at(at, l.width).offered++
	b.mu.Unlock()
}

// start starts what can start now: what devices do by themselves, what pushes want of them, and arrivals. wait is when
// there is next something of the former; idle: nobody talks or will.
func (l *Load) start(ctx context.Context, now time.Duration) (wait time.Duration, idle bool) {
	var starting []job
	l.mu.Lock()
	at, ok := l.visits()
	for ; ok && at <= now; at, ok = l.visits() {
		v := l.visitor()
		starting = append(starting, job{device: v.device, at: v.at, could: v.at, why: v.why, asked: -1, retry: v.why == dialect.Scheduled})
	}
	wait = math.MaxInt64
	if ok {
		wait = at - now
	}
	for _, w := range l.wakes {
		if j, ok := l.hear(w); ok {
			starting = append(starting, j)
		}
	}
	l.wakes = l.wakes[:0]
	for l.pending > 0 && l.count[resting] > 0 {
		l.pending--
		j := job{why: dialect.Synced, order: l.config.Wake != nil}
		j.at, _ = l.take.next()
		if j.order {
			j.device = l.next(ordered)
			l.beds[j.device].ordered = j.at
		} else {
			j.device = l.next(talking)
		}
		j.could = max(j.at, l.beds[j.device].freed)
		starting = append(starting, j)
	}
	idle = l.count[talking]+l.count[waiting]+l.count[ordered] == 0
	l.mu.Unlock()
	for _, j := range starting {
		l.hand(ctx, j)
	}
	return wait, idle
}

// hear turns a push into a conversation. A device that is talking talks again afterwards. l.mu is held.
func (l *Load) hear(w wake) (j job, ok bool) {
	b := &l.beds[w.device]
	if b.place == talking {
		b.again = true
		return j, false
	}
	if !l.config.Devices[w.device].Woken(w.address) {
		return j, false
	}
	j = job{device: w.device, at: w.at, could: w.at, why: dialect.Pushed, asked: -1}
	if b.place == ordered {
		j.asked = b.ordered
	}
	l.move(w.device, talking)
	return j, true
}

// hand gives j to a worker that has nothing to do, or to a new one: stacks that have grown stay so.
func (l *Load) hand(ctx context.Context, j job) {
	select {
	case l.jobs <- j:
	default:
		l.working.Go(func() {
			for ok := true; ok; j, ok = <-l.jobs {
				l.work(ctx, j)
			}
		})
	}
}

// work is one conversation.
func (l *Load) work(ctx context.Context, j job) {
	begun := time.Since(l.begin)
	l.late(j.device, begun-j.could)
	if j.why == dialect.Synced {
		l.short(j.device, j.could-j.at)
	}
	if j.order {
		l.order(ctx, j)
		return
	}
	d := l.config.Devices[j.device]
	l.rise(j.device, j.at)
	var report link.Report
	var err error
	if l.config.Enrolments && d.Phase() != agent.Enrolling {
		report, err = l.enrolAnew(ctx, d)
	} else {
		report, err = l.link.Converse(ctx, d, j.why)
	}
	if d.Phase() == agent.Enrolled && l.config.Enrolments {
		l.enrolled.Add(1)
	}
	if f, ok := errors.AsType[*dialect.Failure](err); ok && f.Status != 0 { // of one without an answer the exchange has told
		l.tell("conversation", err)
	}
	l.note(j, &report, time.Since(l.begin)-begun, err)
	l.lie(j.device, j.at, err == nil)
}

// enrolAnew is the enrolment of one device, with whatever it takes to be let in.
func (l *Load) enrolAnew(ctx context.Context, d fleet.Device) (link.Report, error) {
	if l.config.Start == nil {
		return link.Report{}, errors.New("nobody says where devices enrol")
	}
	starts, err := l.config.Start(ctx, []fleet.Device{d})
	if err != nil {
		return link.Report{}, err
	}
	return starts[0](ctx, l.link)
}

// order has the server push to a device, which comes when the push does.
func (l *Load) order(ctx context.Context, j job) {
	err := l.config.Wake(ctx, Name(l.config.Devices[j.device]))
	if err == nil || ctx.Err() != nil {
		return
	}
	l.tell("wake-up", err)
	b := l.book(j.device)
	b.mu.Lock()
	b.sessions.started++
	b.sessions.failed++
	b.at(j.at, l.width).failed++
	b.mu.Unlock()
	l.mu.Lock()
	if l.beds[j.device].place == ordered { // no push came all the same
		l.beds[j.device].freed = time.Since(l.begin)
		l.sleep(j.device)
	}
	l.mu.Unlock()
	l.nudge()
}

// note counts a conversation that took so long.
func (l *Load) note(j job, r *link.Report, took time.Duration, err error) {
	b := l.book(j.device)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case j.why == dialect.Pushed && j.asked >= 0:
		put(&b.woken, j.at-j.asked)
	case j.why == dialect.Pushed: // nobody here asked for it
		b.at(j.at, l.width).offered++
		l.offered.Add(1)
	}
	b.sessions.started++
	b.commands += uint64(r.Commands)
	if j.retry {
		b.sessions.retries++
	}
	w := b.at(j.at, l.width)
	f, ok := errors.AsType[*dialect.Failure](err)
	switch {
	case err == nil:
		b.sessions.done++
		b.busy += took
		b.doneOn[platformOf(l.config.Devices[j.device])]++
		w.done++
		return
	case errors.Is(err, context.Canceled) && !l.stopping.Load(): // interrupted
		return
	case ok && f.Status >= 300: // a 2xx that is no answer of an MDM server refuses nothing
		b.sessions.refused++
	default:
		b.sessions.failed++
	}
	w.failed++
}

// lie puts a device back to bed, or on its way again, from a conversation that began at a moment and went well or not.
func (l *Load) lie(i int32, began time.Duration, well bool) {
	now := time.Since(l.begin)
	d := l.config.Devices[i]
	due, phase := d.Due(), d.Phase()
	l.mu.Lock()
	b := &l.beds[i]
	b.freed = now
	l.hears(d)
	if well && phase == agent.Enrolled {
		l.answersCall(b, began, now, true)
	}
	switch {
	case b.again && phase == agent.Enrolled:
		b.again = false
		l.come(i, now, dialect.Pushed)
	case due != 0 && (l.config.Retry && (rests(d) || !well) || phase == agent.Enrolling):
		l.come(i, now+l.until(due), dialect.Scheduled)
	case phase == agent.Enrolled && l.config.Enrolments:
		l.move(i, out)
	case phase == agent.Enrolled, l.config.Enrolments:
		l.sleep(i)
	default:
		l.move(i, out)
		l.lost++
		if l.config.Ledger != nil {
			l.config.Ledger.Ended(protocol.At(l.now()), d.Number())
		}
		l.answersCall(b, began, now, false)
	}
	l.mu.Unlock()
	l.nudge()
}

// until is how long it is until a device may do by itself what is due at a moment.
func (l *Load) until(due protocol.Time) time.Duration {
	const rounding = time.Millisecond // the device's clock counts in microseconds: it must not be early
	return max(due.Time().Sub(l.now()), 0) + rounding
}

// now is the devices' clock.
func (l *Load) now() time.Time {
	if l.config.Link.Now != nil {
		return l.config.Link.Now()
	}
	return time.Now()
}

// loop is the closed loop: each of some devices talks again as soon as its turn has come and it has been answered.
func (l *Load) loop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.config.For+l.config.Drain)
	defer cancel()
	report := l.reporter(false)
	for range min(l.config.Closed, l.count[resting]) {
		l.working.Go(func() {
			for {
				l.mu.Lock()
				now := time.Since(l.begin)
				if now >= l.config.For || l.count[resting] == 0 || ctx.Err() != nil {
					l.mu.Unlock()
					return
				}
				j := job{device: l.next(talking), at: now, could: now, why: dialect.Synced, asked: -1}
				l.mu.Unlock()
				l.offer(now)
				l.work(ctx, j)
			}
		})
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for over := l.over(); ; {
		select {
		case <-over:
			return
		case <-tick.C:
			report()
		}
	}
}

// over is closed when nobody talks any more.
func (l *Load) over() <-chan struct{} {
	c := make(chan struct{})
	go func() {
		l.working.Wait()
		close(c)
	}()
	return c
}

// reporter returns what tells of progress, at most once a second.
func (l *Load) reporter(enrolling bool) func() {
	last := time.Time{}
	return func() {
		if now := time.Now(); l.config.Progress != nil && now.Sub(last) >= time.Second {
			last = now
			l.config.Progress(l.progress(enrolling))
		}
	}
}

func (l *Load) progress(enrolling bool) Progress {
	p := Progress{
		Enrolling: enrolling, At: time.Since(l.begin), Length: l.length(), Devices: len(l.config.Devices), Enrolled: int(l.enrolled.Load()),
		GaveUp: int(l.joined.gaveUp.Load()), Offered: l.offered.Load(),
	}
	for _, b := range l.books {
		b.mu.Lock()
		p.Started += b.sessions.started
		p.Done += b.sessions.done
		p.Failed += b.sessions.failed + b.sessions.refused
		b.mu.Unlock()
	}
	l.mu.Lock()
	p.Busy = l.count[talking]
	l.mu.Unlock()
	if l.config.Ledger != nil {
		c := l.config.Ledger.Counts()
		p.Faults = c.Faults()
	}
	return p
}
