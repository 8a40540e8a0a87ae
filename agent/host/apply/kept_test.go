package apply

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/protocol"
)

// A file that is too long to be kept is not replaced, and one as long as may be comes back whole (HST-120).
func TestHST120WhatCannotBeKeptStays(t *testing.T) {
	t.Parallel()
	for _, over := range []int64{0, 1} {
		s := system(t)
		file := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")
		if err := os.Truncate(file, maxBefore+over); err != nil {
			t.Fatal(err)
		}
		first := tree(t, s.root)
		st := s.open()
		mail := profile(protocol.Email, 1)
		placed, err := st.Place(t.Context(), s.config, nil, mail.Installed, mail.bytes)
		if refused := err != nil && strings.Contains(err.Error(), "too long to be kept"); placed == refused || refused != (over > 0) {
			t.Errorf("%d bytes more than may be: %v, %v", over, placed, err)
		}
		if over == 0 {
			if b, err := os.ReadFile(file); err != nil || len(b) == maxBefore {
				t.Errorf("it was not replaced: %d bytes, %v", len(b), err)
			}
			if err := st.Match(t.Context(), s.config, nil); err != nil {
				t.Error(err)
			}
		}
		s.same("in the end", first)
	}
}

// Whatever becomes of a path, its folder is synced after it: a crash does not bring back what was there (HST-121).
func TestHST121TheFolderIsSyncedAfterEachChange(t *testing.T) {
	t.Parallel()
	s := system(t)
	file := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")
	there := func() string {
		b, err := os.ReadFile(file)
		if err != nil {
			return "nothing"
		}
		return string(b)
	}
	folder, err := os.Stat(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	synced := ""
	open := func() *Store {
		st := s.open()
		st.sync = func(f *os.File) error {
			if is, err := f.Stat(); err == nil && os.SameFile(is, folder) {
				synced = there()
			}
			return f.Sync()
		}
		return st
	}
	wants := func(what, want string) {
		t.Helper()
		if got := there(); (got == want) != (want != "") || synced != got {
			t.Errorf("%s: there is %.30q, want %q; synced was %.30q", what, got, want, synced)
		}
		synced = ""
	}
	leaves := func(st *Store) {
		t.Helper()
		if err := st.Match(t.Context(), s.config, nil); err != nil {
			t.Error(err)
		}
	}
	st := open()
	mailAt(t, s, st)
	if there() == "the owner's own" {
		t.Fatal("it is not replaced")
	}
	wants("replaced", "")
	leaves(st)
	wants("the very file comes back", "the owner's own")

	st = open()
	mailAt(t, s, st)
	if err := os.Remove(heldAt(file)); err != nil {
		t.Fatal(err)
	}
	leaves(st)
	wants("a copy comes back", "the owner's own")

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	st = open()
	mailAt(t, s, st)
	wants("made", "")
	leaves(st)
	wants("nothing was there", "nothing")
}
