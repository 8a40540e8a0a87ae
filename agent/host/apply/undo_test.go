package apply

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// mailAt is a profile whose file is in the place of the owner's own.
func mailAt(t *testing.T, s *scene, st *Store) {
	t.Helper()
	p := apple.NewProfile("org.example.mail", "Mail", protocol.Email)
	p.Payloads[0].Settings["EmailAddress"] = "ada@example.org"
	if placed, err := st.Place(t.Context(), s.config, nil, Installed{"org.example.mail", 1}, apple.EncodeProfile(p)); !placed || err != nil {
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

// An edit of somebody's stays when the profile leaves, and is said once; one made while the profile is there does not.
func TestHST121EditsStay(t *testing.T) {
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
	if err := st.Match(t.Context(), s.config, []Installed{{"org.example.mail", 1}}); err != nil || len(st.Kept()) != 0 {
		t.Errorf("with the profile: %v", err)
	}
	if b, _ := os.ReadFile(file); string(b) == "an edit" {
		t.Error("an edit stands against a profile that is installed")
	}
	edit()
	if err := st.Match(t.Context(), s.config, nil); err != nil {
		t.Error(err)
	}
	if kept := st.Kept(); len(kept) != 1 || !strings.HasSuffix(kept[0], "example.org.xml") || len(st.Kept()) != 0 {
		t.Errorf("kept %q", kept)
	}
	if b, _ := os.ReadFile(file); string(b) != "an edit" {
		t.Errorf("the edit is now %q", b)
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
