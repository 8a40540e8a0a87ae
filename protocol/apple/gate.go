package apple

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/micromdm/plist"

	"rollcall/protocol"
)

// Caps of a body in bytes (HST-001). A check-in that is not DeclarativeManagement may have MaxCheckIn; as its
// MessageType may stand behind a long Data, an endpoint reads up to MaxMessage and [DecodeMessage] decides.
const (
	MaxCheckIn = 1 << 20
	MaxMessage = 16 << 20
)

// ErrTooLarge is wrapped by the error of bytes over their cap; it wraps [protocol.ErrMalformed].
var ErrTooLarge = fmt.Errorf("%w: too large (HST-001)", protocol.ErrMalformed)

// decodePlist decodes what passes the gate.
func decodePlist(body []byte, limit int, v any) error {
	doc, err := gated(body, limit)
	if err != nil {
		return err
	}
	return decodeGated(doc, v)
}

// decodeGated decodes the plist element of a document that has passed the gate.
func decodeGated(doc []byte, v any) error {
	if err := plist.NewXMLDecoder(bytes.NewReader(doc)).Decode(v); err != nil {
		return fmt.Errorf("%w: %w", protocol.ErrMalformed, err)
	}
	return nil
}

// gated is the gate, the strict pass that stands before everything decoded by a library: body must be an XML property
// list of at most limit bytes that every parser reads alike. It returns the plist element, for the library never sees
// what stands around it. The error wraps [protocol.ErrMalformed] and names the byte. The package comment says what is
// refused.
func gated(body []byte, limit int) ([]byte, error) {
	s := newScanner(true)
	defer s.release()
	start := s.open(body, limit)
	s.skip(s.value())
	end := s.finish()
	if s.err != nil {
		return nil, s.err
	}
	return s.b[start:end], nil
}

// encodePlist returns v as an XML property list that ends with its last tag, so that no part of it is a whole
// one. It is for our own types, all of which the library can write.
func encodePlist(v any) []byte {
	b, err := plist.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("plist of %T: %v", v, err)) // a type of this package that cannot be written
	}
	return bytes.TrimSpace(b)
}

// head is how Apple's devices and we begin a property list.
const head = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">`

// CheckPropertyList tells whether body is a property list, whatever it says: an XML one that is whole, or a binary one by its first bytes.
// The error wraps [protocol.ErrMalformed].
func CheckPropertyList(body []byte) error {
	if bytes.HasPrefix(body, []byte("bplist00")) {
		return nil
	}
	_, err := gated(body, MaxMessage)
	return err
}

// open begins with body and reads up to and including the plist tag, whose place it returns.
func (s *scanner) open(body []byte, limit int) (start int) {
	s.b = body
	if len(body) > limit {
		s.err = fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(body), limit)
		s.i = len(body)
		return 0
	}
	if len(body) >= len(head) && string(body[:len(head)]) == head {
		s.i = len(head)
		return len(head) - len(`<plist version="1.0">`)
	}
	if bytes.HasPrefix(body, []byte("bplist")) {
		s.fail("binary plist (HST-005)")
		return 0
	}
	encoding := "UTF-8"
	switch {
	case s.has("\xEF\xBB\xBF"):
		s.i = 3
	case s.has("\xFE\xFF"), s.has("\xFF\xFE"):
		encoding = "UTF-16"
		s.fromUTF16()
	}
	if s.has("<?xml") {
		s.declaration(encoding)
	}
	s.misc()
	if s.has("<!DOCTYPE") {
		s.docType()
	}
	s.misc()
	start = s.i
	if t, f := s.next(); t != tagPlist || f != opening {
		s.fail("want <plist>")
	}
	return start
}

// finish reads the end of the document and returns where the plist element ends.
func (s *scanner) finish() (end int) {
	if t, f := s.next(); t != tagPlist || f != closing {
		s.fail("want </plist>")
	}
	end = s.i
	s.misc()
	if s.i < len(s.b) {
		s.fail("bytes after the document (HST-006)")
	}
	return end
}

// misc skips white space and comments.
func (s *scanner) misc() {
	for s.space(); s.comment(); s.space() {
	}
}

// fromUTF16 replaces the bytes by UTF-8 (HST-011). Half a character and a lone surrogate are refused.
func (s *scanner) fromUTF16() {
	order := binary.ByteOrder(binary.BigEndian)
	if s.b[0] == 0xFF {
		order = binary.LittleEndian
	}
	in := s.b[2:]
	out := make([]byte, 0, len(in))
	for ; len(in) >= 2; in = in[2:] {
		r := rune(order.Uint16(in))
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if len(in) >= 4 {
				low = rune(order.Uint16(in[2:]))
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				break
			}
			in = in[2:]
		}
		out = utf8.AppendRune(out, r)
	}
	if len(in) > 0 {
		s.fail("not UTF-16 (HST-011)")
		return
	}
	s.b = out
}

// declaration reads <?xml version="1.0" encoding="…"?>, where only the encoding that the bytes are in may be named.
func (s *scanner) declaration(encoding string) {
	s.i += len("<?xml")
	missing := []string{"version", "encoding", "standalone"}
	for {
		name, value := s.attribute()
		if name == nil {
			break
		}
		i := slices.Index(missing, string(name))
		if i < 0 || i > 0 && len(missing) == 3 {
			s.fail("bad XML declaration")
			return
		}
		missing = missing[i+1:]
		ok := true
		switch string(name) {
		case "version":
			ok = string(value) == "1.0"
		case "encoding":
			ok = strings.EqualFold(string(value), encoding)
		}
		if !ok {
			s.fail("XML declaration is not of version 1.0 in " + encoding + " (HST-011)")
			return
		}
	}
	s.space()
	if len(missing) == 3 || !s.has("?>") {
		s.fail("bad XML declaration")
		return
	}
	s.i += 2
}

// docType passes over <!DOCTYPE plist PUBLIC "…" "…">. What it names is never fetched, and one that declares
// something or names a file is refused (HST-003).
func (s *scanner) docType() {
	s.i += len("<!DOCTYPE")
	s.space()
	if !s.has("plist") {
		s.fail("document type is not plist (HST-003)")
		return
	}
	s.i += len("plist")
	s.space()
	if s.has("PUBLIC") {
		s.i += len("PUBLIC")
		s.quoted()
		s.quoted()
		s.space()
	}
	if !s.has(">") {
		s.fail("document type with declarations or SYSTEM (HST-003)")
		return
	}
	s.i++
}

// attribute reads white space, a name, = and a quoted value. Without one it stays where it is: nil.
func (s *scanner) attribute() (name, value []byte) {
	begin := s.i
	s.space()
	start := s.i
	for s.i < len(s.b) && 'a' <= s.b[s.i] && s.b[s.i] <= 'z' {
		s.i++
	}
	if start == begin || s.i == start {
		s.i = begin
		return nil, nil
	}
	name = s.b[start:s.i]
	s.space()
	if !s.has("=") {
		s.fail("want =")
		return name, nil
	}
	s.i++
	return name, s.quoted()
}

// quoted reads white space and a text of printable ASCII in quotes, without references.
func (s *scanner) quoted() []byte {
	s.space()
	if s.i < len(s.b) && (s.b[s.i] == '"' || s.b[s.i] == '\'') {
		quote := s.b[s.i]
		start := s.i + 1
		for i, c := range s.b[start:] {
			if c == quote {
				s.i = start + i + 1
				return s.b[start : start+i]
			}
			if c < ' ' || c > '~' || c == '<' || c == '>' || c == '&' {
				break
			}
		}
	}
	s.fail("want a quoted text")
	return nil
}

func digitsAndDots(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && c != '.' {
			return false
		}
	}
	return len(b) > 0
}
