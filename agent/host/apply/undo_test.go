package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// mailAt is a profile whose file is in the place of the owner's own.
func mailAt(t *testing.T, s *scene, st *Store) {
	t.Helper()
	if placed, err := st.Place(t.Context(), s.config, nil, Installed{"org.example.mail", 1}, mailOf("Mail")); !placed || err != nil {
		t.Fatal(placed, err)
	}
	if err := st.Match(t.Context(), s.config, []Installed{{"org.example.mail", 1}}); err != nil {
		t.Fatal(err)
	}
}

// A file with another name is the same file again, with what was written to it by that name, and nothing is left beside it.
func TestHST121HardLinksComeBack(t *testing.T) {
	for _, written := range []bool{false, true} {
		s := system(t)
		file, other := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml"), filepath.Join(s.root, "usr/lib/other.xml")
		if err := os.Link(file, other); err != nil {
			t.Fatal(err)
		}
		st, err := Open(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		mailAt(t, s, st)
		want := "the owner's own"
		if b, err := os.ReadFile(other); err != nil || string(b) != want {
			t.Errorf("the other name has %q, %v", b, err)
		}
		if written {
			want = "written by its other name"
			if err := os.WriteFile(other, []byte(want), 0o640); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Match(t.Context(), s.config, nil); err != nil {
			t.Error(err)
		}
		a, err := os.Stat(file)
		b, no := os.Stat(other)
		text, _ := os.ReadFile(file)
		if err != nil || no != nil || !os.SameFile(a, b) || string(text) != want {
			t.Errorf("written %v: %v, %v: one file %v, %q", written, err, no, os.SameFile(a, b), text)
		}
		if _, err := os.Stat(s.dir); err == nil {
			t.Errorf("written %v: the store is still there", written)
		}
		if list, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(list) > 0 {
			t.Errorf("left beside it: %q", list)
		}
	}
}

// The file that comes back is the very one that was there, with all that no copy has: access lists, labels, attributes.
func TestHST121TheVeryFileComesBack(t *testing.T) {
	s := system(t)
	file := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	mailAt(t, s, s.open())
	if now, err := os.Stat(file); err != nil || os.SameFile(before, now) {
		t.Fatalf("the profile was written into the owner's file: %v", err)
	}
	s.match(s.open())
	after, err := os.Stat(file)
	if err != nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("another file is in its place: %v", err)
	}
	if list, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(list) > 0 {
		t.Errorf("left beside it: %q", list)
	}
}

// An edit of somebody's is set aside when the profile leaves, and is said once; one made while the profile is there does not last.
func TestHST121EditsAreSetAside(t *testing.T) {
	s := system(t)
	st, err := Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	mailAt(t, s, st)
	file := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")
	edit := func() {
		if err := os.WriteFile(file, []byte("an edit"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	edit()
	if err := st.Match(t.Context(), s.config, []Installed{{"org.example.mail", 1}}); err != nil {
		t.Errorf("with the profile: %v", err)
	}
	kept := st.Edited()
	if b, _ := os.ReadFile(file); string(b) == "an edit" {
		t.Error("an edit stands against a profile that is installed")
	}
	edit()
	if err := st.Match(t.Context(), s.config, nil); err != nil {
		t.Error(err)
	}
	if len(kept) != 1 || kept[0].File != file || len(st.Edited()) != 0 {
		t.Fatalf("set aside %q", kept)
	}
	if b, _ := os.ReadFile(file); string(b) != "the owner's own" {
		t.Errorf("what was there before is now %q", b)
	}
	s.aside(file, "an edit")
	if st, err := os.Stat(kept[0].Copy); err != nil || st.Mode() != 0o600 {
		t.Errorf("the copy: %v, %v", st, err)
	}
	if err := os.Remove(kept[0].Copy); err != nil {
		t.Fatal(err)
	}
	if _, _, list, err := Read(s.dir); err != nil || len(list) != 0 {
		t.Errorf("taken away, and told: %q, %v", list, err)
	}
	s.match(s.open())
	if _, err := os.Stat(s.dir); err == nil {
		t.Error("the store is still there with nothing in it")
	}
}

// aside checks that the store has one version of file set aside, and nothing else.
func (s *scene) aside(file, content string) {
	s.t.Helper()
	_, _, list, err := Read(s.dir)
	if err != nil || len(list) != 1 || list[0].File != file {
		s.t.Fatalf("set aside %q, %v", list, err)
	}
	if b, err := os.ReadFile(list[0].Copy); err != nil || string(b) != content {
		s.t.Errorf("%s has %q, %v", list[0].Copy, b, err)
	}
	left := tree(s.t, s.dir)
	if len(left) != 6 { // itself, two folders, the copy, and the ledger twice
		s.t.Errorf("the store has %v", slices.Sorted(maps.Keys(left)))
	}
}

// Killed between any two steps of it, the edit is set aside once, and what was there before is back.
func TestHST121KilledWhileSettingAside(t *testing.T) {
	for at := 1; ; at++ {
		s := system(t)
		first := tree(t, s.root)
		file := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")
		mailAt(t, s, s.open())
		if err := os.WriteFile(file, []byte("an edit"), 0o644); err != nil {
			t.Fatal(err)
		}
		dead := s.killedAt(at, func(store *Store) { s.match(store) })
		b, err := os.ReadFile(file)
		if _, _, list, no := Read(s.dir); err != nil || no != nil || len(list) != 1 && string(b) != "an edit" {
			t.Errorf("step %d: the edit is lost: %q, %v, %v", at, b, err, no)
		}
		s.match(s.open())
		s.same(fmt.Sprintf("killed at step %d", at), first)
		s.aside(file, "an edit")
		if !dead {
			if at < 10 {
				t.Errorf("only %d steps", at)
			}
			return
		}
	}
}

// Where there is no room, the edit stays, and what was there before is not forgotten: it comes back when there is.
func TestHST120WhatIsSetAsideHasBounds(t *testing.T) {
	s := system(t)
	file := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")
	st := s.open()
	mailAt(t, s, st)
	if err := errors.Join(os.WriteFile(file, []byte("an edit"), 0o644), os.Mkdir(filepath.Join(s.dir, editedFolder), 0o700)); err != nil {
		t.Fatal(err)
	}
	for n := range maxEdited {
		e := Edited{"/etc/x", strconv.Itoa(n)}
		st.led.Edited = append(st.led.Edited, e)
		if err := os.WriteFile(e.in(s.dir).Copy, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	oldest, newest := st.led.Edited[0].in(s.dir).Copy, st.led.Edited[maxEdited-1].in(s.dir).Copy
	if err := os.Truncate(newest, maxEditedBytes-100); err != nil {
		t.Fatal(err)
	}
	s.match(st)
	if b, _ := os.ReadFile(file); string(b) != "the owner's own" {
		t.Errorf("full: %q", b)
	}
	if _, err := os.Stat(oldest); err == nil {
		t.Error("there are more than there may be")
	}
	if _, err := os.Stat(newest); err != nil {
		t.Error(err)
	}
	mailAt(t, s, st)
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 200), 0o644); err != nil {
		t.Fatal(err)
	}
	s.match(st)
	if _, err := os.Stat(newest); err == nil {
		t.Error("there is more than there may be")
	}
	_, _, list, err := Read(s.dir)
	if err != nil || len(list) == 0 || list[len(list)-1].File != file {
		t.Fatalf("%+v, %v", list, err)
	}
	if text, err := os.ReadFile(list[len(list)-1].Copy); err != nil || len(text) != 200 {
		t.Errorf("the newest has %d bytes, %v", len(text), err)
	}
}

// A file of the owner's that nothing has replaced yet is only let go, with what was written to it.
func TestHST121AFileThatWasNeverReplaced(t *testing.T) {
	s := system(t)
	file := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")
	st := s.open()
	mailAt(t, s, st)
	name, _ := filepath.Rel(s.root, file)
	if err := errors.Join(os.Rename(filepath.Join(s.root, heldAt(name)), file), os.Link(file, filepath.Join(s.root, heldAt(name))), os.WriteFile(file, []byte("the owner's newer"), 0o640)); err != nil {
		t.Fatal(err)
	}
	if err := st.Match(t.Context(), s.config, nil); err != nil || len(st.Edited()) != 0 || st.Touches() {
		t.Errorf("%v; touches %v", err, st.Touches())
	}
	if b, _ := os.ReadFile(file); string(b) != "the owner's newer" {
		t.Errorf("%q", b)
	}
}

// Programs are told of what changed on the machine itself, by their own command, and of no folder that stands for it.
func TestProgramsAreToldOfTheMachineAlone(t *testing.T) {
	for dir := range updates {
		if !owed("/", dir) || owed("/srv/root", dir) {
			t.Errorf("%s: owed %v, elsewhere %v", dir, owed("/", dir), owed("/srv/root", dir))
		}
	}
	if len(updates) < 3 || owed("/", "etc") {
		t.Errorf("%d commands", len(updates))
	}
}

// A command of the system that fails is tried at later calls, ever fewer of them, six times in all, and each call says so until it is done.
func TestACommandThatFailsIsTriedAgain(t *testing.T) {
	s := system(t)
	st, err := Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	const folder = "etc/swanctl/conf.d"
	var ran []int
	call, works := 0, 0
	c := Config{Run: func(context.Context, []string, []string, []byte) error {
		if ran = append(ran, call); len(ran) == works {
			return nil
		}
		return errors.New("no")
	}}
	run := func() (said int) {
		ran, st.led.Debts = nil, []debt{{Folder: folder}}
		for call = 1; len(st.led.Debts) > 0 && call < 100; call++ {
			if err := st.update(t.Context(), c); err != nil {
				said++
			}
			if st, err = Open(s.dir); err != nil { // a restart
				t.Fatal(err)
			}
		}
		return said
	}
	if said := run(); len(ran) != 6 || ran[1] != 2 || ran[2] != 4 || ran[3] != 8 || ran[4] != 16 || ran[5] != 32 || said != 32 {
		t.Errorf("tried at the calls %v, and said %d times", ran, said)
	}
	works = 3
	if said := run(); len(ran) != 3 || said != 3 {
		t.Errorf("tried at the calls %v, and said %d times", ran, said)
	}
}

// mailOf is a profile of mail whose account is called so.
func mailOf(account string) []byte {
	p := apple.NewProfile("org.example.mail", "Mail", protocol.Email)
	p.Payloads[0].Settings["EmailAddress"] = "ada@example.org"
	p.Payloads[0].Settings["EmailAccountDescription"] = account
	return apple.EncodeProfile(p)
}

// The owner's file is what comes back, though the profile's has got its mode and times, as programs that copy these give them.
func TestHST121AProfilesFileIsNotTheOwners(t *testing.T) {
	for name, lost := range map[string]bool{"the very file": false, "a copy": true} {
		t.Run(name, func(t *testing.T) {
			s := system(t)
			file := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")
			was, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			st, err := Open(s.dir)
			if err != nil {
				t.Fatal(err)
			}
			mailAt(t, s, st)
			if err := errors.Join(os.Chmod(file, was.Mode()), os.Chtimes(file, was.ModTime(), was.ModTime())); err != nil {
				t.Fatal(err)
			}
			if lost {
				if err := os.Remove(filepath.Join(s.root, heldAt("usr/lib/thunderbird/isp/example.org.xml"))); err != nil {
					t.Fatal(err)
				}
			}
			if placed, err := st.Place(t.Context(), s.config, []Installed{{"org.example.mail", 1}}, Installed{"org.example.mail", 2}, mailOf("another")); !placed || err != nil {
				t.Fatal(placed, err)
			}
			err = st.Match(t.Context(), s.config, nil)
			if text, no := os.ReadFile(file); err != nil || no != nil || string(text) != "the owner's own" {
				t.Errorf("what came back is %q, %v", text, errors.Join(err, no))
			}
			if list := st.Edited(); len(list) > 0 {
				t.Errorf("nobody changed anything, and %+v was set aside", list)
			}
		})
	}
}

// However often a profile's file could not be replaced, it is known again, and nobody is said to have changed it. What somebody did change is
// set aside again where the copy was taken away before its step was done.
func TestHST121WhatCouldNotBeReplacedIsKnown(t *testing.T) {
	for name, edit := range map[string]string{"untouched": "", "changed": "an edit"} {
		t.Run(name, func(t *testing.T) {
			s := system(t)
			st, err := Open(s.dir)
			if err != nil {
				t.Fatal(err)
			}
			mailAt(t, s, st)
			name := "usr/lib/thunderbird/isp/example.org.xml"
			file, block := filepath.Join(s.root, name), filepath.Join(s.root, nextTo(name))
			if err := os.MkdirAll(filepath.Join(block, "full"), 0o755); err != nil { // where its successor would be made
				t.Fatal(err)
			}
			for n := range 3 {
				if placed, _ := st.Place(t.Context(), s.config, []Installed{{"org.example.mail", 1}}, Installed{"org.example.mail", uint64(n + 2)}, mailOf(strings.Repeat("x", n+1))); placed {
					t.Fatal("it was replaced")
				}
			}
			if edit != "" {
				err := os.WriteFile(file, []byte(edit), 0o644)
				no := os.Remove(filepath.Join(s.root, heldAt(name))) // so that a file has to be made
				if err := errors.Join(err, no); err != nil {
					t.Fatal(err)
				}
				if err := st.Match(t.Context(), s.config, nil); err == nil || len(st.Edited()) != 1 {
					t.Fatalf("what cannot be done: %v, %+v", err, st.Edited())
				}
				if err := os.RemoveAll(filepath.Join(s.dir, editedFolder)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.RemoveAll(block); err != nil {
				t.Fatal(err)
			}
			err = st.Match(t.Context(), s.config, nil)
			if text, no := os.ReadFile(file); err != nil || no != nil || string(text) != "the owner's own" {
				t.Errorf("what came back is %q, %v", text, errors.Join(err, no))
			}
			list := present(s.dir, st.led.Edited)
			if len(list) != min(len(edit), 1) {
				t.Fatalf("%+v was set aside", list)
			}
			for _, e := range list {
				if text, err := os.ReadFile(e.in(s.dir).Copy); err != nil || string(text) != edit {
					t.Errorf("the copy has %q, %v", text, err)
				}
			}
		})
	}
}

// The newest versions that somebody made of a file are kept, each under the name of the file and no folder's.
func TestHST121EachEditIsKept(t *testing.T) {
	s := system(t)
	st := s.open()
	mailAt(t, s, st)
	file := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")
	const edits = maxVersions + 30
	for n := range edits {
		if err := os.WriteFile(file, []byte(strconv.Itoa(n)), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := st.Match(t.Context(), s.config, []Installed{{"org.example.mail", 1}}); err != nil {
			t.Fatal(err)
		}
	}
	s.match(st)
	_, _, list, err := Read(s.dir)
	if err != nil || len(list) != maxVersions {
		t.Fatalf("%d of %d edits are kept (%v)", len(list), edits, err)
	}
	for n, e := range list {
		if text, err := os.ReadFile(e.Copy); err != nil || string(text) != strconv.Itoa(n+edits-maxVersions) || filepath.Dir(e.Copy) != filepath.Join(s.dir, editedFolder) {
			t.Errorf("%s has %q, %v", e.Copy, text, err)
		}
	}
}
