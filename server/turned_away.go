package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
	"rollcall/server/logs"
	"rollcall/server/store"
)

// The journal hears once in an hour of each person or device that a rule refuses an enrolment profile, and of so many
// together: whoever opens a link again and again fills nothing (HST-045).
const (
	turnedHour = time.Hour
	mostTurned = 1000
)

// turned are those whom the journal heard of since an hour began.
type turned struct {
	mu    sync.Mutex
	since protocol.Time
	told  map[string]struct{} // by who and rule
}

// first tells whether this refusal is to be told, and whether it is the last that will be in this hour.
func (t *turned) first(now protocol.Time, key string) (first, last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.told == nil || now.Sub(t.since) >= turnedHour || now < t.since {
		t.since, t.told = now, make(map[string]struct{})
	}
	if _, told := t.told[key]; told || len(t.told) >= mostTurned {
		return false, false
	}
	t.told[key] = struct{}{}
	return true, len(t.told) == mostTurned
}

// TurnedAway writes into the journal that a device got no enrolment profile, before it could say which one it is, and by which
// rule (AUTH-47). Who is whose link it had, or what its factory signed; empty: nobody knows. Of a refusal that comes again
// within the hour it writes nothing, and of so many in an hour only that there are more (HST-045).
func (s *Server) TurnedAway(ctx context.Context, now protocol.Time, who string, no *protocol.Refusal) error {
	first, last := s.turned.first(now, string(no.Rule)+" "+who)
	if !first {
		return nil
	}
	if who == "" {
		who = "somebody"
	}
	lines := line(delivery.WhatRefused, no.Rule, "enrolment of "+logs.Escape(who)+": "+no.Reason)
	if last {
		lines = append(lines, line(delivery.WhatRefused, "HST-045", fmt.Sprintf("%d refused enrolments in an hour: of more only the log tells", mostTurned))...)
	}
	for i := range lines {
		lines[i].Actor = actorDevice
	}
	if err := s.apply(ctx, now, &store.Change{Lines: lines}); err != nil {
		return fmt.Errorf("an enrolment is refused, and the journal cannot say so: %w", err)
	}
	return nil
}
