package sqlstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// TestHST101Backup takes backups while several devices are written, and starts each in a folder of its own: what was
// acknowledged before is there, nothing is half there, and the journal is whole.
func TestHST101Backup(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openDir(t, dir)
	const devices = 4
	var acked, begun [devices]atomic.Uint64
	var turns [devices]chan struct{} // one writer's, each time that it has written
	var numbers [devices]protocol.Device
	for i := range numbers {
		turns[i] = make(chan struct{})
		numbers[i] = enrol(t, s, string(rune('A'+i)))
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	end := sync.OnceFunc(func() { close(ended) }) // a writer cannot go on
	var writers sync.WaitGroup
	rest := sync.OnceFunc(func() { close(stop); writers.Wait() })
	defer rest()
	for i, d := range numbers {
		writers.Go(func() {
			for k := uint64(1); ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				begun[i].Store(k)
				if err := step(s, d, k); err != nil {
					t.Error(err)
					end()
					return
				}
				acked[i].Store(k)
				select {
				case turns[i] <- struct{}{}:
				default:
				}
			}
		})
	}
	var backups [3]string
	var least, most [len(backups)][devices]uint64
	for n := range backups {
		for i := range numbers { // some more were written since the one before
			for range 2 {
				select {
				case <-turns[i]:
				case <-ended:
					t.Fatal("a writer has ended")
				}
			}
			least[n][i] = acked[i].Load()
		}
		backups[n] = filepath.Join(t.TempDir(), "backup.db")
		if err := Backup(ctx, dir, backups[n]); err != nil {
			t.Fatal(err)
		}
		for i := range numbers {
			most[n][i] = begun[i].Load()
		}
	}
	rest()
	for n, file := range backups {
		if st, err := os.Stat(file); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("the backup: %v, %v; want it private", st.Mode(), err)
		}
		elsewhere := t.TempDir()
		if err := os.Rename(file, filepath.Join(elsewhere, dbName)); err != nil {
			t.Fatal(err)
		}
		restored := openDir(t, elsewhere)
		for i, d := range numbers {
			verify(t, restored, d, least[n][i], most[n][i])
		}
		if _, err := restored.VerifyJournal(ctx); err != nil {
			t.Errorf("backup %d: %v", n, err)
		}
		if err := step(restored, numbers[0], most[n][0]+1); err != nil {
			t.Errorf("backup %d cannot be gone on with: %v", n, err)
		}
	}
}

func TestHST101BackupRefuses(t *testing.T) {
	ctx := context.Background()
	dir := filled(t)
	there := filepath.Join(t.TempDir(), "there")
	if err := os.WriteFile(there, []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, dbName), []byte("dear diary, this is not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	for name, tt := range map[string]struct{ dir, file, want string }{
		"a file that is there":        {dir, there, "is there already"},
		"a folder that is not there":  {filepath.Join(dir, "nowhere"), fresh, "cannot be used"},
		"a folder without a database": {t.TempDir(), fresh, "cannot be used"},
		"a database of somebody else": {foreign, fresh, ""},
		"a place that is not there":   {dir, filepath.Join(fresh, "below"), "backup"},
	} {
		err := Backup(ctx, tt.dir, tt.file)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one sentence with %q", name, err, tt.want)
		}
	}
	if b, err := os.ReadFile(there); err != nil || string(b) != "something" {
		t.Errorf("the file that was there has changed: %q, %v", b, err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := Backup(canceled, dir, fresh); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(fresh)); err != nil || len(left) != 0 {
		t.Errorf("a refused backup left %v, %v", left, err)
	}
}

// TestHST100SlowLists: lists and rounds read on connections of their own, so that neither waits for the other, however slow.
func TestHST100SlowLists(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := openDir(t, dir)
	d := enrol(t, s, "A")
	if err := step(s, d, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openDir(t, dir) // so that nothing is in memory that a round may have to look up
	busy := func(slow bool) (free func()) {
		t.Helper()
		db := s.read.db
		if slow {
			db = s.lists
		}
		var ends []func() error
		for range db.Stats().MaxOpenConnections {
			rows, err := db.Query("SELECT seq FROM journal")
			if err != nil || !rows.Next() {
				t.Fatal(err)
			}
			ends = append(ends, rows.Close)
		}
		return func() {
			for _, end := range ends {
				end()
			}
		}
	}

	free := busy(true)
	tx, err := s.Begin(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	var out delivery.Outcome
	if !tx.Answered(delivery.Key{1, 0, 1}, &out) {
		t.Error("no answer for a repeat beside slow lists")
	}
	tx.End()
	if err := step(s, d, 2); err != nil {
		t.Errorf("a round beside slow lists: %v", err)
	}
	if used, err := s.KeyUsed(ctx, [32]byte{1}); used || err != nil {
		t.Errorf("KeyUsed beside slow lists = %v, %v", used, err)
	}
	enrol(t, s, "B")
	free()

	free = busy(false)
	defer free()
	if list, err := s.Journal(ctx, store.LineFilter{}, 10); err != nil || len(list) != 2 {
		t.Errorf("Journal = %d lines, %v", len(list), err)
	}
	if end, err := s.JournalEnd(ctx); err != nil || end != 2 {
		t.Errorf("JournalEnd = %d, %v", end, err)
	}
	if _, err := s.VerifyJournal(ctx); err != nil {
		t.Errorf("VerifyJournal: %v", err)
	}
	if list, err := s.History(ctx, d, 10); err != nil || len(list) != 2 {
		t.Errorf("History = %d commands, %v", len(list), err)
	}
}
