package device

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/csp"
	"rollcall/server/delivery"
)

// TestWIN038Stopped: a device that answers 214 takes no more commands in its session; what was to come, and what it did not do, come in the
// next one, and nothing has failed (windows.md section 6.1). Another process may take over meanwhile.
func TestWIN038Stopped(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	names := []string{"A", "B", "C"}
	for _, name := range names {
		l.profile(name, "windows."+name, protocol.Configuration, document(set("Replace", msft+"Policy/Config/P/"+name, "chr", strings.Repeat("x", 3000))))
	}
	begin := p.begin()
	begin.Header.MaxMsgSize = 5000
	in := p.must(begin)
	first := ""
	for i := range in.Commands {
		if c := &in.Commands[i]; c.Verb == windows.Replace {
			first = c.Items[0].Target
			p.fails["Replace "+first] = windows.OperationCancelled
		}
	}
	if first == "" || len(p.state().Queue) != 3 {
		t.Fatalf("answered %s, %d commands wait", codes(in), len(p.state().Queue))
	}
	cancelled := p.obey(in)
	cancelled.Final = false // it has more to say
	if in = p.must(cancelled); strings.Contains(string(windows.EncodeMessage(nil, in)), "Policy/Config") || !p.more(in) {
		t.Errorf("amid its package it is answered %s, want to be asked for the rest", codes(in))
	}
	rest := &windows.Message{Header: p.head(), Final: true, Commands: []windows.Command{{Verb: windows.Alert, CmdID: 1, Code: windows.NextMessage}}}
	if in = p.must(rest); p.more(in) {
		t.Errorf("after 214 it is given more: %s", windows.EncodeMessage(nil, in))
	}
	for _, a := range p.state().Profiles {
		if a.State != delivery.Installing {
			t.Errorf("a profile is %s", a.State)
		}
	}
	delete(p.fails, "Replace "+first)
	if p.sync(); len(p.state().Queue) != 0 {
		t.Errorf("after the next session %d commands wait", len(p.state().Queue))
	}
	for _, a := range p.state().Profiles {
		if a.State != delivery.Installed {
			t.Errorf("in the end a profile is %s", a.State)
		}
	}
}

// TestHST027Repeats: only an answer that makes an end of a device's management goes out with the proof of it, the first time and when it is
// repeated, whatever else is in a value.
func TestHST027Repeats(t *testing.T) {
	l := newWindowsLab(t, withSeal(t))
	p := l.pc(pcID(1)).enrol()
	for _, node := range []string{csp.NodeConfigInfo, msft + "RemoteWipe/doWipe", msft + "DMClient/Unenroll"} {
		l.profile("three", "windows.three", protocol.Configuration, document(set("Replace", msft+"Policy/Config/K/Three", "chr", "see "+node)))
		raw := windows.EncodeMessage(nil, p.begin())
		for _, which := range []string{"first", "repeated"} {
			a, in := p.sendRaw(raw)
			if in == nil || !bytes.Contains(a.body, []byte(node+"<")) || a.header.Get(apple.OrderHeader) != "" {
				t.Errorf("%s, %s: answered %d with the order %q", node, which, a.status, a.header.Get(apple.OrderHeader))
			}
		}
		p.sync()
	}
	l.order(p.id, protocol.Erase)
	raw := windows.EncodeMessage(nil, p.begin())
	var in *windows.Message
	for _, which := range []string{"first", "repeated"} {
		a, m := p.sendRaw(raw)
		if in = m; a.status != http.StatusOK || a.header.Get(apple.OrderHeader) == "" {
			t.Errorf("the order to erase, %s, has no proof: %d", which, a.status)
		}
	}
	if a, _ := p.sends(p.obey(in)); a.status != http.StatusOK || a.header.Get(apple.OrderHeader) != "" {
		t.Errorf("the answer after it, %d, has the order %q", a.status, a.header.Get(apple.OrderHeader))
	}
}

// TestWIN033NoResp: what wants no answer has none; the head has one always.
func TestWIN033NoResp(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	m := p.begin()
	get := windows.Command{Verb: windows.Get, CmdID: 20, NoResp: true, Items: []windows.Item{{Target: "./DevInfo/Mod"}}}
	m.Commands = append(m.Commands, get)
	if in := p.must(m); codes(in) != "SyncHdr/0=200 Alert/2=200 Alert/3=200 Replace/4=200" {
		t.Errorf("one command: %s", codes(in))
	}
	m = p.begin()
	m.Header.NoResp = true
	if in := p.must(m); codes(in) != "SyncHdr/0=200" {
		t.Errorf("the whole message: %s", codes(in))
	}
}

// TestWIN041Status: why a device cannot be woken is in the log once, and in its record for as long as it says so.
func TestWIN041Status(t *testing.T) {
	l := newWindowsLab(t, func(c *Config) { c.Windows.PFN = "Rollcall.Test_1" })
	p := l.pc(pcID(1))
	p.tree[csp.NodePushStatus(ProviderID)] = "0"
	p.enrol()
	if l.logged("cannot be woken") {
		t.Error("of a device that is well")
	}
	p.tree[csp.NodePushStatus(ProviderID)] = "3"
	if p.sync(); !l.logged("cannot be woken", "revoked", p.id) {
		t.Errorf("the log does not say so:\n%s", l.log)
	}
	kept := l.record(p.id).Facts
	if got := server.PushFault(&kept); !strings.Contains(got, "revoked") {
		t.Errorf("its record says %q", got)
	}
	if p.sync(); strings.Count(l.log.String(), "cannot be woken") != 1 || l.record(p.id).Facts != kept {
		t.Errorf("the same again is in the log again, or in the record: %+v", l.record(p.id).Facts)
	}
	p.tree[csp.NodePushStatus(ProviderID)] = "0"
	p.sync()
	if now := l.record(p.id).Facts; server.PushFault(&now) != "" || enrolledAs(&now) != enrolledAs(&kept) || enrolledAs(&now) == "" {
		t.Errorf("once all is well, its record says %+v", now)
	}
}

// TestWIN038Torn: a device that could not undo its half of a profile (516) is one to look at, until the profile is whole again
// (windows.md section 6.1).
func TestWIN038Torn(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	torn := func() string { r := l.record(p.id); return strings.Join(server.Torn(&r.Facts), " ") }
	node := msft + "Policy/Config/P/"
	l.profile("whole", "windows.whole", protocol.Configuration, document("<Atomic><CmdID>1</CmdID>"+set("Replace", node+"A", "chr", "a")+set("Replace", node+"B", "chr", "b")+"</Atomic>"))
	l.profile("other", "windows.other", protocol.Configuration, document(set("Replace", node+"C", "chr", "c")))
	p.fails["Replace "+node+"A"], p.fails["Replace "+node+"B"] = windows.RollBackFailed, windows.CommandFailed
	if p.sync(); torn() != "windows.whole" || !l.logged("could not undo", p.id) {
		t.Fatalf("to be looked at: %q\n%s", torn(), l.log)
	}
	clear(p.fails)
	if p.sync(); torn() != "" {
		t.Errorf("carried out whole, it is still to be looked at: %q", torn())
	}
}

// TestHST056Messages: a session comes to an end by the server, and what was left of it comes in the next; who goes on with it is turned away.
func TestHST056Messages(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.order(p.id, protocol.Lock)
	for _, final := range []bool{true, false} {
		m := p.begin()
		m.Header.MsgID, p.msg = mostMessages-1, mostMessages-1
		in := p.must(m)
		if !p.more(in) {
			t.Fatalf("the last message but one has no work: %s", codes(in))
		}
		l.order(p.id, protocol.Restart)
		last := p.obey(in)
		last.Final = final
		if in = p.must(last); p.more(in) {
			t.Errorf("the last message asks for more: %s", windows.EncodeMessage(nil, in))
		}
		if q := p.state().Queue; len(q) != 1 || q[0].Offers != 0 {
			t.Errorf("of what it is not given: %+v", q)
		}
		in = p.must(&windows.Message{Header: p.head(), Final: true, Commands: []windows.Command{{Verb: windows.Alert, CmdID: 1, Code: windows.NextMessage}}})
		if codes(in) != "SyncHdr/0=503" || !in.Final || !l.logged("refused", "HST-056", p.id) {
			t.Errorf("one more: %s\n%s", codes(in), l.log)
		}
	}
	if p.sync(); len(p.state().Queue) != 0 {
		t.Errorf("after the next session %d commands wait", len(p.state().Queue))
	}
}

// TestWIN038Meanings: what a status means beside a failure is in the history.
func TestWIN038Meanings(t *testing.T) {
	for code, want := range map[windows.Code]string{
		windows.OptionalNotSupported: "Replace 406: not applicable to the device", windows.RollBackFailed: "Replace 516: the device could not undo its half, look at it",
		windows.Forbidden: "Replace 403",
	} {
		if got := (&part{Verb: windows.Replace, Code: code}).said(); got != want {
			t.Errorf("%d: %q, want %q", code, got, want)
		}
	}
}
