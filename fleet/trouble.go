package fleet

import (
	"time"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// BeforeSend plays resets, draws whether a busy server refuses, and has the push service know a device before the server can
// push to it.
func (f *Fleet) BeforeSend(d protocol.Device, s dialect.Step) bool {
	i := int(d) - 1
	if s == dialect.TokenUpdate {
		f.plug(i)
	}
	of := &f.devices[i]
	if hour := uint32(f.clock.Now().Sub(f.start) / time.Hour); hour != of.hour {
		of.hour, of.sends = hour, 0
	}
	of.sends++
	reset := f.struck(i, forReset, f.reset.Load())
	of.refused.Store(!reset && f.struck(i, forBusy, f.busyShare.Load()))
	if reset {
		f.tally.add(f.clock.Now(), func(c *Counts, _ *Bin) { c.Resets++ })
	}
	return !reset
}

// AfterSend plays answers that are lost.
func (f *Fleet) AfterSend(d protocol.Device, _ dialect.Step) bool {
	if !f.struck(int(d)-1, forDrop, f.drop.Load()) {
		return true
	}
	f.tally.add(f.clock.Now(), func(c *Counts, _ *Bin) { c.Dropped++ })
	return false
}

// struck tells whether device i's present request meets a fault of this share: the n-th request of an hour has the same
// luck in every run, whatever came before that hour. Only the device's own goroutine calls it.
func (f *Fleet) struck(i int, p purpose, share uint32) bool {
	d := &f.devices[i]
	return share > 0 && f.meets(plan.Share(share), i, p, uint64(d.hour)<<32|uint64(d.sends))
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

// Exchanged counts one request.
func (f *Fleet) Exchanged(d protocol.Device, x *link.Exchange) {
	f.tally.took(x)
	f.saw(d, x)
}
