package rehearsal

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/report"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// The verdict is failed by a limit, by a violated invariant and by any other reason alone, and only by these.
func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		name        string
		limits      []string
		violated    uint64
		reasons     []string
		interrupted bool
		unjudged    string
		want        string
		because     []string
	}{
		{name: "nothing to say", want: report.OK},
		{name: "limits hold", limits: []string{"devices.enrolled == 3", "checkins.failed < 2", "moved.p95 < 1h"}, want: report.OK},
		{name: "the last limit does not", limits: []string{"devices.enrolled == 3", "checkins.failed < 1"}, want: report.Failed, because: []string{"limit checkins.failed < 1: got 1"}},
		{name: "the first limit does not", limits: []string{"devices.enrolled > 3", "checkins.failed < 2"}, want: report.Failed, because: []string{"limit devices.enrolled > 3: got 3"}},
		{name: "an invariant", violated: 1, want: report.Failed},
		{name: "an invariant that a limit forgives", limits: []string{"invariants.violated < 9"}, violated: 1, want: report.Failed},
		{name: "another reason", reasons: []string{"x: it is so"}, want: report.Failed, because: []string{"x: it is so"}},
		{name: "interrupted", limits: []string{"devices.enrolled > 3"}, interrupted: true, want: report.Partial},
		{name: "cut", limits: []string{"devices.enrolled > 3"}, unjudged: "The story was cut.", want: report.OK},
		{name: "cut, with an invariant", violated: 1, unjudged: "The story was cut.", want: report.Failed},
		{name: "interrupted, with an invariant", violated: 1, interrupted: true, want: report.Partial},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &Run{Plan: &plan.Plan{}, Population: new(population.Population), Interrupted: tt.interrupted, Unjudged: tt.unjudged}
			for _, text := range tt.limits {
				var l plan.Limit
				if err := l.UnmarshalText([]byte(text)); err != nil {
					t.Fatal(err)
				}
				r.Plan.Limits = append(r.Plan.Limits, l)
			}
			result := &report.Result{
				Verdict: report.OK, Devices: report.Devices{Enrolled: 3}, CheckIns: report.CheckIns{Failed: 1},
				Invariants: report.Invariants{Checked: 5, Violated: tt.violated}, Reasons: tt.reasons,
			}
			r.judge(result)
			if result.Verdict != tt.want || !slices.Equal(result.Reasons, tt.because) {
				t.Errorf("verdict %s: %q, want %s: %q", result.Verdict, result.Reasons, tt.want, tt.because)
			}
			var judged []string
			for _, l := range result.Limits {
				judged = append(judged, l.Limit)
				if cut := tt.interrupted || tt.unjudged != ""; cut != (l.Got == report.NotJudged) || cut && !l.OK {
					t.Errorf("limit %s: got %s", l.Limit, l.Got)
				}
			}
			if !slices.Equal(judged, tt.limits) {
				t.Errorf("limits %q were judged, want %q", judged, tt.limits)
			}
		})
	}
}

// A register is a server that says of each device what it was told to say.
type register struct {
	target.Target
	all     []target.Device
	portals map[protocol.Authority][]target.Device
	err     error // of the portals
}

func (r *register) Devices(_ context.Context, f target.Filter) iter.Seq2[target.Device, error] {
	return func(yield func(target.Device, error) bool) {
		list := r.all
		if f.Registered != protocol.Unknown {
			if r.err != nil {
				yield(target.Device{}, r.err)
				return
			}
			list = r.portals[f.Registered]
		}
		for _, d := range list {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (r *register) Step(_ context.Context, to protocol.Time) (target.Clock, error) {
	return target.Clock{}, nil
}

// rested is a run of one plan's devices in which nobody said a word.
func rested(t *testing.T, server *register) *Run {
	t.Helper()
	p, err := plan.Parse("rested.yaml", []byte("until: 5h\npopulation: {devices: 3, mix: {ios: 100}}\ntimeline:\n  - {at: 0s, enrol: {over: 1h}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	pop := population.New(p)
	f, err := fleet.New(t.Context(), fleet.Config{Plan: p, Population: pop, Target: server, URL: "https://127.0.0.1", Clock: fleet.Driven(now), Stepper: server})
	if err != nil {
		t.Fatal(err)
	}
	return &Run{Command: "lab", Plan: p, Population: pop, Fleet: f, Log: &Log{}, Start: now, Now: now.Add(5 * time.Hour)}
}

// The portals are asked one by one: a device in both, and one in none, fail the run (I7).
func TestTellPortals(t *testing.T) {
	server := &register{portals: map[protocol.Authority][]target.Device{}}
	r := rested(t, server)
	for i, in := range [][]protocol.Authority{{protocol.Intune}, {protocol.Intune, protocol.Office365}, nil} {
		d := target.Device{ID: r.Population.Devices[i].UDID, Platform: protocol.IOS, Life: enrolled, Registered: protocol.Intune}
		server.all = append(server.all, d)
		for _, a := range in {
			server.portals[a] = append(server.portals[a], d)
		}
	}
	result, story, err := r.Tell(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"device " + server.all[1].ID + ": I7: listed in 2 portals", "device " + server.all[2].ID + ": I7: listed in 0 portals"}
	if result.Verdict != report.Failed || result.Invariants.Violated != 2 || !slices.Equal(result.Reasons, want) {
		t.Errorf("verdict %s, %d violated, %q; want %q", result.Verdict, result.Invariants.Violated, result.Reasons, want)
	}
	if lead := strings.Join(story.Lead, " "); !strings.Contains(lead, "disagree on 2 points") || story.Devices.Total < 2 {
		t.Errorf("%q, %d devices to look at", lead, story.Devices.Total)
	}
	server.err = errors.New("out of order")
	if _, _, err := r.Tell(t.Context(), server); !errors.Is(err, server.err) {
		t.Errorf("portals that do not answer: %v", err)
	}
}
