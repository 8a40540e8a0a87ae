package conformance

import (
	"context"
	"testing"
	"time"

	"rollcall/fleet/target"
)

// TestTimePassesInTurn: a check in which time passes is asked beside no other, where the clock can be set: what those were given would end
// under their hands.
func TestTimePassesInTurn(t *testing.T) {
	var clock time.Time
	steps := &target.Steps{Name: "driven", Step: func(_ context.Context, to time.Time) error { clock = to; return nil }}
	for _, tt := range []struct {
		statement Statement
		want      Outcome
	}{{Statement{ID: "beside others"}, Unasked}, {Statement{ID: "in its turn", passes: true}, Pass}} {
		began := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
		r := &run{Config: Config{Steps: steps, Request: time.Hour, Check: time.Hour}, clock: began, left: map[string]string{}}
		clock = began
		tt.statement.check = (*asking).wear
		if f := r.ask(t.Context(), &tt.statement, 1); f.Outcome != tt.want {
			t.Errorf("%s: %s %s, want %s", tt.statement.ID, f.Outcome, f.Reason, tt.want)
		}
		if passed := clock.Sub(began); passed != 0 && tt.want == Unasked || tt.want == Pass && passed != minutes*time.Minute {
			t.Errorf("%s: the clock is set ahead by %v", tt.statement.ID, passed)
		}
	}
}
