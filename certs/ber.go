package certs

import "fmt"

const (
	maxDepth = 64      // HST-004
	maxCMS   = 1 << 20 // no signed profile, MachineInfo or pkiMessage comes near
)

// A berElement is one tag-length-value of BER, by its places in the input.
type berElement struct {
	tag        byte
	content    int // first byte after the header
	end        int // first byte after the content; of an indefinite length, unknown: -1
	depth      int // of the outermost: 0
	terminator bool
}

func (e berElement) constructed() bool { return e.tag&0x20 != 0 }

// A berWalker visits every element of BER bytes in the order they stand, in one pass and without recursion,
// so that neither depth nor length of what a stranger sends costs more than reading it.
type berWalker struct {
	data  []byte
	pos   int
	depth int
	ends  [maxDepth]int // of the open constructed elements; indefinite: -1
	limit [maxDepth]int // where each must end at the latest
}

// next returns the next element; ok is false after the last. A terminator is the end of an indefinite
// element. What CMS never holds is an error: tag numbers above 30, lengths of more than four bytes,
// anything after the outermost element.
func (w *berWalker) next() (e berElement, ok bool, err error) {
	for w.depth > 0 && w.ends[w.depth-1] == w.pos {
		w.depth--
	}
	limit, indefinite := len(w.data), false
	if w.depth > 0 {
		limit, indefinite = w.limit[w.depth-1], w.ends[w.depth-1] < 0
	} else if w.pos > 0 {
		if w.pos != len(w.data) {
			return e, false, w.malformed("%d bytes after the end", len(w.data)-w.pos)
		}
		return e, false, nil
	}
	if limit-w.pos < 2 {
		return e, false, w.malformed("cut short")
	}
	e = berElement{tag: w.data[w.pos], depth: w.depth, end: -1}
	first := w.data[w.pos+1]
	w.pos += 2
	switch {
	case e.tag == 0 && first == 0 && indefinite:
		w.depth--
		return berElement{depth: w.depth, terminator: true}, true, nil
	case e.tag == 0:
		return e, false, w.malformed("end of contents where there is none to end")
	case e.tag&0x1f == 0x1f:
		return e, false, w.malformed("tag number above 30")
	case first == 0x80 && !e.constructed():
		return e, false, w.malformed("primitive of indefinite length")
	case first > 0x84:
		return e, false, w.malformed("length of %d bytes", first&0x7f)
	case first != 0x80:
		length := uint64(first)
		if first > 0x80 {
			n := int(first & 0x7f)
			if limit-w.pos < n {
				return e, false, w.malformed("cut short")
			}
			length = 0
			for _, b := range w.data[w.pos : w.pos+n] {
				length = length<<8 | uint64(b)
			}
			w.pos += n
		}
		if length > uint64(limit-w.pos) {
			return e, false, w.malformed("longer than what holds it")
		}
		e.end = w.pos + int(length)
		limit = e.end
	}
	e.content = w.pos
	if !e.constructed() {
		w.pos = e.end
		return e, true, nil
	}
	if w.depth == maxDepth {
		return e, false, w.malformed("nested deeper than %d", maxDepth)
	}
	w.ends[w.depth], w.limit[w.depth] = e.end, limit
	w.depth++
	return e, true, nil
}

func (w *berWalker) malformed(format string, args ...any) error {
	return fmt.Errorf("%w at byte %d: %s", ErrMalformed, w.pos, fmt.Sprintf(format, args...))
}

// checkBER is the gate before every ASN.1 library: one BER element of at most limit bytes with nothing after
// it, nested at most 64 deep.
func checkBER(data []byte, limit int) error {
	_, err := gate(data, limit)
	return err
}

// gate does checkBER and tells whether data has what DER forbids and libraries stumble over: indefinite
// lengths and octet strings in parts.
func gate(data []byte, limit int) (ber bool, err error) {
	if len(data) > limit {
		return false, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(data), limit)
	}
	w := berWalker{data: data}
	for {
		e, ok, err := w.next()
		if err != nil || !ok {
			return ber, err
		}
		ber = ber || e.terminator || e.tag == constructedOctets
	}
}

const (
	octets            = 0x04
	constructedOctets = 0x24
)

// readCMS passes data through the gate and returns it with definite lengths and whole octet strings
// (X.690, sections 8.1.3.6 and 8.7.3): the libraries behind read only those rightly and in linear time. It
// returns data itself when there is nothing to change.
func readCMS(data []byte) ([]byte, error) {
	ber, err := gate(data, maxCMS)
	if err != nil || !ber {
		return data, err
	}
	type node struct {
		berElement
		parent int
		length int  // of the content as it will be written
		bare   bool // its header goes: it is a part of an octet string
	}
	var nodes []node
	var open [maxDepth + 1]int // index of the element that holds each depth
	open[0] = -1
	w := berWalker{data: data}
	for {
		e, ok, err := w.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if e.terminator {
			continue
		}
		n := node{berElement: e, parent: open[e.depth]}
		if n.parent >= 0 && nodes[n.parent].tag == constructedOctets {
			if e.tag != octets && e.tag != constructedOctets {
				return nil, fmt.Errorf("%w: part of an octet string with tag %#x", ErrMalformed, e.tag)
			}
			n.bare = true
		}
		if e.constructed() {
			open[e.depth+1] = len(nodes)
		} else {
			n.length = e.end - e.content
		}
		nodes = append(nodes, n)
	}
	total := 0
	for i := len(nodes) - 1; i >= 0; i-- { // children stand after their parents
		size := nodes[i].length
		if !nodes[i].bare {
			size += 1 + len(appendLength(nil, size))
		}
		if p := nodes[i].parent; p >= 0 {
			nodes[p].length += size
		} else {
			total = size
		}
	}
	out := make([]byte, 0, total)
	for _, n := range nodes {
		if !n.bare {
			tag := n.tag
			if tag == constructedOctets {
				tag = octets
			}
			out = appendLength(append(out, tag), n.length)
		}
		if !n.constructed() {
			out = append(out, data[n.content:n.end]...)
		}
	}
	return out, nil
}

// appendLength appends n as a definite length in the fewest bytes.
func appendLength(b []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(b, byte(n))
	case n < 1<<8:
		return append(b, 0x81, byte(n))
	case n < 1<<16:
		return append(b, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		return append(b, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}
