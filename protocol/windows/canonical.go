package windows

import (
	"cmp"
	"hash"
	"slices"
	"strings"
)

// A canon writes elements of a document in Exclusive XML Canonicalization 1.0, without comments and without inclusive prefixes. It goes
// over the same scanner as whoever reads their values, so that no two readers see two documents.
type canon struct {
	*scanner
	wanted   map[int]hash.Hash // by the byte at which an element begins; none is inside another
	to       hash.Hash         // of the element that is being written; nil: none is
	rendered []rendering       // of namespaces, by the elements that are written and not ended
	left     int               // bytes that may still be written
	buf      []byte
}

// A rendering is a prefix as the elements around have it in what was written.
type rendering struct{ prefix, uri string }

// mostCanonical bounds what a document may grow to: a long namespace is written again for each element that uses it and has no parent
// that does (HST-001).
const mostCanonical = MaxMessage

// canonicalize writes the elements that begin at the bytes of wanted, each to its hash. s is a scanner before the document's root.
func (s *scanner) canonicalize(wanted map[int]hash.Hash) error {
	c := canon{scanner: s, wanted: wanted, left: mostCanonical}
	s.root()
	if s.err == nil {
		c.element()
	}
	return s.finish()
}

// element writes the element whose tag was read last, to its end.
func (c *canon) element() {
	tag := c.open[len(c.open)-1]
	to := c.wanted[tag.at]
	if to != nil {
		c.to, c.rendered = to, c.rendered[:0]
	}
	before := len(c.rendered)
	c.start(tag.raw)
	for c.err == nil && !c.open[len(c.open)-1].empty {
		end := strings.IndexByte(c.b[c.i:], '<')
		if end < 0 {
			c.fail("cut short (HST-002)")
			return
		}
		c.text(c.b[c.i : c.i+end])
		c.i += end
		switch {
		case c.has("</"):
			c.end()
			c.finishElement(tag.raw, before, to)
			return
		case c.has("<![CDATA["):
			c.i += len("<![CDATA[")
			n := strings.Index(c.b[c.i:], "]]>")
			if n < 0 {
				c.fail("cut short in CDATA")
				return
			}
			c.chars(appendLines(nil, c.b[c.i:c.i+n]))
			c.i += n + len("]]>")
		case c.comment():
		default:
			c.tag()
			if c.err == nil {
				c.element()
			}
		}
	}
	if c.err == nil {
		c.pop()
		c.finishElement(tag.raw, before, to)
	}
}

// finishElement writes an end tag and forgets what its element rendered.
func (c *canon) finishElement(raw string, before int, own hash.Hash) {
	c.buf = append(append(append(c.buf[:0], "</"...), raw...), '>')
	c.write()
	c.rendered = c.rendered[:before]
	if own != nil {
		c.to = nil
	}
}

// start writes a start tag: of the namespaces those that the tag itself uses and no element around has written so.
func (c *canon) start(raw string) {
	if c.to == nil {
		return
	}
	prefix, _, prefixed := strings.Cut(raw, ":")
	if !prefixed {
		prefix = ""
	}
	used := []string{prefix}
	attributes := make([]attribute, 0, len(c.attributes))
	for _, a := range c.attributes {
		p, _, prefixed := strings.Cut(a.raw, ":")
		if a.raw == "xmlns" || prefixed && p == "xmlns" {
			continue
		}
		if prefixed && p != "xml" {
			used = append(used, p)
		}
		attributes = append(attributes, a)
	}
	slices.Sort(used)
	slices.SortFunc(attributes, func(a, b attribute) int { return cmp.Or(cmp.Compare(a.uri, b.uri), cmp.Compare(a.local, b.local)) })
	c.buf = append(append(c.buf[:0], '<'), raw...)
	for _, p := range slices.Compact(used) {
		uri := c.bound(p).uri
		if c.outer(p) == uri {
			continue
		}
		c.rendered = append(c.rendered, rendering{p, uri})
		c.buf = append(c.buf, " xmlns"...)
		if p != "" {
			c.buf = append(append(c.buf, ':'), p...)
		}
		c.buf = append(appendCanonical(append(c.buf, `="`...), uri, true), '"')
	}
	for i := range attributes {
		a := &attributes[i]
		c.buf = append(append(append(c.buf, ' '), a.raw...), `="`...)
		c.buf = append(appendCanonical(c.buf, a.value, true), '"')
	}
	c.buf = append(c.buf, '>')
	c.write()
}

// outer is what a prefix was written as by the elements around; empty: it was not, or taken back.
func (c *canon) outer(prefix string) string {
	for _, r := range slices.Backward(c.rendered) {
		if r.prefix == prefix {
			return r.uri
		}
	}
	return ""
}

// text writes what a piece of text stands for.
func (c *canon) text(text string) {
	if c.to == nil {
		if !plain(text) {
			c.unescape(nil, text)
		}
		return
	}
	if out := c.unescape(nil, text); c.err == nil {
		c.chars(out)
	}
}

func (c *canon) chars(text []byte) {
	if c.to == nil {
		return
	}
	c.buf = appendCanonical(c.buf[:0], string(text), false)
	c.write()
}

func (c *canon) write() {
	if c.to == nil {
		return
	}
	if c.left -= len(c.buf); c.left < 0 {
		c.fail("what is signed is too large (HST-001)")
		return
	}
	c.to.Write(c.buf)
}

// appendCanonical escapes as Canonical XML does.
func appendCanonical(dst []byte, text string, attribute bool) []byte {
	for i := range len(text) {
		switch b := text[i]; {
		case b == '&':
			dst = append(dst, "&amp;"...)
		case b == '<':
			dst = append(dst, "&lt;"...)
		case b == '>' && !attribute:
			dst = append(dst, "&gt;"...)
		case b == '"' && attribute:
			dst = append(dst, "&quot;"...)
		case b == '\t' && attribute:
			dst = append(dst, "&#x9;"...)
		case b == '\n' && attribute:
			dst = append(dst, "&#xA;"...)
		case b == '\r':
			dst = append(dst, "&#xD;"...)
		default:
			dst = append(dst, b)
		}
	}
	return dst
}
