package sqlstore

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inTheMiddle leaves in a new folder what a process leaves of the database file that is killed within a transaction on it,
// before it had a log: the file, and the journal that takes it back.
func inTheMiddle(t *testing.T, file string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, text := range []string{
		"PRAGMA journal_mode=delete", "PRAGMA cache_size=2", "BEGIN IMMEDIATE", "CREATE TABLE half (x BLOB)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200) INSERT INTO half SELECT randomblob(4000) FROM n",
	} {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	for from, to := range map[string]string{file: dbName, file + "-journal": dbName + "-journal"} {
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), b, 0o600)
		}
		if err != nil || len(b) == 0 {
			t.Fatalf("%s: %d bytes, %v", from, len(b), err)
		}
	}
	return dir
}

// TestHST090BeforeTheLog: a kill within the first transactions of a new database, or of a backup that is taken into use, is
// taken back at the next start; a file of somebody else is left as it is.
func TestHST090BeforeTheLog(t *testing.T) {
	fresh := inTheMiddle(t, filepath.Join(t.TempDir(), "new.db"))
	s := openDir(t, fresh)
	enrol(t, s, "A")
	s.Close()

	backup := filepath.Join(t.TempDir(), "backup.db")
	if err := Backup(t.Context(), filled(t), backup); err != nil {
		t.Fatal(err)
	}
	s = openDir(t, inTheMiddle(t, backup))
	if _, err := s.Device(t.Context(), "A"); err != nil {
		t.Error(err)
	}
	if c, err := s.Load(t.Context()); err != nil || c.Restored.Since == 0 {
		t.Errorf("the backup is not told: %+v, %v", c.Restored, err)
	}

	file := filepath.Join(t.TempDir(), "diary.db")
	db, err := sql.Open("sqlite", file)
	if err == nil {
		_, err = db.Exec("CREATE TABLE diary (dear TEXT)")
	}
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	foreign := inTheMiddle(t, file)
	read := func() (all []byte) {
		for _, name := range []string{dbName, dbName + "-journal"} {
			b, err := os.ReadFile(filepath.Join(foreign, name))
			if err != nil {
				t.Error(err)
			}
			all = append(all, b...)
		}
		return all
	}
	before := read()
	if _, err := Open(t.Context(), foreign); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a database of somebody else: %v", err)
	}
	if !bytes.Equal(read(), before) {
		t.Error("a database of somebody else was changed")
	}
}
