package device

import (
	"slices"
	"sync"
	"time"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// partsFor is how long a device that obeyed the order to leave may say farewell over a new connection. It says so at once or never.
const partsFor = time.Hour

// partings are the identities that were revoked because their devices obeyed the order to leave. Such a device says farewell with that
// identity, over the connection that it has or over another one: only for that, and only for a while, a handshake is let in with it
// (APL-036, WIN-040). A restart forgets them, and the farewell is lost, which harms nobody: it is one attempt, and the device goes anyway.
type partings struct {
	mu    sync.Mutex
	until map[delivery.Fingerprint]protocol.Time
	order []delivery.Fingerprint // the first to be forgotten first
}

// hear takes note of who obeyed that order in a decision.
func (p *partings) hear(now protocol.Time, out *delivery.Outcome) {
	obeyed := func(c delivery.CommandChange) bool {
		return c.Kind == protocol.Retire && c.Final && c.Status == protocol.Acknowledged
	}
	for _, e := range out.Effects {
		if e.Kind == delivery.Revoke && slices.ContainsFunc(out.Commands, obeyed) {
			p.add(now, e.Fingerprint)
		}
	}
}

func (p *partings) add(now protocol.Time, f delivery.Fingerprint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until[f] != 0 {
		return
	}
	over := 0
	for ; over < len(p.order) && p.until[p.order[over]] <= now; over++ {
		delete(p.until, p.order[over])
	}
	p.order = append(p.order[over:], f)
	if p.until == nil {
		p.until = make(map[delivery.Fingerprint]protocol.Time)
	}
	p.until[f] = now.Add(partsFor)
}

// has tells whether an identity may still say farewell.
func (p *partings) has(now protocol.Time, f delivery.Fingerprint) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now < p.until[f]
}
