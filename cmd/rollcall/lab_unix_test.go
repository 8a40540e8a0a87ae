//go:build unix && !agentonly

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/report"
)

// Ctrl-C in the middle of a run, and as soon as there is anything to interrupt: a partial result, a report that says so,
// exit code 130, and nothing left behind (HST-125).
func TestHST125CtrlC(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		when time.Time // on the run's clock
	}{
		{"at once", fleet.Begin.Time()},
		{"in the middle", fleet.Begin.Time().Add(20 * time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tmp := filepath.Join(dir, "tmp")
			if err := os.Mkdir(tmp, 0o700); err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			lab := exec.Command("rollcall", "lab", "testdata/days.yaml", "--devices", "30", "--for", "1000h", "--json", "--report", filepath.Join(dir, "report"))
			lab.Env = append(os.Environ(), "TMPDIR="+tmp)
			lab.Stdout, lab.Stderr = &out, &errs
			if err := lab.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- lab.Wait() }()
			await(t, ended, &errs, func() bool { return !clockIn(tmp).Before(tt.when) })
			if err := lab.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			<-ended
			if code := lab.ProcessState.ExitCode(); code != 130 {
				t.Errorf("exit code %d, want 130; %s", code, errs.Bytes())
			}
			if strings.Count(errs.String(), "\n") != 1 {
				t.Errorf("stderr: %q, want one line", errs.Bytes())
			}
			var printed, kept report.Result
			if err := json.Unmarshal(out.Bytes(), &printed); err != nil || printed.Verdict != report.Partial {
				t.Errorf("printed verdict %q, %v", printed.Verdict, err)
			}
			b, err := os.ReadFile(filepath.Join(dir, "report", report.ResultFile))
			if err == nil {
				err = json.Unmarshal(b, &kept)
			}
			if err != nil || kept.Verdict != report.Partial {
				t.Errorf("verdict in the report: %q, %v", kept.Verdict, err)
			}
			page, err := os.ReadFile(filepath.Join(dir, "report", report.PageFile))
			if err != nil || !bytes.Contains(page, []byte("Interrupted: the result is partial")) {
				t.Errorf("the page does not say that the result is partial: %v", err)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// clockIn reads the clock that a lab's server keeps in its data folder; the zero time: there is none yet.
func clockIn(tmp string) time.Time {
	files, _ := filepath.Glob(filepath.Join(tmp, "rollcall-lab-*", clockFile))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if now, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(string(b))); err == nil {
			return now
		}
	}
	return time.Time{}
}
