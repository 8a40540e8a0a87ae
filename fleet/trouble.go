package fleet

import (
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// BeforeSend plays resets, draws whether a busy server refuses, and has the push service know a device before the server can
// push to it. A PC has its channel when its first session asks for it.
func (f *Fleet) BeforeSend(d protocol.Device, s dialect.Step) bool {
	i := int(d) - 1
	of := &f.devices[i]
	switch {
	case s == dialect.TokenUpdate, s == dialect.CheckIn && !of.managed:
		f.plug(i)
	case s == dialect.Session && !of.managed:
		f.open(i, f.clock.Now())
	}
	of.request = of.request.Next(f.clock.Now().Sub(f.start))
	reset := f.draws.Reset(i, of.request, plan.Share(f.reset.Load()))
	of.refused.Store(!reset && f.draws.Busy(i, of.request, plan.Share(f.busyShare.Load())))
	if reset {
		f.tally.add(f.clock.Now(), func(c *Counts, _ *Bin) { c.Resets++ })
	}
	return !reset
}

// AfterSend plays answers that are lost.
func (f *Fleet) AfterSend(d protocol.Device, _ dialect.Step) bool {
	if i := int(d) - 1; !f.draws.Dropped(i, f.devices[i].request, plan.Share(f.drop.Load())) {
		return true
	}
	f.tally.add(f.clock.Now(), func(c *Counts, _ *Bin) { c.Dropped++ })
	return false
}

// refuses tells whether a busy server answers d's present request 503.
func (f *Fleet) refuses(d protocol.Device) bool {
	i := int(d) - 1
	if i < 0 || i >= len(f.devices) || !f.devices[i].refused.Load() {
		return false
	}
	f.tally.add(f.clock.Now(), func(c *Counts, _ *Bin) { c.Busied++ })
	return true
}

// lost tells whether a push to device i vanishes: the n-th of an hour has the same luck in every run. f.mailbox is held.
func (f *Fleet) lost(i int) bool {
	d := &f.devices[i]
	d.pushes = d.pushes.Next(f.clock.Now().Sub(f.start))
	return f.draws.PushLost(i, d.pushes, plan.Share(f.lose.Load()))
}

// cutPush takes the push service away from all devices, or gives it back: then each gets the latest push that it missed.
func (f *Fleet) cutPush(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pushDown.Store(down)
	for i := range f.devices {
		switch d := &f.devices[i]; {
		case d.Device == nil || d.away != 0:
		case down:
			f.unplug(i)
		default:
			f.plug(i)
		}
	}
}

// Exchanged counts one request.
func (f *Fleet) Exchanged(d protocol.Device, x *link.Exchange) {
	f.tally.took(x)
	f.saw(d, x)
}
