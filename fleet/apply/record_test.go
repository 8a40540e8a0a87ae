package apply

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// What differs is named, the first few one by one.
func TestHST070Differences(t *testing.T) {
	if got := lineOf("a\nb\n", "a\nb\n  c\n"); got[0] != `line 3 of the plan was "", and is "c"` {
		t.Errorf("a line more: %q", got)
	}
	if got := lineOf("a\nb", "a"); got[0] != "line 2 of the plan is gone: b" {
		t.Errorf("a line less: %q", got)
	}
	if got := lineOf("a", "a\nb"); got[0] != "line 2 of the plan is new: b" {
		t.Errorf("a line more: %q", got)
	}
	was := map[string]string{"device A": "ios", "device B": "ios", "user a": "none"}
	is := map[string]string{"device B": "macos", "user a": "none", "device C": "ios"}
	want := []string{"device A is gone", "device B was ios, and is macos", "device C is new (ios)"}
	if got := factsOf(was, is); strings.Join(got, ";") != strings.Join(want, ";") {
		t.Errorf("%q, want %q", got, want)
	}
	for _, name := range strings.Fields("d e f g h") {
		is[name] = ""
	}
	if got := factsOf(was, is); len(got) != 6 || got[5] != "and 3 more" {
		t.Errorf("%q, want five and how many more", got)
	}
	if got := factsOf(is, is); got != nil {
		t.Errorf("the same differs: %q", got)
	}
}

// A rehearsal is confirmed within a day, and not beside a push certificate that has ended since.
func TestHST070Stale(t *testing.T) {
	const start = protocol.Time(1_800_000_000_000_000_000)
	p := &plan.Plan{Seed: 7}
	push := target.Push{Topic: "t", NotAfter: start.Add(2 * time.Hour)}
	at := func(after time.Duration) *Snapshot {
		s := &Snapshot{At: start.Add(after), Population: &population.Population{}, Facts: map[string]string{}}
		s.fact("the push certificate", lifeOf(&push, s.At))
		return s
	}
	r := Rehearsed("https://127.0.0.1", p, at(0), nil)
	for after, want := range map[time.Duration]string{
		time.Hour:      "",
		3 * time.Hour:  "the push certificate was valid, and is ended, and in its grace",
		25 * time.Hour: "more than 1d ago: rehearse it again",
	} {
		err := r.Confirm(r.ID, r.Server, p, at(after))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("after %s: %v, want %q", after, err, want)
		}
	}
	if got := lifeOf(&push, start.Add(33*plan.Day)); got != "ended for good" {
		t.Errorf("after the grace: %s", got)
	}
}

// A record comes back as it was kept, a half-written one is no record, and one of a newer program is refused.
func TestRecordKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "change.applied.json")
	open := func() (*Record, error) {
		r, err := Open(path)
		if err == nil {
			t.Cleanup(func() { r.Close() })
		}
		return r, err
	}
	r, err := open()
	if err != nil || r.ID != "" || r.Start != 0 {
		t.Fatalf("nothing was kept: %+v, %v", r, err)
	}
	kept := Rehearsed("https://127.0.0.1", &plan.Plan{Seed: 7}, &Snapshot{Population: &population.Population{}, Facts: map[string]string{"a": "b"}}, []Step{{Number: 1, Action: "consent", State: Waiting}})
	if err := r.Keep(kept); err != nil {
		t.Fatal(err)
	}
	if again := Rehearsed("https://127.0.0.1", &plan.Plan{Seed: 7}, &Snapshot{Population: &population.Population{}, Facts: map[string]string{"a": "c"}}, nil); again.ID == r.ID || len(r.ID) != 16 {
		t.Errorf("ids %s and %s of two tenants", r.ID, again.ID)
	}
	r.Close()
	back, err := open()
	if err != nil || back.ID != r.ID || back.Seed != 7 || back.Facts["a"] != "b" || len(back.Steps) != 1 || back.Left() != 1 {
		t.Fatalf("back came %+v, %v", back, err)
	}
	back.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for was, is := range map[string]string{`"action": "consent"`: `"action": "authority"`, `"a": "b"`: `"a": "c"`, `"seed": 7`: `"seed": 8`} {
		changed := strings.Replace(string(whole), was, is, 1)
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil || changed == string(whole) {
			t.Fatalf("%s: %v", was, err)
		}
		if _, err := open(); err == nil || !strings.Contains(err.Error(), "somebody has changed the file") {
			t.Errorf("%s changed: %v", was, err)
		}
	}
	for text, want := range map[string]string{
		`{"version":2}`:                        "newer rollcall",
		`{"version":1,"id":`:                   "unexpected EOF",
		`{"version":1,"more":1}`:               "unknown field",
		`{"steps":[{"step":2}]}`:               "step 1 is called 2",
		`{"steps":[{"step":1,"state":"odd"}]}`: `step 1 is "odd": want waiting, begun or done`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := open(); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path) {
			t.Errorf("%s: %+v, %v; want %s", text, r, err, want)
		}
	}
}

// No record panics, and what is taken is kept and comes back.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"id":"a","steps":[{"step":1,"at":"1h","action":"apns","state":"begun","begun":"2026-11-01T08:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "r.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path)
		if err != nil {
			return
		}
		if err := r.save(); err != nil {
			t.Fatal(err)
		}
		left := r.Left()
		r.Close()
		if r, err = Open(path); err != nil || r.Left() != left {
			t.Fatalf("it did not come back: %v", err)
		}
		r.Close()
	})
}

// A plan that is refused leaves no file behind, and whoever comes next still has the record alone.
func TestRecordLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "plan.applied.json")
	for range 2 {
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrRuns) {
			t.Errorf("a second one is given %v, want %v", err, ErrRuns)
		}
		r.Close()
		if left, _ := os.ReadDir(dir); len(left) > 0 && runtime.GOOS != "windows" {
			t.Errorf("%s is left behind", left[0].Name())
		}
	}
}
