package sqlstore

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/logs"
	"rollcall/server/store"
)

// journalSecret names the secret that the head is signed with. It is the store's own: Content.Secrets has it not.
const journalSecret = "journal"

// firstSigned is the first version of the tables with a head.
const firstSigned = 2

const notSigned = "may be missing: the journal's end is not signed by this server"

var lineColumns = []string{"seq", "at", "device", "rule", "what", "detail", "actor"}

func scanLine(r *row) store.Line {
	return store.Line{
		Seq: num[uint64](r), At: r.time(), Device: num[protocol.Device](r), Rule: protocol.Rule(r.text()),
		What: delivery.What(r.text()), Detail: r.text(), Actor: r.text(),
	}
}

// A signedHead is the row of journal_head.
type signedHead struct {
	store.Head
	mac [32]byte
}

// sign makes the row of a head.
func sign(key []byte, h store.Head) signedHead {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("rollcall journal head"))
	m.Write(binary.BigEndian.AppendUint64(nil, h.Seq))
	m.Write(h.Hash[:])
	return signedHead{h, [32]byte(m.Sum(nil))}
}

func (h *signedHead) genuine(key []byte) bool {
	want := sign(key, h.Head)
	return hmac.Equal(h.mac[:], want.mac[:])
}

// journal appends one line.
func (b *batch) journal(now protocol.Time, e *delivery.Effect) {
	l := store.Line{Seq: b.w.head.Seq + 1, At: now, Device: e.Device, Actor: e.Actor, Rule: e.Rule, What: e.What, Detail: e.Detail}
	b.w.head = b.w.head.Next(&l)
	b.do(addLine, int64(l.Seq), int64(now), int64(l.Device), string(l.Rule), string(l.What), l.Detail, l.Actor, b.w.head.Hash[:])
}

// putHead writes the head of the lines of one transaction.
func (w *writer) putHead() error {
	h := sign(w.journalKey, w.head)
	_, err := w.exec(putJournalHead, int64(1), int64(h.Seq), h.Hash[:], h.mac[:])
	return err
}

// openJournal has the writer go on where the journal ends. A data folder that is new, or was of version 1, has neither secret
// nor head yet, and gets both.
func (s *Store) openJournal(ctx context.Context) error {
	w := s.w
	err := query(ctx, s.lists, "SELECT value FROM secrets WHERE name=?", func(r *row) { w.journalKey = r.blob() }, journalSecret)
	if err != nil {
		return err
	}
	newest, err := newestLine(ctx, s.lists)
	if err != nil {
		return err
	}
	kept, err := loadHead(ctx, s.lists)
	if err != nil {
		return err
	}
	if len(w.journalKey) == 0 {
		first, err := s.unsigned(ctx)
		if err != nil {
			return err
		}
		w.journalKey = make([]byte, sha256.Size)
		rand.Read(w.journalKey) // never fails
		w.head = newest
		err = w.transact([]*job{{change: changeFunc(func(w *writer) error {
			b := batch{w: w}
			b.do(putSecret, journalSecret, w.journalKey)
			if b.err == nil && first { // else nothing that is there is this server's word
				b.err = w.putHead()
			}
			return b.err
		})}}, false)
		if err != nil || first {
			return err
		}
	}
	w.head = kept.Head
	if !kept.genuine(w.journalKey) {
		// Nobody knows where the journal ended. A new signature must not heal that, so what comes now follows no line.
		w.head = store.Head{Seq: newest.Seq, Hash: sha256.Sum256(append(kept.mac[:], "not genuine"...))}
		s.unsignedEnd = &store.Break{Seq: newest.Seq + 1, Reason: notSigned}
	}
	// Where lines were cut off, or slipped in, at the end, the chain goes on from the head that was kept: the place stays
	// visible.
	w.head.Seq = max(w.head.Seq, newest.Seq)
	return nil
}

// unsigned tells whether a journal without a secret has never had one: it has no head, and it is of version 1, which kept no
// actors, or nothing was ever kept in this database.
func (s *Store) unsigned(ctx context.Context) (yes bool, err error) {
	err = query(ctx, s.lists, `SELECT NOT EXISTS (SELECT 1 FROM journal_head) AND NOT EXISTS (SELECT 1 FROM journal WHERE actor<>'') AND
		(EXISTS (SELECT 1 FROM journal) OR NOT EXISTS (SELECT 1 FROM secrets))`, func(r *row) { yes = r.flag() })
	return yes || s.before < firstSigned, err
}

// EndUnsigned says that [Open] found the journal's end without this server's signature; nil: it did not. Verifying says the
// same for good.
func (s *Store) EndUnsigned() *store.Break { return s.unsignedEnd }

func newestLine(ctx context.Context, from reader) (h store.Head, err error) {
	err = query(ctx, from, selectFrom("journal", "seq", "chain")+"ORDER BY seq DESC LIMIT 1", func(r *row) {
		h = store.Head{Seq: num[uint64](r), Hash: r.hash()}
	})
	return h, err
}

func loadHead(ctx context.Context, from reader) (h signedHead, err error) {
	err = query(ctx, from, selectFrom("journal_head", "seq", "chain", "mac"), func(r *row) {
		h = signedHead{store.Head{Seq: num[uint64](r), Hash: r.hash()}, r.hash()}
	})
	return h, err
}

// Journal returns the first n lines of the journal, or fewer, that f picks.
func (s *Store) Journal(ctx context.Context, f store.LineFilter, n int) ([]store.Line, error) {
	text, args := selectFrom("journal", lineColumns...)+"WHERE seq>?", []any{int64(f.After)}
	add := func(condition string, value any) {
		text, args = text+" AND "+condition, append(args, value)
	}
	if f.Since != 0 {
		add("at>=?", int64(f.Since))
	}
	if len(f.Devices) > 0 {
		text += " AND device IN (?" + strings.Repeat(", ?", len(f.Devices)-1) + ")"
		for _, d := range f.Devices {
			args = append(args, int64(d))
		}
	}
	if f.Actor != "" {
		add("actor=?", f.Actor)
	}
	if f.Rule != "" {
		add("rule=?", string(f.Rule))
	}
	if f.What != "" {
		add("what=?", string(f.What))
	}
	var out []store.Line
	err := s.query(ctx, s.lists, text+" ORDER BY seq LIMIT ?", func(r *row) { out = append(out, scanLine(r)) }, append(args, n)...)
	return out, err
}

// Removed returns the numbers of the removed records that the wire called id.
func (s *Store) Removed(ctx context.Context, id string) (numbers []protocol.Device, err error) {
	err = s.query(ctx, s.lists, "SELECT number FROM removed WHERE id=? ORDER BY number", func(r *row) { numbers = append(numbers, num[protocol.Device](r)) }, id)
	return numbers, err
}

// RemovedID returns what the wire called a device whose record was removed.
func (s *Store) RemovedID(ctx context.Context, d protocol.Device) (id string, err error) {
	found := false
	err = s.query(ctx, s.lists, "SELECT id FROM removed WHERE number=?", func(r *row) { id, found = r.text(), true }, int64(d))
	if err == nil && !found {
		err = fmt.Errorf("removed device %d: %w", d, store.ErrNotFound)
	}
	return id, err
}

// JournalEnd returns the number of the newest line.
func (s *Store) JournalEnd(ctx context.Context) (end uint64, err error) {
	err = s.query(ctx, s.lists, "SELECT max(seq) FROM journal", func(r *row) { end = num[uint64](r) })
	return end, err
}

// names are what the journal's readers are told that devices are called, as lines say it.
func names(ctx context.Context, from reader) (map[protocol.Device]string, error) {
	of := map[protocol.Device]string{}
	err := query(ctx, from, "SELECT number, id FROM removed UNION ALL SELECT number, id FROM devices", func(r *row) {
		d := num[protocol.Device](r)
		of[d] = logs.Escape(r.text())
	})
	return of, err
}

// VerifyJournal follows the chain, compares its end with the head and the names of devices with those that they enrolled
// under, all as of one moment.
func (s *Store) VerifyJournal(ctx context.Context) (store.Head, error) {
	if s.over.Load() {
		return store.Head{}, s.err()
	}
	tx, err := s.lists.BeginTx(ctx, nil)
	if err != nil {
		return store.Head{}, err
	}
	defer tx.Rollback() // it only read
	kept, err := loadHead(ctx, tx)
	if err != nil {
		return store.Head{}, err
	}
	signed := kept.genuine(s.w.journalKey)
	names, err := names(ctx, tx)
	if err != nil {
		return store.Head{}, err
	}
	var at store.Head
	var broken *store.Break
	err = query(ctx, tx, selectFrom("journal", append(lineColumns, "chain")...)+"ORDER BY seq", func(r *row) {
		if broken != nil {
			return
		}
		l := scanLine(r)
		next := at.Next(&l)
		switch {
		case l.Seq != at.Seq+1:
			broken = &store.Break{Seq: at.Seq + 1, Reason: "is missing"}
		case r.hash() != next.Hash:
			broken = &store.Break{Seq: l.Seq, Reason: "is not as it was written"}
		case l.What == delivery.WhatEnrolled && l.Detail != "" && l.Detail != names[l.Device]:
			broken = &store.Break{Seq: l.Seq, Reason: fmt.Sprintf("is about %s, whose record now says %q", l.Detail, names[l.Device])}
		}
		at = next
	})
	switch {
	case err != nil:
		return store.Head{}, err
	case broken != nil:
		return store.Head{}, broken
	case !signed:
		return store.Head{}, &store.Break{Seq: at.Seq + 1, Reason: notSigned}
	case at.Seq < kept.Seq:
		return store.Head{}, &store.Break{Seq: at.Seq + 1, Reason: fmt.Sprintf("and all after it are missing, up to line %d", kept.Seq)}
	case at.Seq > kept.Seq:
		return store.Head{}, &store.Break{Seq: kept.Seq + 1, Reason: "was not written by this server"}
	case at.Hash != kept.Hash:
		return store.Head{}, &store.Break{Seq: at.Seq, Reason: "is not the one that the journal ends with"}
	}
	return at, nil
}
