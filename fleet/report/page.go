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
	Beside   *grid
	Findings []findingView
	Charts   []chartView
	Details  []chartView
	Marked   bool
	Troubles []string // drawn into all charts
	Owned    []string // drawn into the panels of one story
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
		Lead:     cleanAll(s.Lead),
		Checks:   checks(l, r),
		Plan:     cleanLines(s.Plan, d.plan),
		Run:      runFacts(r, s),
		NotShown: cleanAll(s.NotShown),
	}
	for _, reason := range r.Reasons {
		p.Reasons = append(p.Reasons, clean(l.Retell(reason)))
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
	if len(s.Beside.Rows) > 0 {
		g := newGrid(l, s.Beside, d.rows)
		p.Beside = &g
	}
	for i, c := range s.Charts {
		v := chartView{drawing: draw(c, s, d.points), ID: i + 1, Top: plotTop, Plot: plotHeight, Bottom: plotTop + plotHeight, Cut: plotTop + 7, Wide: c.Kind == Peaks || len(c.Panels) > 0}
		if c.Detail {
			p.Details = append(p.Details, v)
		} else {
			p.Charts = append(p.Charts, v)
		}
	}
	p.Marked = slices.ContainsFunc(s.Acts, func(a Act) bool { return a.Mark })
	for _, x := range s.Spans {
		if x.To <= x.From {
			continue
		}
		text := l.Say("%s, %s to %s", clean(x.Name), l.Moment(x.From, s.Until), l.Moment(x.To, s.Until))
		if x.Of == "" {
			p.Troubles = append(p.Troubles, text)
		} else {
			p.Owned = append(p.Owned, clean(x.Of)+": "+text)
		}
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
	if p.Beside != nil {
		add(true, "beside", p.Beside.Title)
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
	of := ""
	if s.Column != "" {
		of = " (" + clean(s.Column) + ")"
	}
	if c := r.CheckIns; c.Offered+c.Started+c.Done > 0 {
		add(l.Say("Check-ins")+of, checkInsInWords(l, c))
	}
	if r.EventLogSHA256 != "" {
		add(l.Say("Event log, SHA-256")+of, clean(r.EventLogSHA256))
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
		Of     string       `json:"of,omitempty"` // the story of several
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
		for _, of := range c.panels() {
			for _, x := range of.Series {
				points := [][2]float64{}
				for _, p := range thin(x.Points, s.Until, c.Kind, d.points) {
					points = append(points, [2]float64{p.At.Seconds(), p.Value})
				}
				v.Series = append(v.Series, series{x.Name, of.Name, points})
			}
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
	numbers := func(series []Series) []Series {
		series = slices.Clone(series)
		for j := range series {
			series[j].Points = slices.DeleteFunc(slices.Clone(series[j].Points), func(p Point) bool {
				return math.IsNaN(p.Value) || math.IsInf(p.Value, 0)
			})
		}
		return series
	}
	for i := range out.Charts {
		c := &out.Charts[i]
		c.Series, c.Panels = numbers(c.Series), slices.Clone(c.Panels)
		for k := range c.Panels {
			c.Panels[k].Series = numbers(c.Panels[k].Series)
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
