package fleet

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// A job is what one device is to do now. Several things that are due at once are one conversation.
type job struct {
	enrol bool
	why   dialect.Why
	link  target.Invitation // with which it enrols
}

// dispatch takes what is due by now and starts a conversation for each device that has something to do. It returns
// whether anything was due.
func (f *Fleet) dispatch(ctx context.Context, now protocol.Time) (worked bool) {
	jobs := map[int]job{}
	f.mu.Lock()
	for len(f.queue) > 0 && f.queue[0].at <= now {
		worked = true
		f.take(now, f.queue.pop(), jobs)
	}
	for _, w := range f.mail() {
		worked = true
		f.hear(now, w, jobs)
	}
	var joining []int
	offered := uint64(0)
	for i, j := range jobs {
		f.devices[i].busy = true
		f.busy++
		if j.enrol {
			joining = append(joining, i)
		} else {
			offered++
		}
	}
	f.mu.Unlock()
	f.tally.add(now, func(c *Counts, _ *Bin) { c.Offered += offered })

	slices.Sort(joining)
	links, err := f.invite(ctx, joining)
	for i, j := range jobs {
		j.link = links[i]
		if j.enrol && err != nil {
			f.notJoined(now, i, err)
			f.finish(i, func() { f.tryLater(now, i) })
			continue
		}
		f.talking.Go(func() {
			f.slots <- struct{}{}
			defer func() { <-f.slots }()
			f.work(ctx, now, i, j)
		})
	}
	return worked
}

// take turns one due moment into a job, or into whatever else it means. f.mu is held.
func (f *Fleet) take(now protocol.Time, m moment, jobs map[int]job) {
	i := int(m.device)
	d := &f.devices[i]
	if m.kind == syncs { // the habit goes on whatever becomes of this one
		f.at(i, f.draws.Sync(i, now), syncs, 0)
	}
	switch {
	case d.busy:
		if m.kind == syncs {
			m.kind = asked
		}
		m.at = now.Add(time.Second)
		f.queue.push(m)
	case m.kind == leaves || m.kind == returns:
		f.moves(i, now, m)
	case d.Device == nil:
	case m.kind == acts:
		switch {
		case d.due != m.at:
		case d.away == 0:
			d.due = 0
			add(jobs, i, job{why: dialect.Scheduled})
		default:
			f.expire(i, now)
		}
	case d.away != 0:
		if m.kind == enrols || m.kind == unenrols || m.kind == reenrols {
			f.at(i, now.Add(30*time.Minute), m.kind, 0)
		}
	case m.kind == enrols:
		if phase := d.Phase(); phase != agent.Enrolling && (phase != agent.Enrolled || f.cut(d, now)) {
			add(jobs, i, job{enrol: true})
		}
	case (m.kind == syncs || m.kind == asked) && f.enrolled(i):
		f.tally.add(now, func(c *Counts, _ *Bin) { c.ByHand++ })
		f.used(i)
		add(jobs, i, job{why: dialect.Synced})
	case m.kind == reenrols && f.enrolled(i):
		add(jobs, i, job{enrol: true})
	case m.kind == unenrols && f.enrolled(i):
		add(jobs, i, job{why: dialect.UserRemoves})
	}
}

// add joins j to what the device has to do already: an enrolment or a removal swallows the rest.
func add(jobs map[int]job, i int, j job) {
	if old, ok := jobs[i]; ok && (old.enrol || old.why > j.why && !j.enrol) {
		return
	}
	jobs[i] = j
}

// hear gives a device a push. f.mu is held.
func (f *Fleet) hear(now protocol.Time, w wake, jobs map[int]job) {
	d := &f.devices[w.device]
	if d.busy {
		f.mailbox.Lock()
		f.woken = append(f.woken, w) // it hears of it when it has time
		f.mailbox.Unlock()
		return
	}
	woken := d.Woken(w.magic)
	f.tally.add(now, func(c *Counts, b *Bin) {
		c.Wakes++
		b.Wakes++
		if !woken {
			c.Stale++
		}
	})
	a, spreads := d.Device.(*dialect.Android)
	switch {
	case woken && w.kept && spreads:
		a.Return(now, true)
		f.schedule(w.device)
	case woken:
		add(jobs, w.device, job{why: dialect.Pushed})
	}
}

// ended tells whether the device's identity is over, so that only a new enrolment helps (AUTH-42).
func ended(d *device, now protocol.Time) bool {
	end := d.Identity().NotAfter
	return end != 0 && end <= now
}

// cut tells whether the device is enrolled and nobody can reach it any more: its identity is over, or the push certificate
// has another topic (AUTH-32). f.mu is held.
func (f *Fleet) cut(d *device, now protocol.Time) bool {
	topic := ""
	if a, ok := d.Device.(*dialect.Apple); ok {
		topic, _, _ = a.Push()
	}
	return ended(d, now) || f.topic != "" && topic != "" && topic != f.topic
}

// work carries out j and sees what has changed.
func (f *Fleet) work(ctx context.Context, now protocol.Time, i int, j job) {
	switch {
	case j.enrol && f.enrolled(i): // its user takes the old enrolment off first
		f.tally.add(now, func(c *Counts, _ *Bin) { c.Offered++ })
		removed := f.converse(ctx, now, i, dialect.UserRemoves)
		joined := f.join(ctx, now, i, j.link)
		f.finish(i, func() { removed(); joined() })
	case j.enrol:
		f.finish(i, f.join(ctx, now, i, j.link))
	default:
		f.finish(i, f.converse(ctx, now, i, j.why))
	}
}

// converse runs one conversation of device i and returns what is to be done about it with f.mu held.
func (f *Fleet) converse(ctx context.Context, now protocol.Time, i int, why dialect.Why) (then func()) {
	d := f.devices[i].Device
	identity := d.Identity()
	address := f.address(i)   // the device's own is soon another
	begun := ctx.Err() == nil // else it stays offered
	if begun {
		f.tally.add(now, func(c *Counts, _ *Bin) { c.Started++ })
	}
	report, err := f.link.Converse(ctx, d, why)
	f.tally.add(now, func(c *Counts, b *Bin) { c.conversed(b, &report, err, begun, ctx.Err() != nil) })
	if refused(err) {
		f.note(now, i, Refused, err.Error())
	}
	if report.Dropped > 0 {
		f.note(now, i, Outlived, strconv.Itoa(int(report.Dropped)))
	}
	phase, next := d.Phase(), d.Identity()
	return func() { f.after(now, i, phase, address, identity, next) }
}

// join enrols device i and returns what is to be done about it with f.mu held.
func (f *Fleet) join(ctx context.Context, now protocol.Time, i int, by target.Invitation) (then func()) {
	a := f.devices[i].Device
	report, err := f.enrol(ctx, i, by)
	f.tally.add(now, func(c *Counts, _ *Bin) { c.spoke(&report) })
	phase := a.Phase()
	return func() {
		if phase == agent.Enrolled || phase == agent.Enrolling { // the latter has its TokenUpdate left to say, and will
			f.after(now, i, phase, "", a.Identity(), a.Identity())
			return
		}
		if err == nil {
			err = errors.New("no answer")
		}
		f.notJoined(now, i, err)
		f.tryLater(now, i)
	}
}

// notJoined counts and notes a try to enrol that ended in none.
func (f *Fleet) notJoined(now protocol.Time, i int, err error) {
	f.tally.add(now, func(c *Counts, _ *Bin) { c.BrokeOff++ })
	f.note(now, i, NotJoined, err.Error())
}

// finish gives device i back and does then, with f.mu held.
func (f *Fleet) finish(i int, then func()) {
	f.mu.Lock()
	f.devices[i].busy = false
	f.busy--
	then()
	f.mu.Unlock()
	select {
	case f.nudge <- struct{}{}:
	default:
	}
}

// tryLater has the user of device i try the enrolment again: within the hour, and each time after twice as long, up to a
// day. f.mu is held.
func (f *Fleet) tryLater(now protocol.Time, i int) {
	d := &f.devices[i]
	f.at(i, now.Add(f.draws.TryLater(i, now, d.tries)), enrols, 0)
	d.tries = min(d.tries+1, 5)
}

// after sees what a conversation has changed. f.mu is held.
func (f *Fleet) after(now protocol.Time, i int, phase agent.Phase, address string, before, identity dialect.Identity) {
	d := &f.devices[i]
	switch phase {
	case agent.Enrolled:
		if !d.managed {
			f.joined(now, i)
		} else if identity.Serial != before.Serial {
			f.tally.add(now, func(c *Counts, _ *Bin) { c.Renewals++ })
			f.note(now, i, Renewed, "")
		}
		if ended(d, now) && !d.locked {
			d.locked = true
			f.note(now, i, Locked, "")
		}
	case agent.Wiped:
		f.gone(now, i, address, Wiped)
	case agent.Removed, agent.New:
		f.gone(now, i, address, Removed)
	}
	f.open(i, now)
	f.schedule(i)
}

// joined notes that device i is enrolled. f.mu is held.
func (f *Fleet) joined(now protocol.Time, i int) {
	d := &f.devices[i]
	d.managed, d.locked, d.tries = true, false, 0
	if a, ok := d.Device.(*dialect.Android); ok {
		d.name, _ = a.Names()
	}
	f.managed++
	f.tally.add(now, func(c *Counts, b *Bin) {
		c.Enrolments++
		b.Enrolments++
	})
	f.note(now, i, Joined, "")
}

// gone notes the end of an enrolment; the push service forgets the address. f.mu is held.
func (f *Fleet) gone(now protocol.Time, i int, address string, what What) {
	d := &f.devices[i]
	if !d.managed {
		return // known already
	}
	d.managed = false
	f.managed--
	f.note(now, i, what, "")
	f.forget(i, address)
}

// schedule queues when the device next wants to act by itself. f.mu is held.
func (f *Fleet) schedule(i int) {
	d := &f.devices[i]
	if due := f.due(i); due != 0 && due != d.due {
		d.due = due
		f.at(i, due, acts, 0)
	}
}

// expire is all that device i does by itself while it is off the network: it drops what its seven days end (AUTH-27). f.mu is held.
func (f *Fleet) expire(i int, now protocol.Time) {
	d := &f.devices[i]
	if dropped := d.Expire(now); dropped > 0 {
		f.note(now, i, Outlived, strconv.Itoa(dropped))
	}
	if d.due = d.Drops(); d.due != 0 {
		f.at(i, d.due, acts, 0)
	}
}

// mail takes the pushes that came.
func (f *Fleet) mail() []wake {
	f.mailbox.Lock()
	defer f.mailbox.Unlock()
	mail := f.woken
	f.woken = nil
	return mail
}

// refused tells whether a server's answer ended the conversation, not the network.
func refused(err error) bool {
	failure, ok := errors.AsType[*dialect.Failure](err)
	return ok && failure.Status != 0
}

// conversed counts how one conversation ended that was offered, and started if begun. One that we broke off ourselves (cut),
// because the run was interrupted, is neither done nor failed nor refused. A device that had nothing to say had no check-in.
func (c *Counts) conversed(b *Bin, r *link.Report, err error, begun, cut bool) {
	c.spoke(r)
	switch {
	case err == nil && r.Failed == 0 && r.Steps == [dialect.Steps]uint16{}:
		c.Offered--
		if begun {
			c.Started--
		}
	case err == nil:
		c.Done++
		b.Done++
	case cut:
	case refused(err):
		c.Refused++
		b.Refused++
	default:
		c.Failed++
		b.Failed++
	}
}

func (c *Counts) spoke(r *link.Report) {
	c.Expired += uint64(r.Dropped)
	c.Commands += uint64(r.Commands)
	c.NotNow += uint64(r.NotNow)
}
