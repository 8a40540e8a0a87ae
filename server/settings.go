package server

import (
	"context"
	"errors"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// SetSettings replaces the tenant's settings. Values outside what the rules allow are refused by rule.
func (s *Server) SetSettings(ctx context.Context, now protocol.Time, who Actor, set delivery.Settings) error {
	return errors.ErrUnsupported
}

// SetCleanUp sets the clean-up rule: records silent for this many days, 30 to 270, are deleted; 0 switches it off (AUTH-48).
func (s *Server) SetCleanUp(ctx context.Context, now protocol.Time, who Actor, days int) error {
	return errors.ErrUnsupported
}
