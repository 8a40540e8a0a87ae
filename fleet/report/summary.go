package report

import (
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"rollcall/protocol/lang"
)

const (
	mostColumns  = 100 // of a line
	leastColumns = 50  // narrower terminals break lines themselves
	labelWidth   = 12
	mostSpark    = 56
)

// columns returns how long lines on w may be: 100 characters, or as many as it has where it says so by a method Columns, as
// a narrow terminal does.
func columns(w io.Writer) int {
	if t, ok := w.(interface{ Columns() int }); ok {
		return max(leastColumns, min(t.Columns(), mostColumns))
	}
	return mostColumns
}

// ANSI sequences of the summary.
const (
	plain  = "\x1b[0m"
	bold   = "\x1b[1m"
	faint  = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
)

// Summary writes the result in words and numbers, at most 100 columns wide; narrower where w has a method Columns that says
// so. color uses ANSI sequences.
func Summary(w io.Writer, r *Result, s *Story, color bool) error {
	t := &terminal{words: s.Language, color: color, columns: columns(w)}
	l := s.Language
	t.verdict(r, s)
	if s.Title != "" {
		t.paragraph("", clean(s.Title))
	}
	for _, lead := range s.Lead {
		t.paragraph("", clean(lead))
	}
	for _, reason := range r.Reasons {
		t.paragraph("  - ", clean(l.Retell(reason)))
	}
	t.gap()
	devices := devicesInWords(l, r)
	if p := platformsInWords(l, r); p != "" {
		devices += " " + p + "."
	}
	t.row(l.Say("devices"), devices)
	if c := r.CheckIns; c.Offered+c.Started+c.Done > 0 {
		t.row(l.Say("check-ins"), checkInsInWords(l, c))
	}
	t.row(l.Say("checks"), checks(l, r))
	for _, x := range r.Limits {
		if !x.OK {
			t.row("", t.in(red, l.Say("broken:"))+" "+l.Say("%s, got %s", clean(x.Limit), clean(l.Retell(x.Got))))
		}
	}
	t.row(l.Say("run"), runInWords(l, r))
	t.figures(s.Figures)
	t.findings(s.Findings)
	t.charts(s)
	t.acts(s)
	if len(s.NotShown) > 0 {
		t.heading(l.Say("What this run does not show"))
		for _, n := range s.NotShown {
			t.paragraph("  - ", clean(n))
		}
	}
	_, err := io.WriteString(w, t.String())
	return err
}

// A terminal collects the summary's lines.
type terminal struct {
	strings.Builder
	words   lang.Language
	color   bool
	columns int
}

func (t *terminal) in(sequence, text string) string {
	if !t.color {
		return text
	}
	return sequence + text + plain
}

func (t *terminal) gap() { t.WriteByte('\n') }

func (t *terminal) heading(text string) {
	t.gap()
	t.WriteString(t.in(bold, text) + "\n")
}

func (t *terminal) verdict(r *Result, s *Story) {
	c := yellow
	switch r.Verdict {
	case OK:
		c = green
	case Failed, Error:
		c = red
	}
	t.WriteString(t.in(faint, "rollcall "+clean(r.Command)+": ") + t.in(bold+c, told(r, s)) + "\n")
}

// row writes text beside a label.
func (t *terminal) row(label, text string) {
	pad := strings.Repeat(" ", max(1, labelWidth-utf8.RuneCountInString(label)))
	t.paragraph("  "+label+pad, text)
}

// paragraph breaks text at blanks; further lines are indented as far as lead is long.
func (t *terminal) paragraph(lead, text string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(lead))
	t.WriteString(lead)
	column := len(indent)
	for i, word := range strings.Fields(text) {
		n := visible(word)
		if i > 0 && column+1+n > t.columns {
			t.WriteString("\n" + indent)
			column = len(indent)
		} else if i > 0 {
			t.WriteByte(' ')
			column++
		}
		t.WriteString(word)
		column += n
	}
	t.WriteByte('\n')
}

// visible counts the characters of a word that take up room.
func visible(word string) int {
	n := 0
	for rest := word; rest != ""; {
		if strings.HasPrefix(rest, "\x1b[") {
			_, rest, _ = strings.Cut(rest, "m")
			continue
		}
		_, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		n++
	}
	return n
}

// figures writes names and right-aligned values below one another.
func (t *terminal) figures(figures []Figure) {
	if len(figures) == 0 {
		return
	}
	t.heading(t.words.Say("In numbers"))
	values := make([]string, len(figures))
	width := 0
	for i, f := range figures {
		values[i], _ = cell(t.words, f.Value)
		width = max(width, utf8.RuneCountInString(values[i]))
	}
	for i, f := range figures {
		value := strings.Repeat(" ", width-utf8.RuneCountInString(values[i])) + values[i]
		if f.Bad {
			value = t.in(red, value)
		}
		text := clean(f.Name)
		if f.Note != "" {
			text += t.in(faint, " ("+clean(f.Note)+")")
		}
		t.paragraph("  "+value+"  ", text)
	}
}

// findings writes what was found, the worst first, each with what to do.
func (t *terminal) findings(findings []Finding) {
	if len(findings) == 0 {
		return
	}
	t.heading(t.words.Say("Findings"))
	width := 0
	for i := range findings {
		width = max(width, len(t.words.Number(float64(findings[i].Count))))
	}
	for i := range findings {
		f := &findings[i]
		n := t.words.Number(float64(f.Count))
		title := clean(f.Title)
		if f.Rule != "" {
			title += t.in(faint, " ["+clean(string(f.Rule))+"]")
		}
		indent := strings.Repeat(" ", width+4)
		t.paragraph("  "+strings.Repeat(" ", width-len(n))+n+"  ", title)
		t.paragraph(indent, clean(f.Consequence))
		t.paragraph(indent, t.words.Say("To do: %s", clean(f.Action))+".")
	}
}

// charts draws each series as one line of blocks.
func (t *terminal) charts(s *Story) {
	if len(s.Charts) == 0 || s.Until <= 0 {
		return
	}
	t.heading(t.words.Say("Over %s", t.words.Span(s.Until)))
	s = finite(s)
	width := 0
	s.Charts = slices.DeleteFunc(s.Charts, func(c Chart) bool { return c.Detail }) // finite has cloned them
	for _, c := range s.Charts {
		for _, x := range c.Series {
			width = max(width, min(utf8.RuneCountInString(clean(x.Name)), 22))
		}
	}
	units := t.columns >= 80 // else they would leave no room for the line
	scale := len("to 1,000,000")
	if units {
		scale += len(" per 10 minutes")
	}
	for _, c := range s.Charts {
		if len(s.Beside.Rows) > 0 { // the series are stories: of what, the title says
			t.WriteString("  " + clean(c.Title) + "\n")
		}
		for _, x := range c.Series {
			name := cut(clean(x.Name), width)
			line, top := spark(&x, s, c.Kind, max(8, min(mostSpark, t.columns-width-6-scale)))
			unit := ""
			if c.Kind == Bars && units { // of a state the name says enough
				unit = " " + clean(c.Unit)
			}
			t.WriteString("  " + name + strings.Repeat(" ", width-utf8.RuneCountInString(name)) + "  " + line + "  " + t.in(faint, t.words.Say("to %s", t.words.Number(top))+unit) + "\n")
		}
	}
}

// spark draws a series in so many characters, each as high as the greatest value in its part of the story, and returns that
// of all.
func spark(x *Series, s *Story, kind ChartKind, width int) (string, float64) {
	const blocks = " ▁▂▃▄▅▆▇█"
	high := make([]float64, width)
	var top, state float64
	next, points := 0, x.Points
	for i := range high {
		if x.over(s.Until * time.Duration(i) / time.Duration(width)) {
			break
		}
		if kind == Lines || len(points) == 1 {
			high[i] = state
		}
		for next < len(points) && (int(ratio(points[next].At, s.Until)*float64(width)) <= i || i == width-1) {
			state = points[next].Value
			high[i] = max(high[i], state)
			next++
		}
		top = max(top, high[i])
	}
	line := make([]rune, width)
	for i, v := range high {
		n := 0
		if v > 0 {
			n = 1 + int(v/top*7.999)
		}
		line[i] = []rune(blocks)[n]
	}
	return string(line), top
}

const mostActs = 60 // lines of what happened

func (t *terminal) acts(s *Story) {
	if len(s.Acts) == 0 {
		return
	}
	t.heading(t.words.Say("What happened"))
	for i, a := range s.Acts {
		if i == mostActs {
			t.paragraph("  ", t.words.Say("%d more {is|are} in the report.", len(s.Acts)-mostActs))
			break
		}
		title := a.title()
		if a.Failed {
			title = t.in(red, title)
		}
		if len(a.Rules) > 0 {
			title += t.in(faint, " ["+strings.Join(cleanAll(a.Rules), ", ")+"]")
		}
		at := t.words.Moment(a.At, s.Until)
		lead := "  " + at + strings.Repeat(" ", max(1, 15-utf8.RuneCountInString(at)))
		t.paragraph(lead, title)
		if a.Mark && a.Text != "" {
			t.paragraph(strings.Repeat(" ", len(lead)), clean(a.Text))
		}
	}
}
