package sqlstore

import (
	"context"
	"database/sql/driver"
	"fmt"

	"rollcall/server/store"
)

// A writer is the one connection that writes, with its statements prepared. The committer alone uses it. It goes to the driver
// directly: database/sql costs more than the statement it carries.
type writer struct {
	conn   driver.Conn
	stmts  [statements]driver.StmtExecContext
	args   []driver.NamedValue
	values []driver.Value // room for those of a device

	head       store.Head // of the journal
	journalKey []byte     // that signs it

	broken func(statement) error // tests: an error instead of the statement
}

// A change is one caller's change. It may be written more than once before it is kept, so write only reads what it stands on.
type change interface{ write(w *writer) error }

func newWriter(conn driver.Conn) (*writer, error) {
	w := &writer{conn: conn, values: make([]driver.Value, 0, len(deviceColumns)+1)}
	for i := range w.stmts {
		st, err := conn.Prepare(texts[i])
		if err != nil {
			w.close()
			return nil, fmt.Errorf("statement %q: %w", texts[i], err)
		}
		w.stmts[i] = st.(driver.StmtExecContext)
	}
	return w, nil
}

// close closes the connection. SQLite keeps one open that still has statements.
func (w *writer) close() error {
	for _, st := range w.stmts {
		if st != nil {
			st.(driver.Stmt).Close()
		}
	}
	return w.conn.Close()
}

// exec runs one statement and returns how many rows it changed.
func (w *writer) exec(q statement, args ...driver.Value) (int64, error) {
	if w.broken != nil {
		if err := w.broken(q); err != nil {
			return 0, err
		}
	}
	for len(w.args) < len(args) {
		w.args = append(w.args, driver.NamedValue{Ordinal: len(w.args) + 1})
	}
	for i, a := range args {
		w.args[i].Value = a
	}
	r, err := w.stmts[q].ExecContext(context.Background(), w.args[:len(args)])
	for i := range args {
		w.args[i].Value = nil
	}
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// transact writes changes in one transaction. The error of one change is its own, in errs; an error of the whole is
// returned, and then nothing was kept. Without care the first change that fails is such an error too.
func (w *writer) transact(changes []*job, care bool) (err error) {
	head := w.head
	if _, err := w.exec(begin); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			w.head = head
			// SQLite has rolled back by itself after some errors; then this says so, and nothing else is to be done.
			w.exec(rollback)
		}
	}()
	for _, j := range changes {
		if j.err = w.one(j.change, care); j.err != nil && (!care || classify(j.err) != itsOwn) {
			return j.err
		}
	}
	if w.head != head {
		if err := w.putHead(); err != nil {
			return err
		}
	}
	_, err = w.exec(commit)
	return err
}

// one writes one change; with care it leaves nothing behind when it fails.
func (w *writer) one(c change, care bool) error {
	if !care {
		return c.write(w)
	}
	head := w.head
	if _, err := w.exec(savepoint); err != nil {
		return err
	}
	err := c.write(w)
	if err != nil {
		w.head = head
		if _, err := w.exec(rollbackTo); err != nil {
			return err
		}
	}
	if _, err := w.exec(release); err != nil {
		return err
	}
	return err
}

// A batch runs statements until the first one that fails.
type batch struct {
	w   *writer
	err error
}

func (b *batch) do(q statement, args ...driver.Value) {
	if b.err == nil {
		_, b.err = b.w.exec(q, args...)
	}
}
