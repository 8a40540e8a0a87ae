package dialect

import (
	"fmt"
	"strings"
	"time"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// Begin starts a check-in, or a farewell, and tells whether there is anything to do: out is then the first thing.
func (d *Android) Begin(now protocol.Time, why Why, out *Act) bool {
	out.reset()
	ev := agent.Event{Kind: agent.Tick}
	reason := android.ReasonSchedule
	switch why {
	case Pushed:
		ev.Kind, reason = agent.Woken, android.ReasonPush
	case Synced:
		ev.Kind, reason = agent.Woken, android.ReasonUser
	case UserRemoves:
		ev.Kind, ev.CheckOut = agent.Unenrol, true
	}
	if d.tries > 0 && why == Scheduled {
		reason = android.ReasonRetry
	}
	d.need().reason = reason
	d.advance(now, &ev, out)
	return out.Kind != Rest
}

// need returns the task, which is made where there is none.
func (d *Android) need() *androidTask {
	if d.androidTask == nil {
		d.androidTask = &androidTask{}
	}
	return d.androidTask
}

// Abandon ends a conversation that nobody carries on. What the server has still to hear stays due.
func (d *Android) Abandon(now protocol.Time) {
	var out Act
	if d.core.Resting() {
		if d.androidTask != nil && !d.core.Owes() && d.resume == nil {
			d.androidTask = nil
			if d.Phase() != agent.Enrolled {
				d.forget()
			}
		}
		return
	}
	d.held, d.renew = nil, nil
	d.advance(now, &agent.Event{Kind: agent.Failed}, &out)
}

// Answer tells the device what its request brought, and what to do next.
func (d *Android) Answer(now protocol.Time, r *Response, out *Act) {
	out.reset()
	if d.androidTask == nil {
		return
	}
	switch d.step {
	case Discover:
		d.discovered(r, out)
		return
	case Enroll:
		d.taken(r, out)
		return
	case CheckIn, Unenroll:
	default:
		return
	}
	ev := agent.Event{Kind: agent.Failed}
	var err error
	idle := false
	switch {
	case r.Status == 200 && d.step == Unenroll:
		ev.Kind = agent.Answered
	case r.Status == 200:
		err = d.read(now, r, &ev)
		idle = err == nil && ev.Reply.Kind != protocol.Work
	case r.Status == 410 && d.step == CheckIn && d.gone(r, &ev):
		err = androidFailure(d.step, r)
	default:
		err = d.failed(now, r, &ev)
	}
	d.after(now, &ev, out)
	out.Heard = ev.Notice
	if out.Kind == Rest {
		out.Err, out.Idle = err, idle
	}
}

// after gives the core what came of a request. A first check-in that was cut off may be tried again with the same token; one whose answer
// left something to do is followed by another at once.
func (d *Android) after(now protocol.Time, ev *agent.Event, out *Act) {
	back := d.resume
	d.advance(now, ev, out)
	if p := d.Phase(); p != agent.Enrolled && p != agent.Enrolling {
		if back != nil && ev.Kind == agent.Failed { // a refusal ends it
			d.need().resume = back
		}
		return
	}
	if d.androidTask == nil || d.Phase() == agent.Enrolling {
		return
	}
	d.resume = nil
	if ev.Reply.Kind == protocol.Work && d.core.Resting() && d.answer != nil {
		d.answer, d.renew = nil, nil
		d.reason = android.ReasonRetry
		d.advance(now, &agent.Event{Kind: agent.Woken}, out)
		return
	}
	if d.core.Resting() && !d.core.Owes() && d.incoming == nil {
		d.androidTask = nil
	}
}

// read takes a good answer.
func (d *Android) read(now protocol.Time, r *Response, ev *agent.Event) error {
	var a android.CheckInAnswer
	err := android.Decode(r.Body, &a)
	switch {
	case err == nil && a.Round != d.round:
		err = fmt.Errorf("%w: round %d answered as round %d", protocol.ErrMalformed, d.round, a.Round)
	case err == nil && a.Policy != nil && !d.believes(a.Policy):
		err = errPolicy
	case err == nil && !a.Complete && d.round == android.MaxRounds:
		err = fmt.Errorf("%w: more than %d rounds", protocol.ErrMalformed, android.MaxRounds)
	case err == nil && a.Policy == nil && d.ver == 0:
		err = errNoPolicy
	}
	if err != nil { // no answer of a server of ours, whatever its status says
		what := "answer"
		if strings.HasPrefix(r.ContentType, "text/html") {
			what = "a web page in place of an answer"
		}
		ev.RetryAfter = d.backOff(now)
		return &Failure{Step: CheckIn, Status: r.Status, Err: fmt.Errorf("%s: %w", what, err)}
	}
	d.tries, d.no, d.body, d.orders = 0, 0, nil, nil
	if d.incoming != nil {
		d.commit()
	}
	ev.Kind, ev.Notice = agent.Answered, d.heard(a.Authority.Notice)
	ev.Reply.Notice = ev.Notice
	d.answer, d.results, d.asked = nil, nil, false
	if !a.Complete {
		d.answer, d.renew = &a, a.Renew
		ev.Reply.Kind = protocol.Work
		ev.Reply.Command.ID = protocol.CommandID([]byte(fmt.Sprintf("%016x", id(d.checkin)+uint64(d.round))))
	}
	return nil
}

// failed takes an answer that is none, or a refusal: everything is kept (AND-076, AND-077).
func (d *Android) failed(now protocol.Time, r *Response, ev *agent.Event) error {
	var no android.Error
	if android.Decode(r.Body, &no) == nil {
		_, metadata := no.Info()
		ev.Notice = d.heard(metadata["notice"])
	}
	switch {
	case r.Status == 403 && d.Phase() == agent.Enrolled: // it stands: by the schedule again
		ev.Kind, ev.RetryAfter = agent.Refused, d.core.Scheduled(now).Sub(now)
	case r.Status == 400 || r.Status == 403 || r.Status == 413:
		ev.Kind = agent.Refused
		ev.RetryAfter = max(r.RetryAfter, d.backOff(now))
	case r.RetryAfter > 0:
		ev.RetryAfter = r.RetryAfter
	default:
		ev.RetryAfter = d.backOff(now)
	}
	if r.Status == 401 {
		d.no++
	}
	if d.incoming != nil && (r.Status == 401 || r.Refused) {
		d.incoming = nil // the old identity still stands
	}
	return androidFailure(d.step, r)
}

// Back-off of an Android device: what the core adds by chance stays within a fifth (android.md, section 7).
const (
	androidFirst = time.Minute
	androidLast  = 30 * time.Minute
)

func (d *Android) backOff(now protocol.Time) time.Duration {
	back := min(androidFirst<<min(d.tries, 5), androidLast)
	d.tries = min(d.tries+1, 250)
	return back*4/5 + time.Duration(d.core.Draw(uint64(back/5/time.Microsecond), chanceBackOff, spell(now, time.Hour)<<8|uint64(d.tries)))*time.Microsecond
}

// gone tells whether a 410 ends management: with the server's own order for this device and enrolment, of a kind that its mode
// has, and by nothing else (HST-027): the user's own device is never reset.
func (d *Android) gone(r *Response, ev *agent.Event) bool {
	var no android.Error
	if android.Decode(r.Body, &no) != nil {
		return false
	}
	mode, ok := d.ordered(no.Order())
	if !ok || !d.bond.Value().mode.Leaves(mode) {
		return false
	}
	ev.Kind, ev.CheckOut = agent.Unenrol, true
	if mode == android.Reset {
		ev.Then = agent.Wipe
	}
	d.androidTask.order = true
	return true
}

// androidFailure says why a request failed: Code is the reason in the body of a refusal.
func androidFailure(s Step, r *Response) *Failure {
	f := &Failure{Step: s, Status: r.Status, RetryAfter: r.RetryAfter, Err: r.Err}
	var no android.Error
	if r.Status >= 300 && android.Decode(r.Body, &no) == nil {
		if why, _ := no.Info(); android.ValidID(why) {
			f.Code = why
		}
	}
	return f
}

// advance gives the core an event and turns what it wants into the next act.
func (d *Android) advance(now protocol.Time, ev *agent.Event, out *Act) {
	var space [4]agent.Action
	actions := agent.Actions{List: space[:0]}
	d.core.Step(now, ev, &actions)
	for i := range actions.List {
		switch a := &actions.List[i]; a.Kind {
		case agent.Send:
			d.send(now, &a.CheckIn, out)
		case agent.Execute:
			d.execute(now, out)
		case agent.Drop:
			out.Dropped++
		case agent.Forget:
			d.forget()
		}
	}
	if d.core.Resting() && !d.core.Owes() && out.Kind == Rest && d.androidTask != nil && d.incoming == nil && d.resume == nil {
		d.androidTask = nil
	}
}

// send makes the request for one round.
func (d *Android) send(now protocol.Time, c *protocol.CheckIn, out *Act) {
	t := d.need()
	if c.Verb == protocol.Leave && t.told { // the server has the result, and the certificate counts no more
		d.advance(now, &agent.Event{Kind: agent.Answered}, out)
		return
	}
	b := d.bond.Value()
	r := Request{Method: "POST", ContentType: android.ContentType, UserAgent: d.userAgent(), Identity: Current}
	if d.incoming != nil {
		r.Identity = Next
	}
	if c.Verb == protocol.Leave {
		device, enrollment := d.Names()
		bye := android.UnenrollRequest{Device: device, Enrollment: enrollment, Reason: android.UserRequest}
		if t.order {
			bye.Reason = android.ByOrder
		}
		r.Step, r.URL, r.Body = Unenroll, b.url+android.UnenrollPath, android.Append(nil, &bye)
	} else {
		r.Repeat = d.body != nil
		r.Step, r.URL, r.Body = CheckIn, b.url+android.CheckInPath, d.roundBody(now, c)
		r.Orders, r.Whole = d.orders, d.whole
	}
	out.Kind, out.Request, out.Trust = Send, r, Trust{Anchors: b.anchors}
	d.step = r.Step
	switch {
	case c.Verb == protocol.Leave:
	case d.renew != nil:
		offer := d.renew
		d.renew, d.held = nil, &r
		device, _ := d.Names()
		if d.offered(offer, device, out) != nil {
			d.release(out)
		}
	case d.no >= patience && b.renewal != "" && d.incoming == nil && c.Verb == protocol.Ask: // perhaps another certificate is known (AND-077)
		d.no, d.held = 0, &r
		device, _ := d.Names()
		if d.offered(b.offer(), device, out) != nil {
			d.release(out)
		}
	}
}

// patience is how many 401 in a row bring a try to renew.
const patience = 3

// roundBody returns the body of the next round: one that is not confirmed as it was, else another.
func (d *Android) roundBody(now protocol.Time, c *protocol.CheckIn) []byte {
	if d.body != nil {
		return d.body
	}
	if c.Round == 1 {
		d.talks++
		d.checkin = fmt.Sprintf("c-%016x", d.core.Draw(1<<64-1, chanceMagic, uint64(d.core.Enrolments())<<32|uint64(d.talks)))
		d.androidTask.round = 0
	}
	if c.Verb == protocol.Ready && d.answer != nil { // what the first answer brought
		d.carryOut(now)
	}
	d.androidTask.round++
	d.whole = d.asked || d.reason == android.ReasonEnrolled
	body := d.say(now)
	if c.Verb != protocol.Ask {
		d.body = body
	}
	return body
}

// say makes the message of a round.
func (d *Android) say(now protocol.Time) []byte {
	device, _ := d.Names()
	m := android.CheckIn{
		Protocol: android.Version, CheckIn: d.checkin, Round: d.androidTask.round, Device: device, Reason: d.reason, Time: now, Epoch: d.core.Epoch(),
		Applied: android.AppliedPolicy{State: d.State()}, Compliant: true, Results: d.results,
	}
	d.appliedPolicy(&m)
	if fid := d.Push(); fid != "" && (d.reason == android.ReasonEnrolled || d.core.Owes()) {
		m.Push = &android.Push{Kind: "fcm", FID: fid}
	}
	if d.reason == android.ReasonEnrolled && m.Round == 1 || d.asked {
		m.Status = d.status()
	}
	return android.Append(nil, &m)
}

// status is a whole report, of what the policy asks for.
func (d *Android) status() *android.StatusReport {
	hardware, software := d.hardware(), d.software()
	s := &android.StatusReport{
		HardwareInfo: &hardware, SoftwareInfo: &software, DeviceSettings: &android.DeviceSettings{IsDeviceSecure: true, EncryptionStatus: "ACTIVE_PER_USER"},
		MemoryInfo: &android.MemoryInfo{TotalRAM: d.model.RAM, TotalInternalStorage: d.model.Storage}, ApplicationReports: d.model.Apps,
	}
	if d.model.Tell != nil {
		s.DeviceSettings, s.MemoryInfo = nil, nil // what the machine does not tell, nothing makes up
		d.model.Tell(s)
	}
	if want := d.settings().StatusReportingSettings; want != nil {
		drop := func(wanted bool, none func()) {
			if !wanted {
				none()
			}
		}
		drop(want.SoftwareInfo, func() { s.SoftwareInfo = nil })
		drop(want.MemoryInfo, func() { s.MemoryInfo = nil })
		drop(want.NetworkInfo, func() { s.NetworkInfo = nil })
		drop(want.DeviceSettings, func() { s.DeviceSettings = nil })
		drop(want.ApplicationReports, func() { s.ApplicationReports = nil })
	}
	return s
}
