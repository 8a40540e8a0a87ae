//go:build unix

package host

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Something else than a file in the place of one holds nobody up.
func TestHST120APipeHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for _, name := range []string{lockFile, stateFile, previousFile, nextFile, journalFile, olderFile} {
		f := take(t)
		saved(t, f, "one")
		saved(t, f, "two")
		os.Remove(f.path(name))
		if err := unix.Mkfifo(f.path(name), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := load(f.dir)
		if err != nil || r.UDID != "two" && name != stateFile || r.UDID != "one" && name == stateFile {
			t.Errorf("%s: load = %+v, %v", name, r, err)
		}
		if err := f.save(&record{UDID: "three"}); (err == nil) != (name != lockFile) || err != nil && !errors.Is(err, errTaken) {
			t.Errorf("%s: save = %v", name, err)
		}
		if err := f.note(Entry{What: "enrolled"}); (err == nil) != (name != journalFile && name != lockFile) {
			t.Errorf("%s: note = %v", name, err)
		}
		if _, err := Journal(f.dir); (err == nil) != (name != journalFile && name != olderFile) {
			t.Errorf("%s: the journal: %v", name, err)
		}
		if lock, _, err := hold(f.path(name)); name == lockFile && (lock != nil || err == nil) {
			t.Errorf("a pipe is locked: %v", err)
		} else if lock != nil {
			lock.Close()
		}
	}
}

// A lock is given back at once, whatever process that is being started has its file too at this moment.
func TestALockIsGivenBackBeforeItsFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), lockFile)
	l, _, err := hold(name)
	if err != nil || l == nil {
		t.Fatalf("%v, %v", l, err)
	}
	child, err := unix.Dup(int(l.file.Fd())) // as a fork has it
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	again, pid, err := hold(name)
	if err != nil || again == nil {
		t.Fatalf("after it: process %q has it, %v", pid, err)
	}
	again.Close()
}

// What root gives back is what stands in the folder, never what a link in it leads to, of either kind.
func TestHST120LinksAreGivenBackThemselves(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files to others")
	}
	t.Parallel()
	const nobody = 65534
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	link, hard, own, folder := filepath.Join(dir, "link"), filepath.Join(dir, "hard"), filepath.Join(dir, "own"), filepath.Join(dir, "folder")
	if err := errors.Join(os.WriteFile(victim, nil, 0o600), os.Symlink(victim, link), os.Link(victim, hard), os.WriteFile(own, nil, 0o600), os.Mkdir(folder, 0o700), os.Chown(dir, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	if err := giveBack(dir); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]int{link: nobody, own: nobody, folder: nobody, victim: 0, hard: 0} {
		if st, err := os.Lstat(name); err != nil || ownerOf(st) != want {
			t.Errorf("%s is of %d, %v", name, ownerOf(st), err)
		}
	}
}
