package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
)

// A copy that Backup made says so of itself, in a number that SQLite leaves to applications.
const markCopy, unmarkCopy = "PRAGMA user_version=1", "PRAGMA user_version=0"

// takeUps are one transaction. The time that is lost begins with the newest moment that the copy knows of; where it was
// restored before, devices from the time that was lost then may still be on their way. Enrolment links and challenges
// may have been used since: they end. Challenges of renewals, each bound to its device, do not (HST-034).
var takeUps = []string{
	`INSERT INTO restoration (one, since, at, epoch)
		SELECT 1, newest, 0, 0 FROM (SELECT max((SELECT ifnull(max(at), 0) FROM journal), (SELECT ifnull(max(last_seen), 0) FROM devices)) AS newest)
		WHERE newest > 0 ON CONFLICT (one) DO UPDATE SET since=min(since, excluded.since), at=0`,
	"DELETE FROM tickets WHERE used_at=0",
	"DELETE FROM grants WHERE used_at=0 AND purpose=1",
	unmarkCopy,
}

// takeUp sees whether the database is a backup that was put into this folder, and has it say so (HST-101). A database
// that only starts again never is: the marks are made by Backup and by a folder that held nothing else, and end here.
func (f *folder) takeUp(ctx context.Context) error {
	name, err := dsn(f.file(dbName), "rw", "synchronous(full)")
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if _, err := os.Stat(f.file(restoredName)); errors.Is(err, fs.ErrNotExist) && version == 0 {
		return nil
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, text := range takeUps {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if err := os.Remove(f.file(restoredName)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
