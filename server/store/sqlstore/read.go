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
	var out []store.Record
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
	err := s.query(ctx, text, func(r *row) {
		r.at++
		c := scanCommand(r)
		c.Final = r.flag()
		out = append(out, c)
	}, int64(d), n)
	return out, err
}

// Due returns up to n reachable devices whose wake-up is due.
func (s *Store) Due(_ context.Context, now protocol.Time, n int) ([]protocol.Device, error) {
	if s.over.Load() {
		return nil, s.err()
	}
	return s.dues.until(now, n), nil
}

// NextDue returns when the next wake-up is due.
func (s *Store) NextDue(context.Context) (protocol.Time, error) {
	if s.over.Load() {
		return 0, s.err()
	}
	return s.dues.next(), nil
}

// JournalAfter returns up to n lines of the journal.
func (s *Store) JournalAfter(ctx context.Context, after uint64, n int) ([]store.Line, error) {
	var out []store.Line
	err := s.query(ctx, selectFrom("journal", lineColumns...)+"WHERE seq>? ORDER BY seq LIMIT ?", func(r *row) {
		out = append(out, scanLine(r))
	}, int64(after), n)
	return out, err
}

var lineColumns = []string{"seq", "at", "device", "rule", "what", "detail"}

func scanLine(r *row) store.Line {
	return store.Line{Seq: num[uint64](r), At: r.time(), Device: num[protocol.Device](r), Rule: protocol.Rule(r.text()),
		What: delivery.What(r.text()), Detail: r.text()}
}

// CheckJournal follows the journal's chain from its first line and names the first one that was changed, removed or
// slipped in since it was written (HST-074). What was cut off at the end cannot be seen: keep the newest sequence number elsewhere.
func (s *Store) CheckJournal(ctx context.Context) error {
	var seq uint64
	var chain [32]byte
	var broken error
	err := query(ctx, s.read, selectFrom("journal", append(lineColumns, "chain")...)+"ORDER BY seq", func(r *row) {
		l := scanLine(r)
		seq++
		chain = link(chain, l.Seq, l.At, l.Device, l.Rule, l.What, l.Detail)
		if broken == nil && l.Seq != seq {
			broken = fmt.Errorf("journal: line %d is missing", seq)
		}
		if broken == nil && r.hash() != chain {
			broken = fmt.Errorf("journal: line %d is not as it was written", l.Seq)
		}
	})
	if err != nil {
		return err
	}
	return broken
}
