package device

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server/csp"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// compose writes the answer to t's message into t.answer and appends the exchange record to dst: nil, when a repeat may be decided
// afresh, or when some commands turn out to need no message and the round has to go on (t.settled).
func (h *Handler) compose(dst []byte, t *turn, p *peer, out *delivery.Outcome) []byte {
	t.composed = true
	head := t.head(h)
	m := windows.Message{Header: head, Final: true}
	id := int32(0)
	next := func() int32 { id++; return id }
	t.statuses(&m, next)
	if t.talk.Lost {
		m.Commands = append(m.Commands, windows.Command{Verb: windows.Alert, CmdID: next(), Code: windows.NoEndOfData})
	}
	said := t.msg.Final || t.talk.Next // all of its package
	if t.talk.Works || t.talk.Aborted || t.talk.Stopped && said || t.msg.Header.MsgID == mostMessages {
		return t.finish(dst, &m, out, true) // Status alone, and no command (windows.md sections 6.1 and 10)
	}
	if t.talk.Object != nil || !said {
		m.Commands = append(m.Commands, windows.Command{Verb: windows.Alert, CmdID: next(), Code: windows.NextMessage})
		return t.finish(dst, &m, out, true)
	}
	questions := h.questions(t, out)
	t.talk.Own = nil
	for i := range questions {
		questions[i].CmdID = next()
		m.Commands = append(m.Commands, questions[i])
		if t.talk.Own == nil {
			t.talk.Own = &flight{Msg: head.MsgID}
		}
		t.talk.Own.Parts = append(t.talk.Own.Parts, part{
			Cmd: questions[i].CmdID, Verb: questions[i].Verb, Flip: t.retells, Asks: questions[i].Items[0].Target == csp.NodeConfigInfo,
		})
	}
	if out.Reply.Kind == protocol.Work {
		work := h.work(t, out)
		if len(t.settled) > 0 {
			return nil
		}
		box := t.room(&m, work)
		box.next = next
		for i := range work {
			t.pack(box, &work[i])
		}
		m.Commands = append(m.Commands, box.out...)
		m.Final = !box.chunk
	}
	return t.finish(dst, &m, out, int(id) > t.answered)
}

// finish encodes the answer and keeps it where the session goes on or something was decided.
func (t *turn) finish(dst []byte, m *windows.Message, out *delivery.Outcome, goesOn bool) []byte {
	t.answer = windows.EncodeMessage(t.answer[:0], m)
	if !goesOn && out.Steady() {
		return nil
	}
	return t.talk.keep(dst, t.answer)
}

// statuses answers each command of the device's message, in its order (WIN-033), unless it wants none: of that, only the head is answered.
func (t *turn) statuses(m *windows.Message, next func() int32) {
	answer := func(c windows.Command) {
		c.Verb, c.CmdID, c.MsgRef = windows.Status, next(), t.msg.Header.MsgID
		m.Commands = append(m.Commands, c)
		t.answered++
	}
	t.answered = 0
	code := windows.OK
	if t.msg.Header.Cred != nil {
		code = windows.AuthenticationTaken
	}
	answer(windows.Command{Cmd: windows.SyncHeader, Code: code})
	var each func(commands []windows.Command, code func(*windows.Command) windows.Code)
	each = func(commands []windows.Command, code func(*windows.Command) windows.Code) {
		for i := range commands {
			c := &commands[i]
			if c.Verb == windows.Status {
				continue
			}
			s := windows.Command{CmdRef: c.CmdID, Cmd: c.Verb, CmdName: c.Name, Code: code(c)}
			if c.CmdID == 0 {
				s.CmdRef, s.Code = windows.NoRef, windows.BadRequest
			}
			if !c.NoResp && !t.msg.Header.NoResp {
				answer(s)
			}
			each(c.Commands, func(child *windows.Command) windows.Code {
				if child.Verb == windows.Atomic || child.Verb == windows.Sequence {
					return windows.CommandFailed
				}
				return windows.NotExecuted
			})
		}
	}
	each(t.msg.Commands, statusOf)
}

// statusOf is the answer to a command of the device's: the server has no nodes of its own.
func statusOf(c *windows.Command) windows.Code {
	switch c.Verb {
	case windows.Results:
		return cmp.Or(c.Code, windows.OK) // of a chunk
	case windows.Alert:
		return windows.OK
	case windows.Replace: // what it says of itself
		for i := range c.Items {
			if item := &c.Items[i]; item.Target != "" || !strings.HasPrefix(item.Source, "./DevInfo/") {
				return windows.NotAllowed
			}
		}
		return windows.OK
	case windows.Unknown:
		return windows.BadRequest
	case windows.Atomic:
		for i := range c.Commands {
			if c.Commands[i].Verb == windows.Atomic {
				return windows.AtomicFailed
			}
		}
	}
	return windows.OptionalNotSupported
}

// questions are what the endpoint asks and says by itself in the first answer of a session, and of a change of authority as soon as there
// is one.
func (h *Handler) questions(t *turn, out *delivery.Outcome) (list []windows.Command) {
	world := h.cfg.Server.World()
	n := &out.Reply.Notice
	switch {
	case t.retells && n.Epoch != 0:
		t.talk.Told = n.Epoch
		again := csp.Notice(ProviderID, world.Tenant.Authority, n)
		again.Verb = windows.Add
		return []windows.Command{again}
	case !t.starts && t.tells:
		t.talk.Told = n.Epoch
		return []windows.Command{csp.Notice(ProviderID, world.Tenant.Authority, n)}
	case !t.starts:
		return nil
	}
	get := func(uri string) {
		list = append(list, windows.Command{Verb: windows.Get, Items: []windows.Item{{Target: uri}}})
	}
	if t.asks && h.cfg.Windows.PFN != "" {
		get(csp.NodeChannel(ProviderID))
		get(csp.NodePushStatus(ProviderID))
	}
	if t.talk.Inquired {
		get(csp.NodeConfigInfo)
	}
	if n.Epoch != 0 && (t.tells || out.Reply.Kind == protocol.Work) {
		t.talk.Told = n.Epoch
		list = append(list, csp.Notice(ProviderID, world.Tenant.Authority, n))
	}
	return list
}

// room is what is left in a message for the work to be done.
func (t *turn) room(m *windows.Message, work []job) *box {
	b := &box{left: int(cmp.Or(t.talk.Most, windows.DefaultMaxMsgSize)), msg: m.Header.MsgID}
	most := roomHead + len(m.Commands)*roomCommand // by far
	for i := range work {
		most += roomOf(work[i].commands)
	}
	if most <= b.left {
		b.ample = true
		return b
	}
	b.left -= len(windows.EncodeMessage(nil, m))
	return b
}

// More bytes than a message's head takes, and a command beside its data and its node.
const (
	roomHead    = 4 << 10
	roomCommand = 512
)

func roomOf(commands []windows.Command) (n int) {
	for i := range commands {
		c := &commands[i]
		n += roomCommand + roomOf(c.Commands)
		for k := range c.Items {
			n += escapedMost * (len(c.Items[k].Data) + len(c.Items[k].Target))
		}
	}
	return n
}

// A box is the room that is left in a message, and what is in it.
type box struct {
	left  int  // bytes
	ample bool // there is room for everything
	next  func() int32
	msg   uint32
	out   []windows.Command
	chunk bool // the message ends inside a large object
}

// leastChunk is less than what a chunk is worth sending for.
const leastChunk = 256

// A job is a command of the server's as it is on the wire.
type job struct {
	id       protocol.CommandID
	kind     protocol.CommandKind
	commands []windows.Command
	pending  bool // they were done in a session before, and what came of them is still to be seen
}

// work says the commands of out on the wire. Those that need no message are settled.
func (h *Handler) work(t *turn, out *delivery.Outcome) (jobs []job) {
	one := func(c *protocol.Command) {
		commands, err := h.commandsOf(&out.State, c)
		switch {
		case err != nil:
			t.settled = append(t.settled, delivery.CommandReport{Command: c.ID, Status: protocol.Failed, Final: true, Errors: err.Error()})
		case len(commands) == 0:
			t.settled = append(t.settled, delivery.CommandReport{Command: c.ID, Status: protocol.Acknowledged})
		case slices.ContainsFunc(commands, t.unsendable):
			t.settled = append(t.settled, delivery.CommandReport{Command: c.ID, Status: protocol.Failed, Final: true, Errors: "it is too large for the device's messages, and cannot be cut"})
		default:
			jobs = append(jobs, job{c.ID, c.Kind, commands, strings.HasPrefix(c.Text, delivery.Pending)})
			t.talk.Ends = t.talk.Ends || ends(c.Kind)
			t.left = append(t.left, c.ID)
		}
	}
	t.left = t.left[:0]
	one(&out.Reply.Command)
	for i := range out.Reply.More {
		one(&out.Reply.More[i])
	}
	return jobs
}

// unsendable tells whether a command goes out as a whole or not at all, and is larger than the device takes.
func (t *turn) unsendable(c windows.Command) bool {
	most := int(cmp.Or(t.talk.Most, windows.DefaultMaxMsgSize)) - roomHead
	return c.Verb == windows.Atomic && roomOf(c.Commands) > most && c.EncodedSize() > most
}

// errNoOrder is that Windows has nothing of the kind.
var errNoOrder = errors.New("Windows has no such command")

// commandsOf returns what a command is on the wire to the device in state s.
func (h *Handler) commandsOf(s *delivery.State, c *protocol.Command) ([]windows.Command, error) {
	w := h.cfg.Server.World()
	switch c.Kind {
	case protocol.InstallProfile:
		p, err := h.compiled(w, c.Profile)
		if err != nil {
			return nil, err
		}
		return p.Install(h.before(w, s, c.Profile)), nil
	case protocol.RemoveProfile:
		p, err := h.compiled(w, c.Profile)
		if err != nil {
			return nil, nil // it never was on the device
		}
		return p.Remove(h.before(w, s, c.Profile)), nil
	}
	if commands := csp.Order(c.Kind, ProviderID); len(commands) > 0 {
		return commands, nil
	}
	return nil, errNoOrder
}

// compiled is a profile in Windows' words. A number is one document for ever, so each is read once.
func (h *Handler) compiled(w *delivery.World, p protocol.Profile) (*csp.Profile, error) {
	if p == 0 || int(p) >= len(w.Profiles) {
		return nil, store.ErrNotFound
	}
	if known, ok := h.profiles.Load(p); ok {
		return known.(*csp.Profile), nil
	}
	read, err := csp.Read(w.Profiles[p].Payload)
	if err == nil {
		h.profiles.Store(p, read)
	}
	return read, err
}

// before is what the profiles of the device in state s have set on it before a command about p: that is about all with its identifier
// (WIN-070).
func (h *Handler) before(w *delivery.World, s *delivery.State, p protocol.Profile) (b csp.Before) {
	b.Kept = []*csp.Profile{h.trusts} // whichever profile brings the server's own authority too
	owner := w.OwnerOf(s)
	for i := range s.Profiles {
		n, state := s.Profiles[i].Profile, s.Profiles[i].State
		if n == p {
			b.Partial = state.Partial()
		}
		if n == p || int(n) >= len(w.Profiles) {
			continue
		}
		one, err := h.compiled(w, n)
		same := w.Profiles[n].Identifier == w.Profiles[p].Identifier
		switch {
		case err != nil:
		case same && state == delivery.Installed && b.Old == nil:
			b.Old, b.Others = one, w.Profiles[n].Authority != w.Profiles[p].Authority
		case same: // it is there in part, or may be
			b.Tried = append(b.Tried, one)
		case state.Leaves() || state == delivery.RemoveFailed || state == delivery.ClearFailed:
		case w.Old(n, owner) && !w.Old(p, owner):
			b.Past = append(b.Past, one)
		default:
			b.Kept = append(b.Kept, one)
		}
	}
	return b
}

// pack puts what is to be sent of a command into the box, as far as there is room.
func (t *turn) pack(b *box, j *job) {
	commands := j.commands
	f := t.talk.flight(j.id)
	if f == nil {
		t.talk.Flights = append(t.talk.Flights, flight{ID: j.id, Kind: j.kind})
		f = &t.talk.Flights[len(t.talk.Flights)-1]
	}
	if len(f.Parts) != count(commands) { // it is new, or the device's profiles are not what they were
		f.Parts, f.Checks = partsOf(commands, slices.Contains(t.given, j.id)), nil
		for i := range f.Parts {
			if j.pending {
				f.Parts[i].Code = windows.OK
			}
		}
	}
	at := 0
	for i := range commands {
		size := 1 + len(commands[i].Commands)
		if b.chunk || !b.add(f, f.Parts[at:at+size], &commands[i]) {
			return
		}
		at += size
	}
	if !b.chunk {
		b.ask(f, commands)
	}
}

// add puts one command with its parts into the box. False: there is no room.
func (b *box) add(f *flight, parts []part, c *windows.Command) bool {
	head := &parts[0]
	if head.Code != 0 || head.Cmd != 0 && head.Off == 0 {
		return true // it is answered, or on its way
	}
	one := *c
	one.Verb, one.CmdID = head.Verb, 1<<30 // as long as any
	one.Commands = nil
	var inside []*part
	for i := range c.Commands {
		if p := &parts[1+i]; p.Code == 0 { // else it is there already
			child := c.Commands[i]
			child.Verb, child.CmdID = p.Verb, 1<<30
			one.Commands, inside = append(one.Commands, child), append(inside, p)
		}
	}
	size := 0
	if !b.ample {
		size = one.EncodedSize()
	}
	switch {
	case size <= b.left && head.Off == 0:
	case len(one.Commands) == 0 && (head.Off > 0 || len(b.out) == 0) && len(one.Items) == 1 && one.Items[0].Data != "":
		return b.cut(f, head, &one)
	case len(b.out) > 0:
		return false
	}
	one.CmdID = b.next()
	head.Cmd = one.CmdID
	for i := range one.Commands {
		one.Commands[i].CmdID = b.next()
		inside[i].Cmd = one.Commands[i].CmdID
	}
	f.Msg = b.msg
	b.out = append(b.out, one)
	b.left -= size
	return true
}

// cut sends the next chunk of a large object (WIN-035).
func (b *box) cut(f *flight, p *part, c *windows.Command) bool {
	data := c.Items[0].Data
	item := c.Items[0]
	item.Data, item.Meta.Size, item.MoreData = "", 0, true
	if p.Off == 0 {
		item.Meta.Size = uint32(len(data))
	}
	c.Items = []windows.Item{item}
	room := b.left - c.EncodedSize() - leastChunk
	if room < leastChunk && len(b.out) > 0 {
		return false
	}
	n := windows.Fit(data[p.Off:], max(room, leastChunk))
	c.Items[0].Data, c.CmdID = data[p.Off:p.Off+n], b.next()
	p.Cmd, p.Off = c.CmdID, p.Off+n
	if p.Off == len(data) {
		c.Items[0].MoreData, p.Off = false, 0
	} else {
		b.chunk = true
	}
	f.Msg = b.msg
	b.left -= c.EncodedSize()
	b.out = append(b.out, *c)
	return true
}

// escapedMost is more bytes than any one character takes on the wire.
const escapedMost = 6

// flight returns the command under way with this id; nil: it is new.
func (s *session) flight(id protocol.CommandID) *flight {
	for i := range s.Flights {
		if s.Flights[i].ID == id {
			return &s.Flights[i]
		}
	}
	return nil
}

func count(commands []windows.Command) (n int) {
	for i := range commands {
		n += 1 + len(commands[i].Commands)
	}
	return n
}

// partsOf are the parts of commands that were not sent yet, or whose answer of a session before is not known: again.
func partsOf(commands []windows.Command, again bool) []part {
	parts := make([]part, 0, count(commands))
	add := func(c *windows.Command, in int) {
		p := part{Verb: c.Verb, In: in}
		if again && c.Verb == windows.Add && len(c.Items) > 0 && csp.AddsOnce(c.Items[0].Target) {
			p.Verb = windows.Replace
		}
		p.User = len(c.Items) > 0 && strings.HasPrefix(c.Items[0].Target, "./User/")
		p.Node = c.Verb == windows.Add && len(c.Items) > 0 && c.Items[0].Meta.Format == windows.FormatNode
		p.Check, _ = checkOf(c)
		parts = append(parts, p)
	}
	for i := range commands {
		c := &commands[i]
		add(c, 0)
		at := len(parts)
		for k := range c.Commands {
			add(&c.Commands[k], at)
		}
	}
	return parts
}
