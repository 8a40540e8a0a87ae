package report

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// Geometry of a chart in CSS pixels, vertically; horizontally everything is in per cent, so that one drawing
// fits every width of screen and paper without its text being stretched.
const (
	plotTop    = 20 // room for the marks
	plotHeight = 168
	plotBottom = 26 // room for the time axis
	pathWidth  = 1000
	manyBars   = 400 // more are averaged
	manySlots  = 60  // parts of the time axis with a tooltip each
)

// A drawing is a chart made ready for the template.
type drawing struct {
	lang.Language
	Title, Caption, Unit string
	Panels               []panel
	Over                 bool // bars are higher than the chart
	Data                 grid // the same as a table
}

// A panel is one plot of a chart.
type panel struct {
	Height         int
	Name           string // empty: it is the only one
	Lines          []stroke
	XTicks, YTicks []tick
	Spans          []band
	Marks          []mark
	Cuts           []band // bars that are higher than the chart, with their values
	Slots          []band // with tooltips
	Summary        string // for those who cannot see it
}

type stroke struct {
	N          string // of its colour: a number, or a word that has one of its own
	Name       string
	Line, Area string // path data; one of them may be empty
}

type tick struct {
	At    string // per cent or pixels
	Label string
	Minor bool   // left out where a chart is narrow
	Rare  bool   // left out where it is very narrow
	Side  string // start, middle or end
}

type band struct{ X, Width, Text string }

// draw lays a chart out. Spans and marks are the story's, the same in each chart.
func draw(c Chart, s *Story, points int) drawing {
	l := s.Language
	d := drawing{Language: l, Title: clean(c.Title), Caption: clean(c.Caption), Unit: clean(c.Unit)}
	var all [][]Series
	var cuts [][]Point
	highest := 0.0
	for _, of := range c.panels() {
		series := make([]Series, len(of.Series))
		for i, x := range of.Series {
			series[i] = x
			series[i].Name, series[i].Points = clean(x.Name), thin(x.Points, s.Until, c.Kind, points)
		}
		h, over := height(series, c.Kind)
		highest = max(highest, h)
		all, cuts = append(all, series), append(cuts, over)
	}
	top, ticks := scale(highest)
	slots := d.read(c, s)
	for i, of := range c.panels() {
		p := panel{
			Height: plotTop + plotHeight + plotBottom, Name: clean(of.Name), XTicks: timeTicks(l, s.Until), Spans: bands(s, of.Name, c.Platform), Marks: marks(s, of.Name),
			Lines: strokes(all[i], c.Kind, s.Until, top), Slots: slots[i], Summary: inWords(of.Series, c.Kind, s),
		}
		for _, x := range cuts[i] {
			if x.Value > top {
				d.Over = true
				p.Cuts = append(p.Cuts, band{share(x.At, s.Until), share(barWidth(all[i][0].Points, s.Until), s.Until), l.Number(x.Value)})
			}
		}
		for _, v := range ticks {
			p.YTicks = append(p.YTicks, tick{At: decimal(plotTop + float64(plotHeight*(1-v/top))), Label: short(l, v)})
		}
		d.Panels = append(d.Panels, p)
	}
	return d
}

// strokes are the lines or bars of series on an axis that ends at top.
func strokes(series []Series, kind ChartKind, until time.Duration, top float64) []stroke {
	var piled []string
	if kind == Bars {
		piled = piles(series, until, top)
	}
	all, colours := make([]stroke, len(series)), colours(series)
	for i, x := range series {
		st := stroke{N: colours[i], Name: x.Name}
		if kind == Bars {
			st.Area = piled[i]
		} else {
			st.Line = steps(x, until, top)
			if len(series) == 1 && st.Line != "" {
				st.Area = st.Line + "V" + strconv.Itoa(plotHeight) + "H" + across(first(x.Points), until) + "Z"
			}
		}
		all[i] = st
	}
	return all
}

// thin leaves at most limit points: bars are averaged, of lines the extremes of each stretch are kept. A state that goes on needs no
// point: it holds until the next.
func thin(points []Point, until time.Duration, kind ChartKind, limit int) []Point {
	switch kind {
	case Bars:
		limit = min(limit, manyBars)
	case Lines:
		points = turns(points)
	}
	if len(points) <= limit {
		return points
	}
	var out []Point
	if kind == Bars {
		size := (len(points) + limit - 1) / limit
		for part := range slices.Chunk(points, size) {
			var sum float64
			for _, p := range part {
				sum += p.Value
			}
			out = append(out, Point{part[0].At, sum / float64(len(part))})
		}
		return out
	}
	size := (len(points)*3 + limit - 1) / limit
	for part := range slices.Chunk(points, size) {
		least, most, last := 0, 0, len(part)-1
		for i, p := range part {
			if p.Value < part[least].Value {
				least = i
			}
			if p.Value > part[most].Value {
				most = i
			}
		}
		keep := []int{least, most, last}
		slices.Sort(keep)
		for _, i := range slices.Compact(keep) {
			out = append(out, part[i])
		}
	}
	return out
}

// turns leaves out the points that say what the one before them says.
func turns(points []Point) []Point {
	out := make([]Point, 0, len(points))
	for i, p := range points {
		if i == 0 || p.Value != points[i-1].Value {
			out = append(out, p)
		}
	}
	return out
}

// height returns how high a chart must reach: to the highest line, or to the highest pile of bars, unless very
// few piles (an enrolment of everybody) would make all others flat; those are cut, and returned.
func height(series []Series, kind ChartKind) (top float64, cuts []Point) {
	if kind != Bars {
		for _, s := range series {
			for _, p := range s.Points {
				top = max(top, p.Value)
			}
		}
		return top, nil
	}
	var piles []Point
	for _, s := range series {
		for i, p := range s.Points {
			if i == len(piles) {
				piles = append(piles, Point{At: p.At})
			}
			piles[i].Value += p.Value
		}
	}
	sorted := slices.SortedFunc(slices.Values(piles), func(a, b Point) int { return cmp.Compare(a.Value, b.Value) })
	if len(sorted) == 0 {
		return 0, nil
	}
	few := len(sorted) / 50
	usual := sorted[len(sorted)-1-few].Value * 1.2
	if few == 0 || usual == 0 || sorted[len(sorted)-1].Value < 2*usual {
		return sorted[len(sorted)-1].Value, nil
	}
	top, _ = scale(usual)
	for _, p := range piles {
		if p.Value > top {
			cuts = append(cuts, p)
		}
	}
	return usual, cuts
}

// barWidth is the time between points, or all of it if there is one alone.
func barWidth(points []Point, until time.Duration) time.Duration {
	if len(points) > 1 {
		return points[1].At - points[0].At
	}
	return until
}

// scale returns the end of an axis that begins at 0 and its three to six round ticks.
func scale(greatest float64) (top float64, ticks []float64) {
	if !(greatest > 0) {
		greatest = 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(greatest/4)))
	step := 10 * unit
	for _, m := range []float64{1, 2, 2.5, 5} {
		if greatest <= 4*m*unit*1.1 && (m != 2.5 || unit >= 10) {
			step = m * unit
			break
		}
	}
	n := math.Ceil(greatest/step - 1e-9)
	for i := 0.0; i <= n; i++ {
		ticks = append(ticks, float64(i*step))
	}
	return float64(n * step), ticks
}

// short writes the value of a tick.
func short(l lang.Language, v float64) string {
	switch {
	case v >= 1e6:
		return l.Number(v/1e6) + " M"
	case v >= 1e5:
		return l.Number(v/1e3) + " k"
	}
	return l.Number(v)
}

// over tells whether the series has nothing to say of a time.
func (x *Series) over(at time.Duration) bool { return x.End > 0 && at >= x.End }

// steps is a line that holds each value until the next, and the last until the end.
func steps(s Series, until time.Duration, top float64) string {
	var b strings.Builder
	for i, p := range s.Points {
		x, y := across(p.At, until), up(p.Value, top)
		if i == 0 {
			b.WriteString("M" + x + " " + y)
			continue
		}
		b.WriteString("H" + x + "V" + y)
	}
	if len(s.Points) > 0 {
		b.WriteString("H" + across(cmp.Or(s.End, until), until))
	}
	return b.String()
}

// leastBar is how high a bar is at least, in pixels: one failure among thousands must be seen.
const leastBar = 2

// piles draws the series on top of one another, one bar a point, and returns the path of each. The last bar is as wide as the
// others, but ends with the story. A pile that is higher than the chart keeps room for the bars on its top.
func piles(series []Series, until time.Duration, top float64) []string {
	paths := make([]strings.Builder, len(series))
	longest := slices.MaxFunc(append([]Series{{}}, series...), func(a, b Series) int { return cmp.Compare(len(a.Points), len(b.Points)) }).Points
	width := barWidth(longest, until)
	for i, p := range longest {
		above, used := 0, 0.0 // bars still to come, pixels
		for _, x := range series {
			if i < len(x.Points) && x.Points[i].Value > 0 {
				above++
			}
		}
		for k, x := range series {
			if i >= len(x.Points) || !(x.Points[i].Value > 0) {
				continue
			}
			above--
			high := min(max(plotHeight*x.Points[i].Value/top, leastBar), plotHeight-used-float64(leastBar*above))
			// A hair's breadth stays between bars.
			paths[k].WriteString("M" + across(p.At, until) + " " + decimal(plotHeight-used) + "V" + decimal(plotHeight-used-high) +
				"H" + across(min(p.At+width*85/100, until), until) + "V" + decimal(plotHeight-used) + "Z")
			used += high
		}
	}
	out := make([]string, len(series))
	for k := range paths {
		out[k] = paths[k].String()
	}
	return out
}

// colours gives each series one of six colours. What failed and what was refused look alike in every chart: red, and the
// orange that no other series of that chart then has.
func colours(series []Series) []string {
	free := []string{"1", "2", "3", "4", "5", "6"}
	if slices.ContainsFunc(series, func(x Series) bool { return x.Name == "refused" }) {
		free = slices.Delete(free, 1, 2)
	}
	var out []string
	next := 0
	for _, x := range series {
		switch {
		case x.Limit:
			out = append(out, "limit")
		case x.Name == "failed", x.Name == "refused":
			out = append(out, x.Name)
		default:
			out = append(out, free[next%len(free)])
			next++
		}
	}
	return out
}

// bands are the spans that the panel of this name shows, of a chart of this platform.
func bands(s *Story, of string, on protocol.Platform) []band {
	var out []band
	for _, x := range s.Spans {
		if x.Of != "" && x.Of != of || on != 0 && len(x.Platforms) > 0 && !slices.Contains(x.Platforms, on) {
			continue
		}
		from, to := max(x.From, 0), min(x.To, s.Until)
		if to > from {
			out = append(out, band{share(from, s.Until), share(to-from, s.Until), clean(x.Name)})
		}
	}
	return out
}

// Steps of a time axis.
var roundSpans = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	24 * time.Hour, 2 * 24 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour, 28 * 24 * time.Hour, 91 * 24 * time.Hour, 364 * 24 * time.Hour,
}

// roundSpan returns the least round span of which at most n fit into until.
func roundSpan(until time.Duration, n int) time.Duration {
	for _, s := range roundSpans {
		if until <= s*time.Duration(n) {
			return s
		}
	}
	return until
}

func timeTicks(l lang.Language, until time.Duration) []tick {
	const day = 24 * time.Hour
	if until <= 0 {
		return nil
	}
	step := roundSpan(until, 8)
	var out []tick
	for at := time.Duration(0); at <= until; at += step {
		t := tick{At: share(at, until), Minor: len(out)%2 == 1, Rare: len(out)%4 == 2, Side: "middle"}
		switch {
		case step >= day:
			t.Label = l.Say("day %d", int(at/day))
		default:
			t.Label = l.Moment(at, min(until, 2*day-1))
		}
		if at == 0 {
			t.Side = "start"
		} else if until-at < step/4 {
			t.Side = "end"
		}
		out = append(out, t)
	}
	return out
}

func first(points []Point) time.Duration {
	if len(points) == 0 {
		return 0
	}
	return points[0].At
}

func ratio(at, until time.Duration) float64 {
	if until <= 0 {
		return 0
	}
	return min(max(float64(at)/float64(until), 0), 1)
}

func across(at, until time.Duration) string { return decimal(pathWidth * ratio(at, until)) }
func share(at, until time.Duration) string  { return decimal(100*ratio(at, until)) + "%" }

func up(v, top float64) string {
	if !(v > 0) {
		v = 0
	}
	return decimal(plotHeight * (1 - min(v/top, 1)))
}

func decimal(v float64) string {
	s := strconv.FormatFloat(v, 'f', 1, 64)
	return strings.TrimSuffix(s, ".0")
}
