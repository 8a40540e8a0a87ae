package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func events(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

// contents is a folder's files and what is in them.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name()] = string(b)
	}
	return out
}

func TestHST125NeverOverwritesWithoutForce(t *testing.T) {
	r, s := sample(t)
	dir := filepath.Join(t.TempDir(), "new", "report")
	if err := WriteDir(dir, r, s, events("{}\n"), false); err != nil {
		t.Fatal(err)
	}
	first := contents(t, dir)
	if len(first) != 3 || first[EventsFile] != "{}\n" || !strings.HasPrefix(first[PageFile], "<!DOCTYPE html>") || !strings.HasPrefix(first[ResultFile], "{\n") {
		t.Fatalf("wrote %d files", len(first))
	}
	r.Seed = 8
	for name, write := range map[string]func() error{
		"CheckDir": func() error { return CheckDir(dir, false) },
		"WriteDir": func() error { return WriteDir(dir, r, s, events("other"), false) },
	} {
		if err := write(); err == nil || !strings.Contains(err.Error(), "--force") {
			t.Errorf("%s over a report: %v, want an error that names --force", name, err)
		}
	}
	if got := contents(t, dir); fmt.Sprint(got) != fmt.Sprint(first) {
		t.Error("the old report was changed")
	}
	for _, name := range []string{ListFile, DifferencesFile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("of an older run"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteDir(dir, r, s, nil, true); err != nil {
		t.Fatal(err)
	}
	got := contents(t, dir)
	if len(got) != 2 || !strings.Contains(got[ResultFile], `"seed": 8`) {
		t.Errorf("with force and without events: %d files, want page and result of this run alone", len(got))
	}
}

func TestHST125PartialResultSaysSo(t *testing.T) {
	r, s := sample(t)
	r.Verdict, r.Reasons = Partial, []string{"stopped on day 3"}
	dir := t.TempDir()
	if err := WriteDir(dir, r, s, nil, false); err != nil {
		t.Fatal(err)
	}
	got := contents(t, dir)
	if !strings.Contains(got[ResultFile], `"verdict": "partial"`) || !strings.Contains(got[PageFile], "Interrupted: the result is partial.") {
		t.Error("result or page does not say that it is partial")
	}
	var b bytes.Buffer
	if err := Summary(&b, r, s, false); err != nil || !strings.HasPrefix(b.String(), "rollcall lab: Interrupted") {
		t.Errorf("summary: %v, %.60s", err, b.String())
	}
}

func TestWriteDirLeavesNothingOfAFailure(t *testing.T) {
	r, s := sample(t)
	dir := t.TempDir()
	if err := WriteDir(dir, r, s, events("old\n"), false); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	broken := errors.New("event log is gone")
	err := WriteDir(dir, r, s, func(w io.Writer) error {
		io.WriteString(w, "half a li")
		return broken
	}, true)
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want that of events", err)
	}
	r.Sections["devices"] = 1 // fails in page and result
	if err := WriteDir(dir, r, s, events("new\n"), true); err == nil {
		t.Error("a bad section: no error")
	}
	if got := contents(t, dir); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Error("the old report was changed, or something was left behind")
	}
}

// A noted file says what was done to it, and fails where it is told to.
type noted struct {
	did  []string
	fail string
}

func (n *noted) note(what string) error {
	n.did = append(n.did, what)
	if what == n.fail {
		return syscall.EIO
	}
	return nil
}

func (n *noted) Write(p []byte) (int, error) { return len(p), n.note("write") }
func (n *noted) Sync() error                 { return n.note("sync") }
func (n *noted) Close() error                { return n.note("close") }

// TestHST125Sync: what is renamed into place is on the disk; a disk that cannot take it is an error, and the file is closed.
func TestHST125Sync(t *testing.T) {
	for fail, want := range map[string]string{"": "write sync close", "write": "write close", "sync": "write sync close", "close": "write sync close"} {
		f := &noted{fail: fail}
		err := fill(f, events("a line\n"))
		if got := strings.Join(f.did, " "); got != want || errors.Is(err, syscall.EIO) != (fail != "") {
			t.Errorf("%s fails: did %s, want %s; error %v", fail, got, want, err)
		}
	}
}

func TestCheckDir(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if err := CheckDir(dir, true); err == nil || !strings.Contains(err.Error(), "report folder") {
			t.Errorf("CheckDir(%s) = %v, want an error", dir, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := CheckDir(dir, false); err != nil {
		t.Error(err)
	}
	if got := contents(t, dir); len(got) != 0 {
		t.Errorf("CheckDir left %v", got)
	}
	for _, name := range []string{PageFile, ResultFile, EventsFile} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := CheckDir(dir, false); err == nil {
			t.Errorf("a folder with %s: no error", name)
		}
		if err := CheckDir(dir, true); err != nil {
			t.Errorf("a folder with %s, with force: %v", name, err)
		}
	}
}

func TestExplainFullDisk(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		err := explain("out", fmt.Errorf("report.html: %w", &os.PathError{Op: "write", Path: "x", Err: cause}))
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), "no room") || !strings.Contains(err.Error(), "out") {
			t.Errorf("%v", err)
		}
	}
	if err := explain("out", nil); err != nil {
		t.Error(err)
	}
}

// A report is meant to be passed on; one that names people is for its owner's eyes only.
func TestWriteDirOfNames(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such modes")
	}
	r, s := sample(t)
	for private, want := range map[bool]os.FileMode{false: 0o644, true: 0o600} {
		s.Private = private
		dir := t.TempDir()
		if err := WriteDir(dir, r, s, events("{}\n"), false); err != nil {
			t.Fatal(err)
		}
		for name := range contents(t, dir) {
			if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm()|0o044 != 0o644 || st.Mode().Perm()&^want != 0 {
				t.Errorf("%s has mode %v, want %v; %v", name, st.Mode(), want, err)
			}
		}
	}
}
