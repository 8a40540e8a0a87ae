//go:build unix && !agentonly

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/fleet/report"
)

// A shared buffer is written by a process and read by a test.
type sharedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *sharedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *sharedBuffer) said(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Contains(b.Buffer.String(), text)
}

// Ctrl-C while a plan waits for the moment of a step: exit code 130 and how to go on, and the same command does what is left.
func TestApplyCtrlC(t *testing.T) {
	s := newSite(t, applied12h)
	dir := t.TempDir()
	name, ca := filepath.Join(dir, "change.yaml"), filepath.Join(dir, "ca.pem")
	s.must(errors.Join(os.WriteFile(name, []byte(applied12h), 0o600), os.WriteFile(ca, s.server.CA, 0o600)))
	start := func(args ...string) (*exec.Cmd, *bytes.Buffer, *sharedBuffer) {
		var out bytes.Buffer
		errs := new(sharedBuffer)
		cmd := exec.Command("rollcall", append([]string{"apply", name, "--server", s.api.URL, "--ca", ca, "--json"}, args...)...)
		cmd.Env = append(os.Environ(), "ROLLCALL_TOKEN="+s.api.Token)
		cmd.Stdout, cmd.Stderr = &out, errs
		s.must(cmd.Start())
		return cmd, &out, errs
	}
	cmd, out, errs := start()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &errs.Buffer)
	}
	var result struct {
		Verdict string
		Apply   applied
	}
	s.must(json.Unmarshal(out.Bytes(), &result))

	cmd, out, errs = start("--confirm", result.Apply.ID, "--yes-to", "all")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for !errs.said("step 1 of 9 waits for ") {
		select {
		case err := <-ended:
			t.Fatalf("it ended before it was interrupted: %v\n%s", err, &errs.Buffer)
		default:
			runtime.Gosched()
		}
	}
	second, _, twice := start("--confirm", result.Apply.ID)
	if second.Wait(); second.ProcessState.ExitCode() != 1 || !twice.said("this plan is being applied by another process") {
		t.Errorf("two at once: exit code %d, %s", second.ProcessState.ExitCode(), &twice.Buffer)
	}
	s.must(cmd.Process.Signal(syscall.SIGINT))
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != 130 || !errs.said("interrupted with 9 of 9 steps left; to go on: rollcall apply ") {
		t.Errorf("exit code %d, %s", code, &errs.Buffer)
	}
	if err := json.Unmarshal(out.Bytes(), &result); err != nil || result.Verdict != report.Partial || result.Apply.Left != 9 {
		t.Errorf("%s: %v", out, err)
	}

	s.later(13 * time.Hour) // all moments have come
	cmd, _, errs = start("--confirm", result.Apply.ID, "--yes-to", "all")
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 2 || !errs.said("step 1 is late by 12h") || !errs.said(" --late") {
		t.Errorf("late: exit code %d, %s", cmd.ProcessState.ExitCode(), &errs.Buffer)
	}
	cmd, out, errs = start("--confirm", result.Apply.ID, "--yes-to", "all", "--late")
	go func() { ended <- cmd.Wait() }()
	for running := true; running; {
		select {
		case err := <-ended:
			if running = false; err != nil {
				t.Fatalf("%v: %s", err, &errs.Buffer)
			}
		default:
			s.later(10 * time.Minute)
		}
	}
	if err := json.Unmarshal(out.Bytes(), &result); err != nil || result.Verdict != report.OK || result.Apply.Left != 0 {
		t.Errorf("%s: %v", out, err)
	}
	links, err := os.ReadFile(filepath.Join(dir, "change.links.csv"))
	if err != nil || bytes.Count(links, []byte("\n")) != 3 {
		t.Errorf("links %q, %v", links, err)
	}
}
