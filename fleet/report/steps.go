package report

import (
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"rollcall/protocol/lang"
)

// A Step is one event in the life of something, with the rule behind it.
type Step struct {
	At    time.Duration // since the story's beginning
	Text  string        // a sentence without its full stop
	Rule  string
	Why   string // what the rule is about; empty: not known
	Aside bool   // it happened to everybody
}

// Steps writes a life step by step, at most 100 columns wide as [Summary].
func Steps(w io.Writer, title string, steps []Step, l lang.Language, color bool) error {
	t := &terminal{words: l, color: color, columns: columns(w)}
	t.paragraph("", t.in(bold, clean(title)))
	t.gap()
	for _, s := range steps {
		at := l.Moment(s.At, 1<<62) // in days: lives are long
		lead := "  " + at + strings.Repeat(" ", max(1, 15-utf8.RuneCountInString(at)))
		text := clean(s.Text)
		if s.Aside {
			text = t.in(faint, text)
		}
		t.paragraph(lead, text)
		if s.Rule == "" {
			continue
		}
		why := s.Rule
		if s.Why != "" {
			why += ": " + clean(s.Why)
		}
		t.paragraph(strings.Repeat(" ", utf8.RuneCountInString(lead)+2), t.in(faint, why))
	}
	_, err := io.WriteString(w, t.String())
	return err
}
