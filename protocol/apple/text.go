package apple

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// text reads up to and including the closing tag of t. It is good until the next text is read.
func (s *scanner) text(t tag) []byte {
	s.inScratch = false
	rest := s.b[s.i:]
	for i, c := range rest {
		if !special[c] {
			continue
		}
		if c == '<' && i+1 < len(rest) && rest[i+1] == '/' {
			s.i += i
			s.close(t)
			return rest[:i]
		}
		return s.decoded(t)
	}
	s.fail("want the end of " + t.String())
	return nil
}

// special are the bytes that end a text or need a closer look.
var special = func() (t [256]bool) {
	for c := range t {
		t[c] = c < ' ' || c >= utf8.RuneSelf || c == '<' || c == '&' || c == '>'
	}
	return t
}()

// decoded is text for what holds references, CDATA, comments, line ends or characters beyond ASCII.
func (s *scanner) decoded(t tag) []byte {
	s.inScratch = true
	out := s.scratch[:0]
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '<':
			switch {
			case s.has("<![CDATA["):
				out = s.cdata(out)
			case s.comment():
			default:
				s.close(t)
				s.scratch = out
				return out
			}
		case c == '&':
			out = s.reference(out)
		case c == ']' && s.has("]]>"):
			s.fail("]]> in text")
		default:
			out = s.char(out)
		}
	}
	s.fail("want the end of " + t.String())
	return nil
}

// char appends the character that comes next. Line ends become line feeds, as XML wants.
func (s *scanner) char(out []byte) []byte {
	c := s.b[s.i]
	if c == '\r' {
		s.i++
		if s.i < len(s.b) && s.b[s.i] == '\n' {
			s.i++
		}
		return append(out, '\n')
	}
	r, n := rune(c), 1
	if c >= utf8.RuneSelf {
		r, n = utf8.DecodeRune(s.b[s.i:])
	}
	if r == utf8.RuneError && n == 1 {
		s.fail("not UTF-8 (HST-010)")
		return out
	}
	if !isChar(r) {
		s.fail("character that XML forbids (HST-010)")
		return out
	}
	out = append(out, s.b[s.i:s.i+n]...)
	s.i += n
	return out
}

// isChar is the production Char of XML 1.0, section 2.2.
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || ' ' <= r && r <= 0xD7FF || 0xE000 <= r && r <= 0xFFFD || 0x10000 <= r && r <= utf8.MaxRune
}

func (s *scanner) cdata(out []byte) []byte {
	s.i += len("<![CDATA[")
	for s.i < len(s.b) {
		if s.b[s.i] == ']' && s.has("]]>") {
			s.i += 3
			return out
		}
		out = s.char(out)
	}
	s.fail("want the end of CDATA")
	return out
}

// reference appends what one of the five entities or a numeric reference stands for. There are no others: a
// document type is never read (HST-003).
func (s *scanner) reference(out []byte) []byte {
	end := bytes.IndexByte(s.b[s.i:min(s.i+12, len(s.b))], ';')
	if end < 0 {
		s.fail("unknown entity (HST-003)")
		return out
	}
	name := s.b[s.i+1 : s.i+end]
	r := rune(-1)
	switch string(name) {
	case "amp":
		r = '&'
	case "lt":
		r = '<'
	case "gt":
		r = '>'
	case "quot":
		r = '"'
	case "apos":
		r = '\''
	default:
		if n, ok := numeric(name); ok {
			r = n
		}
	}
	if !isChar(r) {
		s.fail("unknown entity (HST-003)")
		return out
	}
	s.i += end + 1
	return utf8.AppendRune(out, r)
}

func numeric(name []byte) (rune, bool) {
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	digits, base := name[1:], 10
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(string(digits), base, 21)
	return rune(n), err == nil
}

// comment skips a comment; false, without an error, when there is none.
func (s *scanner) comment() bool {
	if !s.has("<!--") {
		return false
	}
	s.i += 4
	for s.i < len(s.b) {
		if s.b[s.i] == '-' && s.has("--") {
			if !s.has("-->") {
				s.fail("-- in a comment")
				return true
			}
			s.i += 3
			return true
		}
		var ignored [utf8.UTFMax]byte
		s.char(ignored[:0])
	}
	s.fail("want the end of a comment")
	return true
}
