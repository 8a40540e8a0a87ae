package device

import (
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server/csp"
)

// A PC without a user never becomes pending or stale (AUTH-28), so that nothing but the notice tells it of a change: where the session with
// that is lost it is told again in the next, and once it has answered no more.
func TestAUTH27UserlessPCIsToldAgain(t *testing.T) {
	notice := csp.NodeNotice(ProviderID)
	for _, tt := range []struct {
		name string
		code windows.Code // its answer to the notice's Replace; 0: it takes it
		lost int          // messages of each lost session
	}{
		{"cut at package 2", 0, 0},
		{"cut before the Add of a node that it lacks", windows.NotFound, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newWindowsLab(t)
			p := l.pc(pcID(1))
			if code := p.unpacks(p.packaged(l.newPackage("kiosk", 1))); code != 0 || p.state().User != 0 {
				t.Fatalf("%v, %+v", code, p.state())
			}
			l.turnTo(protocol.SCCM)
			epoch := l.core.World().Tenant.Epoch
			if tt.code != 0 {
				p.fails["Replace "+notice] = tt.code
			}
			for range 2 {
				in := p.must(p.begin())
				for range tt.lost {
					in = p.must(p.obey(in))
				}
				if text := string(windows.EncodeMessage(nil, in)); !strings.Contains(text, "authority=sccm;epoch=2;") {
					t.Fatalf("it is not told:\n%s", text)
				}
				if p.state().Heard == epoch {
					t.Error("it has heard by a message that it never answered")
				}
			}
			if p.sync(); p.state().Heard != epoch || !strings.HasPrefix(p.tree[notice], "authority=sccm;epoch=2;") {
				t.Errorf("after a whole session it knows %q, and has heard of epoch %d", p.tree[notice], p.state().Heard)
			}
			p.told = nil
			if p.sync(); strings.Contains(p.verbs(), notice) {
				t.Errorf("it is told once more\n%s", p.verbs())
			}
		})
	}
}
