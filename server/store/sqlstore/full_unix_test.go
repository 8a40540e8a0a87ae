//go:build linux || darwin

package sqlstore

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"rollcall/server/store"
)

// TestHST092FileSizeLimit fills the disk as far as this process is concerned, by a limit on the size of its files, until
// changes are refused, and then makes space.
func TestHST092FileSizeLimit(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	d := enrol(t, s, "A")
	acked := uint64(0)
	for range 3 {
		acked++
		if err := step(s, d, acked); err != nil {
			t.Fatal(err)
		}
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Skip("no limit on file sizes here: ", err)
	}
	signal.Ignore(unix.SIGXFSZ) // as a full disk, it is to be an error of the write
	defer signal.Reset(unix.SIGXFSZ)
	st, err := os.Stat(filepath.Join(dir, dbName+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	small := limit
	small.Cur = uint64(st.Size()) + 64<<10
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &small); err != nil {
		t.Skip("this process may not limit the size of its files: ", err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			t.Error(err)
		}
	}
	// The committer makes what room it can, so a single change may still pass now and then: one that is larger than any room cannot.
	huge := changeFunc(func(w *writer) error {
		for range 64 {
			if err := lineChange(string(make([]byte, 64<<10))).write(w); err != nil {
				return err
			}
		}
		return nil
	})
	for range 2 {
		if err := s.commit(huge); !errors.Is(err, store.ErrFull) {
			restore()
			t.Fatalf("a change larger than the disk = %v, want ErrFull", err)
		}
	}
	for err = nil; err == nil; {
		if err = step(s, d, acked+1); err == nil {
			acked++
		}
		if acked > 10000 {
			break
		}
	}
	if err != nil && !errors.Is(err, store.ErrFull) {
		t.Errorf("step on a full disk = %v, want ErrFull", err)
	}
	if err := s.Ready(); !errors.Is(err, store.ErrFull) {
		t.Errorf("Ready on a full disk = %v, want ErrFull", err)
	}
	verify(t, s, d, acked, acked) // reads go on
	if _, err := os.Stat(filepath.Join(dir, reserveName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the reserve on a full disk: %v, want it given up", err)
	}
	restore()
	acked++
	if err := step(s, d, acked); err != nil {
		t.Errorf("step after there is space again = %v", err)
	}
	if err := s.commit(huge); err != nil {
		t.Errorf("the large change after there is space again = %v", err)
	}
	acked++
	if err := errors.Join(step(s, d, acked), s.Ready()); err != nil { // what follows a group is done before the next one
		t.Errorf("ready after there is space again: %v", err)
	}
	s.Close()
	s = openDir(t, dir)
	verify(t, s, d, acked, acked)
	if st, err := os.Stat(filepath.Join(dir, reserveName)); err != nil || st.Size() != reserveSize {
		t.Errorf("no reserve after there is space again: %v", err)
	}
	if _, err := s.VerifyJournal(context.Background()); err != nil {
		t.Error(err)
	}
}
