package report

import (
	"slices"
	"testing"
	"time"
)

// What comes at the very end of a story is in its last part: the check-in of its last moment counts.
func TestReadingsToTheEnd(t *testing.T) {
	points := []Point{{0, 1}, {3 * time.Hour, 5}, {4 * time.Hour, 7}}
	for kind, want := range map[ChartKind][]float64{Bars: {1, 12}, Peaks: {1, 7}, Lines: {1, 7}} {
		var got []float64
		for _, r := range readings([]Series{{Points: points}}, kind, 4*time.Hour, 2*time.Hour) {
			got = append(got, r.values[0])
		}
		if !slices.Equal(got, want) {
			t.Errorf("kind %d: %v, want %v", kind, got, want)
		}
	}
}

// A bound is one point, and holds throughout; of a rate, a part without a point has none.
func TestReadingsOfABound(t *testing.T) {
	capacity, rate := Series{Points: []Point{{0, 60}}, Limit: true}, Series{Points: []Point{{0, 3}, {5 * time.Hour, 9}}}
	for i, r := range readings([]Series{capacity, rate}, Peaks, 6*time.Hour, 2*time.Hour) {
		if want := []float64{60, []float64{3, 0, 9}[i]}; !slices.Equal(r.values, want) {
			t.Errorf("part %d: %v, want %v", i, r.values, want)
		}
	}
}

// Of several panels, which are narrower, each has half as many tooltips, and the table as many rows.
func TestSlotsOfPanels(t *testing.T) {
	series := func() (list []Series) {
		x := Series{Name: "check-ins"}
		for h := range 60 {
			x.Points = append(x.Points, Point{time.Duration(h) * time.Hour, float64(h)})
		}
		return append(list, x)
	}
	s := &Story{Until: 60 * time.Hour}
	if d := draw(Chart{Kind: Peaks, Series: series()}, s, 700); len(d.Panels[0].Slots) != 60 || len(d.Data.Rows) != 60 {
		t.Errorf("alone: %d tooltips, %d rows; want 60", len(d.Panels[0].Slots), len(d.Data.Rows))
	}
	d := draw(Chart{Kind: Peaks, Panels: []Panel{{"now", series()}, {"later", series()}}}, s, 700)
	if first := d.Data.Rows[0][0]; first.Text != "day 0, 00:00" || first.Class != "one" {
		t.Errorf("a moment is not kept on one line: %+v", first)
	}
	if len(d.Panels[1].Slots) != 30 || len(d.Data.Rows) != 30 || d.Data.Rows[29][2].Text != "59" {
		t.Errorf("of two: %d tooltips, %d rows; want 30, the last with 59: %v", len(d.Panels[1].Slots), len(d.Data.Rows), d.Data.Rows[len(d.Data.Rows)-1])
	}
}
