package apple

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"time"
)

// string reads a text value. It is good until the next text is read.
func (s *scanner) string() []byte {
	t, f := s.next()
	if t != tagString || f == closing {
		s.fail("want a string, not " + t.String())
		return nil
	}
	if f == empty {
		return nil
	}
	return s.text(tagString)
}

// data appends a data value to dst.
func (s *scanner) data(dst []byte) []byte {
	t, f := s.next()
	if t != tagData || f == closing {
		s.fail("want data, not " + t.String())
		return dst
	}
	if f == empty {
		return dst
	}
	out, err := base64.StdEncoding.AppendDecode(dst, s.base64())
	if err != nil {
		s.fail("data is not base64")
		return dst
	}
	return out
}

// base64 returns the characters of a data element without white space but line feeds, which decoders skip.
func (s *scanner) base64() []byte {
	end := bytes.IndexByte(s.b[s.i:], '<')
	if end < 0 {
		s.fail("want the end of data")
		return nil
	}
	raw := s.b[s.i : s.i+end]
	if bytes.IndexByte(raw, '&') >= 0 || s.i+end+1 < len(s.b) && s.b[s.i+end+1] == '!' {
		raw = s.decoded(tagData)
	} else {
		s.i += end
		s.close(tagData)
	}
	if bytes.IndexByte(raw, ' ') < 0 && bytes.IndexByte(raw, '\t') < 0 {
		return raw
	}
	kept := s.scratch[:0] // raw may be scratch itself: it only shrinks
	for _, c := range raw {
		if c != ' ' && c != '\t' {
			kept = append(kept, c)
		}
	}
	s.scratch = kept
	return kept
}

// flag reads a boolean value.
func (s *scanner) flag() bool {
	t, f := s.next()
	if t != tagTrue && t != tagFalse || f == closing {
		s.fail("want true or false, not " + t.String())
		return false
	}
	s.rest(t, f)
	return t == tagTrue
}

// rest reads the closing tag of a boolean that is not written as an empty element.
func (s *scanner) rest(t tag, f form) {
	if f != opening {
		return
	}
	if u, g := s.next(); u != t || g != closing {
		s.fail("want the end of " + t.String())
	}
}

// integer reads an integer. Beyond 64 bits is an error; beyond int64 it is the largest one.
func (s *scanner) integer() int64 {
	t, f := s.next()
	if t != tagInteger || f != opening {
		s.fail("want an integer, not " + t.String())
		return 0
	}
	n, err := strconv.ParseInt(string(s.number()), 10, 64)
	if err != nil && n != 1<<63-1 { // number has checked the rest
		s.fail("not an integer")
	}
	return n
}

// number reads the text of an integer element and checks it (HST-009).
func (s *scanner) number() []byte {
	text := trimSpace(s.text(tagInteger))
	digits, negative := text, false
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+' && !s.narrow) {
		negative = digits[0] == '-'
		digits = digits[1:]
	}
	largest := uint64(1<<64 - 1)
	if s.narrow {
		largest = 1<<63 - 1
	}
	if negative {
		largest = 1 << 63
	}
	n := uint64(0)
	for _, c := range digits {
		d := uint64(c - '0')
		if c < '0' || c > '9' {
			s.fail("not an integer")
			return nil
		}
		if n > (largest-d)/10 {
			s.fail("integer out of range (HST-009)")
			return nil
		}
		n = n*10 + d
	}
	if len(digits) == 0 {
		s.fail("not an integer")
	}
	return text
}

// real checks the text of a real element: a finite decimal number (HST-009).
func (s *scanner) real() {
	text := trimSpace(s.text(tagReal))
	for _, c := range text {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			s.fail("not a finite number (HST-009)")
			return
		}
	}
	if _, err := strconv.ParseFloat(string(text), 64); err != nil {
		s.fail("not a finite number (HST-009)")
	}
}

// date checks the text of a date element: a day and time that exist, from year 1 to 9999, in UTC (HST-009).
func (s *scanner) date() {
	text := s.text(tagDate)
	if when, err := time.Parse("2006-01-02T15:04:05Z", string(text)); err != nil || len(text) != 20 || when.Year() < 1 {
		s.fail("not a date of the form 2006-01-02T15:04:05Z (HST-009)")
	}
}

// validBase64 tells whether base64.StdEncoding would decode text, without doing it.
func validBase64(text []byte) bool {
	n, pads := 0, 0
	for _, c := range text {
		switch {
		case c == '\n' || c == '\r':
			continue
		case c == '=':
			pads++
		case pads > 0 || !alphabet[c]:
			return false
		}
		n++
	}
	return n%4 == 0 && pads <= 2
}

var alphabet = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = true
	}
	return t
}()

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
