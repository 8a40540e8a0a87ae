package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What Go says of a file reaches nobody: the file is named as it was given, wherever in an error it stands, and what is wrong with it.
func TestFilesArePlainlyToldOf(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.WriteFile("a", nil, 0o600), os.Mkdir("folder", 0o700)); err != nil {
		t.Fatal(err)
	}
	read := func(name string) error { _, err := os.ReadFile(filepath.FromSlash(name)); return err }
	_, unmade := temporary(filepath.FromSlash("nowhere/fleet"))
	for _, c := range []struct {
		err  error
		want string
	}{
		{read("b"), "b: no such file"},
		{fmt.Errorf("--ca: %w", read("b")), "--ca: b: no such file"},
		{errors.Join(errors.New("one"), fmt.Errorf("two: %w", read("b"))), "one\ntwo: b: no such file"},
		{read("nowhere/b"), "nowhere/b: there is no folder nowhere"},
		{unmade, "nowhere/fleet: there is no folder nowhere"},
		{&fs.PathError{Op: "read", Path: "folder", Err: syscall.EISDIR}, "folder: this is a folder; want a file"},
		{&fs.PathError{Op: "open", Path: "a/b/c", Err: syscall.ENOTDIR}, "a/b/c: a is no folder"},
		{&fs.PathError{Op: "mkdir", Path: "a", Err: syscall.ENOTDIR}, "a: a is no folder"},
		{&fs.PathError{Op: "open", Path: "a", Err: syscall.EACCES}, "a: this user may not open it"},
		{&fs.PathError{Op: "write", Path: "a", Err: errors.New("full")}, "a: full"},
		{errors.New("nothing of files"), "nothing of files"},
	} {
		got := plainly(c.err)
		if text := filepath.ToSlash(got.Error()); text != c.want {
			t.Errorf("%v: told as %q, want %q", c.err, text, c.want)
		}
		if !errors.Is(got, c.err) {
			t.Errorf("%q lost what it was", got)
		}
	}
	if plainly(nil) != nil {
		t.Error("no error became one")
	}
}
