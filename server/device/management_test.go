package device

import (
	"net/http"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// Who manages a device is told to those that ask, and to nobody else.
func TestAUTH11WhoAsksIsToldWhoManages(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	for _, asked := range []http.Header{nil, {apple.ManagementHeader: {apple.AsksManagement}}} {
		a, err := p.do(http.MethodPut, commandPath, asked, encode(p.idle()))
		if err != nil || a.status != http.StatusOK {
			t.Fatal(a, err)
		}
		said := a.header.Get(apple.ManagementHeader)
		if asked == nil {
			if said != "" {
				t.Errorf("who does not ask is told %q", said)
			}
			continue
		}
		if m, err := apple.DecodeManagement(said); err != nil || m.Authority != protocol.Intune || m.Rule != protocol.RuleIntune || m.Since == 0 {
			t.Errorf("told %q: %+v, %v", said, m, err)
		}
	}
}
