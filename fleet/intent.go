package fleet

import (
	"time"

	"rollcall/agent/link"
	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// An intent tells the ledger what the plan has the administration asked for, and who can be asked for it. Of profiles it
// knows as long as one authority has all devices: where each device's profiles come from depends on who manages it, which
// is the server's to say (package rehearsal holds its word against the device). Nor does it know of those of Windows devices that
// Configuration Manager may manage. The zero intent tells nobody.
type intent struct {
	ledger   *ledger.Ledger
	profiles bool
	groups   map[string]map[string]bool // that have a profile, by its name
	held     bool
	checked  protocol.Time
}

// checkEvery is how often the ledger looks for what is beyond its bound.
const checkEvery = 10 * time.Minute

func newIntent(c *Config) intent {
	n := intent{ledger: c.Ledger, profiles: !c.Population.Tenant.Coexistence, groups: map[string]map[string]bool{}}
	for i := range c.Plan.Timeline {
		if a := &c.Plan.Timeline[i]; a.Authority != nil || a.Licences != nil || a.SupportMove != nil {
			n.profiles = false
		}
	}
	n.profiles = n.profiles && n.ledger != nil
	return n
}

// assigns notes that a profile is given to a group now, or taken from it.
func (f *Fleet) assigns(now protocol.Time, profile, group string, given bool) {
	n := &f.intent
	if !n.profiles {
		return
	}
	if n.groups[profile] == nil {
		n.groups[profile] = map[string]bool{}
	}
	n.groups[profile][group] = given
	x := ProfileOf(f.plan, profile)
	if SlotOf(f.population) == protocol.SCCM {
		x.Node = ""
	}
	for i := range f.population.Devices {
		d := &f.population.Devices[i]
		if d.Userless() {
			continue
		}
		user := &f.population.Users[d.User]
		own := ""
		if user.Group >= 0 {
			own = f.population.Groups[user.Group]
		}
		if group != plan.All && group != own {
			continue
		}
		if on := n.groups[profile][plan.All] || n.groups[profile][own]; given || !on {
			x.Meant(now, n.ledger, protocol.Device(i+1), d.Platform, given)
		}
	}
}

// ordered notes an order that was asked for at a time and has just been taken.
func (f *Fleet) ordered(asked protocol.Time, i int, id string, kind protocol.CommandKind) {
	if f.intent.ledger == nil || id == "" {
		return
	}
	d := protocol.Device(i + 1)
	f.intent.ledger.Ordered(asked, d, id, kind.String(), 0)
	f.intent.ledger.Taken(f.clock.Now(), d, id)
}

// saw notes what one request of a device told.
func (f *Fleet) saw(d protocol.Device, x *link.Exchange) {
	if f.intent.ledger == nil {
		return
	}
	begun, now := protocol.At(x.Begun), f.clock.Now()
	if f.clock.driven {
		begun = now // it stands still meanwhile
	}
	f.intent.ledger.Exchanged(begun, now, d, x)
}

// lives notes what has become of device i.
func (f *Fleet) lives(now protocol.Time, i int, what What) {
	l, d := f.intent.ledger, protocol.Device(i+1)
	of := f.population.Devices[i].Platform
	if l == nil {
		return
	}
	switch what {
	case Joined:
		if of.Apple() { // the others have said so themselves
			l.Enrolled(now, d)
		}
	case Removed, Wiped:
		if of.Apple() || !f.enrolled(i) { // it may have enrolled again since
			l.Ended(now, d)
		}
	case Left, Locked:
		l.Left(d)
	case Returned:
		if !f.devices[i].locked {
			l.Returned(now, d)
		}
	}
}

// holds notes whether the server answers nobody, down or by rule.
func (f *Fleet) holds(now protocol.Time, held bool) {
	n := &f.intent
	if n.ledger == nil || held == n.held {
		return
	}
	if n.held = held; held {
		n.ledger.Held()
	} else {
		n.ledger.Resumed(now)
	}
}

// strands notes that no push reaches those any more who are enrolled now (AUTH-32). f.mu is held.
func (f *Fleet) strands() {
	for i := range f.devices {
		if f.intent.ledger != nil && f.devices[i].managed && f.population.Devices[i].Platform.Apple() {
			f.intent.ledger.Left(protocol.Device(i + 1))
		}
	}
}

// faults is how many commands and profiles went wrong so far.
func (f *Fleet) faults() uint64 {
	if f.intent.ledger == nil {
		return 0
	}
	c := f.intent.ledger.Counts()
	return c.Faults()
}

// checks has the ledger look now and then.
func (f *Fleet) checks(now protocol.Time) {
	if n := &f.intent; n.ledger != nil && now.Sub(n.checked) >= checkEvery {
		n.checked = now
		n.ledger.Check(now)
	}
}
