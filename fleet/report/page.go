package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var pageTemplate = template.Must(template.New("").Parse(pageHTML))

// largestPage is what a page may weigh, in bytes.
const largestPage = 500_000

// A detail is how much of everything a page shows. The first at which the page is not too large is taken.
type detail struct {
	rows, points, acts, plan int
	sections                 bool // the job's own keys in the JSON block
}

var details = []detail{
	{200, 700, 200, 64 << 10, true},
	{200, 300, 200, 32 << 10, true},
	{200, 150, 100, 16 << 10, true},
	{100, 150, 100, 16 << 10, true},
	{50, 150, 100, 8 << 10, false},
	{10, 60, 50, 2 << 10, false},
}

// Page writes the report as one HTML page of at most 500 KB: long tables, series and plans are shortened, and
// say so.
func Page(w io.Writer, r *Result, s *Story) error {
	var b bytes.Buffer
	s = finite(s)
	for _, d := range details {
		b.Reset()
		p := newPage(r, s, d)
		var err error
		if p.Data, err = data(r, s, d); err != nil {
			return fmt.Errorf("page: %w", err)
		}
		if err := pageTemplate.ExecuteTemplate(&b, "page", p); err != nil {
			return fmt.Errorf("page: %w", err)
		}
		if b.Len() <= largestPage {
			_, err := b.WriteTo(w)
			return err
		}
	}
	return fmt.Errorf("page: %d bytes at the least, %d at most", b.Len(), largestPage)
}

type page struct {
	lang.Language
	Policy   string
	Style    template.CSS
	Over     string
	Title    string
	Verdict  verdictView
	Reasons  []string
	Lead     []string
	Parts    []part
	Figures  []fact
	Findings []findingView
	Charts   []chartView
	Details  []chartView
	Marked   bool
	Troubles []string
	Acts     []actView
	MoreActs string
	Limits   *grid
	Checks   string
	Tables   []grid
	Rules    []ruleView
	Plan     string
	Run      []fact
	NotShown []string
	Data     json.RawMessage
}

type (
	verdictView struct{ Word, Short, Text string }
	part        struct{ ID, Name string }
)

type fact struct {
	Name, Text, Note string
	Bad              bool
}

type findingView struct {
	Count, Title, Consequence, Action string
	Rule                              ruleView
}

type chartView struct {
	drawing
	ID                     int
	Top, Plot, Bottom, Cut int // pixels
	Wide                   bool
}

type actView struct {
	At, Title, Text string
	N               int // 0: without a mark
	Rules           []ruleView
	Failed          bool
}

// A ruleView is a rule that is named, and what it is about; empty: nobody says.
type ruleView struct{ Name, Text string }

// A grid is a table made ready for the template.
type grid struct {
	ID, Title, Caption, More string
	Columns                  []heading
	Rows                     [][]field
	Long                     bool // scrolls within its frame
}

type heading struct {
	Name         string
	Numeric, Bar bool
}

type field struct {
	Text    string
	Numeric bool
	Rule    bool
	Bar     string // width in per cent
	Class   string
}

func newPage(r *Result, s *Story, d detail) *page {
	l := s.Language
	hash := sha256.Sum256([]byte(pageCSS))
	p := &page{
		Language: l,
		Policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
			"'; img-src data:; base-uri 'none'; form-action 'none'",
		Style:    template.CSS(pageCSS),
		Over:     over(r, s),
		Title:    clean(s.Title),
		Verdict:  verdictView{r.Verdict, told(r, s), told(r, s) + "."},
		Reasons:  cleanAll(r.Reasons),
		Lead:     cleanAll(s.Lead),
		Checks:   checks(l, r),
		Plan:     cleanLines(s.Plan, d.plan),
		Run:      runFacts(r, s),
		NotShown: cleanAll(s.NotShown),
	}
	if p.Title == "" {
		p.Title = "rollcall " + clean(r.Command)
	}
	for _, f := range s.Figures {
		text, _ := cell(l, f.Value)
		p.Figures = append(p.Figures, fact{clean(f.Name), text, clean(f.Note), f.Bad})
	}
	for _, f := range s.Findings {
		rule := clean(string(f.Rule))
		p.Findings = append(p.Findings, findingView{l.Number(float64(f.Count)), clean(f.Title), clean(f.Consequence), clean(f.Action), ruleView{rule, clean(s.Rules[rule])}})
	}
	for i, c := range s.Charts {
		v := chartView{drawing: draw(c, s, d.points), ID: i + 1, Top: plotTop, Plot: plotHeight, Bottom: plotTop + plotHeight, Cut: plotTop + 7, Wide: c.Kind == Peaks}
		if c.Detail {
			p.Details = append(p.Details, v)
		} else {
			p.Charts = append(p.Charts, v)
		}
		p.Marked = p.Marked || len(v.Marks) > 0
	}
	for _, x := range s.Spans {
		p.Troubles = append(p.Troubles, l.Say("%s, %s to %s", clean(x.Name), l.Moment(x.From, s.Until), l.Moment(x.To, s.Until)))
	}
	p.Acts, p.MoreActs = acts(s, d.acts)
	p.Limits = limits(l, r)
	for _, t := range tables(r, s) {
		if len(t.Rows) == 0 {
			continue
		}
		g := newGrid(l, t, d.rows)
		g.ID = fmt.Sprintf("table-%d", len(p.Tables)+1)
		p.Tables = append(p.Tables, g)
	}
	p.Rules = p.named(s)
	p.Parts = p.parts()
	return p
}

// named are the rules that the page names and the story explains, in order.
func (p *page) named(s *Story) (rules []ruleView) {
	seen := map[string]bool{}
	for _, a := range p.Acts {
		for _, r := range a.Rules {
			seen[r.Name] = true
		}
	}
	for _, f := range p.Findings {
		for _, name := range ruleNames.FindAllString(f.Rule.Name+" "+f.Action, -1) {
			seen[name] = true
		}
	}
	for _, g := range p.Tables {
		for _, row := range g.Rows {
			for _, f := range row {
				for _, name := range ruleNames.FindAllString(f.Text, -1) {
					seen[name] = true
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if text := s.Rules[name]; text != "" {
			rules = append(rules, ruleView{name, clean(text)})
		}
	}
	return rules
}

var ruleNames = regexp.MustCompile(`\b(AUTH|APL|HST)-\d+\b`)

// parts is the table of contents.
func (p *page) parts() []part {
	var out []part
	add := func(shown bool, id, name string) {
		if shown {
			out = append(out, part{id, name})
		}
	}
	add(len(p.Charts) > 0, "timeline", p.Say("Over time"))
	add(len(p.Findings) > 0, "findings", p.Say("Findings"))
	add(len(p.Acts) > 0, "acts", p.Say("What happened"))
	add(len(p.Details) > 0, "details", p.Say("In detail"))
	add(p.Limits != nil, "limits", p.Say("Limits"))
	for _, t := range p.Tables {
		add(true, t.ID, t.Title)
	}
	add(len(p.Rules) > 0, "rules", p.Say("Rules"))
	add(p.Plan != "", "plan", p.Say("Plan"))
	add(true, "run", p.Say("Run"))
	add(len(p.NotShown) > 0, "not-shown", p.Say("What it does not show"))
	return out
}

// over is the line above the title.
func over(r *Result, s *Story) string {
	l := s.Language
	parts := []string{"rollcall " + clean(r.Command)}
	if s.PlanName != "" {
		parts = append(parts, l.Say("plan %s", clean(s.PlanName)))
	}
	if s.Until > 0 {
		parts = append(parts, l.Span(s.Until))
	}
	if !s.Start.IsZero() {
		parts = append(parts, l.Say("from %s", l.Date(s.Start)))
	}
	if played(r) {
		parts = append(parts, l.Say("seed %s", strconv.FormatUint(r.Seed, 10)))
	}
	return strings.Join(parts, " · ")
}

// played tells whether anything was played, rather than looked at: only then does a seed mean anything.
func played(r *Result) bool { return r.VirtualSeconds > 0 || r.CheckIns.Offered > 0 }

// tables lists all tables of a report in their order.
func tables(r *Result, s *Story) []Table {
	out := []Table{devicesTable(s.Language, r), leftOutTable(s.Language, r)}
	out = append(out, s.Tables...)
	out = append(out, latencyTable(s))
	if len(s.Devices.Rows) > 0 {
		t := s.Devices
		if t.Title == "" {
			t.Title = s.Language.Say("Devices of interest")
		}
		out = append(out, t)
	}
	return out
}

func devicesTable(l lang.Language, r *Result) Table {
	t := Table{
		Title: l.Say("Devices by platform"), Caption: devicesInWords(l, r),
		Columns: []Column{{Name: l.Say("Platform")}, {Name: l.Say("Devices"), Bar: true}, {Name: l.Say("Share")}, {Name: l.Say("Protocol")}},
	}
	var sum int
	for _, p := range r.Devices.ByPlatform {
		sum += p.Total
	}
	for _, p := range protocol.Platforms {
		if n, ok := r.Devices.ByPlatform[p]; ok && sum > 0 {
			how := l.Say("by rule only")
			switch {
			case n.Wire && r.Command == "rehearse": // by a share of them
				how = l.Say("wire proven")
			case n.Wire:
				how = l.Say("over the wire")
			}
			t.Rows = append(t.Rows, []any{p, n.Total, Share(float64(n.Total) / float64(sum)), how})
		}
	}
	return t
}

func leftOutTable(l lang.Language, r *Result) Table {
	t := Table{
		Title: l.Say("Left out"), Caption: l.Say("Records that were read and not taken into the population."),
		Columns: []Column{{Name: l.Say("Reason")}, {Name: l.Say("Records"), Bar: true}},
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Devices.LeftOutBy)) {
		t.Rows = append(t.Rows, []any{whyLeftOut(l, reason), r.Devices.LeftOutBy[reason]})
	}
	return t
}

func latencyTable(s *Story) Table {
	l := s.Language
	t := Table{
		Title:   l.Say("Latency"),
		Caption: latencyCaption(s),
		Columns: []Column{{Name: l.Say("Request")}, {Name: l.Say("Count")}, {Name: "p50"}, {Name: "p90"}, {Name: "p99", Bar: true}, {Name: "p99.9"}, {Name: l.Say("Longest")}},
	}
	for _, x := range s.Latency {
		t.Rows = append(t.Rows, []any{x.Name, x.Count, x.P50, x.P90, x.P99, x.P999, x.Max})
	}
	return t
}

func latencyCaption(s *Story) string {
	l := s.Language
	from := l.Say("From the moment a request was sent to the end of its answer, on the real clock; a request that had to wait to be sent does not show it here.")
	if s.LatencyFrom != "" {
		from = l.Say("Each request %s, to the end of its answer, on the real clock.", clean(s.LatencyFrom))
	}
	return from + " " + l.Say("Half of all were as quick as p50 or quicker, 99 in a hundred as p99.")
}

// unmeasured is the outcome of limits that nothing came of.
var unmeasured = map[string]struct{ got, outcome lang.Key }{
	NotApplicable: {lang.Key("not applicable"), lang.Key("not measured")},
	NotJudged:     {lang.Key("not judged"), lang.Key("not judged")},
}

func limits(l lang.Language, r *Result) *grid {
	if len(r.Limits) == 0 && r.Invariants.Checked == 0 {
		return nil
	}
	g := &grid{Title: l.Say("Limits"), Columns: []heading{{Name: l.Say("Limit")}, {Name: l.Say("Got")}, {Name: l.Say("Outcome")}}}
	for _, x := range r.Limits {
		got, outcome := clean(x.Got), field{Text: l.Say("held"), Class: "word ok"}
		nothing, none := unmeasured[x.Got]
		switch {
		case none:
			got, outcome = l.Say(nothing.got), field{Text: l.Say(nothing.outcome), Class: "word soft"}
		case !x.OK:
			outcome = field{Text: l.Say("broken"), Class: "word failed"}
		}
		g.Rows = append(g.Rows, []field{{Text: clean(x.Limit), Class: "word"}, {Text: got}, outcome})
	}
	return g
}

func acts(s *Story, limit int) (out []actView, more string) {
	n := 0
	for _, a := range s.Acts {
		v := actView{At: s.Language.Moment(a.At, s.Until), Title: clean(a.Title), Text: clean(a.Text), Failed: a.Failed}
		for _, name := range a.Rules {
			v.Rules = append(v.Rules, ruleView{clean(name), clean(s.Rules[name])})
		}
		if a.Mark {
			n++
			v.N = n
		}
		out = append(out, v)
	}
	if len(out) > limit {
		more = s.Language.Say("%d more {is|are} not shown.", len(out)-limit)
		out = out[:limit]
	}
	return out, more
}

// newGrid formats t. A column is numeric if all its cells are; a bar is as long as its number's share of the
// column's greatest.
func newGrid(l lang.Language, t Table, limit int) grid {
	t = withoutEmpty(t)
	g := grid{Title: clean(t.Title), Caption: clean(t.Caption)}
	total := max(t.Total, len(t.Rows))
	rows := t.Rows[:min(len(t.Rows), limit)]
	if len(rows) < total {
		g.More = strings.TrimSpace(l.Say("%d of %d {is|are} shown.", len(rows), total) + " " + clean(t.Rest))
	}
	g.Long = len(rows) > 30
	tops := greatest(t)
	for i, c := range t.Columns {
		h := heading{Name: clean(c.Name), Numeric: true, Bar: c.Bar}
		for _, row := range rows {
			if i < len(row) {
				_, numeric := cell(l, row[i])
				h.Numeric = h.Numeric && (numeric || row[i] == nil)
			}
		}
		g.Columns = append(g.Columns, h)
	}
	for _, row := range rows {
		fields := make([]field, len(t.Columns))
		for i := range t.Columns {
			var v any
			if i < len(row) {
				v = row[i]
			}
			text, _ := cell(l, v)
			_, isRule := v.(protocol.Rule)
			fields[i] = field{Text: text, Numeric: g.Columns[i].Numeric, Rule: isRule && text != "–"}
			if t.Columns[i].Whole {
				fields[i].Class = "one"
			}
			if t.Columns[i].Bar {
				fields[i].Bar = barOf(v, tops[i])
			}
		}
		g.Rows = append(g.Rows, fields)
	}
	return g
}

// withoutEmpty returns t without the columns that have nothing in any row.
func withoutEmpty(t Table) Table {
	empty := func(i int) bool {
		return len(t.Rows) > 0 && !slices.ContainsFunc(t.Rows, func(row []any) bool {
			if i >= len(row) {
				return false
			}
			text, _ := cell(lang.English, row[i])
			return text != "–"
		})
	}
	var keep []int
	for i := range t.Columns {
		if !empty(i) {
			keep = append(keep, i)
		}
	}
	if len(keep) == len(t.Columns) {
		return t
	}
	columns, rows := t.Columns, t.Rows
	t.Columns, t.Rows = nil, make([][]any, len(rows))
	for _, i := range keep {
		t.Columns = append(t.Columns, columns[i])
		for n, row := range rows {
			var v any
			if i < len(row) {
				v = row[i]
			}
			t.Rows[n] = append(t.Rows[n], v)
		}
	}
	return t
}

// greatest is the highest number of each column.
func greatest(t Table) []float64 {
	out := make([]float64, len(t.Columns))
	for _, row := range t.Rows {
		for i := range min(len(row), len(out)) {
			if f, ok := number(row[i]); ok {
				out[i] = max(out[i], f)
			}
		}
	}
	return out
}

func barOf(v any, greatest float64) string {
	f, _ := number(v)
	if !(greatest > 0) || !(f > 0) {
		return "0%"
	}
	return decimal(100*min(f/greatest, 1)) + "%"
}

// runFacts tells how the run went by itself.
func runFacts(r *Result, s *Story) []fact {
	l := s.Language
	var facts []fact
	add := func(name, text string) { facts = append(facts, fact{Name: name, Text: text}) }
	if played(r) {
		add(l.Say("Seed"), strconv.FormatUint(r.Seed, 10))
	}
	if r.VirtualSeconds > 0 {
		add(l.Say("Time in the story"), l.Span(seconds(r.VirtualSeconds)))
	}
	add(l.Say("Time it took"), l.Span(seconds(r.WallSeconds)))
	if r.CPUSeconds > 0 {
		add(l.Say("Processor time"), l.Span(seconds(r.CPUSeconds)))
	}
	if r.PeakRSSBytes > 0 {
		add(l.Say("Memory at most"), bytesInWords(l, r.PeakRSSBytes))
	}
	if c := r.CheckIns; c.Offered+c.Started+c.Done > 0 {
		add(l.Say("Check-ins"), checkInsInWords(l, c))
	}
	if r.EventLogSHA256 != "" {
		add(l.Say("Event log, SHA-256"), clean(r.EventLogSHA256))
	}
	if !s.Start.IsZero() {
		add(l.Say("The story begins"), l.Say("%s, %s UTC", l.Date(s.Start), s.Start.UTC().Format("15:04")))
	}
	return facts
}

// data is the JSON block: the result and the series of the charts, each point as [seconds, value].
func data(r *Result, s *Story, d detail) (json.RawMessage, error) {
	type series struct {
		Name   string       `json:"name"`
		Points [][2]float64 `json:"points"`
	}
	type chart struct {
		Title  string   `json:"title"`
		Unit   string   `json:"unit"`
		Series []series `json:"series"`
	}
	charts := []chart{}
	for _, c := range s.Charts {
		v := chart{Title: c.Title, Unit: c.Unit, Series: []series{}}
		for _, x := range c.Series {
			points := [][2]float64{}
			for _, p := range thin(x.Points, s.Until, c.Kind, d.points) {
				points = append(points, [2]float64{p.At.Seconds(), p.Value})
			}
			v.Series = append(v.Series, series{x.Name, points})
		}
		charts = append(charts, v)
	}
	result := *r
	if !d.sections {
		result.Sections = nil
	}
	return json.Marshal(struct {
		Result *Result `json:"result"`
		Charts []chart `json:"charts"`
	}{&result, charts})
}

// finite returns s without points that are no numbers.
func finite(s *Story) *Story {
	out := *s
	out.Charts = slices.Clone(s.Charts)
	for i, c := range out.Charts {
		out.Charts[i].Series = slices.Clone(c.Series)
		for j, x := range c.Series {
			out.Charts[i].Series[j].Points = slices.DeleteFunc(slices.Clone(x.Points), func(p Point) bool {
				return math.IsNaN(p.Value) || math.IsInf(p.Value, 0)
			})
		}
	}
	return &out
}

func cleanAll(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = clean(t)
	}
	return out
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
