package server

import (
	"context"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// A GapState is how Apple's push certificates stand (AUTH-30, AUTH-33).
type GapState struct {
	Open      bool
	Since     protocol.Time
	Platforms []protocol.Platform // whose check-ins and enrolments are refused
	Slot      protocol.Authority  // whose certificate is waited for, or in use
	Topic     string              // that an upload should have: the one that enrolled devices know; empty: none yet
	AppleID   string              // under which that certificate was made
	Ended     bool                // the certificate in use has ended or is refused by the push service
	Held      int                 // enrolled devices of these platforms that cannot be woken now
	Blocked   int                 // of these, pending or stale
}

// Gap says how the gap stands at now. It looks at all devices.
func (s *Server) Gap(ctx context.Context, now protocol.Time) (GapState, error) {
	snap := s.snap.Load()
	w := snap.world
	g := GapState{Open: w.Gap != 0, Since: w.Gap, Slot: w.Tenant.Slot()}
	if cert := snap.content.Latest(); cert != nil {
		g.Topic, g.AppleID = cert.Topic, cert.AppleID
	}
	g.Ended = w.Push.Topic != "" && !w.Push.Usable(now)
	for _, p := range protocol.Platforms {
		if w.InGap(p) {
			g.Platforms = append(g.Platforms, p)
		}
	}
	if !g.Open && !g.Ended {
		return g, nil
	}
	return g, s.store.States(ctx, func(st *delivery.State) {
		if st.Life != delivery.Enrolled || !st.Platform.Apple() || !g.Ended && !w.InGap(st.Platform) {
			return
		}
		g.Held++
		if _, pending, stale := w.Target(st); st.User != 0 && (pending || stale) {
			g.Blocked++
		}
	})
}
