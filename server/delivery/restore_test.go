package delivery_test

import (
	"slices"
	"testing"

	"rollcall/protocol"
	"rollcall/server/delivery"
)

// restore makes of p's world one that was restored now from a backup of a day ago.
func (p *phone) restore() {
	p.w.Tenant.Epoch += 1000
	p.w.Restored = delivery.Restoration{Since: p.now.Add(-day), At: p.now, Epoch: p.w.Tenant.Epoch}
}

// TestHST101Resynchronised: once, whoever the device belongs to.
func TestHST101Resynchronised(t *testing.T) {
	for _, tt := range []struct {
		name string
		user delivery.UserID
		want []protocol.CommandKind
	}{
		{"with a user", 1, []protocol.CommandKind{
			protocol.Restart, protocol.DeviceInformation, protocol.SecurityInfo, protocol.ProfileList, protocol.InstallProfile, protocol.InstallProfile,
		}},
		{"userless", 0, []protocol.CommandKind{protocol.Restart, protocol.DeviceInformation, protocol.SecurityInfo, protocol.ProfileList}},
	} {
		p := settled(t)
		p.w.Tenant.AcceptUserless = true
		if p.s.User = tt.user; tt.user == 0 {
			p.s.Profiles, p.s.Set = nil, 0
		}
		p.order(protocol.Command{Kind: protocol.Erase})
		p.now++
		p.restore()
		p.order(protocol.Command{Kind: protocol.Restart})
		p.ask()
		if !p.noted(delivery.WhatWithdrawn, "EraseDevice") {
			t.Errorf("%s: the order to erase is not taken back: %v", tt.name, p.lines)
		}
		if got := p.drain(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		p.order(protocol.Command{Kind: protocol.Lock})
		p.ask()
		if got := p.drain(); !slices.Equal(got, []protocol.CommandKind{protocol.Lock}) {
			t.Errorf("%s: afterwards %v, want what was ordered since", tt.name, got)
		}
	}
}

// TestHST101NothingAges: a record that is older than its device is not removed for its age, until the device has had time to
// come.
func TestHST101NothingAges(t *testing.T) {
	due := func(p *phone) *delivery.Outcome { return p.event(delivery.Event{Kind: delivery.RecordDue}) }
	p := settled(t)
	p.now = p.s.Identity.NotAfter.Add(400 * day)
	p.restore()
	if out := due(p); out.Changed != 0 {
		t.Errorf("removed at the restoration: %+v", out)
	}
	p.now = p.now.Add(30*day) - 1
	if out := due(p); out.Changed != 0 {
		t.Errorf("removed before a device had time to come: %+v", out)
	}
	p.now++
	if out := due(p); out.Changed&delivery.Gone == 0 {
		t.Errorf("kept for good: %+v", out)
	}

	p = newPhone(t)
	p.enrol() // begun before the backup; the rest of it may have been lost
	p.now = p.now.Add(2 * day)
	p.restore()
	if out := due(p); out.Changed != 0 || len(p.revoked) != 0 {
		t.Errorf("an enrolment that was begun before the backup: %+v", out)
	}
}
