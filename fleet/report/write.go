package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// The files of a report's folder.
const (
	PageFile        = "report.html"
	ResultFile      = "result.json"
	EventsFile      = "events.jsonl"
	ListFile        = "devices.csv"     // which a job writes beside them, where it has one
	DifferencesFile = "differences.csv" // so too, of several stories side by side
)

// CheckDir makes dir if need be and tells whether [WriteDir] could write there. A job calls it before it
// begins, so that nobody learns after an hour that there is no place for the result (HST-125).
func CheckDir(dir string, force bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("report folder: %w", err)
	}
	if !force {
		for _, name := range []string{PageFile, ResultFile, EventsFile, ListFile, DifferencesFile} {
			if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
				return fmt.Errorf("report folder %s holds a report already (%s): name another, or use --force to replace it", dir, name)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("report folder: %w", err)
			}
		}
	}
	return explain(dir, try(dir))
}

// CheckFile tells whether [WriteFile] could write there, for the same reason.
func CheckFile(name string) error {
	if err := Regular(name); err != nil {
		return err
	}
	err := try(filepath.Dir(name))
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = at.Err // its path is the trial's
	}
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", name, err)
	}
	return nil
}

// Regular refuses to put a file in the place of what is none: nobody who names /dev/null wants that device replaced.
func Regular(name string) error {
	switch st, err := os.Stat(name); {
	case err != nil || st.Mode().IsRegular():
		return nil
	case st.IsDir():
		return fmt.Errorf("%s is a folder: name a file", name)
	}
	return fmt.Errorf("%s is a device or a pipe: name a file", name)
}

// try writes something into dir and takes it away again.
func try(dir string) error {
	trial, err := create(dir, "trial", public)
	if err != nil {
		return err
	}
	_, err = trial.Write(make([]byte, trialSize))
	return errors.Join(err, trial.Close(), os.Remove(trial.Name()))
}

// trialSize is about the least that a report takes: a disk without it is full already.
const trialSize = 64 << 10

// WriteDir writes a report into dir, which it makes if need be: the page, the result, and, unless events is
// nil, the event log that events writes. All files are written beside their places and synced before the
// first is renamed into place, the result last; so an error before that leaves what was there, and a full disk
// is such an error. Lists of an earlier report go: the job writes its own afterwards. Without force a folder that holds a report is left alone.
func WriteDir(dir string, r *Result, s *Story, events func(io.Writer) error, force bool) error {
	if err := CheckDir(dir, force); err != nil {
		return err
	}
	parts := []struct {
		name  string
		write func(io.Writer) error
	}{
		{ListFile, nil},
		{DifferencesFile, nil},
		{EventsFile, events},
		{PageFile, func(w io.Writer) error { return Page(w, r, s) }},
		{ResultFile, func(w io.Writer) error { return WriteJSON(w, r) }},
	}
	mode := public
	if s != nil && s.Private {
		mode = private
	}
	ready := make([]string, len(parts)) // temporary names
	defer func() {
		for _, name := range ready {
			if name != "" {
				os.Remove(name) // fails for those that have been renamed
			}
		}
	}()
	for i, p := range parts {
		if p.write == nil {
			continue
		}
		f, err := create(dir, p.name, mode)
		if err != nil {
			return explain(dir, err)
		}
		ready[i] = f.Name()
		if err := fill(f, p.write); err != nil {
			return explain(dir, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	for i, p := range parts {
		place := filepath.Join(dir, p.name)
		if ready[i] == "" { // an older run's file would be taken for this one's
			if err := os.Remove(place); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return explain(dir, err)
			}
			continue
		}
		if err := os.Rename(ready[i], place); err != nil {
			return explain(dir, err)
		}
	}
	return explain(dir, syncDir(dir))
}

// WriteJSON writes r as one JSON object on indented lines.
func WriteJSON(w io.Writer, r *Result) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteFile writes one file beside its place and puts it there only when it is whole and on the disk (HST-125).
func WriteFile(name string, write func(io.Writer) error) error {
	if err := Regular(name); err != nil {
		return err
	}
	dir := filepath.Dir(name)
	f, err := create(dir, filepath.Base(name), public)
	if err != nil {
		return explain(dir, err)
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	if err = fill(f, write); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err == nil {
		err = syncDir(dir)
	}
	return explain(dir, err)
}

// Who may read a report: everybody, for it is meant to be passed on, or its owner alone.
const (
	public  os.FileMode = 0o644
	private os.FileMode = 0o600
)

// create makes a new file in dir that nobody takes for part of a report.
func create(dir, name string, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, fmt.Sprintf(".%s.%08x.tmp", name, rand.Uint32())), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

// fill writes a file, and has it on the disk before it closes it.
func fill(f syncFile, write func(io.Writer) error) error {
	b := bufio.NewWriterSize(f, 64<<10)
	err := write(b)
	if err == nil {
		err = b.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// A syncFile is what fill needs of an [os.File].
type syncFile interface {
	io.WriteCloser
	Sync() error
}

// syncDir makes renames last. Windows has no such call and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// explain makes an error of writing into dir a sentence; nil stays nil.
func explain(dir string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("report folder %s: no room: %w; an older report there is as it was: free some space, or name a folder on another disk", dir, err)
	}
	return fmt.Errorf("report folder %s: %w", dir, err)
}
