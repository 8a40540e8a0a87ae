package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"rollcall/protocol"
)

// A Profile is one installed profile and what was made of it.
type Profile struct {
	Identifier string `json:"identifier"`
	Content    uint64 `json:"content,string"`   // as the device numbers its versions
	Folder     string `json:"folder,omitempty"` // inside the store; empty: nothing of it was kept
	Parts      []Part `json:"parts,omitempty"`
	Note       string `json:"note,omitempty"` // why nothing was kept, or what OnProfile said
	Told       bool   `json:"told,omitempty"` // OnProfile heard of it
}

// A Part is one payload.
type Part struct {
	Type   string          `json:"type"`
	Family protocol.Family `json:"family,omitzero"`
	File   string          `json:"file,omitempty"` // of the system, below the root; empty: there is none
	Note   string          `json:"note,omitempty"` // why
	failed error           // what the owner allows could not be done
}

// fails says that a file of the system could not be made.
func (p *Part) fails(err error) {
	p.File, p.Note, p.failed = "", "in the state folder alone: "+err.Error(), err
}

// failed is why a profile is not there as a whole; nil: it is.
func (p *Profile) failed() error {
	for i := range p.Parts {
		if err := p.Parts[i].failed; err != nil {
			return fmt.Errorf("%s: %w", p.Parts[i].Type, err)
		}
	}
	return nil
}

// A before is what was at a path when it was touched first.
type before struct {
	Absent bool        `json:"absent,omitempty"`
	Mode   fs.FileMode `json:"mode,omitempty"`
	// What its restoration brings back too, where the agent may; zero: not known.
	Modified int64  `json:"modified,omitempty"` // nanoseconds since 1970
	Owner    *owner `json:"owner,omitempty"`
	// Held is that the file itself waits beside its place: all that it has comes back with it. Not every file system can.
	Held bool `json:"held,omitempty"`
	// Made are hashes of what was put in its place: last, and while a crash may come in between, before that. What has none of them is
	// somebody's own.
	Made []string `json:"made,omitempty"`
}

// A debt is a folder whose command has not run well since something changed.
type debt struct {
	Folder string `json:"folder"`
	Failed int    `json:"failed,omitempty"` // tries
	Rest   int    `json:"rest,omitempty"`   // calls of Match until the next
	Why    string `json:"why,omitempty"`    // it failed
}

// An owner is the user and the group whose a file is.
type owner struct {
	User  int `json:"user"`
	Group int `json:"group"`
}

// A ledger is all that must outlast a crash. It is replaced as a whole.
type ledger struct {
	Root     string            `json:"root,omitempty"` // below which Files are
	Profiles []Profile         `json:"profiles,omitempty"`
	Left     []Profile         `json:"left,omitempty"`  // of which OnProfile is still to hear that they have
	Files    map[string]before `json:"files,omitempty"` // every path that is not as it was
	Debts    []debt            `json:"debts,omitempty"`
	Edited   []Edited          `json:"edited,omitempty"` // files that were set aside
}

// A sealed is the file of a ledger: one that a disk damaged is not taken for another, though it may well be JSON still.
type sealed struct {
	SHA256 string          `json:"sha256"` // of Ledger
	Ledger json.RawMessage `json:"ledger"`
}

var errSum = errors.New("its sum is another")

const (
	ledgerFile  = "files.json"
	copyFile    = "files.json.copy"    // the same, for a disk that damages one
	damagedFile = "files.json.damaged" // one that was set aside
	maxLedger   = 8 << 20              // bytes
)

// readLedger reads the ledger of a folder, or its copy where it is damaged or gone.
func readLedger(dir string) (l ledger, damaged bool, err error) {
	l, err = readOne(dir, ledgerFile)
	if err == nil || errors.Is(err, fs.ErrPermission) {
		return l, false, err
	}
	from, no := readOne(dir, copyFile)
	switch {
	case no == nil:
		return from, !errors.Is(err, fs.ErrNotExist), nil
	case errors.Is(err, fs.ErrNotExist) && errors.Is(no, fs.ErrNotExist):
		return ledger{}, false, nil
	}
	return ledger{}, true, fmt.Errorf("%w, and so is its copy: it is not known what profiles changed: put back by hand what is in %s, take what you need of %s, and remove %s", err, filepath.Join(dir, beforeFolder), filepath.Join(dir, editedFolder), dir)
}

func readOne(dir, file string) (l ledger, err error) {
	name := filepath.Join(dir, file)
	st, err := os.Stat(name)
	if err == nil && st.Size() > maxLedger {
		return l, fmt.Errorf("%s: longer than it ever is", name)
	}
	b, err := readFile(name)
	if err != nil {
		return l, err
	}
	var f sealed
	if err = json.Unmarshal(b, &f); err == nil && f.SHA256 != hashOf(f.Ledger) {
		err = errSum
	}
	if err == nil {
		err = json.Unmarshal(f.Ledger, &l)
	}
	if err != nil {
		return ledger{}, fmt.Errorf("%s is damaged (%w)", name, err)
	}
	return l, nil
}

// readFile reads a file of the store, and nothing else in its place: a pipe would hold the agent for ever.
func readFile(name string) ([]byte, error) {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is there, and is no file", name)
	}
	return os.ReadFile(name)
}

// Read tells what was made of profiles, whoever has the store, and below which root, and what was set aside of files that had been changed.
func Read(dir string) (list []Profile, root string, edited []Edited, err error) {
	l, _, err := readLedger(dir)
	for _, e := range present(dir, l.Edited) {
		edited = append(edited, e.in(dir))
	}
	return l.Profiles, l.Root, edited, err
}

func (s *Store) save() error {
	b, err := json.Marshal(&s.led)
	if err == nil {
		b, err = json.Marshal(&sealed{hashOf(b), b})
	}
	if err == nil {
		err = s.make(s.dir) // a crash, or somebody, may have taken it away
	}
	if err != nil {
		return err
	}
	return errors.Join(s.write(filepath.Join(s.dir, ledgerFile), b), s.write(filepath.Join(s.dir, copyFile), b))
}

// make makes the folder of the store, or one in it. Links to others are not followed.
func (s *Store) make(dir string) error {
	for _, dir := range slices.Compact([]string{s.dir, dir}) {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if st, err := os.Lstat(dir); err != nil || !st.IsDir() {
			return errors.Join(err, fmt.Errorf("%s is there, and is no folder", dir))
		}
	}
	return nil
}

// nextSuffix is of a file that is to be the one without.
const nextSuffix = ".next"

// write replaces a file of the store, for its user alone.
func (s *Store) write(name string, b []byte) error {
	next := name + nextSuffix
	s.step()
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // whatever it is: no link in its place is followed
		return err
	}
	w, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	s.step()
	if err = errors.Join(err, s.sync(w), w.Close()); err != nil {
		os.Remove(next) // a full disk wants it back
		return err
	}
	if err := os.Rename(next, name); err != nil {
		return err
	}
	s.step()
	return s.syncFolder(os.Open(filepath.Dir(name)))
}

// syncFolder makes renames in a folder last. Systems that sync no folder say so, and have done it with the rename.
func (s *Store) syncFolder(d *os.File, err error) error {
	if err != nil {
		return err
	}
	if err := s.sync(d); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		d.Close()
		return err
	}
	return d.Close()
}
