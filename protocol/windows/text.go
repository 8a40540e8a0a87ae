package windows

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decode returns a document as UTF-8 without byte order mark. It may come as UTF-16 with one (HST-011). Every character is one that
// XML allows (HST-010).
func (s *scanner) decode(body []byte) string {
	var text string
	s.encoding = "utf-8"
	switch {
	case len(body) >= 2 && (body[0] == 0xFE && body[1] == 0xFF || body[0] == 0xFF && body[1] == 0xFE):
		if len(body)%2 != 0 {
			s.fail("half a character of UTF-16")
			return ""
		}
		s.encoding = "utf-16"
		high, low := 0, 1
		if body[0] == 0xFF {
			high, low = 1, 0
		}
		units := make([]uint16, 0, len(body)/2)
		for i := 2; i < len(body); i += 2 {
			units = append(units, uint16(body[i+high])<<8|uint16(body[i+low]))
		}
		out := make([]byte, 0, len(body))
		for i := 0; i < len(units); i++ {
			r := rune(units[i])
			if utf16.IsSurrogate(r) {
				next := rune(0)
				if i+1 < len(units) {
					next = rune(units[i+1])
				}
				if r = utf16.DecodeRune(r, next); r == utf8.RuneError {
					s.fail("not UTF-16 (HST-010)")
					return ""
				}
				i++
			}
			out = utf8.AppendRune(out, r)
		}
		text = string(out)
	case len(body) >= 3 && string(body[:3]) == "\xEF\xBB\xBF":
		text = string(body[3:])
	default:
		text = string(body)
	}
	ascii := true
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c < ' ' && !isSpace(c) {
			s.i = i
			s.fail("character that XML forbids (HST-010)")
			return ""
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && (!utf8.ValidString(text) || strings.Contains(text, "\uFFFE") || strings.Contains(text, "\uFFFF")) {
		s.fail("not UTF-8, or a character that XML forbids (HST-010)")
		return ""
	}
	return text
}

// isChar is the production Char of XML 1.0, section 2.2.
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || ' ' <= r && r <= 0xD7FF || 0xE000 <= r && r <= 0xFFFD || 0x10000 <= r && r <= utf8.MaxRune
}

// plain tells whether text stands for itself.
func plain(text string) bool {
	return strings.IndexByte(text, '&') < 0 && strings.IndexByte(text, '\r') < 0 && !strings.Contains(text, "]]>")
}

// unescape appends what text stands for.
func (s *scanner) unescape(out []byte, text string) []byte {
	if strings.Contains(text, "]]>") {
		s.fail("]]> in text")
		return out
	}
	for {
		i := strings.IndexByte(text, '&')
		if i < 0 {
			return appendLines(out, text)
		}
		out = appendLines(out, text[:i])
		r, n := reference(text[i:])
		if n == 0 {
			s.fail("unknown entity (HST-003)")
			return out
		}
		out = utf8.AppendRune(out, r)
		text = text[i+n:]
	}
}

// attributeValue is unescape for attributes, whose white space is normalised (XML 1.0, section 3.3.3).
func (s *scanner) attributeValue(text string) string {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text) && s.err == nil; {
		switch c := text[i]; {
		case c == '&':
			r, n := reference(text[i:])
			if n == 0 {
				s.fail("unknown entity (HST-003)")
			}
			out = utf8.AppendRune(out, r)
			i += n
		case c == '\r' && strings.HasPrefix(text[i:], "\r\n"):
			i++
		case isSpace(c):
			out = append(out, ' ')
			i++
		default:
			out = append(out, c)
			i++
		}
	}
	return string(out)
}

// appendLines appends text with its line ends as line feeds (XML 1.0, section 2.11).
func appendLines(out []byte, text string) []byte {
	for {
		i := strings.IndexByte(text, '\r')
		if i < 0 {
			return append(out, text...)
		}
		out = append(append(out, text[:i]...), '\n')
		text = strings.TrimPrefix(text[i+1:], "\n")
	}
}

// reference reads one of the five entities or a numeric reference at the start of text, and how long it is; 0: there is none.
func reference(text string) (rune, int) {
	end := strings.IndexByte(text[:min(len(text), 12)], ';')
	if end < 2 {
		return 0, 0
	}
	r := rune(-1)
	switch name := text[1:end]; name {
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
		if digits, numeric := strings.CutPrefix(name, "#"); numeric {
			base := 10
			if strings.HasPrefix(digits, "x") {
				digits, base = digits[1:], 16
			}
			if n, err := strconv.ParseUint(digits, base, 21); err == nil {
				r = rune(n)
			}
		}
	}
	if !isChar(r) {
		return 0, 0
	}
	return r, end + 1
}

// appendText appends s as text of an element. A character that XML cannot carry becomes U+FFFD.
func appendText(dst []byte, s string) []byte { return appendEscaped(dst, s, false) }

func appendEscaped(dst []byte, s string, attribute bool) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '&' && c != '<' && (c != '>' || attribute) && (c != '"' || !attribute) || c == '\n' && !attribute || c == '\t' && !attribute {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		by := ""
		switch {
		case c == '&':
			by = "&amp;"
		case c == '<':
			by = "&lt;"
		case c == '>' && !attribute:
			by = "&gt;"
		case c == '"':
			by = "&quot;"
		case c == '\r':
			by = "&#xD;"
		case c == '\n':
			by = "&#xA;"
		case c == '\t':
			by = "&#x9;"
		case r == utf8.RuneError && n == 1, !isChar(r):
			by = "\uFFFD"
		}
		if by != "" {
			dst = append(append(dst, s[start:i]...), by...)
			start = i + n
		}
		i += n
	}
	return append(dst, s[start:]...)
}

// appendElement appends an element with a text; prefix may be empty.
func appendElement(dst []byte, name, text string) []byte {
	dst = append(append(append(dst, '<'), name...), '>')
	dst = appendText(dst, text)
	return append(append(append(dst, "</"...), name...), '>')
}

func appendNumber(dst []byte, name string, n int64) []byte {
	dst = append(append(append(dst, '<'), name...), '>')
	dst = strconv.AppendInt(dst, n, 10)
	return append(append(append(dst, "</"...), name...), '>')
}

// base64Of reads base64 with white space anywhere in it (WIN-013).
func base64Of(text string) ([]byte, bool) {
	if strings.ContainsAny(text, " \t\r\n") {
		text = strings.Join(strings.Fields(text), "")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	return b, err == nil
}
