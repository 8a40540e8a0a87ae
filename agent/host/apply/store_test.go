package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A scene is a machine: a root that stands for the system's, and a store.
type scene struct {
	t         *testing.T
	root, dir string
	config    Config
	ran       []string // commands, by what they heard
}

// system makes a root with the folders that a system has, and with files that are in the way.
func system(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, root: t.TempDir(), dir: filepath.Join(t.TempDir(), "profiles")}
	for _, dir := range []string{
		"usr/local/share/ca-certificates", "etc/NetworkManager/system-connections", "etc/swanctl/conf.d", "etc/wireguard",
		"usr/lib/thunderbird/isp", "etc/security/pwquality.conf.d",
	} {
		if err := os.MkdirAll(filepath.Join(s.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.put("usr/lib/thunderbird/isp/example.org.xml", "the owner's own", 0o640)
	s.put("etc/NetworkManager/system-connections/home.nmconnection", "the owner's own too", 0o600)
	s.config = Config{Root: s.root, Families: protocol.Families[:], Run: func(_ context.Context, command, environment []string, input []byte) error {
		s.ran = append(s.ran, strings.Join(append(slices.Clone(command), environment...), " ")+fmt.Sprintf(" %d", min(len(input), 1)))
		return nil
	}}
	return s
}

func (s *scene) put(name, content string, mode fs.FileMode) {
	s.t.Helper()
	name = filepath.Join(s.root, name)
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		s.t.Fatal(err)
	}
}

// tree is everything below a folder: mode and content by path.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		content := ""
		if st.Mode().IsRegular() {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			content = string(b)
		}
		out[strings.TrimPrefix(name, root)] = st.Mode().String() + " " + content
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

func (s *scene) open() *Store {
	s.t.Helper()
	store, err := Open(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	store.sync = func(*os.File) error { return nil } // what a kill leaves does not depend on it
	return store
}

func (s *scene) match(store *Store, list ...doc) {
	s.t.Helper()
	if err := store.Match(s.t.Context(), s.config, installed(list)); err != nil {
		s.t.Error(err)
	}
}

// A doc is a profile with its document.
type doc struct {
	Installed
	bytes []byte
}

func installed(list []doc) (out []Installed) {
	for _, d := range list {
		out = append(out, d.Installed)
	}
	return out
}

func docOf(content uint64, p *apple.Profile) doc {
	return doc{Installed{p.Identifier, content}, apple.EncodeProfile(p)}
}

// profile makes one of a family whose payload has a file form.
func profile(family protocol.Family, version uint64) doc {
	p := apple.NewProfile("org.example."+family.String(), fmt.Sprintf("version %d", version), family)
	m := p.Payloads[0].Settings
	switch family {
	case protocol.WiFi:
		m["Password"] = fmt.Sprintf("correct horse %d", version)
	case protocol.Email:
		m["EmailAddress"] = "ada@example.org"
		m["OutgoingMailServerPortNumber"] = int64(2000 + version)
	case protocol.VPN:
		p.Payloads[0].Settings = map[string]any{"UserDefinedName": "x", "VPNType": "IKEv2", "IKEv2": map[string]any{
			"RemoteAddress": fmt.Sprintf("vpn%d.example.org", version), "AuthenticationMethod": "SharedSecret", "SharedSecret": "s3cret",
		}}
	case protocol.Configuration:
		m["minLength"] = int64(8 + version)
	}
	return docOf(version, p)
}

func five(version uint64) (list []doc) {
	for _, f := range protocol.Families {
		list = append(list, profile(f, version))
	}
	return list
}

// two are a profile whose path is free, and one in whose place the owner has a file.
func two(version uint64) []doc {
	return []doc{profile(protocol.WiFi, version), profile(protocol.Email, version)}
}

func (s *scene) take(store *Store, list ...doc) {
	s.t.Helper()
	for _, d := range list {
		if err := store.Keep(d.Installed, d.bytes); err != nil {
			s.t.Error(err)
		}
	}
}

// place puts profiles onto a machine that has others, one after the other.
func (s *scene) place(store *Store, have []doc, list ...doc) {
	s.t.Helper()
	now := slices.Clone(have)
	for _, d := range list {
		if placed, err := store.Place(s.t.Context(), s.config, installed(now), d.Installed, d.bytes); !placed || err != nil {
			s.t.Errorf("%s: placed %v, %v", d.Identifier, placed, err)
		}
		now = append(slices.DeleteFunc(now, func(x doc) bool { return x.Identifier == d.Identifier }), d)
	}
}

func (s *scene) same(what string, want map[string]string) {
	s.t.Helper()
	got := tree(s.t, s.root)
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if got[name] != want[name] {
			s.t.Errorf("%s: %s is %q, was %q", what, name, got[name], want[name])
		}
	}
	for name := range want {
		if _, there := got[name]; !there {
			s.t.Errorf("%s: %s is gone", what, name)
		}
	}
}

// All five families become files, a namesake takes their place (AUTH-26), and nothing of them stays when they go.
func TestAUTH26NamesakesBecomeFiles(t *testing.T) {
	t.Parallel()
	s := system(t)
	first := tree(t, s.root)
	store := s.open()
	one, two := five(1), five(2)
	s.take(store, one...)
	s.match(store, one...)
	applied := tree(t, s.root)
	list, root, _, err := Read(s.dir)
	if err != nil || root != s.root || len(list) != 5 {
		t.Fatalf("%+v below %s, %v", list, root, err)
	}
	for _, p := range list {
		if len(p.Parts) != 1 || p.Parts[0].File == "" || applied["/"+p.Parts[0].File] == first["/"+p.Parts[0].File] {
			t.Errorf("%+v is no file of the system", p)
		}
		if _, err := os.Stat(filepath.Join(s.dir, p.Folder, documentFile)); err != nil {
			t.Error(err)
		}
		if files, _ := filepath.Glob(filepath.Join(s.dir, p.Folder, "1-*")); len(files) != 1 {
			t.Errorf("%s: readable files %v", p.Identifier, files)
		}
	}
	s.take(store, two...)
	s.match(store, two...)
	second := tree(t, s.root)
	if len(second) != len(applied) {
		t.Errorf("%d files became %d", len(applied), len(second))
	}
	for name, content := range applied {
		if changed := second[name] != content; !strings.HasSuffix(name, "-before") && changed != (content != first[name] && strings.HasPrefix(content, "-") && !strings.HasSuffix(name, ".crt")) {
			t.Errorf("%s: %q became %q", name, content, second[name])
		}
	}
	s.match(store, two[:2]...)
	s.match(s.open())
	s.same("removed", first)
	if left := tree(t, s.dir); len(left) != 0 {
		t.Errorf("the store still has %v", slices.Sorted(maps.Keys(left)))
	}
	if len(s.ran) != 0 {
		t.Errorf("a folder that stands for the system ran %q", s.ran)
	}
}

// Of the families that are not named nothing reaches the system, and people see why.
func TestFamiliesThatAreNotAllowed(t *testing.T) {
	t.Parallel()
	s := system(t)
	first := tree(t, s.root)
	s.config.Families = nil
	store := s.open()
	s.take(store, five(1)...)
	s.match(store, five(1)...)
	s.same("not allowed", first)
	list, _, _, _ := Read(s.dir)
	for _, p := range list {
		if p.Folder == "" || !strings.Contains(p.Parts[0].Note, "--apply") {
			t.Errorf("%+v", p)
		}
	}
	s.config.Families = []protocol.Family{protocol.WiFi}
	s.match(store, five(1)...)
	if n := len(tree(t, s.root)); n != len(first)+1 {
		t.Errorf("%d files more with wifi alone", n-len(first))
	}
}

// Another root, whose system has nothing: what was applied below the first goes back.
func TestAnotherRoot(t *testing.T) {
	t.Parallel()
	s := system(t)
	first := tree(t, s.root)
	store := s.open()
	s.take(store, five(1)...)
	s.match(store, five(1)...)
	was := s.config.Root
	s.config.Root = t.TempDir()
	s.match(store, five(1)...)
	s.same("another root", first)
	if n := len(tree(t, s.config.Root)); n != 1 {
		t.Errorf("folders were made: %d", n)
	}
	list, root, _, _ := Read(s.dir)
	if root == was || !strings.Contains(list[0].Parts[0].Note, "has no") {
		t.Errorf("%s: %+v", root, list[0])
	}
}

type killed struct{}

// An agent is killed between any two steps: whoever starts it again has the profile as a whole, or not at all, and what was there
// before comes back.
func TestHST121KilledBetweenSteps(t *testing.T) {
	t.Parallel()
	one, two := two(1), two(2)
	steps := map[string][]doc{"installed": one, "replaced": two, "removed": nil}
	for _, what := range []string{"installed", "replaced", "removed"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			other := system(t)
			store := other.open()
			other.take(store, steps[what]...)
			other.match(store, steps[what]...)
			whole := tree(t, other.root)
			for at := 1; ; at++ {
				s := system(t)
				first := tree(t, s.root)
				before := map[string][]doc{"replaced": one, "removed": two}[what]
				store := s.open()
				s.take(store, before...)
				s.match(store, before...)
				earlier := tree(t, s.root)
				dead := s.killedAt(at, func(store *Store) {
					s.place(store, before, steps[what]...)
					s.match(store, steps[what]...)
				})
				for name, content := range tree(t, s.root) {
					if content != earlier[name] && content != whole[name] && !strings.HasSuffix(name, ".rollcall") {
						t.Errorf("step %d: %s is half: %q", at, name, content)
					}
				}
				again := s.open()
				s.take(again, steps[what]...)
				s.match(again, steps[what]...)
				s.same(fmt.Sprintf("killed at step %d of %s", at, what), whole)
				s.match(s.open())
				s.same(fmt.Sprintf("killed at step %d of %s, then removed", at, what), first)
				if left := tree(t, s.dir); len(left) != 0 {
					t.Errorf("step %d: the store still has %v", at, slices.Sorted(maps.Keys(left)))
				}
				if !dead {
					if at < 10 {
						t.Errorf("only %d steps", at)
					}
					return
				}
			}
		})
	}
}

// A crash in the middle of one change, and then the opposite change: no file stays beside another.
func TestHST121KilledThenOtherwise(t *testing.T) {
	t.Parallel()
	for at := 1; ; at++ {
		s := system(t)
		first := tree(t, s.root)
		dead := s.killedAt(at, func(store *Store) {
			s.take(store, two(1)...)
			s.match(store, two(1)...)
		})
		s.match(s.open())
		s.same(fmt.Sprintf("killed at step %d, and nothing is installed", at), first)
		if !dead {
			return
		}
	}
}

// killedAt runs f with a store that dies at a step, and tells whether it was reached.
func (s *scene) killedAt(at int, f func(*Store)) (dead bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
			dead = true
		}
	}()
	store := s.open()
	n := 0
	store.step = func() {
		if n++; n == at {
			panic(killed{})
		}
	}
	f(store)
	return false
}

// fileOf is the name of the file that the profile of a family is to be.
func fileOf(t *testing.T, list []doc, family protocol.Family) string {
	t.Helper()
	for _, d := range list {
		p, err := apple.DecodeProfile(d.bytes)
		if err != nil {
			t.Fatal(err)
		}
		if apple.FamilyOf(p.Payloads[0].Type) == family {
			f, err := planned(&p.Payloads[0], tagOf(p.Identifier, p.Payloads[0].Identifier))
			if err != nil {
				t.Fatal(err)
			}
			return f.places[0].name
		}
	}
	t.Fatalf("there is no profile of %s", family)
	return ""
}

// A path where something else than a file is, be it a link inside the root, or a folder that leads out of the root, is left alone.
func TestHST120NothingOutsideTheRoot(t *testing.T) {
	t.Parallel()
	s := system(t)
	outside := t.TempDir()
	for _, dir := range []string{"etc/NetworkManager/system-connections", "etc/swanctl/conf.d"} {
		if err := os.RemoveAll(filepath.Join(s.root, dir)); err != nil {
			t.Fatal(err)
		}
		err := os.Symlink(outside, filepath.Join(s.root, dir))
		if err != nil && runtime.GOOS == "windows" {
			t.Skip("this user may make no symbolic links: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	policies := filepath.Join(s.root, "etc/security/pwquality.conf.d") // whose file leads to another inside the root
	s.put("etc/security/own.conf", "the owner's own", 0o644)
	if err := os.Symlink("../own.conf", filepath.Join(policies, fileOf(t, five(1), protocol.Configuration))); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	isp := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")
	if err := errors.Join(os.Remove(isp), os.Symlink(victim, isp)); err != nil {
		t.Fatal(err)
	}
	first, there := tree(t, s.root), tree(t, outside)
	store := s.open()
	s.take(store, five(1)...)
	if err := store.Match(t.Context(), s.config, installed(five(1))); err == nil || !strings.Contains(err.Error(), isp+" is there, and is no file") {
		t.Errorf("what is in the way is told by %v", err)
	}
	list, _, _, _ := Read(s.dir)
	for _, p := range list {
		linked := p.Parts[0].Family != protocol.Certificate
		if linked != (p.Parts[0].File == "") || linked != (p.Parts[0].Note != "") {
			t.Errorf("%+v", p)
		}
	}
	if now := tree(t, outside); !maps.Equal(now, there) {
		t.Errorf("outside the root: %v", now)
	}
	s.match(store)
	s.same("removed", first)
}

// A profile of very many parts becomes a bounded number of files, of the system and of the store.
func TestHST120AProfileOfManyParts(t *testing.T) {
	t.Parallel()
	s := system(t)
	p := apple.NewProfile("org.example.many", "x", protocol.WiFi)
	part := p.Payloads[0]
	for n := range 2 * maxPayloads {
		part.Identifier, part.UUID = fmt.Sprint("org.example.many.", n), fmt.Sprintf("6A1F2C30-0000-4000-8000-%012d", n)
		p.Payloads = append(p.Payloads, part)
	}
	store, many := s.open(), docOf(1, p)
	s.take(store, many)
	s.match(store, many)
	made, _ := filepath.Glob(filepath.Join(s.root, "etc/NetworkManager/system-connections/rollcall-*"))
	kept, _ := filepath.Glob(filepath.Join(s.dir, "p-*", "*"))
	if len(made) != maxPayloads || len(kept) != maxPayloads+1 { // and the document
		t.Errorf("%d files of the system, %d of the store, want %d each and the document", len(made), len(kept), maxPayloads)
	}
}

// Whatever a profile is called, it gets a folder of its own inside the store and nothing else; too many, and too long ones, get none.
func TestHST120HostileNames(t *testing.T) {
	t.Parallel()
	s := system(t)
	store := s.open()
	var list []doc
	for n, name := range []string{"../../etc/passwd", "/etc/passwd", "a/b", `..\..\x`, "..", ".", "nul", "line\nbreak", strings.Repeat("x", 5000), "a b;rm", "ü"} {
		p := apple.NewProfile(name, "x", protocol.WiFi)
		p.Payloads[0].Identifier = name
		list = append(list, docOf(uint64(n+1), p))
	}
	s.take(store, list...)
	s.match(store, list...)
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) != len(list)+2 { // the ledger and its copy
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if up, _ := os.ReadDir(filepath.Dir(s.dir)); len(up) != 1 {
		t.Errorf("beside the store: %v", up)
	}
	if files, _ := os.ReadDir(filepath.Join(s.root, "etc/NetworkManager/system-connections")); len(files) != len(list)+1 {
		t.Errorf("%d connections", len(files))
	}
	huge := apple.NewProfile("huge", strings.Repeat("x", maxDocument), protocol.WiFi)
	d := docOf(99, huge)
	s.take(store, d)
	s.match(store, append(list, d)...)
	got, _, _, _ := Read(s.dir)
	if p := got[len(got)-1]; p.Folder != "" || p.Note == "" {
		t.Errorf("%+v", p)
	}
}

// Commands of the owner hear of a profile once, of a newer version as of another, and of its end.
func TestOnProfile(t *testing.T) {
	t.Parallel()
	s := system(t)
	s.config.OnProfile, s.config.Families = "tell", nil
	store := s.open()
	v1, v2 := profile(protocol.WiFi, 1), profile(protocol.WiFi, 2)
	for _, list := range [][]doc{{v1}, {v1}, {v2}, {}, {}} {
		s.take(store, list...)
		s.match(store, list...)
	}
	id := " ROLLCALL_PROFILE=org.example.wifi 1"
	want := []string{"tell ROLLCALL_ACTION=install" + id, "tell ROLLCALL_ACTION=install" + id, "tell ROLLCALL_ACTION=remove" + id}
	if !slices.Equal(s.ran, want) {
		t.Errorf("%q", s.ran)
	}
}

// A command whose time has not come is run once it has, as often as it would have been, also after a restart: of what the system is to be
// told, of profiles that came, and of such as left meanwhile.
func TestCommandsWait(t *testing.T) {
	t.Parallel()
	s := system(t)
	s.config.OnProfile, s.config.Families = "tell", nil
	runs, asked := s.config.Run, 0
	later := func(context.Context, []string, []string, []byte) error { asked++; return ErrLater }
	wifi, mail := profile(protocol.WiFi, 1), profile(protocol.Email, 1)
	for _, list := range [][]doc{{wifi, mail}, {mail}, {}} {
		s.config.Run = later
		store := s.open()
		s.take(store, list...)
		s.match(store, list...)
		s.match(store, list...)
		if len(s.ran) > 0 {
			t.Fatalf("ran %q", s.ran)
		}
		s.config.Run = runs
		store = s.open()
		s.match(store, list...)
		s.match(store, list...)
		want := []string{"tell ROLLCALL_ACTION=install ROLLCALL_PROFILE=org.example.wifi 1", "tell ROLLCALL_ACTION=install ROLLCALL_PROFILE=org.example.email 1"}
		switch len(list) {
		case 1:
			want = []string{"tell ROLLCALL_ACTION=remove ROLLCALL_PROFILE=org.example.wifi 1"}
		case 0:
			want = []string{"tell ROLLCALL_ACTION=remove ROLLCALL_PROFILE=org.example.email 1"}
		}
		if !slices.Equal(s.ran, want) || asked == 0 {
			t.Errorf("ran %q, want %q; asked %d times before", s.ran, want, asked)
		}
		s.ran, asked = nil, 0
	}
	store := s.open()
	store.led.Debts = []debt{{Folder: "etc/swanctl/conf.d"}}
	for range 3 {
		if err := store.update(t.Context(), Config{Run: later}); err != nil || len(store.led.Debts) != 1 || store.led.Debts[0].Failed != 0 {
			t.Errorf("%v; owed %+v", err, store.led.Debts)
		}
	}
	if err := store.update(t.Context(), Config{Run: runs}); err != nil || len(store.led.Debts) != 0 || len(s.ran) != 1 {
		t.Errorf("%v; owed %+v, ran %q", err, store.led.Debts, s.ran)
	}
}

// Secrets are for the machine's administrator alone.
func TestSecretsArePrivate(t *testing.T) {
	t.Parallel()
	s := system(t)
	store := s.open()
	s.take(store, five(1)...)
	s.match(store, five(1)...)
	for _, root := range []string{s.root, s.dir} {
		for name, content := range tree(t, root) {
			secret := strings.Contains(content, "correct horse") || strings.Contains(content, "s3cret") || strings.Contains(content, "secret =")
			if secret && !strings.HasPrefix(content, "-rw------- ") {
				t.Errorf("%s: %s", name, content[:10])
			}
		}
	}
}

// A profile that cannot be what the owner allows is not there at all, and the version before it is as it was: a disk without room, or
// something else at its path.
func TestHST092AProfileIsPlacedOrNot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	full := errors.New("no space left on device")
	for name, tt := range map[string]struct {
		fail func(s *scene, store *Store)
		mend func(s *scene, store *Store)
	}{
		"no room for a file of the system": {
			func(s *scene, store *Store) {
				store.sync = func(f *os.File) error {
					if strings.HasPrefix(f.Name(), s.root) {
						return full
					}
					return nil
				}
			},
			func(_ *scene, store *Store) { store.sync = func(*os.File) error { return nil } },
		},
		"no room for the store": {
			func(_ *scene, store *Store) {
				store.sync = func(*os.File) error { return full }
			},
			func(_ *scene, store *Store) { store.sync = func(*os.File) error { return nil } },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := system(t)
			store := s.open()
			have := two(1)
			first := tree(t, s.root)
			s.place(store, nil, have...)
			s.match(store, have...)
			before := tree(t, s.root)
			tt.fail(s, store)
			for _, d := range two(2) {
				if placed, err := store.Place(ctx, s.config, installed(have), d.Installed, d.bytes); placed || !errors.Is(err, full) {
					t.Errorf("%s: %v, %v", d.Identifier, placed, err)
				}
			}
			tt.mend(s, store)
			s.match(store, have...)
			s.same("refused", before)
			list, _, _, _ := Read(s.dir)
			for _, p := range list {
				if p.Content != 1 || p.Folder == "" {
					t.Errorf("%+v", p)
				}
			}
			s.place(store, have, two(2)...)
			s.match(store, two(2)...)
			s.match(store)
			s.same("removed", first)
		})
	}
}

// A path where no file may be put is a reason, and what failed is undone.
func TestAPlaceThatIsTaken(t *testing.T) {
	t.Parallel()
	s := system(t)
	isp := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")
	if err := errors.Join(os.Remove(isp), os.Mkdir(isp, 0o755)); err != nil {
		t.Fatal(err)
	}
	first := tree(t, s.root)
	store := s.open()
	mail := profile(protocol.Email, 1)
	if placed, err := store.Place(t.Context(), s.config, nil, mail.Installed, mail.bytes); placed || err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("%v, %v", placed, err)
	}
	s.match(store)
	s.same("refused", first)
	if left := tree(t, s.dir); len(left) != 0 {
		t.Errorf("the store has %v", slices.Sorted(maps.Keys(left)))
	}
	s.config.Families = []protocol.Family{protocol.WiFi} // what is not allowed cannot fail
	if placed, err := store.Place(t.Context(), s.config, nil, mail.Installed, mail.bytes); !placed || err != nil {
		t.Errorf("%v, %v", placed, err)
	}
}

// What comes back is as old, and the same user's, as it was: the file itself, or where that could not wait, a copy.
func TestUndoRestoresOwnerAndTime(t *testing.T) {
	t.Parallel()
	for _, copied := range []bool{false, true} {
		s := system(t)
		isp := filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")
		then := time.Date(2021, 3, 4, 5, 6, 7, 89, time.UTC)
		if err := os.Chtimes(isp, then, then); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(isp, 4711, 4712); err != nil {
				t.Fatal(err)
			}
		}
		look := func() (time.Time, *owner) {
			t.Helper()
			st, err := os.Stat(isp)
			if err != nil {
				t.Fatal(err)
			}
			return st.ModTime(), ownerOf(st)
		}
		_, whose := look()
		store := s.open()
		s.take(store, profile(protocol.Email, 1))
		s.match(store, profile(protocol.Email, 1))
		if at, _ := look(); at.Equal(then) {
			t.Error("nothing was applied")
		}
		if copied {
			if err := os.Remove(filepath.Join(s.root, heldAt("usr/lib/thunderbird/isp/example.org.xml"))); err != nil {
				t.Fatal(err)
			}
		}
		s.match(s.open())
		if at, now := look(); !at.Equal(then) || whose != nil && *now != *whose {
			t.Errorf("copied %v: it is of %v and %+v, was of %v and %+v", copied, at, now, then, whose)
		}
	}
}

// A store whose folder somebody took away is made again, and says that what was in it is not kept.
func TestHST121AStoreThatIsGone(t *testing.T) {
	t.Parallel()
	s := system(t)
	store := s.open()
	s.place(store, nil, two(1)...)
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	store = s.open()
	s.match(store, two(1)...)
	list, _, _, err := Read(s.dir)
	if err != nil || len(list) != 2 || list[0].Note == "" {
		t.Errorf("%+v, %v", list, err)
	}
	s.place(store, two(1), two(2)...)
	s.match(store, two(2)...)
	if list, _, _, err = Read(s.dir); err != nil || list[0].Parts[0].File == "" {
		t.Errorf("assigned again: %+v, %v", list, err)
	}
	s.match(store)
	if text, err := os.ReadFile(filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml")); err != nil || string(text) != "the owner's own" {
		t.Errorf("what was there before all is %q, %v", text, err)
	}
}

// What comes back has all of its mode.
func TestAModeComesBackWhole(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such bits")
	}
	s := system(t)
	if err := os.Chmod(filepath.Join(s.root, "usr/lib/thunderbird/isp/example.org.xml"), 0o755|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	first := tree(t, s.root)
	store := s.open()
	s.place(store, nil, two(1)...)
	s.match(store)
	s.same("removed", first)
}

// A profile that is too large to be kept is no error, be it the first one, and says so; where files were to come of it, it is not there, and
// the version before stays.
func TestHST120ALargeProfileIsTheFirst(t *testing.T) {
	t.Parallel()
	s := system(t)
	large := two(1)[0]
	large.bytes = append(large.bytes, bytes.Repeat([]byte("\n"), maxDocument)...)
	store := s.open()
	s.place(store, nil, two(2)...)
	there := tree(t, s.root)
	have := []Installed{two(2)[0].Installed, two(2)[1].Installed}
	if placed, err := store.Place(t.Context(), s.config, have, large.Installed, large.bytes); placed || !errors.Is(err, errLarge) {
		t.Errorf("files were to come of it: %v, %v", placed, err)
	}
	s.same("refused", there)
	s.match(store)
	s.config.Families = nil
	store = s.open()
	s.place(store, nil, large)
	list, _, _, err := Read(s.dir)
	if err != nil || len(list) != 1 || !strings.Contains(list[0].Note, "too large") {
		t.Errorf("%+v, %v", list, err)
	}
}

// A ledger in which a disk changed any byte is not gone by, whether it is still JSON or not: its copy is, and where that is damaged too
// nothing of the machine is touched (HST-121).
func TestHST121AByteOfTheLedger(t *testing.T) {
	t.Parallel()
	s := system(t)
	s.place(s.open(), nil, two(1)...)
	want, _, err := readLedger(s.dir)
	if err != nil || len(want.Files) == 0 {
		t.Fatalf("%+v, %v", want, err)
	}
	name := filepath.Join(s.dir, ledgerFile)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		broken := bytes.Clone(whole)
		broken[at] ^= 1
		if err := os.WriteFile(name, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, damaged, err := readLedger(s.dir); err != nil || !damaged || !reflect.DeepEqual(got, want) {
			t.Fatalf("byte %d, %q: damaged is %v, %v, and it says %+v", at, broken[max(0, at-10):at+1], damaged, err, got)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, copyFile), bytes.Replace(whole, []byte("absent"), []byte("absenu"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir); err == nil || !strings.Contains(err.Error(), "put back by hand") {
		t.Errorf("both are damaged: %v", err)
	}
}
