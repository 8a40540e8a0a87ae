package fleet

import (
	"context"

	"rollcall/agent/dialect"
	"rollcall/agent/link"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A Device is one device of any platform, without its network.
type Device interface {
	link.Device
	Due() protocol.Time                     // when it wants to begin a conversation by itself; 0: not until something happens
	Drops() protocol.Time                   // when profiles leave it by themselves (AUTH-27); 0: none will
	Expire(now protocol.Time) (dropped int) // has them leave while it is off the network
	Woken(address string) bool              // tells whether a push to that address, or with that magic, wakes it
	Identity() dialect.Identity
}

// enrol runs the enrolment of device i.
func (f *Fleet) enrol(ctx context.Context, i int, url string) (link.Report, error) {
	p := &f.population.Devices[i]
	d := f.devices[i].Device.(*dialect.Apple)
	return f.link.Enrol(ctx, d, dialect.Start{URL: url, ADE: p.Enrolment == population.Automated, Awaiting: p.Enrolment == population.Automated})
}

// address returns where device i is woken now; empty: nowhere.
func (f *Fleet) address(i int) string {
	_, token, _ := f.devices[i].Device.(*dialect.Apple).Push()
	return string(token)
}

// plug connects device i to the push service, unplug takes it off.
func (f *Fleet) plug(i int) {
	if topic, token, _ := f.devices[i].Device.(*dialect.Apple).Push(); token != nil {
		f.push.RegisterToken(topic, token)
		if f.pushDown.Load() {
			return
		}
		f.push.Connect(token, func(payload []byte) {
			if magic, err := apple.DecodePush(payload); err == nil { // a device drops what is no MDM push
				f.pushed(i, magic)
			}
		})
	}
}

func (f *Fleet) unplug(i int) {
	if address := f.address(i); address != "" {
		f.push.Disconnect([]byte(address))
	}
}

// forget has the push service forget an address that device i had; empty: it had none.
func (f *Fleet) forget(i int, address string) {
	if address != "" {
		f.push.Unregister([]byte(address))
	}
}

// pushed takes a push for device i; the device hears of it when the fleet next looks. Called by the push service, also
// while f.mu is held.
func (f *Fleet) pushed(i int, magic string) {
	f.mailbox.Lock()
	lost := f.lost(i)
	if !lost {
		f.woken = append(f.woken, wake{i, magic})
	}
	f.mailbox.Unlock()
	if lost {
		f.tally.add(f.clock.Now(), func(c *Counts, _ *Bin) { c.Lost++ })
		return
	}
	select {
	case f.nudge <- struct{}{}:
	default:
	}
}
