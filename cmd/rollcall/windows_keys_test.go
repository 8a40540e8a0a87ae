//go:build !agentonly

package main

import (
	"context"
	"crypto/rsa"
	"slices"
	"strings"
	"testing"

	"rollcall/agent/dialect"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
)

// Of the platforms that --rsa-keys names a device has an RSA key of its own, made before the story; the others' are as ever. What comes
// later, as for a renewal, is counted apart.
func TestLabRSAKeys(t *testing.T) {
	t.Parallel()
	p, err := plan.Parse("keys.yaml", []byte(`
until: 2d
tenant: {identity: {lifetime: 3d, window: 2d}}
population: {devices: 3, mix: {ios: 34, windows: 66}}
timeline: [{at: 0s, enrol: {}}]
limits: [invariants.violated == 0, devices.enrolled == devices.total]
`))
	if err != nil {
		t.Fatal(err)
	}
	r := playLab(t, t.Context(), p, labFlags{rsa: []string{"windows"}}, nil)
	if err := r.result.Err(); err != nil {
		t.Error(err)
	}
	var seen []string
	pcs := 0
	for i := range r.run.Population.Devices {
		d := r.run.Fleet.Device(i)
		who, err := d.Signer(dialect.Current)
		if err != nil {
			t.Fatal(err)
		}
		key, is := who.Key.(*rsa.PrivateKey)
		if windows := r.run.Population.Devices[i].Platform == protocol.Windows; windows != is || is && key.N.BitLen() != 2048 {
			t.Errorf("device %d, Windows %v, has a %T", i, windows, who.Key)
		}
		if is {
			pcs++
			seen = append(seen, key.N.String())
		}
	}
	slices.Sort(seen)
	if k := r.run.Keys; len(slices.Compact(seen)) != pcs || pcs == 0 || k.Beforehand != pcs || k.Later() == 0 || k.Took <= 0 {
		t.Errorf("%d devices have %d keys; %d were made before, %d later", pcs, len(seen), k.Beforehand, k.Later())
	}
	if s, ok := r.result.Sections["rsa_keys"].(map[string]any); !ok || s["beforehand"] != pcs {
		t.Errorf("the result says %v", r.result.Sections)
	}
	if _, err := (&labFlags{clock: "driven", rsa: []string{"window"}}).fit(p); err == nil || !strings.Contains(err.Error(), "did you mean windows?") {
		t.Errorf("a platform that is none: %v", err)
	}
}

// Who never enrols needs no key.
func TestLabRSAKeysOfJoiners(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop() // how many they would be is all that is asked
	k, _ := (&labFlags{rsa: []string{"windows"}}).keys(ctx, &population.Population{Devices: []population.Device{
		{Platform: protocol.Windows}, {Platform: protocol.Windows, Joins: population.Never}, {Platform: protocol.IOS},
	}}, nil)
	if k.Beforehand != 1 {
		t.Errorf("%d keys for one PC that enrols", k.Beforehand)
	}
}
