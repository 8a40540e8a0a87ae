//go:build !agentonly

package main

import (
	"testing"

	"rollcall/fleet/conformance"
	"rollcall/fleet/conformance/mischief"
	"rollcall/server/device"
)

// TestConformanceOfSCEP: a server that offers Android devices identities by SCEP alone is judged by those, and found out where it issues
// for another name (AND-070), for the challenge of another device (HST-037.android), or renews before it is time (AND-081).
func TestConformanceOfSCEP(t *testing.T) {
	t.Parallel()
	m, err := mischief.New("")
	fatal(t, err)
	o, err := startOwn(t.Context(), func(c *serveConfig) { c.Mischief, c.Android = m, device.Android{RSA: true} })
	fatal(t, err)
	defer o.close()
	c, err := o.config(t.Context())
	fatal(t, err)
	patient(&c)
	c.AtOnce, c.Maker = 1, nil // what is attested here is on P-256
	for fault, asks := range map[string][]string{
		"":             {"AND-070", "HST-037.android", "AND-081"},
		"AND-070/name": {"AND-070"}, "APL-007": {"HST-037.android"}, "APL-011": {"AND-081"},
	} {
		fatal(t, m.Set(fault))
		c.Only = asks
		r, err := conformance.Run(t.Context(), c)
		fatal(t, err)
		want := conformance.Fail
		if fault == "" {
			want = conformance.Pass
		}
		for _, f := range r.Findings {
			if f.Outcome != want {
				t.Errorf("with fault %q %s: %s %s, want %s", fault, f.ID, f.Outcome, f.Reason, want)
			}
		}
		if len(r.Findings) != len(asks) {
			t.Errorf("with fault %q %d were asked, want %d", fault, len(r.Findings), len(asks))
		}
	}
}
