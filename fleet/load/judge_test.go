package load

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/report"
)

// judged is the result of a load that began once all had enrolled.
func (r *rig) judged(ctx context.Context, n int, c Config, s Setting, g Generator, began func()) (*report.Result, *Section, *report.Story) {
	r.t.Helper()
	l := r.load(n, c)
	defer l.Close()
	e, err := l.Enrol(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	began()
	if err := l.Run(ctx); err != nil && !s.Interrupted {
		r.t.Fatal(err)
	}
	got, story, err := l.Tell(s, e, g)
	if err != nil {
		r.t.Fatal(err)
	}
	return got, got.Sections["load"].(*Section), story
}

// Check-ins that were refused or failed do not pass where no limit speaks of them; of those that were done in the end nothing is said.
func TestUnspokenFailures(t *testing.T) {
	for _, tt := range []struct {
		name    string
		limits  []string
		c       report.CheckIns
		woken   int
		want    string // a part; empty: nothing
		without string
	}{
		{"refused", []string{"checkins.p99 < 5s"}, report.CheckIns{Offered: 60, Done: 6, Refused: 54}, 0, "of 60 offered 54 were refused", "failed and"},
		{"no limit at all", nil, report.CheckIns{Offered: 60, Done: 6, Refused: 50, Failed: 4}, 3, "50 were refused and 4 failed, 3 of them", ""},
		{"another is spoken of", []string{"checkins.failed < 5"}, report.CheckIns{Offered: 60, Done: 6, Refused: 54}, 0, "54 were refused", ""},
		{"spoken of", []string{"checkins.failed < 5", "checkins.refused < 60"}, report.CheckIns{Offered: 60, Done: 6, Refused: 50, Failed: 4}, 0, "", ""},
		{"what is done is spoken of", []string{"checkins.done > 5"}, report.CheckIns{Offered: 60, Done: 6, Refused: 50, Failed: 4}, 0, "", ""},
		{"came again", nil, report.CheckIns{Offered: 60, Done: 60, Refused: 54}, 0, "", ""},
		{"never woken", []string{"checkins.refused == 0"}, report.CheckIns{Offered: 50, Done: 42, Failed: 8}, 8, "8 failed, 8 of them because no push came", "refused and"},
	} {
		got := unspoken(&tt.c, tt.woken, limits(t, tt.limits...))
		if got == "" != (tt.want == "") || !strings.Contains(got, tt.want) || tt.without != "" && strings.Contains(got, tt.without) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		on := false
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			if on && n.Add(1)%2 == 0 {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		defer r.close()
		got, _, _ := r.judged(t.Context(), 20, Config{Link: kept, Pace: Constant(10, time.Second)}, Setting{Limits: limits(t, "checkins.p99 < 5s")}, Generator{}, func() { on = true })
		if got.Verdict != report.Failed || got.CheckIns.Done != 5 || len(got.Reasons) != 1 {
			t.Errorf("%s %q, %+v", got.Verdict, got.Reasons, got.CheckIns)
		}
	})
}

// A push that the server was asked for and that never came is a check-in that failed, and one of which the percentiles know.
func TestPushThatNeverCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(http.ResponseWriter, *http.Request) {})
		defer r.close()
		service := &post{devices: map[string]func([]byte){}, kept: map[string][]byte{}}
		var asked atomic.Int32
		var l *Load
		l = r.load(5, Config{
			Link: kept, Pace: Constant(10, time.Second), Drain: 2 * time.Second, Push: service,
			Wake: func(_ context.Context, udid string) error {
				if asked.Add(1) == 7 {
					return nil // and forgets it
				}
				i := slices.IndexFunc(l.config.Devices, func(d fleet.Device) bool { return Name(d) == udid })
				service.push(l.config.Devices[i])
				return nil
			},
		})
		defer l.Close()
		e, err := l.Enrol(t.Context())
		if err := errors.Join(err, l.Run(t.Context())); err != nil {
			t.Fatal(err)
		}
		got, _, err := l.Tell(Setting{Limits: limits(t, "checkins.p99 < 1s", "checkins.failed == 0")}, e, Generator{})
		if c := got.CheckIns; err != nil || c.Offered != 10 || c.Done != 9 || c.Failed != 1 || c.P99 < 2000 || got.Verdict != report.Failed || len(got.Reasons) != 2 {
			t.Errorf("%s %q, %+v (%v)", got.Verdict, got.Reasons, c, err)
		}
	})
}

// What convicts the generator is said of a run that was interrupted too (HST-126).
func TestHST126InterruptedAndConvicted(t *testing.T) {
	for _, still := range []float64{0, 4000} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(http.ResponseWriter, *http.Request) {})
			defer r.close()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			time.AfterFunc(5*time.Second, stop)
			got, x, story := r.judged(ctx, 5, Config{Link: kept, Pace: Constant(10, time.Hour)}, Setting{Interrupted: true}, Generator{Standstill: still}, func() {})
			why, not := strings.Join(got.Reasons, "; "), strings.Join(story.NotShown, " ")
			convicted := still > 0
			if got.Verdict != report.Partial || strings.Contains(why, "and it is invalid") != convicted || strings.Contains(why, "stood still for 4.0 s") != convicted ||
				strings.Contains(not, "generator was at its own limit") != convicted || len(x.Generator.Convicted) > 0 != convicted {
				t.Errorf("%s %q, not shown %q, %q", got.Verdict, got.Reasons, story.NotShown, x.Generator.Convicted)
			}
		})
	}
}

// A server that always takes as long and is asked more often than the devices can, is not blamed for their waiting; one whose own answers
// break the limit is, and so is one that stalls (HST-126).
func TestHST126TooFewDevices(t *testing.T) {
	for _, tt := range []struct {
		name    string
		devices int
		takes   time.Duration
		stall   time.Duration // of all, as the load begins
		want    string        // verdict
	}{
		{"too few", 2, 400 * time.Millisecond, 0, report.Invalid},
		{"enough", 20, 400 * time.Millisecond, 0, report.OK},
		{"too slow by itself", 2, 600 * time.Millisecond, 0, report.Failed},
		{"a stall", 10, time.Millisecond, 2 * time.Second, report.Failed},
	} {
		synctest.Test(t, func(t *testing.T) {
			var begin time.Time
			r := newRig(t, func(http.ResponseWriter, *http.Request) {
				if !begin.IsZero() {
					time.Sleep(max(tt.takes, tt.stall-time.Since(begin)))
				}
			})
			defer r.close()
			got, x, _ := r.judged(t.Context(), tt.devices, Config{Link: kept, Pace: Constant(20, 4*time.Second)}, Setting{Limits: limits(t, "checkins.p99 < 500ms")}, Generator{}, func() { begin = time.Now() })
			if why := strings.Join(got.Reasons, "; "); got.Verdict != tt.want || strings.Contains(why, "too few devices for this rate: conversations as long as this server's keep 8 busy at a time, and there are 2") != (tt.want == report.Invalid) {
				t.Errorf("%s: %s %q, %v devices needed, wait %+v", tt.name, got.Verdict, got.Reasons, x.Needed, x.Short)
			}
		})
	}
}

// An answer that breaks off counts for as long as it was waited for, and what every outcome took is said beside.
func TestCutAnswersCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := false
		var n atomic.Int64
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
			if on && n.Add(1)%2 == 0 {
				time.Sleep(3 * time.Second)
				panic(http.ErrAbortHandler)
			}
		})
		defer r.close()
		got, x, _ := r.judged(t.Context(), 20, Config{Pace: Constant(10, time.Second)}, Setting{Limits: limits(t, "checkins.p99 < 100ms", "checkins.failed < 9")}, Generator{}, func() { on = true })
		if got.Verdict != report.Failed || got.CheckIns.P99 < 2900 || x.Every.Count != 10 || x.Sent.Count != 5 {
			t.Errorf("%s %q, %+v, %+v", got.Verdict, got.Reasons, got.CheckIns, x.Every)
		}
	})
}

// An enrolment that fails leaves a result: that it failed, why, and what its requests came to; of limits it is said that nobody judged them.
func TestEnrolmentThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
		defer r.close()
		l := r.load(3, Config{Link: kept, Pace: Constant(1, time.Second)})
		defer l.Close()
		e, err := l.Enrol(t.Context())
		if err == nil {
			t.Fatal("it did not fail")
		}
		got, story, err := l.Tell(Setting{Unenrolled: err.Error(), Limits: limits(t, "checkins.failed == 0")}, e, Generator{})
		if err != nil {
			t.Fatal(err)
		}
		x := got.Sections["load"].(*Section)
		if got.Verdict != report.Failed || len(got.Reasons) != 1 || !strings.Contains(got.Reasons[0], "403") || x.Enrolment == nil || len(x.Enrolment.Steps) == 0 {
			t.Errorf("%s %q, %+v", got.Verdict, got.Reasons, x.Enrolment)
		}
		if len(got.Limits) != 1 || got.Limits[0].Got != report.NotJudged || len(story.Tables) != 4 {
			t.Errorf("%+v, %d tables", got.Limits, len(story.Tables))
		}
	})
}

// What a server sent does not make the sentence that tells of it long.
func TestTroubleIsShort(t *testing.T) {
	var l Load
	l.tell("Authenticate", errors.New(strings.Repeat("\\xff", 1000)+"ü"))
	if text := *l.trouble.Load(); len(text) > 310 || !strings.HasPrefix(text, `Authenticate: \xff`) || !strings.HasSuffix(text, "…") {
		t.Error(text)
	}
	if got := clipped(strings.Repeat("ü", 200)); got != strings.Repeat("ü", 150)+"…" {
		t.Error(got)
	}
}
