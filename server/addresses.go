package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// addresses tell which device said last that something is its own, a push token (HST-084) or a name in the directory, or first, its
// serial number (HST-051). An entry may be
// out of date: the record decides.
type addresses struct {
	mu   sync.Mutex
	seed maphash.Seed
	of   map[uint64]protocol.Device // by hash of the token
}

func (a *addresses) open() { a.seed, a.of = maphash.MakeSeed(), make(map[uint64]protocol.Device) }

func (a *addresses) add(token []byte, d protocol.Device) {
	if len(token) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of[maphash.Bytes(a.seed, token)] = d
}

// claim is add unless somebody has it, and returns who has it then.
func (a *addresses) claim(token []byte, d protocol.Device) protocol.Device {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := maphash.Bytes(a.seed, token)
	if has := a.of[key]; has != 0 {
		return has
	}
	a.of[key] = d
	return d
}

func (a *addresses) device(token []byte) protocol.Device {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.of[maphash.Bytes(a.seed, token)]
}

// displace gives the token of st, which has just said that it is its own, to it alone: whoever else had it is no longer there,
// and a push for it would wake this one.
func (s *Server) displace(ctx context.Context, now protocol.Time, st *delivery.State) error {
	token, topic, d := st.Push.Token, st.Push.Topic, st.Device
	if len(token) == 0 || st.Life != delivery.Enrolled {
		return nil
	}
	if other := s.addresses.device(token); other != 0 && other != d {
		r, err := s.store.Record(ctx, other)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("device %d, whose push token it was: %w", other, err)
		}
		if p := &r.State.Push; err == nil && p.Topic == topic && bytes.Equal(p.Token, token) {
			ev := delivery.Event{Kind: delivery.PushReport, Device: other}
			report := pushed{to: *p, result: delivery.BadAddress}
			report.tell(&ev)
			if err := s.Handle(ctx, now, &ev, new(delivery.Outcome)); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
	}
	s.addresses.add(token, d)
	return nil
}
