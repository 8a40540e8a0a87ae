package report

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"rollcall/protocol/lang"
)

// The common keys in their order, as architecture.md has them.
const commonKeys = `version command verdict reasons devices checkins invariants limits seed event_log_sha256 virtual_seconds wall_seconds cpu_seconds peak_rss_bytes`

func keys(t *testing.T, object []byte) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(object)))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	var out []string
	for d.More() {
		k, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, k.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(out, " ")
}

func TestResultKeys(t *testing.T) {
	r, _ := sample(t)
	r.Sections["a"] = 1
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := keys(t, b), commonKeys+" a lab"; got != want {
		t.Errorf("keys %s\nwant %s", got, want)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil {
		t.Fatal(err)
	}
	for part, want := range map[string]string{
		"devices":    "total enrolled enrolling left_out left_out_by moved reregistered pending stale blocked stranded needs_support must_enrol_again unlicensed not_modelled by_platform",
		"checkins":   "offered started done failed refused per_second p50_ms p99_ms p999_ms",
		"invariants": "checked violated",
	} {
		if got := keys(t, parts[part]); got != want {
			t.Errorf("%s: keys %s\nwant %s", part, got, want)
		}
	}

	b, err = json.Marshal(&Result{Version: 1, Verdict: Error, Error: &Trouble{Rule: "HST-123", Message: "no", File: "plan.yaml", Line: 3, Field: "until"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := keys(t, b); got != commonKeys+" error" {
		t.Errorf("with an error: keys %s", got)
	}
	for _, want := range []string{`"reasons":[]`, `"limits":[]`, `"left_out_by":{}`, `"by_platform":{}`, `"error":{"rule":"HST-123","message":"no","file":"plan.yaml","line":3,"field":"until"}`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s: want %s in it", b, want)
		}
	}
}

func TestResultIsReadBack(t *testing.T) {
	r, _ := sample(t)
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if back.Devices.ByPlatform[1] != r.Devices.ByPlatform[1] || back.CheckIns != r.CheckIns || back.Seed != r.Seed || len(back.Limits) != len(r.Limits) {
		t.Errorf("read back: %+v", back)
	}
}

func TestResultRefusesBadSections(t *testing.T) {
	for name, value := range map[string]any{"devices": 1, "error": 1, "event_log_sha256": 1, "lab": math.NaN()} {
		r := &Result{Sections: map[string]any{name: value}}
		if b, err := json.Marshal(r); err == nil {
			t.Errorf("section %s = %v: no error but %s", name, value, b)
		}
	}
}

// What was not judged did not hold.
func TestHeadlineOfNoLimits(t *testing.T) {
	for _, tt := range []struct {
		limits []Limit
		want   string
	}{
		{nil, "Nothing broke; no limits were judged"},
		{[]Limit{{Limit: "a", Got: NotApplicable, OK: true}}, "Nothing broke; no limits were judged"},
		{[]Limit{{Limit: "a", Got: NotApplicable, OK: true}, {Limit: "b", Got: "1", OK: true}}, "Everything held"},
	} {
		if got := headline(lang.English, &Result{Verdict: OK, Limits: tt.limits}); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.limits, got, tt.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		r             Result
		verdict, text string // empty: none
	}{
		{Result{Verdict: OK}, "", ""},
		{Result{Verdict: Failed, Limits: []Limit{{Limit: "a", Got: "1", OK: false}, {Limit: "b", Got: "1", OK: true}, {Limit: "c", Got: NotApplicable, OK: true}}, Reasons: []string{"a was 1"}}, "failed", "failed: 1 of 2 limits broken"},
		{Result{Verdict: Failed, Invariants: Invariants{9, 2}}, "failed", "failed: invariants violated 2 times"},
		{Result{Verdict: Failed}, "failed", "failed"},
		{Result{Verdict: Invalid, Reasons: []string{"ports out", "late starts"}}, "invalid", "invalid: the generator was at its own limit"},
		{Result{Verdict: Partial}, "partial", "interrupted"},
		{Result{Verdict: Error, Error: &Trouble{Message: "plan.yaml:3: no"}}, "", "plan.yaml:3: no"},
		{Result{Verdict: Error}, "", "could not run"},
	} {
		err := tt.r.Err()
		if tt.text == "" {
			if err != nil {
				t.Errorf("%s: error %v, want none", tt.r.Verdict, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.text) || len(tt.r.Reasons) > 0 && strings.Contains(err.Error(), tt.r.Reasons[0]) { // the summary has them
			t.Errorf("%s: error %v, want %q in it", tt.r.Verdict, err, tt.text)
			continue
		}
		var v interface{ Verdict() string }
		ran := errors.As(err, &v)
		if ran != (tt.verdict != "") || ran && v.Verdict() != tt.verdict {
			t.Errorf("%s: verdict %v, want %q", tt.r.Verdict, v, tt.verdict)
		}
	}
}
