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

// The journal hears once in an hour of each person or device that a rule refuses an enrolment profile or a certificate, and of a
// limited number together, so that nobody fills it by opening a link again and again (HST-045). Of strangers, of whom only the
// address is known, it hears of fewer, so that they leave room for those it knows.
const (
	turnedHour    = time.Hour
	mostTurned    = 1000
	mostStrangers = 100
)

// turned are those whom the journal heard of since an hour began.
type turned struct {
	mu        sync.Mutex
	since     protocol.Time
	told      map[string]struct{} // by what, who and rule
	strangers int                 // of these
}

// first tells whether this refusal is to be told, and whether it is the last of its kind that will be in this hour.
func (t *turned) first(now protocol.Time, key string, stranger bool) (first, last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.told == nil || now.Sub(t.since) >= turnedHour || now < t.since {
		t.since, t.told, t.strangers = now, make(map[string]struct{}), 0
	}
	_, told := t.told[key]
	switch {
	case told, len(t.told) >= mostTurned, stranger && t.strangers >= mostStrangers:
		return false, false
	}
	t.told[key] = struct{}{}
	if stranger {
		t.strangers++
	}
	return true, len(t.told) == mostTurned || stranger && t.strangers == mostStrangers
}

// mostImpostor is of how many refusals of one certificate for another device's name the journal hears in an hour.
const mostImpostor = 20

// impostors are the certificates that were refused for whose they are since an hour began.
type impostors struct {
	mu    sync.Mutex
	since protocol.Time
	times map[delivery.Fingerprint]int
}

// tell tells whether the journal is to hear of one refusal more.
func (i *impostors) tell(now protocol.Time, f delivery.Fingerprint) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.times == nil || now.Sub(i.since) >= turnedHour || now < i.since {
		i.since, i.times = now, make(map[delivery.Fingerprint]int)
	}
	if n, ok := i.times[f]; n == mostImpostor || !ok && len(i.times) == mostTurned {
		return false
	}
	i.times[f]++
	return true
}

// A Turned is somebody who was refused an enrolment profile or a certificate.
type Turned struct {
	Who         string // whose link or challenge it had, or what its factory signed; empty: nobody knows
	Address     string // host from which it came; empty: nobody knows
	Certificate bool   // it wanted a certificate, by SCEP; else an enrolment profile
}

// TurnedAway writes into the journal who got no enrolment profile, before it could say which device it is (AUTH-47), or no certificate
// (HST-037), and by which rule. It writes nothing of a refusal that comes again within the hour, and beyond a number in an hour only
// that there are more (HST-045).
func (s *Server) TurnedAway(ctx context.Context, now protocol.Time, t Turned, no *protocol.Refusal) error {
	what, who := "enrolment of ", t.Who
	if t.Certificate {
		what = "certificate for "
	}
	switch {
	case who != "":
	case t.Address != "":
		who = "somebody at " + t.Address
	default:
		who = "somebody"
	}
	first, last := s.turned.first(now, what+string(no.Rule)+" "+who, t.Who == "")
	if !first {
		return nil
	}
	lines := line(delivery.WhatRefused, no.Rule, what+logs.Escape(who)+": "+logs.Escape(no.Reason))
	if last {
		more := fmt.Sprintf("%d refused enrolments in an hour: of more only the log tells", mostTurned)
		if t.Who == "" {
			more = fmt.Sprintf("%d refused enrolments of strangers in an hour: of more only the log tells", mostStrangers)
		}
		lines = append(lines, line(delivery.WhatRefused, "HST-045", more)...)
	}
	for i := range lines {
		lines[i].Actor = actorDevice
	}
	if err := s.apply(ctx, now, &store.Change{Lines: lines}); err != nil {
		return fmt.Errorf("an enrolment is refused, and the journal cannot say so: %w", err)
	}
	return nil
}
