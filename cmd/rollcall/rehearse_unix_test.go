//go:build unix && !agentonly

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rollcall/fleet/report"
)

// Ctrl-C in the middle of a rehearsal: what was played so far, marked partial, in result, report and event log; exit code 130, and
// nothing left behind (HST-125).
func TestHST125RehearseCtrlC(t *testing.T) {
	dir := t.TempDir()
	log, page := filepath.Join(dir, "story.jsonl"), filepath.Join(dir, "report")
	plan := filepath.Join(dir, "years.yaml") // a story that no machine has played to its end before the signal comes
	before, after, ok := bytes.Cut(read(t, "../../fleet/plan/plans/lab.yaml"), []byte("\nuntil: 14d\n"))
	if !ok {
		t.Fatal("the story of lab is not of 14 days any more")
	}
	if err := os.WriteFile(plan, slices.Concat(before, []byte("\nuntil: 1400d\n"), after), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command("rollcall", "rehearse", plan, "--devices", "100000", "--json", "--log", log, "--report", page)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	await(t, ended, &errs, func() bool { // the log gets a place as the story begins
		files, _ := filepath.Glob(log + ".*")
		return len(files) > 0
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130; %s", code, errs.Bytes())
	}
	for name, b := range map[string][]byte{"stdout": out.Bytes(), report.ResultFile: read(t, filepath.Join(page, report.ResultFile))} {
		var r report.Result
		if err := json.Unmarshal(b, &r); err != nil || r.Verdict != report.Partial || r.Devices.Total != 100_000 || r.Devices.LeftOut == 0 {
			t.Errorf("%s: %s, %d of %d devices left out, %v", name, r.Verdict, r.Devices.LeftOut, r.Devices.Total, err)
		}
	}
	if b := read(t, log); !bytes.HasPrefix(b, []byte(`{"event_log":1,`)) || !bytes.HasSuffix(b, []byte("}\n")) {
		t.Errorf("the event log has %d bytes and is not whole lines", len(b))
	}
	if again, err := exec.Command("rollcall", "replay", log).Output(); err != nil || !bytes.Contains(again, []byte("where it was interrupted")) {
		t.Errorf("replayed: %v\n%s", err, again)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "story.jsonl.") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}
