package server

import (
	"context"
	"sync"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// Who acts where no administrator does, as the journal has it.
const (
	actorServer = "system" // the server by itself, or whoever holds its data folder
	actorDevice = "device" // the device that the line is about
	actorPush   = "push service"
)

type actorKey struct{}

// As returns a context in which the administrator of this name acts: what is done with it stands under that name in the
// journal.
func As(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

// actorIn returns who acts in ctx; the server itself where nobody was named.
func actorIn(ctx context.Context) string {
	if name, ok := ctx.Value(actorKey{}).(string); ok {
		return name
	}
	return actorServer
}

// sign names the actor on those of effects that are journal lines without one, and tells whether there are journal lines.
func sign(effects []delivery.Effect, actor string) (lines bool) {
	for i := range effects {
		if e := &effects[i]; e.Kind == delivery.Journal {
			lines = true
			if e.Actor == "" {
				e.Actor = actor
			}
		}
	}
	return lines
}

// actorOf is who stands behind an event.
func actorOf(ctx context.Context, k delivery.Kind) string {
	switch k {
	case delivery.CheckInRound, delivery.IdentityIssued:
		return actorDevice
	case delivery.PushReport:
		return actorPush
	}
	return actorIn(ctx)
}

// apply makes a change of the catalogue durable, its journal lines signed.
func (s *Server) apply(ctx context.Context, now protocol.Time, c *store.Change) error {
	lines := sign(c.Lines, actorIn(ctx))
	err := s.store.Apply(ctx, now, c)
	if err == nil && lines {
		s.journal.ring()
	}
	return err
}

// A bell is for those who wait for the journal to grow.
type bell struct {
	mu   sync.Mutex
	rung chan struct{} // nil: nobody waits
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}

func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}

// JournalGrows returns a channel that is closed after the next line was committed to the journal. Take it before the
// journal is read, so that no line comes between.
func (s *Server) JournalGrows() <-chan struct{} { return s.journal.wait() }
