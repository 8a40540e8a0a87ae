package load

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

// english are words that no Dutch text has.
var english = regexp.MustCompile(`(?i)\b(the|and|devices?|which|with|this|are|were|not|by|server error|enrolled|failed|refused|requests?|limits?|from|at|for|most|all)\b`)

// A load is told in Dutch to the last word, whatever became of it: how it was made, what failed, and why it says nothing of the server.
func TestDutchLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			if broken.Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		defer r.close()
		c := Config{Pace: Ramp(2, 9, 2*time.Second).Then(Constant(5, time.Second)).Poisson(1), Link: kept}
		k := &Calibration{Ceiling: 1500, Reach: 1500, Asked: 2000, Headroom: 0.75, LeavesOut: (&Config{Acts: []Act{{}}}).uncalibrated()}
		g := Generator{Calibration: k, Standstill: 900, GCPause: 900, ClockStep: 9000, Exhausted: 2}
		got, _, story := r.judged(t.Context(), 3, c, Setting{Command: "fleet run", Target: "https://127.0.0.1", Server: "rollcall", Title: "x", Language: lang.Dutch, Limits: limits(t, "checkins.done > 9")}, g, func() { broken.Store(true) })
		var told bytes.Buffer
		if err := report.Summary(&told, got, story, false); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(told.String()) {
			if word := english.FindString(line); word != "" {
				t.Errorf("%q in %q", word, line)
			}
		}
		if !strings.Contains(told.String(), "niet één van ") || !strings.Contains(told.String(), "generator verzadigd") {
			t.Errorf("it does not say why:\n%s", told.String())
		}
	})
}
