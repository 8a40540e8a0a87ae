package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// Records returns records by number.
func (m *Memory) Records(_ context.Context, after protocol.Device, n int) ([]Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	var out []Record
	for i := int(after) + 1; i < len(m.records) && len(out) < n; i++ {
		if r := m.records[i]; r != nil && r.kept {
			out = append(out, r.whole())
		}
	}
	return out, nil
}

// States calls f with each state.
func (m *Memory) States(ctx context.Context, f func(s *delivery.State)) error {
	const many = 1000 // others come between
	for i, n := 1, 2; i < n && ctx.Err() == nil; {
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			return ErrClosed
		}
		for n = len(m.records); i < n; i++ {
			if r := m.records[i]; r != nil && r.kept {
				f(&r.state)
			}
			if i%many == 0 {
				i++
				break
			}
		}
		m.mu.Unlock()
	}
	return ctx.Err()
}

// whole is the record as administrators see it. The caller has the lock.
func (r *record) whole() Record {
	whole := Record{ID: r.id, State: r.state}
	if facts := r.m.facts[r.number]; facts != nil {
		whole.Facts = *facts
	}
	return whole
}

// Record returns one record.
func (m *Memory) Record(_ context.Context, d protocol.Device) (Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Record{}, ErrClosed
	}
	if r := m.find(d); r != nil {
		return r.whole(), nil
	}
	return Record{}, fmt.Errorf("device %d: %w", d, ErrNotFound)
}

// History returns the commands of d.
func (m *Memory) History(_ context.Context, d protocol.Device, n int) ([]delivery.CommandChange, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	var out []delivery.CommandChange
	if r := m.find(d); r != nil && r.past != nil {
		for i := len(r.history) - 1; i >= 0 && len(out) < n; i-- {
			out = append(out, r.history[i])
		}
	}
	return out, nil
}

// Journal returns lines of the journal.
func (m *Memory) Journal(_ context.Context, f LineFilter, n int) ([]Line, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	var out []Line
	i, _ := slices.BinarySearchFunc(m.journal, f.After, func(l Line, seq uint64) int { return cmp.Compare(l.Seq, seq+1) })
	for ; i < len(m.journal) && len(out) < n; i++ {
		if f.picks(&m.journal[i]) {
			out = append(out, m.journal[i])
		}
	}
	return out, nil
}

// Removed returns the numbers of the removed records that the wire called id.
func (m *Memory) Removed(_ context.Context, id string) (numbers []protocol.Device, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	for d, name := range m.removed {
		if name == id {
			numbers = append(numbers, d)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// RemovedID returns what the wire called a device whose record was removed.
func (m *Memory) RemovedID(_ context.Context, d protocol.Device) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return "", ErrClosed
	}
	id, ok := m.removed[d]
	if !ok {
		return "", fmt.Errorf("removed device %d: %w", d, ErrNotFound)
	}
	return id, nil
}

// JournalEnd returns the number of the newest line.
func (m *Memory) JournalEnd(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, ErrClosed
	}
	return m.lines, nil
}

// VerifyJournal makes the chain of a journal that nobody else can reach, so that it has a head too.
func (m *Memory) VerifyJournal(context.Context) (head Head, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return head, ErrClosed
	}
	for i := range m.journal {
		head = head.Next(&m.journal[i])
	}
	return head, nil
}
