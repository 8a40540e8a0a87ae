package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

// What is SQLite's own: connections, settings, error codes, checks, checkpoints. The statements are in statements.go.

//go:embed migrations/sqlite/*.sql
var sqliteMigrations embed.FS

const (
	applicationID = 0x726f6c63         // "rolc", written by the first migration
	oldestSQLite  = 3*1e6 + 51*1e3 + 3 // older ones can lose what a reset log holds (HST-095)
)

// dsn names the database file in the driver's way, with settings as PRAGMA statements.
func dsn(file, mode string, pragmas ...string) (string, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	abs = filepath.ToSlash(abs)
	if !strings.HasPrefix(abs, "/") {
		abs = "/" + abs // C:/...
	}
	q := url.Values{"mode": {mode}, "_pragma": append([]string{"busy_timeout(5000)", "foreign_keys(on)"}, pragmas...)}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: abs, RawQuery: q.Encode()}).String(), nil
}

// openReaders opens a pool of connections that only read.
func openReaders(file string) (*sql.DB, error) {
	name, err := dsn(file, "rw", "query_only(on)", "temp_store(memory)")
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", name)
	if err == nil {
		db.SetMaxOpenConns(4)
		db.SetMaxIdleConns(4)
	}
	return db, err
}

// openWriter opens the one connection that writes.
func openWriter(file string) (driver.Conn, error) {
	// Data and its size are what a commit must not lose; the file's times are not. Where there is no such call SQLite
	// keeps the stronger one.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, err
	}
	name, err := dsn(file, "rw", "journal_mode(wal)", "synchronous(full)", "temp_store(memory)", "cache_size(-65536)",
		"wal_autocheckpoint(0)", "journal_size_limit(67108864)")
	if err != nil {
		return nil, err
	}
	return new(sqlite.Driver).Open(name)
}

// checkDatabase looks at an existing file: whose it is, and whether it is whole. Its connection cannot write, unless the
// file is ours for sure and has to be rolled back first.
func checkDatabase(ctx context.Context, f *folder) error {
	mode := "ro"
	if f.rollsBack() {
		mode = "rw"
	}
	name, err := dsn(f.file(dbName), mode)
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return err
	}
	defer db.Close()
	var id, tables int64
	// The table of versions is made before the first migration, which makes the file ours: a start may end between the two.
	err = db.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), "+
		"(SELECT count(*) FROM sqlite_master WHERE tbl_name NOT IN ('goose_db_version', 'sqlite_sequence'))").Scan(&id, &tables)
	if err == nil && id != applicationID && tables > 0 {
		return f.foreign()
	}
	var answer string
	if err == nil {
		err = db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil && isDamage(err):
		return f.damaged(err)
	case err != nil:
		return unusable(f.path, err)
	case answer != "ok":
		return f.damaged(errors.New(strings.ReplaceAll(answer, "\n", ": ")))
	}
	return nil
}

// A newerSchema says that the database has been changed by a newer rollcall.
type newerSchema struct{ have, know int64 }

func (n newerSchema) Error() string {
	return fmt.Sprintf("its schema is version %d and this rollcall knows up to %d: use a newer rollcall, or a backup made before the upgrade",
		n.have, n.know)
}

// migrate brings the database up to version, each step a transaction of its own (HST-096); 0: up to the newest. It was at version before.
func migrate(ctx context.Context, file string, migrations fs.FS, version int64) (before int64, err error) {
	name, err := dsn(file, "rw", "journal_mode(wal)", "synchronous(full)")
	if err != nil {
		return 0, err
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var v string
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&v); err != nil {
		return 0, err
	}
	if n, err := versionNumber(v); err != nil || n < oldestSQLite {
		return 0, fmt.Errorf("this program was built with SQLite %s, 3.51.3 or newer is needed", v)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, migrations, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return 0, err
	}
	have, know, err := p.GetVersions(ctx)
	if err != nil {
		return 0, err
	}
	if have > know {
		return 0, newerSchema{have, know}
	}
	if version == 0 {
		version = know
	}
	_, err = p.UpTo(ctx, version)
	return have, err
}

// versionNumber makes 3051003 of "3.51.3".
func versionNumber(s string) (int, error) {
	n := 0
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return 0, fmt.Errorf("version %q", s)
	}
	for _, p := range parts {
		i, err := strconv.Atoi(p)
		if err != nil {
			return 0, fmt.Errorf("version %q", s)
		}
		n = n*1000 + i
	}
	return n, nil
}

// A failure is what an error of the database means for those who wait for it.
type failure uint8

const (
	itsOwn  failure = iota // this change cannot be made; its neighbours can
	tryNext                // nothing of the transaction was kept; the next one may work
	noSpace                // as tryNext, because there is no room on the disk
	theEnd                 // what the disk holds is not certain any more: stop (HST-093)
)

// Primary and extended result codes (sqlite.org/rescode.html).
const (
	codeError, codeBusy, codeLocked, codeNoMem, codeInterrupt   = 1, 5, 6, 7, 9
	codeIO, codeCorrupt, codeFull, codeCantOpen, codeTooBig     = 10, 11, 13, 14, 18
	codeConstraint, codeMismatch, codeRange, codeNotADB         = 19, 20, 25, 26
	codeIOWrite, codeIOTruncate, codeIONoMem, codeIOShmOpen     = codeIO | 3<<8, codeIO | 6<<8, codeIO | 12<<8, codeIO | 18<<8
	codeIOShmSize, codeIOShmMap, codeIOGetTempPath, codeIOVNode = codeIO | 19<<8, codeIO | 21<<8, codeIO | 25<<8, codeIO | 27<<8
	codeIOFsync, codeIODirFsync, codeIOAuth, codeIOBeginAtomic  = codeIO | 4<<8, codeIO | 5<<8, codeIO | 28<<8, codeIO | 29<<8
)

// codeOf returns the extended result code of a database's error.
func codeOf(err error) (code int, ok bool) {
	coded, ok := errors.AsType[interface {
		error
		Code() int
	}](err)
	if !ok {
		return 0, false
	}
	return coded.Code(), true
}

func classify(err error) failure {
	code, ok := codeOf(err)
	if !ok {
		return itsOwn
	}
	switch code {
	case codeIOWrite, codeIOTruncate, codeIOShmOpen, codeIOShmSize, codeIOShmMap:
		return noSpace // a quota and a limit on file sizes come as failed writes, which SQLite rolls back
	case codeIONoMem:
		return tryNext
	default:
		switch code & 0xff {
		case codeError, codeTooBig, codeConstraint, codeMismatch, codeRange:
			return itsOwn
		case codeBusy, codeLocked, codeNoMem, codeInterrupt:
			return tryNext
		case codeFull, codeCantOpen:
			return noSpace
		}
	}
	return theEnd
}

func isDamage(err error) bool {
	code, ok := codeOf(err)
	return ok && (code&0xff == codeCorrupt || code&0xff == codeNotADB)
}
