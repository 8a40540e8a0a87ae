package device

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/csp"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// document is SyncML as an administrator uploads it.
func document(commands string) []byte {
	return []byte(`<SyncBody xmlns="SYNCML:SYNCML1.2">` + commands + `</SyncBody>`)
}

// set is one command of a document that sets a node.
func set(verb, uri, format, data string) string {
	return "<" + verb + "><CmdID>1</CmdID><Item><Target><LocURI>" + uri + `</LocURI></Target><Meta><Format xmlns="syncml:metinf">` + format +
		"</Format></Meta><Data>" + data + "</Data></Item></" + verb + ">"
}

const msft = "./Device/Vendor/MSFT/"

// codes are the statuses of an answer, as text.
func codes(m *windows.Message) string {
	var b strings.Builder
	for i := range m.Commands {
		if c := &m.Commands[i]; c.Verb == windows.Status {
			name := c.Cmd.String()
			if c.Cmd == windows.Unknown {
				name = c.CmdName
			}
			fmt.Fprintf(&b, "%s/%d=%d ", name, c.CmdRef, c.Code)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestWIN030OtherDevice(t *testing.T) {
	l := newWindowsLab(t)
	p, victim := l.pc(pcID(1)).enrol(), l.pc(pcID(2)).enrol()
	order := l.order(victim.id, protocol.DeviceInformation)
	before := victim.state()
	for _, tt := range []struct {
		name string
		evil func(m *windows.Message)
	}{
		{"Source", func(m *windows.Message) { m.Header.Source = victim.id }},
		{"Source of nobody", func(m *windows.Message) { m.Header.Source = "nobody" }},
		{"DevId", func(m *windows.Message) { m.Commands[len(m.Commands)-1].Items[0].Data = victim.id }},
		{"farewell", func(m *windows.Message) {
			m.Header.Source = victim.id
			m.Commands = append(m.Commands, leaving)
		}},
	} {
		t.Run("HST-033 "+tt.name, func(t *testing.T) {
			own := p.state()
			m := p.begin()
			tt.evil(m)
			in := p.must(m)
			if codes(in) != "SyncHdr/0=401" || !in.Final || bytes.Contains(windows.EncodeMessage(nil, in), []byte(order.String())) {
				t.Errorf("answered %s", codes(in))
			}
			if after := victim.state(); after.Life != before.Life || after.LastSeen != before.LastSeen || len(after.Queue) != len(before.Queue) {
				t.Errorf("the other device changed: %+v", after)
			}
			if after := p.state(); after.LastSeen != own.LastSeen || after.Seq != own.Seq {
				t.Errorf("the device changed: %+v", after)
			}
		})
	}
	lines, err := l.store.Journal(context.Background(), store.LineFilter{}, 1000)
	l.must(err)
	if !slices.ContainsFunc(lines, func(x store.Line) bool { return x.What == delivery.WhatWrongIdentity && x.Device == before.Device }) || !l.logged("HST-033") {
		t.Error("no security event")
	}
	if victim.sync(); len(victim.state().Queue) != 0 {
		t.Error("the device itself does not get its command")
	}
}

func TestWIN031Query(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	for _, query := range []string{"", "?mode=Machine&Platform=WoA", "?MODE=machine", "?x=1;y=2"} {
		m := p.begin()
		m.Header.Target = "https://" + testHost + windows.ManagementPath // as devices were seen to
		a, err := p.do(http.MethodPost, windows.ManagementPath+query, http.Header{"Content-Type": {windows.SyncMLContentType}}, windows.EncodeMessage(nil, m))
		if err != nil || a.status != http.StatusOK || a.header.Get("Content-Type") != windows.SyncMLContentType {
			t.Errorf("%q answered %d (%v)", query, a.status, err)
		}
	}
}

func TestWIN032Idle(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.setClock(l.now().Add(time.Hour))
	in := p.must(p.begin())
	if p.more(in) || in.Header.Target != p.id || in.Header.SessionID != "2" || in.Header.MsgID != 1 || in.Header.MaxMsgSize != 0 {
		t.Errorf("answered %+v", in)
	}
	t.Run("WIN-033", func(t *testing.T) {
		if got := codes(in); got != "SyncHdr/0=200 Alert/2=200 Alert/3=200 Replace/4=200" {
			t.Error(got)
		}
	})
	if p.state().LastSeen != l.pnow() {
		t.Error("it was not seen")
	}
}

func TestHST017Statuses(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.order(p.id, protocol.Restart)
	first := p.begin(
		windows.Command{Verb: windows.Unknown, Name: "Copy"}, windows.Command{Verb: windows.Get, Items: []windows.Item{{Target: "./DevInfo/Mod"}}},
		windows.Command{Verb: windows.Atomic, Commands: []windows.Command{
			{Verb: windows.Atomic, CmdID: 50, Commands: []windows.Command{{Verb: windows.Delete, CmdID: 51}}}, {Verb: windows.Exec, CmdID: 52},
		}},
		windows.Command{Verb: windows.Replace, Items: []windows.Item{{Target: "./Device/Vendor/MSFT/Policy", Data: "x"}}},
		windows.Command{Verb: windows.Status, MsgRef: 77, CmdRef: 77, Cmd: windows.Get, Code: windows.OK},
	)
	first.Commands = append(first.Commands, windows.Command{Verb: windows.Alert, Code: windows.GenericAlert, Items: []windows.Item{{Data: "odd"}}}) // without CmdID
	in := p.must(first)
	const want = "SyncHdr/0=200 Alert/2=200 Alert/3=200 Copy/4=400 Get/5=406 Atomic/6=507 Atomic/50=500 Delete/51=215 Exec/52=215 Replace/7=405 Replace/9=200 Alert/-1=400"
	if got := codes(in); got != want {
		t.Errorf("statuses\n%s, want\n%s", got, want)
	}
	// Of commands that were never given, and twice of one that was; the session goes on.
	out := p.obey(in)
	exec := out.Commands[1]
	out.Commands = append(out.Commands,
		windows.Command{Verb: windows.Status, CmdID: 90, MsgRef: 1, CmdRef: 1 << 30, Cmd: windows.Exec, Code: windows.OK},
		windows.Command{Verb: windows.Status, CmdID: 91, MsgRef: 4_000_000_000, CmdRef: exec.CmdRef, Cmd: windows.Exec, Code: windows.OK},
		windows.Command{Verb: windows.Status, CmdID: 92, MsgRef: 1, CmdRef: exec.CmdRef, Cmd: windows.Exec, Code: windows.CommandFailed},
		windows.Command{Verb: windows.Results, CmdID: 93, MsgRef: 1, CmdRef: 12345, Items: []windows.Item{{Source: "./x", Data: "y"}}},
	)
	if in = p.must(out); p.more(in) {
		t.Errorf("answered %+v", in)
	}
	if s := p.state(); s.Reports.Acknowledged != 3 || s.Reports.Failed != 0 || len(s.Queue) != 0 {
		t.Errorf("reports %+v, queue %+v", s.Reports, s.Queue)
	}
	// Without Final the device has not said all: nothing is given yet.
	l.order(p.id, protocol.Restart)
	m := p.begin()
	m.Final = false
	in = p.must(m)
	if last := in.Commands[len(in.Commands)-1]; last.Verb != windows.Alert || last.Code != windows.NextMessage || !in.Final {
		t.Errorf("a message without Final is answered %+v", last)
	}
	if in = p.must(p.obey(&windows.Message{Header: in.Header})); !p.more(in) {
		t.Error("the command does not come when all is said")
	}
}

func TestWIN034Repeats(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.order(p.id, protocol.Restart)
	one := windows.EncodeMessage(nil, p.begin())
	first, in := p.sendRaw(one)
	if again, _ := p.sendRaw(one); !bytes.Equal(first.body, again.body) {
		t.Error("package 1 again got another answer")
	}
	three := windows.EncodeMessage(nil, p.obey(in))
	second, _ := p.sendRaw(three)
	reports, lines := p.state().Reports, l.lines()
	for range 3 {
		if again, _ := p.sendRaw(three); !bytes.Equal(second.body, again.body) {
			t.Error("package 3 again got another answer")
		}
	}
	if again, _ := p.sendRaw(one); !bytes.Equal(first.body, again.body) { // a lower MsgID (HST-054)
		t.Error("package 1 after package 3 got another answer")
	}
	if s := p.state(); s.Reports != reports || len(s.Queue) != 0 || l.lines() != lines {
		t.Errorf("repeats changed something: %+v", s.Reports)
	}
	// The numbers of another session are no repeat, and after enrolling again the same numbers are none either.
	l.order(p.id, protocol.Restart)
	old := windows.EncodeMessage(nil, p.begin())
	if a, _ := p.sendRaw(old); !bytes.Contains(a.body, []byte("RebootNow")) {
		t.Errorf("a new session is taken for a repeat: %s", a.body)
	}
	p.session, p.key = 100, newKey()
	p.enrol()
	l.order(p.id, protocol.DeviceInformation)
	if a, _ := p.sendRaw(old); !bytes.Contains(a.body, []byte(csp.NodeSerial)) || bytes.Contains(a.body, []byte("RebootNow")) {
		t.Errorf("after enrolling again a message of the enrolment before is answered %s", a.body)
	}
}

func (l *lab) lines() uint64 {
	l.t.Helper()
	n, err := l.store.JournalEnd(context.Background())
	l.must(err)
	return n
}

func TestHST054Crash(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.order(p.id, protocol.Restart)
	in := p.must(p.begin())
	// Another process takes over between two messages: what it needs is in the store.
	var err error
	l.core, err = server.Open(context.Background(), l.pnow(), server.Config{Store: l.store})
	l.must(err)
	l.h.cfg.Server, l.h.cfg.Handle = l.core, l.core.Handle
	if in = p.must(p.obey(in)); p.more(in) {
		t.Error("the command is given twice")
	}
	if s := p.state(); len(s.Queue) != 0 {
		t.Errorf("the report was not understood: %+v", s.Queue)
	}
}

// TestHST054Astray: a message of a session that never was, or addressed to another server, has nothing done or given twice, however often
// it comes and whoever serves it.
func TestHST054Astray(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.order(p.id, protocol.Restart)
	in := p.must(p.begin())
	answer := p.obey(in)
	astray := *answer
	astray.Header.SessionID = "4711"
	for range 2 {
		if in := p.must(&astray); strings.Contains(string(windows.EncodeMessage(nil, in)), "RebootNow") {
			t.Error("what was given in another session is given again")
		}
		if s := p.state(); len(s.Queue) != 1 || s.Reports.Acknowledged != 2 {
			t.Errorf("a Status for another session's command counts: %+v", s)
		}
	}
	answer.Header.Target = "https://other.example/ManagementServer/MDM.svc"
	for range 2 {
		p.must(answer)
		if s := p.state(); len(s.Queue) != 0 || s.Reports.Acknowledged != 3 || s.Reports.Failed != 0 {
			t.Errorf("addressed to another server: %+v", s)
		}
	}
}

func TestWIN035Large(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	const most = 8 << 10
	large := "<WLANProfile><name>" + strings.Repeat("ä&", 20<<10) + "</name></WLANProfile>"
	escaped := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(strings.ReplaceAll(large, "&", "&amp;"))
	l.profile("large", "windows.large", protocol.WiFi, document(set("Replace", msft+"WiFi/Profile/large/WlanXml", "chr", escaped)))
	for i := range 60 { // together more than one message holds
		l.profile(fmt.Sprint("p", i), fmt.Sprint("windows.p", i), protocol.Configuration,
			document(set("Replace", fmt.Sprintf("%sPolicy/Config/A/P%d", msft, i), "chr", strings.Repeat("x", 500))))
	}
	m := p.begin()
	m.Header.MaxMsgSize = most
	a, in := p.sends(m)
	messages := 1
	for p.more(in) {
		if len(a.body) > most || in.Header.MaxMsgSize != 0 {
			t.Fatalf("a message of %d bytes, at most %d", len(a.body), most)
		}
		if messages++; messages > 60 {
			t.Fatal("it does not end")
		}
		out := p.obey(in)
		if last := &in.Commands[len(in.Commands)-1]; in.Final == (last.Items != nil && last.Items[0].MoreData) {
			t.Fatalf("Final is %v, and its last item goes on: %v", in.Final, !in.Final)
		}
		if !in.Final {
			out.Commands = append(out.Commands, windows.Command{Verb: windows.Alert, CmdID: 99, Code: windows.NextMessage})
			out.Final = messages%2 == 0 // devices differ
		}
		a, in = p.sends(out)
	}
	if got := p.tree[msft+"WiFi/Profile/large/WlanXml"]; got != strings.ReplaceAll(large, "&", "&amp;") {
		t.Errorf("the large object arrived as %d bytes, want %d", len(got), len(large))
	}
	if s := p.state(); len(s.Queue) != 0 || len(s.Profiles) != 61 {
		t.Errorf("%d commands wait, %d profiles", len(s.Queue), len(s.Profiles))
	}
	if c := l.core.World().Compliance(l.pnow(), new(p.state())); !c.Device {
		t.Error("it does not comply")
	}
}

// A result that comes in chunks is one result (windows.md section 6): each piece is buffered and asked for the next, what is wrong with
// its size is refused, and the order is through only with the last.
func TestWIN035Uploads(t *testing.T) {
	big := strings.Repeat("0123456789", 40)
	piece := func(m *windows.Message, source, data string, size uint32, more bool) *windows.Message {
		m.Commands = append(m.Commands, windows.Command{Verb: windows.Results, CmdID: 90, Cmd: windows.Get, Items: []windows.Item{
			{Source: source, Meta: windows.Meta{Size: size}, Data: data, MoreData: more},
		}})
		return m
	}
	for _, tt := range []struct {
		name  string
		parts []windows.Item // by Data, Meta.Size and MoreData
		codes string         // of each
		kept  bool
	}{
		{"three", []windows.Item{{Data: big[:100], Meta: windows.Meta{Size: 400}, MoreData: true}, {Data: big[100:150], MoreData: true}, {Data: big[150:]}}, "213 213 200", true},
		{"each in a package of its own", []windows.Item{{Data: big[:100], Meta: windows.Meta{Size: 400}, MoreData: true}, {Data: big[100:]}}, "213 200", true},
		{"too little", []windows.Item{{Data: big[:100], Meta: windows.Meta{Size: 400}, MoreData: true}, {Data: big[100:150]}}, "213 424", false},
		{"too much", []windows.Item{{Data: big[:100], Meta: windows.Meta{Size: 120}, MoreData: true}, {Data: big[100:150], MoreData: true}}, "213 424", false},
		{"no size", []windows.Item{{Data: big[:100], MoreData: true}}, "411", false},
		{"in crumbs", []windows.Item{{Data: big[:5], Meta: windows.Meta{Size: 400}, MoreData: true}}, "416", false}, // HST-056: 80 of them
		{"larger than any", []windows.Item{{Data: big[:100], Meta: windows.Meta{Size: maxObject + 1}, MoreData: true}}, "416", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newWindowsLab(t)
			p := l.pc(pcID(1)).enrol()
			order := l.order(p.id, protocol.DeviceInformation)
			in := p.must(p.begin())
			var get *windows.Command
			for i := range in.Commands {
				if c := &in.Commands[i]; c.Verb == windows.Get && c.Items[0].Target == csp.NodeSerial {
					get = c
				}
			}
			out, ref, msg := p.obey(in), get.CmdID, in.Header.MsgID
			l.order(p.id, protocol.Restart) // it waits until the device has said all
			got := ""
			for _, x := range tt.parts {
				out = piece(out, csp.NodeSerial, x.Data, x.Meta.Size, x.MoreData)
				out.Final = !x.MoreData || strings.HasPrefix(tt.name, "each")
				c := &out.Commands[len(out.Commands)-1]
				c.MsgRef, c.CmdRef = msg, ref
				in = p.must(out)
				for _, s := range in.Commands {
					if s.Verb == windows.Status && s.CmdRef == 90 {
						got += fmt.Sprintf(" %d", s.Code)
					}
				}
				asks := slices.ContainsFunc(in.Commands, func(c windows.Command) bool { return c.Verb == windows.Alert && c.Code == windows.NextMessage })
				if buffered := strings.HasSuffix(got, "213"); buffered && (!asks || len(p.state().Queue) != 2) {
					t.Errorf("asked for the next: %v; queue %v", asks, p.state().Queue)
				}
				if !x.MoreData {
					break
				}
				out = &windows.Message{Header: p.head(), Final: true, Commands: []windows.Command{{Verb: windows.Status, CmdID: 1, MsgRef: in.Header.MsgID, Cmd: windows.SyncHeader, Code: windows.OK}}}
			}
			if got = strings.TrimSpace(got); got != tt.codes {
				t.Errorf("answered %s, want %s", got, tt.codes)
			}
			if tt.parts[len(tt.parts)-1].MoreData { // refused: the device has nothing more to say
				in = p.must(out)
			}
			if !bytes.Contains(windows.EncodeMessage(nil, in), []byte("RebootNow")) {
				t.Errorf("what waits does not go out: %s", codes(in))
			}
			if in = p.must(p.obey(in)); p.more(in) || len(p.state().Queue) != 0 {
				t.Errorf("the session does not end: %s, %v", codes(in), p.state().Queue)
			}
			past, err := l.store.History(context.Background(), p.state().Device, 100)
			l.must(err)
			kept := slices.ContainsFunc(past, func(c delivery.CommandChange) bool {
				return c.Queued.ID == order && strings.Contains(string(c.Result), csp.NodeSerial+"="+big+"\n")
			})
			if kept != tt.kept {
				t.Errorf("kept %v, want %v", kept, tt.kept)
			}
		})
	}
}

// A device that says that it will not have the end of an object of ours has it anew in its next session (1225).
func TestWIN035CutShort(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.profile("p", "windows.p", protocol.Configuration, document(set("Replace", msft+"Policy/Config/A/B", "chr", strings.Repeat("x", 20000))))
	m := p.begin()
	m.Header.MaxMsgSize = 8000
	in := p.must(m)
	out := p.obey(in)
	out.Commands = append(out.Commands, windows.Command{Verb: windows.Alert, CmdID: 80, Code: windows.NoEndOfData})
	if in = p.must(out); bytes.Contains(windows.EncodeMessage(nil, in), []byte("xxx")) || p.more(in) {
		t.Errorf("the rest goes out all the same: %s", codes(in))
	}
	delete(p.tree, "chunks")
	p.sync()
	if got := p.tree[msft+"Policy/Config/A/B"]; len(got) != 20000 {
		t.Errorf("%d bytes in the next session", len(got))
	}
}

func TestWIN036NothingInFlight(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.order(p.id, protocol.Restart)
	l.order(p.id, protocol.DeviceInformation)
	in := p.must(p.begin())
	out := p.obey(in)
	out.Commands = slices.DeleteFunc(out.Commands, func(c windows.Command) bool { return c.Cmd == windows.Exec }) // not a word of that
	if in = p.must(out); p.more(in) {
		t.Error("what was not answered is given again in the same session")
	}
	if s := p.state(); len(s.Queue) != 1 || s.Queue[0].Kind != protocol.Restart {
		t.Errorf("queue %+v", s.Queue)
	}
	p.told = nil
	if p.sync(); !strings.Contains(p.verbs(), "RebootNow") || len(p.state().Queue) != 0 {
		t.Errorf("the next session: %s", p.verbs())
	}
	// A session that the device breaks off.
	l.order(p.id, protocol.Restart)
	p.must(p.begin())
	abort := &windows.Message{Header: p.head(), Final: true, Commands: []windows.Command{{Verb: windows.Alert, CmdID: 1, Code: windows.SessionAbort}}}
	if in = p.must(abort); p.more(in) || len(p.state().Queue) != 1 {
		t.Error("after an abort something is given, or lost")
	}
}

func TestWIN037UserScope(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.profile("mail", "org.mail", protocol.Email, apple.EncodeProfile(apple.NewProfile("org.mail", "mail", protocol.Email)))
	l.profile("policy", "windows.policy", protocol.Configuration, document(set("Replace", msft+"Policy/Config/A/B", "int", "1")))
	for _, login := range []string{windows.LoginNone, windows.LoginOthers} {
		p.login = login
		p.sync()
		if strings.Contains(p.verbs(), "./User/") || len(p.state().Queue) != 1 {
			t.Fatalf("while %s is signed in:\n%s%+v", login, p.verbs(), p.state().Queue)
		}
	}
	if !strings.Contains(p.verbs(), "Policy/Config/A/B") {
		t.Error("what is the device's own does not come")
	}
	p.login = windows.LoginUser
	if p.sync(); !strings.Contains(p.verbs(), "./User/Vendor/MSFT/EMAIL2/") || len(p.state().Queue) != 0 {
		t.Errorf("when the user is signed in:\n%s%+v", p.verbs(), p.state().Queue)
	}
}

func TestWIN038Codes(t *testing.T) {
	const uri = msft + "Policy/Config/A/B"
	l := newWindowsLab(t)
	for i, tt := range []struct {
		name     string
		verb     string
		code     windows.Code
		sessions int // until nothing more is tried
		want     delivery.ProfileState
		flips    bool
	}{
		{"200", "Replace", windows.OK, 1, delivery.Installed, false},
		{"202", "Replace", windows.AcceptedForProcessing, 1, delivery.Installed, false},
		{"418 on Add, then Replace", "Add", windows.AlreadyExists, 1, delivery.Installed, true},
		{"404 on Replace, then Add", "Replace", windows.NotFound, 1, delivery.Installed, true},
		{"415", "Replace", windows.UnsupportedFormat, 1, delivery.InstallFailed, false},
		{"403", "Replace", windows.Forbidden, 1, delivery.InstallFailed, false},
		{"406", "Replace", windows.OptionalNotSupported, 1, delivery.InstallFailed, false},
		{"500 three times", "Replace", windows.CommandFailed, 3, delivery.InstallFailed, false},
		{"409 waits", "Replace", windows.Conflict, 5, delivery.Installing, false},
		{"215 waits", "Replace", windows.NotExecuted, 5, delivery.Installing, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			uri, name := fmt.Sprint(uri, i), fmt.Sprint("p", i)
			p := l.pc(pcID(i)).enrol()
			l.profile(name, "windows."+name, protocol.Configuration, document(set(tt.verb, uri, "int", "1")))
			p.fails[tt.verb+" "+uri] = tt.code
			tries := 0
			for range 5 {
				p.sync()
				if n := strings.Count(p.verbs(), tt.verb+" "+uri); n > tries {
					tries = n
				}
			}
			if tries != tt.sessions {
				t.Errorf("tried %d times, want %d", tries, tt.sessions)
			}
			other := map[string]string{"Add": "Replace", "Replace": "Add"}[tt.verb]
			if flipped := strings.Contains(p.verbs(), other+" "+uri); flipped != tt.flips {
				t.Errorf("tried as %s: %v, want %v", other, flipped, tt.flips)
			}
			if s := p.state(); len(s.Profiles) != i+1 || s.Profiles[i].State != tt.want {
				t.Errorf("profiles %+v, want %s", s.Profiles, tt.want)
			}
		})
	}
}

// TestWIN038Accepted: what a device has only accepted is asked after, once, before the order counts as done (windows.md sections 6.1 and
// 11): the effective value of a policy, the status of a SCEP profile. Another process may take over meanwhile.
func TestWIN038Accepted(t *testing.T) {
	scep := msft + "ClientCertificateInstall/SCEP/corp"
	policy, result := msft+"Policy/Config/A/B", msft+"Policy/Result/A/B"
	enroll := document("<Atomic><CmdID>9</CmdID>" + set("Add", scep, "node", "") + set("Add", scep+"/Install/ServerURL", "chr", "https://scep.example") +
		"<Exec><CmdID>3</CmdID><Item><Target><LocURI>" + scep + "/Install/Enroll</LocURI></Target></Item></Exec></Atomic>")
	value := document(set("Replace", policy, "int", "1"))
	for _, tt := range []struct {
		name     string
		document []byte
		code     windows.Code
		tree     map[string]string
		asks     string // node; empty: nothing is asked
		want     protocol.Status
		errors   string
	}{
		{"certificate issued", enroll, 202, map[string]string{scep + "/Status": "1"}, scep + "/Status", protocol.Acknowledged, ""},
		{"certificate issued, answered at once", enroll, 200, map[string]string{scep + "/Status": "1"}, scep + "/Status", protocol.Acknowledged, ""},
		{"certificate failed", enroll, 202, map[string]string{scep + "/Status": "16"}, scep + "/Status", protocol.Failed, "SCEP failed"},
		{"certificate pending", enroll, 202, map[string]string{scep + "/Status": "2"}, scep + "/Status", protocol.NotNow, "SCEP goes on: 2"},
		{"no status", enroll, 202, nil, scep + "/Status", protocol.Acknowledged, "SCEP does not say how it goes on: 404 "},
		{"policy in force", value, 202, map[string]string{result: "1"}, result, protocol.Acknowledged, ""},
		{"policy not in force", value, 202, nil, result, protocol.Acknowledged, "accepted, and not in force yet"},
		{"policy set", value, 200, nil, "", protocol.Acknowledged, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newWindowsLab(t)
			p := l.pc(pcID(1)).enrol()
			l.profile("p", "windows.p", protocol.Configuration, tt.document)
			for uri, data := range tt.tree {
				p.tree[uri] = data
			}
			p.fails["Exec "+scep+"/Install/Enroll"], p.fails["Replace "+policy] = tt.code, tt.code
			in := p.must(p.begin())
			for p.more(in) {
				var err error
				l.core, err = server.Open(context.Background(), l.pnow(), server.Config{Store: l.store})
				l.must(err)
				l.h.cfg.Server, l.h.cfg.Handle = l.core, l.core.Handle
				in = p.must(p.obey(in))
				if p.msg > 20 {
					t.Fatal("the session does not end")
				}
			}
			asked := ""
			for i := range p.told {
				if c := &p.told[i]; c.Verb == windows.Get {
					asked += c.Items[0].Target
				}
			}
			if asked != tt.asks {
				t.Errorf("asked %q, want %q", asked, tt.asks)
			}
			past, err := l.store.History(context.Background(), p.state().Device, 1)
			l.must(err)
			if c := past[0]; c.Kind != protocol.InstallProfile || c.Status != tt.want || c.Errors != tt.errors {
				t.Errorf("%s: %s %q, want %s %q", c.Kind, c.Status, c.Errors, tt.want, tt.errors)
			}
		})
	}
}

// TestWIN038Numbers: a Status is of the command that waits for it, though one that was answered in a message before had its number too. Of two
// the first counts.
func TestWIN038Numbers(t *testing.T) {
	s := session{Flights: []flight{{Msg: 2, Parts: []part{{Cmd: 8, Code: windows.OK}, {Cmd: 8}, {Cmd: 9}}}}}
	for _, code := range []windows.Code{windows.AlreadyExists, windows.CommandFailed} {
		if !s.status(&windows.Command{Verb: windows.Status, MsgRef: 2, CmdRef: 8, Code: code}) {
			t.Error("it is of nothing")
		}
	}
	if p := s.Flights[0].Parts; p[0].Code != windows.OK || p[1].Code != windows.AlreadyExists || p[2].Code != 0 {
		t.Errorf("%+v", p)
	}
}

// TestWIN038Pending: a certificate that waits at its authority is asked after in each session and given no second time, another process's
// sessions too, until the device says how it ended, or has nothing of it any more (windows.md section 11: no alert comes).
func TestWIN038Pending(t *testing.T) {
	scep := msft + "ClientCertificateInstall/SCEP/corp"
	enroll := document("<Atomic><CmdID>9</CmdID>" + set("Add", scep, "node", "") + set("Add", scep+"/Install/ServerURL", "chr", "https://scep.example") +
		"<Exec><CmdID>3</CmdID><Item><Target><LocURI>" + scep + "/Install/Enroll</LocURI></Target></Item></Exec></Atomic>")
	for _, tt := range []struct {
		name, status string
		want         protocol.Status
		state        delivery.ProfileState
	}{
		{"issued", "1", protocol.Acknowledged, delivery.Installed},
		{"failed", "16", protocol.Failed, delivery.InstallFailed},
		{"gone", "", protocol.Failed, delivery.InstallFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newWindowsLab(t)
			p := l.pc(pcID(1)).enrol()
			l.profile("p", "windows.p", protocol.Certificate, enroll)
			p.fails["Exec "+scep+"/Install/Enroll"] = windows.AcceptedForProcessing
			for i, status := range []string{"2", "32", "2", tt.status} {
				p.told = nil
				if p.tree[scep+"/Status"] = status; status == "" {
					delete(p.tree, scep+"/Status")
				}
				p.sync()
				if gives := strings.Contains(p.verbs(), "Exec"); gives != (i == 0) || strings.Count(p.verbs(), scep+"/Status") != 1 {
					t.Fatalf("session %d: %s", i+1, p.verbs())
				}
				want := delivery.Installing
				if i == 3 {
					want = tt.state
				}
				if s := p.state().Profiles; len(s) != 1 || s[0].State != want {
					t.Fatalf("session %d: %+v, want %s", i+1, s, want)
				}
				var err error
				l.core, err = server.Open(context.Background(), l.pnow(), server.Config{Store: l.store})
				l.must(err)
				l.h.cfg.Server, l.h.cfg.Handle = l.core, l.core.Handle
			}
			past, err := l.store.History(context.Background(), p.state().Device, 9)
			l.must(err)
			if at := slices.IndexFunc(past, func(c delivery.CommandChange) bool { return c.Kind == protocol.InstallProfile && c.Final }); at < 0 || past[at].Status != tt.want {
				t.Errorf("%+v, want %s", past, tt.want)
			}
			if p.told = nil; tt.want == protocol.Failed { // it is given anew
				p.tree[scep+"/Status"] = "1"
				p.sync()
				if s := p.state().Profiles; !strings.Contains(p.verbs(), "Exec") || s[0].State != delivery.Installed {
					t.Errorf("after its failure: %+v\n%s", s, p.verbs())
				}
			}
		})
	}
}

// TestWIN038PendingEnds: a certificate that never comes is not asked after for ever: after a week it has failed, is given anew as often as any
// other profile, and then no more.
func TestWIN038PendingEnds(t *testing.T) {
	scep := msft + "ClientCertificateInstall/SCEP/corp"
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.profile("p", "windows.p", protocol.Certificate, document("<Atomic><CmdID>9</CmdID>"+set("Add", scep, "node", "")+
		"<Exec><CmdID>3</CmdID><Item><Target><LocURI>"+scep+"/Install/Enroll</LocURI></Target></Item></Exec></Atomic>"))
	p.tree[scep+"/Status"] = "2"
	given := ""
	for day := range 30 {
		p.told = nil
		p.sync()
		switch {
		case strings.Contains(p.verbs(), "Exec"):
			given += fmt.Sprintf(" %d", day)
		case day < 7 && !strings.Contains(p.verbs(), scep+"/Status"):
			t.Errorf("day %d: it is not asked after", day)
		}
		l.setClock(l.now().Add(24 * time.Hour))
	}
	if s := p.state(); given != " 0 8 16" || len(s.Queue) > 0 || !s.Profiles[0].GivenUp() {
		t.Errorf("given on days%s, then %+v, %+v", given, s.Profiles, s.Queue)
	}
}

func TestWIN038Deletes(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.profile("wifi", "org.wifi", protocol.WiFi, apple.EncodeProfile(apple.NewProfile("org.wifi", "office", protocol.WiFi)))
	p.sync()
	p.tree = map[string]string{} // somebody took it away
	_, err := l.core.TakeProfile(context.Background(), l.pnow(), server.System, server.ProfileRemoval{Name: "wifi"}, "")
	l.must(err)
	p.told = nil
	p.sync()
	if p.verbs() != "Delete "+msft+"WiFi/Profile/office\n" || len(p.state().Profiles) != 0 {
		t.Errorf("told %s, has %+v", p.verbs(), p.state().Profiles)
	}
}

var leaving = windows.Command{Verb: windows.Alert, CmdID: 60, Code: windows.GenericAlert, Items: []windows.Item{
	{Meta: windows.Meta{Type: " com.microsoft:mdm.unenrollment.userrequest ", Format: windows.FormatInt}, Data: "1"},
}}

func TestWIN040Leaving(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.order(p.id, protocol.DeviceInformation)
	in := p.must(p.begin(leaving))
	if p.more(in) {
		t.Error("a device that leaves is given commands")
	}
	if s := p.state(); s.Life != delivery.Enrolled || !s.Departing() { // it announces an attempt, and no result
		t.Errorf("it is %s with %v", s.Life, s.Queue)
	}
	if in := p.must(p.begin(leaving)); p.more(in) { // it says so again
		t.Error("a second farewell is answered with commands")
	}
	l.sweep(15 * time.Hour)
	if s := p.state(); s.Life != delivery.Enrolled {
		t.Errorf("it is %s before two intervals of silence are over", s.Life)
	}
	l.sweep(time.Hour)
	if s := p.state(); s.Life != delivery.Ended || len(s.Queue) != 0 {
		t.Errorf("it is %s with %d commands", s.Life, len(s.Queue))
	}
	if in := p.must(p.begin(leaving)); p.more(in) { // and once more
		t.Error("a late farewell is answered with commands")
	}
	if in := p.must(p.begin()); p.more(in) {
		t.Error("a device that left is given commands")
	}
	// By order: no Status comes, but a session with the alert.
	ordered := l.pc(pcID(2)).enrol()
	l.order(ordered.id, protocol.Retire)
	in = ordered.must(ordered.begin())
	if !bytes.Contains(windows.EncodeMessage(nil, in), []byte("DMClient/Unenroll")) {
		t.Fatal("it is not told to leave")
	}
	if in = ordered.must(ordered.begin(leaving)); ordered.more(in) {
		t.Error("its farewell is answered with commands")
	}
	if s := ordered.state(); s.Life != delivery.Ended || s.Reports.Acknowledged != 3 {
		t.Errorf("it is %s, reports %+v", s.Life, s.Reports)
	}
	if a, m := ordered.sends(ordered.begin()); m != nil || a.status != http.StatusForbidden {
		t.Errorf("its identity, revoked, answered %d", a.status)
	}
	ordered.wears(ordered.who.Certificate.Raw, ordered.key) // over another connection
	if in = ordered.must(ordered.begin(leaving)); ordered.more(in) {
		t.Error("its farewell, said again, is answered with commands")
	}
	if a, m := ordered.sends(ordered.begin()); m != nil || a.status != http.StatusForbidden {
		t.Errorf("its identity, revoked, answered %d over another connection", a.status)
	}
}

// sweep lets time pass in which nobody is heard of, and has the server look at its records.
func (l *lab) sweep(d time.Duration) {
	l.t.Helper()
	l.setClock(l.now().Add(d))
	l.must(l.core.Tick(context.Background(), l.pnow()))
}

// A farewell is an attempt (windows.md section 7): a device that is heard of again has not left, and what waits for it it gets.
func TestWIN040StaysAfterAll(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	order := l.order(p.id, protocol.DeviceInformation)
	p.must(p.begin(leaving))
	l.sweep(15 * time.Hour)
	p.told = nil
	p.sync()
	if s := p.state(); s.Life != delivery.Enrolled || s.Departing() || len(s.Queue) != 0 || !strings.Contains(p.verbs(), csp.NodeSerial) {
		t.Errorf("it is %s with %v (%s), told %s", s.Life, s.Queue, order, p.verbs())
	}
	l.sweep(48 * time.Hour)
	if s := p.state(); s.Life != delivery.Enrolled {
		t.Errorf("it is %s", s.Life)
	}
}

// Who has said farewell may be followed by another enrolment of the same name, of whomever: the re-enrolment says that it has left.
func TestWIN040ComesAgain(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	p.must(p.begin(leaving))
	again := l.pc(pcID(1))
	given, f := again.ask(password("", l.ticketFor(0)), again.rst(windows.EnrollmentDevice, csr(t, again.key)))
	if f != nil {
		t.Fatal(f)
	}
	again.wears(given.Client, again.key)
	again.sync()
	if s := again.state(); s.Life != delivery.Enrolled || s.Departing() {
		t.Errorf("it is %s with %v", s.Life, s.Queue)
	}
}

// A clock that was set back since a device was here does not make it one that was here since it was told to leave, nor one that never was
// (AUTH-53, HST-110).
func TestHST110OrderedAndSilent(t *testing.T) {
	l := newWindowsLab(t)
	told, absent := l.pc(pcID(1)).enrol(), l.pc(pcID(2)).enrol()
	l.setClock(l.now().Add(-5 * time.Minute))
	l.order(told.id, protocol.Retire)
	l.order(absent.id, protocol.Retire)
	l.setClock(l.now().Add(time.Minute))
	told.must(told.begin())
	l.sweep(25 * time.Hour)
	if s := told.state(); s.Life != delivery.Ended {
		t.Errorf("what was told to leave is %s with %v", s.Life, s.Queue)
	}
	if s := absent.state(); s.Life != delivery.Enrolled || len(s.Queue) != 1 {
		t.Errorf("what has not heard of it is %s with %v", s.Life, s.Queue)
	}
}

// An order to leave is never answered: it is done on the farewell, or after 24 hours of silence (windows.md section 7). Of a device that
// was not here since, silence says nothing.
func TestWIN040OrderedAndSilent(t *testing.T) {
	l := newWindowsLab(t)
	told, absent := l.pc(pcID(1)).enrol(), l.pc(pcID(2)).enrol()
	l.setClock(l.now().Add(time.Minute))
	l.order(told.id, protocol.Retire)
	l.order(absent.id, protocol.Retire)
	l.setClock(l.now().Add(time.Minute))
	told.must(told.begin())
	l.sweep(23 * time.Hour)
	if s := told.state(); s.Life != delivery.Enrolled || len(s.Queue) == 0 {
		t.Errorf("it is %s with %v after 23 hours", s.Life, s.Queue)
	}
	l.sweep(time.Hour)
	if s := told.state(); s.Life != delivery.Ended || s.Reports.Acknowledged != 3 {
		t.Errorf("it is %s, reports %+v", s.Life, s.Reports)
	}
	if in := told.must(told.begin(leaving)); told.more(in) { // what it says after all is answered (WIN-040)
		t.Error("a late farewell is answered with commands")
	}
	if in := told.must(told.begin()); told.more(in) {
		t.Error("a device that has left is given commands")
	}
	l.sweep(30 * 24 * time.Hour)
	if s := absent.state(); s.Life != delivery.Enrolled || len(s.Queue) != 1 {
		t.Errorf("a device that never heard of it is %s with %v", s.Life, s.Queue)
	}
}

func TestWIN041Channel(t *testing.T) {
	l := newWindowsLab(t, func(c *Config) { c.Windows.PFN = "Rollcall.Test_1" })
	p := l.pc(pcID(1))
	channel, status := csp.NodeChannel(ProviderID), csp.NodePushStatus(ProviderID)
	p.tree[channel], p.tree[status] = "https://wns2-db5.notify.windows.com/?token=1", "0"
	p.enrol()
	if s := p.state(); string(s.Push.Token) != p.tree[channel] || s.Push.Unreachable {
		t.Errorf("push %+v", s.Push)
	}
	for range 2 {
		p.told = nil
		if p.sync(); p.verbs() != "Get "+channel+"\nGet "+status+"\n" {
			t.Errorf("told %s", p.verbs())
		}
	}
	for _, evil := range []string{
		"http://wns.notify.windows.com/", "https://notify.windows.com.evil/", "https://x@evil/", "https://notify.windows.com@evil/", "http://169.254.169.254/", "https://[::ffff:127.0.0.1]/",
		"https://evilnotify.windows.com/",
	} {
		p.tree[channel] = evil // WIN-043, HST-080
		if p.sync(); string(p.state().Push.Token) != "https://wns2-db5.notify.windows.com/?token=1" {
			t.Errorf("%s is taken for a channel", evil)
		}
	}
	p.tree[channel] = "https://wns2-db5.notify.windows.com/?token=2"
	if p.sync(); string(p.state().Push.Token) != p.tree[channel] {
		t.Errorf("a new channel is not taken: %s", p.state().Push.Token)
	}
	polls := newWindowsLab(t).pc(pcID(1)).enrol()
	if s := polls.state(); !s.Push.Unreachable {
		t.Error("a device without a channel is to be woken")
	}
}

func TestWIN068Workloads(t *testing.T) {
	l := newWindowsLab(t)
	ctx := context.Background()
	_, err := l.core.SetAuthority(ctx, l.pnow(), server.System, authority.Change{Authority: protocol.SCCM}, "", -1)
	l.must(err)
	l.profile("wifi", "org.wifi", protocol.WiFi, apple.EncodeProfile(apple.NewProfile("org.wifi", "office", protocol.WiFi)))
	l.profile("policy", "windows.policy", protocol.Configuration, document(set("Replace", msft+"Policy/Config/A/B", "int", "1")))
	for i, tt := range []struct {
		name, flags  string
		wifi, policy bool
	}{
		{"not co-managed", "", true, true},
		{"everything with ConfigMgr", "1", false, false},
		{"resource access", "5", true, false},
		{"device configuration, with resource access", "8201", true, true}, // 8192 + 8 + 1
		{"no number", "x", false, false},
		{"not configured", "12", false, false}, // 4 + 8, without 1: nothing is known
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := l.pc(pcID(i))
			if tt.flags != "" {
				p.tree[csp.NodeConfigInfo] = tt.flags
			}
			given, f := p.ask(password(ada, l.ticketFor(l.user)), p.rst(windows.EnrollmentFull, csr(t, p.key)))
			if f != nil {
				t.Fatal(f)
			}
			p.wears(given.Client, p.key)
			p.sync()
			p.sync()
			if wifi, policy := strings.Contains(p.verbs(), "WiFi/Profile"), strings.Contains(p.verbs(), "Policy/Config"); wifi != tt.wifi || policy != tt.policy {
				t.Errorf("wifi %v, policy %v; want %v, %v\n%s", wifi, policy, tt.wifi, tt.policy, p.verbs())
			}
		})
	}
}

// TestWIN068ClientGone: a PC that lacks the node, or has it empty, is not co-managed (any more); a server that cannot be asked says
// nothing (windows.md section 9).
func TestWIN068ClientGone(t *testing.T) {
	l := newWindowsLab(t)
	l.turnTo(protocol.SCCM)
	for i, tt := range []struct {
		name string
		gone func(p *pc)
		want bool
	}{
		{"missing", func(p *pc) { delete(p.tree, csp.NodeConfigInfo) }, false},
		{"empty", func(p *pc) { p.tree[csp.NodeConfigInfo] = "" }, false},
		{"failure", func(p *pc) { p.fails["Get "+csp.NodeConfigInfo] = windows.CommandFailed }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := l.pc(pcID(i)).enrol()
			p.tree[csp.NodeConfigInfo] = "5"
			if p.sync(); !p.state().CoManaged {
				t.Fatal("it is not co-managed")
			}
			tt.gone(p)
			p.sync()
			if s := p.state(); s.CoManaged != tt.want {
				t.Errorf("co-managed %v, want %v", s.CoManaged, tt.want)
			}
		})
	}
}

func TestWIN070Namesake(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	a, b := msft+"Policy/Config/A/B", msft+"Policy/Config/A/C"
	l.profile("p", "windows.p", protocol.Configuration, document(set("Add", a, "int", "1")+set("Add", b, "int", "1")))
	p.sync()
	p.told = nil
	l.profile("p", "windows.p", protocol.Configuration, document(set("Add", a, "int", "2")+set("Add", b, "int", "1")))
	p.sync()
	if p.verbs() != "Replace "+a+"\n" || p.tree[a] != "2" {
		t.Errorf("a new version: %s", p.verbs())
	}
	p.told = nil
	delete(p.tree, b) // somebody was there before (WIN-038): what is to go is gone
	l.profile("p", "windows.p", protocol.Configuration, document(set("Add", a, "int", "2")))
	p.sync()
	if p.verbs() != "Delete "+b+"\n" {
		t.Errorf("a version with less: %s", p.verbs())
	}
	if s := p.state(); len(s.Profiles) != 1 || s.Profiles[0].State != delivery.Installed {
		t.Errorf("profiles %+v", s.Profiles)
	}
	// Of another authority, after a change.
	p.told = nil
	l.profileOf(protocol.SCCM, "p", "windows.p", protocol.Configuration, document(set("Add", a, "int", "3")))
	l.turnTo(protocol.SCCM)
	p.tree[csp.NodeConfigInfo] = "255"
	p.sync()
	if !strings.Contains(p.verbs(), "Replace "+a+"\n") || strings.Contains(p.verbs(), "Delete") || p.tree[a] != "3" {
		t.Errorf("the new authority's: %s", p.verbs())
	}
}

func TestWIN071Moves(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.profile("policy", "windows.policy", protocol.Configuration, document(set("Replace", msft+"Policy/Config/A/B", "int", "1")))
	p.sync()
	for _, a := range []protocol.Authority{protocol.SCCM, protocol.Intune} { // there and back: all comes again (AUTH-21)
		l.turnTo(a)
	}
	epoch := l.core.World().Tenant.Epoch
	registered := func() bool { return p.state().Epoch == epoch }
	in := p.must(p.begin()) // cut after package 2
	if registered() || !p.more(in) {
		t.Error("it registered at package 2")
	}
	if in = p.must(p.begin()); registered() || !strings.Contains(string(windows.EncodeMessage(nil, in)), "Policy/Config/A/B") {
		t.Error("it registered by a session that was cut, or lost what that brought")
	}
	if notice := csp.NodeNotice(ProviderID); !slices.ContainsFunc(in.Commands, func(c windows.Command) bool {
		return c.Verb == windows.Replace && c.Items[0].Target == notice && strings.HasPrefix(c.Items[0].Data, fmt.Sprintf("authority=intune;epoch=%d;changedAt=2026-03-02T", epoch))
	}) {
		t.Errorf("AUTH-27: package 2 does not tell of the change: %+v", in.Commands)
	}
	for p.more(in) {
		out := p.obey(in)
		if registered() {
			t.Error("it registered before the end")
		}
		in = p.must(out)
	}
	if !registered() {
		t.Errorf("it has not registered at the end\n%+v", p.state())
	}
}

// A change is told of in the next answer, wherever in a session it falls; a session that has told of it and was cut has told nothing.
func TestAUTH27WindowsAmidASession(t *testing.T) {
	for _, tt := range []struct {
		name  string
		until func(p *pc, in *windows.Message, change func(), atReady *func()) *windows.Message // from the answer to package 1
	}{
		{"at package 3", func(p *pc, in *windows.Message, change func(), _ *func()) *windows.Message {
			change()
			return p.must(p.obey(in))
		}},
		{"while it says more", func(p *pc, in *windows.Message, change func(), _ *func()) *windows.Message {
			for p.more(in) {
				in = p.must(p.obey(in))
			}
			change()
			m := p.begin()
			m.Final = false
			if in = p.must(m); strings.Contains(string(windows.EncodeMessage(nil, in)), "epoch=") {
				p.lab.t.Error("told before it has said all")
			}
			return p.must(&windows.Message{Header: p.head(), Final: true, Commands: []windows.Command{
				{Verb: windows.Status, CmdID: 1, MsgRef: in.Header.MsgID, Cmd: windows.SyncHeader, Code: windows.OK},
				{Verb: windows.Alert, CmdID: 2, Code: windows.NextMessage},
			}})
		}},
		{"in a session that was cut", func(p *pc, in *windows.Message, change func(), _ *func()) *windows.Message {
			for p.more(in) {
				in = p.must(p.obey(in))
			}
			change()
			p.must(p.begin())
			return p.must(p.begin())
		}},
		{"as its channel is noted", func(p *pc, in *windows.Message, change func(), atReady *func()) *windows.Message {
			for p.more(in) {
				in = p.must(p.obey(in))
			}
			p.tree[csp.NodeChannel(ProviderID)] = "https://wns2-db5.notify.windows.com/?token=2"
			in = p.must(p.begin())
			*atReady = change
			for p.more(in) {
				in = p.must(p.obey(in))
			}
			if *atReady != nil {
				p.lab.t.Fatal("no channel was noted")
			}
			return p.must(p.begin())
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l *lab
			var atReady func() // what happens before the next Ready
			l = newWindowsLab(t, func(c *Config) {
				c.Windows.PFN = "Rollcall.Test_1"
				c.Handle = func(ctx context.Context, now protocol.Time, ev *delivery.Event, out *delivery.Outcome) error {
					if then := atReady; then != nil && ev.Verb == protocol.Ready {
						atReady = nil
						then()
					}
					return l.core.Handle(ctx, now, ev, out)
				}
			})
			p := l.pc(pcID(1))
			p.tree[csp.NodeChannel(ProviderID)], p.tree[csp.NodePushStatus(ProviderID)] = "https://wns2-db5.notify.windows.com/?token=1", "0"
			p.enrol()
			p.tree[csp.NodeNotice(ProviderID)] = ""
			in := tt.until(p, p.must(p.begin()), func() {
				_, err := l.core.SetAuthority(context.Background(), l.pnow(), server.System, authority.Change{Authority: protocol.Office365, Force: true}, "", -1)
				l.must(err)
			}, &atReady)
			for p.more(in) {
				in = p.must(p.obey(in))
			}
			if got, want := p.tree[csp.NodeNotice(ProviderID)], "authority=office365;epoch=2;"; !strings.HasPrefix(got, want) {
				t.Errorf("it knows %q, want %s...", got, want)
			}
			if s := p.state(); s.Heard != 2 || s.Epoch != 2 {
				t.Errorf("heard of epoch %d, registered in %d", s.Heard, s.Epoch)
			}
		})
	}
}

// Application-layer authentication beside TLS (windows.md section 6): right 212, wrong 401 and a challenge, absent as if it were not asked
// for, which it is not.
func TestWindowsCredentials(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	a := p.given.Application.ServerAuth
	for _, tt := range []struct {
		name string
		cred *windows.Cred
		want string
	}{
		{"right", windows.NewCred(windows.AuthMD5, a.Name, a.Secret, a.Nonce), "SyncHdr/0=212"},
		{"right, basic", windows.NewCred(windows.AuthBasic, a.Name, a.Secret, nil), "SyncHdr/0=212"},
		{"wrong", windows.NewCred(windows.AuthMD5, a.Name, "guess", a.Nonce), "SyncHdr/0=401"},
		{"absent", nil, "SyncHdr/0=200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := p.begin()
			m.Header.Cred = tt.cred
			in := p.must(m)
			if got := codes(in); !strings.HasPrefix(got, tt.want) || (in.Commands[0].Chal != nil) != (tt.name == "wrong") {
				t.Errorf("answered %s, challenge %v", got, in.Commands[0].Chal)
			}
		})
	}
	for version, want := range map[string]string{"DM/1.1": "SyncHdr/0=513", "DM/1.2": "SyncHdr/0=200"} {
		m := p.begin()
		m.Header.VerProto = version
		if got := codes(p.must(m)); !strings.HasPrefix(got, want) {
			t.Errorf("%s answered %s", version, got)
		}
	}
}

// What a session's record keeps is read again as it was; anything else is a session that nothing is known of.
func TestSessionRecord(t *testing.T) {
	for _, want := range []session{
		{},
		{Login: "user", Most: 8192, Told: 300, Inquired: true, Own: &flight{Msg: 1, Parts: []part{{Cmd: 7, Asks: true, Check: checkSCEP}}, Checks: []check{{Cmd: 3, Code: 200, Value: "16"}}}},
		{Own: &flight{Msg: 1, Parts: []part{{Cmd: 7}}}, Object: &object{Msg: 3, Cmd: 4, Source: "./a", Size: 9, Data: "abc"}},
		{Flights: []flight{{ID: noCommand, Kind: protocol.Retire, Msg: 3, Parts: []part{{Cmd: 1, Code: 418, Verb: windows.Add, Flip: true, User: true, Node: true, Off: 9, In: 1}}}, {ID: protocol.CommandID{1}, Parts: []part{}}}},
		{Login: "others"},
		{User: true},
		{Ends: true},
		{Stopped: true}, // each by itself
		{Flights: []flight{{Parts: []part{{Flip: true}, {User: true}, {Asks: true}, {Node: true}}}}},
	} {
		record := want.keep(nil, []byte("answer"))
		var got session
		if got.load(record); !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, want %+v", got, want)
		}
		if string(answerOf(record)) != "answer" {
			t.Errorf("answer %q", answerOf(record))
		}
		for n := range record {
			new(session).load(record[:n])
			answerOf(record[:n])
		}
	}
}

// A command that needs no message, since all is there already or Windows has nothing of the kind, is settled at once; the others of the
// same answer go out, and nothing is lost.
func TestWindowsSettles(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	same := document(set("Replace", msft+"Policy/Config/A/B", "int", "1"))
	l.profile("same", "windows.same", protocol.Configuration, same)
	p.sync()
	p.told = nil
	l.profile("same", "windows.same", protocol.Configuration, append([]byte("\n"), same...)) // another version that says the same
	l.profile("other", "windows.other", protocol.Configuration, document(set("Replace", msft+"Policy/Config/A/C", "int", "1")))
	nothing := apple.NewProfile("org.nothing", "nothing", protocol.Configuration)
	nothing.Payloads[0].Type = "com.apple.dock"
	l.profile("nothing", "org.nothing", protocol.Configuration, apple.EncodeProfile(nothing))
	l.order(p.id, protocol.Restart)
	p.sync()
	if p.verbs() != "Exec "+msft+"Reboot/RebootNow\nReplace "+msft+"Policy/Config/A/C\n" {
		t.Errorf("told %s", p.verbs())
	}
	s := p.state()
	states := map[string]delivery.ProfileState{}
	for _, a := range s.Profiles {
		states[l.core.World().Profiles[a.Profile].Name] = a.State
	}
	if states["same"] != delivery.Installed || states["other"] != delivery.Installed || states["nothing"] != delivery.InstallFailed || len(s.Queue) != 0 {
		t.Errorf("%v, %d commands wait", states, len(s.Queue))
	}
	history, err := l.store.History(context.Background(), s.Device, 10)
	l.must(err)
	if !slices.ContainsFunc(history, func(c delivery.CommandChange) bool { return strings.Contains(c.Errors, "counterpart") }) {
		t.Error("the history does not say why one failed")
	}
	p.told = nil
	if p.sync(); p.verbs() != "" {
		t.Errorf("the next session: %s", p.verbs())
	}
}

// A device that renewed after the backup from which this server was restored is known by its subject, and its session is as any (HST-101).
func TestHST101Windows(t *testing.T) {
	ctx := context.Background()
	l := newWindowsLab(t)
	p, other := l.pc(pcID(1)).enrol(), l.pc(pcID(2)).enrol()
	backup := l.now()
	l.setClock(backup.Add(7 * day))
	l.must(l.store.Apply(ctx, l.pnow(), &store.Change{Restored: &delivery.Restoration{Since: protocol.At(backup)}}))
	var err error
	l.core, err = server.Open(ctx, l.pnow(), server.Config{Store: l.store})
	l.must(err)
	l.h.cfg.Server, l.h.cfg.Handle = l.core, l.core.Handle
	l.setClock(backup.Add(9 * day))
	lost := l.forgotten(p.who.Certificate.Subject.CommonName, backup.Add(day))
	thief := l.pc(other.id)
	thief.wears(lost.Certificate.Raw, lost.Key.(*ecdsa.PrivateKey))
	if a, m := thief.sends(thief.begin()); m != nil || a.status != http.StatusForbidden {
		t.Errorf("under another device's name it is answered %d", a.status)
	}
	p.wears(lost.Certificate.Raw, lost.Key.(*ecdsa.PrivateKey))
	if p.sync(); p.state().Identity.Fingerprint != fingerprint(lost.Certificate) {
		t.Errorf("it is not the device's identity\n%s", l.log)
	}
}

// Whatever a device says, it is answered in the protocol or by a status, and its neighbour stays as it was. The decoder has fuzz
// targets of its own; these are messages that it mostly takes.
func TestHST017Mutated(t *testing.T) {
	l := newWindowsLab(t)
	p, other := l.pc(pcID(1)).enrol(), l.pc(pcID(2)).enrol()
	client := newBare(l.h, p.who.Certificate)
	before, chance := other.state(), rand.New(rand.NewPCG(1, 2))
	words := []string{"1", "0", "4294967295", "-1", "", "<Final/>", "Replace", "Exec", "Status", "Atomic", "1226", "1223", "1222", "418", "404", "213", "500", p.id, other.id, "./User/"}
	for range 400 {
		l.order(p.id, protocol.DeviceInformation)
		first := p.begin()
		messages := [][]byte{windows.EncodeMessage(nil, first)}
		if a, in := p.sends(first); in != nil {
			messages = append(messages, windows.EncodeMessage(nil, p.obey(in)))
		} else if a.status != http.StatusForbidden {
			t.Fatalf("a good message is answered %d", a.status)
		}
		body := slices.Clone(messages[chance.IntN(len(messages))])
		for range 1 + chance.IntN(3) {
			parts := bytes.Split(body, []byte(">"))
			i := chance.IntN(len(parts))
			if text, tag, ok := bytes.Cut(parts[i], []byte("<")); ok && len(text) > 0 { // another text in an element
				parts[i] = append([]byte(words[chance.IntN(len(words))]+"<"), tag...)
			} else { // another element
				parts[i] = bytes.ReplaceAll(parts[i], []byte("Item"), []byte(words[chance.IntN(len(words))]))
			}
			body = bytes.Join(parts, []byte(">"))
		}
		w := client.post(windows.ManagementPath, windows.SyncMLContentType, body)
		var m windows.Message
		switch {
		case w.Code == http.StatusOK && windows.DecodeMessage(w.Body.Bytes(), &m) != nil, w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusForbidden:
			t.Fatalf("%s\nis answered %d %s", body, w.Code, w.Body)
		}
		if s := p.state(); s.Life != delivery.Enrolled { // it said that it leaves
			p.session, p.key = 0, newKey()
			p.enrol()
			client = newBare(l.h, p.who.Certificate)
		}
	}
	if after := other.state(); after.LastSeen != before.LastSeen || after.Seq != before.Seq || after.Life != before.Life {
		t.Error("another device has changed")
	}
}
