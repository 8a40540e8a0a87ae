package report

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A narrow terminal is one that says how many columns it has.
type narrowTerminal struct {
	bytes.Buffer
	columns int
}

func (n *narrowTerminal) Columns() int { return n.columns }

// No line is longer than the terminal is wide, down to one that shows nothing well.
func TestSummaryFits(t *testing.T) {
	r, s := sample(t)
	for _, columns := range []int{50, 80, 100, 200} {
		w := &narrowTerminal{columns: columns}
		if err := Summary(w, r, s, false); err != nil {
			t.Fatal(err)
		}
		longest := 0
		for line := range strings.Lines(w.String()) {
			longest = max(longest, utf8.RuneCountInString(strings.TrimRight(line, "\n")))
		}
		if longest > min(columns, mostColumns) || longest < min(columns, mostColumns)/2 {
			t.Errorf("%d columns: the longest line has %d characters:\n%s", columns, longest, w)
		}
	}
}

// A column that has nothing in any row is left out, and one that has something in one row is not.
func TestWithoutEmpty(t *testing.T) {
	g := newGrid(lang.English, Table{
		Columns: []Column{{Name: "What"}, {Name: "Times", Bar: true}, {Name: "Rule"}, {Name: "And then"}, {Name: "Note"}},
		Rows:    [][]any{{"a", 1, protocol.Rule(""), "", "x"}, {"b", 2, protocol.Rule(""), nil}},
	}, 10)
	var names []string
	for _, c := range g.Columns {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "What Times Note" || len(g.Rows[1]) != 3 || g.Rows[0][2].Text != "x" || g.Rows[1][1].Bar != "100%" {
		t.Errorf("columns %q, rows %+v", got, g.Rows)
	}
}

// The page says what the rules are about that its acts and tables name, and no others.
func TestPageRules(t *testing.T) {
	s := &Story{
		Until: time.Hour,
		Acts: []Act{
			{Title: "Act 1: the gap opens", Text: "Counted: 3 devices.", Rules: []string{"AUTH-30"}, Mark: true},
			{Title: "Users sync", Rules: []string{"AUTH-22", "AUTH-99"}},
		},
		Tables: []Table{{Title: "Left", Columns: []Column{{Name: "Why"}}, Rows: [][]any{{"it has no user (AUTH-18)"}}}},
		Rules:  map[string]string{"AUTH-30": "Apple waits", "AUTH-22": "By hand & sooner", "AUTH-18": "Support moves it", "AUTH-01": "Nobody enrols"},
	}
	var b bytes.Buffer
	if err := Page(&b, &Result{Verdict: OK, VirtualSeconds: 1}, s); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for text, want := range map[string]int{
		`<dd>Apple waits</dd>`:         2, // with its act, and among the rules
		`title="By hand &amp; sooner"`: 1, `<dd>Support moves it</dd>`: 1, "Nobody enrols": 0, `<span class="rule">AUTH-99</span>`: 1, `<h2 id="rules">`: 1,
	} {
		if got := strings.Count(page, text); got != want {
			t.Errorf("%q is %d times on the page, want %d", text, got, want)
		}
	}
}

// Columns to be compared are not wider than the screen, whatever plans are called: words are cut in the middle, figures never.
func TestBriefCutsLongNames(t *testing.T) {
	long := "adding-Intune-with-a-certificate-that-comes-late-in-"
	beside := Table{
		Title: "Side by side", Heads: true, Columns: []Column{{Name: "What"}, {Name: long + "spring"}, {Name: long + "autumn"}},
		Rows: [][]any{{strings.Repeat("devices that moved ", 5), 1234567, 7654321}, {"held", 17, nil}},
	}
	s := &Story{Headline: "x", Beside: beside, Until: time.Hour, Charts: []Chart{{Title: "Moved", Series: []Series{{Name: long + "spring", Points: []Point{{0, 1}}}}}}}
	for _, columns := range []int{leastColumns, 80, 100} {
		n := &narrowTerminal{columns: columns}
		if err := Brief(n, &Result{Command: "rehearse", Verdict: OK}, s, false); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(n.String()) {
			if got := utf8.RuneCountInString(strings.TrimRight(line, "\n")); got > columns {
				t.Errorf("%d characters of %d: %s", got, columns, line)
			}
		}
		for _, want := range []string{"1,234,567", "7,654,321", "spring", "autumn", "…"} {
			if columns == leastColumns && (want == "spring" || want == "autumn") {
				want = want[2:]
			}
			if !strings.Contains(n.String(), want) {
				t.Errorf("no %q in %d columns:\n%s", want, columns, n)
			}
		}
	}
}

// A moment does not break: half of it is another moment.
func TestMomentsAreWhole(t *testing.T) {
	g := newGrid(lang.Dutch, Table{Columns: []Column{{Name: "since"}}, Rows: [][]any{{time.Unix(0, 0)}}}, 1)
	if g.Rows[0][0].Class != "one" {
		t.Errorf("%+v; want it whole", g.Rows[0][0])
	}
}

// Fewer devices enrolled than there were are explained by the records that the server removed.
func TestRemovedRecordsAreTold(t *testing.T) {
	for l, want := range map[lang.Language]string{lang.English: "59 of 60 devices enrolled, 1 record removed.", lang.Dutch: "59 van 60 apparaten ingeschreven, 1 record verwijderd."} {
		if got := devicesInWords(l, &Result{Devices: Devices{Total: 60, Enrolled: 59, Removed: 1}}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
