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
	mu   sync.Mutex
	of   [][2]protocol.Device                  // by user; 0: none. Most users have no more
	more map[delivery.UserID][]protocol.Device // the rest of those who have
}

func (o *owners) add(u delivery.UserID, d protocol.Device) {
	if u == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for int(u) >= len(o.of) {
		o.of = append(o.of, [2]protocol.Device{})
	}
	first := &o.of[u]
	switch {
	case first[0] == d || first[1] == d || slices.Contains(o.more[u], d):
	case first[0] == 0:
		first[0] = d
	case first[1] == 0:
		first[1] = d
	default:
		if o.more == nil {
			o.more = map[delivery.UserID][]protocol.Device{}
		}
		o.more[u] = append(o.more[u], d)
	}
}

func (o *owners) remove(u delivery.UserID, d protocol.Device) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if int(u) >= len(o.of) {
		return
	}
	for i, x := range o.of[u] {
		if x == d {
			o.of[u][i] = 0
			return
		}
	}
	if i := slices.Index(o.more[u], d); i >= 0 {
		o.more[u] = slices.Delete(o.more[u], i, i+1)
	}
}

// devices appends the devices of u to dst.
func (o *owners) devices(dst []protocol.Device, u delivery.UserID) []protocol.Device {
	o.mu.Lock()
	defer o.mu.Unlock()
	if int(u) >= len(o.of) {
		return dst
	}
	for _, d := range o.of[u] {
		if d != 0 {
			dst = append(dst, d)
		}
	}
	return append(dst, o.more[u]...)
}

// counted are the devices of u, but for one, that count against the limit at now: those too that have begun to enrol, or whoever begins
// with many at once would have them all.
func (s *Server) counted(ctx context.Context, now protocol.Time, u delivery.UserID, but protocol.Device) (n int, err error) {
	within := s.World().Settings.Counted
	counts := func(st *delivery.State) {
		begun := st.Life == delivery.Enrolling && st.Registered == protocol.Unknown
		known := (st.Life == delivery.Enrolled && !st.Departing() || st.Life == delivery.Enrolling) && authority.Counts(now, st.Registered, st.LastSeen, within)
		if st.Device != but && st.User == u && (begun || known) {
			n++
		}
	}
	if s.alone != nil {
		for _, d := range s.alone.devicesOf(s, u) {
			if st := s.alone.store.Lend(d); st != nil {
				counts(st)
			}
		}
		return n, nil
	}
	for _, d := range s.owners.devices(nil, u) {
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
