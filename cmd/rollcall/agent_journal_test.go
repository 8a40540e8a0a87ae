//go:build !agentonly

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every command that was asked of a machine can be shown, not the newest alone, and what a server says stays on its line.
func TestAgentShowsItsJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := `{"at":"2026-03-02T09:00:00Z","what":"DeviceLock","status":"Acknowledged","note":"nothing was done","shown":"call\u001b[2J us"}` + "\n" +
		`{"at":"2026-03-02T10:00:00Z","what":"RestartDevice","status":"Acknowledged"}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "journal.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args       []string
		want, none string
	}{
		{nil, `2026-03-02 09:00:00 UTC  DeviceLock     Acknowledged  nothing was done; to be shown: call\x1b[2J us`, "\x1b"},
		{[]string{"--last", "1"}, "RestartDevice", "DeviceLock"},
		{[]string{"--last", "0", "--json"}, `"what":"DeviceLock"`, "TIME"},
	} {
		got := call(t.Context(), agentCommand(), append([]string{"agent", "journal", "--state", dir}, tt.args...)...)
		if got.err != nil || !strings.Contains(got.out, tt.want) || tt.none != "" && strings.Contains(got.out, tt.none) {
			t.Errorf("%q: %v\n%s", tt.args, got.err, got.out)
		}
	}
}
