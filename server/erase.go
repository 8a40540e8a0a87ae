package server

import (
	"context"
	"errors"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A Wiping is one device of a wipe: what was ordered, or would be, or why not.
type Wiping struct {
	Device  protocol.Device
	ID      string
	Command protocol.CommandID
	No      error // it cannot be wiped; nil: it is
}

// PreviewWipe says which of these devices a wipe would erase, without erasing any. The error wraps store.ErrNotFound where
// one is not known.
func (s *Server) PreviewWipe(ctx context.Context, devices []protocol.Device) ([]Wiping, error) {
	out := make([]Wiping, len(devices))
	for i, d := range devices {
		r, err := s.store.Record(ctx, d)
		if err != nil {
			return nil, err
		}
		out[i] = Wiping{Device: d, ID: r.ID}
		if r.State.Life != delivery.Enrolled {
			out[i].No = refuse(protocol.RuleNotRenewed, "the device is not enrolled")
		}
	}
	return out, nil
}

// Wipe erases devices at their next check-in. For more than one device it needs their number, as typed by whoever wants it;
// all count against what an hour may do, and the journal says what is about to be done before the first order (HST-071). One
// that is not enrolled is refused by itself, and the others are erased.
func (s *Server) Wipe(ctx context.Context, now protocol.Time, who Actor, devices []protocol.Device, pin string, typed int) (out []Wiping, err error) {
	s.admin.Lock()
	err = s.attempt(ctx, now, who, "wipe", who.helps(), func(ctx context.Context) error {
		if out, err = s.PreviewWipe(ctx, devices); err != nil {
			return err
		}
		if len(devices) > 1 {
			if err := counted("the wipe erases", typed, len(devices)); err != nil {
				return err
			}
		}
		var ids []string
		for i := range out {
			if out[i].No == nil {
				ids = append(ids, out[i].ID)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		return s.spend(ctx, now, len(ids), "about to be wiped: "+someOf(ids))
	})
	s.admin.Unlock()
	if err != nil {
		return nil, err
	}
	ctx = As(ctx, who.Name)
	for i := range out {
		if out[i].No != nil && len(out) > 1 {
			continue
		}
		out[i].Command, out[i].No = s.Order(ctx, now, out[i].Device, protocol.Command{Kind: protocol.Erase, PIN: pin})
		if _, refused := errors.AsType[*protocol.Refusal](out[i].No); out[i].No != nil && !refused {
			return out, out[i].No // the caller may ask again: who has the order already gets a second one, which erases nothing more
		}
	}
	return out, nil
}

// A Deletion is one device whose record is removed.
type Deletion struct {
	Device protocol.Device
	ID     string
	Mode   android.Mode // of an Android device; empty: of another, or not known
	Erases bool         // the device has no other way out than to erase itself
	Gone   bool         // its record goes at once: it is not enrolled, and nobody is there to be told

	told bool // it is on its way out already
}

// PreviewDelete says what a deletion would do to these devices, and does nothing to any. The error wraps store.ErrNotFound where one
// is not known.
func (s *Server) PreviewDelete(ctx context.Context, devices []protocol.Device) ([]Deletion, error) {
	out := make([]Deletion, len(devices))
	for i, d := range devices {
		r, err := s.store.Record(ctx, d)
		if err != nil {
			return nil, err
		}
		out[i] = Deletion{Device: d, ID: r.ID, Gone: r.State.Life != delivery.Enrolled, told: s.World().Deleted(&r.State)}
		if r.State.Platform == protocol.Android {
			_, out[i].Mode, _ = AndroidEnrolment(&r.Facts)
			out[i].Erases = r.State.Life == delivery.Enrolled && keepsNothing(out[i].Mode)
		}
	}
	return out, nil
}

// keepsNothing tells whether an Android device in this mode ends its management only by erasing itself (android.md, section 7).
func keepsNothing(m android.Mode) bool { return m != "" && m.Removal() == "" }

// Delete retires devices and removes the record of each once it has heard of it (AUTH-53); one that is not enrolled is removed at once.
// It needs the number of those that thereby erase themselves, even of one, as typed by whoever wants it: the word delete does not say
// that they will. They count against what an hour may do, once each, and before the first order the journal says what is about to be
// done (HST-071).
func (s *Server) Delete(ctx context.Context, now protocol.Time, who Actor, devices []protocol.Device, typed int) (out []Deletion, err error) {
	s.admin.Lock()
	err = s.attempt(ctx, now, who, "delete", who.helps(), func(ctx context.Context) error {
		if out, err = s.PreviewDelete(ctx, devices); err != nil {
			return err
		}
		var ids []string // of those that are not told already
		erased := 0
		for i := range out {
			if !out[i].Erases {
				continue
			}
			if erased++; !out[i].told {
				ids = append(ids, out[i].ID)
			}
		}
		if err := counted("the deletion erases", typed, erased); err != nil || len(ids) == 0 {
			return err
		}
		return s.spend(ctx, now, len(ids), "about to be deleted, which erases them: "+someOf(ids))
	})
	s.admin.Unlock()
	if err != nil {
		return nil, err
	}
	ctx = As(ctx, who.Name)
	for i := range out {
		_, err := s.order(ctx, now, out[i].Device, protocol.Command{Kind: protocol.Retire, Text: delivery.AndDelete})
		if err != nil && !(errors.Is(err, store.ErrNotFound) && len(out) > 1) { // somebody else deleted it meanwhile
			return nil, err // the caller may ask again: who has heard already is told once
		}
	}
	return out, nil
}
