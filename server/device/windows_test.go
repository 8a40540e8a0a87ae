package device

import (
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server/delivery"
)

func TestWindowsSmoke(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	s := p.state()
	if s.Life != delivery.Enrolled || s.Registered != protocol.Intune || len(s.Queue) != 0 {
		t.Fatalf("%+v\n%s", s, l.log)
	}
	l.profile("wifi", "org.wifi", protocol.WiFi, apple.EncodeProfile(apple.NewProfile("org.wifi", "office", protocol.WiFi)))
	n := p.sync()
	t.Logf("%d messages\n%s\n%+v", n, p.verbs(), p.state().Profiles)
	n = p.sync()
	t.Logf("%d messages\n%s", n, p.verbs())
}
