package plan

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEvaluate(t *testing.T) {
	var result map[string]any
	if err := json.Unmarshal([]byte(`{"verdict": "ok", "devices": {"total": 1000, "enrolled": 999, "by_platform": {"ios": {"total": 450}}},
		"checkins": {"done": 5000, "failed": 3, "p99_ms": 11.2}, "moved": {"p95_seconds": 43201}, "wall_seconds": 59.5,
		"invariants": {"violated": 0}, "ledger": {"confirmed": 7}}`), &result); err != nil {
		t.Fatal(err)
	}
	p := new(Plan)
	var want []LimitResult
	for _, r := range []LimitResult{
		{"checkins.p99 < 50ms", "11.2ms", true},
		{"checkins.p99 < 11ms", "11.2ms", false},
		{"checkins.p99_ms < 50", "11.2", true},
		{"moved.p95 < 12h", "12h1s", false},
		{"wall < 1m", "59.5s", true},
		{"invariants.violated == 0", "0", true},
		{"devices.enrolled == devices.total", "devices.enrolled = 999, devices.total = 1000", false},
		{
			"devices.enrolled >= devices.total - 1 and checkins.failed / checkins.done < 0.01",
			"devices.enrolled = 999, devices.total = 1000, checkins.failed = 3, checkins.done = 5000", true,
		},
		{"not (devices.total < 1000) || false", "1000", true},
		{"devices.by_platform.ios.total == 450", "450", true},
		{`verdict == "ok"`, "ok", true},
		{`verdict < 5`, "ok; not comparable", false},
		{"devices.stranded == 0", "not applicable", true},
		{"ledger.confirmed > 0", "7", true},
		{"ledger.lost == 0", "no figure ledger.lost in this result", false},
	} {
		var l Limit
		if err := l.UnmarshalText([]byte(r.Limit)); err != nil {
			t.Fatal(err)
		}
		p.Limits = append(p.Limits, l)
		want = append(want, r)
	}
	before, _ := json.Marshal(result)
	if diff := cmp.Diff(want, p.Evaluate(result)); diff != "" {
		t.Errorf("Evaluate (-want +got):\n%s", diff)
	}
	if after, _ := json.Marshal(result); !reflect.DeepEqual(before, after) {
		t.Errorf("Evaluate changed the result: %s", after)
	}
}

// A limit is about devices where it counts them, or names what only one job knows.
func TestLimitOfDevices(t *testing.T) {
	for text, want := range map[string]bool{
		"invariants.violated == 0": false, "checkins.p99 < 50ms": false, "devices.moved > 0": true, "invariants.violated == 0 and devices.blocked == 0": true,
		"moved.p95 < 12h": true, "load.unheard == 0": true,
	} {
		var l Limit
		if err := l.UnmarshalText([]byte(text)); err != nil || l.OfDevices() != want {
			t.Errorf("%s: %t, %v; want %t", text, l.OfDevices(), err, want)
		}
	}
}

// TestHST016Whole: the name of a figure without its section, or of a section without a figure, is refused with what it may mean.
func TestHST016Whole(t *testing.T) {
	for text, near := range map[string]string{
		"stranded == 0": "devices.stranded", "unprotected == 0": "", "load > 0": "", "p99 < 50ms": "checkins.p99",
		"violated == 0": "invariants.violated", "wal < 1m": "wall", "devices == 5": "",
	} {
		var l Limit
		var mistake *limitError
		if err := l.UnmarshalText([]byte(text)); !errors.As(err, &mistake) || mistake.nearest != near {
			t.Errorf("%s: %+v, want an error that names %q", text, err, near)
		}
	}
}

// TestHST016Names: a figure that no result can have is refused before a run, in sections of a job as well.
func TestHST016Names(t *testing.T) {
	for text, near := range map[string]string{
		"foo.bar < 1": "", "loda.lost == 0": "load", "load.lots == 0": "load.lost", "ledger.foo == 0": "", "rehearsal.answers.movable > 0": "taken",
		"rsa_keys.later == 0": "taken", "ledger.confirmed == 8": "taken", "load.baseline.p99.percent < 10": "taken",
		"load.baseline.foo == 0": "", "load.baseline.pars == 0": "load.baseline.pairs", "load.baseline.p99.percnt < 10": "load.baseline.p99.percent",
		"load.baseline.p99 < 10": "", "load.lost.twice == 0": "load.lost", "wall.foo < 1m": "wall", "load.woken.p99 < 1s": "taken", "load.done_by.ios > 0": "taken",
		"load.done_by.linux > 0": "", "devices.by_platform.ios == 5": "", "devices.by_platform.ios.totl == 5": "devices.by_platform.ios.total",
		"devices.left_out_by.printer == 0": "taken", "rehearsal.answers.peak.minutes_over == 0": "taken", "rehearsal.answers.peak.checkins.count < 50": "taken",
		"rehearsal.answers.unprotected.email.hours == 0": "taken", "rehearsal.answers.unprotected.emails.hours == 0": "rehearsal.answers.unprotected.email",
	} {
		var l Limit
		var mistake *limitError
		if err := l.UnmarshalText([]byte(text)); (err == nil) != (near == "taken") || errors.As(err, &mistake) && mistake.nearest != near {
			t.Errorf("%s: %+v, want %q", text, err, near)
		}
	}
}

// TestHST016Units: a length of time is held against lengths of time, and a count against numbers.
func TestHST016Units(t *testing.T) {
	for text, want := range map[string]bool{
		"moved.p95 < 12": false, "moved.p95 < 12h": true, "moved.p95_ms < 12": true, "moved.p95_ms < 12h": false, "devices.moved < 12h": false,
		"12 > moved.p95": false, "moved.p95 == 0": true, "moved.p95 < 2 * moved.p50": true, "moved.p95 / moved.p50 < 3": true, "moved.p95 < 1h + 2": false,
		"moved.p95 - 30m < 1h": true, "moved.p95 / 2 < 1": false, "wall < 1m and devices.moved > 5": true, "wall < 1m and cpu < 5": false, "not (wall < 1)": false,
		`verdict == "ö" or wall < 1m`: true, `verdict == "ö" or wall < 1`: false, "load.lost < 1h": true, "devices.by_platform.ios.wire == true": true,
		"wall < 1.5": false, "cpu < 1.5 * wall": true, "checkins.failed / checkins.done < 0.01": true, "devices.moved < 0s": true,
	} {
		var l Limit
		if err := l.UnmarshalText([]byte(text)); (err == nil) != want {
			t.Errorf("%s: %v, want taken %t", text, err, want)
		}
	}
}
