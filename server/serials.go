package server

import (
	"context"
	"errors"
	"fmt"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// tellTwin adds to a decision that the serial number which its device says of itself for the first time, or as it enrols, is that of
// another enrolled one too: cloned machines and some makers' defaults have it so (HST-051). Nobody is refused for it, since a serial
// number is what a device says and the identifier tells it apart; the journal has a line of each of both, which says what to do.
func (s *Server) tellTwin(ctx context.Context, ev *delivery.Event, out *delivery.Outcome) error {
	if s.alone != nil || out.Facts == nil || out.Changed&delivery.FactsToo == 0 || out.Facts.Serial == "" {
		return nil
	}
	serial, d := out.Facts.Serial, out.State.Device
	first := s.serials.claim([]byte(serial), d)
	if first == d {
		return nil
	}
	one, err := s.recordOf(ctx, first)
	if err != nil {
		return err
	}
	if one.Facts.Serial != serial || one.State.Life != delivery.Enrolled && one.State.Life != delivery.Enrolling {
		s.serials.add([]byte(serial), d)
		return nil
	}
	other, err := s.recordOf(ctx, d)
	if err != nil || other.Facts.Serial == serial && ev.Verb != protocol.Enrol {
		return err // it was told
	}
	tell := func(of protocol.Device, twin string) {
		out.Effects = append(out.Effects, delivery.Effect{
			Kind: delivery.Journal, Device: of, Rule: "HST-051", What: delivery.WhatSameSerial,
			Detail: fmt.Sprintf("%s is that of %s too: name both by their IDs, or delete the one that is not there any more (rollcall devices delete)", serial, twin),
		})
	}
	id := ev.ID
	if other.ID != "" {
		id = other.ID
	}
	tell(d, one.ID)
	tell(first, id)
	return nil
}

// recordOf is the record of a device; empty: it has none.
func (s *Server) recordOf(ctx context.Context, d protocol.Device) (store.Record, error) {
	r, err := s.store.Record(ctx, d)
	if errors.Is(err, store.ErrNotFound) {
		return store.Record{}, nil
	}
	return r, err
}
