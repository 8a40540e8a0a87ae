package android

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A reader walks over one message.
type reader struct {
	b     []byte
	at    int
	depth int
	known bool
}

// next passes over white space and returns the character that follows; 0: there is none.
func (r *reader) next() byte {
	if r.at < len(r.b) && r.b[r.at] > ' ' { // as nearly always: nobody sends white space
		return r.b[r.at]
	}
	return r.space()
}

func (r *reader) space() byte {
	for r.at < len(r.b) {
		switch c := r.b[r.at]; c {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return c
		}
	}
	return 0
}

// take passes over c and tells whether it was there.
func (r *reader) take(c byte) bool {
	if r.next() != c || c == 0 {
		return false
	}
	r.at++
	return true
}

func (r *reader) word(w string) bool {
	if end := r.at + len(w); end > len(r.b) || string(r.b[r.at:end]) != w {
		return false
	}
	r.at += len(w)
	return true
}

func (r *reader) want(what string) error {
	if r.next() == 0 {
		return breaks("HST-002", "ends where %s should be", what)
	}
	return fmt.Errorf("want %s at byte %d", what, r.at)
}

func (r *reader) deeper() error {
	if r.depth++; r.depth > maxDepth {
		return breaks("HST-004", "nested too deep")
	}
	return nil
}

var errTwice = breaks("HST-006", "duplicate member")

// quote shows a name that a device made up, or its beginning (HST-068).
func quote(name []byte) string { return strconv.Quote(string(name[:min(len(name), 64)])) }

// names are those of an object's members so far.
type names struct {
	few  []string
	many map[string]struct{}
}

// add tells whether name is new.
func (n *names) add(name string) bool {
	if n.many == nil && len(n.few) < fewKeys {
		for _, before := range n.few {
			if before == name {
				return false
			}
		}
		n.few = append(n.few, name)
		return true
	}
	if n.many == nil {
		n.many = make(map[string]struct{})
		for _, before := range n.few {
			n.many[before] = struct{}{}
		}
	}
	_, before := n.many[name]
	n.many[name] = struct{}{}
	return !before
}

// members calls each with the name of every member of an object, standing before its value.
func (r *reader) members(each func(name []byte) error) error {
	if !r.take('{') {
		return r.want("an object")
	}
	if err := r.deeper(); err != nil {
		return err
	}
	for n := 0; !r.take('}'); n++ {
		if n > 0 && !r.take(',') {
			return r.want("a comma or }")
		}
		if r.next() != '"' {
			return r.want("a member's name")
		}
		name, err := r.bytes()
		if err != nil {
			return err
		}
		if !r.take(':') {
			return r.want("a colon")
		}
		r.space()
		if err := each(name); err != nil {
			return err
		}
	}
	r.depth--
	return nil
}

func (r *reader) elements(each func(i int) error) error {
	if !r.take('[') {
		return r.want("a list")
	}
	if err := r.deeper(); err != nil {
		return err
	}
	for i := 0; !r.take(']'); i++ {
		if i > 0 && !r.take(',') {
			return r.want("a comma or ]")
		}
		r.space()
		if err := each(i); err != nil {
			return err
		}
	}
	r.depth--
	return nil
}

// skip passes over a value, and refuses what value would.
func (r *reader) skip() error {
	switch c := r.next(); {
	case c == '{':
		var all names
		return r.members(func(name []byte) error {
			if !all.add(string(name)) {
				return in(quote(name), errTwice)
			}
			return r.skip()
		})
	case c == '[':
		return r.elements(func(int) error { return r.skip() })
	case c == '"':
		_, err := r.bytes()
		return err
	case c == '-', c >= '0' && c <= '9':
		return r.number()
	case r.word("true"), r.word("false"), r.word("null"):
		return nil
	}
	return r.want("a value")
}

// digits reads what a whole number is written with.
func (r *reader) digits(quoted bool) (text []byte, err error) {
	if quoted {
		if r.next() != '"' {
			return nil, r.want("a whole number as text")
		}
		text, err = r.bytes()
	} else {
		from := r.at
		for r.at < len(r.b) && (r.b[r.at] >= '0' && r.b[r.at] <= '9' || r.b[r.at] == '-') {
			r.at++
		}
		text = r.b[from:r.at]
		if c := r.next(); c == '.' || c|0x20 == 'e' {
			err = errors.New("want a whole number")
		}
	}
	if err == nil && len(text) == 0 {
		err = r.want("a whole number")
	}
	return text, err
}

// fewDigits are as many as every number of 32 bits has room for.
const fewDigits = 9

// few reads a number of few digits, which needs no care.
func few(text []byte) (n uint64, ok bool) {
	if len(text) > fewDigits || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

func unsigned(text []byte, bits int) (uint64, error) {
	if n, ok := few(text); ok {
		return n, nil
	}
	if err := whole(text); err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(text), 10, bits)
	if err != nil {
		return 0, breaks("HST-009", "%.40q is no whole number of its range", text)
	}
	return n, nil
}

func signed(text []byte, bits int) (int64, error) {
	if n, ok := few(text); ok {
		return int64(n), nil
	}
	if err := whole(text); err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(text), 10, bits)
	if err != nil {
		return 0, breaks("HST-009", "%.40q is no whole number of its range", text)
	}
	return n, nil
}

// whole refuses what is a number to Go alone.
func whole(text []byte) error {
	digits := bytes.TrimPrefix(text, []byte("-"))
	if len(digits) > 1 && digits[0] == '0' || bytes.ContainsAny(text, "+_ ") || string(text) == "-0" {
		return fmt.Errorf("%.40q is no whole number", text)
	}
	return nil
}

// number passes over a number (RFC 8259, section 6).
func (r *reader) number() error {
	from := r.at
	digits := func() bool {
		first := r.at
		for r.at < len(r.b) && r.b[r.at] >= '0' && r.b[r.at] <= '9' {
			r.at++
		}
		return r.at > first
	}
	at := func(set string) bool {
		if r.at < len(r.b) && strings.IndexByte(set, r.b[r.at]) >= 0 {
			r.at++
			return true
		}
		return false
	}
	at("-")
	zero := r.at < len(r.b) && r.b[r.at] == '0'
	first := r.at
	ok := digits() && (!zero || r.at == first+1)
	if at(".") {
		ok = digits() && ok
	}
	if at("eE") {
		at("+-")
		ok = digits() && ok
	}
	text := string(r.b[from:r.at])
	if !ok || len(text) > maxNumber {
		return fmt.Errorf("%.40q is no number", text)
	}
	if f, err := strconv.ParseFloat(text, 64); err != nil || math.IsInf(f, 0) {
		return breaks("HST-009", "%.40q is beyond all numbers", text)
	}
	return nil
}

func (r *reader) text() (string, error) {
	b, err := r.bytes()
	return string(b), err
}

// bytes reads a string; it is good until the message is gone. NUL and half of a surrogate pair are nowhere allowed.
func (r *reader) bytes() ([]byte, error) {
	b, at := r.b, r.at+1
	for at < len(b) && b[at] >= ' ' && b[at] != '"' && b[at] != '\\' {
		at++
	}
	from := r.at + 1
	r.at = at
	switch {
	case at >= len(b):
		return nil, breaks("HST-002", "ends in a string")
	case b[at] == '"':
		r.at++
		return b[from:at], nil
	case b[at] == '\\':
		return r.escaped(from)
	}
	return nil, fmt.Errorf("control character in a string at byte %d", at)
}

// escaped reads on from a string's first backslash.
func (r *reader) escaped(from int) ([]byte, error) {
	out := append([]byte(nil), r.b[from:r.at]...)
	for r.at < len(r.b) {
		c := r.b[r.at]
		r.at++
		switch {
		case c == '"':
			return out, nil
		case c < ' ':
			return nil, fmt.Errorf("control character in a string at byte %d", r.at-1)
		case c != '\\':
			out = append(out, c)
			continue
		}
		if r.at >= len(r.b) {
			break
		}
		c = r.b[r.at]
		r.at++
		if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
			out = append(out, "\"\\/\b\f\n\r\t"[i])
			continue
		}
		if c != 'u' {
			return nil, fmt.Errorf("no such escape at byte %d", r.at-1)
		}
		u, ok := r.hex()
		if ok && u >= 0xd800 && u < 0xdc00 {
			low := rune(0)
			if ok = r.word(`\u`); ok {
				low, ok = r.hex()
			}
			ok = ok && low >= 0xdc00 && low < 0xe000
			u = (u-0xd800)<<10 + low - 0xdc00 + 0x10000
		}
		if !ok || u == 0 || u >= 0xdc00 && u < 0xe000 {
			return nil, breaks("HST-010", "no such character at byte %d", r.at)
		}
		out = utf8.AppendRune(out, u)
	}
	return nil, breaks("HST-002", "ends in a string")
}

func (r *reader) hex() (u rune, ok bool) {
	if r.at+4 > len(r.b) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(r.b[r.at:r.at+4]), 16, 32)
	r.at += 4
	return rune(n), err == nil
}
