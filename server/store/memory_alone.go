package store

import (
	"rollcall/protocol"
	"rollcall/server/delivery"
)

// What follows is for the one caller of a store that was made by [NewAlone].

// Lend returns the state of a device in place; nil: there is no such device. Whoever borrows it may change what a store keeps
// without a word of the outcome (see [Tx].Commit), and Wake, if it calls [Memory.Rewoken] then.
func (m *Memory) Lend(d protocol.Device) *delivery.State {
	if r := m.find(d); r != nil {
		return &r.state
	}
	return nil
}

// Rewoken takes note that the wake-up of a device that was lent has changed.
func (m *Memory) Rewoken(d protocol.Device) {
	if r := m.find(d); r != nil {
		m.schedule(r)
	}
}

// FirstDue is the first of Due, and when it is due; 0: there is none.
func (m *Memory) FirstDue() (d protocol.Device, at protocol.Time) {
	first, _ := m.due.First()
	return protocol.Device(first.Device), first.At
}

// WithoutApple leaves Apple's devices out of what is due, or takes them in again, each when its wake-up says: while they are held the others are
// not to stand behind them.
func (m *Memory) WithoutApple(is bool) {
	if m.withoutApple == is {
		return
	}
	m.withoutApple = is
	for _, r := range m.records {
		if r != nil && r.state.Platform.Apple() {
			m.schedule(r)
		}
	}
}

// Coming is what FirstDue will return in the near future (see [Calendar.Coming]).
func (m *Memory) Coming() ([]Due, uint64) { return m.due.Coming() }

// Touch reads what a steady round looks at of a device, so that it is at hand then. What it returns means nothing.
func (m *Memory) Touch(d protocol.Device) uint64 {
	if int(d) >= len(m.records) || m.records[d] == nil {
		return 0
	}
	s := &m.records[d].state
	return uint64(s.Device) + uint64(s.Wake.Due) + uint64(s.Identity.NotAfter) + uint64(len(s.Queue)) + uint64(s.Push.Since)
}

// Postpone has a device not be due for a while, or again.
func (m *Memory) Postpone(d protocol.Device, is bool) {
	if r := m.find(d); r != nil && !is {
		m.schedule(r)
		return
	}
	m.due.Set(uint32(d), 0)
}

// Size is how many devices there are, at most.
func (m *Memory) Size() int { return len(m.records) - 1 }

// After returns the number of the first device after d; 0: there is none.
func (m *Memory) After(d protocol.Device) protocol.Device {
	for i := int(d) + 1; i < len(m.records); i++ {
		if r := m.records[i]; r != nil && r.kept {
			return r.number
		}
	}
	return 0
}

// ID is what the wire calls a device that there is.
func (m *Memory) ID(d protocol.Device) string { return m.records[d].id }

// LendCredential returns a certificate in place, to be read; nil: it is unknown.
func (m *Memory) LendCredential(f delivery.Fingerprint) *delivery.Credential { return m.credential(f) }

// Admit keeps a certificate behind which no grant stands.
func (m *Memory) Admit(c *delivery.Credential) *delivery.Credential { return m.issue(c) }
