//go:build !agentonly

package main

import (
	"testing"
	"time"

	"rollcall/fleet/plan"
)

// Android devices that were away together, and were called meanwhile, come one after the other over a real wire too, within five minutes
// and once each (AND-082, AND-091).
func TestAND082ReturnWire(t *testing.T) {
	const devices = 30
	p, err := plan.Parse("return.yaml", []byte(`
until: 2h50m
tenant: {authority: intune}
population: {devices: 30, mix: {android: 100}, licences: {intune: 100}}
profiles: [{name: wifi, family: wifi}]
timeline:
  - {at: 0s, enrol: {over: 1m}}
  - {at: 20m, absence: {of: 100%, lasts: 2h}}
  - {at: 1h, profiles: {assign: wifi, group: all}}
`))
	if err != nil {
		t.Fatal(err)
	}
	bins, width := playLab(t, t.Context(), p, labFlags{together: time.Second}, nil).run.Fleet.Bins()
	if width != time.Minute {
		t.Fatalf("bins of %s", width)
	}
	sum, most, when := uint32(0), uint32(0), 140
	for i, b := range bins {
		if i > 20 && i < when && b.Done > 0 {
			t.Errorf("%d came in minute %d, and all were away", b.Done, i)
		}
		if i >= when && i < when+5 {
			sum, most = sum+b.Done, max(most, b.Done)
		}
	}
	if sum != devices || most > devices/2 {
		t.Errorf("%d devices came in the five minutes of their return, and %d in one of these; want %d, spread: %+v", sum, most, devices, bins[when:when+6])
	}
}
