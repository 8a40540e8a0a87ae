package report

import (
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// briefRows is the most rows of a table on a terminal.
const briefRows = 12

// Brief writes a story that is an answer and no run: headline, lead, its tables in aligned columns of at most 100 characters a
// line, the last column broken where it must be and long words cut in columns to be compared, and charts, what happened and what was found, as [Summary]. Long tables are
// shortened, and say so; those in detail are left out. color uses ANSI sequences.
func Brief(w io.Writer, r *Result, s *Story, color bool) error {
	t := &terminal{words: s.Language, color: color, columns: columns(w)}
	t.verdict(r, s)
	if s.Title != "" {
		t.paragraph("", clean(s.Title))
	}
	for _, reason := range r.Reasons {
		t.paragraph("  ! ", t.in(red, clean(t.words.Retell(reason))))
	}
	for _, l := range s.Lead {
		t.gap()
		t.paragraph("", clean(l))
	}
	t.table(s.Beside)
	for _, table := range s.Tables {
		if !table.Detail {
			t.table(table)
		}
	}
	t.charts(s)
	t.acts(s)
	t.findings(s.Findings)
	if len(s.NotShown) > 0 {
		t.heading(t.words.Say("What this does not show"))
		for _, n := range s.NotShown {
			t.paragraph("  - ", clean(n))
		}
	}
	_, err := io.WriteString(w, t.String())
	return err
}

// table writes t's columns below one another.
func (t *terminal) table(table Table) {
	if len(table.Rows) == 0 {
		return
	}
	t.heading(clean(table.Title))
	rows := table.Rows[:min(len(table.Rows), briefRows)]
	if table.Heads {
		rows = table.Rows[:min(len(table.Rows), 2*briefRows)]
	}
	cells := make([][]string, len(rows), len(rows)+1)
	widths := make([]int, len(table.Columns))
	numeric := make([]bool, len(table.Columns))
	for i, row := range rows {
		cells[i] = make([]string, len(table.Columns))
		for j := range min(len(row), len(table.Columns)) {
			text, number := cell(t.words, row[j])
			cells[i][j] = text
			numeric[j] = numeric[j] || number
			widths[j] = max(widths[j], utf8.RuneCountInString(text))
		}
	}
	if table.Heads {
		heads := make([]string, len(table.Columns))
		for j, c := range table.Columns {
			heads[j] = clean(c.Name)
			widths[j] = max(widths[j], utf8.RuneCountInString(heads[j]))
		}
		cells = slices.Insert(cells, 0, heads)
	}
	last := len(table.Columns) - 1
	if table.Heads {
		t.fit(cells, widths, numeric)
	}
	for _, row := range cells {
		lead := " "
		for j, text := range row {
			pad := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(text))
			switch {
			case j == last && table.Heads: // in columns to be compared: never broken
				if numeric[j] {
					text = pad + text
				}
				t.WriteString(strings.TrimRight(lead+" "+text, " ") + "\n")
			case j == last:
				t.paragraph(lead+" ", text)
			case numeric[j]:
				text = pad + text
			default:
				text += pad
			}
			lead += " " + text + " "
		}
	}
	if total := max(table.Total, len(table.Rows)); total > len(rows) {
		t.paragraph("  ", t.words.Say("… and %d more.", total-len(rows)))
	}
}

const leastWords = 12 // to which words of a column are cut

// fit cuts the words of columns that are wider together than a line, the longest first. The first row is the headings; figures are
// never cut.
func (t *terminal) fit(cells [][]string, widths []int, numeric []bool) {
	least := make([]int, len(widths))
	for _, row := range cells[1:] {
		for j, text := range row {
			if n := utf8.RuneCountInString(text); numeric[j] {
				least[j] = max(least[j], n)
			}
		}
	}
	over := -t.columns
	for j := range widths {
		over += 2 + widths[j]
		least[j] = min(max(least[j], leastWords), widths[j])
	}
	for ; over > 0; over-- {
		longest := 0
		for j := range widths {
			if widths[j]-least[j] > widths[longest]-least[longest] {
				longest = j
			}
		}
		if widths[longest] == least[longest] {
			break
		}
		widths[longest]--
	}
	for _, row := range cells {
		for j := range row {
			row[j] = cut(row[j], widths[j])
		}
	}
}

// cut shortens text to so many characters, in its middle: names that are much alike differ at their ends.
func cut(text string, most int) string {
	long := []rune(text)
	if len(long) <= most {
		return text
	}
	tail := (most - 1) / 2
	return string(long[:most-1-tail]) + "…" + string(long[len(long)-tail:])
}
