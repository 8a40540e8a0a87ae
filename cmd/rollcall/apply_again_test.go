//go:build unix && !agentonly

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"rollcall/fleet"
	"rollcall/fleet/report"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// Where somebody else has done what a step does it is refused by rule, with exit code 2, and the command that is shown goes on as it
// stands: to the same server, with the same files (HST-070).
func TestHST070ApplyShowsHowToGoOn(t *testing.T) {
	s := newSite(t, sync3)
	dir := filepath.Join(t.TempDir(), "an administrator's")
	name, ca, token, state := filepath.Join(dir, "change.yaml"), filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token"), filepath.Join(dir, "state of $it.json")
	s.must(errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(name, []byte(sync3), 0o600), os.WriteFile(ca, s.server.CA, 0o600), os.WriteFile(token, []byte(s.api.Token), 0o600)))
	run := func(words ...string) (code int, out, errs []byte) {
		var o, e bytes.Buffer
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Stdout, cmd.Stderr = &o, &e
		cmd.Run()
		return cmd.ProcessState.ExitCode(), o.Bytes(), e.Bytes()
	}
	shown := func(text []byte) string {
		line := regexp.MustCompile(`rollcall apply '.*--confirm .*`).Find(text)
		if line == nil {
			t.Fatalf("no command to go on: %s", text)
		}
		return string(line)
	}
	code, out, errs := run("rollcall", "apply", name, "--server", s.api.URL, "--ca", ca, "--token-file", token, "--state", state, "--yes-to", "1")
	if code != 0 {
		t.Fatalf("rehearsed: exit code %d: %s", code, errs)
	}
	_, err := s.api.Order(t.Context(), s.phones[0].UDID(), target.Order{Kind: fleet.OrderOf(protocol.DeviceInformation)})
	s.must(err)
	var result struct {
		Verdict string
		Apply   applied
		Error   *report.Trouble
	}
	code, out, errs = run("sh", "-c", shown(out)+" --json")
	if err := json.Unmarshal(out, &result); err != nil || code != 2 || result.Error == nil || result.Error.Rule != "HST-070" || result.Apply.Left != 1 {
		t.Fatalf("done by somebody else: exit code %d, %s%s", code, out, errs)
	}
	code, out, errs = run("sh", "-c", shown(errs))
	if err := json.Unmarshal(out, &result); err != nil || code != 0 || result.Apply.Left != 0 {
		t.Fatalf("gone on: exit code %d, %s%s", code, out, errs)
	}
}

// What a shell reads is what was meant.
func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{
		"":                          "''",
		"change.yaml":               "change.yaml",
		"my plan.yaml":              "'my plan.yaml'",
		"it's":                      `'it'\''s'`,
		"$HOME/`id`;&|":             "'$HOME/`id`;&|'",
		"~/plan":                    "'~/plan'",
		"2126-12-02T08:00:00+02:00": "2126-12-02T08:00:00+02:00",
	} {
		if got := shellWord(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}
