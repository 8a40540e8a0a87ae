package sqlstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"rollcall/server/store"
	"rollcall/server/store/sqlstore/wal"
)

// The files of a data folder.
const (
	dbName       = "rollcall.db"
	lockName     = "lock"
	reserveName  = "reserve"
	restoredName = "restored" // there until a database that was put into the folder is taken up
)

// A folder is a data folder that this process holds alone.
type folder struct {
	path string
	lock *os.File
}

// openFolder makes the folder where it is missing and takes its lock (HST-095).
func openFolder(path string) (*folder, error) {
	err := os.MkdirAll(path, 0o700)
	if err != nil {
		return nil, unusable(path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unusable(path, err)
	}
	ok, err := tryLock(lock)
	if err != nil {
		lock.Close()
		return nil, unusable(path, err)
	}
	if !ok {
		holder, _ := io.ReadAll(io.LimitReader(lock, 32))
		lock.Close()
		return nil, fmt.Errorf("data folder %s is in use by another rollcall (process %s): stop that one, or choose another folder",
			path, strings.TrimSpace(string(holder)))
	}
	f := &folder{path, lock}
	if err := f.putThere(); err != nil {
		lock.Close()
		return nil, unusable(path, err)
	}
	if err = lock.Truncate(0); err == nil {
		_, err = fmt.Fprintln(lock, os.Getpid())
	}
	if err != nil {
		lock.Close()
		return nil, unusable(path, err)
	}
	return f, nil
}

// putThere notes that the database was put into the folder: it is alone there, and all other files are made after the lock,
// whose file nobody has written into yet (HST-101).
func (f *folder) putThere() error {
	st, err := f.lock.Stat()
	if err != nil || st.Size() > 0 {
		return err
	}
	entries, err := os.ReadDir(f.path)
	if err != nil || len(entries) != 2 || !entries[0].Type().IsRegular() || entries[1].Name() != dbName {
		return err // sorted: the lock is the first
	}
	return os.WriteFile(f.file(restoredName), nil, 0o600)
}

// close gives the folder back.
func (f *folder) close() error { return errors.Join(unlock(f.lock), f.lock.Close()) }

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

// prepare looks at the database file without opening it as one, and makes an empty one where there is none. SQLite
// would take many a foreign file for an empty or a broken database, and write into it.
func (f *folder) prepare() (fresh bool, err error) {
	name := f.file(dbName)
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := f.unused("is gone"); err != nil {
			return false, err
		}
		// SQLite gives its other files the permissions of this one.
		file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return false, unusable(f.path, err)
		}
		return true, file.Close()
	}
	if err != nil {
		return false, unusable(f.path, err)
	}
	defer file.Close()
	var head [16]byte
	switch n, err := io.ReadFull(file, head[:]); {
	case n == 0 && err == io.EOF: // perhaps killed right after it was made
		return true, f.unused("is empty")
	case err != nil && err != io.ErrUnexpectedEOF:
		return false, unusable(f.path, err)
	case !bytes.Equal(head[:n], []byte("SQLite format 3\x00")) && !f.rollsBack():
		return false, f.foreign()
	}
	return false, wal.Check(name + "-wal")
}

// rollsBack tells whether a transaction of ours was ended in its middle before the database had its log: at a first start, or
// when a backup is taken into use. Its journal says that there was nothing before, or the file that it is ours (formats:
// sqlite.org/fileformat2.html, sections 1.3 and 3).
func (f *folder) rollsBack() bool {
	var journal [20]byte
	var head [72]byte
	if readHead(f.file(dbName+"-journal"), journal[:]) != nil || string(journal[:8]) != "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" {
		return false
	}
	if binary.BigEndian.Uint32(journal[16:]) == 0 { // pages that there were
		return true
	}
	return readHead(f.file(dbName), head[:]) == nil && binary.BigEndian.Uint32(head[68:]) == applicationID
}

// readHead fills b with the beginning of a file.
func readHead(name string, b []byte) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.ReadFull(file, b)
	return err
}

// unused tells whether a folder whose database is not there, or empty, never had one: all other files are made after it
// was written and synced. A new database in place of a lost one would be a new certificate authority, which no device
// knows (HST-047), and SQLite deletes a log without its database.
func (f *folder) unused(what string) error {
	for _, name := range []string{reserveName, dbName + "-wal"} {
		switch st, err := os.Stat(f.file(name)); {
		case err == nil && st.Size() > 0:
			return Lost(f.path, fmt.Sprintf("%s %s, but %s is there", dbName, what, name))
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return unusable(f.path, err)
		}
	}
	return nil
}

func unusable(path string, err error) error {
	if full := roomFor(path, err); errors.Is(full, store.ErrFull) {
		return full
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err // the path is said already
	}
	return fmt.Errorf("data folder %s cannot be used: %w: give this user read and write access, or choose another folder", path, err)
}

func (f *folder) foreign() error {
	return fmt.Errorf("data folder %s: %s was not made by rollcall; it is left as it is: choose another folder", f.path, dbName)
}

func (f *folder) damaged(err error) error {
	return fmt.Errorf("data folder %s is damaged (%w); it is left as it is: put a backup of %s, alone, into an empty folder and start with that",
		f.path, err, dbName)
}

// Lost is the error of a data folder that had a server's data once and has them no more (HST-047); how tells.
func Lost(path, how string) error {
	return fmt.Errorf("data folder %s has lost its data (%s): put a backup of %s, alone, into an empty folder and start with that, "+
		"or start afresh with an empty folder, in which no device is enrolled", path, how, dbName)
}
