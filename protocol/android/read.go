package android

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"rollcall/protocol"
)

// Limits of what is read.
const (
	MaxMessage = 1 << 20 // bytes of one message, decompressed
	maxDepth   = 64      // objects and lists inside one another (HST-004)
	maxNumber  = 64      // characters of a number
	fewKeys    = 16      // of an object, which are compared one by one
)

// ErrTooLarge is wrapped by the error of a message above [MaxMessage] (HST-001).
var ErrTooLarge = errors.New("message too large")

// Raw is one JSON value whose members nobody here knows, such as an app's managed configuration. It was read as strictly as the rest.
type Raw []byte

// MarshalJSON gives the value as it came; an empty one is null.
func (r Raw) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return r, nil
}

// Decode reads one message into v, a pointer to a type of this package, in one strict pass: UTF-8, no member twice, nothing before or
// behind the object, at most 64 levels, names compared byte by byte, numbers and times that exist (HST-004, 006, 007, 009, 010, 014).
// Members that v does not have are passed over, as the protocol wants it (android.md section 8), but read as strictly; those that it
// must have are demanded. Whatever v held before is gone. The error names the member and wraps [protocol.ErrMalformed] or [ErrTooLarge].
func Decode(body []byte, v any) error { return decode(body, v, false) }

// DecodeKnown is Decode that refuses members which v does not have: for what people write, where an unknown word is a mistake.
func DecodeKnown(body []byte, v any) error { return decode(body, v, true) }

// A checker is a message with rules beyond the shapes of its members.
type checker interface{ check() error }

func decode(body []byte, v any, known bool) error {
	if len(body) > MaxMessage {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(body), MaxMessage)
	}
	if !utf8.Valid(body) {
		return fmt.Errorf("%w: not UTF-8 (HST-010)", protocol.ErrMalformed)
	}
	to := reflect.ValueOf(v).Elem()
	to.SetZero()
	r := reader{b: body, known: known}
	err := r.value(to, shapeOf(to.Type()))
	if err == nil {
		if r.space(); r.at < len(r.b) {
			err = errors.New("bytes after the object (HST-006)")
		}
	}
	if err == nil {
		if c, ok := v.(checker); ok {
			err = c.check()
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", protocol.ErrMalformed, err)
	}
	return nil
}

// A memberError says which member is wrong: applied.profiles[2].version.
type memberError struct {
	path string
	err  error
}

func (e *memberError) Error() string { return e.path + ": " + e.err.Error() }
func (e *memberError) Unwrap() error { return e.err }

// in puts where err happened before what it names already. Names that devices make up are cut and quoted (HST-068).
func in(name string, err error) error {
	e, ok := err.(*memberError)
	if !ok {
		return &memberError{name, err}
	}
	if e.path[0] != '[' {
		name += "."
	}
	e.path = name + e.path
	return e
}

// A shape is what a type looks like in JSON.
type shape struct {
	kind    reflect.Kind // String, Bool, Int, Slice, Struct, Map or Pointer; Invalid: Raw; Func: a TextUnmarshaler
	quoted  bool         // an integer that travels as text, as int64 does in Google's JSON
	time    bool         // of Func: an instant
	element *shape       // of Slice, Map and Pointer
	members []member     // of Struct, in their order
	byName  map[string]int
}

type member struct {
	name     string
	index    int
	required bool
	*shape
}

var (
	shapes      sync.Map // of *shape by reflect.Type
	rawType     = reflect.TypeFor[Raw]()
	timeType    = reflect.TypeFor[protocol.Time]()
	unmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{kind: t.Kind()}
	switch {
	case t == rawType:
		s.kind = reflect.Invalid
	case reflect.PointerTo(t).Implements(unmarshaler):
		s.kind, s.time = reflect.Func, t == timeType
	case s.kind == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		panic("bytes travel as text: " + t.String())
	case s.kind == reflect.Slice, s.kind == reflect.Pointer, s.kind == reflect.Map:
		s.element = shapeOf(t.Elem())
	case s.kind == reflect.Struct:
		s.byName = make(map[string]int, t.NumField())
		for i := range t.NumField() {
			name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			m := member{name: name, index: i, required: !strings.Contains(options, "omit"), shape: shapeOf(t.Field(i).Type)}
			if strings.Contains(options, "string") {
				m.shape = &shape{kind: m.kind, quoted: true}
			}
			s.byName[name] = len(s.members)
			s.members = append(s.members, m)
		}
	case s.kind != reflect.String && s.kind != reflect.Bool && !isInt(s.kind):
		panic("no such thing in a message: " + t.String())
	}
	kept, _ := shapes.LoadOrStore(t, s)
	return kept.(*shape)
}

func isInt(k reflect.Kind) bool {
	return k >= reflect.Int && k <= reflect.Uint64
}

// A reader walks over one message.
type reader struct {
	b     []byte
	at    int
	depth int
	known bool
}

func (r *reader) space() {
	for r.at < len(r.b) {
		switch r.b[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// next passes over white space and returns the character that follows; 0: there is none.
func (r *reader) next() byte {
	if r.space(); r.at < len(r.b) {
		return r.b[r.at]
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
	if !strings.HasPrefix(string(r.b[r.at:min(len(r.b), r.at+len(w))]), w) {
		return false
	}
	r.at += len(w)
	return true
}

func (r *reader) want(what string) error {
	if r.next() == 0 {
		return fmt.Errorf("ends where %s should be (HST-002)", what)
	}
	return fmt.Errorf("want %s at byte %d", what, r.at)
}

// value reads one value into v. Null is as if the member were not there.
func (r *reader) value(v reflect.Value, s *shape) error {
	c := r.next()
	switch s.kind {
	case reflect.String:
		if c != '"' {
			return r.want("a string")
		}
		text, err := r.text()
		if err == nil {
			v.SetString(text)
		}
		return err
	case reflect.Func:
		if c != '"' {
			return r.want("a string")
		}
		text, err := r.bytes()
		if err != nil {
			return err
		}
		if s.time && len(text) == 0 {
			return errors.New("an empty time")
		}
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(text)
	case reflect.Bool:
		switch {
		case r.word("true"):
			v.SetBool(true)
		case !r.word("false"):
			return r.want("true or false")
		}
		return nil
	case reflect.Invalid:
		from := r.at
		if err := r.skip(); err != nil {
			return err
		}
		v.SetBytes(append([]byte(nil), r.b[from:r.at]...))
		return nil
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return r.value(v.Elem(), s.element)
	case reflect.Struct:
		return r.object(v, s)
	case reflect.Map:
		return r.texts(v, s)
	case reflect.Slice:
		return r.list(v, s)
	}
	return r.integer(v, s)
}

func (r *reader) integer(v reflect.Value, s *shape) error {
	text := ""
	if s.quoted {
		if r.next() != '"' {
			return r.want("a whole number as text")
		}
		var err error
		if text, err = r.text(); err != nil {
			return err
		}
	} else {
		from := r.at
		for r.at < len(r.b) && (r.b[r.at] >= '0' && r.b[r.at] <= '9' || r.b[r.at] == '-') {
			r.at++
		}
		text = string(r.b[from:r.at])
		if c := r.next(); c == '.' || c|0x20 == 'e' {
			return errors.New("want a whole number")
		}
	}
	if text == "" {
		return r.want("a whole number")
	}
	digits := strings.TrimPrefix(text, "-")
	if len(digits) > 1 && digits[0] == '0' || strings.ContainsAny(text, "+_ ") || text == "-0" {
		return fmt.Errorf("%.40q is no whole number", text)
	}
	if v.CanUint() {
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%.40q is no whole number of its range (HST-009)", text)
		}
		v.SetUint(n)
		return nil
	}
	n, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err != nil {
		return fmt.Errorf("%.40q is no whole number of its range (HST-009)", text)
	}
	v.SetInt(n)
	return nil
}

func (r *reader) deeper() error {
	if r.depth++; r.depth > maxDepth {
		return errors.New("nested too deep (HST-004)")
	}
	return nil
}

// object reads the members of a struct.
func (r *reader) object(v reflect.Value, s *shape) error {
	seen := uint64(0) // by place in s.members, of which no type has more than 64
	var others names
	err := r.members(func(name []byte) error {
		i, ok := s.byName[string(name)]
		if !ok {
			if r.known {
				return in(quote(name), errors.New("unknown member (HST-014)"))
			}
			if !others.add(string(name)) {
				return in(quote(name), errTwice)
			}
			return r.skip()
		}
		if seen&(1<<i) != 0 {
			return in(quote(name), errTwice)
		}
		seen |= 1 << i
		m := &s.members[i]
		if !m.required && r.word("null") {
			return nil
		}
		if err := r.value(v.Field(m.index), m.shape); err != nil {
			return in(m.name, err)
		}
		return nil
	})
	for i := range s.members {
		if m := &s.members[i]; err == nil && m.required && seen&(1<<i) == 0 {
			err = in(m.name, errors.New("missing"))
		}
	}
	return err
}

var errTwice = errors.New("duplicate member (HST-006)")

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

func (r *reader) texts(v reflect.Value, s *shape) error {
	v.Set(reflect.MakeMap(v.Type()))
	return r.members(func(name []byte) error {
		key := reflect.ValueOf(string(name))
		if v.MapIndex(key).IsValid() {
			return in(quote(name), errTwice)
		}
		to := reflect.New(v.Type().Elem()).Elem()
		if err := r.value(to, s.element); err != nil {
			return in(quote(name), err)
		}
		v.SetMapIndex(key, to)
		return nil
	})
}

func (r *reader) list(v reflect.Value, s *shape) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // an empty one is not the same as none: signatures are about it
	return r.elements(func(i int) error {
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		if err := r.value(v.Index(i), s.element); err != nil {
			return in("["+strconv.Itoa(i)+"]", err)
		}
		return nil
	})
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
		return fmt.Errorf("%.40q is beyond all numbers (HST-009)", text)
	}
	return nil
}

func (r *reader) text() (string, error) {
	b, err := r.bytes()
	return string(b), err
}

// bytes reads a string; it is good until the message is gone. NUL and half of a surrogate pair are nowhere allowed.
func (r *reader) bytes() ([]byte, error) {
	r.at++
	from := r.at
	for r.at < len(r.b) {
		switch c := r.b[r.at]; {
		case c == '"':
			r.at++
			return r.b[from : r.at-1], nil
		case c == '\\':
			return r.escaped(from)
		case c < ' ':
			return nil, fmt.Errorf("control character in a string at byte %d", r.at)
		}
		r.at++
	}
	return nil, errors.New("ends in a string (HST-002)")
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
			return nil, fmt.Errorf("no such character at byte %d (HST-010)", r.at)
		}
		out = utf8.AppendRune(out, u)
	}
	return nil, errors.New("ends in a string (HST-002)")
}

func (r *reader) hex() (u rune, ok bool) {
	if r.at+4 > len(r.b) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(r.b[r.at:r.at+4]), 16, 32)
	r.at += 4
	return rune(n), err == nil
}
