package dialect

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
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
			want := Order{Command: command, UUID: "2/1/100", Status: protocol.Acknowledged}
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

// A broken placer makes nothing of the profiles at some nodes.
type brokenPlacer map[string]bool

func (p brokenPlacer) Place(identifier string, _ uint64, _ []byte) error {
	if p[identifier] {
		return errors.New("the disk is full")
	}
	return nil
}

// A profile of which the machine's files cannot be made is answered with 500 and is as it was before, in an Atomic with all that is in it;
// another one in the same message is taken (HST-092, WIN-049).
func TestHST092AWindowsProfileWithoutItsFiles(t *testing.T) {
	broken := brokenPlacer{}
	const office, lab = csps + "WiFi/Profile/office", csps + "WiFi/Profile/lab"
	habits := &WindowsHabits{Seal: newSeal(t).Key(), Placer: broken}
	s := managed(t, habits)
	if codes, _ := s.tell(on(windows.Add, office+"/WlanXml", "<one/>", windows.FormatChr)); codes != "200" {
		t.Fatalf("codes %s", codes)
	}
	s.ends()
	broken[office] = true
	s.begin(Synced)
	s.says(on(windows.Replace, office+"/WlanXml", "<two/>", windows.FormatChr), on(windows.Add, lab+"/WlanXml", "<lab/>", windows.FormatChr))
	orders := s.act.Request.Orders
	slices.SortFunc(orders, func(a, b Order) int { return strings.Compare(a.Profile, b.Profile) })
	if len(orders) != 2 || orders[0].Status != protocol.Acknowledged || orders[1].Status != protocol.Failed || orders[1].Why != "the disk is full" || orders[1].Profile != office {
		t.Errorf("orders %+v", orders)
	}
	s.ends()
	for uri, want := range map[string]string{office: "<one/>", lab: "<lab/>"} {
		if got, _ := s.d.Setting(uri + "/WlanXml"); got != want {
			t.Errorf("%s has %q, want %q", uri, got, want)
		}
	}
	if codes, _ := s.tell(on(windows.Replace, office+"/WlanXml", "<two/>", windows.FormatChr)); codes != "500" {
		t.Errorf("codes %s", codes)
	}
	both := atomic(on(windows.Replace, lab+"/WlanXml", "<more/>", windows.FormatChr), on(windows.Replace, office+"/WlanXml", "<two/>", windows.FormatChr))
	if codes, _ := s.tell(both); codes != "507 216 500" {
		t.Errorf("codes %s", codes)
	}
	if got, _ := s.d.Setting(lab + "/WlanXml"); got != "<lab/>" {
		t.Errorf("an Atomic that failed left %q", got)
	}
	broken[office] = false
	if codes, _ := s.tell(both); codes != "200 200 200" || len(s.d.Profiles()) != 2 {
		t.Errorf("codes %s, profiles %+v", codes, s.d.Profiles())
	}
}
