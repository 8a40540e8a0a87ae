package server

import (
	"context"
	"errors"

	"rollcall/protocol"
)

// SupportMove has a userless device move to the authority that a user's device would have, at its next completed check-in
// (AUTH-18). A device with a user, or one that is where it belongs, is refused.
func (s *Server) SupportMove(ctx context.Context, now protocol.Time, who Actor, d protocol.Device) error {
	return errors.ErrUnsupported
}

// Reenrol unenrols a device at its next check-in and returns a single-use enrolment link's token for its user, so that it enrols again with
// the authority that resolves then (AUTH-44). The record stays.
func (s *Server) Reenrol(ctx context.Context, now protocol.Time, who Actor, d protocol.Device) (ticket string, err error) {
	return "", errors.ErrUnsupported
}

// Retire removes management from a device at its next check-in (AUTH-53); its personal data stays.
func (s *Server) Retire(ctx context.Context, now protocol.Time, who Actor, d protocol.Device) (protocol.CommandID, error) {
	return protocol.CommandID{}, errors.ErrUnsupported
}
