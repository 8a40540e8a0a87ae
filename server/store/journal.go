package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// A Line is one line of the journal: what happened, to what, by which rule, and who did it. No line is ever changed or
// removed.
type Line struct {
	Seq    uint64 // 1, 2, ... without gaps
	At     protocol.Time
	Device protocol.Device // 0: the tenant
	Actor  string          // empty: not kept, as in journals of older versions
	Rule   protocol.Rule
	What   delivery.What
	Detail string
}

// A LineFilter picks lines of the journal. Zero fields pick all.
type LineFilter struct {
	After   uint64 // sequence number
	Since   protocol.Time
	Devices []protocol.Device // about one of these; a few
	Actor   string
	Rule    protocol.Rule
	What    delivery.What
}

// picks tells whether f picks l.
func (f *LineFilter) picks(l *Line) bool {
	return l.Seq > f.After && l.At >= f.Since && (len(f.Devices) == 0 || slices.Contains(f.Devices, l.Device)) && (f.Actor == "" || l.Actor == f.Actor) &&
		(f.Rule == "" || l.Rule == f.Rule) && (f.What == "" || l.What == f.What)
}

// A Head is the end of the journal's chain. Whoever keeps one elsewhere can tell later that all lines up to it are
// still the same.
type Head struct {
	Seq  uint64   // of the newest line; 0: there is none
	Hash [32]byte // its link
}

// Next returns the head after l was added (HST-074): SHA-256 over the link before, the numbers in eight bytes each,
// big-endian, and rule, what, detail and actor, each behind its length. A line without an actor ends with its detail,
// as all lines did before actors were kept.
func (h Head) Next(l *Line) Head {
	b := make([]byte, 0, 256)
	b = append(b, h.Hash[:]...)
	b = binary.BigEndian.AppendUint64(b, l.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(l.At))
	b = binary.BigEndian.AppendUint64(b, uint64(l.Device))
	texts := [...]string{string(l.Rule), string(l.What), l.Detail, l.Actor}
	for i, s := range texts {
		if i == len(texts)-1 && s == "" {
			break
		}
		b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	return Head{l.Seq, sha256.Sum256(b)}
}

// A Break is the first place where the journal is not what the server wrote (HST-074).
type Break struct {
	Seq    uint64 // the first line that is wrong or missing
	Reason string // lower case, no full stop
}

func (b *Break) Error() string { return fmt.Sprintf("journal: line %d %s", b.Seq, b.Reason) }
func (b *Break) Unwrap() error { return protocol.RuleJournal }
