package sqlstore

import (
	"context"
	"fmt"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// Records returns up to n records with numbers above after, ascending.
func (s *Store) Records(_ context.Context, after protocol.Device, n int) ([]store.Record, error) {
	if s.over.Load() {
		return nil, s.err()
	}
	out := make([]store.Record, 0, min(n, 1000))
	for len(out) < n {
		entries := s.devs.after(after, n-len(out))
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			after = e.number
			if rec, kept := e.record(); kept {
				out = append(out, rec)
			}
		}
	}
	return out, nil
}

// States calls f with each state.
func (s *Store) States(ctx context.Context, f func(*delivery.State)) error {
	const many = 1000
	for after := protocol.Device(0); ctx.Err() == nil; {
		if s.over.Load() {
			return s.err()
		}
		entries := s.devs.after(after, many)
		for _, e := range entries {
			e.mu.Lock()
			if e.kept {
				f(&e.state)
			}
			e.mu.Unlock()
			after = e.number
		}
		if len(entries) < many {
			break
		}
	}
	return ctx.Err()
}

// Record returns one record.
func (s *Store) Record(_ context.Context, d protocol.Device) (store.Record, error) {
	if s.over.Load() {
		return store.Record{}, s.err()
	}
	e, err := s.devs.find(d)
	if err != nil {
		return store.Record{}, err
	}
	rec, kept := e.record()
	if !kept {
		return store.Record{}, fmt.Errorf("device %d: %w", d, store.ErrNotFound)
	}
	return rec, nil
}

// History returns the commands of d, newest first.
func (s *Store) History(ctx context.Context, d protocol.Device, n int) ([]delivery.CommandChange, error) {
	var out []delivery.CommandChange
	text := selectFrom("(SELECT *, 0 AS final FROM queue WHERE device=?1 UNION ALL SELECT *, 1 FROM history WHERE device=?1)",
		append(commandColumns, "final")...) + "ORDER BY seq DESC LIMIT ?2"
	err := s.query(ctx, s.lists, text, func(r *row) {
		r.at++
		c := scanCommand(r)
		c.Final = r.flag()
		out = append(out, c)
	}, int64(d), n)
	return out, err
}

// Due returns up to n reachable devices whose wake-up is due.
func (s *Store) Due(_ context.Context, now protocol.Time, n int, apple bool) ([]protocol.Device, error) {
	if s.over.Load() {
		return nil, s.err()
	}
	return s.dues.until(now, n, apple), nil
}

// NextDue returns when the next wake-up is due.
func (s *Store) NextDue(_ context.Context, apple bool) (protocol.Time, error) {
	if s.over.Load() {
		return 0, s.err()
	}
	return s.dues.next(apple), nil
}
