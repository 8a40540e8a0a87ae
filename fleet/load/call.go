package load

import (
	"strconv"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Called is how those came whom the last act called that has the server call everybody.
type Called struct {
	Devices int     `json:"devices" jsonschema_description:"that were enrolled when the server was asked to have everybody come"`
	Came    int     `json:"came" jsonschema_description:"of these, had a whole conversation that began after that"`
	Seconds float64 `json:"seconds" jsonschema_description:"from there to the end of the last one's, or to the end of the load if not all came"`
}

// called is that while the load runs, guarded by Load.mu.
type called struct {
	devices, owing int
	gone           int // who owed it when their enrolment ended
	from, last     time.Duration
	epoch          uint32 // of the change of authority that devices are to hear of; 0: there was none
}

// call notes that the server is asked to have everybody come.
func (l *Load) call(at time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.called
	*c = called{from: at, last: at, epoch: c.epoch}
	for _, d := range l.members {
		if b := &l.beds[l.number.of(d.Number())]; b.place != out {
			b.call |= owes
			c.owing++
		}
	}
	c.devices = c.owing
}

// answersCall notes that a device's conversation from began to now ended well, or its enrolment with it. l.mu is held.
func (l *Load) answersCall(b *bed, began, now time.Duration, well bool) {
	c := &l.called
	switch {
	case b.call&owes == 0 || well && began < c.from:
		return
	case well:
		c.last = now
	default:
		c.gone++
	}
	b.call &^= owes
	c.owing--
}

// hears tells the ledger what d knows of the change of authority. l.mu is held, and d does not talk.
func (l *Load) hears(of fleet.Device) {
	d, ok := of.(interface{ Epoch() uint32 })
	if !ok || l.beds[l.number.of(of.Number())].call&heeds == 0 {
		return
	}
	if epoch := l.called.epoch; epoch != 0 && l.config.Ledger != nil && d.Epoch() >= epoch {
		l.config.Ledger.Installed(protocol.At(l.now()), of.Number(), ledger.Change, strconv.Itoa(int(epoch)))
	}
}

// came tells whether all acts were played and all whom they called have come; where one could not be played, nobody waits for them.
func (l *Load) came() bool {
	l.played.mu.Lock()
	over, bad := l.played.over, l.played.bad
	l.played.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	return over && (bad || l.called.owing == 0)
}

// Changes notes that the administration has taken a change of authority, the tenant's epoch-th: every device that is
// enrolled, and can know a notice for its server's, is to hear of it.
func (l *Load) Changes(epoch uint32) {
	l.mu.Lock()
	l.called.epoch = epoch
	l.mu.Unlock()
	if l.config.Ledger == nil {
		return
	}
	now, version := protocol.At(l.now()), strconv.Itoa(int(epoch))
	for _, d := range l.members {
		if l.beds[l.number.of(d.Number())].call&heeds != 0 {
			l.config.Ledger.Wanted(now, d.Number(), ledger.Change, version)
		}
	}
}

// Assigns notes that the administration is asked now to have a profile on every device, or on none.
func (l *Load) Assigns(x fleet.Profile, on bool) {
	if l.config.Ledger == nil {
		return
	}
	now := protocol.At(l.now())
	for _, d := range l.members {
		x.Meant(now, l.config.Ledger, d.Number(), platformOf(d), on)
	}
}

// outcome tells how the call went; nil: nobody was called.
func (l *Load) outcome() *Called {
	c := &l.called
	if c.devices == 0 {
		return nil
	}
	last := c.last
	if c.owing > 0 {
		last = l.ended
	}
	return &Called{c.devices, c.devices - c.owing - c.gone, (last - c.from).Seconds()}
}

// pace tells in words when devices come.
func (c *Config) pace() string {
	if c.calls() {
		return lang.English.Say("those whom the server pushes to, for at most %s", plan.Duration(c.For))
	}
	return c.Pace.String()
}
