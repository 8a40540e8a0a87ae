package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// Bars that are to be compared are as long as their share of the greatest of all columns; else of their own.
func TestBarsOfOneScale(t *testing.T) {
	table := Table{Columns: []Column{{Name: "Family"}, {Name: "Rows"}, {Name: "a", Bar: true}, {Name: "b", Bar: true}}, Rows: [][]any{{"E-mail", 900, 50, 100}, {"VPN", 900, 20, 10}}}
	for _, tt := range []struct {
		scale bool
		want  string
	}{{false, "100% 100% 40% 10%"}, {true, "50% 100% 20% 10%"}} {
		table.Scale = tt.scale
		var bars []string
		for _, row := range newGrid(lang.English, table, 10).Rows {
			bars = append(bars, row[2].Bar, row[3].Bar)
		}
		if got := strings.Join(bars, " "); got != tt.want {
			t.Errorf("one scale %v: %s, want %s", tt.scale, got, tt.want)
		}
	}
}

func TestScaleHasRoundTicks(t *testing.T) {
	for _, tt := range []struct {
		greatest, top float64
		ticks         int
	}{
		{0, 1, 5}, {1, 1, 5}, {3, 3, 4}, {4, 4, 5}, {7, 8, 5}, {10, 10, 6}, {13, 15, 4}, {99, 100, 5}, {998, 1000, 5}, {1010, 1250, 6}, {4981, 6000, 4}, {1e6, 1e6, 5}, {0.003, 0.003, 4},
	} {
		top, ticks := scale(tt.greatest)
		if top < tt.greatest || len(ticks) < 3 || len(ticks) > 6 || ticks[0] != 0 || ticks[len(ticks)-1] != top {
			t.Errorf("scale(%v) = %v, %v: want 3 to 6 ticks from 0 to at least it", tt.greatest, top, ticks)
		}
		if top > tt.top*1.001 {
			t.Errorf("scale(%v) ends at %v, want at most %v", tt.greatest, top, tt.top)
		}
	}
}

func TestThinKeepsWhatMatters(t *testing.T) {
	var points []Point
	for i := range 10_000 {
		points = append(points, Point{time.Duration(i) * time.Minute, 100})
	}
	points[4321].Value, points[7654].Value = 7, 300 // a dip and a peak of one minute
	rates := thin(points, 10_000*time.Minute, Peaks, 300)
	if len(rates) > 300 || !slices.Contains(rates, points[4321]) || !slices.Contains(rates, points[7654]) || rates[len(rates)-1] != points[9999] {
		t.Errorf("%d points; the dip, the peak or the end is lost", len(rates))
	}
	turning := []Point{points[0], points[4321], points[4322], points[7654], points[7655]}
	if lines := thin(points, 10_000*time.Minute, Lines, 300); !slices.Equal(lines, turning) {
		t.Errorf("a state that changes four times: %v", lines)
	}
	bars := thin(points, 10_000*time.Minute, Bars, 700)
	if len(bars) > manyBars || bars[0] != points[0] {
		t.Errorf("%d bars, the first %v", len(bars), bars[0])
	}
	var sum float64
	for _, b := range bars {
		sum += b.Value
	}
	if mean := sum / float64(len(bars)); mean < 99.9 || mean > 100.2 {
		t.Errorf("the bars' mean is %v, want about 100", mean)
	}
	if got := thin(points[:5], time.Hour, Peaks, 300); len(got) != 5 {
		t.Errorf("few points: %d, want all 5", len(got))
	}
}

func TestOneHighBarIsCut(t *testing.T) {
	var points []Point
	for i := range 100 {
		points = append(points, Point{time.Duration(i) * time.Hour, 50})
	}
	points[3].Value = 5000
	s := &Story{Until: 100 * time.Hour}
	d := draw(Chart{Kind: Bars, Series: []Series{{Name: "x", Points: points}}}, s, 700)
	p := d.Panels[0]
	if len(p.Cuts) != 1 || p.Cuts[0].Text != "5,000" || p.Cuts[0].X != "3%" || !d.Over {
		t.Errorf("cuts %+v, want one at 3%% with 5,000", p.Cuts)
	}
	if top := p.YTicks[len(p.YTicks)-1].Label; top != "60" {
		t.Errorf("the axis ends at %s, want 60", top)
	}
	points[3].Value = 55
	if d := draw(Chart{Kind: Bars, Series: []Series{{Name: "x", Points: points}}}, s, 700); len(d.Panels[0].Cuts) != 0 || d.Over {
		t.Errorf("an ordinary bar is cut: %+v", d.Panels[0].Cuts)
	}
}

func TestSlotsSumBarsAndHoldLines(t *testing.T) {
	var hourly, state []Point
	for i := range 48 {
		hourly = append(hourly, Point{time.Duration(i) * time.Hour, 2})
	}
	state = []Point{{0, 1}, {30 * time.Hour, 9}}
	read := func(kind ChartKind, until time.Duration, points []Point) ([]band, grid) {
		d := draw(Chart{Kind: kind, Series: []Series{{Name: "n", Points: points}}}, &Story{Until: until}, 700)
		return d.Panels[0].Slots, d.Data
	}
	bands, bars := read(Bars, 48*time.Hour, hourly)
	if len(bars.Rows) != 48 || bars.Rows[0][1].Text != "2" || bars.Caption != "" {
		t.Errorf("%d rows, the first %v", len(bars.Rows), bars.Rows[0])
	}
	if !strings.Contains(bands[30].Text, "day 1, 06:00 to day 1, 07:00") || !strings.Contains(bands[30].Text, "n: 2") {
		t.Errorf("tooltip %q", bands[30].Text)
	}
	bands, lines := read(Lines, 48*time.Hour, state)
	if r := lines.Rows; len(r) != 2 || r[0][1].Text != "1" || r[1][0].Text != "day 1, 06:00" || r[1][1].Text != "9" || lines.Caption != "A row holds until the next." {
		t.Errorf("the state before and after, and nothing else: %v, %q", lines.Rows, lines.Caption)
	}
	if len(bands) != 2 || !strings.Contains(bands[0].Text, "day 0, 00:00 to day 1, 06:00") || bands[1] != (band{"62.5%", "37.5%", "day 1, 06:00 to day 2, 00:00\nn: 9"}) {
		t.Errorf("tooltips %v", bands)
	}
	_, wide := read(Bars, 14*day, hourly)
	if len(wide.Rows) != 56 || wide.Rows[0][1].Text != "12" {
		t.Errorf("14 days: %d rows, the first %v; want 56 of 6 hours", len(wide.Rows), wide.Rows[0])
	}
}

// A series that ends before the story does is drawn and told no further.
func TestSeriesThatEnds(t *testing.T) {
	x := Series{Name: "short", Points: []Point{{0, 1}, {day, 4}}, End: 2 * day}
	s := &Story{Until: 4 * day, Charts: []Chart{{Series: []Series{x}}}}
	d := draw(s.Charts[0], s, 700)
	if line := d.Panels[0].Lines[0].Line; line != "M0 126H250V0H500" {
		t.Errorf("it is drawn as %s", line)
	}
	if r := d.Data.Rows; len(r) != 3 || r[2][0].Text != "day 2, 00:00" || r[2][1].Text != "–" || len(d.Panels[0].Slots) != 3 {
		t.Errorf("its table: %v", r)
	}
	if line, top := spark(&x, s, Lines, 8); line != "▂▂██    " || top != 4 {
		t.Errorf("on a terminal: %q to %v", line, top)
	}
}

// Panels show stories beside one another: on one scale, each with its own spans and marks and those of all, and one table of all.
func TestPanels(t *testing.T) {
	state := func(values ...float64) []Series {
		x := Series{Name: "moved"}
		for i, v := range values {
			x.Points = append(x.Points, Point{time.Duration(i) * day, v})
		}
		return []Series{x}
	}
	c := Chart{Title: "iOS", Detail: true, Panels: []Panel{{"now", state(0, 8)}, {"<later>", state(0, 0, 1000)}}}
	s := &Story{
		Until: 4 * day, Charts: []Chart{c, {Title: "All", Series: state(0, 3)}},
		Spans: []Span{{To: day, Name: "down"}, {From: day, To: 2 * day, Name: "gap", Of: "<later>"}, {From: day, To: day, Name: "a gap of no length", Of: "now"}}, Column: "now",
		Acts: []Act{{At: day, Title: "change", Mark: true}, {At: day, Title: "renewed", Mark: true, Of: []string{"now"}}, {At: 2 * day, Title: "renewed", Mark: true, Of: []string{"<later>"}}},
	}
	d := draw(c, s, 700)
	if len(d.Panels) != 2 || d.Panels[0].YTicks[4].Label != "1,000" || !slices.Equal(d.Panels[0].YTicks, d.Panels[1].YTicks) {
		t.Fatalf("%d panels; the axes %v", len(d.Panels), d.Panels[0].YTicks)
	}
	if line := d.Panels[0].Lines[0].Line; line != "M0 168H250V166.7H1000" {
		t.Errorf("8 of 1,000 is drawn as %s", line)
	}
	turned := draw(Chart{Panels: []Panel{c.Panels[1], c.Panels[0]}}, s, 700)
	if !slices.Equal(turned.Panels[1].YTicks, d.Panels[0].YTicks) {
		t.Errorf("the axes, the highest first: %v", turned.Panels[1].YTicks)
	}
	numbers := func(p panel) (all string) {
		for _, m := range p.Marks {
			all += m.Number + " "
		}
		return all
	}
	for i, want := range []struct {
		spans int
		marks string
	}{{1, "1–2 "}, {2, "1 3 "}} {
		if p := d.Panels[i]; len(p.Spans) != want.spans || numbers(p) != want.marks {
			t.Errorf("panel %s: spans %v, marks %v", p.Name, p.Spans, p.Marks)
		}
	}
	if len(d.Data.Rows) != 3 || d.Data.Columns[2].Name != "<later>: moved" || d.Data.Rows[2][2].Text != "1,000" {
		t.Errorf("the table %+v", d.Data)
	}
	if all := draw(s.Charts[1], s, 700).Panels[0]; len(all.Spans) != 1 || numbers(all) != "1–2 3 " {
		t.Errorf("a chart of all stories: spans %v, marks %v; want what is of all, and every mark", all.Spans, all.Marks)
	}
	r := &Result{Command: "x", Verdict: OK, VirtualSeconds: 1, Devices: Devices{Total: 8, Enrolled: 8, ByPlatform: map[protocol.Platform]PlatformSize{protocol.IOS: {Total: 8}}}}
	page := string(render(t, r, s))
	for _, want := range []string{"<h4><bdi>&lt;later&gt;</bdi></h4>", "&lt;later&gt;: renewed", "&lt;later&gt;: gap, day 1, 00:00 to day 2, 00:00", `"of":"now"`, `aria-label="iOS, now. moved: most 8`, "now: 8 of 8 devices enrolled at the end."} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if strings.Contains(page, "a gap of no length") {
		t.Error("the page tells of a span that has no length")
	}
}

func TestMarksLeaveRoom(t *testing.T) {
	s := &Story{Until: 100 * time.Hour, Acts: []Act{
		{At: 0, Mark: true}, {At: time.Hour, Mark: true}, {At: 5 * time.Hour}, {At: 5 * time.Hour, Mark: true}, {At: 9 * time.Hour, Mark: true}, {At: 20 * time.Hour, Mark: true},
	}}
	var labels []string
	for _, m := range marks(s, "") {
		switch {
		case !m.Label:
			labels = append(labels, "none")
		case m.Minor:
			labels = append(labels, "minor")
		case m.Rare:
			labels = append(labels, "rare")
		default:
			labels = append(labels, "shown")
		}
	}
	if got := strings.Join(labels, " "); got != "shown none minor rare shown" {
		t.Errorf("labels: %s", got)
	}
	if m := marks(s, ""); m[4].Number != "5" || m[4].X != "20%" {
		t.Errorf("fifth mark %+v", m[4])
	}
}

// TestPilesShowTheLeast: one failure on top of thousands is a bar of two pixels, also where the pile is cut off.
func TestPilesShowTheLeast(t *testing.T) {
	at := func(values ...float64) []Point {
		var points []Point
		for i, v := range values {
			points = append(points, Point{time.Duration(i) * time.Hour, v})
		}
		return points
	}
	got := piles([]Series{{Name: "done", Points: at(1000, 5000)}, {Name: "refused", Points: at(1, 1)}, {Name: "failed", Points: at(0, 1)}}, 2*time.Hour, 1000)
	for i, want := range []string{
		"M0 168V2H425V168ZM500 168V4H925V168Z", // in each pile room is left for the others
		"M0 2V0H425V2ZM500 4V2H925V4Z",
		"M500 2V0H925V2Z",
	} {
		if got[i] != want {
			t.Errorf("series %d: %s, want %s", i, got[i], want)
		}
	}
	if got := piles(nil, time.Hour, 1); len(got) != 0 {
		t.Errorf("no series: %v", got)
	}
}

func TestColours(t *testing.T) {
	for _, tt := range []struct{ names, want string }{
		{"done refused failed", "1 refused failed"},
		{"failed a b c", "failed 1 2 3"},
		{"a b refused c d e f", "1 3 refused 4 5 6 1"}, // 2 is the orange
		{"a b c d e f g", "1 2 3 4 5 6 1"},
	} {
		var series []Series
		for name := range strings.FieldsSeq(tt.names) {
			series = append(series, Series{Name: name})
		}
		if got := strings.Join(colours(series), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.names, got, tt.want)
		}
	}
}

// What the others should stay below is drawn apart, and takes no colour from them.
func TestLimitOfAChart(t *testing.T) {
	c := Chart{Kind: Peaks, Series: []Series{{Name: "capacity", Points: []Point{{0, 60}}, Limit: true}, {Name: "check-ins", Points: []Point{{0, 3}, {time.Hour, 9}}}}}
	if d := draw(c, &Story{Until: 2 * time.Hour}, 700).Panels[0]; d.Lines[0].N != "limit" || d.Lines[1].N != "1" || d.Lines[0].Line == "" {
		t.Errorf("%+v", d.Lines)
	}
}

// In a narrow chart the acts that the story is about keep their numbers, and those of one moment share a mark.
func TestMarksOfTheMainActs(t *testing.T) {
	s := &Story{Until: 15 * day, Acts: []Act{
		{Title: "profile", Mark: true},
		{Title: "passcode", Mark: true},
		{Title: "enrolled", Mark: true, Of: []string{"later"}},
		{At: day, Title: "added", Mark: true, Main: true},
		{At: day, Title: "asked", Mark: true, Of: []string{"later"}},
		{At: day, Title: "renewed", Mark: true, Main: true, Of: []string{"now"}},
		{At: 2 * day, Title: "renewed", Mark: true, Main: true, Of: []string{"later"}},
	}}
	for of, want := range map[string]string{
		"":      "1–3 minor, 4–6 shown, 7 rare",
		"now":   "1–2 minor, 4+ shown",
		"later": "1–3 minor, 4–5 shown, 7 rare",
	} {
		var got []string
		for _, m := range marks(s, of) {
			how := map[[3]bool]string{{true, false, false}: "shown", {true, true, false}: "rare", {true, false, true}: "minor"}[[3]bool{m.Label, m.Rare, m.Minor}]
			got = append(got, m.Number+" "+how)
		}
		if all := strings.Join(got, ", "); all != want {
			t.Errorf("%q: %s, want %s", of, all, want)
		}
	}
	m := marks(s, "now")[1]
	if m.Text != "day 1, 00:00: added\nday 1, 00:00: now: renewed" || m.Half() != 9 {
		t.Errorf("%+v", m)
	}
	if m := marks(s, "")[0]; m.Half() != 12 || m.Left() != 8 || m.Middle() != 4 { // not over the figures of the axis
		t.Errorf("the mark at the left edge begins %d px before its moment, its middle is %d px after it", m.Left(), m.Middle())
	}
	if wide := (&mark{Number: "10–12"}).Half(); wide != 18 {
		t.Errorf("five characters: half of them are %d px", wide)
	}
}

// What concerns some platforms is drawn into no other platform's charts (AUTH-30).
func TestSpansOfPlatforms(t *testing.T) {
	s := &Story{Until: 4 * day, Spans: []Span{{From: day, To: 2 * day, Name: "gap", Platforms: []protocol.Platform{protocol.IOS, protocol.MacOS}}, {To: day, Name: "down"}}}
	for on, want := range map[protocol.Platform]int{0: 2, protocol.IOS: 2, protocol.MacOS: 2, protocol.Android: 1, protocol.Windows: 1} {
		if d := draw(Chart{Platform: on, Panels: []Panel{{Name: "now"}, {Name: "later"}}}, s, 700); len(d.Panels[1].Spans) != want {
			t.Errorf("%s: %v, want %d spans", on, d.Panels[1].Spans, want)
		}
	}
}
