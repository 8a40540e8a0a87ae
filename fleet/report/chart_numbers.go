package report

import (
	"math"
	"slices"
	"strings"
	"time"
)

// A reading is what the series of a panel come to in one part of the time axis.
type reading struct {
	from, to time.Duration
	values   []float64
}

// readings cuts the time into parts of this length: what came in each part for bars, the highest of it for peaks, the state at its
// end for lines; no number where a series is over.
func readings(series []Series, kind ChartKind, until, step time.Duration) (all []reading) {
	next := make([]int, len(series)) // first point that is not used yet
	state := make([]float64, len(series))
	for from := time.Duration(0); from < until; from += step {
		to := min(from+step, until)
		for i, x := range series {
			if kind == Bars || kind == Peaks && len(x.Points) > 1 { // one point holds throughout, as a bound does
				state[i] = 0
			}
			for next[i] < len(x.Points) && (x.Points[next[i]].At < to || to == until) {
				switch v := x.Points[next[i]].Value; kind {
				case Bars:
					state[i] += v
				case Peaks:
					state[i] = max(state[i], v)
				default:
					state[i] = v
				}
				next[i]++
			}
			if x.over(from) {
				state[i] = math.NaN()
			}
		}
		all = append(all, reading{from, to, slices.Clone(state)})
	}
	return all
}

// lasting joins what goes on unchanged: of states, what holds until the next.
func lasting(all []reading, kind ChartKind) (out []reading) {
	if kind != Lines {
		return all
	}
	for _, r := range all {
		if n := len(out); n > 0 && slices.Compare(out[n-1].values, r.values) == 0 { // which takes no number for equal to itself
			out[n-1].to = r.to
			continue
		}
		out = append(out, r)
	}
	return out
}

// read returns the parts of each panel's time axis with a tooltip each, and sets the same numbers as a table of all panels.
func (d *drawing) read(c Chart, s *Story) [][]band {
	l, panels := s.Language, c.panels()
	d.Data = grid{Title: d.Title, Columns: []heading{{Name: l.Say("From")}}}
	many := manySlots
	if len(panels) > 1 {
		many /= 2 // each is narrower
	}
	step := roundSpan(s.Until, many)
	var rows []reading
	slots := make([][]band, len(panels))
	for i, p := range panels {
		lead := ""
		if p.Name != "" {
			lead = clean(p.Name) + ": "
		}
		for _, x := range p.Series {
			d.Data.Columns = append(d.Data.Columns, heading{Name: lead + clean(x.Name), Numeric: true})
		}
		if s.Until <= 0 {
			continue
		}
		all := readings(p.Series, c.Kind, s.Until, step)
		for _, r := range lasting(all, c.Kind) {
			text := l.Say("%s to %s", l.Moment(r.from, s.Until), l.Moment(r.to, s.Until))
			for k, v := range r.values {
				text += "\n" + clean(p.Series[k].Name) + ": " + l.Number(v)
			}
			slots[i] = append(slots[i], band{share(r.from, s.Until), share(r.to-r.from, s.Until), text})
		}
		if i == 0 {
			rows = all
			continue
		}
		for k := range rows {
			rows[k].values = append(rows[k].values, all[k].values...)
		}
	}
	for _, r := range lasting(rows, c.Kind) {
		row := []field{{Text: l.Moment(r.from, s.Until), Class: "one"}}
		for _, v := range r.values {
			row = append(row, field{Text: l.Number(v), Numeric: true})
		}
		d.Data.Rows = append(d.Data.Rows, row)
	}
	if len(d.Data.Rows) < len(rows) {
		d.Data.Caption = l.Say("A row holds until the next.")
	}
	return slots
}

// inWords says what series show at their end or in all.
func inWords(series []Series, kind ChartKind, s *Story) string {
	l := s.Language
	var parts []string
	for _, x := range series {
		var sum, top, last float64
		var when time.Duration
		for _, p := range x.Points {
			sum += p.Value
			last = p.Value
			if p.Value > top {
				top, when = p.Value, p.At
			}
		}
		end := l.Say("at the end %s", l.Number(last))
		if kind == Bars {
			end = l.Say("in all %s", l.Number(sum))
		}
		parts = append(parts, clean(x.Name)+": "+l.Say("most %s on %s", l.Number(top), l.Moment(when, s.Until))+", "+end)
	}
	return strings.Join(parts, "; ")
}
