package device

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/csp"
)

func (l *lab) takes(name string) {
	l.t.Helper()
	_, err := l.core.TakeProfile(context.Background(), l.pnow(), server.System, server.ProfileRemoval{Name: name}, "")
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
	_, err := l.core.PutProfile(context.Background(), l.pnow(), server.System, server.ProfileChange{
		Authority: protocol.SCCM, Name: "p", Family: protocol.Configuration, Identifier: "windows.p", Payload: alike, Groups: []string{"all"},
	}, "")
	l.must(err)
	_, err = l.core.SetAuthority(context.Background(), l.pnow(), server.System, authority.Change{Authority: protocol.SCCM}, "", -1)
	l.must(err)
	p.tree[csp.NodeConfigInfo] = "255"
	p.told = nil
	if p.sync(); writes(p) != "Replace "+policies+"One\n" {
		t.Errorf("it is told\n%s", p.verbs())
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
