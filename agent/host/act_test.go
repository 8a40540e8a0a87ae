package host

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/protocol"
)

// word is a path as one word of a shell's, whatever the folder for temporary files is called.
func word(path string) string { return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'" }

// A command that an owner allowed holds the agent up for a moment at most, whatever it leaves running, and one that goes on, as a locked
// screen does, is neither stopped nor started again beside itself; what came of it is written down when it ends.
func TestACommandThatRunsOn(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the commands are of a Unix shell")
	}
	h := bare(t, filepath.Join(t.TempDir(), "state"))
	dir := t.TempDir()
	left, gate := filepath.Join(dir, "left"), filepath.Join(dir, "gate") // each has one who reads
	if err := run(t.Context(), []string{"mkfifo " + word(left) + " " + word(gate)}, nil, nil); err != nil {
		t.Fatal(err)
	}
	h.rec.Allow = map[string]string{"restart": "read x <" + word(left) + " & exit 0", "lock": "read x <" + word(gate) + "; exit 3"}
	h.patience = time.Hour
	h.act("restart", "1") // what it leaves behind has its output
	h.patience = 0
	h.act("lock", "2")
	h.act("lock", "3")
	for _, name := range []string{left, gate} {
		w, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	h.hasActed(<-h.acted)
	list, err := Journal(h.folder.dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.What+" "+e.UUID+" "+e.Status)
	}
	want := []string{"restart 1 done", "lock 2 started, and runs on", "lock 3 not done: the command of an earlier one still runs", "lock 2 failed: exit status 3; what it said is in the agent's log"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the journal has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A command whose report is delivered again, after a restart too, does its act once.
func TestAND074AnActIsDoneOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the command is one of a Unix shell")
	}
	dir, file := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "acts")
	for _, uuid := range []string{"1", "1", "2", "2"} {
		h := bare(t, dir)
		h.rec.Allow, h.patience = map[string]string{"restart": "echo restart >>" + word(file)}, time.Hour
		h.act("restart", uuid)
		h.act("restart", uuid)
		h.Close()
	}
	if b, err := os.ReadFile(file); err != nil || strings.Count(string(b), "restart") != 2 {
		t.Errorf("two commands did %q (%v)", b, err)
	}
}

// An act is done for a command that was acknowledged, and that its server knows to be: not before its report is delivered, but for an erase,
// whose report goes out once; and not without its owner's leave (HST-120).
func TestHST120WhenAnActIsDone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the command is one of a Unix shell")
	}
	for name, tt := range map[string]struct {
		command string
		status  int
		word    protocol.Status
		allow   string
		done    bool
	}{
		"delivered":                {"RestartDevice", 200, protocol.Acknowledged, "restart", true},
		"refused by a proxy":       {"RestartDevice", 403, protocol.Acknowledged, "restart", false},
		"no answer":                {"RestartDevice", 0, protocol.Acknowledged, "restart", false},
		"a command in error":       {"RestartDevice", 200, protocol.Failed, "restart", false},
		"another act is allowed":   {"RestartDevice", 200, protocol.Acknowledged, "lock", false},
		"no act":                   {"DeviceInformation", 200, protocol.Acknowledged, "restart", false},
		"an erase, with no answer": {"EraseDevice", 0, protocol.Acknowledged, "erase", true},
		"an erase in error":        {"EraseDevice", 200, protocol.Failed, "erase", false},
	} {
		h := bare(t, filepath.Join(t.TempDir(), "state"))
		h.rec.Allow, h.patience = map[string]string{tt.allow: "exit 0"}, time.Hour
		watcher{h}.Exchanged(1, &link.Exchange{Step: dialect.Report, Status: tt.status, Command: tt.command, UUID: "1", Reported: tt.word})
		if done := len(h.rec.Acted) > 0; done != tt.done {
			t.Errorf("%s: done is %t", name, done)
		}
	}
}
