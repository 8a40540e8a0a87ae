package report

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A mark is a moment at which something happened, with its number.
type mark struct {
	X, Text string
	Number  string // of its act; of several at one moment the first and the last
	Label   bool   // there is room for its number
	Minor   bool   // but not where a chart is narrow
	Rare    bool   // or very narrow

	first, last int // of its numbers
	main        bool
	at          float64 // X in per cent
	least       int     // of rooms, the first in which its number is shown
}

// rooms are how far apart the numbers of two marks are at least, in per cent of a chart that is very narrow, narrow, or wide.
var rooms = [...]float64{12, 5.3, 2.8}

// marks numbers the marked acts from 1, and returns those that the panel of this name shows, or all where it has none; what happened
// at one moment is one mark. A number is left out where there is no room for it, and those of the main acts come first.
func marks(s *Story, of string) []mark {
	var out []mark
	n, last := 0, time.Duration(-1)
	for _, a := range s.Acts {
		if !a.Mark {
			continue
		}
		if n++; of != "" && len(a.Of) > 0 && !slices.Contains(a.Of, of) {
			continue
		}
		text := s.Language.Moment(a.At, s.Until) + ": " + a.title()
		if m := len(out) - 1; m >= 0 && a.At == last {
			out[m].add(n, text, a.Main)
			continue
		}
		last = a.At
		out = append(out, mark{X: share(a.At, s.Until), Number: strconv.Itoa(n), Text: text, first: n, last: n, main: a.Main, at: 100 * ratio(a.At, s.Until)})
	}
	var shown []*mark
	for _, first := range []bool{true, false} {
		for i := range out {
			m := &out[i]
			for least := 0; m.main == first && m.at <= 99 && !m.Label && least < len(rooms); least++ {
				if slices.ContainsFunc(shown, func(other *mark) bool { return m.covers(other, least) }) {
					continue
				}
				m.Label, m.Rare, m.Minor, m.least = true, least == 1, least == 2, least
				shown = append(shown, m)
			}
		}
	}
	return out
}

// add has a mark stand for one more act.
func (m *mark) add(n int, text string, main bool) {
	m.Text, m.main = m.Text+"\n"+text, m.main || main
	switch {
	case n == m.last+1 && !strings.HasSuffix(m.Number, "+"):
		m.Number = strconv.Itoa(m.first) + "–" + strconv.Itoa(n)
	default: // others have the numbers between
		m.Number = strconv.Itoa(m.first) + "+"
	}
	m.last = n
}

// Half is half the width of a mark's number in pixels.
func (m *mark) Half() int { return max(8, 3+3*utf8.RuneCountInString(m.Number)) }

// Wide is the width of a mark's number in pixels.
func (m *mark) Wide() int { return 2 * m.Half() }

// Left is how far a mark's number begins before its moment in pixels: at the left edge not so far as the figures of the axis.
func (m *mark) Left() int {
	if m.at < 3 {
		return 8
	}
	return m.Half()
}

// Middle is how far after its moment the middle of a mark's number is.
func (m *mark) Middle() int { return m.Half() - m.Left() }

// covers tells whether there is no room for both numbers where m is shown from rooms[least] on.
func (m *mark) covers(other *mark, least int) bool {
	return math.Abs(m.at-other.at) < rooms[max(least, other.least)]*float64(m.Half()+other.Half())/16
}
