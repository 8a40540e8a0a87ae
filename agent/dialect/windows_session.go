package dialect

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// A winTask is what a device keeps only while it talks.
type winTask struct {
	step Step

	enrolling // an enrolment or a renewal

	session  string // SessionID
	msgID    uint32
	url      string
	sent     []windows.Command // of the message that went last, in case it must come again with a Cred
	final    bool              // so was that message
	cred     *windows.Cred
	leaving  bool
	after    aftermath
	userOnly bool   // a session of the signed-in user's alone
	late     answer // nothing: the device has done what it was told
	waits    uint8  // how often it still says that it has not
	aborts   bool   // the last message was that the device aborts the session
	object   *object
	uploads  []upload
	notice   protocol.Notice
	ordered  bool    // the server's own order to leave came with its message (HST-027)
	orders   []Order // of the message

	accounts []string // nodes of accounts that the message's commands have lost by adding them again
}

// An answer is what the device says of a message's commands.
type answer struct {
	commands []windows.Command
	orders   []Order
}

// mostMessages bounds a session that its server does not end (HST-120).
const mostMessages = 1000

var (
	errTooLarge    = errors.New("the answer to the server is larger than it takes")
	errNotOurs     = errors.New("the answer is of another session or for another device")
	errAborted     = errors.New("the server aborted the session")
	errCredentials = errors.New("the server does not take the device's credentials")
	errNoSyncML    = errors.New("the answer is empty")

	errSlow      = errors.New("the commands take longer than the server waits for them")
	errImpatient = errors.New("the server gives commands while the device is at the ones before")

	errEndless           = errors.New("the server does not end the session")
	errServerCredentials = errors.New("the server's credentials are not those of the account")
)

// Begin starts a conversation and tells whether there is anything to do: out is then the first thing.
func (d *Windows) Begin(now protocol.Time, why Why, out *Act) bool {
	out.reset()
	d.now = now
	if d.Phase() != agent.Enrolled || d.winTask != nil {
		return false
	}
	d.expire(out)
	if lost := d.lost(); lost != 0 && now >= lost && why == Scheduled { // WIN-059: by itself, and without a word
		d.step1(&agent.Event{Kind: agent.Unenrol}, out)
		return false
	}
	if end := d.core.Identity().NotAfter; end != 0 && now >= end && why != UserRemoves { // only another enrolment helps, or a renewal all the same
		if why == Scheduled && d.renewal.due != 0 && now >= max(d.renewal.due, end+1) {
			d.renew(out)
			return true
		}
		out.Err = &Failure{Step: Session, Err: windows.EClientCertificate}
		if d.renewal.due <= now {
			d.renewAfter(now)
		}
		return false
	}
	switch {
	case why == UserRemoves:
		d.leave(out)
	case why == Scheduled && d.renewal.due != 0 && now >= d.renewal.due:
		d.renew(out)
	case why != Scheduled:
		d.open(why, out)
	case d.next != 0 && now >= d.next:
		d.open(why, out)
	}
	return out.Kind != Rest
}

// expire drops the old authority's profiles once their time is over.
func (d *Windows) expire(out *Act) {
	var actions agent.Actions
	d.core.Expire(d.now, &actions)
	d.obey(&actions, out)
}

// step1 tells the core an event and does what it wants.
func (d *Windows) step1(ev *agent.Event, out *Act) {
	var actions agent.Actions
	d.core.Step(d.now, ev, &actions)
	d.obey(&actions, out)
}

// obey does what the core wants beside sending, which a session does by itself.
func (d *Windows) obey(actions *agent.Actions, out *Act) {
	for i := range actions.List {
		switch a := &actions.List[i]; a.Kind {
		case agent.Drop:
			d.dropped(a.Profile)
			out.Dropped++
		case agent.Forget:
			d.forget()
		}
	}
}

// open starts a session with package 1 (WIN-044).
func (d *Windows) open(why Why, out *Act) {
	d.step1(&agent.Event{Kind: agent.Woken}, out)
	d.winTask = &winTask{userOnly: why == Scheduled && d.usersAlone()}
	d.begin(why, out)
}

// leave starts the last session, for which there is one attempt (WIN-056).
func (d *Windows) leave(out *Act) {
	d.step1(&agent.Event{Kind: agent.Unenrol, CheckOut: true}, out)
	d.winTask = &winTask{leaving: true}
	d.begin(Synced, out)
}

// begin sends package 1: its commands are numbered from 2 (WIN-045).
func (d *Windows) begin(why Why, out *Act) {
	d.sessions++
	t := d.winTask
	t.step, t.session, t.msgID = Session, strconv.Itoa(int(d.sessions)%1e4), 0 // of at most four characters
	version, _, _ := strings.Cut(d.tree.value(d.node("SyncApplicationVersion")), ".")
	if major, _ := strconv.Atoi(version); major >= 2 {
		t.session = fmt.Sprintf("%02X", d.sessions)
	}
	t.url = d.managementURL()
	start := windows.ClientInitiated
	if why == Pushed {
		start = windows.ServerInitiated
	}
	alert := func(code windows.Code, kind, format, data string) windows.Command {
		c := windows.Command{Verb: windows.Alert, Code: code}
		if kind != "" {
			c.Items = []windows.Item{{Meta: windows.Meta{Type: kind, Format: format}, Data: data}}
		}
		return c
	}
	commands := []windows.Command{alert(start, "", "", ""), alert(windows.ClientEvent, windows.TypeLoginStatus, "", logins[d.login])}
	if t.userOnly {
		commands = append(commands, alert(windows.ClientEvent, windows.TypeSyncType, "", windows.SyncUser))
	}
	if t.leaving {
		commands = append(commands, alert(windows.GenericAlert, windows.TypeUnenrollment, windows.FormatInt, "1"))
	}
	about := windows.Command{Verb: windows.Replace}
	for _, name := range [...]string{"DevId", "Man", "Mod", "DmV", "Lang"} {
		l, _ := d.computed("DevInfo/" + name)
		about.Items = append(about.Items, windows.Item{Source: "./DevInfo/" + name, Data: l.value})
	}
	commands = append(commands, about)
	for i := range commands {
		commands[i].CmdID = int32(i) + 2
	}
	d.send(commands, true, out)
}

// send makes the request for the next message.
func (d *Windows) send(commands []windows.Command, final bool, out *Act) {
	t := d.winTask
	t.msgID++
	t.sent, t.final = commands, final
	m := windows.Message{
		Header: windows.SyncHdr{SessionID: t.session, MsgID: t.msgID, Target: t.url, Source: d.DeviceID(), Cred: t.cred}, Commands: commands, Final: final,
	}
	out.scratch = windows.EncodeMessage(out.scratch[:0], &m)
	out.Kind = Send
	out.Request = Request{
		Step: Session, Method: "POST", URL: t.url, ContentType: windows.SyncMLContentType, UserAgent: windows.ManagementUserAgent,
		Body: out.scratch, Identity: Current,
	}
	d.shows(&out.Request)
	out.Trust = Trust{Anchors: d.account.Value().anchors}
}

// Abandon ends a conversation that nobody carries on.
func (d *Windows) Abandon(now protocol.Time) {
	var out Act
	d.now = now
	switch {
	case d.winTask == nil:
	case d.step != Session:
		d.giveUp(windows.ECancelled, &Response{}, &out)
	default:
		d.fail(&Failure{Step: Session, Err: windows.ECancelled}, false, &out)
	}
}

// Answer tells the device what its request brought, and what to do next.
func (d *Windows) Answer(now protocol.Time, r *Response, out *Act) {
	out.reset()
	d.now = now
	switch {
	case d.winTask == nil:
	case d.step != Session:
		d.enrolAnswer(r, out)
	case r.Status == 0:
		d.fail(&Failure{Step: Session, Err: r.Err}, true, out)
	case r.Status != 200: // never takes the enrolment off (WIN-059)
		d.fail(&Failure{Step: Session, Status: r.Status, RetryAfter: r.RetryAfter, Err: windows.HTTPError(r.Status)}, false, out)
	case len(r.Body) == 0:
		d.fail(&Failure{Step: Session, Status: r.Status, Err: errNoSyncML}, false, out)
	default:
		d.hear(r, out)
	}
}

// fail ends a session that got no further. Settings and enrolment stay.
func (d *Windows) fail(f *Failure, network bool, out *Act) {
	d.winTask = nil
	out.Kind = Rest
	d.step1(&agent.Event{Kind: agent.Failed}, out)
	out.Err = f
	if d.Phase() != agent.Enrolled { // it was leaving, or being wiped
		return
	}
	d.failures++
	if network {
		d.unreached(d.now)
	} else {
		d.scheduled(d.now)
	}
}

// hear takes a message of the server's.
func (d *Windows) hear(r *Response, out *Act) {
	t := d.winTask
	var m windows.Message
	wrong := func(err error) { d.fail(&Failure{Step: Session, Status: r.Status, Err: err}, false, out) }
	if err := windows.DecodeMessage(r.Body, &m); err != nil {
		wrong(err)
		return
	}
	if m.Header.SessionID != t.session || m.Header.Target != d.DeviceID() {
		wrong(errNotOurs)
		return
	}
	if c := m.Header.Cred; c != nil && !d.proven(c) {
		wrong(errServerCredentials)
		return
	}
	d.contact = d.now
	work := 0
	for i := range m.Commands {
		switch c := &m.Commands[i]; {
		case c.Verb == windows.Status && c.Cmd == windows.SyncHeader && (c.Code == windows.InvalidCredentials || c.Code == windows.MissingCredentials):
			if c.Chal == nil || t.cred != nil {
				wrong(errCredentials)
				return
			}
			own := d.own()
			t.cred = windows.NewCred(c.Chal.Type, own[ownName], own[ownSecret], c.Chal.NextNonce)
			d.send(t.sent, t.final, out)
			return
		case c.Verb == windows.Alert && c.Code == windows.SessionAbort:
			wrong(errAborted)
			return
		case c.Verb != windows.Status:
			work++
		}
		t.refused(&m.Commands[i])
	}
	t.ordered = ordered(r.Order, d.DeviceID(), d.Certificate(Current), d.habits.Seal, d.now.Add(-d.habits.Ahead))
	if m.Header.RespURI != "" && strings.HasPrefix(m.Header.RespURI, "https://") {
		t.url = m.Header.RespURI
	}
	switch {
	case t.aborts:
		wrong(errTooLarge)
		return
	case t.msgID >= mostMessages:
		wrong(errEndless)
		return
	}
	if t.late.commands != nil {
		if work > 0 {
			wrong(errImpatient)
			return
		}
		d.works(out)
		return
	}
	if t.leaving || t.after.then != agent.Nothing { // whatever it says, that was the end
		d.finish(out)
		return
	}
	if work == 0 && m.Final && len(t.uploads) == 0 { // WIN-046
		d.finish(out)
		out.Idle = true
		return
	}
	d.reply(&m, out)
}

// works keeps the session alive while the device is at the server's commands, by a message that says no more than that; then it answers
// them (windows.md section 10, EnableOmaDmKeepAliveMessage).
func (d *Windows) works(out *Act) {
	t := d.winTask
	if t.waits > 0 {
		t.waits--
		d.send([]windows.Command{{
			Verb: windows.Alert, CmdID: 1, Code: windows.ClientEvent, Items: []windows.Item{{Meta: windows.Meta{Type: windows.TypeRequestPends}, Data: "1"}},
		}}, true, out)
		return
	}
	a := t.late
	t.late = answer{}
	d.done(&a, out)
}

// proven tells whether a message's credential is that of the account's server; who answers, TLS has said before.
func (d *Windows) proven(c *windows.Cred) bool {
	own := d.own()
	nonce, err := base64.StdEncoding.DecodeString(own[ownNonce])
	return err == nil && c.Proves(d.provider(), own[ownServer], nonce)
}

// finish ends a session that went well.
func (d *Windows) finish(out *Act) {
	t := d.winTask
	d.winTask = nil
	out.Kind, out.Request = Rest, Request{}
	out.Heard = t.notice
	d.step1(&agent.Event{Kind: agent.Answered}, out)
	if d.Phase() != agent.Enrolled {
		return
	}
	d.failures = 0
	d.scheduled(d.now)
	if t.after.renews {
		d.renewal.due = d.now
	}
}
