//go:build !agentonly

package main

import (
	"bytes"
	"testing"

	"rollcall/fleet/target"
)

// TestAUTH35ProfileDone: after a change of a profile one line says what becomes of it on the devices, and its warnings follow.
func TestAUTH35ProfileDone(t *testing.T) {
	for _, tt := range []struct {
		p    target.Preview
		want string
	}{
		{target.Preview{Enrolled: 3}, "mail: applied; on the enrolled devices (3) nothing changes\n"},
		{target.Preview{
			Enrolled: 5, Profiles: []target.ProfileGroup{{Effect: "installed", Devices: 5}, {Effect: "keeps", Devices: 9}, {Effect: "overwritten", Devices: 1}, {Effect: "installed", Devices: 5}},
			Warnings: []target.Warning{{Rule: "AUTH-26", Message: "post stays"}},
		}, "mail: applied; profiles at the next check-ins of the enrolled devices (5), with what waited before: installed 10 times, overwritten once\nAUTH-26: post stays\n"},
	} {
		var out bytes.Buffer
		printDone(&out, "mail: applied", &tt.p)
		if out.String() != tt.want {
			t.Errorf("%q, want %q", &out, tt.want)
		}
	}
}
