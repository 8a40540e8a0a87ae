package server

import (
	"context"
	"crypto/tls"

	"github.com/sirupsen/logrus"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/push"
	"rollcall/server/store"
)

// A Config says what a server is made of.
type Config struct {
	Store store.Store // the server does not close it
	Push  push.Pusher // nil: wake-ups stay due

	// Renewal returns the enrolment profile of a device for the renewal of its identity, with this challenge in its
	// SCEP payload and all else as the device has it (APL-090). The same arguments must give the same bytes: a profile
	// may be handed out again. Called while the device is held, so it must not call Handle for it. Nil: no identity renews.
	Renewal func(ctx context.Context, now protocol.Time, s *delivery.State, challenge string) ([]byte, error)

	// SetPushCertificate is told the certificate that wake-ups go out with, by Open and after each upload. Nil: nobody.
	SetPushCertificate func(cert tls.Certificate, topic string)

	// Observe is called after each commit, before anybody else gets the device. What it is given is only read and not
	// kept. Nil: nobody.
	Observe func(now protocol.Time, ev *delivery.Event, before, after *delivery.State, out *delivery.Outcome)

	Log  logrus.FieldLogger // nil: silent
	Rand func() uint64      // seeds of command ids and jitter, never secrets; safe for concurrent use; nil: math/rand/v2
}

// Server is a tenant's MDM server without its sockets and its clock. Safe for concurrent use.
type Server struct {
	store store.Store
	cfg   Config
}

// Open makes a server of what cfg.Store keeps.
func Open(ctx context.Context, now protocol.Time, cfg Config) (*Server, error) { return nil, nil }

// World is the present snapshot of what the tenant wants. Read only.
func (s *Server) World() *delivery.World { return nil }

// Content is the present snapshot of what administrators decided. Read only.
func (s *Server) Content() *store.Content { return nil }

// Store is where the server keeps its state; for reading.
func (s *Server) Store() store.Store { return s.store }

// Handle takes one event: a round of a check-in, the report of a push, an administrator's order. New state, effects and
// answer are one durable commit; until then nothing has left the process. A refusal is committed as well (its journal
// line counts) and comes back as a [*protocol.Refusal], wrapped. Of a check-in round the device is found by ev.ID where
// that is given, else by ev.Device; a device that is unknown is store.ErrNotFound.
func (s *Server) Handle(ctx context.Context, now protocol.Time, ev *delivery.Event, out *delivery.Outcome) error {
	return nil
}
