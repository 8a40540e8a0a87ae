package store

import (
	"context"
	"fmt"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// Apply keeps a change of the catalogue. The devices to be woken are held for it: a round that was decided before must not
// undo the wake-up.
func (m *Memory) Apply(ctx context.Context, now protocol.Time, c *Change) error {
	if m.mu.alone {
		return m.applyAlone(now, c)
	}
	m.applying.Lock() // one at a time: two that hold devices in different orders would wait for each other
	defer m.applying.Unlock()
	held := make(map[protocol.Device]*record, len(c.Wake))
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, r := range held {
			r.release()
		}
	}()
	for _, d := range c.Wake {
		if held[d] != nil {
			continue
		}
		tx, err := m.Begin(ctx, d)
		if err != nil {
			return err
		}
		held[d] = tx.(*record)
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("catalogue: %w", ErrClosed)
	}
	m.content = m.content.With(c)
	for i, d := range c.Wake {
		r := held[d]
		r.state.Wake = r.state.Wake.Ask(c.WakeAt.Add(time.Duration(i)*c.Spacing), delivery.Changed)
		m.schedule(r)
	}
	for i := range c.Lines {
		m.effect(now, 0, &c.Lines[i])
	}
	return nil
}

// applyAlone is Apply where nobody holds a device. Licences change in place: the content that was loaded before has the new ones too.
func (m *Memory) applyAlone(now protocol.Time, c *Change) error {
	if m.closed {
		return fmt.Errorf("catalogue: %w", ErrClosed)
	}
	for _, d := range c.Wake {
		if m.find(d) == nil {
			return fmt.Errorf("device %d: %w", d, ErrNotFound)
		}
	}
	if m.content.Relicenses(c) {
		m.content.relicense(c)
	} else {
		m.content = m.content.With(c)
	}
	for i, d := range c.Wake {
		r := m.find(d)
		r.state.Wake = r.state.Wake.Ask(c.WakeAt.Add(time.Duration(i)*c.Spacing), delivery.Changed)
		m.schedule(r)
	}
	for i := range c.Lines {
		m.effect(now, 0, &c.Lines[i])
	}
	return nil
}
