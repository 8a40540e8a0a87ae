package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"rollcall/protocol"
)

// A row is one row of a result, read column by column from the left. A column of another type than asked for, which a
// sound database does not have, makes the whole query fail.
type row struct {
	values []any
	at     int
	err    error
}

func next[T any](r *row) (v T) {
	if r.at < len(r.values) {
		var ok bool
		if v, ok = r.values[r.at].(T); !ok && r.values[r.at] != nil && r.err == nil {
			r.err = fmt.Errorf("column %d is a %T", r.at+1, r.values[r.at])
		}
	}
	r.at++
	return v
}

// num reads an integer that was written from a T.
func num[T ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int64](r *row) T { return T(next[int64](r)) }

func (r *row) time() protocol.Time { return num[protocol.Time](r) }
func (r *row) flag() bool          { return next[int64](r) != 0 }
func (r *row) text() string        { return next[string](r) }
func (r *row) blob() []byte        { return next[[]byte](r) } // NULL: nil

// hash reads a blob of 32 bytes; NULL: zero.
func (r *row) hash() (h [32]byte) {
	copy(h[:], r.blob())
	return h
}

// flag is a bool as a column.
func flag(b bool) driver.Value {
	if b {
		return int64(1)
	}
	return int64(0)
}

// known is a hash or an id as a column: NULL where it is all zero, which means none.
func known(b []byte) driver.Value {
	for _, x := range b {
		if x != 0 {
			return b
		}
	}
	return nil
}

// A reader is a pool of connections, with statements prepared or not, or one transaction.
type reader interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// query calls each with every row of a result.
func query(ctx context.Context, from reader, text string, each func(*row), args ...any) error {
	rows, err := from.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	r := row{values: make([]any, len(columns))}
	into := make([]any, len(columns))
	for i := range into {
		into[i] = &r.values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		r.at = 0
		if each(&r); r.err != nil {
			return r.err
		}
	}
	return rows.Err()
}

// readLimit is how long one query may take, below what a request may (HST-073). Tests set it: they share a machine.
var readLimit = 5 * time.Second

// query reads for a caller, who is told where the store is closed.
func (s *Store) query(ctx context.Context, from reader, text string, each func(*row), args ...any) error {
	if s.over.Load() {
		return s.err()
	}
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	return query(ctx, from, text, each, args...)
}
