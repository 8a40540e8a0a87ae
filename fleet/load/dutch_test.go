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

// The comparison with an earlier run is told in Dutch, whatever came of it, as itself and as the reason why a limit on it is broken.
func TestDutchBaseline(t *testing.T) {
	up, none := Change{Pairs: 9, Percent: 12.34, Least: 8, Most: 16}, Change{Pairs: 9, Percent: -0.5, Least: -3, Most: 2}
	a := &Section{devices: "40, 40 ios", Loop: "open", Arrivals: "check-ins", Pace: "5/s", Retries: true, WokenBy: "push", Connections: "kept", Handshakes: "full", Identity: "minted", Authentication: "mutual TLS", KeyExchange: "X25519MLKEM768", Server: "rollcall"}
	b := &Section{devices: "30, 30 ios", Loop: "closed", Arrivals: "enrolments", Pace: "6/s", WokenBy: "themselves", Connections: "closed after the empty answer", SharedHost: true, Handshakes: "resumed", Identity: "scep", Authentication: "header", KeyExchange: "X25519", Server: "nanomdm", Seconds: 3, Sources: 2, Think: 4, WindowSeconds: 1}
	short := &Section{Windows: make([]Window, 2)}
	for name, c := range map[string]*Comparison{
		"better and worse": {Comparable: true, Target: "https://127.0.0.1", Pairs: 9, Failed: [2]Part{{0, 90}, {5, 90}}, Done: none, P50: up, P99: none},
		"fewer fail":       {Comparable: true, Pairs: 20, Failed: [2]Part{{9, 90}, {5, 90}}, Done: up, P50: up, P99: Change{}},
		"cannot be told":   {Comparable: true, Pairs: 9, Failed: [2]Part{{0, 90}, {0, 90}}},
		"made otherwise":   compare(a, b),
		"too short":        compare(short, short),
		"of no worth":      {Why: append(differences(a, b), lang.English.Say("the verdict of this run is %s", "invalid"))},
	} {
		reason := (&Section{Baseline: c}).incomparable(&limits(t, "load.baseline.p99.percent < 10")[0])
		all := []string{c.In(lang.Dutch)}
		if reason != "" {
			all = append(all, lang.Dutch.Retell(lang.English.Say("the limit %s is broken: %s", "x < 10", reason)))
		}
		for _, told := range all {
			if words := regexp.MustCompile(`(?i)\b(then|now|pairs|windows|brackets|done|worse|yes|by|themselves|closed)\b`); words.MatchString(told) || english.MatchString(told) {
				t.Errorf("%s: %q", name, told)
			}
		}
		if english := c.In(lang.English); english == c.In(lang.Dutch) || name == "better and worse" && !strings.Contains(english, "worse: 5 of 90 failed, 0 of 90 then: done no clear change, −0.5% (−3.0% to +2.0%); p50 +12.3% (+8.0% to +16.0%)") {
			t.Errorf("%s: %q", name, english)
		}
	}
	if told := (Change{Pairs: 9, Percent: 12.34, Least: 8, Most: 16}).In(lang.Dutch); told != "+12,3% (+8,0% tot +16,0%)" {
		t.Errorf("%q", told)
	}
}
