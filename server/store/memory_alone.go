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

// FirstDue is the first wake-up that is due.
func (m *Memory) FirstDue() (d protocol.Device, at protocol.Time) {
	first, _ := m.due.First()
	return protocol.Device(first.Device), first.At
}

// LendCredential returns a certificate in place, to be read; nil: it is unknown.
func (m *Memory) LendCredential(f delivery.Fingerprint) *delivery.Credential { return m.issued[f] }

// Admit keeps a certificate behind which no grant stands.
func (m *Memory) Admit(c delivery.Credential) *delivery.Credential {
	m.issued[c.Fingerprint] = &c
	return &c
}
