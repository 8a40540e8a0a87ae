package server

import (
	"context"
	"errors"
	"fmt"

	"rollcall/protocol"
	"rollcall/server/delivery"
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
func (s *Server) attempt(ctx context.Context, now protocol.Time, who Actor, what string, may bool, do func() error) error {
	err := error(nil)
	if !may {
		err = refuse(protocol.RuleRoles, "%s needs the role of an Intune or a global administrator; %s has %s", what, who.Name, who.Role)
	} else {
		err = do()
	}
	no, ok := errors.AsType[*protocol.Refusal](err)
	if !ok {
		return err
	}
	lines := who.sign(line(delivery.WhatDenied, no.Rule, what+": "+no.Reason))
	if kept := s.store.Apply(ctx, now, &store.Change{Lines: lines}); kept != nil {
		return fmt.Errorf("%s is refused, and the journal cannot say so: %w", what, kept)
	}
	return err
}

// sign says in journal lines who did it.
func (a Actor) sign(lines []delivery.Effect) []delivery.Effect {
	for i := range lines {
		lines[i].Actor = a.Name
	}
	return lines
}
