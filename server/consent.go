package server

import (
	"context"

	"rollcall/protocol"
	"rollcall/server/store"
)

// A Consent is one data-sharing consent, granted or not, with the list of what is shared (AUTH-05, AUTH-07).
type Consent struct {
	Service string // Graph's id: see Consents
	Title   string // the service's name
	With    string // whom the data goes to
	For     string // the operations that need it
	Shared  []SharedItem

	Granted bool
	By      string
	At      protocol.Time
}

// A SharedItem is one thing that goes to a third party, and why (AUTH-07).
type SharedItem struct{ Data, Why string }

// Consents lists all data-sharing consents, in a fixed order.
func (s *Server) Consents() []Consent { return nil }

// Consent grants the data-sharing consent of service, once and for all (AUTH-05). One that is granted stays as it is:
// who and when are those of the first time. The error wraps store.ErrNotFound when there is no such service.
func (s *Server) Consent(ctx context.Context, now protocol.Time, who Actor, service string) error {
	return store.ErrNotFound
}
