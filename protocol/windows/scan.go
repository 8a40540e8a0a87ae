package windows

import (
	"fmt"
	"iter"
	"strings"
	"sync"

	"rollcall/protocol"
)

const (
	maxDepth      = 64      // elements inside one another (HST-004)
	maxElements   = 1 << 15 // of one document
	maxAttributes = 32      // of one element
	maxBindings   = 128     // of prefixes, at one place
)

// A scanner goes over one XML document once, from left to right, and checks everything on the way. Its user walks along: root,
// then next for each child, and for every element one of text, skip, or next until that is false. The first error stays in err
// and ends every loop, so that callers look at it once, at the end.
type scanner struct {
	kind       string // of document, for errors
	encoding   string // utf-8 or utf-16
	b          string
	i          int
	elements   int
	open       []openTag
	binds      []binding
	attributes []attribute // of the element that was read last
	err        error

	// sealed are namespaces whose elements may stand only where the walk asks for them: skip refuses them (HST-018).
	sealed func(namespace) bool

	// parts and signature are what the XML signature of a message speaks of; signature nil: it has none.
	parts     [parts]part
	signature *signature
	signed    func(*scanner) // reads a signature; nil: none is taken
}

// An openTag is an element that has not ended.
type openTag struct {
	raw   string // name with prefix: what its end must repeat
	empty bool   // <x/>
	binds int    // how many bindings there were before it
	at    int    // byte at which it begins
}

// An element is the name of one that begins.
type element struct {
	ns    namespace
	local string
}

func (e element) is(ns namespace, local string) bool { return e.ns == ns && e.local == local }

// scanners are used again, with their buffers.
var scanners = sync.Pool{New: func() any { return new(scanner) }}

// newScanner returns a scanner over body, to be released. What is wrong with body as a whole is its error already.
func newScanner(kind string, body []byte) *scanner {
	s := scanners.Get().(*scanner)
	s.kind = kind
	if len(body) > MaxMessage {
		s.fail("too large (HST-001)")
		return s
	}
	s.b = s.decode(body)
	s.prologue()
	return s
}

// release gives s back without anything of the document that it went over.
func (s *scanner) release() {
	clear(s.open[:cap(s.open)])
	clear(s.binds[:cap(s.binds)])
	clear(s.attributes[:cap(s.attributes)])
	*s = scanner{open: s.open[:0], binds: s.binds[:0], attributes: s.attributes[:0]}
	scanners.Put(s)
}

// fail keeps the first error. what says what is wrong, never a value: values may be secrets.
func (s *scanner) fail(what string) {
	if s.err != nil {
		return
	}
	where := ""
	if n := len(s.open); n > 0 {
		where = fmt.Sprintf(" in <%.64s>", s.open[n-1].raw)
	}
	s.err = fmt.Errorf("%w: %s%s: %s", s.malformed(), protocol.Place(s.b, s.i), where, what)
	s.i = len(s.b)
}

// malformed is that the document is.
func (s *scanner) malformed() error { return fmt.Errorf("%w: %s", protocol.ErrMalformed, s.kind) }

// prologue passes the declaration of XML, if there is one.
func (s *scanner) prologue() {
	if !s.has("<?xml") {
		return
	}
	s.i += len("<?xml")
	s.attributes = s.attributes[:0]
	for s.err == nil && !s.has("?>") {
		if s.has(">") || s.has("/>") { // it ends an element, and no declaration
			s.fail("want the end of the declaration")
			break
		}
		s.attribute()
	}
	if s.err != nil {
		return
	}
	s.i += len("?>")
	want := "version"
	for _, a := range s.attributes {
		switch {
		case a.raw == "version" && want == "version" && strings.HasPrefix(a.value, "1."):
			want = "encoding"
		case a.raw == "encoding" && want == "encoding" && strings.EqualFold(a.value, s.encoding):
			want = "standalone"
		case a.raw == "standalone" && (want == "encoding" || want == "standalone") && (a.value == "yes" || a.value == "no"):
			want = "nothing"
		default:
			s.fail("declaration of XML: want " + want + " (HST-011)")
		}
	}
	if want == "version" {
		s.fail("declaration of XML: want version")
	}
}

// root reads the tag of the outermost element.
func (s *scanner) root() element {
	for s.err == nil {
		s.space()
		if !s.comment() {
			break
		}
	}
	return s.tag()
}

// finish checks that nothing follows the outermost element, and returns the first error of the walk.
func (s *scanner) finish() error {
	for s.err == nil {
		s.space()
		if !s.comment() {
			break
		}
	}
	if s.err == nil && s.i != len(s.b) {
		s.fail("something after the document (HST-006)")
	}
	return s.err
}

// next reads the tag of the next child of the innermost open element; only white space and comments may stand before it. At the
// end of that element it is false.
func (s *scanner) next() (element, bool) {
	if s.err != nil {
		return element{}, false
	}
	if s.open[len(s.open)-1].empty {
		s.pop()
		return element{}, false
	}
	for s.err == nil {
		s.space()
		switch {
		case s.has("</"):
			s.end()
			return element{}, false
		case s.has("<!--"):
			s.comment()
		case s.has("<"):
			e := s.tag()
			return e, s.err == nil
		default:
			s.fail("text where only elements are")
		}
	}
	return element{}, false
}

// text reads the innermost open element to its end; it has no children. The text may be a piece of the document.
func (s *scanner) text() string {
	if s.err != nil {
		return ""
	}
	if s.open[len(s.open)-1].empty {
		s.pop()
		return ""
	}
	rest := s.b[s.i:]
	end := strings.IndexByte(rest, '<')
	if end >= 0 && strings.HasPrefix(rest[end:], "</") && plain(rest[:end]) {
		s.i += end
		s.end()
		return rest[:end]
	}
	out := make([]byte, 0, max(end, 0)) // escapes stand for less than they take
	for s.err == nil {
		rest = s.b[s.i:]
		end = strings.IndexByte(rest, '<')
		if end < 0 {
			s.fail("cut short (HST-002)")
			break
		}
		if out = s.unescape(out, rest[:end]); s.err != nil {
			break
		}
		s.i += end
		switch {
		case s.has("</"):
			s.end()
			return string(out)
		case s.has("<![CDATA["):
			s.i += len("<![CDATA[")
			n := strings.Index(s.b[s.i:], "]]>")
			if n < 0 {
				s.fail("cut short in CDATA")
				break
			}
			out = appendLines(out, s.b[s.i:s.i+n])
			s.i += n + len("]]>")
		case !s.comment():
			s.fail("an element inside a value: markup must be escaped (WIN-039)")
		}
	}
	return ""
}

// children are the children of the innermost open element, as next reads them.
func (s *scanner) children() iter.Seq[element] {
	return func(yield func(element) bool) {
		for e, ok := s.next(); ok && yield(e); e, ok = s.next() {
		}
	}
}

// pass passes e, which was read last and may not be of a sealed namespace.
func (s *scanner) pass(e element) {
	if s.sealed != nil && s.sealed(e.ns) {
		s.fail("<" + e.local + "> where it does not belong (HST-018)")
		return
	}
	s.skip()
}

// skip passes what is in the innermost open element, checking it all the same.
func (s *scanner) skip() {
	for depth := len(s.open); s.err == nil && len(s.open) >= depth; {
		if s.open[len(s.open)-1].empty {
			s.pop()
			continue
		}
		end := strings.IndexByte(s.b[s.i:], '<')
		if end < 0 {
			s.fail("cut short (HST-002)")
			return
		}
		if t := s.b[s.i : s.i+end]; !plain(t) {
			if s.unescape(nil, t); s.err != nil {
				return
			}
		}
		s.i += end
		switch {
		case s.has("</"):
			s.end()
		case s.has("<![CDATA["):
			n := strings.Index(s.b[s.i:], "]]>")
			if n < 0 {
				s.fail("cut short in CDATA")
				return
			}
			s.i += n + len("]]>")
		case s.comment():
		default:
			s.pass(s.tag())
		}
	}
}

// tag reads a start tag.
func (s *scanner) tag() element {
	if !s.has("<") {
		s.fail("want an element")
		return element{}
	}
	at := s.i
	s.i++
	raw := s.name()
	if s.elements++; s.elements > maxElements {
		s.fail("too many elements (HST-004)")
	}
	if len(s.open) >= maxDepth {
		s.fail("nested too deep (HST-004)")
	}
	if s.err != nil {
		return element{}
	}
	s.open = append(s.open, openTag{raw: raw, binds: len(s.binds), at: at})
	s.attributes = s.attributes[:0]
	for s.err == nil {
		if s.has("/>") {
			s.open[len(s.open)-1].empty = true
			s.i += 2
			break
		}
		if s.has(">") {
			s.i++
			break
		}
		if s.has("?>") { // it ends a declaration, and no element
			s.fail("want the end of a tag")
			break
		}
		s.attribute()
	}
	if s.err != nil {
		return element{}
	}
	return s.resolve(raw)
}

// end reads the end tag of the innermost open element.
func (s *scanner) end() {
	raw := s.open[len(s.open)-1].raw
	rest := s.b[s.i+2:]
	if !strings.HasPrefix(rest, raw) {
		s.fail("the end of another element")
		return
	}
	s.i += 2 + len(raw)
	s.space()
	if !s.has(">") {
		s.fail("want the end of a tag")
		return
	}
	s.i++
	s.pop()
}

// pop closes the innermost open element.
func (s *scanner) pop() {
	last := len(s.open) - 1
	s.binds = s.binds[:s.open[last].binds]
	s.open = s.open[:last]
}

// name reads a name, perhaps with a prefix. Names of these protocols are ASCII.
func (s *scanner) name() string {
	start, colons := s.i, 0
	for s.i < len(s.b) && nameBytes[s.b[s.i]] {
		if s.b[s.i] == ':' {
			colons++
		}
		s.i++
	}
	n := s.b[start:s.i]
	if n == "" || n[0] == ':' || n[0] == '-' || n[0] == '.' || '0' <= n[0] && n[0] <= '9' || n[len(n)-1] == ':' || colons > 1 || len(n) > 256 {
		s.fail("want a name")
		return ""
	}
	return n
}

var nameBytes = func() (t [256]bool) {
	for c := range t {
		t[c] = unreserved(byte(c)) || c == ':'
	}
	return t
}()

// comment passes a comment; false, without an error, when there is none.
func (s *scanner) comment() bool {
	if !s.has("<!--") {
		return false
	}
	s.i += len("<!--")
	n := strings.Index(s.b[s.i:], "--")
	if n < 0 || !strings.HasPrefix(s.b[s.i+n:], "-->") {
		s.fail("comment without an end")
		return true
	}
	s.i += n + len("-->")
	return true
}

func (s *scanner) has(prefix string) bool { return strings.HasPrefix(s.b[s.i:], prefix) }

func (s *scanner) space() {
	for s.i < len(s.b) && isSpace(s.b[s.i]) {
		s.i++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
