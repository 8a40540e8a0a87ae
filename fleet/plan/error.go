package plan

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/protocol"
)

// An Error is one thing that is wrong in a file of input, with the place where it is. Line and Column count
// from 1; 0 means the file as a whole.
type Error struct {
	File         string
	Line, Column int
	Field        string        // the path of keys (timeline[2].enrol.over) or the column's name
	Rule         protocol.Rule // AUTH-nn or HST-nnn where a rule refuses; empty: a plain mistake
	Message      string        // what is wrong and what was expected; lower case, no full stop
	Nearest      string        // the valid word that was probably meant; empty: none is near
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Where() + ": " + e.Message)
	if e.Nearest != "" {
		fmt.Fprintf(&b, "; did you mean %q?", e.Nearest)
	}
	if e.Rule != "" {
		fmt.Fprintf(&b, " (%s)", e.Rule)
	}
	return b.String()
}

// Where says file, line, column and field in one word, as the error begins.
func (e *Error) Where() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Field != "" {
		b.WriteString(": " + e.Field)
	}
	return b.String()
}

// Place returns where the mistake is, for programs that show it.
func (e *Error) Place() (file string, line int, field string) { return e.File, e.Line, e.Field }

func (e *Error) Unwrap() error {
	if e.Rule == "" {
		return nil
	}
	return e.Rule
}

// Errors are all mistakes of one file in the order of their lines; never empty. errors.As finds the first.
type Errors []*Error

func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

// or returns es as an error, sorted, and nil when it is empty.
func (es Errors) or() error {
	if len(es) == 0 {
		return nil
	}
	slices.SortStableFunc(es, func(a, b *Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return es
}

// Nearest returns the word that differs least from s, or "" when none is near: at most a third of its
// letters may differ, where two letters that changed places count as one difference.
func Nearest(s string, words []string) string {
	if len(s) > 64 {
		return ""
	}
	best, least := "", len(s)/3+2
	for _, w := range words {
		if d := distance(strings.ToLower(s), strings.ToLower(w)); d < least && d <= max(1, len(w)/3) {
			best, least = w, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that make b of a.
func distance(a, b string) int {
	var before, last []int
	this := make([]int, len(b)+1)
	for j := range this {
		this[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, this = last, this, make([]int, len(b)+1)
		this[0] = i
		for j := 1; j <= len(b); j++ {
			differ := 1
			if a[i-1] == b[j-1] {
				differ = 0
			}
			this[j] = min(last[j]+1, this[j-1]+1, last[j-1]+differ)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				this[j] = min(this[j], before[j-2]+1)
			}
		}
	}
	return this[len(b)]
}
