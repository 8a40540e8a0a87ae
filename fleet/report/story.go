package report

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Story is what happened in a run, for people. Times are counted from its Start. Everything may be empty;
// what is empty is not shown.
type Story struct {
	Language lang.Language // of the page and the summary around it; what the job says itself is in it already
	Private  bool          // it names people: its files are for their owner's eyes only
	Headline string        // in place of the verdict in words, where a job has an answer; without a full stop
	Title    string        // what was played, such as "Fourteen days with 1,000 Apple devices"
	Start    time.Time     // of the story, not of the run
	Until    time.Duration // its length; the time axis of all charts
	Lead     []string      // one or two sentences under the headline
	Figures  []Figure      // the numbers to see first
	Beside   Table         // the same where several stories are told side by side: a column for each
	Column   string        // of those the one whose devices, check-ins and event log the result has
	Findings []Finding     // what went wrong or will, the worst first
	Charts   []Chart
	Spans    []Span  // times of trouble, drawn into every chart
	Acts     []Act   // what happened, in order; those with a Mark are drawn into every chart
	Tables   []Table // platforms, delivery, renewals, refusals, faults, certificates, and what else there is
	Latency  []Latency
	// LatencyFrom ends the sentence that says since when Latency counts; empty: since each request was sent.
	LatencyFrom string
	Devices     Table    // devices of interest; at most 200 rows are shown, its Total says of how many
	PlanName    string   // of the plan that was played
	Plan        string   // the plan as text
	NotShown    []string // what this run does not show, one sentence each

	// Rules says what the rules are about that acts and tables name, one sentence each without a full stop. Those that are
	// not named are not shown.
	Rules map[string]string
}

// A Figure is one number to see first. Value is formatted like a cell of a [Table].
type Figure struct {
	Name  string
	Value any
	Note  string // small, below
	Bad   bool   // shown as a problem
}

// A Finding is one thing that went wrong or will: the rule behind it, how many devices it concerns, what it means and the
// action that avoids it. As JSON it is in English.
type Finding struct {
	Rule        protocol.Rule `json:"rule"`
	Title       string        `json:"title"`
	Count       uint64        `json:"count"`   // of what the title names
	Devices     int           `json:"devices"` // 0: of none in particular
	Consequence string        `json:"consequence"`
	Action      string        `json:"action"`
}

// A Chart shows series over the story's time, with one unit.
type Chart struct {
	Title   string
	Caption string // one sentence: how to read it
	Unit    string // of the values, such as "devices" or "per hour"
	Kind    ChartKind
	Series  []Series
	Panels  []Panel // in place of Series: the same series of several stories, beside one another on one scale
	Detail  bool    // of what another chart shows: on the page, not on a terminal

	Platform protocol.Platform // whose devices it is about; Unknown: all
}

// A Panel is one of several drawings of a chart. All panels of a chart have series of the same names.
type Panel struct {
	Name   string // of the story, as [Act] and [Span] have it
	Series []Series
}

// panels are what c draws: the one that has no name where there are no others.
func (c *Chart) panels() []Panel {
	if len(c.Panels) > 0 {
		return c.Panels
	}
	return []Panel{{Series: c.Series}}
}

// A ChartKind is how the series of a chart are drawn.
type ChartKind uint8

// Lines joins points, for states such as the number of enrolled devices: each holds until the next. Bars
// stacks the series, for counts per span of time; the points of all series have the same times, which are
// the beginnings of equal spans. Peaks are lines of which the highest point of each stretch counts, for rates.
const (
	Lines ChartKind = iota
	Bars
	Peaks
)

// A Series is one line or one colour of bars.
type Series struct {
	Name   string
	Points []Point       // in order of time
	Limit  bool          // what the others should stay below
	End    time.Duration // from when on there is nothing to say; 0: the story's end
}

// A Point is a value at a time since the story's start.
type Point struct {
	At    time.Duration `json:"at"` // nanoseconds
	Value float64       `json:"value"`
}

// A Span is a time of trouble: a server that was down, a push certificate that had ended.
type Span struct {
	From, To time.Duration
	Name     string
	Of       string // of several stories side by side the one that it is of, drawn into its panels alone; empty: of all

	Platforms []protocol.Platform // whose devices it is about, drawn into no other platform's charts; empty: all
}

// An Act is one thing that happened.
type Act struct {
	At     time.Duration
	Title  string
	Text   string   // one or two sentences; may be empty
	Rules  []string // AUTH-nn, APL-nnn, HST-nnn
	Mark   bool     // drawn into the charts
	Main   bool     // of those, one that the story is about: where there is not room for all, its number is drawn
	Failed bool     // it did not go as it should
	Of     []string // of several stories side by side those that it is of, drawn into no other's panels; empty: of all
}

// A Table has typed cells: numbers are aligned and grouped by thousands, a time.Duration and a time.Time are
// written for people, a bool is yes or no, an empty cell is a dash; everything else is text.
type Table struct {
	Title   string
	Caption string // one sentence: how to read it
	Columns []Column
	Rows    [][]any
	Total   int    // rows there would be; 0: as many as Rows
	Heads   bool   // a terminal shows the columns' names too
	Detail  bool   // on the page, not on a terminal
	Scale   bool   // the bars of all columns are as long as their share of the greatest of all
	Rest    string // where the rows are that are not shown, a sentence; empty: nowhere
}

// A Column heads a table. With Bar, numbers have a bar beside them, as long as their share of the column's
// greatest.
type Column struct {
	Name  string
	Bar   bool
	Whole bool // its cells stay on one line each: names, dates
}

// A Latency is one row of the latency table.
type Latency struct {
	Name                     string
	Count                    int64
	P50, P90, P99, P999, Max time.Duration
}

// LatencyOf reads a histogram whose values are in microseconds.
func LatencyOf(name string, h *hdrhistogram.Histogram) Latency {
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) * time.Microsecond }
	return Latency{Name: name, Count: h.TotalCount(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: time.Duration(h.Max()) * time.Microsecond}
}
