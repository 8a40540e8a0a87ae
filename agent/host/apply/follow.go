package apply

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// maxBefore bounds a file that is kept before another takes its place, in bytes.
const maxBefore = 4 << 20

// modeKept is what comes back of a file's mode: its rights, and setuid, setgid and sticky.
const modeKept = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// A target is a path that is to be other than it is.
type target struct {
	path    string
	absent  bool
	mode    fs.FileMode
	content []byte
	part    *Part  // whose it is; nil: what was there before comes back
	was     before // that
	own     bool   // what is there now is the very file of before, and has no other name to wait by
	now     string // hash of what is there
}

// follow brings the files below one root to what is wished, in three steps: what was there and what will be done is kept first, then it is
// done, then what is not needed any more is forgotten.
func (s *Store) follow(ctx context.Context, c Config, at string, profiles []Profile, wishes []wish) error {
	root, err := os.OpenRoot(at)
	if err != nil {
		return fmt.Errorf("the root of applied profiles: %w", err)
	}
	defer root.Close()
	s.led.Root = at
	targets, err := s.targets(root, wishes)
	errs := []error{err}
	fails := func(t *target, err error) {
		if t.part != nil {
			t.part.fails(err)
		}
		errs = append(errs, err)
	}
	changed := targets[:0]
	for _, t := range targets {
		now, err := look(root, t.path)
		was, kept := s.led.Files[t.path]
		if kept {
			root.Remove(nextTo(t.path)) // of a step that a crash cut short
		} else if err == nil {
			err = s.keep(root, at, t.path, now)
			was = s.led.Files[t.path]
		}
		switch {
		case err == nil && !now.is(&t) && s.edits(root, t.path, was, &now):
			if err = s.aside(at, t.path, &now); err != nil {
				fails(&t, err)
			} else {
				changed = append(changed, t)
			}
		case err == nil && t.part == nil && own(root, t.path, was): // nothing has replaced it
			s.letGo(root, t.path)
		case err != nil:
			fails(&t, err)
		case !now.is(&t):
			t.own, t.now = s.untouched(root, t.path, was, &now), now.hash()
			changed = append(changed, t)
		}
	}
	for _, t := range changed {
		if dir := path.Dir(t.path); owed(at, dir) {
			s.led.Debts = append(slices.DeleteFunc(s.led.Debts, func(d debt) bool { return d.Folder == dir }), debt{Folder: dir})
		}
		if was := s.led.Files[t.path]; t.part != nil {
			was.Made = append(slices.DeleteFunc(slices.Clone(was.Made), func(h string) bool { return h != t.now }), t.hash())
			s.led.Files[t.path] = was
		}
	}
	err = s.save() // from here on a crash is followed by the same again
	if err == nil {
		err = s.hold(root, changed)
	}
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, t := range changed {
		err := s.put(root, &t)
		if done[t.path] = err == nil; err != nil {
			fails(&t, err)
		} else if was := s.led.Files[t.path]; t.part != nil {
			was.Made = was.Made[len(was.Made)-1:]
			s.led.Files[t.path] = was
		}
	}
	used := map[string]bool{}
	for _, p := range profiles {
		for _, part := range p.Parts {
			used[part.File] = true
		}
	}
	for name, was := range s.led.Files {
		if !used[name] && restored(root, name, was, s.backup(name), done[name]) {
			s.letGo(root, name)
		}
	}
	s.leave(c, profiles)
	s.led.Profiles = profiles
	if err := s.save(); err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, s.gone(ctx, c), s.update(ctx, c))...)
}

// targets finds the path of each wish, and what is to come back.
func (s *Store) targets(root *os.Root, wishes []wish) (list []target, err error) {
	taken := map[string]bool{}
	for _, w := range wishes {
		at := slices.IndexFunc(w.file.places, func(p place) bool {
			st, err := root.Stat(filepath.FromSlash(p.dir))
			return err == nil && st.IsDir()
		})
		if at < 0 {
			w.part.Note = "in the state folder alone: this system has no " + w.file.places[0].dir
			continue
		}
		p := w.file.places[at]
		name := path.Join(p.dir, p.name)
		if taken[name] {
			w.part.Note = "in the state folder alone: another profile has " + name
			continue
		}
		taken[name] = true
		w.part.File = name
		list = append(list, target{path: name, mode: w.file.mode, content: w.file.content, part: w.part})
	}
	for _, name := range slices.Sorted(maps.Keys(s.led.Files)) {
		if taken[name] {
			continue
		}
		was := s.led.Files[name]
		t := target{path: name, absent: was.Absent, mode: was.Mode, was: was}
		if !was.Absent {
			b, no := readFile(s.backup(name))
			if no != nil {
				err = errors.Join(err, fmt.Errorf("what was at %s: %w", name, no))
				continue
			}
			t.content = b
		}
		list = append(list, t)
	}
	return list, err
}

// A sight is what is at a path.
type sight struct {
	before
	content []byte
}

func (s *sight) is(t *target) bool {
	return s.Absent == t.absent && (t.absent || s.Mode == t.mode && bytes.Equal(s.content, t.content))
}

// hash is by which what was made of a path is known again.
func (s *sight) hash() string { return hashOf(s.content) }

func (t *target) hash() string { return hashOf(t.content) }

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// look reads what is at a path. The error says that it is no file, or none that can be kept.
func look(root *os.Root, name string) (sight, error) {
	name = filepath.FromSlash(name)
	whole := filepath.Join(root.Name(), name)
	st, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return sight{before: before{Absent: true}}, nil
	case err != nil:
		return sight{}, err
	case !st.Mode().IsRegular():
		return sight{}, fmt.Errorf("%s is there, and is no file", whole)
	case st.Size() > maxBefore:
		return sight{}, fmt.Errorf("%s is there, and too long to be kept", whole)
	}
	f, err := root.Open(name)
	if err != nil {
		return sight{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxBefore))
	return sight{before{Mode: st.Mode() & modeKept, Modified: st.ModTime().UnixNano(), Owner: ownerOf(st)}, b}, err
}

func (s *Store) backup(name string) string {
	return filepath.Join(s.dir, beforeFolder, tagOf("", name))
}

// keep puts what is at a path into the store, before it is touched. The ledger has to be saved after it. Where the ledger was lost, what was
// there before that may wait there still: then it is that, and what is in its place is set aside.
func (s *Store) keep(root *os.Root, at, name string, now sight) error {
	if held, err := look(root, heldAt(name)); err == nil && !held.Absent {
		if !now.Absent && !bytes.Equal(now.content, held.content) {
			if err := s.aside(at, name, &now); err != nil {
				return err
			}
		}
		now = held
	}
	if !now.Absent {
		s.step()
		if err := s.make(filepath.Join(s.dir, beforeFolder)); err != nil {
			return err
		}
		if err := s.write(s.backup(name), now.content); err != nil {
			return err
		}
	}
	now.Held = !now.Absent
	s.led.Files[name] = now.before
	return nil
}

// untouched tells whether what is at a path is the very file of before, which nothing has replaced yet, nor waits by another name.
func (s *Store) untouched(root *os.Root, name string, was before, now *sight) bool {
	if !was.Held || now.Modified != was.Modified || now.Mode != was.Mode {
		return false
	}
	if _, err := root.Lstat(heldAt(name)); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return s.same(name, now) // a profile's file may have got its times
}

// same tells whether what is at a path has the content of before.
func (s *Store) same(name string, now *sight) bool {
	b, err := readFile(s.backup(name))
	return err == nil && bytes.Equal(now.content, b)
}

// hold has the files themselves wait that something is about to replace for the first time: a copy would lose other names, access lists and
// labels. What cannot wait the ledger knows before it is replaced.
func (s *Store) hold(root *os.Root, targets []target) error {
	lost := false
	for _, t := range targets {
		if t.part == nil || !t.own {
			continue
		}
		s.step()
		if root.Link(filepath.FromSlash(t.path), heldAt(t.path)) != nil {
			was := s.led.Files[t.path]
			was.Held, lost = false, true
			s.led.Files[t.path] = was
		}
	}
	if !lost {
		return nil
	}
	return s.save()
}

// heldAt is where a file waits while another is in its place.
func heldAt(name string) string { return nextTo(name) + "-before" }

// letGo forgets what was at a path.
func (s *Store) letGo(root *os.Root, name string) {
	if s.led.Files[name].Held {
		root.Remove(heldAt(name)) // another name of a file that is there
	}
	delete(s.led.Files, name)
}

// nextTo names the file beside a path that takes its place.
func nextTo(name string) string {
	dir, base := path.Split(name)
	return filepath.FromSlash(dir + "." + base + ".rollcall")
}

// put makes a path what it is to be: whole, or not at all.
func (s *Store) put(root *os.Root, t *target) error {
	name := filepath.FromSlash(t.path)
	next := nextTo(t.path)
	s.step()
	if err := root.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if t.absent {
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.step()
		return s.syncFolder(root.Open(filepath.Dir(name)))
	}
	if t.was.Held && root.Rename(heldAt(t.path), name) == nil { // the very file that it was
		s.step()
		return s.syncFolder(root.Open(filepath.Dir(name)))
	}
	w, err := root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(t.content)
	s.step()
	if o := t.was.Owner; o != nil {
		_ = w.Chown(o.User, o.Group) // who may not do that has not taken it from them either
	}
	if err = errors.Join(err, w.Chmod(t.mode), s.sync(w), w.Close()); err == nil && t.was.Modified != 0 {
		err = root.Chtimes(next, time.Time{}, time.Unix(0, t.was.Modified))
	}
	if err == nil {
		err = root.Rename(next, name)
	}
	if err != nil {
		root.Remove(next)
		return err
	}
	s.step()
	return s.syncFolder(root.Open(filepath.Dir(name)))
}

// restored tells whether a path is as it was before, so that nothing more needs to be known of it. Done is that what was there has just come
// back.
func restored(root *os.Root, name string, was before, backup string, done bool) bool {
	now, err := look(root, name)
	if err != nil {
		return false
	}
	if was.Absent {
		return now.Absent
	}
	if was.Held && done {
		if _, err := root.Lstat(heldAt(name)); errors.Is(err, fs.ErrNotExist) {
			return true // it is the file itself, whatever was written by its other names
		}
	}
	b, err := readFile(backup)
	return err == nil && now.Mode == was.Mode && bytes.Equal(now.content, b)
}

// owed tells whether a program of the system is to be told of a change in a folder: of the machine's own, not of one that stands for it.
func owed(at, dir string) bool { return at == "/" && updates[dir] != nil }

// mostTries is how often a command that fails is tried: after one call, two, four and so on.
const mostTries = 6

// update runs what is owed.
func (s *Store) update(ctx context.Context, c Config) error {
	if len(s.led.Debts) == 0 {
		return nil
	}
	var errs []error
	left := s.led.Debts[:0]
	for _, d := range s.led.Debts {
		command := updates[d.Folder]
		if c.Run == nil || command == nil {
			continue
		}
		if d.Rest > 0 {
			d.Rest--
		} else {
			s.step()
			err := c.Run(ctx, command, nil, nil)
			if errors.Is(err, ErrLater) {
				left = append(left, d)
				continue
			}
			if err == nil {
				continue
			}
			d.Why = fmt.Sprintf("%s: %v", command[0], err)
			if d.Failed++; d.Failed >= mostTries {
				errs = append(errs, fmt.Errorf("%s: given up after %d tries: run it by hand", d.Why, d.Failed))
				continue
			}
			d.Rest = 1<<(d.Failed-1) - 1
		}
		errs = append(errs, errors.New(d.Why))
		left = append(left, d)
	}
	s.led.Debts = left
	return errors.Join(append(errs, s.save())...)
}
