package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rollcall/protocol"
)

// How long a preview is kept for whoever confirms it, how many are, and how many bytes of what they showed together. The one that
// was shown last is kept in any case.
const (
	PreviewLife   = 7 * 24 * time.Hour
	PreviewsKept  = 100
	PreviewsBytes = 64 << 20
)

// A Preview is what an administrator was shown of a change, by the identity that confirms it.
type Preview struct {
	ID    string
	At    protocol.Time // when it was shown, last
	Shown []byte        // as the server writes it
}

// Previews keeps what was shown, so that a confirmation can be told what is other by then (HST-070).
type Previews interface {
	// KeepPreview keeps p, or says of the one with its ID that it was shown again. Those that were shown more than PreviewLife
	// before it are dropped, and the oldest ones beyond the other two bounds.
	KeepPreview(ctx context.Context, p *Preview) error

	// Preview returns the one with this ID, or ErrNotFound.
	Preview(ctx context.Context, id string) (*Preview, error)
}

// KeepPreview keeps what was shown.
func (m *Memory) KeepPreview(_ context.Context, p *Preview) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("preview: %w", ErrClosed)
	}
	kept := *p
	size, count := len(p.Shown), 1
	list := []Preview{kept} // newest first
	for i := range m.previews {
		q := &m.previews[i]
		if q.ID == p.ID {
			continue
		}
		count, size = count+1, size+len(q.Shown)
		if count > PreviewsKept || size > PreviewsBytes {
			break
		}
		if q.At >= p.At.Add(-PreviewLife) {
			list = append(list, *q)
		}
	}
	m.previews = list
	return nil
}

// Preview returns what was shown under this ID.
func (m *Memory) Preview(_ context.Context, id string) (*Preview, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.previews, func(p Preview) bool { return p.ID == id })
	switch {
	case m.closed:
		return nil, fmt.Errorf("preview: %w", ErrClosed)
	case i < 0:
		return nil, fmt.Errorf("preview %s: %w", id, ErrNotFound)
	}
	found := m.previews[i]
	return &found, nil
}
