package dialect

import (
	"fmt"
	"slices"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// reply carries out a message's commands and answers them: Status for each, in order, then Results (WIN-047).
func (d *Windows) reply(m *windows.Message, out *Act) {
	t := d.winTask
	r, before := reply{msgRef: m.Header.MsgID}, d.tree
	head := windows.Command{Verb: windows.Status, MsgRef: r.msgRef, Cmd: windows.SyncHeader, Code: windows.OK}
	if m.Header.Cred != nil {
		head.Code = windows.AuthenticationTaken
	}
	r.commands = append(r.commands, head)
	for i := range m.Commands {
		if c := &m.Commands[i]; c.Verb != windows.Status {
			d.perform(c, &r)
		}
	}
	for _, node := range t.accounts {
		r.touch(node, touch{family: protocol.Email})
	}
	t.accounts = nil
	if pfn := d.node("Push/PFN"); before.value(pfn) != d.tree.value(pfn) { // the channel was of that one
		d.channel, d.pushCode = "", PushReady
	}
	d.listen(&r, out)
	d.place(&r, before)
	for node, x := range r.touched {
		there := d.settle(node, x.family)
		d.note(Order{Command: ProfileOrder, Profile: locURI(node), Gone: !there, Status: protocol.Acknowledged})
	}
	orders := t.orders
	t.orders = nil
	slow := d.habits.Slow > 0 && len(r.commands) > 1
	if slow && !isTrue(d.tree.value(d.node("EnableOmaDmKeepAliveMessage"))) {
		d.fail(&Failure{Step: Session, Err: errSlow}, false, out)
		return
	}
	if t.after.unenrols { // no Status: all sessions end, and another one says good-bye (WIN-054)
		d.winTask = &winTask{leaving: true}
		d.step1(&agent.Event{Kind: agent.Unenrol, CheckOut: true}, out)
		d.begin(Synced, out)
		out.Request.Orders = orders
		return
	}
	if t.after.then != agent.Nothing {
		d.step1(&agent.Event{Kind: agent.Answered, Reply: protocol.Reply{Kind: protocol.Work}}, out)
		d.step1(&agent.Event{Kind: agent.Executed, Status: protocol.Acknowledged, Then: t.after.then}, out)
	}
	commands := r.commands
	if r.lost {
		commands = append(commands, windows.Command{Verb: windows.Alert, Code: windows.NoEndOfData})
	}
	if r.more || !m.Final {
		commands = append(commands, windows.Command{Verb: windows.Alert, Code: windows.NextMessage})
	}
	for i := range r.results {
		t.uploads = append(t.uploads, upload{result: r.results[i]})
	}
	most, aborts := d.takes(m)
	if aborts {
		for _, u := range t.uploads {
			commands = append(commands, u.result)
		}
		t.uploads = nil
	} else {
		commands = t.upload(commands, most)
	}
	for i := range commands {
		commands[i].CmdID = int32(i) + 1
	}
	a := answer{commands, orders}
	if slow && !aborts {
		t.late, t.waits = a, d.habits.Slow
		d.works(out)
		return
	}
	d.done(&a, out)
	if aborts && len(out.Request.Body) > most {
		t.aborts = true
		t.msgID--
		d.send([]windows.Command{commands[0], {Verb: windows.Alert, CmdID: 2, Code: windows.SessionAbort}}, true, out)
	}
}

// done sends what the device says of a message's commands.
func (d *Windows) done(a *answer, out *Act) {
	d.send(a.commands, len(d.uploads) == 0, out)
	out.Request.Orders = a.orders
	for i := range a.commands {
		if c := &a.commands[i]; c.Verb == windows.Status && c.Cmd != windows.SyncHeader {
			out.Request.Answered++
			if c.Code >= windows.BadRequest {
				out.Request.Refused++
			}
		}
	}
}

// ProfileOrder is the command of an [Order] that put a profile on the device, changed it or took it off.
const ProfileOrder = "profile"

// note keeps what the server asked for, until it hears of it.
func (d *Windows) note(o Order) { d.orders = append(d.orders, o) }

// orderID names a command in an enrolment, as SyncML has nothing that does: session, the server's message in it, and CmdID there. To those
// who try a server their own orders have no such names.
func (d *Windows) orderID(r *reply, c *windows.Command) string {
	if d.habits.Seal == "" {
		return ""
	}
	return fmt.Sprintf("%s/%d/%d", d.winTask.session, r.msgRef, c.CmdID)
}

// tell notes what only those want to know who try a server: a machine's owner does not hear that something was read, or that a setting
// was not taken.
func (d *Windows) tell(o Order) {
	if d.habits.Seal == "" {
		d.note(o)
	}
}

// listen reads what the server may have said of a change of authority (windows.md section 11, AUTH-27). What the same message says again
// is of the authority in force: where its old namesake leaves at once, it stays (AUTH-26).
func (d *Windows) listen(r *reply, out *Act) {
	text := d.tree.value(pathConfig + windows.EscapeNode(d.provider()) + "/ConfigInfo")
	if text == "" {
		return
	}
	if _, n, err := windows.ReadNotice(text); err == nil && d.core.News(n) {
		var actions agent.Actions
		d.notice = n
		d.core.Hear(d.now, n, &actions)
		actions.List = slices.DeleteFunc(actions.List, func(a agent.Action) bool {
			again := a.Kind == agent.Drop && r.says(a.Profile.Name)
			if again {
				out.Dropped++
			}
			return again
		})
		d.obey(&actions, out)
	}
}
