package ledger

import (
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// Change takes the place of a profile's identifier for a change of authority, of which every device is to hear: it is wanted
// from each, its version is the tenant's epoch, and it is there once the device knows of it.
const Change = "change of authority"

// A profile is one profile that is, or was, to be on one device. With name 0 it is free.
type profile struct {
	from       protocol.Time // since when it is owed
	want, have uint32        // version; 0: not there
	name       uint32
	next       uint32
	is         mark
}

// Wanted notes that the administration is asked now to have a profile on d, in a version, or in any where that is empty.
// A version is whatever the device can tell documents of one identifier apart by.
func (l *Ledger) Wanted(now protocol.Time, d protocol.Device, identifier, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.profile(l.account(d), identifier)
	if p == nil {
		p = l.addProfile(d, identifier)
	}
	p.want, p.from, p.is = versionOf(version), now, 0
}

// Unwanted notes that the administration is asked now to have a profile off d.
func (l *Ledger) Unwanted(now protocol.Time, d protocol.Device, identifier string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.profile(l.account(d), identifier); p != nil {
		p.want, p.from, p.is = 0, now, 0
	}
}

// MayStay notes that a profile of d may stay or go from now on, which nobody asks for.
func (l *Ledger) MayStay(d protocol.Device, identifier string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.profile(l.account(d), identifier); p != nil {
		p.is |= refused
	}
}

// Installed notes that a profile is on d now. Version as with Wanted, and not empty unless that is always.
func (l *Ledger) Installed(now protocol.Time, d protocol.Device, identifier, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids.byName[identifier] == 0 {
		return // nobody ever wanted it anywhere: the server's own
	}
	p := l.profile(l.account(d), identifier)
	if p == nil {
		l.find(Finding{Fault: Misdelivered, Profile: identifier, At: now}, d, lang.Later("installed, and never meant for this device"))
		p = l.addProfile(d, identifier)
		p.is = named
	}
	p.have = versionOf(version)
	p.is &^= refused
}

// NotInstalled notes that d could not install a profile: from here on its absence is the device's own doing.
func (l *Ledger) NotInstalled(d protocol.Device, identifier string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.profile(l.account(d), identifier); p != nil {
		p.is |= refused
	}
}

// Removed notes that a profile has gone from d.
func (l *Ledger) Removed(d protocol.Device, identifier string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.profile(l.account(d), identifier); p != nil {
		p.have = 0
	}
}

func (l *Ledger) profile(a *account, identifier string) *profile {
	name := l.ids.byName[identifier]
	if name == 0 {
		return nil
	}
	for at := a.profiles; at != 0; at = l.profiles.list[at].next {
		if p := &l.profiles.list[at]; p.name == name {
			return p
		}
	}
	return nil
}

func (l *Ledger) addProfile(d protocol.Device, identifier string) *profile {
	a := l.account(d)
	at := l.profiles.take()
	p := &l.profiles.list[at]
	*p = profile{name: l.ids.of(identifier), next: a.profiles}
	a.profiles = at
	l.counts.Profiles++
	return p
}

// settled tells whether the device is as it should be.
func (p *profile) settled() bool {
	if p.want == anyVersion {
		return p.have != 0
	}
	return p.want == p.have
}

const anyVersion = 1

// versionOf returns a number for a version; 0 is none.
func versionOf(s string) uint32 {
	if s == "" {
		return anyVersion
	}
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return max(h, anyVersion+1)
}
