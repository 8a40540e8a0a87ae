//go:build !agentonly

package main

import (
	"testing"

	"rollcall/fleet/target"
	"rollcall/protocol/lang"
)

// TestGroupsNameTheirOwn: of two groups that only their rule before the change tells apart, each names its own devices.
func TestGroupsNameTheirOwn(t *testing.T) {
	p := &target.Preview{
		Groups: []target.Group{{Fate: "moves", Before: "AUTH-13", Rule: "AUTH-11", Devices: 1}, {Fate: "moves", Before: "AUTH-16", Rule: "AUTH-11", Devices: 1}},
		Devices: []target.Named{
			{Device: "ADA", Fate: "moves", Before: "AUTH-13", Rule: "AUTH-11"}, {Device: "BOB", Fate: "moves", Before: "AUTH-16", Rule: "AUTH-11"},
		},
	}
	for i, want := range []string{"ADA", "BOB"} {
		if got := firstOf(lang.English, p, &p.Groups[i]); got != want {
			t.Errorf("group %d names %q, want %q", i, got, want)
		}
	}
}
