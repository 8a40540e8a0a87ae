package ledger

import (
	"crypto/sha256"
	"strings"

	"rollcall/protocol"
)

// keyOf returns a command's id as it is kept, and how it was written.
func keyOf(id string) (key protocol.CommandID, is mark) {
	key, err := protocol.ParseCommandID(id)
	if err == nil {
		upper, small := false, false
		for i := range len(id) {
			upper = upper || 'A' <= id[i] && id[i] <= 'F'
			small = small || 'a' <= id[i] && id[i] <= 'f'
		}
		switch {
		case !small:
			return key, 0
		case !upper:
			return key, lower
		}
	}
	sum := sha256.Sum256([]byte(id))
	return protocol.CommandID(sum[:16]), text
}

// hashOf stands for a command of one device. UUIDs that count up differ in their last bytes, random ones in all.
func hashOf(d protocol.Device, id protocol.CommandID) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range id {
		h = (h ^ uint64(b)) * 1099511628211
	}
	for ; d > 0; d >>= 8 {
		h = (h ^ uint64(d&0xff)) * 1099511628211
	}
	return h
}

// A memory knows the latest of what it was told, at least room of them and at most twice as many: when one half is full, the other
// one is forgotten.
type memory struct {
	young, old map[uint64]struct{}
	room       int
}

func newMemory(room int) memory { return memory{map[uint64]struct{}{}, map[uint64]struct{}{}, room} }

func (m *memory) holds(h uint64) bool {
	if _, young := m.young[h]; young {
		return true
	}
	_, old := m.old[h]
	return old
}

func (m *memory) add(h uint64) {
	if len(m.young) >= m.room {
		m.young, m.old = map[uint64]struct{}{}, m.young // to clear the older one would hold everybody up
	}
	m.young[h] = struct{}{}
}

// An arena is records of one kind by number, from 1; those given back are used again.
type arena[T any] struct {
	list []T
	gone []uint32
}

func (a *arena[T]) take() uint32 {
	if n := len(a.gone); n > 0 {
		at := a.gone[n-1]
		a.gone = a.gone[:n-1]
		return at
	}
	var none T
	if len(a.list) == 0 {
		a.list = append(a.list, none)
	}
	a.list = append(a.list, none)
	return uint32(len(a.list) - 1)
}

func (a *arena[T]) give(at uint32) { a.gone = append(a.gone, at) }

// names are texts by number; 0 is the empty one.
type names struct {
	list   []string
	byName map[string]uint32
}

func newNames() names { return names{[]string{""}, map[string]uint32{}} }

func (n *names) of(s string) uint32 {
	if s == "" {
		return 0
	}
	at, known := n.byName[s]
	if !known {
		s = strings.Clone(s)
		at = uint32(len(n.list))
		n.list = append(n.list, s)
		n.byName[s] = at
	}
	return at
}
