package host

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A state is on the disk before it takes the place of the one before, and its name is before anybody acts on it: write, sync, rename, sync of
// the folder. Where a step fails, the state before is there, or the new one (HST-121).
func TestHST121TheStateIsSyncedBeforeItIsThere(t *testing.T) {
	t.Parallel()
	want := []string{"sync " + nextFile, "rename " + stateFile, "rename " + nextFile, "sync folder"}
	for failing := range len(want) + 1 {
		f := take(t)
		saved(t, f, "one")
		saved(t, f, "two")
		var did []string
		step := func(what string) error {
			did = append(did, what)
			if len(did) == failing+1 {
				return errors.New("the disk breaks")
			}
			return nil
		}
		f.disk = medium{
			sync: func(w *os.File) error {
				if r, err := readState(w.Name()); err != nil || r.UDID != "three" {
					t.Errorf("synced before it was whole: %+v, %v", r, err)
				}
				return step("sync " + filepath.Base(w.Name()))
			},
			rename: func(from, to string) error {
				if err := step("rename " + filepath.Base(from)); err != nil {
					return err
				}
				return os.Rename(from, to)
			},
			syncFolder: func(dir string) error {
				if r, err := load(dir); err != nil || r.UDID != "three" {
					t.Errorf("the folder is synced with %+v, %v in it", r, err)
				}
				return step("sync folder")
			},
		}
		err := f.save(&record{UDID: "three"})
		if broke := failing < len(want); (err != nil) != broke || !slices.Equal(did, want[:min(failing+1, len(want))]) {
			t.Errorf("step %d breaks: %v after %q, want of %q", failing, err, did, want)
		}
		if r, err := load(f.dir); err != nil || r.UDID != "two" && r.UDID != "three" || (r.UDID == "three") != (failing >= len(want)-1) {
			t.Errorf("step %d breaks: there is %+v, %v", failing, r, err)
		}
		f.disk = systems
	}
}

// What is cleared is gone for good when clear returns, and a line of the journal is on the disk when note does.
func TestHST121WhatIsDoneIsSynced(t *testing.T) {
	t.Parallel()
	f := take(t)
	saved(t, f, "one")
	saved(t, f, "two")
	synced := ""
	f.disk.syncFolder = func(dir string) error {
		_, err := os.Stat(f.path(previousFile))
		synced = "with the state before"
		if errors.Is(err, os.ErrNotExist) {
			synced = "without it"
		}
		return SyncFolder(dir)
	}
	if err := f.clear(&record{UDID: "three"}); err != nil || synced != "without it" {
		t.Errorf("clear = %v, synced %q", err, synced)
	}
	synced = ""
	f.disk.sync = func(w *os.File) error {
		b, _ := os.ReadFile(w.Name())
		synced = string(b)
		return w.Sync()
	}
	if err := f.note(Entry{What: "DeviceLock"}); err != nil || !strings.Contains(synced, "DeviceLock") {
		t.Errorf("note = %v, synced %q", err, synced)
	}
}
