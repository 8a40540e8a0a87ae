package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"rollcall/server/store"
)

// Backup writes what the database of the data folder dir holds at one moment into a new file, while a server may be
// using the folder or not (HST-101). The file holds the keys of the server: it is made for this user alone, and is to be
// kept so. Every error is one sentence; after one there is no file, and a copy that was not finished never has its name.
func Backup(ctx context.Context, dir, file string) (err error) {
	f := folder{path: dir}
	if _, err := os.Stat(f.file(dbName)); err != nil {
		return unusable(dir, err)
	}
	if err := checkDatabase(ctx, &f); err != nil {
		return err
	}
	if _, err := os.Lstat(file); err == nil {
		return taken(file)
	}
	out, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*.tmp") // 0600; SQLite writes into it, since it is empty
	if err != nil {
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			err = pe.Err // of a name that nobody gave
		}
		return fmt.Errorf("backup: %s: %w", file, err)
	}
	copied := out.Name()
	defer os.Remove(copied)
	err = f.copyTo(ctx, copied)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = place(copied, file)
	}
	switch full := roomFor(file, err); {
	case errors.Is(full, store.ErrFull):
		return full
	case errors.Is(err, fs.ErrExist):
		return taken(file)
	case err != nil:
		return fmt.Errorf("backup of %s: %w", dir, err)
	}
	return nil
}

func taken(file string) error {
	return fmt.Errorf("backup: %s is there already: choose another file", file)
}

// place gives a copy its name, unless somebody has it.
func place(copied, file string) error {
	err := os.Link(copied, file)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Rename(copied, file) // a file system without links
}

// copyTo writes what the database holds into an empty file, which says of itself that it is a copy.
func (f *folder) copyTo(ctx context.Context, file string) error {
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	name, err := dsn(f.file(dbName), "rw", "temp_store(memory)")
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return err
	}
	return mark(ctx, path)
}

// mark has a copy say that it is one: the server that starts with it is behind its devices (HST-101).
func mark(ctx context.Context, file string) error {
	name, err := dsn(file, "rw", "synchronous(full)")
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, markCopy)
	return err
}
