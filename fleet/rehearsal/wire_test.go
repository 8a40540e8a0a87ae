package rehearsal_test

import (
	"bytes"
	"testing"

	"rollcall/fleet/plan"
	"rollcall/fleet/rehearsal"
)

func TestWireReadyPlans(t *testing.T) {
	for _, name := range plan.BuiltIns() {
		t.Run(name, func(t *testing.T) {
			p := ready(t, name, 30)
			var by, over bytes.Buffer
			rule := played(t, rehearsal.Config{Plan: p, Log: &by})
			wire := played(t, rehearsal.Config{Plan: p, Log: &over, Wire: plan.Whole})
			for _, d := range wire.Wire.Differences {
				t.Error(d.String())
			}
			t.Logf("%+v", wire.Wire)
			if rule.LogSHA256 != wire.LogSHA256 {
				t.Error("other log")
			}
		})
	}
}
