package load

import (
	"github.com/HdrHistogram/hdrhistogram-go"

	"rollcall/agent/dialect"
	"rollcall/protocol/lang"
)

// Quantiles are of a latency, in milliseconds.
type Quantiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

func quantiles(h *hdrhistogram.Histogram) Quantiles {
	if h == nil || h.TotalCount() == 0 {
		return Quantiles{}
	}
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return Quantiles{h.TotalCount(), at(50), at(90), at(99), at(99.9), float64(h.Max()) / 1000}
}

// StepFigures are how one kind of request went, by outcome.
type StepFigures struct {
	Step    string `json:"step"`
	Outcome string `json:"outcome"`
	Quantiles
}

func stepsOf(b *book) []StepFigures {
	steps := []StepFigures{}
	for s := range b.steps {
		for o, h := range b.steps[s] {
			if h != nil {
				steps = append(steps, StepFigures{dialect.Step(s).String(), Outcome(o).String(), quantiles(h)})
			}
		}
	}
	return steps
}

// Enrolled is how the devices enrolled that were not when the load began: as fast as the server took them, some at a time,
// so that these latencies count from the moment each request was sent.
type Enrolled struct {
	Devices int           `json:"devices" jsonschema_description:"that were not enrolled"`
	Patient int           `json:"patient" jsonschema_description:"tries after the server had asked for patience"`
	Again   int           `json:"again" jsonschema_description:"tries after a request had no answer, or 5xx for one"`
	GaveUp  int           `json:"gave_up" jsonschema_description:"devices that no try got enrolled: they are no part of the load"`
	Seconds float64       `json:"seconds"`
	Steps   []StepFigures `json:"steps"`
}

func (e *Enrolled) caption(in lang.Language) string {
	text := in.Say("%d {device|devices} enrolled in %s, as fast as the server took them; no part of the load.", e.Devices-e.GaveUp, in.Span(span(1000*e.Seconds)))
	for _, x := range []struct {
		n    int
		what lang.Key
	}{
		{e.Patient, lang.Key("%d {time|times} one came again because the server had asked it to.")},
		{e.Again, lang.Key("%d {time|times} one came again because it had no answer.")},
		{e.GaveUp, lang.Key("%d gave up.")},
	} {
		if x.n > 0 {
			text += " " + in.Say(x.what, x.n)
		}
	}
	return text
}
