package load

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"rollcall/agent/link"
	"rollcall/fleet/plan"
	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

var update = flag.Bool("update", false, "rewrite the files that tests compare with")

func limits(t testing.TB, texts ...string) []plan.Limit {
	t.Helper()
	list := make([]plan.Limit, len(texts))
	for i, text := range texts {
		if err := list[i].UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// tell enrols and runs in a bubble and returns the result.
func (r *rig) tell(n int, c Config, s Setting) (*report.Result, *Section, *report.Story) {
	r.t.Helper()
	l := r.load(n, c)
	defer l.Close()
	e, err := l.Enrol(r.t.Context())
	if err == nil {
		err = l.Run(r.t.Context())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	result, story, err := l.Tell(s, e, Generator{})
	if err != nil {
		r.t.Fatal(err)
	}
	return result, result.Sections["load"].(*Section), story
}

// A generator that is kept from its work says so, and nothing of the server (HST-126).
func TestHST126Strangled(t *testing.T) {
	for name, strangled := range map[string]bool{"left alone": false, "strangled": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(http.ResponseWriter, *http.Request) { time.Sleep(time.Millisecond) })
				defer r.close()
				c := Config{Link: kept, Pace: Constant(50, 3*time.Second)}
				if strangled {
					c.Progress = func(p Progress) {
						if !p.Enrolling {
							time.Sleep(200 * time.Millisecond) // in the way of the dispatcher
						}
					}
				}
				got, _, story := r.tell(20, c, Setting{Limits: limits(t, "checkins.p99 < 1s")})
				if !strangled {
					if got.Verdict != report.OK || got.Err() != nil {
						t.Errorf("%s: %q", got.Verdict, got.Reasons)
					}
					return
				}
				if got.Verdict != report.Invalid || len(got.Reasons) != 1 || !strings.Contains(got.Reasons[0], "generator saturated") {
					t.Errorf("%s: %q", got.Verdict, got.Reasons)
				}
				if !strings.Contains(strings.Join(story.NotShown, " "), "generator was at its own limit") {
					t.Errorf("not shown: %q", story.NotShown)
				}
			})
		})
	}
}

// Each thing that convicts a generator, and how much of it is still allowed.
func TestHST126Judge(t *testing.T) {
	for _, tt := range []struct {
		name  string
		g     Generator
		tight time.Duration
		want  string // a part of the reason; empty: not convicted
	}{
		{"nothing", Generator{}, 0, ""},
		{"late", Generator{StartDelay: Quantiles{P99: 11}}, 0, "began 11 ms or more after"},
		{"a little late", Generator{StartDelay: Quantiles{P99: 9}}, 0, ""},
		{"late for its limit", Generator{StartDelay: Quantiles{P99: 9}}, 50 * time.Millisecond, "a tenth of the limit of 50ms"},
		{"in time for its limit", Generator{StartDelay: Quantiles{P99: 4}}, 50 * time.Millisecond, ""},
		{"no processor", Generator{SchedulingP99: 20}, 0, "waited 20 ms for a processor"},
		{"no files", Generator{Exhausted: 3}, 0, "no more sockets, ports or files for 3 requests"},
		{"garbage", Generator{GCPause: 60}, 0, "garbage collector stopped it for 60 ms"},
		{"stopped", Generator{Standstill: 1500}, 0, "stood still for 1.5 s"},
		{"clock", Generator{ClockStep: 3600_000}, 0, "clock was set by 3600.0 s"},
	} {
		got := strings.Join(tt.g.judge(tt.tight), "; ")
		if got == "" != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := tightest(limits(t, "checkins.p99 < 50ms", "checkins.p999_ms <= 20", "checkins.failed == 0", "checkins.p50 < 1s")); got != 20*time.Millisecond {
		t.Errorf("tightest limit %v, want 20ms", got)
	}
}

// A verdict follows the limits; a server that answers nothing well fails without any, and what was never answered, or never
// begun, counts as long as it was waited for.
func TestVerdict(t *testing.T) {
	ok := func(http.ResponseWriter, *http.Request) { time.Sleep(time.Millisecond) }
	for _, tt := range []struct {
		name    string
		do      http.HandlerFunc
		limits  []string
		verdict string
		reason  string
		p99     float64 // at least, in ms
	}{
		{"held", ok, []string{"checkins.p99 < 50ms", "checkins.failed == 0", "load.not_started == 0"}, report.OK, "", 0},
		{"broken", ok, []string{"checkins.per_second > 1000"}, report.Failed, "the limit checkins.per_second > 1000 is broken", 0},
		{"all refused", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, nil, report.Failed, "not one of 10 check-ins was completed", 0},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) { time.Sleep(20 * time.Second) }, []string{"checkins.p99 < 5s"}, report.Failed, "is broken: 1", 10_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				on := false
				r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
					if on {
						tt.do(w, r)
					}
				})
				defer r.close()
				l := r.load(2, Config{Link: link.Config{KeepOpen: true, Timeout: 12 * time.Second}, Pace: Constant(10, time.Second)})
				defer l.Close()
				e, err := l.Enrol(t.Context())
				on = true
				if err == nil {
					err = l.Run(t.Context())
				}
				if err != nil {
					t.Fatal(err)
				}
				got, _, err := l.Tell(Setting{Limits: limits(t, tt.limits...)}, e, Generator{})
				if err != nil {
					t.Fatal(err)
				}
				if x := got.Sections["load"].(*Section); tt.p99 > 0 {
					unfinished := slices.IndexFunc(x.Steps, func(s StepFigures) bool { return s.Outcome == Stopped.String() })
					if x.NotStarted != 6 || unfinished < 0 || x.Steps[unfinished].Count != 8 || x.Steps[unfinished].Max < 11_000 {
						t.Errorf("%d not started, %+v; want 6 that count, beside the 2 that were cut short", x.NotStarted, x.Steps)
					}
				}
				if got.Verdict != tt.verdict || !strings.Contains(strings.Join(got.Reasons, "; "), tt.reason) || got.CheckIns.P99 < tt.p99 {
					t.Errorf("%s %q, %+v; want %s %q", got.Verdict, got.Reasons, got.CheckIns, tt.verdict, tt.reason)
				}
			})
		})
	}
}

// A result says how the load was made, reads as its schema says, and is a page.
func TestResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, q *http.Request) { time.Sleep(3 * time.Millisecond) })
		defer r.close()
		setting := Setting{
			Command: "fleet run", Target: "https://127.0.0.1", Server: "nanomdm", Identity: "minted", Authentication: "mutual TLS", SharedHost: true,
			KeyExchange: "X25519", Seed: 7, Title: "A load", Sources: 1,
		}
		got, x, story := r.tell(5, Config{Pace: Constant(20, 6*time.Second)}, setting)
		if x.Full != 120 || x.Resumed != 0 || x.Windows[3].Done != 20 || x.Windows[3].P50 < 2.9 || x.Enrolment.Devices != 5 || x.Handshakes != "full" {
			t.Errorf("%+v", x)
		}
		conforms(t, got)
		var page, text, object bytes.Buffer
		if err := report.Page(&page, got, story); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(page.String(), "Each request from the moment that was planned for it") {
			t.Error("the page does not say since when latencies count")
		}
		if err := report.Summary(&text, got, story, false); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text.String(), "Shared host: server and generator share a machine") {
			t.Errorf("the summary claims too much:\n%s", &text)
		}
		if err := report.WriteJSON(&object, got); err != nil {
			t.Fatal(err)
		}
		back, err := ReadBaseline(bytes.NewReader(object.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if c := compare(back, x); !c.Comparable || c.Pairs != 6 || c.P99.Percent != 0 || c.P99.Clear() {
			t.Errorf("a run compared with itself: %+v", c)
		}
		for cut := range object.Len() - 2 {
			if cut%97 != 0 {
				continue
			}
			if _, err := ReadBaseline(bytes.NewReader(object.Bytes()[:cut])); err == nil || !strings.Contains(err.Error(), "cut off") {
				t.Errorf("cut at %d: %v", cut, err)
				break
			}
		}
	})
}

// A result names the key exchange that was used, not the one that was asked for; where no connection was made, the latter.
func TestKeyExchange(t *testing.T) {
	for name, tt := range map[string]struct {
		link link.Config
		want string
	}{
		"asked for": {link.Config{Curves: []tls.CurveID{tls.X25519}}, "X25519"},
		"another":   {link.Config{Curves: []tls.CurveID{tls.CurveP256}}, "P256"},
		"none":      {link.Config{Curves: []tls.CurveID{tls.CurveP256}, KeepOpen: true}, "X25519"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(http.ResponseWriter, *http.Request) {})
				defer r.close()
				_, x, story := r.tell(2, Config{Link: tt.link, Pace: Constant(5, time.Second)}, Setting{KeyExchange: "X25519"})
				if alone := strings.Contains(fmt.Sprint(story.NotShown), "used X25519 alone"); x.KeyExchange != tt.want || alone != (tt.want == "X25519") {
					t.Errorf("%s, said so: %v; want %s", x.KeyExchange, alone, tt.want)
				}
			})
		})
	}
	b := book{notes: notes{curves: map[tls.CurveID]uint64{tls.CurveP256: 2, tls.X25519: 3}}}
	if got := b.keyExchange(); got != "X25519 and P256" {
		t.Error(got)
	}
}

// wandering is a run whose latencies wander by a first-order process with correlation r about those of a server so much slower.
func wandering(random *rand.Rand, windows int, r, slower float64) *Section {
	x := &Section{Loop: "open", Pace: "100/s", WindowSeconds: 1}
	at := random.NormFloat64()
	for range windows {
		at = r*at + math.Sqrt(1-r*r)*random.NormFloat64()
		wobble := slower * math.Exp(0.05*at)
		x.Windows = append(x.Windows, Window{Offered: 100, Done: 100, Count: 100, P50: 5 * wobble, P99: 20 * wobble})
	}
	return x
}

// A change is clear where there is one, and of equal servers no more often than its 95 per cent say, however much each window is
// like the one before it.
func TestCompareWander(t *testing.T) {
	const runs = 400
	for _, tt := range []struct {
		windows int
		r       float64
		found   int // at least, of a server 10 % slower
	}{{30, 0, 395}, {60, 0.5, 390}, {60, 0.9, 120}, {225, 0.9, 360}} {
		random := rand.New(rand.NewPCG(1, 2))
		wrong, found, covered := 0, 0, 0
		for range runs {
			a := wandering(random, tt.windows, tt.r, 1)
			if compare(a, wandering(random, tt.windows, tt.r, 1)).P99.Clear() {
				wrong++
			}
			c := compare(a, wandering(random, tt.windows, tt.r, 1.1)).P99
			if c.Clear() && c.Percent > 0 {
				found++
			}
			if c.Pairs == 0 || c.Least < 10 && c.Most > 10 {
				covered++
			}
		}
		if wrong > runs*8/100 || covered < runs*90/100 || found < tt.found {
			t.Errorf("%d windows, %v: %d of 400 clear of equal servers, 10 %% found %d times, in the interval %d times", tt.windows, tt.r, wrong, found, covered)
		}
	}
}

// Two runs that were not made alike are not compared; a change is told with its uncertainty.
func TestCompare(t *testing.T) {
	section := func(slower float64) *Section {
		x := wandering(rand.New(rand.NewPCG(3, uint64(100*slower))), 60, 0, slower)
		for i := range x.Windows {
			x.Windows[i].P50 /= slower
		}
		return x
	}
	c := compare(section(1), section(1.3))
	if !c.Comparable || !c.P99.Clear() || math.Abs(c.P99.Percent-30) > 8 || c.P99.Least > 30 || c.P99.Most < 30 || c.P50.Clear() || c.Done.Clear() {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(c.P50.In(lang.English), "no clear change") || !strings.Contains(c.String(), "within these two runs") {
		t.Error(c)
	}
	for name, edit := range map[string]func(*Section){
		"devices": func(x *Section) { x.devices = "20" }, "pace": func(x *Section) { x.Pace = "2/s" }, "connections": func(x *Section) { x.Connections = "kept" },
		"identities": func(x *Section) { x.Identity = "minted" }, "source addresses": func(x *Section) { x.Sources = 2 },
		"devices turned away": func(x *Section) { x.Retries = true }, "only 3 pairs of windows": func(x *Section) { x.Windows = x.Windows[:3] },
	} {
		other := section(1)
		edit(other)
		if c := compare(section(1), other); c.Comparable || len(c.Why) != 1 || !strings.HasPrefix(c.Why[0], name) {
			t.Errorf("%s: %+v", name, c)
		}
	}
	other := section(1)
	other.Target = "https://old"
	if c := compare(other, section(1)); !c.Comparable || !strings.Contains(c.String(), "was of https://old") {
		t.Error(c)
	}
}

// Two whole runs of which both are valid, the second on a server that is a fifth slower: by its kept result the first is a baseline, and the
// change of p50, p99 and what was done comes in per cent, with its interval, into the result and the words of the second.
func TestBaselineOfAValidRun(t *testing.T) {
	run := func(t *testing.T, slower float64, baseline []byte) (kept []byte, result *report.Result, x *Section, story *report.Story) {
		synctest.Test(t, func(t *testing.T) {
			random, mu := rand.New(rand.NewPCG(5, 6)), sync.Mutex{}
			r := newRig(t, func(http.ResponseWriter, *http.Request) {
				mu.Lock()
				took := slower * (8 + 4*random.Float64())
				mu.Unlock()
				time.Sleep(time.Duration(took * float64(time.Millisecond)))
			})
			defer r.close()
			s := plain
			if baseline != nil {
				var err error
				if s.Baseline, err = ReadBaseline(bytes.NewReader(baseline)); err != nil {
					t.Fatal(err)
				}
			}
			s.Limits = limits(t, "checkins.failed == 0")
			result, x, story = r.tell(20, Config{Link: link.Config{KeepOpen: true}, Pace: Constant(120, 8*time.Second)}, s)
			var b bytes.Buffer
			if err := report.WriteJSON(&b, result); err != nil {
				t.Fatal(err)
			}
			kept = b.Bytes()
		})
		return kept, result, x, story
	}
	first, result, _, _ := run(t, 1, nil)
	if result.Verdict != report.OK {
		t.Fatalf("%s %q", result.Verdict, result.Reasons)
	}
	_, result, x, story := run(t, 1.2, first)
	conforms(t, result)
	c := x.Baseline
	if result.Verdict != report.OK || c == nil || !c.Comparable || c.Pairs != 8 {
		t.Fatalf("%s %q, %+v", result.Verdict, result.Reasons, c)
	}
	if p := c.P50; !p.Clear() || p.Pairs != 8 || math.Abs(p.Percent-20) > 3 || p.Least < 10 || p.Most > 30 || p.Least == p.Most {
		t.Errorf("p50 %+v", p)
	}
	if p := c.P99; !p.Clear() || math.Abs(p.Percent-20) > 5 {
		t.Errorf("p99 %+v", p)
	}
	if c.Done.Clear() || c.Failed[1].Count != 0 {
		t.Errorf("done %+v, failed %v", c.Done, c.Failed)
	}
	if text := strings.Join(story.Lead, " "); !strings.Contains(text, "p50 "+c.P50.In(lang.English)) {
		t.Error(text)
	}
}

// What a server did not do counts in every window, also where nothing was answered well; a quantile is one of enough answers.
func TestCompareFailures(t *testing.T) {
	const windows = 60
	random := func() *rand.Rand { return rand.New(rand.NewPCG(5, 6)) }
	then, now := wandering(random(), windows, 0, 1), wandering(random(), windows, 0, 1)
	for i := range windows / 3 {
		now.Windows[3*i] = Window{Offered: 100, Failed: 100, Count: 300, P50: 0.1, P99: 0.1} // turned away soon
	}
	c := compare(then, now)
	if !c.Comparable || !c.Done.Clear() || math.Abs(c.Done.Percent+33.3) > 0.1 || c.Failed != [2]Part{{0, 6000}, {2000, 6000}} || c.Pairs != 60 || c.P50.Pairs != 40 {
		t.Errorf("%+v", c)
	}
	for _, want := range []string{"worse: 2,000 of 6,000 failed, 0 of 6,000 then", "20 of 60 pairs of windows had"} {
		if !strings.Contains(c.String(), want) {
			t.Errorf("%s; want %s", c, want)
		}
	}
	for _, x := range []*Section{then, now} {
		for i := range x.Windows {
			x.Windows[i].Count = 20
		}
	}
	if c := compare(then, then); c.P99.Pairs != 0 || c.P50.Pairs != windows || !strings.Contains(c.String(), "p99 cannot be told") {
		t.Errorf("a p99 of 20 answers: %+v", c)
	}
}

func TestReadBaselineRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "cut off",
		"<html>":                          "no result",
		`{"version":1}`:                   "no version 1 and load",
		`{"version":2,"load":{}}`:         "no version 1",
		`{"version":1,"load":{"loop":1}}`: "no result of a fleet run: load.loop is number",
		`[]`:                              "no result of a fleet run: it is no JSON object, but one array",
		`{"version":1,"load":{}}`:         "has no loop",
		`{"version":1,"verdict":"invalid","load":{}}`: "the verdict of that run is invalid",
	} {
		if _, err := ReadBaseline(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzReadBaseline(f *testing.F) {
	f.Add([]byte(`{"version":1,"load":{"loop":"open","windows":[{"count":20,"p50_ms":1,"p99_ms":-1}],"window_seconds":1}}`))
	window := `{"count":200,"done":1,"p50_ms":%s,"p99_ms":1}`
	f.Add(fmt.Appendf(nil, `{"version":1,"load":{"loop":"open","window_seconds":1,"windows":[%[1]s,%[1]s,%[1]s,%[2]s,%[1]s,%[1]s]}}`, fmt.Sprintf(window, "1e-308"), fmt.Sprintf(window, "1e308")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := ReadBaseline(bytes.NewReader(b)); err == nil {
			y := *x
			y.Windows = slices.Clone(x.Windows)
			slices.Reverse(y.Windows)
			if _, err := json.Marshal(compare(x, &y)); err != nil {
				t.Error(err)
			}
		}
	})
}

// A limit on a comparison that says nothing is broken, whatever figures stand there in place of one.
func TestLimitsOnBaseline(t *testing.T) {
	limit := func(text string) *plan.Limit {
		l := new(plan.Limit)
		if err := l.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return l
	}
	told := Change{Pairs: 9, Percent: 1}
	for _, tt := range []struct {
		limit    string
		baseline *Comparison
		want     string // in the reason; empty: it is judged
	}{
		{"load.baseline.p99.percent < 10", nil, "no baseline"},
		{"load.baseline.p99.percent < 10", &Comparison{Why: []string{"devices: 2 then, 3 now"}}, "devices: 2 then, 3 now"},
		{"load.baseline.p99.percent < 10", &Comparison{Comparable: true, P50: told}, "cannot be told"},
		{"load.baseline.p50.percent < 10", &Comparison{Comparable: true, P50: told}, ""},
		{"load.baseline.comparable == true", &Comparison{Why: []string{"loop"}}, ""},
		{"checkins.p99 < 1s", nil, ""},
	} {
		got := (&Section{Baseline: tt.baseline}).incomparable(limit(tt.limit))
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.limit, got, tt.want)
		}
	}
}

// The comparison is shown whole: a report cuts what is longer than 500 characters.
func TestComparisonIsShort(t *testing.T) {
	told, far := Change{Pairs: 600, Percent: -12.3, Least: -23.4, Most: 34.5}, "https://"+strings.Repeat("a", 30)+".example:8443"
	failed := [2]Part{{100_000, 900_000}, {200_000, 900_000}}
	for _, c := range []Comparison{
		{Comparable: true, Target: far, Pairs: 600, Failed: failed, Done: told, P50: told, P99: told},
		{Comparable: true, Target: far, Pairs: 600, Failed: failed, Done: told},
		{Comparable: true, Target: far, Pairs: 601, Failed: failed, Done: told, P50: told},
	} {
		for _, l := range []lang.Language{lang.English, lang.Dutch} {
			if text := c.In(l); utf8.RuneCountInString(text) > 500 {
				t.Errorf("%d characters: %s", utf8.RuneCountInString(text), text)
			}
		}
	}
}

// A limit on a baseline fails a run that has none to be compared with.
func TestLimitWithoutBaseline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(http.ResponseWriter, *http.Request) { time.Sleep(time.Millisecond) })
		defer r.close()
		got, _, _ := r.tell(4, Config{Link: kept, Pace: Constant(4, time.Second)}, Setting{Limits: limits(t, "load.baseline.p99.percent < 10")})
		if got.Verdict != report.Failed || !strings.Contains(strings.Join(got.Reasons, "; "), "there is no baseline to compare with") {
			t.Errorf("%s: %q", got.Verdict, got.Reasons)
		}
	})
}
