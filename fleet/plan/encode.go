package plan

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Encode writes p as a file that [Parse] reads as the same plan. What p leaves out is left out; waves are written as the
// licences that they are. notes are comments by the path of what they stand above, such as "" (the whole), "population.silent" or
// "timeline[2]".
func (p *Plan) Encode(notes map[string][]string) []byte {
	e := &encoder{notes: notes}
	e.comment("", "")
	e.block(reflect.ValueOf(p).Elem(), "", "")
	return e.Bytes()
}

type encoder struct {
	bytes.Buffer
	notes map[string][]string
}

// comment writes the notes above a path.
func (e *encoder) comment(path, indent string) {
	for _, note := range e.notes[path] {
		fmt.Fprintf(e, "%s# %s\n", indent, strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, note))
	}
}

// block writes the fields of a struct, one on a line; what is inside of those of the second level is in braces.
func (e *encoder) block(v reflect.Value, path, indent string) {
	for _, f := range present(v, path) {
		at := join(path, f.key)
		if indent == "" && (f.value.Kind() == reflect.Struct && !isText(f.value) || f.value.Kind() == reflect.Slice) && e.Len() > 0 {
			e.WriteByte('\n')
		}
		e.comment(at, indent)
		switch {
		case f.value.Kind() == reflect.Struct && !isText(f.value) && indent == "":
			fmt.Fprintf(e, "%s%s:\n", indent, f.key)
			e.block(f.value, at, indent+"  ")
		case f.value.Kind() == reflect.Slice && itemsAreBlocks(f.value):
			fmt.Fprintf(e, "%s%s:\n", indent, f.key)
			for i := range f.value.Len() {
				item := fmt.Sprintf("%s[%d]", at, i)
				e.comment(item, indent+"  ")
				e.WriteString(indent + "  - ")
				e.flow(f.value.Index(i), item)
				e.WriteByte('\n')
			}
		default:
			fmt.Fprintf(e, "%s%s: ", indent, f.key)
			e.flow(f.value, at)
			e.WriteByte('\n')
		}
	}
}

// itemsAreBlocks tells whether a list is long enough to say to have a line for each item.
func itemsAreBlocks(v reflect.Value) bool {
	of := v.Type().Elem()
	return v.Len() > 0 && (of.Kind() == reflect.Struct || of == reflect.TypeFor[Limit]())
}

// flow writes a value on one line.
func (e *encoder) flow(v reflect.Value, path string) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if isText(v) {
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if err == nil {
			e.word(string(text))
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		e.word(v.String())
	case reflect.Struct:
		e.WriteByte('{')
		for i, f := range present(v, path) {
			if i > 0 {
				e.WriteString(", ")
			}
			e.WriteString(f.key + ": ")
			e.flow(f.value, join(path, f.key))
		}
		e.WriteByte('}')
	case reflect.Map:
		e.WriteByte('{')
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int {
			if a.Kind() == reflect.String {
				return cmp.Compare(a.String(), b.String())
			}
			return cmp.Compare(a.Int(), b.Int())
		})
		for i, k := range keys {
			if i > 0 {
				e.WriteString(", ")
			}
			e.flow(k, path)
			e.WriteString(": ")
			e.flow(v.MapIndex(k), path)
		}
		e.WriteByte('}')
	case reflect.Slice:
		e.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				e.WriteString(", ")
			}
			e.flow(v.Index(i), path)
		}
		e.WriteByte(']')
	default:
		fmt.Fprint(e, v.Interface())
	}
}

// plainWord is what YAML reads as a text, or as a number that stands for itself, without quotes.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9+][A-Za-z0-9_./%+()-]*( [A-Za-z0-9_./%+()<>=-]+)*$`)

// word writes a text, in quotes where YAML would read it as something else.
func (e *encoder) word(s string) {
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
	default:
		if plainWord.MatchString(s) && (s[0] > '9' || strings.ContainsAny(s, "%abcdefghijklmnopqrstuvwxyz")) {
			e.WriteString(s)
			return
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(s) // a string always encodes
	e.Write(bytes.TrimSpace(b.Bytes()))
}

func isText(v reflect.Value) bool {
	_, ok := v.Interface().(encoding.TextMarshaler)
	return ok
}

// A field is one key of a struct with its value.
type field struct {
	key   string
	value reflect.Value
}

// present returns the keys of v that say something, in the order of its fields.
func present(v reflect.Value, path string) (list []field) {
	for _, f := range reflect.VisibleFields(v.Type()) {
		key := f.Tag.Get("yaml")
		if key == "" {
			continue
		}
		value := v.FieldByIndex(f.Index)
		always := path == "tenant" && key == "authority" || path == "tenant.identity" && key == "window" || key == "at" && value.Type() == reflect.TypeFor[Duration]()
		if always || !empty(value) {
			list = append(list, field{key, value})
		}
	}
	return list
}

// empty tells whether v leaves everything out. An action that is there says that it happens, whatever it leaves out.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		if isText(v) {
			text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
			return v.IsZero() || err != nil || len(text) == 0
		}
		return len(present(v, "")) == 0
	case reflect.Slice, reflect.Map:
		return v.IsNil()
	}
	return v.IsZero()
}
