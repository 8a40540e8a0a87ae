package apple

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

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
	s.err = fmt.Errorf("%w: plist: %s%s: %s", protocol.ErrMalformed, protocol.Place(s.b, s.i), where, what)
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

func (s *scanner) has(prefix string) bool {
	return len(s.b)-s.i >= len(prefix) && string(s.b[s.i:s.i+len(prefix)]) == prefix
}

func (s *scanner) space() {
	for s.i < len(s.b) && isSpace(s.b[s.i]) {
		s.i++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
