package load

import (
	"fmt"
	"testing"

	"rollcall/fleet/plan"
)

func TestPaceOf(t *testing.T) {
	for _, tt := range []struct{ arrival, want string }{
		{"checkins: 10/s", "10/s for 1m"},
		{"enrolments: 30/m", "0.5/s for 1m"},
		{"checkins: 10/s, ramp: 20s", "0/s to 10/s for 20s, then 10/s for 40s"},
		{"checkins: 10/s, steps: [{at: 10s, rate: 20/s}, {at: 30s, rate: 5/s}]", "10/s for 10s, then 20/s for 20s, then 5/s for 30s"},
		{"checkins: 10/s, spike: {at: 30s, for: 5s, rate: 100/s}", "10/s for 30s, then 100/s for 5s, then 10/s for 25s"},
		{"everyone: {at: 10s}", "0/s for 10s, then 5/s for 10s, then 0/s for 40s"},
		{"checkins: 1/s, poisson: true, everyone: {over: 5s}", "11/s for 5s, then 1/s for 55s, by chance (Poisson)"},
		{"checkins: 8/s, ramp: 40s, spike: {at: 20s, for: 10s, rate: 50/s}", "0/s to 4/s for 20s, then 50/s for 10s, then 6/s to 8/s for 10s, then 8/s for 20s"},
	} {
		p, err := plan.Parse("x", fmt.Appendf(nil, "population: {devices: 50, mix: {ios: 100}}\ntimeline: [{at: 0s, enrol: {}}]\nuntil: 1m\narrival: {%s}\n", tt.arrival))
		if err != nil {
			t.Errorf("%s: %v", tt.arrival, err)
			continue
		}
		if got := PaceOf(p, 50).String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.arrival, got, tt.want)
		}
	}
}
