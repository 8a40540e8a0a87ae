package load

import (
	"math"
	"strings"
	"time"

	"rollcall/agent/dialect"
	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

// story tells a load to people.
func (l *Load) story(r *report.Result, x *Section, s *Setting, all *book) *report.Story {
	c, in := &r.CheckIns, s.Language
	st := &report.Story{Language: in, Title: s.Title, Start: l.begin, Until: max(l.length(), l.ended), Plan: s.Plan, LatencyFrom: in.Say("from the moment that was planned for it")}
	if x.Loop == "closed" {
		st.LatencyFrom = in.Say("from the moment it was sent, in a closed loop, which hides stalls")
	}
	arrivals := in.Retell(x.Arrivals)
	st.Lead = append(st.Lead, in.Say("%s: %s, against %s as %s.", arrivals, in.Retell(x.Pace), x.Target, x.Server))
	if x.Trouble != "" && r.Verdict != report.Failed {
		st.Lead = append(st.Lead, in.Say("The first request that went wrong: %s.", x.Trouble))
	}
	if x.Baseline != nil {
		st.Lead = append(st.Lead, x.Baseline.In(in))
	}
	late := time.Duration(x.Generator.StartDelay.P99 * float64(time.Millisecond))
	st.Figures = []report.Figure{
		{Name: in.Say("%s offered", arrivals), Value: c.Offered, Note: in.Say("by the plan, whatever the server did")},
		{Name: in.Say("done"), Value: c.Done, Note: in.Say("%s a second", in.Number(c.PerSecond))},
		{Name: in.Say("refused"), Value: c.Refused, Note: in.Say("by an answer"), Bad: c.Refused > 0},
		{Name: in.Say("failed"), Value: c.Failed, Note: in.Say("without one, or by nonsense"), Bad: c.Failed > 0},
		{Name: in.Say("not started"), Value: x.NotStarted, Note: in.Say("no device was free"), Bad: x.NotStarted > 0},
		{Name: "p50", Value: span(c.P50), Note: st.LatencyFrom},
		{Name: "p99", Value: span(c.P99)},
		{Name: in.Say("p99.9"), Value: span(c.P999)},
		{Name: in.Say("p99 of every outcome"), Value: span(x.Every.P99), Note: in.Say("refusals and errors too")},
		{Name: in.Say("start delay, p99"), Value: late, Note: in.Say("added by the generator itself"), Bad: late > mostLate},
	}
	if k := x.Generator.Calibration; k != nil && k.Asked > 0 {
		st.Figures = append(st.Figures, report.Figure{
			Name: in.Say("headroom"), Value: in.Number(k.Headroom), Note: in.Say("the generator reaches %s/s here, %s/s were asked for", in.Number(math.Round(k.Reach)), in.Number(math.Round(k.Asked))), Bad: k.Headroom < 1,
		})
	}
	if k := x.Called; k != nil {
		st.Figures = append(st.Figures, report.Figure{
			Name: in.Say("called have come"), Value: k.Came, Note: in.Say("of %d, the last one was done %s after the server was asked", k.Devices, in.Span(span(1000*k.Seconds))), Bad: k.Came < k.Devices,
		})
	}
	if e := x.Enrolment; e != nil && e.Again+e.GaveUp > 0 {
		st.Figures = append(st.Figures, report.Figure{
			Name: in.Say("gave up enrolling"), Value: e.GaveUp, Note: in.Say("of %d; %d {try was|tries were} made because a request had no answer", e.Devices, e.Again), Bad: e.GaveUp > 0,
		})
	}
	if l.config.Ledger != nil {
		found := l.config.Ledger.Result()
		note := in.Say("of %d {order|orders}, %d confirmed", found.Ordered, found.Confirmed)
		if found.Open > 0 {
			note += in.Say(", %d open", found.Open)
		}
		st.Figures = append(st.Figures, report.Figure{Name: in.Say("faults in the ledger"), Value: found.Faults(), Note: note, Bad: found.Faults() > 0})
	}
	for _, a := range l.played.list {
		a.Title, a.Text = in.Retell(a.Title), in.Retell(a.Text)
		st.Acts = append(st.Acts, a)
	}
	st.Charts = x.charts(in)
	st.Tables = []report.Table{x.requests(in, in.Say("Requests"), x.Steps), x.made(in), x.generator(in)}
	if x.Enrolment != nil {
		t := x.requests(in, in.Say("Enrolment before the load"), x.Enrolment.Steps)
		t.Caption = x.Enrolment.caption(in)
		st.Tables = append(st.Tables, t)
	}
	for step := range all.steps {
		if h := all.steps[step][Good]; h != nil {
			st.Latency = append(st.Latency, report.LatencyOf(in.Say(lang.Key(dialect.Step(step).String())), h))
		}
	}
	if all.woken != nil {
		st.Latency = append(st.Latency, report.LatencyOf(in.Say("push, from its intended order"), all.woken))
	}
	st.NotShown = x.notShown(in)
	return st
}

func span(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

func (x *Section) charts(in lang.Language) []report.Chart {
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
			Title: in.Say("Arrivals"), Unit: in.Say("a second"), Caption: in.Say("By the moment at which each was meant to begin, and what became of it."), Kind: report.Lines,
			Series: []report.Series{
				series(in.Say("offered"), func(w *Window) float64 { return rate(w.Offered) }), series(in.Say("done"), func(w *Window) float64 { return rate(w.Done) }),
				series(in.Say("failed"), func(w *Window) float64 { return rate(w.Failed) }),
			},
		},
		{
			Title: in.Say("Latency"), Unit: "ms", Caption: in.Say("Of the requests that were meant to begin then and got a good answer."), Kind: report.Lines,
			Series: []report.Series{series("p50", func(w *Window) float64 { return w.P50 }), series("p99", func(w *Window) float64 { return w.P99 })},
		},
	}
}

func (x *Section) requests(in lang.Language, title string, steps []StepFigures) report.Table {
	t := report.Table{
		Title: title, Caption: in.Say("By step of the conversation and what became of it."),
		Columns: []report.Column{{Name: in.Say("Request")}, {Name: in.Say("Outcome")}, {Name: in.Say("Count"), Bar: true}, {Name: "p50"}, {Name: "p99"}, {Name: in.Say("p99.9")}, {Name: in.Say("Longest")}},
	}
	for _, s := range steps {
		t.Rows = append(t.Rows, []any{in.Say(lang.Key(s.Step)), in.Retell(s.Outcome), s.Count, span(s.P50), span(s.P99), span(s.P999), span(s.Max)})
	}
	return t
}

// made tells how the load was made.
func (x *Section) made(in lang.Language) report.Table {
	t := report.Table{Title: in.Say("How the load was made"), Columns: []report.Column{{Name: in.Say("What")}, {Name: in.Say("How")}}}
	add := func(what string, how any) { t.Rows = append(t.Rows, []any{what, how}) }
	add(in.Say("loop"), in.Retell(x.Loop))
	add(in.Say("identities"), in.Retell(x.Identity))
	add(in.Say("authentication"), in.Retell(x.Authentication))
	add(in.Say("devices are woken by"), in.Retell(x.WokenBy))
	add(in.Say("connections"), in.Retell(x.Connections))
	add(in.Say("TLS handshakes"), in.Say("%s (%d full, %d resumed), %s", in.Retell(x.Handshakes), x.Full, x.Resumed, x.KeyExchange))
	add(in.Say("source addresses"), x.Sources)
	add(in.Say("planned from a step to the next"), span(x.Think))
	add(in.Say("devices turned away"), in.Say(map[bool]lang.Key{true: lang.Key("come again by themselves"), false: lang.Key("come when it is their turn")}[x.Retries]))
	add(in.Say("commands carried out"), x.Commands)
	add(in.Say("bytes of bodies sent and received"), in.Say("%d and %d", x.SentBytes, x.ReceivedBytes))
	return t
}

func (x *Section) generator(in lang.Language) report.Table {
	g := &x.Generator
	t := report.Table{
		Title: in.Say("The generator itself"), Caption: in.Say("What would convict it: where it was the bottleneck, nothing is said of the server."),
		Columns: []report.Column{{Name: in.Say("What")}, {Name: in.Say("Got")}, {Name: in.Say("Allowed")}},
	}
	add := func(what string, got, allowed any) { t.Rows = append(t.Rows, []any{what, got, allowed}) }
	add(in.Say("start delay, p99"), span(g.StartDelay.P99), in.Say("10 ms, and a tenth of the tightest limit on a latency"))
	if x.Needed > 0 {
		add(in.Say("devices that were busy at a time"), math.Ceil(x.Needed), in.Say("those that there are, where arrivals wait for one"))
		add(in.Say("wait for a device, p99"), span(x.Short.P99), in.Say("any, where there are enough"))
	}
	add(in.Say("wait for a processor, p99"), span(g.SchedulingP99), in.Say("the same"))
	add(in.Say("longest standstill"), span(g.Standstill), mostStill)
	add(in.Say("longest pause of the garbage collector"), span(g.GCPause), mostPause)
	add(in.Say("garbage collector's share of processor time"), report.Share(g.GCShare), in.Say("any"))
	add(in.Say("steps of the system's clock"), span(g.ClockStep), mostStep)
	add(in.Say("requests without a socket, port or file"), g.Exhausted, 0)
	if k := g.Calibration; k != nil {
		add(in.Say("arrivals a second against a null server"), k.Ceiling, in.Say("at least %s, as asked", in.Number(math.Round(k.Asked))))
		if k.OwnPerCPUSecond > 0 {
			add(in.Say("the same, with conversations as dear as this load's"), k.Reach, in.Say("the same"))
		}
	}
	return t
}

func (x *Section) notShown(in lang.Language) []string {
	not := []string{in.Say("How the server behaves after this time, with more devices than these, or with other commands and profiles.")}
	if x.SharedHost {
		not = append(not, in.Say("Shared host: server and generator share a machine and its processors, so no capacity of the server is claimed."))
	}
	if x.Loop == "closed" {
		not = append(not, in.Say("Stalls: a closed loop stops asking while nobody answers, so its percentiles hide them (coordinated omission)."))
	}
	if x.WokenBy == "themselves" {
		not = append(not, in.Say("Wake-ups: devices came by a timetable of the generator's, no push was involved."))
	} else {
		not = append(not, in.Say("The vendors' push services: pushes went through simulated ones."))
	}
	if x.Identity != "scep" {
		not = append(not, in.Say("Certificate issuance: the identities were there already, or made by the generator."))
	}
	if x.KeyExchange == "X25519" {
		not = append(not, in.Say("Go's own choice of key exchange: every handshake used X25519 alone, which costs half of it."))
	}
	if k := x.Generator.Calibration; k == nil {
		not = append(not, in.Say("How much the generator could do at most: it was not calibrated before the load."))
	} else if len(k.LeavesOut) > 0 && (k.OwnPerCPUSecond == 0 || k.Asked == 0) { // else it counts in what the generator reaches
		left := make([]string, len(k.LeavesOut))
		for i, what := range k.LeavesOut {
			left[i] = in.Retell(what)
		}
		not = append(not, in.Say("How much the generator could do at most of all that this load does. Its calibration left out: %s.", strings.Join(left, "; ")))
	}
	if len(x.Generator.Convicted) > 0 {
		not = append(not, in.Say("Anything about the server: the generator was at its own limit."))
	}
	return not
}
