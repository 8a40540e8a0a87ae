package android_test

import (
	"slices"
	"testing"

	"rollcall/protocol/android"
)

// TestAND078ModeLeaves: the ways by which devices of a mode leave (android.md, section 3).
func TestAND078ModeLeaves(t *testing.T) {
	for mode, want := range map[android.Mode][]android.Removal{
		android.WorkProfilePersonal: {android.RemoveProfile}, android.WorkProfileCompany: {android.Reset, android.Release},
		android.FullyManaged: {android.Reset}, android.Dedicated: {android.Reset}, android.AOSPUser: {android.Reset, android.Release}, android.AOSPUserless: {android.Reset},
	} {
		for _, how := range []android.Removal{"", android.RemoveProfile, android.Reset, android.Release} {
			if got := mode.Leaves(how); got != slices.Contains(want, how) {
				t.Errorf("%s by %q: %t", mode, how, got)
			}
		}
	}
}
