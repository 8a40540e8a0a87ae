package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// refused opens a folder that must not open, wants its one sentence to have all words, and returns it.
func refused(t *testing.T, dir string, words ...string) {
	t.Helper()
	s, err := Open(context.Background(), dir)
	if err == nil {
		s.Close()
		t.Fatal("Open took it")
	}
	for _, w := range append(words, dir) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("Open = %v, want %q in it", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("Open = %q, want one line", err)
	}
}

// filled returns a closed data folder with some devices in it.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := openDir(t, dir)
	for _, id := range []string{"A", "B", "C"} {
		enrol(t, s, id)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestHST095SecondProcess(t *testing.T) {
	if dir := os.Getenv("ROLLCALL_TEST_SECOND"); dir != "" {
		_, err := Open(context.Background(), dir)
		os.Stdout.WriteString(err.Error())
		os.Exit(3)
	}
	dir := t.TempDir()
	s := openDir(t, dir)
	cmd := exec.Command(os.Args[0], "-test.run=^TestHST095SecondProcess$")
	cmd.Env = append(os.Environ(), "ROLLCALL_TEST_SECOND="+dir)
	out, _ := cmd.Output()
	if want := "data folder " + dir + " is in use by another rollcall"; !strings.HasPrefix(string(out), want) {
		t.Errorf("the second process says %q, want %q", out, want)
	}
	enrol(t, s, "A") // the first one has not noticed
	s.Close()
	openDir(t, dir).Close()
}

func TestFilesArePrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such permissions")
	}
	dir := filepath.Join(t.TempDir(), "new", "folder")
	s := openDir(t, dir)
	enrol(t, s, "A")
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has permissions %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestHST094Folder(t *testing.T) {
	t.Run("a file", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "file")
		os.WriteFile(name, nil, 0o600)
		refused(t, name, "cannot be used")
	})
	t.Run("unreadable", func(t *testing.T) {
		if os.Geteuid() <= 0 {
			t.Skip("this user may read everything")
		}
		dir := filled(t)
		os.Chmod(filepath.Join(dir, dbName), 0)
		refused(t, dir, "cannot be used", "access")
	})
	t.Run("database is a folder", func(t *testing.T) {
		dir := t.TempDir()
		os.Mkdir(filepath.Join(dir, dbName), 0o700)
		refused(t, dir, "cannot be used")
	})
	t.Run("foreign file", func(t *testing.T) {
		dir := t.TempDir()
		leftAlone(t, dir, []byte("dear diary, this is not a database\n"), "not made by rollcall")
	})
	t.Run("foreign database", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "other.db")
		db, err := sql.Open("sqlite", other)
		if err == nil {
			_, err = db.Exec("CREATE TABLE t (x)")
		}
		if err == nil {
			err = db.Close()
		}
		b, rerr := os.ReadFile(other)
		if err != nil || rerr != nil {
			t.Fatal(err, rerr)
		}
		leftAlone(t, t.TempDir(), b, "not made by rollcall")
	})
	t.Run("half a header", func(t *testing.T) {
		leftAlone(t, t.TempDir(), []byte("SQLite for"), "not made by rollcall")
	})
	t.Run("killed while it was made", func(t *testing.T) {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, dbName), nil, 0o600)
		enrol(t, openDir(t, dir), "A")
	})
	t.Run("log without its database", func(t *testing.T) {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, dbName+"-wal"), []byte("something"), 0o600)
		refused(t, dir, dbName+" is gone", dbName+"-wal is there", "backup")
	})
}

// TestHST047LostDatabase takes the database from a folder that had a life: a new one is not made in its place. A folder
// that was killed at any step of its first start is started all the same.
func TestHST047LostDatabase(t *testing.T) {
	for what, lose := range map[string]func(name string) error{
		"is gone":  os.Remove,
		"is empty": func(name string) error { return os.Truncate(name, 0) },
	} {
		t.Run("stopped, it "+what, func(t *testing.T) {
			dir := filled(t)
			name := filepath.Join(dir, dbName)
			if err := lose(name); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the refusal has not healed it
				refused(t, dir, dbName+" "+what, "backup", "start afresh")
			}
			if st, err := os.Stat(name); err == nil && st.Size() > 0 {
				t.Error("the refused folder has a database")
			}
		})
		t.Run("killed, it "+what, func(t *testing.T) {
			was, dir := t.TempDir(), t.TempDir()
			enrol(t, openDir(t, was), "A")
			for _, name := range []string{dbName, dbName + "-wal"} { // what a crash leaves, on a disk too full for the reserve
				b, err := os.ReadFile(filepath.Join(was, name))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := lose(filepath.Join(dir, dbName)); err != nil {
				t.Fatal(err)
			}
			refused(t, dir, dbName+" "+what, dbName+"-wal is there")
		})
	}
	for step, files := range map[string][]string{
		"lock":     {lockName},
		"database": {lockName, dbName},
		"journal":  {lockName, dbName, dbName + "-journal"}, // SQLite's, while the first page is written
		"log":      {lockName, dbName, dbName + "-wal", dbName + "-shm"},
	} {
		t.Run("killed in its first start, at the "+step, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range files {
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			enrol(t, openDir(t, dir), "A")
		})
	}
}

// leftAlone wants a database file of these bytes refused and unchanged.
func leftAlone(t *testing.T, dir string, content []byte, words ...string) {
	t.Helper()
	name := filepath.Join(dir, dbName)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, words...)
	if got, _ := os.ReadFile(name); !bytes.Equal(got, content) {
		t.Errorf("the refused file has changed")
	}
}

func TestHST094DamageAndRestore(t *testing.T) {
	dir := filled(t)
	backup, err := os.ReadFile(filepath.Join(dir, dbName))
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"half a file":   func(b []byte) []byte { return b[:len(b)/2/4096*4096] },
		"a torn page":   func(b []byte) []byte { clear(b[2*4096 : 3*4096]); return b },
		"schema page":   func(b []byte) []byte { b[101] ^= 0xff; return b },
		"header's size": func(b []byte) []byte { b[16] = 7; return b },
	} {
		t.Run(name, func(t *testing.T) {
			leftAlone(t, t.TempDir(), damage(bytes.Clone(backup)), "damaged", "backup of "+dbName)
		})
	}
	restored := t.TempDir()
	os.WriteFile(filepath.Join(restored, dbName), backup, 0o600)
	s := openDir(t, restored)
	if r, err := s.Records(context.Background(), 0, 10); err != nil || len(r) != 3 {
		t.Errorf("restored: %d records, %v; want 3", len(r), err)
	}
}

// TestHST094Log damages every frame of a log in turn. SQLite by itself would take each for the log's end.
func TestHST094Log(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	for _, id := range []string{"A", "B", "C", "D"} {
		enrol(t, s, id)
	}
	// What a crash leaves: copies of both files while the store is open.
	db, err1 := os.ReadFile(filepath.Join(dir, dbName))
	log, err2 := os.ReadFile(filepath.Join(dir, dbName+"-wal"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	const frame = 24 + 4096
	frames := (len(log) - 32) / frame
	var commits []int // frames that end a transaction
	salt := log[16:24]
	for i := range frames {
		f := log[32+i*frame:]
		if !bytes.Equal(f[8:16], salt) {
			frames = i // from before the log began anew
			break
		}
		if binary.BigEndian.Uint32(f[4:]) != 0 {
			commits = append(commits, i)
		}
	}
	if len(commits) < 4 {
		t.Fatalf("%d transactions in the log, want 4 at least", len(commits))
	}
	last := commits[len(commits)-2] // after it the last transaction begins
	open := func(t *testing.T, log []byte) (*Store, error) {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, dbName), db, 0o600)
		os.WriteFile(filepath.Join(dir, dbName+"-wal"), log, 0o600)
		return Open(context.Background(), dir)
	}
	for i := range frames {
		for _, at := range []int{0, 9, 17, 24 + 100} { // page number, salt, checksum, content
			log := bytes.Clone(log)
			log[32+i*frame+at] ^= 1
			s, err := open(t, log)
			found := i < last || i == last && at != 9 // by its salt that frame might be an older one, left by a torn end
			switch {
			case found && (err == nil || !strings.Contains(err.Error(), "damaged")):
				t.Errorf("frame %d damaged at %d: Open = %v, want it found", i+1, at, err)
			case !found && err != nil:
				t.Errorf("frame %d, at the end, damaged at %d: Open = %v, want it taken for a torn end", i+1, at, err)
			}
			if s != nil {
				s.Close()
			}
		}
	}
	for _, at := range []int{0, 9, 20, 25} {
		log := bytes.Clone(log)
		log[at] ^= 1
		if s, err := open(t, log); err == nil {
			s.Close()
			t.Errorf("header damaged at %d: Open took it", at)
		}
	}
	s, err := open(t, log)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := s.Records(context.Background(), 0, 10); len(r) != 4 {
		t.Errorf("%d records from a sound log, want 4", len(r))
	}
	s.Close()
}

// TestHST091PowerLoss loses and tears what was not synced yet: of everything after the last acknowledged change each sector of the
// log may have reached the disk or not. Nothing acknowledged is missing, and no such end is taken for damage.
func TestHST091PowerLoss(t *testing.T) {
	dir := t.TempDir()
	s := openSlow(t, dir)
	enrol(t, s, "A")
	const steps = 6
	var sizes [steps + 1]int // of the log after each step
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	db := read(dbName)
	for k := range uint64(steps) {
		sizes[k] = len(read(dbName + "-wal"))
		if err := step(s, 1, k+1); err != nil {
			t.Fatal(err)
		}
	}
	log := read(dbName + "-wal")
	sizes[steps] = len(log)
	if !bytes.Equal(db, read(dbName)) {
		t.Fatal("a checkpoint came between")
	}
	r := rand.New(rand.NewPCG(1, 2))
	for k := range uint64(steps) {
		for range 8 {
			torn := bytes.Clone(log[:sizes[k+1]])
			for at := sizes[k]; at < len(torn); {
				end := min((at/512+1)*512, len(torn))
				if r.IntN(3) == 0 {
					clear(torn[at:end])
				}
				at = end
			}
			torn = torn[:sizes[k]+r.IntN(len(torn)-sizes[k]+1)]
			dir := t.TempDir()
			os.WriteFile(filepath.Join(dir, dbName), db, 0o600)
			os.WriteFile(filepath.Join(dir, dbName+"-wal"), torn, 0o600)
			s, err := Open(context.Background(), dir)
			if err != nil {
				t.Fatalf("power lost in step %d: %v", k+1, err)
			}
			verify(t, s, 1, k, k+1)
			s.Close()
		}
	}
}

// TestHST096Walk upgrades from every version that ever was to the newest, and opens what came of it.
func TestHST096Walk(t *testing.T) {
	migrations, err := fs.Sub(sqliteMigrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(migrations, "*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for v := range len(files) + 1 {
		dir := t.TempDir()
		name := filepath.Join(dir, dbName)
		os.WriteFile(name, nil, 0o600)
		if v > 0 {
			if _, err := migrate(context.Background(), name, migrations, int64(v)); err != nil {
				t.Fatalf("up to %d: %v", v, err)
			}
		}
		s, err := Open(context.Background(), dir)
		if err != nil {
			t.Fatalf("from %d: %v", v, err)
		}
		enrol(t, s, "A")
		s.Close()
		openDir(t, dir).Close()
	}
}

// withMigration returns all migrations and one more.
func withMigration(t *testing.T, name, text string) fs.FS {
	t.Helper()
	migrations, err := fs.Sub(sqliteMigrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	out := fstest.MapFS{name: {Data: []byte("-- +goose Up\n" + text)}}
	files, _ := fs.Glob(migrations, "*.sql")
	for _, f := range files {
		b, err := fs.ReadFile(migrations, f)
		if err != nil {
			t.Fatal(err)
		}
		out[f] = &fstest.MapFile{Data: b}
	}
	return out
}

func TestHST096NewerSchema(t *testing.T) {
	dir := filled(t)
	newer := withMigration(t, "90000_later.sql", "CREATE TABLE later (x INTEGER) STRICT;\n")
	if _, err := migrate(context.Background(), filepath.Join(dir, dbName), newer, 0); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, "version 90000", "use a newer rollcall")
}

// TestHST096Interrupted fails a migration in its middle: nothing of it is kept, and the next one makes it whole.
func TestHST096Interrupted(t *testing.T) {
	dir := filled(t)
	name := filepath.Join(dir, dbName)
	step := func(rest string) error {
		_, err := migrate(context.Background(), name, withMigration(t, "90000_later.sql", "CREATE TABLE later (x INTEGER) STRICT;\n"+rest), 0)
		return err
	}
	if err := step("INSERT INTO nowhere VALUES (1);\n"); err == nil {
		t.Fatal("a broken migration passed")
	}
	openDir(t, dir).Close() // still the version it was
	if err := step(""); err != nil {
		t.Errorf("after an interrupted one: %v", err)
	}
}

// TestHST096FirstStartInterrupted: a first start that was ended between any two of its steps is begun again, and taken for
// nobody else's.
func TestHST096FirstStartInterrupted(t *testing.T) {
	for name, texts := range map[string][]string{
		"no header yet": nil,
		"a header":      {"PRAGMA journal_mode=wal"},
		"the table of versions": {
			"PRAGMA journal_mode=wal",
			"CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))",
			"INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1)",
		},
	} {
		dir := t.TempDir()
		f, err := openFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.prepare(); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", f.file(dbName))
		for _, text := range texts {
			if err == nil {
				_, err = db.Exec(text)
			}
		}
		if err == nil {
			err = errors.Join(db.Close(), f.close())
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c, err := s.Load(t.Context()); err != nil || c.Restored.Since != 0 {
			t.Errorf("%s: taken for a backup: %+v, %v", name, c.Restored, err)
		}
		enrol(t, s, "A")
		s.Close()
	}
}

func TestVersionNumber(t *testing.T) {
	for v, ok := range map[string]bool{"3.51.2": false, "3.51.3": true, "3.54.1": true, "4.0.0": true, "3.9.99": false, "": false, "3.51": false, "a.b.c": false} {
		if n, err := versionNumber(v); (err == nil && n >= oldestSQLite) != ok {
			t.Errorf("version %q: %d, %v; want it taken: %t", v, n, err, ok)
		}
	}
}

func TestHST094RowsWithoutTheirDevice(t *testing.T) {
	dir := filled(t)
	db, err := sql.Open("sqlite", filepath.Join(dir, dbName))
	if err == nil {
		_, err = db.Exec("INSERT INTO device_secrets (device) VALUES (99)")
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	refused(t, dir, "device 99")
}

// A device that was enrolling when its server was upgraded still knows whose place it takes (HST-032); one that had enrolled keeps its time.
func TestHST096WhosePlaceIsKept(t *testing.T) {
	migrations, err := fs.Sub(sqliteMigrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, dbName)
	os.WriteFile(name, nil, 0o600)
	if _, err := migrate(t.Context(), name, migrations, 16); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	columns := slices.DeleteFunc(slices.Clone(deviceColumns), func(c string) bool {
		return slices.Contains([]string{"replaced_at", "push_token", "identity", "next", "renewal_id", "life", "enrolled_at", "number"}, c)
	})
	insert := "INSERT INTO devices (id, number, life, enrolled_at, " + strings.Join(columns, ", ") + ") VALUES (?, ?, ?, 7" + strings.Repeat(", 0", len(columns)) + ")"
	for d, life := range map[int]delivery.Life{1: delivery.Enrolling, 2: delivery.Enrolled} {
		if _, err := db.Exec(insert, strconv.Itoa(d), d, life); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := openDir(t, dir)
	for d, want := range map[protocol.Device][2]protocol.Time{1: {0, 7}, 2: {7, 0}} {
		r, err := s.Record(t.Context(), d)
		if got := [2]protocol.Time{r.State.EnrolledAt, r.State.Rare.Read().Replaced}; err != nil || got != want {
			t.Errorf("%s: enrolled and in the place of one at %v, %v, want %v", r.State.Life, got, err, want)
		}
	}
}
