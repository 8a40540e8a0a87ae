package device

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/csp"
	"rollcall/server/delivery"
)

// turnTo makes an authority the tenant's.
func (l *lab) turnTo(a protocol.Authority) {
	l.t.Helper()
	_, err := l.core.SetAuthority(context.Background(), l.pnow(), server.System, authority.Change{Authority: a}, "", -1)
	l.must(err)
}

// takes takes away a profile of the tenant's authority.
func (l *lab) takes(name string) {
	l.t.Helper()
	l.takesOf(protocol.Unknown, name)
}

func (l *lab) takesOf(a protocol.Authority, name string) {
	l.t.Helper()
	_, err := l.core.TakeProfile(context.Background(), l.pnow(), server.System, server.ProfileRemoval{Authority: a, Name: name}, "")
	l.must(err)
}

const policies = msft + "Policy/Config/K/"

// A namesake of another authority's is written again though it is alike, for the device drops what is left of that one (AUTH-26, AUTH-27).
func TestAUTH26WindowsAlike(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	alike := document(set("Add", policies+"One", "int", "1"))
	l.profile("p", "windows.p", protocol.Configuration, alike)
	p.sync()
	l.profileOf(protocol.SCCM, "p", "windows.p", protocol.Configuration, alike)
	l.turnTo(protocol.SCCM)
	p.tree[csp.NodeConfigInfo] = "255"
	p.told = nil
	if p.sync(); writes(p) != "Replace "+policies+"One\n" {
		t.Errorf("it is told\n%s", p.verbs())
	}
}

// A setting that a new profile has written is no longer that of an old one, of the authority before, which has seven days: it leaves with the new
// profile (AUTH-55), for the device takes it for the new authority's and would not drop it by itself (WIN-072). What only the old one has set
// stays its seven days.
func TestAUTH27WindowsOverwritten(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.profile("old", "windows.old", protocol.Configuration, document(set("Add", policies+"One", "int", "1")+set("Add", policies+"Two", "int", "1")))
	p.sync()
	l.turnTo(protocol.SCCM)
	p.tree[csp.NodeConfigInfo] = "255"
	l.profileOf(protocol.SCCM, "new", "windows.new", protocol.Configuration, document(set("Add", policies+"One", "int", "2")))
	if p.sync(); p.tree[policies+"One"] != "2" || len(p.state().Profiles) != 2 {
		t.Fatalf("%v, %+v\n%s", p.tree, p.state().Profiles, p.verbs())
	}
	l.takesOf(protocol.SCCM, "new")
	p.told = nil
	if p.sync(); writes(p) != "Delete "+policies+"One\n" || p.tree[policies+"Two"] != "1" || len(p.state().Profiles) != 1 {
		t.Errorf("it leaves: %v, %+v\n%s", p.tree, p.state().Profiles, p.verbs())
	}
	l.setClock(l.now().Add(7 * 24 * time.Hour))
	p.told = nil
	if p.sync(); p.tree[policies+"Two"] != "" || len(p.state().Profiles) != 0 {
		t.Errorf("seven days later: %v, %+v\n%s", p.tree, p.state().Profiles, p.verbs())
	}
}

// A new profile that failed takes nothing of an old one's along when it is unassigned within the seven days, also where the first command for that
// fails: what it wrote over, if anything, goes with the old one.
func TestAUTH27WindowsFailedLeaves(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.profile("old", "windows.old", protocol.Configuration, document(set("Add", policies+"One", "int", "1")+set("Add", policies+"Two", "int", "1")))
	p.sync()
	l.turnTo(protocol.SCCM)
	p.tree[csp.NodeConfigInfo] = "255"
	l.profileOf(protocol.SCCM, "new", "windows.new", protocol.Configuration, document(set("Replace", policies+"One", "int", "2")+set("Add", policies+"Three", "int", "2")))
	p.fails["Replace "+policies+"One"] = windows.CommandFailed
	if p.sync(); p.tree[policies+"Three"] != "2" || len(p.state().Profiles) != 2 || p.state().Profiles[1].State != delivery.InstallFailed {
		t.Fatalf("%v, %+v\n%s", p.tree, p.state().Profiles, p.verbs())
	}
	l.takesOf(protocol.SCCM, "new")
	for _, fails := range []windows.Code{windows.CommandFailed, 0} {
		delete(p.fails, "Delete "+policies+"Three")
		if fails != 0 {
			p.fails["Delete "+policies+"Three"] = fails
		}
		p.told = nil
		if p.sync(); writes(p) != "Delete "+policies+"Three\n" {
			t.Errorf("it leaves, answered %d:\n%s", fails, p.verbs())
		}
	}
	if p.tree[policies+"One"] != "1" || p.tree[policies+"Two"] != "1" || p.tree[policies+"Three"] != "" || len(p.state().Profiles) != 1 {
		t.Errorf("it has left: %v, %+v", p.tree, p.state().Profiles)
	}
	l.setClock(l.now().Add(7 * 24 * time.Hour))
	if p.sync(); p.tree[policies+"One"] != "" || p.tree[policies+"Two"] != "" || len(p.state().Profiles) != 0 {
		t.Errorf("seven days later: %v, %+v", p.tree, p.state().Profiles)
	}
}

// writes are what a device was told of profiles.
func writes(p *pc) (out string) {
	for _, c := range p.told {
		if uri := c.Items; len(uri) > 0 && c.Verb != windows.Get && uri[0].Target != csp.NodeNotice(ProviderID) {
			out += c.Verb.String() + " " + uri[0].Target + "\n"
		}
	}
	return out
}

// What two profiles set stays as long as one of them is there: whether the other leaves or has a newer version without it (WIN-070).
func TestWIN070Shared(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	one, two := set("Replace", policies+"One", "int", "1"), set("Replace", policies+"Two", "int", "1")
	l.profile("a", "windows.a", protocol.Configuration, document(one+two))
	l.profile("b", "windows.b", protocol.Configuration, document(two))
	p.sync()
	l.profile("a", "windows.a", protocol.Configuration, document(one))
	p.told = nil
	if p.sync(); writes(p) != "" || p.tree[policies+"Two"] != "1" {
		t.Errorf("a newer version without it:\n%s", p.verbs())
	}
	l.profile("a", "windows.a", protocol.Configuration, document(one+two))
	p.sync()
	l.takes("a")
	p.told = nil
	if p.sync(); writes(p) != "Delete "+policies+"One\n" || p.tree[policies+"Two"] != "1" {
		t.Errorf("it leaves:\n%s", p.verbs())
	}
	l.takes("b")
	p.told = nil
	if p.sync(); writes(p) != "Delete "+policies+"Two\n" {
		t.Errorf("so does the other:\n%s", p.verbs())
	}
}

// The certificate by which devices trust the server stays, though a profile that brought it as well leaves.
func TestWindowsTrustStays(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	root := l.h.ca.Certificate().Raw
	node := fmt.Sprintf("%sRootCATrustedCertificates/Root/%x/EncodedCertificate", msft, sha1.Sum(root))
	l.profile("root", "windows.root", protocol.Certificate, document(set("Add", node, "b64", base64.StdEncoding.EncodeToString(root))+set("Replace", policies+"One", "int", "1")))
	p.sync()
	l.takes("root")
	p.told = nil
	if p.sync(); writes(p) != "Delete "+policies+"One\n" || len(p.state().Profiles) != 0 {
		t.Errorf("it is told\n%s%+v", p.verbs(), p.state().Profiles)
	}
}

// TestWIN038Remains: what a profile set before one of its commands failed goes when nobody wants it any more, and with the next version
// that no longer has it (windows.md section 11).
func TestWIN038Remains(t *testing.T) {
	one, two := set("Add", policies+"One", "int", "1"), set("Add", policies+"Two", "int", "1")
	failing := func(t *testing.T) (*lab, *pc) {
		l := newWindowsLab(t)
		p := l.pc(pcID(1)).enrol()
		p.fails["Add "+policies+"Two"] = windows.Forbidden
		l.profile("p", "windows.p", protocol.Configuration, document(one+two))
		if p.sync(); p.state().Profiles[0].State != delivery.InstallFailed || p.tree[policies+"One"] == "" {
			t.Fatalf("it has not failed in part: %+v\n%s", p.state().Profiles, p.verbs())
		}
		p.told = nil
		return l, p
	}
	t.Run("removed", func(t *testing.T) {
		l, p := failing(t)
		l.takes("p")
		if p.sync(); writes(p) != "Delete "+policies+"One\nDelete "+policies+"Two\n" || len(p.tree) != 0 || len(p.state().Profiles) != 0 {
			t.Errorf("it is told\n%s%v %+v", p.verbs(), p.tree, p.state().Profiles)
		}
	})
	t.Run("newer", func(t *testing.T) {
		l, p := failing(t)
		l.profile("p", "windows.p", protocol.Configuration, document(set("Add", policies+"Three", "int", "1")))
		p.sync()
		if _, still := p.tree[policies+"One"]; still || p.tree[policies+"Three"] != "1" || len(p.state().Profiles) != 1 {
			t.Errorf("it is told\n%s%v %+v", p.verbs(), p.tree, p.state().Profiles)
		}
	})
	t.Run("over an older one", func(t *testing.T) {
		l := newWindowsLab(t)
		p := l.pc(pcID(1)).enrol()
		l.profile("p", "windows.p", protocol.Configuration, document(set("Add", policies+"Old", "int", "1")))
		p.sync()
		p.fails["Add "+policies+"Two"] = windows.Forbidden
		l.profile("p", "windows.p", protocol.Configuration, document(one+two))
		p.sync()
		l.takes("p")
		if p.sync(); len(p.tree) != 0 || len(p.state().Profiles) != 0 {
			t.Errorf("%v is left, and of the profiles %+v\n%s", p.tree, p.state().Profiles, p.verbs())
		}
	})
}
