package server

import (
	"context"
	"errors"
	"fmt"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// Gate says by which gate of AUTH-47 an enrolment with m would be refused now, and how; [authority.Open] and nil: it may go on. It
// changes nothing, and is for platforms that give a certificate before the device's hello, which decides again.
func (s *Server) Gate(ctx context.Context, now protocol.Time, user delivery.UserID, m *delivery.Message, id string) (authority.Gate, *protocol.Refusal, error) {
	device, err := s.store.Device(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, nil, err
	}
	w := s.World()
	e := w.Enrolment(now, authority.Device{Platform: m.Platform, CoManaged: m.CoManaged}, false)
	e.Way, e.OtherMDM = m.Way, m.OtherMDM
	if e.Devices, err = s.counted(ctx, now, user, device); err != nil {
		return 0, nil, err
	}
	gate, no := authority.Admit(w.Tenant, w.User(user), e)
	return gate, no, nil
}

// Displace ends the enrolments that the same machine of the same user has under other names than id, and revokes their identities
// (WIN-024). Whose a machine is, only its user's credential proves: what it says of its hardware ends nobody else's enrolment.
func (s *Server) Displace(ctx context.Context, now protocol.Time, user delivery.UserID, hardware, id string) error {
	if user == 0 || hardware == "" {
		return nil
	}
	for _, d := range s.owners.devices(nil, user) {
		r, err := s.store.Record(ctx, d)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("device %d, which may have been the same machine: %w", d, err)
		}
		if r.ID == id || r.Facts.Hardware != hardware || r.State.User != user {
			continue
		}
		ev := delivery.Event{Kind: delivery.Displaced, Device: d}
		if err := s.Handle(ctx, now, &ev, new(delivery.Outcome)); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}
