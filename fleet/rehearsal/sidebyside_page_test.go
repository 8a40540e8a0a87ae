package rehearsal

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// beside is three answers to a question, of which the third alone has a gap and renews the push certificate late.
func beside(n int) *Comparison {
	early := func() *Played {
		p := prompt(n)
		p.Gaps = nil
		p.Acts = slices.Clone(p.Acts)
		p.Acts[1].At = p.Acts[0].At
		for i := range p.Hours {
			p.Hours[i].Blocked = byPlatform{}
		}
		return p
	}
	late := invented(n)
	late.Acts = append([]fleet.Act{{At: late.Start.Add(30 * time.Minute), Name: "A last look"}}, late.Acts...)
	return Compare(column("at once", early()), column("soon", early()), column("after 4 days", late))
}

// The page of answers side by side has what that of one has: the timeline of each platform on one scale, the storm with what the server
// takes, the hours without protection by family, what happened in all and in each, and the lists.
func TestSideBySidePage(t *testing.T) {
	c := beside(1000)
	for i := range c.Columns {
		c.Columns[i].Answers = c.Columns[i].Played.Answer(0.5)
	}
	s := c.Story(lang.English, c.Columns[0].Population)
	var charts []string
	for _, x := range s.Charts {
		text := x.Title
		for _, series := range x.Series {
			text += ", " + series.Name
		}
		for _, p := range x.Panels {
			text += fmt.Sprintf("; %s: %d", p.Name, len(p.Series))
		}
		charts = append(charts, text)
	}
	want := []string{"Moved, at once, soon, after 4 days", "Pending, at once, soon, after 4 days", "Blocked, at once, soon, after 4 days", "The storm, at once, soon, after 4 days, capacity"}
	for _, p := range protocol.Platforms {
		want = append(want, lang.Platform(p)+"; At once: 4; Soon: 4; After 4 days: 4")
	}
	if !slices.Equal(charts, want) {
		t.Errorf("the charts are\n%s\nwant\n%s", strings.Join(charts, "\n"), strings.Join(want, "\n"))
	}
	at := func(series report.Series, d time.Duration) (v float64) {
		for _, p := range series.Points {
			if p.At <= d {
				v = p.Value
			}
		}
		return v
	}
	noon := 12 * time.Hour
	if blocked := s.Charts[2].Series; at(blocked[0], noon) != 0 || at(blocked[2], noon) != 550 {
		t.Errorf("blocked at noon: %v at once, %v after 4 days; want 0 and 550", at(blocked[0], noon), at(blocked[2], noon))
	}
	if ios := s.Charts[4].Panels[2].Series; at(ios[2], noon) != 180 || at(ios[0], 10*24*time.Hour) != 180 {
		t.Errorf("iOS after 4 days: %v blocked at noon, %v moved on day 10; want 180 and 180", at(ios[2], noon), at(ios[0], 10*24*time.Hour))
	}
	for i, want := range []struct {
		title string
		of    []string
	}{
		{"A last look", []string{"After 4 days"}}, // though told in the last column
		{"Intune is added beside Basic Mobility and Security", nil},
		{"A renewed push certificate is uploaded", []string{"At once", "Soon"}},
		{"A renewed push certificate is uploaded", []string{"After 4 days"}},
	} {
		if len(s.Acts) != 4 || s.Acts[i].Title != want.title || !slices.Equal(s.Acts[i].Of, want.of) {
			t.Errorf("act %d of %d: %+v, want %s of %q", i, len(s.Acts), s.Acts[i], want.title, want.of)
		}
	}
	for i, main := range []bool{false, true, true, true} {
		if s.Acts[i].Main != main {
			t.Errorf("act %+v: main %t, want %t", s.Acts[i], s.Acts[i].Main, main)
		}
	}
	if len(s.Spans) != 1 || s.Spans[0].Of != "After 4 days" || !slices.Equal(s.Spans[0].Platforms, []protocol.Platform{protocol.IOS, protocol.IPadOS, protocol.MacOS}) {
		t.Errorf("spans %+v, want the gap of the last, of Apple's devices (AUTH-30)", s.Spans)
	}
	for i, p := range protocol.Platforms {
		if s.Charts[4+i].Platform != p {
			t.Errorf("chart %s is of %s", s.Charts[4+i].Title, s.Charts[4+i].Platform)
		}
	}
	c.Columns[0].Gaps, c.Columns[1].Gaps = c.Columns[2].Gaps, c.Columns[2].Gaps
	if all := c.Story(lang.English, c.Columns[0].Population).Spans; len(all) != 1 || all[0].Of != "" {
		t.Errorf("spans %+v, want one of all", all)
	}
	tables := map[string]report.Table{}
	for _, x := range s.Tables {
		tables[x.Title] = x
	}
	email := tables["Without protection, by family"].Rows[0]
	if !slices.Equal(email, []any{protocol.Email, uint64(1700), uint64(1700), uint64(1700)}) {
		t.Errorf("hours without protection: %v", email)
	}
	if over := s.Beside.Rows[len(s.Beside.Rows)-1]; over[0] != "minutes over the server's capacity" || over[1] == 0 {
		t.Errorf("the last figure is %v", over)
	}
	for _, x := range []struct {
		list string
		n    int
		row  []any
	}{
		{"Devices blocked at the end", 10, []any{"device-8", protocol.MacOS, "user-4", nil, nil, true}},
		{"Devices still to come", 20, []any{"device-6", protocol.IOS, "user-3", true, true, true}},
		{"Devices without a user", 0, nil},
	} {
		l := tables[x.list]
		if l.Total != x.n || x.n > 0 && (!l.Detail || !slices.Equal(l.Rows[0], x.row)) {
			t.Errorf("%s: %d, %v, want %d, %v", x.list, l.Total, l.Rows, x.n, x.row)
		}
	}
	bare := tables["Devices without protection for a while"]
	if bare.Total != 530 || len(bare.Rows) != rows || bare.Rows[0][3] != 6*24*time.Hour {
		t.Errorf("without protection: %d of %d, the first %v; want 200 of 530, the longest first", len(bare.Rows), bare.Total, bare.Rows[0])
	}
}

// What one column alone has is in the lists, and which column that is.
func TestSideBySideListsOfOne(t *testing.T) {
	c := beside(1000)
	other := c.Columns[1].Answers
	other.Lives = slices.Clone(other.Lives)
	life := &other.Lives[8]
	life.Unlicensed, life.lack = true, &Lack{Unprotected: [6]time.Duration{protocol.WiFi: 9 * 24 * time.Hour}}
	c = Compare(c.Columns[0], Column{ID: "b", Name: "soon", Result: c.Columns[1].Result, Answers: other.Answer(0)}, c.Columns[2])
	tables := map[string]report.Table{}
	for _, x := range c.Story(lang.English, c.Columns[0].Population).Tables {
		tables[x.Title] = x
	}
	if l := tables["Devices of users without a licence"]; l.Total != 11 || !slices.Equal(l.Rows[1], []any{"device-9", protocol.Android, "user-5", nil, true, nil}) {
		t.Errorf("without a licence: %d, %v", l.Total, l.Rows)
	}
	if l := tables["Devices without protection for a while"]; l.Rows[0][0] != "device-9" || l.Rows[0][4] != 9*24*time.Hour {
		t.Errorf("the longest without protection: %v", l.Rows[0])
	}
	if l := tables["Without protection, by family"]; !slices.ContainsFunc(l.Rows, func(row []any) bool {
		return slices.Equal(row, []any{protocol.WiFi, uint64(0), uint64(216), uint64(0)})
	}) {
		t.Errorf("by family: %v, want 216 hours without Wi-Fi in the second", l.Rows)
	}
}

// How much longer a device waited is told beside how much later it moved first, where that says more: of a slow later move (AUTH-21).
func TestAUTH21WaitedLonger(t *testing.T) {
	one := func(change func(*Life)) Column {
		p := invented(9)
		p.Lives, p.Population.Devices = p.Lives[8:], p.Population.Devices[8:]
		p.Lives[0] = Life{Enrolled: true, Standing: Standing{Moved: true}, FirstPending: p.Start.Add(time.Hour), MovedAt: p.Start.Add(2 * time.Hour)}
		change(&p.Lives[0])
		return column("a", p)
	}
	first := one(func(*Life) {})
	for _, tt := range []struct {
		name   string
		change func(*Life)
		want   []any // after the outcomes
		shown  bool  // that it waited longer
	}{
		{"its first move was slower", func(l *Life) { l.MovedAt = l.MovedAt.Add(3 * time.Hour) }, []any{3 * time.Hour, nil, nil}, false},
		{"it could move later", func(l *Life) { l.FirstPending, l.MovedAt = l.FirstPending.Add(3*time.Hour), l.MovedAt.Add(3*time.Hour) }, []any{3 * time.Hour, nil, nil, nil}, true},
		{"a later move was slow", func(l *Life) { l.waited(29 * time.Hour) }, []any{nil, 28 * time.Hour, nil, nil}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := Compare(first, one(tt.change)).list(lang.English, first.Population)
			if got := l.Rows[0][4:]; l.Total != 1 || !slices.Equal(got, tt.want) || (l.Columns[5].Name == "Waited longer by") != tt.shown || len(l.Columns) != len(l.Rows[0]) {
				t.Errorf("%v under %v, want %v", got, l.Columns, tt.want)
			}
		})
	}
}

// A finding is told as it stands where it counts most, with the columns in which it does unless those are all; and where it counts as
// much, and for longer or otherwise, as it stands in each.
func TestSideBySideFindings(t *testing.T) {
	for name, tt := range map[string]struct {
		counts [3]uint64
		texts  [3]string
		want   string
	}{
		"the same in all":        {[3]uint64{2, 2, 2}, [3]string{"Two.", "Two.", "Two."}, "Two."},
		"in the first alone":     {[3]uint64{2, 0, 0}, [3]string{"Two.", "", ""}, "At once: Two."},
		"more in the first":      {[3]uint64{2, 1, 1}, [3]string{"Two.", "One.", "One."}, "At once: Two."},
		"more in the last":       {[3]uint64{0, 1, 2}, [3]string{"", "One.", "Two."}, "After 4 days: Two."},
		"as many in two":         {[3]uint64{0, 2, 2}, [3]string{"", "Two.", "Two."}, "Soon, after 4 days: Two."},
		"as many, and longer":    {[3]uint64{0, 2, 2}, [3]string{"", "For a day.", "For 4 days."}, "Soon: For a day. After 4 days: For 4 days."},
		"as many, one otherwise": {[3]uint64{2, 2, 2}, [3]string{"For a day.", "For a day.", "For 4 days."}, "At once, soon: For a day. After 4 days: For 4 days."},
	} {
		of := make([]report.Finding, 3)
		for k := range of {
			of[k] = report.Finding{Count: tt.counts[k], Consequence: tt.texts[k]}
		}
		if got := beside(1).worst(of); got.Consequence != tt.want || got.Count != 2 {
			t.Errorf("%s: %d, %q, want %q", name, got.Count, got.Consequence, tt.want)
		}
	}
	late, soon := invented(1000), prompt(1000)
	for _, f := range Compare(column("ours", late), column("theirs", soon)).Story(lang.English, late.Population).Findings {
		if f.Title == "Devices blocked at the end" && !strings.HasPrefix(f.Consequence, "ours: They can") { // a plan's name stays as it is
			t.Errorf("in the first alone: %q", f.Consequence)
		}
	}
}

// What went over the wire is told of each column by itself: in the lead, in tables and for programs.
func TestSideBySideWire(t *testing.T) {
	proven, differs := invented(10), invented(10)
	proven.Wire = &Spoken{Share: plan.Whole, Devices: [5]uint32{2, 2, 2, 2, 2}}
	differs.Wire = &Spoken{Share: plan.Whole, Devices: [5]uint32{2, 2, 2, 2, 2}, Differs: 1, Differences: []Difference{{Device: "device-3", Message: "SyncML", Field: "status"}}}
	c := Compare(column("a", proven), column("b", differs))
	s := c.Story(lang.English, proven.Population)
	if lead := strings.Join(s.Lead, "\n"); !strings.Contains(lead, "10 devices spoke") || !strings.Contains(lead, "Over the wire 1 of 10 devices came out otherwise") {
		t.Errorf("lead %q", lead)
	}
	tables := map[string][][]any{}
	for _, x := range s.Tables {
		tables[x.Title] = x.Rows
	}
	if a, b := tables["a: Over the wire"], tables["b: Over the wire"]; len(a) != 5 || len(b) != 5 || a[0][3] != "wire proven" || b[0][3] != "differs" {
		t.Errorf("by platform: %v and %v", a, b)
	}
	if a, b := tables["a: What differs over the wire"], tables["b: What differs over the wire"]; len(a) != 0 || len(b) != 1 || b[0][1] != "device-3" {
		t.Errorf("what differs: %v and %v", a, b)
	}
	for k, want := range []uint64{0, 1} {
		wire := c.Sections()["columns"].([]any)[k].(map[string]any)["wire"]
		if got := wire.(map[string]any)["devices_that_differ"]; got != want {
			t.Errorf("column %d: %v differ, want %d", k, got, want)
		}
	}
}

// Plans of different lengths are not compared without a word: the page is as long as the longer, the shorter's lines end where it does.
func TestSideBySideOfOtherLength(t *testing.T) {
	long, short := invented(100), invented(100)
	short.End = short.Start.Add(7 * 24 * time.Hour)
	short.Hours, short.Minutes = short.Hours[:7*24], short.Minutes[:7*24*60]
	s := Compare(column("short", short), column("long", long)).Story(lang.English, long.Population)
	if want := "short ends after 7 days, and long after 14 days"; !strings.Contains(strings.Join(s.Lead, " "), want) || s.Title != "14 days with 100 devices" {
		t.Errorf("title %q, lead %q, want %q", s.Title, s.Lead, want)
	}
	for _, x := range s.Charts {
		series := x.Series
		for _, p := range x.Panels {
			series = append(series, p.Series[1])
		}
		if series[0].End != 7*24*time.Hour || series[1].End != 14*24*time.Hour {
			t.Errorf("%s ends after %v and %v", x.Title, series[0].End, series[1].End)
		}
	}
	if same := Compare(column("a", long), column("b", long)).Story(lang.English, long.Population); strings.Contains(strings.Join(same.Lead, " "), "ends after") {
		t.Errorf("of the same length: %q", same.Lead)
	}
}

// The limits and checks of a comparison are those of all its columns, and a limit says whose it is.
func TestSideBySideResult(t *testing.T) {
	late, soon := invented(1000), prompt(1000)
	limited, err := plan.Parse("own.yaml", []byte("name: own\nuntil: 14d\ntenant: {authority: office365}\npopulation: {devices: 1000, mix: {ios: 100}}\nlimits: [\"moved.p95 < 9h\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	late.Plan, soon.Plan = limited, limited
	late.Violated, soon.Violated = 2, 1
	a, b := column("A", late), column("B", soon)
	a.Judge(a.Result)
	b.Judge(b.Result)
	r := Compare(b, a).Result()
	if len(r.Limits) != 2 || r.Limits[0].Limit != "B: moved.p95 < 9h" || r.Limits[1].Limit != "A: moved.p95 < 9h" || r.Limits[1].OK {
		t.Errorf("limits %+v", r.Limits)
	}
	if r.Verdict != report.Failed || r.Invariants.Checked != 2*12345 || r.Invariants.Violated != 3 {
		t.Errorf("verdict %s, %+v", r.Verdict, r.Invariants)
	}
	if len(r.Reasons) != 1 || !strings.HasPrefix(r.Reasons[0], `in the column "A": `) {
		t.Errorf("reasons %q: want one, of A, whose name is its id", r.Reasons)
	}
	a.ID, a.Name = "after-4d", "na 4 dagen"
	r = Compare(b, a).Result()
	if r.Limits[0].Column != "B" || r.Limits[1].Column != "after-4d" || r.Limits[1].Limit != "na 4 dagen: moved.p95 < 9h" {
		t.Errorf("limits %+v: a script does not find their columns by id", r.Limits)
	}
	if len(r.Reasons) != 1 || !strings.HasPrefix(r.Reasons[0], `in the column "na 4 dagen" (after-4d): `) {
		t.Errorf("reasons %q: a script does not find their columns by id", r.Reasons)
	}
}

// What several columns came to alike is said once: of all, or with the names of those that it is of.
func TestSideBySideSaysOnce(t *testing.T) {
	late, soon := invented(1000), prompt(1000)
	story := func(l lang.Language, columns ...Column) []string {
		return Compare(columns[0], columns[1:]...).Story(l, late.Population).Lead
	}
	for _, tt := range []struct {
		lead []string
		want []string // beginnings
	}{
		{story(lang.English, column("at once", soon), column("later", soon), column("never", soon)), []string{"In all 3 cases: 920 of the 940 devices"}},
		{story(lang.Dutch, column("meteen", soon), column("later", soon)), []string{"In beide gevallen: 920 van de 940 apparaten"}},
		{story(lang.English, column("at once", soon), column("late", late), column("later", soon)), []string{"At once, later: 920 of the 940", "Late: 920 of the 940"}},
	} {
		if len(tt.lead) != len(tt.want) {
			t.Errorf("%q, want %q", tt.lead, tt.want)
			continue
		}
		for i, want := range tt.want {
			if !strings.HasPrefix(tt.lead[i], want) {
				t.Errorf("%q does not begin with %q", tt.lead[i], want)
			}
		}
	}
}

// The moments of the table count from the beginning and those of the answers from when the first could move: both say when that was.
func TestSideBySideFirstCouldMove(t *testing.T) {
	late, never := invented(1000), invented(1000)
	for i := range never.Lives {
		l := &never.Lives[i]
		l.FirstPending, l.MovedAt, l.Standing.Moved = 0, 0, false
	}
	c := Compare(column("A", late), column("B", never))
	cells := map[string][]any{}
	for _, row := range c.figures(lang.English).Rows {
		cells[row[0].(string)] = row[1:]
	}
	first, half := cells["from the beginning until the first could move"], cells["from the beginning until half of them had moved"]
	answers := c.Columns[0].Sections()["answers"].(map[string]any)
	began, took := answers["first_could_move_seconds"].(float64), answers["moved_50_seconds"].(float64)
	if began == 0 || first[0].(time.Duration).Seconds() != began || half[0].(time.Duration).Seconds() != began+took {
		t.Errorf("the first at %v and half at %v, want %v and %v s more", first[0], half[0], began, took)
	}
	if other := c.Columns[1].Sections()["answers"].(map[string]any)["first_could_move_seconds"]; first[1] != nil || half[1] != nil || other != nil {
		t.Errorf("where none could: %v, %v and %v, want nothing", first[1], half[1], other)
	}
}

// A page of answers side by side is as small as any, whatever the number of devices, and its lists show 200 rows and how many there are.
func TestSideBySidePageOfMany(t *testing.T) {
	three := beside(100_000)
	two := Compare(three.Columns[2], three.Columns[0])
	for _, c := range []*Comparison{two, three} {
		for l, shown := range map[lang.Language]string{lang.English: "200 of 1,000 are shown. All of them are in devices.csv beside this page.", lang.Dutch: "200 van 53.000"} {
			var page bytes.Buffer
			if err := report.Page(&page, c.Result(), c.Story(l, c.Columns[0].Population)); err != nil {
				t.Fatal(err)
			}
			if page.Len() > 500_000 || !bytes.Contains(page.Bytes(), []byte(shown)) {
				t.Errorf("%d columns in %s: %d bytes, %q", len(c.Columns), l, page.Len(), shown)
			}
			t.Logf("%d columns in %s: %d bytes", len(c.Columns), l, page.Len())
		}
	}
}

// No English reaches the Dutch page of answers side by side.
func TestSideBySideIsDutch(t *testing.T) {
	c := beside(1000)
	for i, name := range []string{"meteen", "na 1 dag", "na 4 dagen"} {
		c.Columns[i].Name, c.Columns[i].Capacity, c.Columns[i].Plan = name, 1, &plan.Plan{Name: "vraag"}
	}
	for _, c := range []*Comparison{c, Compare(c.Columns[2], c.Columns[0])} {
		var page bytes.Buffer
		if err := report.Page(&page, c.Result(), c.Story(lang.Dutch, c.Columns[0].Population)); err != nil {
			t.Fatal(err)
		}
		root, err := html.Parse(&page)
		if err != nil {
			t.Fatal(err)
		}
		sentences := inEnglish(t)
		for _, text := range textsOf(root) {
			if word := english.FindString(deviceNames.ReplaceAllString(text, "")); word != "" {
				t.Errorf("%q in %.200q", word, text)
			}
			for _, sentence := range sentences {
				if strings.Contains(text, sentence) {
					t.Errorf("%q is told in English: %.200q", sentence, text)
				}
			}
		}
	}
}
