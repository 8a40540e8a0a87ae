package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// lookups is a pool of connections for the few queries that rounds and enrolments ask again and again: each is prepared
// once for a connection, since planning one costs more than its single row.
type lookups struct {
	db *sql.DB

	mu    sync.Mutex
	stmts map[string]*sql.Stmt
}

// QueryContext is that of database/sql.
func (l *lookups) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	st, err := l.prepared(ctx, text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

func (l *lookups) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if st, ok := l.stmts[text]; ok {
		return st, nil
	}
	st, err := l.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if l.stmts == nil {
		l.stmts = make(map[string]*sql.Stmt)
	}
	l.stmts[text] = st
	return st, nil
}

func (l *lookups) close() error {
	var errs []error
	for _, st := range l.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, l.db.Close())...)
}
