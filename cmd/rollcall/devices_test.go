//go:build !agentonly

package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/agent/host"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// Whoever lists devices hears of those that have one serial number between them, with what to do, and of ever so many in a few lines.
func TestDevicesOfOneSerialNumber(t *testing.T) {
	device := func(id, serial, life string) target.Device { return target.Device{ID: id, Serial: serial, Life: life} }
	list := []target.Device{device("a", "S1", "enrolled"), device("b", "S2", "enrolled"), device("c", "", "enrolled"), device("d", "", "enrolled"), device("e", "S2", "ended")}
	if got := twins(list); len(got) != 0 {
		t.Errorf("no two have one, and it says %q", got)
	}
	got := twins(append(list, device("f", "S1", "enrolled")))
	if len(got) != 1 || !strings.Contains(got[0], `"S1" is of 2 devices, a, f: `) || !strings.Contains(got[0], "rollcall devices retire") {
		t.Errorf("%q", got)
	}
	list = nil
	for n := range 20 {
		list = append(list, device(strconv.Itoa(n), strconv.Itoa(n/2), "enrolled"))
	}
	if got := twins(list); len(got) != mostTwins+1 || !strings.Contains(got[mostTwins], "5 more") {
		t.Errorf("%q", got)
	}
}

// Whoever looks at one device hears of the other one that has its serial number, in one line.
func TestShowOfACopiedMachine(t *testing.T) {
	t.Parallel()
	m, _ := enrolledMachine(t, serveConfig{})
	first := m.device().ID
	says := func() string {
		t.Helper()
		c := &client{server: m.s.URL, data: filepath.Dir(m.s.TokenFile)}
		var out, no strings.Builder
		cmd := devicesShowCommand(c)
		cmd.SetArgs([]string{first})
		cmd.SetOut(&out)
		cmd.SetErr(&no)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return no.String()
	}
	if got := says(); got != "" {
		t.Errorf("alone: %q", got)
	}
	m.dir, m.id = filepath.Join(t.TempDir(), "copy"), strings.Repeat("e", 32)
	if err := m.open().Enrol(t.Context(), host.Join{URL: m.invite(), CA: "sha256:" + m.s.Fingerprint}); err != nil {
		t.Fatal(err)
	}
	if got := says(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `serial number "PF1ABCDE" is of 2 devices`) {
		t.Errorf("with a copy: %q", got)
	}
}

// A PC that has said that it leaves is shown so, with when it will have left (WIN-040).
func TestShowOfAPCThatLeaves(t *testing.T) {
	t.Parallel()
	d := &target.Details{Device: target.Device{ID: "A", Life: "enrolled", LeavesAt: protocol.At(time.Date(2026, 3, 2, 17, 0, 0, 0, time.UTC))}}
	var out strings.Builder
	if printDevice(&out, d); !strings.Contains(out.String(), "leaving") || !strings.Contains(out.String(), "silent until 2026-03-02 17:00:00") {
		t.Errorf("shown as\n%s", &out)
	}
	out.Reset()
	d.LeavesAt = 0
	if printDevice(&out, d); strings.Contains(out.String(), "leaving") || strings.Contains(out.String(), "silent") {
		t.Errorf("one that stays is shown as\n%s", &out)
	}
}

// A device that calls itself ever so much widens no table; a short name is whole, whatever its letters.
func TestDevicesOfLongNames(t *testing.T) {
	for in, want := range map[string]string{
		strings.Repeat("é", 40):  strings.Repeat("é", 40),
		strings.Repeat("é", 300): strings.Repeat("é", 39) + "…",
	} {
		if got := narrow(in); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A setting that did not get into an Android device's policy is shown with the profile that it is of, and why (AND-062).
func TestAND062ShowOfWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	d := &target.Details{Device: target.Device{ID: "A", Android: &target.AndroidDevice{LeftOut: []target.LeftOut{{Profile: "android.updates", Setting: "systemUpdate", Reason: "MANAGEMENT_MODE"}}}}}
	var out strings.Builder
	if printDevice(&out, d); !strings.Contains(out.String(), "systemUpdate of android.updates: MANAGEMENT_MODE") {
		t.Errorf("shown as\n%s", &out)
	}
}
