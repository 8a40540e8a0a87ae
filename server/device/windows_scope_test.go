package device

import (
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server/csp"
	"rollcall/server/delivery"
)

// userAlone says that a session is the signed-in user's.
func userAlone(scope string) windows.Command {
	return windows.Command{Verb: windows.Alert, Code: windows.ClientEvent, Items: []windows.Item{{Meta: windows.Meta{Type: windows.TypeSyncType}, Data: scope}}}
}

const userPolicy = "./User/Vendor/MSFT/Policy/Config/"

// windows.md section 6: in a session of the user's alone nothing of the device's own is said or asked, and the device has not been asked for
// what it should have (AUTH-21).
func TestWindowsSyncTypeUser(t *testing.T) {
	l := newWindowsLab(t, func(c *Config) { c.Windows.PFN = "Rollcall.Test_1234" })
	p := l.pc(pcID(1)).enrol()
	l.profile("user", "windows.user", protocol.Configuration, document(set("Replace", userPolicy+"A/B", "int", "1")))
	l.profile("machine", "windows.machine", protocol.Configuration, document(set("Replace", msft+"Policy/Config/A/B", "int", "1")))
	l.order(p.id, protocol.Restart)
	l.setClock(l.now().Add(time.Hour))
	p.told = nil
	p.sync(userAlone(windows.SyncUser))
	if got := p.verbs(); got != "Replace "+userPolicy+"A/B\n" {
		t.Errorf("it is told\n%s", got)
	}
	s := p.state()
	if len(s.Queue) != 2 {
		t.Errorf("queue %+v", s.Queue)
	}
	if p.sync(); len(p.state().Queue) != 0 || !strings.Contains(p.verbs(), msft+"Policy/Config/A/B") || !strings.Contains(p.verbs(), "Push/ChannelURI") {
		t.Errorf("the next session brings\n%s", p.verbs())
	}
	p.told = nil
	p.sync(userAlone("mixed"))
	if !strings.Contains(p.verbs(), "Push/ChannelURI") {
		t.Error("a session of both is the user's alone")
	}
	// A profile of both scopes goes out: what the device refuses for its scope waits and has not failed.
	l.profile("both", "windows.both", protocol.Configuration, document(set("Replace", userPolicy+"C/D", "int", "1")+set("Replace", msft+"Policy/Config/C/D", "int", "1")))
	p.fails["Replace "+msft+"Policy/Config/C/D"] = windows.NotAllowed
	for range 4 {
		p.sync(userAlone(windows.SyncUser))
	}
	if s := p.state(); len(s.Queue) != 1 || s.Reports.Failed != 0 {
		t.Errorf("queue %+v, %+v", s.Queue, s.Reports)
	}
	clear(p.fails)
	if p.sync(); len(p.state().Queue) != 0 {
		t.Errorf("queue %+v", p.state().Queue)
	}
	for _, a := range []protocol.Authority{protocol.SCCM, protocol.Intune} {
		l.turnTo(a)
	}
	epoch := l.core.World().Tenant.Epoch
	p.told = nil
	for range 2 {
		if p.sync(userAlone(windows.SyncUser)); p.state().Epoch == epoch || p.state().Heard == epoch || strings.Contains(p.verbs(), "ConfigInfo") {
			t.Errorf("a session of the user's moves the device, or tells it of the change\n%s", p.verbs())
		}
	}
	if p.sync(); p.state().Epoch != epoch || p.state().Heard != epoch || !strings.Contains(p.verbs(), csp.NodeNotice(ProviderID)) {
		t.Errorf("its own session does not\n%s", p.verbs())
	}
}

// windows.md section 6: an Atomic that failed because its user had gone is requeued as a whole, as often as it takes; one that failed
// for another reason is tried three times.
func TestWindowsAtomicUserGone(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.profile("mail", "windows.mail", protocol.Email, document("<Atomic><CmdID>9</CmdID>"+set("Add", userPolicy+"A/B", "int", "1")+set("Add", userPolicy+"A/C", "int", "1")+set("Add", userPolicy+"A/D", "int", "1")+"</Atomic>"))
	// fails answers an Atomic of three as a device does whose second one fails with a code.
	fails := func(code windows.Code) {
		t.Helper()
		in := p.must(p.begin())
		for p.more(in) {
			out := p.obey(in)
			answers := []windows.Code{windows.AtomicFailed, windows.AtomicRolledBack, code, windows.NotExecuted}
			given := false
			for i := range out.Commands {
				if c := &out.Commands[i]; c.Verb == windows.Status && (c.Cmd == windows.Atomic || given) && len(answers) > 0 {
					c.Code, answers, given = answers[0], answers[1:], true
				}
			}
			in = p.must(out)
		}
	}
	for range 5 {
		fails(windows.NotAllowed)
	}
	if s := p.state(); len(s.Queue) != 1 || s.Reports.Failed != 0 || strings.Count(p.verbs(), "Atomic") != 5 {
		t.Fatalf("queue %+v, %+v\n%s", s.Queue, s.Reports, p.verbs())
	}
	fails(windows.NotExecuted) // none of them says why
	for range 3 {
		fails(windows.RollBackFailed)
	}
	if s := p.state(); len(s.Queue) != 0 || s.Profiles[0].State != delivery.InstallFailed || strings.Count(p.verbs(), "Atomic") != 8 {
		t.Errorf("queue %+v, %+v\n%s", s.Queue, s.Profiles, p.verbs())
	}
}

// windows.md section 10: to a device that is still at its commands the server says Status alone, as often as it comes, and the session goes on.
func TestWindowsKeepAlive(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.order(p.id, protocol.Restart)
	in := p.must(p.begin())
	if !p.more(in) {
		t.Fatal("the command does not come")
	}
	l.order(p.id, protocol.Lock)
	late := p.obey(in)
	for range 3 {
		works := &windows.Message{Header: late.Header, Final: true, Commands: []windows.Command{{
			Verb: windows.Alert, CmdID: 1, Code: windows.ClientEvent, Items: []windows.Item{{Meta: windows.Meta{Type: "Reversed-Domain-Name:" + windows.TypeRequestPends}, Data: "1"}},
		}}}
		if in = p.must(works); codes(in) != "SyncHdr/0=200 Alert/1=200" || !in.Final {
			t.Errorf("answered %+v", in)
		}
		late.Header = p.head()
	}
	if len(p.state().Queue) != 2 {
		t.Errorf("queue %+v", p.state().Queue)
	}
	in = p.must(late)
	if !p.more(in) || len(p.state().Queue) != 1 {
		t.Errorf("answered %+v, queue %+v", in, p.state().Queue)
	}
	if in = p.must(p.obey(in)); p.more(in) || len(p.state().Queue) != 0 {
		t.Errorf("answered %+v, queue %+v", in, p.state().Queue)
	}
}

// windows.md section 11: an account of Exchange that may be there is not added again, which would delete it.
func TestWindowsActiveSyncAgain(t *testing.T) {
	const account = "./User/Vendor/MSFT/ActiveSync/Accounts/%7B1%7D/"
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.profile("mail", "windows.mail", protocol.Email, document("<Atomic><CmdID>9</CmdID>"+set("Add", account+"EmailAddress", "chr", "a@b")+set("Add", account+"ServerName", "chr", "x")+"</Atomic>"))
	in := p.must(p.begin())
	adds := func(m *windows.Message) (verbs string) {
		for _, c := range m.Commands {
			for _, child := range c.Commands {
				verbs += child.Verb.String() + " "
			}
		}
		return verbs
	}
	if got := adds(in); got != "Add Add " {
		t.Fatalf("the first time: %q", got)
	}
	p.obey(in) // done, and the answer is lost
	in = p.must(p.begin())
	if got := adds(in); got != "Replace Replace " {
		t.Errorf("not known whether it is there: %q", got)
	}
	if in = p.must(p.obey(in)); p.more(in) || len(p.state().Queue) != 0 {
		t.Errorf("queue %+v", p.state().Queue)
	}
	l.profile("mail", "windows.mail", protocol.Email, document("<Atomic><CmdID>9</CmdID>"+set("Add", account+"EmailAddress", "chr", "c@d")+set("Add", account+"Domain", "chr", "x")+"</Atomic>"))
	in = p.must(p.begin())
	if got := adds(in); got != "Replace Replace " {
		t.Errorf("a leaf that is new: %q", got)
	}
	p.fails["Replace "+account+"Domain"] = windows.NotFound
	for p.more(in) {
		in = p.must(p.obey(in))
	}
	if p.tree[account+"EmailAddress"] != "c@d" || p.tree[account+"Domain"] != "x" || len(p.state().Queue) != 0 {
		t.Errorf("%v, queue %+v", p.tree, p.state().Queue)
	}
}
