package conformance

import (
	"net/http"

	"rollcall/fleet/target"
	"rollcall/protocol"
)

// probe finds out, once in a run, whether what the adapter queues reaches a device at all: a step that does nothing would
// make the server look as if it lost commands. Where the server keeps it from finding out, the checks find that themselves.
func (a *asking) probe() {
	if a.Steps.Queue == nil {
		return
	}
	a.probing.Lock()
	defer a.probing.Unlock()
	if a.probed {
		return
	}
	p := a.standing(protocol.IOS)
	ctx, cancel := a.administrator()
	_, err := a.Steps.Queue(ctx, p.udid, target.Order{Kind: kinds[0]})
	cancel()
	if err != nil {
		a.probed, a.queues = true, true // each check's own order tells it
		return
	}
	for range 2 {
		x := p.send(p.idle())
		if x.Status != http.StatusOK {
			return
		}
		if id, _ := p.command(x); id != "" {
			p.send(p.report(id, protocol.Acknowledged))
			a.probed, a.queues = true, true
			break
		}
		a.settle() // a server may take its time
	}
	a.probed = true
	a.joined = a.joined[:len(a.joined)-1] // nothing counts it among the devices of the check
	a.run.leave(a.ctx, []*phone{p})
}

// idleQueue tells whether the adapter's queue step was tried and does nothing.
func (a *asking) idleQueue() bool {
	a.probing.Lock()
	defer a.probing.Unlock()
	return a.probed && !a.queues
}
