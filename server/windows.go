package server

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"

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
		if err := s.displaced(ctx, now, d); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) displaced(ctx context.Context, now protocol.Time, d protocol.Device) error {
	ev := delivery.Event{Kind: delivery.Displaced, Device: d}
	if err := s.Handle(ctx, now, &ev, new(delivery.Outcome)); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}

// ErrTwin is that a device of the directory is enrolled on another machine.
var ErrTwin = errors.New("the directory's device of this token is enrolled on another machine, which must leave first")

// Tie calls enrol, alone for a device of the directory: that has one enrolment at a time, or one token would do for any number of
// machines. Where it has one under another name than id, the error is [ErrTwin] unless the hardware is the same: then that one ends
// once enrol returns nil. With an empty directory it is only a call.
func (s *Server) Tie(ctx context.Context, now protocol.Time, directory, hardware, id string, enrol func() error) error {
	if directory == "" {
		return enrol()
	}
	lock := &s.ties[maphash.String(s.directory.seed, directory)%uint64(len(s.ties))]
	lock.Lock()
	defer lock.Unlock()
	other := s.directory.device([]byte(directory))
	r, err := s.store.Record(ctx, other)
	switch {
	case other == 0, errors.Is(err, store.ErrNotFound):
		return enrol()
	case err != nil:
		return fmt.Errorf("device %d, which may have been the same of the directory: %w", other, err)
	case r.ID == id, r.Facts.Directory != directory, !r.State.Holds(now):
		return enrol()
	case r.Facts.Hardware != hardware:
		return ErrTwin
	}
	if err := enrol(); err != nil {
		return err
	}
	return s.displaced(ctx, now, other)
}
