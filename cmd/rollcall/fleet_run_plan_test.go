//go:build !agentonly

package main

import (
	"fmt"
	"strings"
	"testing"

	"rollcall/fleet/plan"
)

// A limit of a flag stands beside the plan's; only of the ready plan that nobody named does it take the place of one on its figure.
func TestLimitsBesideThePlan(t *testing.T) {
	for _, tt := range []struct {
		own   bool
		flags string
		want  string
	}{
		{true, "", "[checkins.failed == 0 checkins.refused == 0]"},
		{true, "checkins.p99 < 5s", "[checkins.failed == 0 checkins.refused == 0 checkins.p99 < 5s]"},
		{true, "checkins.refused < 9", "[checkins.failed == 0 checkins.refused < 9]"},
		{false, "checkins.refused < 9", "[checkins.failed == 0 checkins.refused == 0 checkins.refused < 9]"},
	} {
		p, err := loadPlan("load")
		if err != nil {
			t.Fatal(err)
		}
		var f fleetRunFlags
		if tt.flags != "" {
			f.limits = []string{tt.flags}
		}
		got, err := f.limited(p.Limits, tt.own)
		if err != nil || fmt.Sprint(got) != tt.want {
			t.Errorf("own %t, %q: %v, %v; want %s", tt.own, tt.flags, got, err, tt.want)
		}
	}
	f := fleetRunFlags{limits: []string{"checkins.p99"}}
	if _, err := f.limited([]plan.Limit{}, true); err == nil || !strings.HasPrefix(err.Error(), "--limit: ") {
		t.Error(err)
	}
}
