package android

import (
	"encoding"
	"errors"
	"fmt"
	"math/bits"
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
// must have are demanded. Whatever v held before is gone, though its room may be used again. The error names the member and wraps
// [protocol.ErrMalformed], with the [protocol.Rule] that its text ends in, or [ErrTooLarge].
func Decode(body []byte, v any) error { return decode(body, v, false) }

// DecodeKnown is Decode that refuses members which v does not have: for what people write, where an unknown word is a mistake.
func DecodeKnown(body []byte, v any) error { return decode(body, v, true) }

// A checker is a message with rules beyond the shapes of its members.
type checker interface{ check() error }

func decode(body []byte, v any, known bool) error {
	if len(body) > MaxMessage {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(body), MaxMessage)
	}
	if c, ok := v.(*CheckIn); ok && steadily(body, c) {
		return malformed(c.check())
	}
	if !utf8.Valid(body) {
		return malformed(breaks("HST-010", "not UTF-8"))
	}
	to := reflect.ValueOf(v).Elem()
	to.SetZero()
	r := reader{b: body, known: known}
	err := r.value(to, shapeOf(to.Type()))
	if err == nil {
		if r.space(); r.at < len(r.b) {
			err = breaks("HST-006", "bytes after the object")
		}
	}
	if err == nil {
		if c, ok := v.(checker); ok {
			err = c.check()
		}
	}
	return malformed(err)
}

// breaks is an error by a rule, which ends its text and which errors.As finds as a [protocol.Rule].
func breaks(rule protocol.Rule, format string, args ...any) error {
	return fmt.Errorf(format+" (%w)", append(args, rule)...)
}

func malformed(err error) error {
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

	required uint64 // of Struct, by place in members
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
		for i := range t.NumField() {
			name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			m := member{name: name, index: i, required: !strings.Contains(options, "omit"), shape: shapeOf(t.Field(i).Type)}
			if strings.Contains(options, "string") {
				m.shape = &shape{kind: m.kind, quoted: true}
			}
			if m.required {
				s.required |= 1 << i
			}
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
	text, err := r.digits(s.quoted)
	if err != nil {
		return err
	}
	if v.CanUint() {
		n, err := unsigned(text, v.Type().Bits())
		v.SetUint(n)
		return err
	}
	n, err := signed(text, v.Type().Bits())
	v.SetInt(n)
	return err
}

// object reads the members of a struct.
func (r *reader) object(v reflect.Value, s *shape) error {
	return r.fields(s, func(m *member) error { return r.value(v.Field(m.index), m.shape) })
}

// fields calls each for every member that s has, standing before its value. Others are passed over, a member twice and one that is
// missing are refused.
func (r *reader) fields(s *shape, each func(m *member) error) error {
	seen, after := uint64(0), 0 // by place in s.members, of which no type has more than 64
	var others names
	err := r.members(func(name []byte) error {
		i := s.find(name, after)
		if i < 0 {
			if r.known {
				return in(quote(name), breaks("HST-014", "unknown member"))
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
		after = i + 1
		m := &s.members[i]
		if !m.required && r.word("null") {
			return nil
		}
		if err := each(m); err != nil {
			return in(m.name, err)
		}
		return nil
	})
	if err == nil && seen&s.required != s.required {
		m := &s.members[bits.TrailingZeros64(s.required&^seen)]
		err = in(m.name, errors.New("missing"))
	}
	return err
}

// find returns the place of a member; negative: there is none. It looks from place after on, since most messages come in the order of
// their type.
func (s *shape) find(name []byte, after int) int {
	for i := after; i < len(s.members); i++ {
		if s.members[i].name == string(name) {
			return i
		}
	}
	for i := range min(after, len(s.members)) {
		if s.members[i].name == string(name) {
			return i
		}
	}
	return -1
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
