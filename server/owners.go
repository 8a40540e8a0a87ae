package server

import (
	"context"
	"errors"
	"slices"
	"sync"

	"rollcall/protocol"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// owners are the devices of each user, for the device limit (AUTH-47). A device that is another user's since may
// still be among them: the record decides.
type owners struct {
	mu sync.Mutex
	of map[delivery.UserID][]protocol.Device
}

func (o *owners) add(u delivery.UserID, d protocol.Device) {
	if u == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Contains(o.of[u], d) {
		o.of[u] = append(o.of[u], d)
	}
}

func (o *owners) remove(u delivery.UserID, d protocol.Device) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := slices.Index(o.of[u], d); i >= 0 {
		o.of[u] = slices.Delete(o.of[u], i, i+1)
	}
}

func (o *owners) devices(u delivery.UserID) []protocol.Device {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.of[u])
}

// counted are the devices of u, but for one, that count against the limit at now.
func (s *Server) counted(ctx context.Context, now protocol.Time, u delivery.UserID, but protocol.Device) (n int, err error) {
	within := s.World().Settings.Counted
	counts := func(st *delivery.State) {
		if st.Device != but && st.User == u && st.Life == delivery.Enrolled && authority.Counts(now, st.Registered, st.LastSeen, within) {
			n++
		}
	}
	if s.alone != nil {
		for _, d := range s.owners.of[u] {
			if st := s.alone.store.Lend(d); st != nil {
				counts(st)
			}
		}
		return n, nil
	}
	for _, d := range s.owners.devices(u) {
		r, err := s.store.Record(ctx, d)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, err
		}
		if err == nil {
			counts(&r.State)
		}
	}
	return n, nil
}
