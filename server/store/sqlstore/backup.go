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
// kept so. Every error is one sentence; after one there is no file.
func Backup(ctx context.Context, dir, file string) (err error) {
	f := folder{path: dir}
	if _, err := os.Stat(f.file(dbName)); err != nil {
		return unusable(dir, err)
	}
	if err := checkDatabase(ctx, &f); err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // SQLite writes into it, since it is empty
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("backup: %s is there already: choose another file", file)
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() {
		err = errors.Join(err, out.Close())
		if err != nil {
			os.Remove(file)
			if err = roomFor(file, err); !errors.Is(err, store.ErrFull) {
				err = fmt.Errorf("backup of %s: %w", dir, err)
			}
		}
	}()
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
	if err := mark(ctx, path); err != nil {
		return err
	}
	return out.Sync()
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
