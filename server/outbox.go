package server

import (
	"context"

	"rollcall/protocol"
)

// Next returns when Tick has something to do; 0: nothing is due ever. Wake-ups that are held because the push
// certificate is unusable do not count.
func (s *Server) Next(ctx context.Context) (protocol.Time, error) { return 0, nil }

// Tick does everything that is due at now: wake-ups, at least once each, and the clean-up of records. It returns when
// all of it is answered and committed.
func (s *Server) Tick(ctx context.Context, now protocol.Time) error { return nil }

// Run calls Tick whenever something is due by clock, until ctx ends. Only a failing store ends it sooner.
func (s *Server) Run(ctx context.Context, clock func() protocol.Time) error { return nil }
