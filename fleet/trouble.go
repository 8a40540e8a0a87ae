package fleet

import (
	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// BeforeSend plays resets, and has the push service know a device before the server can push to it.
func (f *Fleet) BeforeSend(d protocol.Device, s dialect.Step) bool {
	i := int(d) - 1
	if s == dialect.TokenUpdate {
		f.plug(i)
	}
	if !f.struck(i, forReset, f.reset.Load()) {
		return true
	}
	f.tally.add(f.clock.Now(), func(c *Counts, _ *Hour) { c.Resets++ })
	return false
}

// AfterSend plays answers that are lost.
func (f *Fleet) AfterSend(d protocol.Device, _ dialect.Step) bool {
	if !f.struck(int(d)-1, forDrop, f.drop.Load()) {
		return true
	}
	f.tally.add(f.clock.Now(), func(c *Counts, _ *Hour) { c.Dropped++ })
	return false
}

// struck tells whether device i's present request meets a fault of this share. Only the device's own goroutine calls it.
func (f *Fleet) struck(i int, p purpose, share uint32) bool {
	if share == 0 {
		return false
	}
	d := &f.devices[i]
	d.sends++
	return f.meets(plan.Share(share), i, p, uint64(d.sends))
}

// Exchanged counts one request.
func (f *Fleet) Exchanged(_ protocol.Device, x *link.Exchange) {
	f.tally.took(x)
}
