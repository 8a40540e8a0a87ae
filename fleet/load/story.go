package load

import (
	"fmt"
	"math"
	"strings"
	"time"

	"rollcall/agent/dialect"
	"rollcall/fleet/report"
)

// story tells a load to people.
func (l *Load) story(r *report.Result, x *Section, s *Setting, all *book) *report.Story {
	c := &r.CheckIns
	st := &report.Story{Title: s.Title, Start: l.begin, Until: max(l.Length(), l.ended), Plan: s.Plan, LatencyFrom: "from the moment that was planned for it"}
	if x.Loop == "closed" {
		st.LatencyFrom = "from the moment it was sent, in a closed loop, which hides stalls"
	}
	st.Lead = append(st.Lead, fmt.Sprintf("%s: %s, against %s as %s.", x.Arrivals, x.Pace, x.Target, x.Server))
	if x.Trouble != "" && r.Verdict != report.Failed {
		st.Lead = append(st.Lead, "The first request that went wrong: "+x.Trouble+".")
	}
	if x.Baseline != nil {
		st.Lead = append(st.Lead, x.Baseline.String())
	}
	late := time.Duration(x.Generator.StartDelay.P99 * float64(time.Millisecond))
	st.Figures = []report.Figure{
		{Name: x.Arrivals + " offered", Value: c.Offered, Note: "by the plan, whatever the server did"},
		{Name: "done", Value: c.Done, Note: fmt.Sprintf("%.4g a second", c.PerSecond)},
		{Name: "refused", Value: c.Refused, Note: "by an answer", Bad: c.Refused > 0},
		{Name: "failed", Value: c.Failed, Note: "without one, or by nonsense", Bad: c.Failed > 0},
		{Name: "not started", Value: x.NotStarted, Note: "no device was free", Bad: x.NotStarted > 0},
		{Name: "p50", Value: span(c.P50), Note: st.LatencyFrom},
		{Name: "p99", Value: span(c.P99)},
		{Name: "p99.9", Value: span(c.P999)},
		{Name: "p99 of every outcome", Value: span(x.Every.P99), Note: "refusals and errors too"},
		{Name: "start delay, p99", Value: late, Note: "added by the generator itself", Bad: late > mostLate},
	}
	if k := x.Generator.Calibration; k != nil && k.Asked > 0 {
		st.Figures = append(st.Figures, report.Figure{
			Name: "headroom", Value: fmt.Sprintf("%.1f", k.Headroom), Note: fmt.Sprintf("the generator reaches %.0f/s here, %.0f/s were asked for", k.Reach, k.Asked), Bad: k.Headroom < 1,
		})
	}
	if k := x.Called; k != nil {
		st.Figures = append(st.Figures, report.Figure{
			Name: "called have come", Value: k.Came, Note: fmt.Sprintf("of %d, the last one was done %.1f s after the server was asked", k.Devices, k.Seconds), Bad: k.Came < k.Devices,
		})
	}
	if e := x.Enrolment; e != nil && e.Again+e.GaveUp > 0 {
		st.Figures = append(st.Figures, report.Figure{
			Name: "gave up enrolling", Value: e.GaveUp, Note: fmt.Sprintf("of %d; %d tries were made because a request had no answer", e.Devices, e.Again), Bad: e.GaveUp > 0,
		})
	}
	if l.config.Ledger != nil {
		found := l.config.Ledger.Result()
		note := fmt.Sprintf("of %d orders, %d confirmed", found.Ordered, found.Confirmed)
		if found.Open > 0 {
			note += fmt.Sprintf(", %d open", found.Open)
		}
		st.Figures = append(st.Figures, report.Figure{Name: "faults in the ledger", Value: found.Faults(), Note: note, Bad: found.Faults() > 0})
	}
	st.Acts = l.played.list
	st.Charts = x.charts()
	st.Tables = []report.Table{x.requests("Requests", x.Steps), x.made(), x.generator()}
	if x.Enrolment != nil {
		t := x.requests("Enrolment before the load", x.Enrolment.Steps)
		t.Caption = x.Enrolment.caption()
		st.Tables = append(st.Tables, t)
	}
	for step := range all.steps {
		if h := all.steps[step][Good]; h != nil {
			st.Latency = append(st.Latency, report.LatencyOf(dialect.Step(step).String(), h))
		}
	}
	if all.woken != nil {
		st.Latency = append(st.Latency, report.LatencyOf("push, from its intended order", all.woken))
	}
	st.NotShown = x.notShown()
	return st
}

func span(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

func (x *Section) charts() []report.Chart {
	window := time.Duration(x.WindowSeconds * float64(time.Second))
	series := func(name string, of func(*Window) float64) report.Series {
		s := report.Series{Name: name}
		for i := range x.Windows {
			s.Points = append(s.Points, report.Point{At: time.Duration(i) * window, Value: of(&x.Windows[i])})
		}
		return s
	}
	rate := func(n uint64) float64 { return float64(n) / x.WindowSeconds }
	return []report.Chart{
		{
			Title: "Arrivals", Unit: "a second", Caption: "By the moment at which each was meant to begin, and what became of it.", Kind: report.Lines,
			Series: []report.Series{
				series("offered", func(w *Window) float64 { return rate(w.Offered) }), series("done", func(w *Window) float64 { return rate(w.Done) }),
				series("failed", func(w *Window) float64 { return rate(w.Failed) }),
			},
		},
		{
			Title: "Latency", Unit: "ms", Caption: "Of the requests that were meant to begin then and got a good answer.", Kind: report.Lines,
			Series: []report.Series{series("p50", func(w *Window) float64 { return w.P50 }), series("p99", func(w *Window) float64 { return w.P99 })},
		},
	}
}

func (x *Section) requests(title string, steps []StepFigures) report.Table {
	t := report.Table{
		Title: title, Caption: "By step of the conversation and what became of it.",
		Columns: []report.Column{{Name: "Request"}, {Name: "Outcome"}, {Name: "Count", Bar: true}, {Name: "p50"}, {Name: "p99"}, {Name: "p99.9"}, {Name: "Longest"}},
	}
	for _, s := range steps {
		t.Rows = append(t.Rows, []any{s.Step, s.Outcome, s.Count, span(s.P50), span(s.P99), span(s.P999), span(s.Max)})
	}
	return t
}

// made tells how the load was made.
func (x *Section) made() report.Table {
	t := report.Table{Title: "How the load was made", Columns: []report.Column{{Name: "What"}, {Name: "How"}}}
	add := func(what string, how any) { t.Rows = append(t.Rows, []any{what, how}) }
	add("loop", x.Loop)
	add("identities", x.Identity)
	add("authentication", x.Authentication)
	add("devices are woken by", x.WokenBy)
	add("connections", x.Connections)
	add("TLS handshakes", fmt.Sprintf("%s (%d full, %d resumed), %s", x.Handshakes, x.Full, x.Resumed, x.KeyExchange))
	add("source addresses", x.Sources)
	add("planned from a step to the next", span(x.Think))
	add("devices turned away", map[bool]string{true: "come again by themselves", false: "come when it is their turn"}[x.Retries])
	add("commands carried out", x.Commands)
	add("bytes of bodies sent and received", fmt.Sprintf("%d and %d", x.SentBytes, x.ReceivedBytes))
	return t
}

func (x *Section) generator() report.Table {
	g := &x.Generator
	t := report.Table{
		Title: "The generator itself", Caption: "What would convict it: where it was the bottleneck, nothing is said of the server.",
		Columns: []report.Column{{Name: "What"}, {Name: "Got"}, {Name: "Allowed"}},
	}
	add := func(what string, got, allowed any) { t.Rows = append(t.Rows, []any{what, got, allowed}) }
	add("start delay, p99", span(g.StartDelay.P99), "10 ms, and a tenth of the tightest limit on a latency")
	if x.Needed > 0 {
		add("devices that were busy at a time", math.Ceil(x.Needed), "those that there are, where arrivals wait for one")
		add("wait for a device, p99", span(x.Short.P99), "any, where there are enough")
	}
	add("wait for a processor, p99", span(g.SchedulingP99), "the same")
	add("longest standstill", span(g.Standstill), mostStill)
	add("longest pause of the garbage collector", span(g.GCPause), mostPause)
	add("garbage collector's share of processor time", report.Share(g.GCShare), "any")
	add("steps of the system's clock", span(g.ClockStep), mostStep)
	add("requests without a socket, port or file", g.Exhausted, 0)
	if k := g.Calibration; k != nil {
		add("arrivals a second against a null server", k.Ceiling, fmt.Sprintf("at least %.0f, as asked", k.Asked))
		if k.OwnPerCPUSecond > 0 {
			add("the same, with conversations as dear as this load's", k.Reach, "the same")
		}
	}
	return t
}

func (x *Section) notShown() []string {
	not := []string{"How the server behaves after this time, with more devices than these, or with other commands and profiles."}
	if x.SharedHost {
		not = append(not, "Shared host: server and generator share a machine and its processors, so no capacity of the server is claimed.")
	}
	if x.Loop == "closed" {
		not = append(not, "Stalls: a closed loop stops asking while nobody answers, so its percentiles hide them (coordinated omission).")
	}
	if x.WokenBy == "themselves" {
		not = append(not, "Wake-ups: devices came by a timetable of the generator's, no push was involved.")
	} else {
		not = append(not, "The vendors' push services: pushes went through simulated ones.")
	}
	if x.Identity != "scep" {
		not = append(not, "Certificate issuance: the identities were there already, or made by the generator.")
	}
	if x.KeyExchange == "X25519" {
		not = append(not, "Go's own choice of key exchange: every handshake used X25519 alone, which costs half of it.")
	}
	if k := x.Generator.Calibration; k == nil {
		not = append(not, "How much the generator could do at most: it was not calibrated before the load.")
	} else if len(k.LeavesOut) > 0 && (k.OwnPerCPUSecond == 0 || k.Asked == 0) { // else it counts in what the generator reaches
		not = append(not, "How much the generator could do at most of all that this load does. Its calibration left out "+strings.Join(k.LeavesOut, "; ")+".")
	}
	if len(x.Generator.Convicted) > 0 {
		not = append(not, "Anything about the server: the generator was at its own limit.")
	}
	return not
}
