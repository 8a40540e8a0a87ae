package dialect

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
)

// HST-027: a machine that is managed as a Windows device is out of management by its server's signed order alone, and says what was asked.
func TestHST027AWindowsMachineLeavesByItsServersOrder(t *testing.T) {
	seal, other := newSeal(t), newSeal(t)
	for name, tt := range map[string]struct {
		by     *certs.Seal // nil: nobody
		device string
		age    time.Duration
		ahead  time.Duration // of the machine's clock
		leaves bool
	}{
		"its own":               {seal, winID, 0, 0, true},
		"none":                  {nil, winID, 0, 0, false},
		"another server's":      {other, winID, 0, 0, false},
		"another device's":      {seal, winHandle, 0, 0, false},
		"kept":                  {seal, winID, 30 * time.Hour, 0, false},
		"on a clock of its own": {seal, winID, 340 * 24 * time.Hour, 340 * 24 * time.Hour, true},
	} {
		for command, c := range map[string]windows.Command{
			"DMClient/Unenroll": on(windows.Exec, csps+"DMClient/Unenroll", "rollcall", windows.FormatChr),
			"RemoteWipe/doWipe": on(windows.Exec, csps+"RemoteWipe/doWipe"),
		} {
			s := managed(t, &WindowsHabits{Seal: seal.Key(), Ahead: tt.ahead})
			s.begin(Synced)
			if tt.by != nil {
				s.order = order(t, tt.by, apple.Order{Device: tt.device, Certificate: sha256.Sum256(s.d.Certificate(Current)), At: s.now.Add(-tt.age)})
			}
			s.says(c)
			s.order = ""
			want := Order{Command: command, Status: protocol.Acknowledged}
			if !tt.leaves {
				want.Status, want.Why = protocol.Failed, "answered with 500"
			}
			if got := s.act.Request.Orders; !slices.Equal(got, []Order{want}) {
				t.Errorf("%s: %s: orders %+v, want %+v", name, command, got, want)
			}
			s.ends()
			if left := s.d.Phase() != agent.Enrolled; left != tt.leaves {
				t.Errorf("%s: %s: phase %s", name, command, s.d.Phase())
			}
		}
	}
}

// HST-027: the silence of whoever is in front of its server takes no machine out of management.
func TestHST027AWindowsMachineOutlivesASilence(t *testing.T) {
	s := managed(t, &WindowsHabits{Seal: newSeal(t).Key()}, func(p *windows.Provisioning) { p.DMClient.LostContactDays = 30 })
	s.later(300 * 24 * time.Hour)
	s.d.Begin(s.now, Scheduled, &s.act)
	if s.d.Phase() != agent.Enrolled {
		t.Errorf("phase %s", s.d.Phase())
	}
}

// What a machine does not tell is not there, and what it tells is as it says.
func TestWindowsFactsAreTheMachines(t *testing.T) {
	s := managed(t, plainWindows)
	told := *desktop
	told.Tell = func(path string) (string, bool) { return "17", path == "DevDetail/Ext/Microsoft/TotalRAM" }
	s.d.Share(&told, plainWindows)
	codes, results := s.tell(
		on(windows.Get, "./DevDetail/Ext/Microsoft/TotalRAM"), on(windows.Get, csps+"DeviceStatus/SecureBootState"),
		on(windows.Get, "./DevDetail/Ext/Microsoft/FreeStorage"), on(windows.Get, csps+"DeviceStatus/Antivirus/Status"),
	)
	if codes != "200 404 404 404" || len(results) != 1 || results[0].Data != "17" || results[0].Meta.Format != windows.FormatInt {
		t.Errorf("codes %s, %+v", codes, results)
	}
}
