package sqlstore

import (
	"context"
	"fmt"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// Records returns up to n records with numbers above after, ascending.
func (s *Store) Records(ctx context.Context, after protocol.Device, n int) ([]store.Record, error) {
	var out []store.Record
	at := make(map[protocol.Device]int)
	for first := after; len(out) < n; {
		entries := s.devs.after(first, n-len(out))
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			first = e.number
			if st, kept := e.snapshot(); kept {
				at[e.number] = len(out)
				out = append(out, store.Record{ID: e.id, State: st})
			}
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	err := s.query(ctx, selectFrom("facts", factColumns...)+"WHERE device>? AND device<=?", func(r *row) {
		if i, ok := at[num[protocol.Device](r)]; ok {
			out[i].Facts = scanFacts(r)
		}
	}, int64(after), int64(out[len(out)-1].State.Device))
	if err != nil {
		return nil, fmt.Errorf("records: %w", err)
	}
	return out, nil
}

// Record returns one record.
func (s *Store) Record(ctx context.Context, d protocol.Device) (store.Record, error) {
	e, err := s.devs.find(d)
	if err != nil {
		return store.Record{}, err
	}
	st, kept := e.snapshot()
	if !kept {
		return store.Record{}, fmt.Errorf("device %d: %w", d, store.ErrNotFound)
	}
	rec := store.Record{ID: e.id, State: st}
	err = s.query(ctx, selectFrom("facts", factColumns...)+"WHERE device=?", func(r *row) {
		r.at++
		rec.Facts = scanFacts(r)
	}, int64(d))
	return rec, err
}

var factColumns = []string{"device", "name", "model", "product", "serial", "os_version", "build", "imei", "meid"}

// scanFacts reads factColumns after the device.
func scanFacts(r *row) delivery.Facts {
	return delivery.Facts{Name: r.text(), Model: r.text(), Product: r.text(), Serial: r.text(), OSVersion: r.text(), Build: r.text(),
		IMEI: r.text(), MEID: r.text()}
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
	err := s.query(ctx, selectFrom("journal", append(lineColumns, "chain")...)+"ORDER BY seq", func(r *row) {
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
