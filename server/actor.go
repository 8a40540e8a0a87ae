package server

import (
	"context"
	"errors"
	"fmt"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/logs"
	"rollcall/server/store"
)

// An Actor is who asks for a change. The API makes one of the token that came with the request; the lab is System.
type Actor struct {
	Name string // of the token or the account, for the journal
	Role store.Role
}

// System is the server itself and whoever holds its data folder.
var System = Actor{Name: "system", Role: store.GlobalAdministrator}

// attempt holds an actor against what the change needs, and journals the refusal, of the role or of the change itself:
// every attempt is in the journal, the taken ones by the change's own line (AUTH-08). The caller has s.admin.
func (s *Server) attempt(ctx context.Context, now protocol.Time, who Actor, what string, may bool, do func(ctx context.Context) error) error {
	ctx = As(ctx, who.Name)
	err := error(nil)
	if !may {
		err = refuse(protocol.RuleRoles, "%s needs the role of an Intune or a global administrator; %s has %s", what, who.Name, who.Role)
	} else {
		err = do(ctx)
	}
	no, ok := errors.AsType[*protocol.Refusal](err)
	if !ok {
		return err
	}
	if kept := s.Deny(ctx, now, who, what, no); kept != nil {
		return kept
	}
	return &Denied{err}
}

// unchanged writes into the journal that what was wanted is so already: that attempt, too, is there (AUTH-08).
func (s *Server) unchanged(ctx context.Context, now protocol.Time, what string) error {
	return s.apply(ctx, now, &store.Change{Lines: line(delivery.WhatUnchanged, protocol.RuleRoles, what)})
}

// A Denied is a refusal that stands in the journal.
type Denied struct{ error }

// Unwrap returns the refusal.
func (d *Denied) Unwrap() error { return d.error }

// Deny writes into the journal that who was refused what.
func (s *Server) Deny(ctx context.Context, now protocol.Time, who Actor, what string, no *protocol.Refusal) error {
	lines := who.sign(line(delivery.WhatDenied, no.Rule, logs.Escape(what+": "+no.Reason)))
	if err := s.apply(ctx, now, &store.Change{Lines: lines}); err != nil {
		return fmt.Errorf("%s is refused, and the journal cannot say so: %w", what, err)
	}
	return nil
}

// sign says in journal lines who did it.
func (a Actor) sign(lines []delivery.Effect) []delivery.Effect {
	for i := range lines {
		lines[i].Actor = a.Name
	}
	return lines
}

// administers tells whether a may change the authority and what belongs to the tenant.
func (a Actor) administers() bool { return a.Role >= store.IntuneAdministrator }

// helps tells whether a may give orders to devices.
func (a Actor) helps() bool { return a.Role >= store.Helpdesk }
