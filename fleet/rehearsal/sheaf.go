package rehearsal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"rollcall/protocol"
)

// A logged is a line of a partition that waits for the others of its window: it is small and holds no pointer, for there may be
// millions.
type logged struct {
	at     protocol.Time
	device uint32 // of the population plus 1; 0: the tenant
	phrase uint32 // its number in the sheaf, times two; odd: the server's
}

func (l *logged) compare(m *logged) int {
	switch {
	case l.at != m.at: // mostly
		return cmp.Compare(l.at, m.at)
	case l.device != m.device:
		return cmp.Compare(l.device, m.device)
	}
	return cmp.Compare(l.phrase&1, m.phrase&1)
}

// A sheaf is lines that wait. Few differ in more than when and of which device they are: the rest is kept once.
type sheaf struct {
	lines   []logged
	phrases []phrase
	sorted  int // of lines, how many are in order
	numbers map[words]uint32
	latest  [32]numbered // by a glance at the words: most lines say what another has just said
}

// A numbered is words and their number.
type numbered struct {
	words
	number uint32
}

// Words are what a line says. Where the detail is only the name of the device, named stands for it.
type words struct {
	side   Side
	what   string
	rule   protocol.Rule
	detail string
	named  bool
}

// A phrase is words as JSON: what stands before the name of the device, between that and its name as the detail, and after it.
type phrase struct {
	before, after string
	named         bool
}

// add adds a line about a device of the population plus 1; 0: the tenant.
func (s *sheaf) add(l *Line, device uint32) {
	w := words{l.Side, l.What, l.Rule, l.Detail, device != 0 && l.Detail != "" && l.Detail == l.Device}
	if w.named {
		w.detail = ""
	}
	latest := &s.latest[(len(w.detail)+len(w.what)<<1+len(w.rule)<<3+len(w.side)<<2)%len(s.latest)]
	if latest.words != w || latest.what == "" {
		*latest = numbered{w, s.number(&w)}
	}
	s.lines = append(s.lines, logged{l.At, device, latest.number})
}

// number is the number of words.
func (s *sheaf) number(w *words) uint32 {
	n, known := s.numbers[*w]
	if !known {
		if s.numbers == nil {
			s.numbers = map[words]uint32{}
		}
		n = uint32(len(s.phrases)) << 1
		if w.side == OfServer {
			n |= 1
		}
		s.numbers[*w] = n
		s.phrases = append(s.phrases, phraseOf(w))
	}
	return n
}

// phraseOf makes the words JSON, as encoding/json would.
func phraseOf(w *words) phrase {
	before := appendText([]byte(`","side":`), string(w.side))
	after := appendText([]byte(`,"what":`), w.what)
	if w.rule != "" {
		after = appendText(append(after, `,"rule":`...), string(w.rule))
	}
	switch {
	case w.named:
		after = append(after, `,"detail":`...)
	case w.detail != "":
		after = appendText(append(after, `,"detail":`...), w.detail)
	}
	if !w.named {
		after = append(after, "}\n"...)
	}
	return phrase{string(before), string(after), w.named}
}

// append writes a line of the sheaf.
func (s *sheaf) append(b []byte, l *logged, clock *momentEncoder, names func(device uint32) string) []byte {
	p := &s.phrases[l.phrase>>1]
	b = append(clock.append(append(b, `{"at":"`...), l.at), p.before...)
	if l.device == 0 {
		return append(b, p.after...)
	}
	b = append(b, `,"device":`...)
	from := len(b)
	b = appendText(b, names(l.device))
	name := b[from:]
	b = append(b, p.after...)
	if p.named {
		b = append(append(b, name...), "}\n"...)
	}
	return b
}

// sort puts the lines in order, those that it has not yet: all of them are later, or of the moment of the last that are. Those of one
// moment, device and side stay as they came. They come by time, mostly.
func (s *sheaf) sort() {
	compare := func(a, b logged) int { return a.compare(&b) }
	from := s.sorted
	for from > 0 && from < len(s.lines) && s.lines[from-1].at == s.lines[s.sorted-1].at {
		from--
	}
	s.sorted = len(s.lines)
	rest := s.lines[from:]
	for from < len(s.lines) {
		to := from + 1
		for to < len(s.lines) && s.lines[to].at == s.lines[from].at {
			to++
		}
		if to < len(s.lines) && s.lines[to].at < s.lines[from].at {
			slices.SortStableFunc(rest, compare)
			return
		}
		if to-from > 1 {
			slices.SortStableFunc(s.lines[from:to], compare)
		}
		from = to
	}
}

// A momentEncoder writes moments, of which many are of one second.
type momentEncoder struct {
	second protocol.Time // of prefix
	prefix []byte        // a moment up to its second
}

const perSecond = protocol.Time(time.Second / time.Microsecond)

// append writes t as RFC 3339 in UTC, without zeros at the end of a second's parts.
func (e *momentEncoder) append(b []byte, t protocol.Time) []byte {
	part := t % perSecond
	if second := t - part; second != e.second || e.prefix == nil {
		e.second, e.prefix = second, second.Time().AppendFormat(e.prefix[:0], "2006-01-02T15:04:05")
	}
	b = append(b, e.prefix...)
	if part != 0 {
		digits := [7]byte{'.'}
		for i := 6; i > 0; i-- {
			digits[i] = byte('0' + part%10)
			part /= 10
		}
		b = append(b, bytes.TrimRight(digits[:], "0")...)
	}
	return append(b, 'Z')
}

// literal tells of each byte whether it stands for itself in JSON's text.
var literal = func() (is [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

// appendText writes s as JSON.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if !literal[s[i]] {
			var text bytes.Buffer
			enc := json.NewEncoder(&text)
			enc.SetEscapeHTML(false)
			enc.Encode(s) // a string always encodes
			return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
