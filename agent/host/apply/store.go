package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// Bounds of what a server can put on the disk (HST-120).
const (
	maxDocument = 1 << 20  // bytes of one profile
	maxStore    = 32 << 20 // bytes of all documents
	maxProfiles = 1000     // that are kept
	maxPayloads = 100      // of one profile that get files
)

const (
	documentFile = "profile.mobileconfig"
	beforeFolder = "before"
)

// errLarge is why a profile beyond the bounds is not there where files were to come of it.
var errLarge = errors.New("it or the folder of profiles is too large, so that no file was made of it")

// ErrLater is what [Config.Run] says of a command whose time has not come: the next call of [Store.Match] asks for it again.
var ErrLater = errors.New("it is run later")

// Config is what the machine's owner allows.
type Config struct {
	Root      string            `json:"root,omitempty"`       // folder that stands for the system's; empty: /
	Families  []protocol.Family `json:"families,omitempty"`   // whose payloads become files of the system
	OnProfile string            `json:"on_profile,omitempty"` // command that hears of each profile; empty: none
	// Run runs a command of the system, or, alone in its list, OnProfile as a line for the shell.
	Run func(ctx context.Context, command, environment []string, input []byte) error `json:"-"`
}

// Installed is one profile that the machine has.
type Installed struct {
	Identifier string
	Content    uint64 // differs between versions
}

// A Store is a folder of profiles. Not safe for concurrent use; whoever has the agent's state has it.
type Store struct {
	dir    string
	led    ledger
	edited []Edited
	step   func() // before and after everything that a crash may come between
	sync   func(*os.File) error
}

// Open takes the folder dir, which is made when something is to be in it. A ledger that is damaged is set aside, and goes on by its copy.
func Open(dir string) (*Store, error) {
	l, damaged, err := readLedger(dir)
	if err == nil && damaged {
		err = os.Rename(filepath.Join(dir, ledgerFile), filepath.Join(dir, damagedFile))
	}
	if err != nil {
		return nil, err
	}
	if l.Files == nil {
		l.Files = map[string]before{}
	}
	return &Store{dir: dir, led: l, step: func() {}, sync: (*os.File).Sync}, nil
}

// Edited says, once, which files somebody had changed since a profile made them, and where that version is now that what was there before
// has come back.
func (s *Store) Edited() []Edited {
	list := s.edited
	s.edited = nil
	return list
}

// Touches tells whether anything outside the store is, or may be, otherwise than it was before.
func (s *Store) Touches() bool { return len(s.led.Files) > 0 || len(s.led.Debts) > 0 }

// folderOf names the folder of one version of a profile.
func folderOf(i Installed) string {
	sum := sha256.Sum256([]byte(strconv.FormatUint(i.Content, 16) + "\x00" + i.Identifier))
	return safeName(i.Identifier) + "-" + hex.EncodeToString(sum[:6])
}

// readable is what people see of a payload.
type readable struct {
	Type, Identifier, UUID string
	Name                   string         `json:",omitempty"`
	Certificate            []byte         `json:",omitempty"`
	Settings               map[string]any `json:",omitempty"`
}

// Place puts one more profile, or another version of one, onto a machine that has those of have, before anybody hears that it is installed;
// document is its property list. Placed is that every file of it that the owner allows is there; the machine is as it was otherwise, and the
// error says why. Beside placed an error is of what does not keep the profile from being there, such as a command that failed.
// [Store.Match] has to come after it, with the list as it is then.
func (s *Store) Place(ctx context.Context, c Config, have []Installed, i Installed, document []byte) (placed bool, err error) {
	if err := s.Keep(i, document); err != nil {
		return false, err
	}
	if !s.Has(i) && applies(c, document) { // it is beyond the bounds
		return false, errLarge
	}
	if err := s.moved(ctx, &c); err != nil {
		return false, err
	}
	before := s.led.Profiles
	want := slices.DeleteFunc(slices.Clone(have), func(x Installed) bool { return x.Identifier == i.Identifier })
	profiles, wishes := s.wanted(c, append(want, i))
	err = s.follow(ctx, c, c.Root, profiles, wishes)
	why := err
	if at := slices.IndexFunc(s.led.Profiles, func(p Profile) bool { return p.Identifier == i.Identifier && p.Content == i.Content }); at >= 0 {
		if why = s.led.Profiles[at].failed(); why == nil {
			return true, err
		}
	}
	s.led.Profiles = before
	profiles, wishes = s.wanted(c, have)
	_ = s.follow(ctx, c, c.Root, profiles, wishes) // what cannot be done of that, Match tells
	return false, why
}

// applies tells whether files are to come of a document.
func applies(c Config, document []byte) bool {
	p, err := apple.DecodeProfile(document)
	if err != nil {
		return false
	}
	for n := range p.Payloads {
		if slices.Contains(c.Families, apple.FamilyOf(p.Payloads[n].Type)) {
			return true
		}
	}
	return false
}

// Has tells whether the document of a profile is kept.
func (s *Store) Has(i Installed) bool {
	_, err := os.Stat(filepath.Join(s.dir, folderOf(i), documentFile))
	return err == nil
}

// Keep keeps the document of a profile, a property list. Beyond the bounds of the folder it keeps nothing, which is no error.
func (s *Store) Keep(i Installed, document []byte) error {
	if files, bytes := s.size(); len(document) > maxDocument || files >= maxProfiles || bytes+int64(len(document)) > maxStore {
		return nil
	}
	p, err := apple.DecodeProfile(document)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, folderOf(i))
	s.step()
	if err := s.make(dir); err != nil {
		return err
	}
	for n := range p.Payloads[:min(len(p.Payloads), maxPayloads)] {
		payload := &p.Payloads[n]
		name := filepath.Join(dir, fmt.Sprintf("%d-%s", n+1, apple.FamilyOf(payload.Type)))
		if c := certificateOf(payload); c != nil {
			err = s.write(name+".pem", pemOf(c))
		} else if b, no := json.MarshalIndent(readable{payload.Type, payload.Identifier, payload.UUID, payload.DisplayName, payload.Certificate, payload.Settings}, "", "  "); no == nil { // what JSON cannot say is in the document
			err = s.write(name+".json", append(b, '\n'))
		}
		if err != nil {
			return err
		}
	}
	return s.write(filepath.Join(dir, documentFile), document) // last: with it the folder is whole
}

// size is how many documents there are, and how many bytes they take.
func (s *Store) size() (files int, n int64) {
	list, _ := filepath.Glob(filepath.Join(s.dir, "p-*", documentFile))
	for _, name := range list {
		if st, err := os.Stat(name); err == nil {
			n += st.Size()
		}
	}
	return len(list), n
}

// Match has the machine follow the list of its profiles: whatever has left is undone, whatever is there is applied. Called again, it
// goes on where it was interrupted. The error tells what could not be done, and is no reason not to go on: the next call tries again, a
// command of the system that failed after ever more of them, and six times in all; OnProfile hears of everything once.
func (s *Store) Match(ctx context.Context, c Config, want []Installed) error {
	if len(want) == 0 && len(s.led.Profiles) == 0 && len(s.led.Left) == 0 && !s.Touches() {
		return s.sweep()
	}
	if err := s.moved(ctx, &c); err != nil {
		return err
	}
	profiles, wanted := s.wanted(c, want)
	err := s.follow(ctx, c, c.Root, profiles, wanted)
	return errors.Join(err, s.tell(ctx, c), s.sweep())
}

// moved has files go back where they came from when the root is another one.
func (s *Store) moved(ctx context.Context, c *Config) error {
	if c.Root == "" {
		c.Root = "/"
	}
	if s.led.Root == c.Root || len(s.led.Files) == 0 {
		return nil
	}
	if err := s.follow(ctx, *c, s.led.Root, nil, nil); err != nil {
		return err
	}
	if len(s.led.Files) > 0 {
		return fmt.Errorf("profiles that were applied below %s are not undone yet: nothing is applied below %s before that", s.led.Root, c.Root)
	}
	return nil
}

// A wish is a file that a payload wants.
type wish struct {
	part *Part
	file *file
}

// wanted makes profiles and files of what is installed. Of two payloads that want one path the older profile's has it.
func (s *Store) wanted(c Config, want []Installed) (profiles []Profile, wishes []wish) {
	for _, i := range want {
		p := Profile{Identifier: i.Identifier, Content: i.Content, Folder: folderOf(i)}
		for _, old := range s.led.Profiles {
			if old.Identifier == i.Identifier && old.Content == i.Content {
				p.Told, p.Note = old.Told, old.Note
			}
		}
		document, err := readFile(filepath.Join(s.dir, p.Folder, documentFile))
		var decoded *apple.Profile
		if err == nil {
			decoded, err = apple.DecodeProfile(document)
		}
		if err != nil {
			p.Folder, p.Note = "", "not kept as files: it or the folder is too large, or it came before files were made of profiles"
			profiles = append(profiles, p)
			continue
		}
		payloads := decoded.Payloads[:min(len(decoded.Payloads), maxPayloads)]
		p.Parts = make([]Part, len(payloads))
		for n := range payloads {
			payload := &payloads[n]
			part := &p.Parts[n]
			*part = Part{Type: payload.Type, Family: apple.FamilyOf(payload.Type)}
			if !slices.Contains(c.Families, part.Family) {
				part.Note = "in the state folder alone: --apply does not name " + part.Family.String()
				continue
			}
			f, err := planned(payload, tagOf(i.Identifier, payload.Identifier))
			if err != nil {
				part.Note = "in the state folder alone: " + err.Error()
				continue
			}
			wishes = append(wishes, wish{part, f})
		}
		profiles = append(profiles, p)
	}
	return profiles, wishes
}

// tell has OnProfile hear of what came and what went.
func (s *Store) tell(ctx context.Context, c Config) error {
	if c.OnProfile == "" || c.Run == nil {
		return nil
	}
	var errs []error
	for n := range s.led.Profiles {
		p := &s.led.Profiles[n]
		if p.Told || p.Folder == "" {
			continue
		}
		document, err := readFile(filepath.Join(s.dir, p.Folder, documentFile))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.step()
		if err := c.Run(ctx, []string{c.OnProfile}, environment("install", p.Identifier), document); errors.Is(err, ErrLater) {
			break
		} else if err != nil {
			p.Note = "--on-profile: " + err.Error()
		}
		p.Told = true
		errs = append(errs, s.save())
	}
	return errors.Join(errs...)
}

func environment(action, identifier string) []string {
	if !oneLine(identifier) {
		identifier = safeName(identifier)
	}
	return []string{"ROLLCALL_ACTION=" + action, "ROLLCALL_PROFILE=" + identifier}
}

// leave keeps which profiles leave, of those that OnProfile knows, and no newer version replaces, until it has heard of it.
func (s *Store) leave(c Config, now []Profile) {
	if c.OnProfile == "" {
		s.led.Left = nil
		return
	}
	is := func(p Profile) func(Profile) bool {
		return func(o Profile) bool { return o.Identifier == p.Identifier }
	}
	for _, old := range s.led.Profiles {
		if old.Told && !slices.ContainsFunc(now, is(old)) && !slices.ContainsFunc(s.led.Left, is(old)) {
			s.led.Left = append(s.led.Left, old)
		}
	}
	s.led.Left = s.led.Left[max(len(s.led.Left)-maxProfiles, 0):]
}

// gone has OnProfile hear of them.
func (s *Store) gone(ctx context.Context, c Config) error {
	if c.OnProfile == "" || c.Run == nil {
		return nil
	}
	var errs []error
	for len(s.led.Left) > 0 {
		old := s.led.Left[0]
		document, _ := readFile(filepath.Join(s.dir, old.Folder, documentFile)) // without it the identifier has to do
		s.step()
		err := c.Run(ctx, []string{c.OnProfile}, environment("remove", old.Identifier), document)
		if errors.Is(err, ErrLater) {
			break
		}
		s.led.Left = s.led.Left[1:]
		errs = append(errs, err, s.save())
	}
	return errors.Join(errs...)
}

// sweep removes what the ledger does not know: of profiles that left, and of steps that a crash cut short.
func (s *Store) sweep() error {
	known := map[string]bool{ledgerFile: true, copyFile: true, damagedFile: true, beforeFolder: true, editedFolder: true}
	for _, p := range slices.Concat(s.led.Profiles, s.led.Left) {
		known[p.Folder] = true
	}
	for name, was := range s.led.Files {
		known[filepath.Base(s.backup(name))] = !was.Absent
	}
	s.led.Edited = present(s.dir, s.led.Edited)
	kept, err := os.ReadDir(filepath.Join(s.dir, editedFolder)) // whatever the ledger knows of: it is people's
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && len(s.led.Profiles) == 0 && len(s.led.Left) == 0 && !s.Touches() && len(kept) == 0 {
		s.step()
		return os.RemoveAll(s.dir)
	}
	errs := []error{err}
	for _, e := range kept {
		if strings.HasSuffix(e.Name(), nextSuffix) { // of a step that a crash cut short
			errs = append(errs, os.RemoveAll(filepath.Join(s.dir, editedFolder, e.Name())))
		}
	}
	for _, dir := range []string{s.dir, filepath.Join(s.dir, beforeFolder)} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, e := range entries {
			if !known[e.Name()] {
				s.step()
				errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
			}
		}
	}
	return errors.Join(errs...)
}
