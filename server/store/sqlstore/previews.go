package sqlstore

import (
	"context"
	"fmt"

	"rollcall/protocol"
	"rollcall/server/store"
)

// KeepPreview keeps what was shown.
func (s *Store) KeepPreview(_ context.Context, p *store.Preview) error {
	s.tick(p.At)
	return s.commit(changeFunc(func(w *writer) error {
		b := batch{w: w}
		b.do(putPreview, p.ID, int64(p.At), p.Shown)
		b.do(agePreviews, int64(p.At.Add(-store.PreviewLife)), p.ID)
		b.do(trimPreviews, int64(store.PreviewsKept), int64(store.PreviewsBytes))
		return b.err
	}))
}

// Preview returns what was shown under this ID.
func (s *Store) Preview(ctx context.Context, id string) (*store.Preview, error) {
	var p *store.Preview
	err := s.query(ctx, s.lists, selectFrom("previews", "at", "shown")+"WHERE id=?", func(r *row) {
		p = &store.Preview{ID: id, At: num[protocol.Time](r), Shown: r.blob()}
	}, id)
	if err == nil && p == nil {
		err = fmt.Errorf("preview %s: %w", id, store.ErrNotFound)
	}
	return p, err
}
