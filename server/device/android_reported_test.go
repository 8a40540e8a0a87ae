package device

import (
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/android"
	"rollcall/server/delivery"
)

// What a device says of its profiles counts once it has seen a policy that was made since the order: one that it still works on is not there
// yet, and one that it does not list is not gone before (AND-061).
func TestAND061WhatCounts(t *testing.T) {
	l := newDroidLab(t)
	l.wifi("org.wifi")
	profile := protocol.Profile(len(l.core.World().Profiles) - 1)
	listed := func(status android.ProfileStatus) []android.AppliedProfile {
		return []android.AppliedProfile{{ID: "org.wifi", Version: uint32(profile), Status: status}}
	}
	for _, tt := range []struct {
		name    string
		kind    protocol.CommandKind
		version int64
		applied []android.AppliedProfile
		want    bool
	}{
		{"there", protocol.InstallProfile, 5, listed(android.Applied), true},
		{"worked on", protocol.InstallProfile, 5, listed(android.Pending), false},
		{"there by a policy of before", protocol.InstallProfile, 4, listed(android.Applied), false},
		{"not there", protocol.InstallProfile, 5, nil, false},
		{"gone", protocol.RemoveProfile, 5, nil, true},
		{"not there by a policy of before", protocol.RemoveProfile, 4, nil, false},
		{"still there", protocol.RemoveProfile, 5, listed(android.Applied), false},
	} {
		x := &androidRound{h: l.h, p: &peer{cred: delivery.Credential{Serial: "e-1 FULLY_MANAGED"}}, version: tt.version}
		x.msg.Applied.Profiles = tt.applied
		r, ok := x.reported(&delivery.Queued{Command: protocol.Command{Kind: tt.kind, Profile: profile}, Seq: 5})
		if ok != tt.want || r.Status != protocol.Acknowledged {
			t.Errorf("%s: told %t, %+v", tt.name, ok, r)
		}
	}
}
