package report

import (
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

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

// tables lists all tables of a report in their order.
func tables(r *Result, s *Story) []Table {
	devices, left := devicesTable(s.Language, r), leftOutTable(s.Language, r)
	if s.Column != "" {
		devices.Caption = s.Language.Say("%s: %s.", s.Column, strings.TrimSuffix(devices.Caption, "."))
	}
	out := append([]Table{devices, left}, s.Tables...)
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
		Columns: []Column{{Name: l.Say("Request")}, {Name: l.Say("Count")}, {Name: "p50"}, {Name: "p90"}, {Name: "p99", Bar: true}, {Name: l.Say("p99.9")}, {Name: l.Say("Longest")}},
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
		got, outcome := clean(l.Retell(x.Got)), field{Text: l.Say("held"), Class: "word ok"}
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
		v := actView{At: s.Language.Moment(a.At, s.Until), Title: a.title(), Text: clean(a.Text), Failed: a.Failed}
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

// title is that of an act, and whose it is.
func (a *Act) title() string {
	if len(a.Of) > 0 {
		return clean(strings.Join(a.Of, ", ")) + ": " + clean(a.Title)
	}
	return clean(a.Title)
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
	if t.Scale {
		for i, most := range tops {
			tops[i] = 0
			if t.Columns[i].Bar {
				tops[i] = most
			}
		}
		tops = slices.Repeat([]float64{slices.Max(tops)}, len(tops))
	}
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
			if _, moment := v.(time.Time); moment || t.Columns[i].Whole {
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
