package apply

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// Bounds of what is set aside; beyond them the oldest goes.
const (
	maxVersions    = 10       // of one file: a program may make another at each of its writes
	maxEdited      = 100      // of all
	maxEditedBytes = 32 << 20 // of all
)

// editedFolder of the store has what somebody had made of files that profiles made, for its user alone.
const editedFolder = "edited"

// An Edited is a file that somebody, or a program, had changed since a profile made it, and that the profile's, or what was there before, has
// replaced.
type Edited struct {
	File string `json:"file"` // where it was
	Copy string `json:"copy"` // where that version is; in the ledger its name in editedFolder
}

// aside keeps what somebody made of a path before something else takes its place. The ledger has to be saved after it. Done again after a crash,
// it keeps the same once.
func (s *Store) aside(at, name string, now *sight) error {
	e := Edited{filepath.Join(at, filepath.FromSlash(name)), path.Base(name) + "-" + now.hash()[:16]}
	dir := filepath.Join(s.dir, editedFolder)
	list := present(s.dir, s.led.Edited)
	if slices.Contains(list, e) {
		return nil
	}
	list, err := s.room(list, e.File, int64(len(now.content)))
	if err != nil {
		return err
	}
	s.step()
	if err := s.make(dir); err != nil {
		return err
	}
	if err := s.write(filepath.Join(dir, e.Copy), now.content); err != nil {
		return err
	}
	s.led.Edited = append(list, e)
	s.edited = append(s.edited, e.in(s.dir))
	return nil
}

// room has the oldest of what was set aside go until there is room for one more version of a file.
func (s *Store) room(list []Edited, file string, size int64) ([]Edited, error) {
	same, sum := 0, size
	sizes := make([]int64, len(list))
	for i, e := range list {
		if e.File == file {
			same++
		}
		if st, err := os.Lstat(e.in(s.dir).Copy); err == nil {
			sizes[i] = st.Size()
		}
		sum += sizes[i]
	}
	left := list[:0:0]
	for i, e := range list {
		if n := len(list) - i + len(left); n < maxEdited && sum <= maxEditedBytes && (e.File != file || same < maxVersions) {
			left = append(left, e)
			continue
		}
		s.step()
		if err := os.Remove(e.in(s.dir).Copy); err != nil {
			return nil, err
		}
		sum -= sizes[i]
		if e.File == file {
			same--
		}
	}
	return left, nil
}

// edits tells whether what is at a path is neither what was there before nor what a profile made of it.
func (s *Store) edits(root *os.Root, name string, was before, now *sight) bool {
	return len(was.Made) > 0 && !now.Absent && !slices.Contains(was.Made, now.hash()) && !own(root, name, was) && (was.Absent || !s.same(name, now))
}

// present leaves out what somebody has taken away.
func present(dir string, list []Edited) []Edited {
	return slices.DeleteFunc(slices.Clone(list), func(e Edited) bool {
		_, err := os.Lstat(e.in(dir).Copy)
		return errors.Is(err, fs.ErrNotExist)
	})
}

// in is the same with the path of the copy.
func (e Edited) in(dir string) Edited {
	return Edited{e.File, filepath.Join(dir, editedFolder, filepath.Base(e.Copy))}
}

// own tells whether the file at a path is the owner's very own still, of which another name only waits: a crash came before anything took
// its place.
func own(root *os.Root, name string, was before) bool {
	a, err := root.Lstat(filepath.FromSlash(name))
	b, no := root.Lstat(heldAt(name))
	return was.Held && err == nil && no == nil && os.SameFile(a, b)
}
