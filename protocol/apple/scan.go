package apple

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"rollcall/protocol"
)

const (
	maxDepth    = 64      // dict and array inside one another (HST-004)
	maxElements = 1 << 19 // of one document: the library needs about 100 bytes for each
)

// A tag is the name of an element of a property list.
type tag uint8

const (
	noTag tag = iota
	tagPlist
	tagDict
	tagArray
	tagKey
	tagString
	tagData
	tagInteger
	tagReal
	tagDate
	tagTrue
	tagFalse
)

var tagNames = [...]string{"nothing", "plist", "dict", "array", "key", "string", "data", "integer", "real", "date", "true", "false"}

func (t tag) String() string { return tagNames[t] }

func tagOf(name []byte) tag {
	switch string(name) {
	case "key":
		return tagKey
	case "string":
		return tagString
	case "dict":
		return tagDict
	case "array":
		return tagArray
	case "data":
		return tagData
	case "true":
		return tagTrue
	case "false":
		return tagFalse
	case "integer":
		return tagInteger
	case "real":
		return tagReal
	case "date":
		return tagDate
	case "plist":
		return tagPlist
	}
	return noTag
}

// A form is how a tag is written.
type form uint8

const (
	opening form = iota // <x>
	closing             // </x>
	empty               // <x/>
)

// A scanner goes over one XML property list once, from left to right, and checks everything on the way. Its
// user walks along: root, then key and item, and for every value one of text, data, integer, flag, skip. The
// first error stays in err and ends every loop, so that callers look at it once, at the end.
type scanner struct {
	b        []byte
	i        int
	depth    int
	elements int
	narrow   bool // for the library: integers of 63 bits and without plus sign
	keys     [][]byte
	at       []byte // the latest key, for errors
	scratch  []byte // text that had to be decoded
	err      error

	inScratch bool // the latest text is there and not in b
}

// scanners are used again, with their buffers: a steady message costs no garbage.
var scanners = sync.Pool{New: func() any { return new(scanner) }}

// newScanner returns a scanner to be released.
func newScanner(narrow bool) *scanner {
	s := scanners.Get().(*scanner)
	s.narrow = narrow
	return s
}

// release gives s back without anything of the document that it went over. What a large one needed is dropped.
func (s *scanner) release() {
	const many = 256
	if cap(s.keys) > many {
		s.keys = nil
	}
	if cap(s.scratch) > many*1024 {
		s.scratch = nil
	}
	clear(s.keys[:cap(s.keys)])
	*s = scanner{keys: s.keys[:0], scratch: s.scratch[:0]}
	scanners.Put(s)
}

// fail keeps the first error. what says what is wrong, never a value: values may be secrets.
func (s *scanner) fail(what string) {
	if s.err != nil {
		return
	}
	where := ""
	if len(s.at) > 0 {
		where = fmt.Sprintf(" near key %.64q", string(s.at))
	}
	s.err = fmt.Errorf("%w: plist: byte %d%s: %s", protocol.ErrMalformed, s.i, where, what)
	s.i = len(s.b)
}

// next reads the tag that comes next; only white space and comments may stand before it.
func (s *scanner) next() (tag, form) {
	for {
		s.space()
		if s.i+1 >= len(s.b) || s.b[s.i] != '<' {
			s.fail("want an element")
			return noTag, closing
		}
		if s.b[s.i+1] != '!' {
			break
		}
		if !s.comment() {
			s.fail("want an element")
			return noTag, closing
		}
	}
	s.i++
	f := opening
	if s.b[s.i] == '/' {
		f = closing
		s.i++
	}
	start := s.i
	for s.i < len(s.b) && 'a' <= s.b[s.i] && s.b[s.i] <= 'z' {
		s.i++
	}
	t := tagOf(s.b[start:s.i])
	if t == noTag {
		s.i = start
		s.fail("unknown element")
		return noTag, closing
	}
	if t == tagPlist && f == opening {
		if name, value := s.attribute(); name != nil && (string(name) != "version" || !digitsAndDots(value)) {
			s.fail("unknown attribute of plist")
		}
	}
	if s.i < len(s.b) && s.b[s.i] != '>' {
		s.space()
		if f == opening && s.i < len(s.b) && s.b[s.i] == '/' {
			f = empty
			s.i++
		}
	}
	if s.i >= len(s.b) || s.b[s.i] != '>' {
		s.fail("want the end of a tag")
		return noTag, closing
	}
	s.i++
	if f != closing {
		if s.elements++; s.elements > maxElements {
			s.fail("too many elements")
		}
	}
	return t, f
}

// value reads the tag of a value.
func (s *scanner) value() (tag, form) {
	t, f := s.next()
	if t == tagKey || t == tagPlist || f == closing {
		s.fail("want a value")
	}
	return t, f
}

// A dict is where a scanner stands in one dictionary.
type dict struct {
	base  int    // of its keys in scanner.keys
	bits  uint64 // a bit for every key so far, by a weak hash: most keys need no comparison
	empty bool
}

// dict enters a dictionary whose tag has been read.
func (s *scanner) dict(t tag, f form) dict {
	if t != tagDict {
		s.fail("want a dict, not " + t.String())
	}
	s.enter()
	return dict{base: len(s.keys), empty: f == empty}
}

// searched is how many keys of one dictionary are compared with each other directly. A larger one is sorted at
// its end, so that a hostile one takes no quadratic time.
const searched = 64

// key reads the next key of d. At the end of d it is false. The key is good for as long as the scanner.
func (s *scanner) key(d *dict) ([]byte, bool) {
	if s.err != nil {
		return nil, false
	}
	if d.empty {
		s.depth--
		return nil, false
	}
	t, f := s.next()
	if t == tagDict && f == closing {
		s.leave(d)
		return nil, false
	}
	if t != tagKey || f == closing {
		s.fail("want a key")
		return nil, false
	}
	var k []byte
	if f == opening {
		k = s.text(tagKey)
		if s.err != nil {
			return nil, false
		}
		if s.inScratch {
			k = slices.Clone(k)
		}
	}
	s.at = k
	bit := uint64(1) << (weakHash(k) & 63)
	if d.bits&bit != 0 && len(s.keys)-d.base <= searched {
		for _, old := range s.keys[d.base:] {
			if bytes.Equal(old, k) {
				s.fail("duplicate key (HST-006)")
				return nil, false
			}
		}
	}
	d.bits |= bit
	s.keys = append(s.keys, k)
	return k, true
}

func weakHash(k []byte) uint {
	if len(k) == 0 {
		return 0
	}
	return uint(len(k))*5 + uint(k[0])*3 + uint(k[len(k)/2])*7 + uint(k[len(k)-1])
}

func (s *scanner) leave(d *dict) {
	s.depth--
	if keys := s.keys[d.base:]; len(keys) > searched {
		slices.SortFunc(keys, bytes.Compare)
		for i := 1; i < len(keys); i++ {
			if bytes.Equal(keys[i-1], keys[i]) {
				s.at = keys[i]
				s.fail("duplicate key (HST-006)")
			}
		}
	}
	s.keys = s.keys[:d.base]
}

// array enters an array whose tag has been read.
func (s *scanner) array(t tag, f form) (items bool) {
	if t != tagArray {
		s.fail("want an array, not " + t.String())
	}
	s.enter()
	if f == empty {
		s.depth--
	}
	return f != empty
}

// item reads the tag of the next value of the array that the scanner stands in. At its end it is false.
func (s *scanner) item() (tag, form, bool) {
	t, f := s.next()
	if t == tagArray && f == closing {
		s.depth--
		return t, f, false
	}
	if t == tagKey || t == tagPlist || f == closing {
		s.fail("want a value")
	}
	return t, f, s.err == nil
}

func (s *scanner) enter() {
	if s.depth++; s.depth > maxDepth {
		s.fail("nested too deep (HST-004)")
	}
}

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

// skip checks the value whose tag has been read, and all that is in it.
func (s *scanner) skip(t tag, f form) {
	switch t {
	case tagDict:
		d := s.dict(t, f)
		for {
			if _, ok := s.key(&d); !ok {
				return
			}
			s.skip(s.value())
		}
	case tagArray:
		if !s.array(t, f) {
			return
		}
		for {
			t, f, ok := s.item()
			if !ok {
				return
			}
			s.skip(t, f)
		}
	case tagTrue, tagFalse:
		s.rest(t, f)
	case tagString:
		if f == opening {
			s.text(tagString)
		}
	case tagData:
		if f == opening && !validBase64(s.base64()) {
			s.fail("data is not base64")
		}
	case tagInteger, tagReal, tagDate:
		if f == empty {
			s.fail("empty " + t.String())
			return
		}
		switch t {
		case tagInteger:
			s.number()
		case tagReal:
			s.real()
		case tagDate:
			s.date()
		}
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

// close reads the closing tag of t.
func (s *scanner) close(t tag) {
	name := t.String()
	rest := s.b[s.i:]
	if len(rest) > len(name)+2 && rest[0] == '<' && rest[1] == '/' && string(rest[2:2+len(name)]) == name {
		s.i += len(name) + 2
		if s.b[s.i] != '>' {
			s.space()
		}
		if s.i < len(s.b) && s.b[s.i] == '>' {
			s.i++
			return
		}
	}
	s.fail("want the end of " + name)
}

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

func (s *scanner) has(prefix string) bool {
	return len(s.b)-s.i >= len(prefix) && string(s.b[s.i:s.i+len(prefix)]) == prefix
}

func (s *scanner) space() {
	for s.i < len(s.b) && isSpace(s.b[s.i]) {
		s.i++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
