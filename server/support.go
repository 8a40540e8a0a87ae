package server

import (
	"context"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// SupportMove has a userless device move to the authority that a user's device would have, at its next completed check-in
// (AUTH-18). A device with a user, or one that is where it belongs, is refused.
func (s *Server) SupportMove(ctx context.Context, now protocol.Time, who Actor, d protocol.Device) error {
	return s.helpDevice(ctx, now, who, "support move", func(ctx context.Context) error {
		ev := delivery.Event{Kind: delivery.Supported, Device: d}
		return s.Handle(ctx, now, &ev, new(delivery.Outcome))
	})
}

// Reenrol unenrols a device at its next check-in and returns the token of a single-use enrolment link for its user, so
// that it enrols again with the authority that resolves then (AUTH-44); of an Android device in the mode that it has. The record stays.
// An Android device that cannot leave without being erased is refused, and stays as it is.
func (s *Server) Reenrol(ctx context.Context, now protocol.Time, who Actor, d protocol.Device, lifetime time.Duration) (ticket string, err error) {
	err = s.helpDevice(ctx, now, who, "unenrol and enrol again", func(ctx context.Context) error {
		r, err := s.store.Record(ctx, d)
		if err != nil {
			return err
		}
		leave, stays := protocol.Command{Kind: protocol.Retire}, r.State.Life == delivery.Enrolled && !leaving(&r.State)
		if stays {
			if err := s.suits(ctx, now, d, &leave); err != nil {
				return err
			}
		}
		if r.State.Platform == protocol.Android { // no other link has it back, so there must be one before it leaves
			_, mode, _ := AndroidEnrolment(&r.Facts)
			ticket, err = s.InviteAndroid(ctx, now, r.State.User, mode, lifetime)
		} else {
			ticket, err = s.Invite(ctx, now, r.State.User, protocol.NoPlatform, lifetime)
		}
		if err == nil && stays {
			_, err = s.order(ctx, now, d, leave)
		}
		return err
	})
	return ticket, err
}

// Retire removes management from a device at its next check-in (AUTH-53); its personal data stays, and so does its record.
func (s *Server) Retire(ctx context.Context, now protocol.Time, who Actor, d protocol.Device) (id protocol.CommandID, err error) {
	err = s.helpDevice(ctx, now, who, "retire", func(ctx context.Context) error {
		id, err = s.Order(ctx, now, d, protocol.Command{Kind: protocol.Retire})
		return err
	})
	return id, err
}

// helpDevice is an action on one device. What the device's state refuses is in the journal by its own line.
func (s *Server) helpDevice(ctx context.Context, now protocol.Time, who Actor, what string, do func(ctx context.Context) error) error {
	if !who.helps() {
		s.admin.Lock()
		defer s.admin.Unlock()
		return s.attempt(ctx, now, who, what, false, nil)
	}
	return do(As(ctx, who.Name))
}
