package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
)

func take(t *testing.T) *folder {
	t.Helper()
	f, err := takeFolder(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.close() })
	return f
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

func saved(t *testing.T, f *folder, udid string) {
	t.Helper()
	if err := f.save(&record{UDID: udid}); err != nil {
		t.Fatal(err)
	}
}

// Whatever a crash or a disk leaves of the state file: the newest state that is whole is used, or none (HST-121).
func TestHST121TheNewestWholeStateIsUsed(t *testing.T) {
	good, err := os.ReadFile(func() string { f := take(t); saved(t, f, "other"); return f.path(stateFile) }())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		hurt func(f *folder) error // after "one" and "two" were saved
		want string                // UDID; empty: an error
	}{
		"nothing":                    {func(*folder) error { return nil }, "two"},
		"killed in mid-write":        {func(f *folder) error { return os.WriteFile(f.path(nextFile), good[:len(good)/2], 0o600) }, "two"},
		"killed between the renames": {func(f *folder) error { return os.Rename(f.path(stateFile), f.path(previousFile)) }, "two"},
		"killed there with the next": {func(f *folder) error {
			return errors.Join(os.Rename(f.path(stateFile), f.path(previousFile)), os.WriteFile(f.path(nextFile), good, 0o600))
		}, "two"},
		"truncated": {func(f *folder) error { return os.Truncate(f.path(stateFile), 40) }, "one"},
		"empty":     {func(f *folder) error { return os.Truncate(f.path(stateFile), 0) }, "one"},
		"one bit":   {func(f *folder) error { return flip(f.path(stateFile), `"two"`, `"twp"`) }, "one"},
		"truncated, and none before": {func(f *folder) error {
			return errors.Join(os.Truncate(f.path(stateFile), 40), os.Remove(f.path(previousFile)))
		}, ""},
		"both truncated": {func(f *folder) error {
			return errors.Join(os.Truncate(f.path(stateFile), 40), os.Truncate(f.path(previousFile), 40))
		}, ""},
		"a newer program's, no way back": {func(f *folder) error { return flip(f.path(stateFile), `"version":1`, `"version":2`) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := take(t)
			saved(t, f, "one")
			saved(t, f, "two")
			if err := tt.hurt(f); err != nil {
				t.Fatal(err)
			}
			r, err := load(f.dir)
			if (err == nil) != (tt.want != "") || err == nil && r.UDID != tt.want {
				t.Errorf("load = %+v, %v; want %q", r, err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "--anew") && !strings.Contains(err.Error(), "use the newer one")) {
				t.Errorf("%v: want one sentence that says what to do", err)
			}
			if tt.want != "" { // and it goes on from there
				saved(t, f, "three")
				if r, err := load(f.dir); err != nil || r.UDID != "three" {
					t.Errorf("after that load = %+v, %v", r, err)
				}
			}
		})
	}
	if r, err := load(filepath.Join(t.TempDir())); err != nil || r.UDID != "" {
		t.Errorf("an empty folder: %+v, %v", r, err)
	}
}

// Nothing is written that a restart would not read: what was there before stays, and a state that is too long all the same says what to do.
func TestHST120AStateIsNeverLongerThanItIsRead(t *testing.T) {
	f := take(t)
	saved(t, f, "one")
	if err := f.save(&record{Device: make([]byte, maxState/4*3)}); !errors.Is(err, errTooLong) {
		t.Errorf("save = %v", err)
	}
	if r, err := load(f.dir); err != nil || r.UDID != "one" {
		t.Errorf("load = %+v, %v", r, err)
	}
	saved(t, f, "two")
	for _, name := range []string{stateFile, previousFile} { // whole, but for their length
		if err := os.Truncate(f.path(name), maxState+1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := load(f.dir); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "--anew") {
		t.Errorf("load = %v", err)
	}
}

// flip changes a text in a file.
func flip(name, from, to string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !strings.Contains(string(b), from) {
		return fmt.Errorf("%s has no %s", name, from)
	}
	return os.WriteFile(name, []byte(strings.Replace(string(b), from, to, 1)), 0o600)
}

// A state that cannot be written leaves the one that is there (HST-121), and the folder is its owner's alone.
func TestHST121AFullDisk(t *testing.T) {
	f := take(t)
	saved(t, f, "one")
	if err := os.Mkdir(f.path(nextFile), 0o700); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.path(nextFile), "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.save(&record{UDID: "two"}); err == nil || !strings.Contains(err.Error(), "cannot be kept") {
		t.Errorf("save = %v", err)
	}
	if r, err := load(f.dir); err != nil || r.UDID != "one" {
		t.Errorf("load = %+v, %v", r, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for name, want := range map[string]os.FileMode{f.dir: 0o700, f.path(stateFile): 0o600, f.path(lockFile): 0o600} {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", name, st.Mode(), err, want)
		}
	}
}

func TestOneAgentAFolder(t *testing.T) {
	f := take(t)
	if _, err := takeFolder(f.dir); !errors.Is(err, ErrRuns) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("taken twice: %v", err)
	}
	f.close()
	again, err := takeFolder(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	again.close()
}

// An agent takes no folder that is somebody's: neither its rights nor what is in it change.
func TestHST120AFolderOfOthers(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(dir string) error{
		"with other things":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o644) },
		"for everybody":       func(dir string) error { return os.Chmod(dir, 0o777) },
		"for everybody, /tmp": func(dir string) error { return os.Chmod(dir, 0o777|os.ModeSticky) },
	} {
		dir := t.TempDir()
		if runtime.GOOS == "windows" && name != "with other things" {
			continue
		}
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := takeFolder(dir); err == nil || !strings.Contains(err.Error(), "--state") {
			f.close()
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.Stat(dir); err != nil || after.Mode() != before.Mode() {
			t.Errorf("%s: %v became %v, %v", name, before.Mode(), after.Mode(), err)
		}
		if _, err := os.Stat(filepath.Join(dir, lockFile)); err == nil {
			t.Errorf("%s: a lock is left in it", name)
		}
	}
	dir := t.TempDir()
	f, err := takeFolder(dir) // one's own, that is empty
	if err != nil {
		t.Fatal(err)
	}
	saved(t, f, "one")
	f.close()
	if err := os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err = takeFolder(dir); err != nil {
		t.Fatalf("a state with something beside it: %v", err)
	}
	f.close()
}

// A link in the place of one of the agent's files leads to nothing that is written: whose the folder is may be less than who writes.
func TestHST120LinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("only administrators make links there")
	}
	for _, name := range []string{lockFile, nextFile, journalFile} {
		dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
		if err := errors.Join(os.WriteFile(victim, []byte("untouched"), 0o600), os.Symlink(victim, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
		if f, err := takeFolder(dir); err == nil {
			f.save(&record{UDID: "one"})
			f.note(Entry{What: "enrolled"})
			f.close()
		} else if name != lockFile {
			t.Error(err)
		}
		if b, err := os.ReadFile(victim); err != nil || string(b) != "untouched" {
			t.Errorf("%s: behind the link there is %q, %v", name, b, err)
		}
	}
}

// What a user's folder says is not done by root: neither a command nor a file of the system.
func TestHST120RootDoesNothingForAnotherUser(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the command is one of a Unix shell")
	}
	h, _, file := placed(t)
	h.folder.lent = true
	done := filepath.Join(t.TempDir(), "done")
	h.rec.Allow = map[string]string{"lock": "touch " + word(done)}
	h.act("lock", "1")
	if _, err := os.Stat(done); err == nil {
		t.Error("root ran the user's command")
	}
	if err := h.over("it left"); !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), "as that user") {
		t.Errorf("over = %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) == "the owner's own" {
		t.Errorf("root wrote %q, %v", b, err)
	}
	h.folder.lent = false
	if err := h.CheckIn(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestClearLeavesNothingOlder(t *testing.T) {
	f := take(t)
	saved(t, f, "secret")
	if err := f.clear(&record{UDID: "plain"}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if b, err := os.ReadFile(f.path(e.Name())); err != nil || strings.Contains(string(b), "secret") {
			t.Errorf("%s: %s, %v", e.Name(), b, err)
		}
	}
}

// The journal keeps some two megabytes, however much is asked of the machine, and reads over a line that was cut short (HST-120).
func TestHST120TheJournalIsBounded(t *testing.T) {
	f := take(t)
	full := bytes.Repeat([]byte(`{"at":"2026-03-02T09:00:00Z","what":"DeviceLock"}`+"\n"), maxJournal/50+1)
	for i := range 3 {
		if err := os.WriteFile(f.path(journalFile), full, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := f.note(Entry{At: protocol.Time(i + 1), What: "DeviceLock", Note: strings.Repeat("é", 1<<20)}); err != nil {
			t.Fatal(err)
		}
	}
	size := int64(0)
	for _, name := range []string{journalFile, olderFile} {
		st, err := os.Stat(f.path(name))
		if err != nil {
			t.Fatal(err)
		}
		size += st.Size()
	}
	if size > 2*maxJournal {
		t.Errorf("the journal has %d bytes", size)
	}
	w, err := os.OpenFile(f.path(journalFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.WriteString(`{"at":"2026-`)
	w.Close()
	list, err := Journal(f.dir)
	if err != nil || len(list) != maxJournal/50+2 || list[len(list)-1].At != 3 {
		t.Errorf("%d entries, the last %v, %v", len(list), list[max(len(list), 1)-1].At, err)
	}
}

func FuzzReadState(f *testing.F) {
	state := []byte(`{"udid":"A","kind":"ipados","device":"AQ==","link":{"host":"a:1"}}`)
	sum := sha256.Sum256(state)
	good, err := json.Marshal(sealedState{1, hex.EncodeToString(sum[:]), state})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":9}`))
	f.Add([]byte(`{`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(dir, stateFile)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := readState(name); (r == nil) == (err == nil) {
			t.Errorf("readState = %v, %v", r, err)
		}
		_, _ = Read(dir, protocol.Time(1).Time(), Facts{}) // does not panic
	})
}

// Where nothing came of taking a folder, nothing is there that was not; where something did, it stays.
func TestHST121WhatCameToNothingLeavesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		before, during []string
		after          []string
	}{
		"no folder":             {nil, nil, nil},
		"an empty folder":       {[]string{"a/state/"}, nil, []string{"a", "a/state"}},
		"a lock of before":      {[]string{"a/state/", "a/state/lock"}, nil, []string{"a", "a/state", "a/state/lock"}},
		"a journal":             {nil, []string{"a/state/journal.jsonl"}, []string{"a", "a/state", "a/state/journal.jsonl", "a/state/lock"}},
		"something beside it":   {nil, []string{"a/other"}, []string{"a", "a/other"}},
		"a folder with a state": {[]string{"a/state/", "a/state/agent.json"}, nil, []string{"a", "a/state", "a/state/agent.json", "a/state/lock"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			put := func(names []string) {
				for _, name := range names {
					at := filepath.Join(root, filepath.FromSlash(name))
					err := os.MkdirAll(filepath.Dir(at), 0o700)
					if strings.HasSuffix(name, "/") {
						err = os.MkdirAll(at, 0o700)
					} else if err == nil {
						err = os.WriteFile(at, nil, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			put(tt.before)
			f, err := takeFolder(filepath.Join(root, "a", "state"))
			if err != nil {
				t.Fatal(err)
			}
			put(tt.during)
			if err := f.close(); err != nil {
				t.Error(err)
			}
			var after []string
			err = fs.WalkDir(os.DirFS(root), ".", func(name string, _ fs.DirEntry, err error) error {
				if name != "." {
					after = append(after, name)
				}
				return err
			})
			if err != nil || !slices.Equal(after, tt.after) {
				t.Errorf("after it there is %q, want %q (%v)", after, tt.after, err)
			}
		})
	}
}

// A lock that was taken away while somebody waited to take it is none: whoever comes next has another (HST-121).
func TestHST121ALockThatIsTakenAway(t *testing.T) {
	f := take(t)
	name := f.path(lockFile)
	if err := os.Rename(name, name+".gone"); err != nil {
		t.Skip("this system does not let a file go that is open: ", err)
	}
	if isAt(f.lock.file, name) {
		t.Error("a file is taken for that of a name that there is not")
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil || isAt(f.lock.file, name) {
		t.Error("a file is taken for another of its name", err)
	}
}

// A state folder that was taken away while its agent runs is not written to: not where there is none, and not where another agent has
// made it anew, whose identity would be lost. The agent ends, and says so (HST-121).
func TestHST121AFolderThatIsAnothersNow(t *testing.T) {
	t.Parallel()
	for _, anew := range []string{"nothing", "a lock", "a state"} {
		dir := filepath.Join(t.TempDir(), "state")
		h := bare(t, dir)
		h.rec.Trouble = "something is not back yet" // it does not end by itself
		if err := h.folder.save(h.rec); err != nil {
			t.Fatal(err)
		}
		desk, err := newDesk(t.Context(), h.folder, &h.stream)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Skip("an agent's folder cannot be taken away on this system: ", err)
		}
		var other *Host
		if anew != "nothing" {
			other = bare(t, dir)
		}
		if anew == "a state" {
			saved(t, other.folder, "another")
			if err := other.folder.note(Entry{What: "enrolled"}); err != nil {
				t.Fatal(err)
			}
			if second, err := newDesk(t.Context(), other.folder, &other.stream); err != nil {
				t.Fatal(err)
			} else {
				defer second.close()
			}
		}
		there := filesOf(t, dir)
		for what, err := range map[string]error{
			"save": h.folder.save(h.rec), "note": h.folder.note(Entry{What: "ended"}), "clear": h.folder.clear(h.rec), "follow": h.follow(), "over": h.over("x"),
			"run": h.Run(t.Context(), nil),
		} {
			if !errors.Is(err, errTaken) || !strings.Contains(err.Error(), "start the agent again") {
				t.Errorf("there is %s: %s: %v", anew, what, err)
			}
		}
		desk.close()
		h.folder.close()
		if now := filesOf(t, dir); !slices.Equal(now, there) {
			t.Errorf("there is %s: it has %q, and had %q", anew, now, there)
		}
	}
}

// filesOf lists what is in a folder, with what is in it.
func filesOf(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, _ := os.ReadFile(filepath.Join(dir, e.Name())) // a socket has none
		list = append(list, e.Name()+": "+string(b))
	}
	return list
}

// What a link brings is read before it is kept: of the same line a whole one may come later.
func TestHST120ALinkThatBringsNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []protocol.Platform{protocol.IPadOS, protocol.MacOS, protocol.Windows, protocol.Android} {
		for _, brought := range []string{"", "<plist><dict/></plist>", "<!DOCTYPE html><title>Sign in</title>", "{}"} {
			ca, err := certs.NewIssuer("lab", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			link, chain := serve(t, ca, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, brought) })
			h := bare(t, filepath.Join(t.TempDir(), "state"))
			err = h.Enrol(t.Context(), Join{URL: link.String(), CA: pinOf(chain[1]), As: kind})
			if err == nil || !strings.Contains(err.Error(), "paste the line again") || strings.Contains(err.Error(), "\n") || h.rec.Pending != nil || !h.idle() {
				t.Errorf("%v, %q: %v, pending %v", kind, brought, err, h.rec.Pending)
			}
		}
	}
}
