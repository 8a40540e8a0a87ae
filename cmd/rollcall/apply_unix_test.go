//go:build unix && !agentonly

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
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
	await(t, ended, errs, func() bool { return errs.said("step 1 of 9 waits for ") })
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
		case <-time.After(lookAgain): // most of the time is the process's, as in await
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

// A plan without tenant and population is about the live ones, from its rehearsal to its last step. A step that the server refuses
// is named with what to do; the object of --json is whole all the same, and no lock stays behind.
func TestApplyTellsWhatItCannotDo(t *testing.T) {
	s := newSite(t, sync3)
	dir := t.TempDir()
	name, ca := filepath.Join(dir, "change.yaml"), filepath.Join(dir, "ca.pem")
	write := func(text string) { s.must(os.WriteFile(name, []byte(text), 0o600)) }
	s.must(os.WriteFile(ca, s.server.CA, 0o600))
	const live = "name: live\nuntil: 1d\ntimeline:\n  - {at: 0s, command: {kind: DeviceInformation, to: ios}}\n  - {at: 0s, ask_users_to_sync: %s}\n"
	run := func(token string, args ...string) (code int, result struct {
		Verdict string
		Devices struct{ Total, Enrolled int }
		Apply   applied
		Error   *report.Trouble
	}, errs string,
	) {
		t.Helper()
		var out, told bytes.Buffer
		cmd := exec.Command("rollcall", append([]string{"apply", name, "--server", s.api.URL, "--ca", ca, "--json"}, args...)...)
		cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), "ROLLCALL_TOKEN="+token), &out, &told
		cmd.Run()
		if err := json.Unmarshal(out.Bytes(), &result); err != nil {
			t.Fatalf("%v: %s%s", err, &out, &told)
		}
		if _, err := os.Stat(filepath.Join(dir, "change.applied.json.lock")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: the lock is still there: %v", args, err)
		}
		return cmd.ProcessState.ExitCode(), result, told.String()
	}
	write(fmt.Sprintf(live, "macos"))
	if code, result, errs := run(s.api.Token); code == 0 || !strings.Contains(errs, "change.yaml:5:14: timeline[1].ask_users_to_sync: the plan has no macos device") {
		t.Errorf("of a platform that nobody has: exit code %d, %+v, %s", code, result, errs)
	}
	write(fmt.Sprintf(live, "all"))
	code, result, errs := run(s.api.Token)
	if code != 0 || len(result.Apply.Steps) != 2 || result.Devices.Total != 3 {
		t.Fatalf("exit code %d, %+v, %s", code, result, errs)
	}
	reader, err := s.api.MakeToken(t.Context(), "watcher", "reader", 0)
	s.must(err)
	code, result, errs = run(reader, "--confirm", result.Apply.ID)
	if code == 0 || result.Verdict != report.Error || result.Error == nil || result.Error.Rule != "AUTH-08" || result.Apply.Left != 2 || result.Devices.Total != 3 || result.Devices.Enrolled != 3 {
		t.Errorf("refused: exit code %d, %+v", code, result)
	}
	for _, want := range []string{"step 1 (timeline[0].command)", "AUTH-08", "mend what the step is refused for on the server, then go on with: rollcall apply ", " --force"} {
		if !strings.Contains(errs, want) {
			t.Errorf("want %q: %s", want, errs)
		}
	}
	code, _, errs = run(s.api.Token)
	if code == 0 || !strings.Contains(errs, "the first of them step 1 (timeline[0].command, ") {
		t.Errorf("rehearsed again: exit code %d, %s", code, errs)
	}
	s.later(2 * time.Hour) // it has begun: the plan is read against the tenant of then
	if code, result, errs = run(s.api.Token, "--confirm", result.Apply.ID, "--late"); code != 0 || result.Apply.Left != 0 {
		t.Errorf("gone on: exit code %d, %+v, %s", code, result, errs)
	}
}
