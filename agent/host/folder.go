package host

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// The files of a state folder.
const (
	stateFile    = "agent.json"
	previousFile = "agent.json.previous"
	nextFile     = "agent.json.next"
	lockFile     = "lock"
)

// ownFiles are all that there is in a state folder.
var ownFiles = []string{stateFile, previousFile, nextFile, lockFile, journalFile, olderFile, socketFile, profilesFolder}

// maxState bounds the state file in bytes (HST-120): some profiles of a few hundred kilobytes are far below it.
const maxState = 64 << 20

// ErrRuns is wrapped by the error of [Open] on a folder that another agent has.
var ErrRuns = errors.New("another agent runs")

// A folder is a state folder that this process has.
type folder struct {
	dir  string
	lock *lock
	lent bool // root has it, and it is another user's: what stands in it gets nothing done that this user may not do
	disk medium
	made []string // by taking it, innermost first: nothing of it was there before
}

// A medium is how a folder has the system keep what it is given.
type medium struct {
	sync       func(*os.File) error        // what was written is there after a crash
	rename     func(from, to string) error // replaces to
	syncFolder func(dir string) error      // so are the names in dir
}

// systems is the one there is.
var systems = medium{(*os.File).Sync, rename, SyncFolder}

// takeFolder makes the folder where there is none, and takes it. Who had it may just be taking it away: then it is tried again.
func takeFolder(dir string) (f *folder, err error) {
	for range 3 {
		if f, err = tryFolder(dir); err == nil || !errors.Is(err, errLockGone) && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return f, err
}

// tryFolder does it once.
func tryFolder(dir string) (*folder, error) {
	made := missing(filepath.Join(dir, lockFile))
	err := ownFolder(dir)
	if err == nil {
		err = privateFolder(dir)
	}
	var lock *lock
	var pid string
	if err == nil {
		lock, pid, err = hold(filepath.Join(dir, lockFile))
	}
	if do := diskTrouble(err); do != "" {
		return nil, &advised{fmt.Sprintf("the state folder %s cannot be used: %s", dir, do), err}
	}
	if err != nil {
		return nil, fmt.Errorf("the state folder: %w: give another one by --state, or run this as the user whose it is", err)
	}
	if lock == nil {
		return nil, fmt.Errorf("%w on this state (%s, process %s): stop it first, or give another folder by --state", ErrRuns, dir, pid)
	}
	return &folder{dir, lock, lent(dir), systems, made}, nil
}

// missing lists what there is not on the way to a file, and the file, innermost first.
func missing(name string) (list []string) {
	for {
		_, err := os.Lstat(name)
		up := filepath.Dir(name)
		if !errors.Is(err, fs.ErrNotExist) || up == name { // the latter is a volume that there is not
			return list
		}
		list, name = append(list, name), up
	}
}

// errNotOwn is that a folder was there before any agent.
var errNotOwn = errors.New("this folder is of no agent")

// ownFolder refuses a folder that has no state, and other things in it than an agent's: its rights are about to be changed.
func ownFolder(dir string) error {
	for _, name := range []string{stateFile, previousFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return nil
		}
	}
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if !slices.Contains(ownFiles, e.Name()) {
			return fmt.Errorf("%s: %w: it has %s in it", dir, errNotOwn, e.Name())
		}
	}
	return nil
}

// close gives the folder back. Where nothing came of taking it, nothing of it stays.
func (f *folder) close() error {
	var err error
	if f.ours() != nil {
		f.made = nil
	} else {
		err = f.giveBack()
	}
	if list, no := os.ReadDir(f.dir); no != nil || len(list) != 1 { // the lock alone
		f.made = nil
	}
	for _, name := range f.made {
		if os.Remove(name) != nil {
			break // on Windows the lock is removed once it is closed
		}
		f.made = f.made[1:]
	}
	err = errors.Join(err, f.lock.Close())
	for _, name := range f.made {
		_ = os.Remove(name) // unless somebody has put something there
	}
	f.made = nil
	return err
}

// errTaken is that the folder is another's, or nobody's, while this process has it.
var errTaken = errors.New("the state folder was taken away")

// ours refuses a folder that was taken away, or that another agent made anew in its place, which would lose its identity by what this
// one keeps (HST-121).
func (f *folder) ours() error {
	if isAt(f.lock.file, filepath.Join(f.dir, lockFile)) {
		return nil
	}
	return &advised{fmt.Sprintf("the state folder %s was taken away while this agent ran, or is another one now: nothing more is kept or done there; start the agent again, or enrol the machine with a new line", f.dir), errTaken}
}

// giveBack gives what root wrote to the user whose the folder is: the agent that the system runs is not root.
func (f *folder) giveBack() error {
	if !f.lent {
		return nil
	}
	return giveBack(f.dir)
}

// trouble says that something cannot be kept, and what to do.
func (f *folder) trouble(err error) error {
	if do := diskTrouble(err); do != "" {
		return &advised{fmt.Sprintf("nothing can be kept in %s: %s; what was there is safe, and the agent goes on by itself then", f.dir, do), err}
	}
	return fmt.Errorf("the state cannot be kept: %w", err)
}

// A sealedState is the state in its file: a sum over it tells damage from a choice.
type sealedState struct {
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"`
	State   json.RawMessage `json:"state"`
}

// save replaces the state as a whole: what was there before is there until the new one is.
func (f *folder) save(r *record) error {
	if err := f.ours(); err != nil {
		return err
	}
	state, err := json.Marshal(r)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(state)
	b, err := json.Marshal(sealedState{stateVersion, hex.EncodeToString(sum[:]), state})
	if err != nil {
		return err
	}
	if len(b) > maxState { // nothing is written that a restart does not read
		return fmt.Errorf("%w, of %d bytes: what was there before stays", errTooLong, len(b))
	}
	next := filepath.Join(f.dir, nextFile)
	if err := f.writeSynced(next, b); err != nil {
		os.Remove(next) // whatever is there of it is of no use, and a full disk wants it back
		return f.trouble(err)
	}
	if err := f.giveBack(); err != nil { // before it is in its place: whatever ends this process, the agent that is no root reads it
		return f.trouble(err)
	}
	now, before := filepath.Join(f.dir, stateFile), filepath.Join(f.dir, previousFile)
	if err := f.disk.rename(now, before); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f.trouble(err)
	}
	if err := f.disk.rename(next, now); err != nil {
		return f.trouble(err)
	}
	return f.disk.syncFolder(f.dir)
}

// writeSynced makes a file anew. What is in its place goes, whatever it is: root may write here, into a folder of a user who may do less.
func (f *folder) writeSynced(name string, b []byte) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	if err == nil {
		err = f.disk.sync(w)
	}
	return errors.Join(err, w.Close())
}

var (
	// errDamaged is that a state file was read that save did not write.
	errDamaged = errors.New("the state file is damaged")
	// errForeign is that the state came with a copied folder or a cloned disk.
	errForeign = errors.New("the state is of another machine")
	// errTooLong is that a server has made the state longer than an agent keeps.
	errTooLong = errors.New("the server has this machine keep more than an agent does")
	// errNoFile is that something else stands in the place of a file.
	errNoFile = errors.New("it is no file: remove it")
)

// A lostError is that nobody can go on with the state of a folder. Its files are known all the same.
type lostError struct{ why error }

func (e *lostError) Error() string {
	return e.why.Error() + ": " + toGoOn + "; both put back what was there before profiles"
}

func (e *lostError) Unwrap() error { return e.why }

// toGoOn is what a machine can do whose state is lost.
const toGoOn = "enrol again with rollcall agent enroll --anew and a new line, or leave with rollcall agent unenroll"

// openFile opens a file, and nothing else in its place: a pipe would hold the agent for ever.
func openFile(name string, flags int) (*os.File, error) {
	f, err := os.OpenFile(name, flags|noWait, 0o600)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", name, errNoFile)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// load reads the state of a folder: the newest that is whole. A folder without any gives an empty record. The error names a state
// of a newer program, or is a lostError: nothing whole is left.
func load(dir string) (*record, error) {
	r, err := newest(dir)
	if errors.Is(err, errDamaged) {
		err = &lostError{err}
	}
	return r, err
}

func newest(dir string) (*record, error) {
	r, err := readState(filepath.Join(dir, stateFile))
	if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errDamaged) {
		return r, err
	}
	before, beforeErr := readState(filepath.Join(dir, previousFile))
	switch {
	case beforeErr == nil:
		return before, nil
	case errors.Is(err, fs.ErrNotExist) && errors.Is(beforeErr, fs.ErrNotExist):
		return &record{}, nil
	case errors.Is(beforeErr, fs.ErrNotExist):
		return nil, err
	}
	return nil, beforeErr
}

func readState(name string) (*record, error) {
	f, err := openFile(name, os.O_RDONLY)
	if errors.Is(err, errNoFile) {
		return nil, fmt.Errorf("%w: %w", err, errDamaged)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() > maxState {
		return nil, fmt.Errorf("%s: %w", name, errDamaged)
	}
	var s sealedState
	if err := json.NewDecoder(f).Decode(&s); err != nil {
		return nil, fmt.Errorf("%s: %w", name, errDamaged)
	}
	if s.Version > stateVersion {
		return nil, fmt.Errorf("%s is of version %d, and this program knows up to %d: use the newer one", name, s.Version, stateVersion)
	}
	sum := sha256.Sum256(s.State)
	r := &record{}
	if s.Version < 1 || s.SHA256 != hex.EncodeToString(sum[:]) || json.Unmarshal(s.State, r) != nil {
		return nil, fmt.Errorf("%s: %w", name, errDamaged)
	}
	return r, nil
}

// clear takes the secrets of an enrolment out of the folder: the state is replaced by r, and nothing older stays.
func (f *folder) clear(r *record) error {
	if err := f.save(r); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(f.dir, previousFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.disk.syncFolder(f.dir)
}
