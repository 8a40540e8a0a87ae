package conformance

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"rollcall/fleet/target"
	"rollcall/protocol/windows"
)

// Management sessions of a Windows device.

func syncMLHeader() http.Header {
	return http.Header{"Content-Type": {windows.SyncMLContentType}, "User-Agent": {windows.ManagementUserAgent}}
}

// mostMessages is after how many messages a session counts as one that does not end.
const mostMessages = 40

func alert(code windows.Code, kind, data string) windows.Command {
	c := windows.Command{Verb: windows.Alert, Code: code}
	if kind != "" {
		c.Items = []windows.Item{{Meta: windows.Meta{Type: kind}, Data: data}}
	}
	return c
}

// leaving is the alert of a device that leaves.
func leaving() windows.Command {
	return windows.Command{Verb: windows.Alert, Code: windows.GenericAlert, Items: []windows.Item{{Meta: windows.Meta{Type: windows.TypeUnenrollment, Format: windows.FormatInt}, Data: "1"}}}
}

// begin is package 1 of a new session, with more commands behind the usual ones.
func (d *pc) begin(more ...windows.Command) *windows.Message {
	d.session++
	d.msg = 0
	m := &windows.Message{Header: d.head(), Final: true}
	m.Header.MaxMsgSize = d.most
	m.Commands = []windows.Command{
		alert(windows.ClientInitiated, "", ""), alert(windows.ClientEvent, windows.TypeLoginStatus, d.login),
		{Verb: windows.Replace, Items: []windows.Item{
			{Source: "./DevInfo/DevId", Data: d.id},
			{Source: "./DevInfo/Man", Data: "rollcall"},
			{Source: "./DevInfo/Mod", Data: "conform"},
			{Source: "./DevInfo/DmV", Data: "1.3"},
			{Source: "./DevInfo/Lang", Data: "en-US"},
		}},
	}
	m.Commands = append(m.Commands, more...)
	for i := range m.Commands {
		m.Commands[i].CmdID = int32(i + 2)
	}
	return m
}

func (d *pc) head() windows.SyncHdr {
	d.msg++
	return windows.SyncHdr{SessionID: strconv.Itoa(d.session), MsgID: d.msg, Target: d.given.address, Source: d.id}
}

// say sends one message of a session.
func (d *pc) say(m *windows.Message) *Exchange {
	return d.syncML("session "+m.Header.SessionID+", message "+strconv.Itoa(int(m.Header.MsgID)), windows.EncodeMessage(nil, m))
}

func (d *pc) syncML(what string, body []byte) *Exchange {
	return d.do(http.MethodPost, d.given.address, what, syncMLHeader(), body)
}

// heard reads the answer to a message; anything else ends the check.
func (d *pc) heard(x *Exchange) *windows.Message {
	var m windows.Message
	if err := windows.DecodeMessage(x.body, &m); x.Status != http.StatusOK || err != nil {
		d.blame("%s was answered %s, with %d bytes (%v)", x.What, x.answer(), len(x.body), err)
	}
	return &m
}

// more tells whether a message asks for another one.
func more(m *windows.Message) bool {
	return !m.Final || slices.ContainsFunc(m.Commands, func(c windows.Command) bool { return c.Verb != windows.Status })
}

// statusOf is the code of the first Status for a command of this kind; 0: there is none.
func statusOf(m *windows.Message, cmd windows.Verb) windows.Code {
	for i := range m.Commands {
		if c := &m.Commands[i]; c.Verb == windows.Status && c.Cmd == cmd {
			return c.Code
		}
	}
	return 0
}

// sync is a whole session of a device that does all it is told, with more commands in its first message. It returns the answers.
func (d *pc) sync(more ...windows.Command) []*windows.Message { return d.goOn(d.begin(more...)) }

// goOn is sync from m on.
func (d *pc) goOn(m *windows.Message) (answers []*windows.Message) {
	for range mostMessages {
		answer := d.heard(d.say(m))
		answers = append(answers, answer)
		if !more(answer) {
			return answers
		}
		m = d.obey(answer)
	}
	d.blame("a session of %d messages did not end", mostMessages)
	return nil
}

// obey does what an answer says and returns the next message.
func (d *pc) obey(in *windows.Message) *windows.Message {
	out := &windows.Message{Header: d.head(), Final: true}
	id := int32(0)
	say := func(c windows.Command) {
		id++
		c.CmdID, c.MsgRef = id, in.Header.MsgID
		out.Commands = append(out.Commands, c)
	}
	say(windows.Command{Verb: windows.Status, Cmd: windows.SyncHeader, Code: windows.OK})
	var each func(c *windows.Command)
	each = func(c *windows.Command) {
		if c.Verb == windows.Status {
			return
		}
		d.told = append(d.told, *c)
		for i := range max(1, len(c.Items)) {
			var item *windows.Item
			if i < len(c.Items) {
				item = &c.Items[i]
			}
			code, results := d.execute(c, item)
			status := windows.Command{Verb: windows.Status, CmdRef: c.CmdID, Cmd: c.Verb, CmdName: c.Name, Code: code}
			if len(c.Items) > 1 {
				status.TargetRefs = []string{item.Target}
			}
			say(status)
			if results != nil {
				say(*results)
			}
		}
		for i := range c.Commands {
			each(&c.Commands[i])
		}
	}
	for i := range in.Commands {
		each(&in.Commands[i])
	}
	if !in.Final {
		say(windows.Command{Verb: windows.Alert, Code: windows.NextMessage})
	}
	return out
}

// execute does one command to one node.
func (d *pc) execute(c *windows.Command, item *windows.Item) (windows.Code, *windows.Command) {
	if item == nil {
		return windows.OK, nil
	}
	if code, set := d.answers[c.Verb.String()+" "+item.Target]; set {
		return code, nil
	}
	value, there := d.tree[item.Target]
	switch c.Verb {
	case windows.Add, windows.Replace:
		if c.Verb == windows.Add && there && !item.MoreData {
			return windows.AlreadyExists, nil
		}
		const pieces = "what came of a large object"
		if item.MoreData {
			d.tree[pieces] += item.Data
			return windows.ChunkBuffered, nil
		}
		d.tree[item.Target] = d.tree[pieces] + item.Data
		delete(d.tree, pieces)
	case windows.Delete:
		if !d.drop(item.Target) {
			return windows.NotFound, nil
		}
	case windows.Get:
		if !there {
			return windows.NotFound, nil
		}
		return windows.OK, &windows.Command{Verb: windows.Results, CmdRef: c.CmdID, Cmd: windows.Get, Items: []windows.Item{{Source: item.Target, Data: value}}}
	}
	return windows.OK, nil
}

// drop takes a node and what is below it out of the tree; false: there is nothing.
func (d *pc) drop(node string) (there bool) {
	for uri := range d.tree {
		if uri == node || strings.HasPrefix(uri, node+"/") {
			delete(d.tree, uri)
			there = true
		}
	}
	return there
}

// did are the verbs with which the device was told about a node, or what is below it, in order.
func (d *pc) did(node string) (verbs []windows.Verb) {
	for i := range d.told {
		for k := range d.told[i].Items {
			if uri := d.told[i].Items[k].Target; uri == node || strings.HasPrefix(uri, node+"/") {
				verbs = append(verbs, d.told[i].Verb)
			}
		}
	}
	return verbs
}

// Nodes of orders.
const (
	lockNode    = "./Device/Vendor/MSFT/RemoteLock/Lock"
	restartNode = "./Device/Vendor/MSFT/Reboot/RebootNow"
)

// order has the administrator queue a command for the device; the id is empty where the server does not tell it.
func (d *pc) order(kind target.OrderKind) string { return d.a.orderFor(d.id, kind) }

// profile has the device get a document, or the lack of one.
func (d *pc) profile(document string) error {
	d.a.needs(d.a.Steps.Profile != nil, "assign a profile")
	ctx, cancel := d.a.administrator()
	defer cancel()
	var raw []byte
	if document != "" {
		raw = []byte(document)
	}
	return d.a.Steps.Profile(ctx, d.id, "conform-"+d.id, raw)
}

// assigned is profile, which has to work.
func (d *pc) assigned(document string) {
	if err := d.profile(document); err != nil {
		d.a.unasked("no profile could be assigned: %v", err)
	}
}

// settings is a document that sets nodes of a format, each by one command.
func settings(format string, commands ...string) string {
	text := `<SyncBody xmlns="SYNCML:SYNCML1.2">`
	for _, c := range commands {
		verb, rest, _ := strings.Cut(c, " ")
		node, value, _ := strings.Cut(rest, "=")
		text += "<" + verb + "><CmdID>1</CmdID><Item><Target><LocURI>" + node + `</LocURI></Target><Meta><Format xmlns="syncml:metinf">` + format + `</Format></Meta><Data>` + value + "</Data></Item></" + verb + ">"
	}
	return text + "</SyncBody>"
}

// known tells how the device stands.
func (d *pc) known() target.Standing { return d.a.standingOf(d.id) }

// outcome is what the server says became of a command; empty: it does not say.
func (d *pc) outcome(id string) string { return d.a.outcomeOf(d.id, id) }

// steady wants the device to be managed as before.
func (d *pc) steady(after string) {
	if x := d.say(d.begin()); x.Status != http.StatusOK {
		d.a.fail("%s a device in good standing is answered %s", after, x.answer())
	}
}

// shut wants the identity that d has to be worth nothing.
func (d *pc) shut(after string) {
	d.as(d.identity) // a new connection
	if x := d.say(d.begin()); x.Status/100 == 2 || x.timedOut() {
		d.a.fail("after %s its certificate is answered %s", after, x.answer())
	}
}
