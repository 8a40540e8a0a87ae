package api

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

const (
	maxBody  = 16 << 20 // bytes of one request; imports come in batches
	maxDepth = 64       // HST-004
)

// An invalid is what is wrong with a request, and where.
type invalid struct{ field, message string }

func (e *invalid) Error() string { return e.field + ": " + e.message }

// decode reads the body of r into the struct that v points to, and refuses what encoding/json would forgive: unknown
// and doubled keys, keys in another case, a second value, deep nesting (HST-004, 006, 007, 014).
func decode(r *http.Request, v any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return &invalid{message: "the body was cut short"}
	}
	if len(body) > maxBody {
		return errTooLarge
	}
	return decodeStrict(body, v)
}

func decodeStrict(body []byte, v any) error {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return &invalid{message: "want a JSON object"}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := checkValue(d, reflect.TypeOf(v).Elem(), "", 0); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return &invalid{message: "something follows the JSON value"}
	}
	err := json.Unmarshal(body, v)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &invalid{wrong.Field, "cannot be a " + wrong.Value}
	}
	if err != nil {
		return &invalid{message: err.Error()}
	}
	return nil
}

// checkValue walks one value of d that is to become a t at path.
func checkValue(d *json.Decoder, t reflect.Type, path string, depth int) error {
	if depth > maxDepth {
		return &invalid{path, "nested too deeply"}
	}
	token, err := d.Token()
	if err != nil {
		return &invalid{path, "not JSON: " + err.Error()}
	}
	delim, compound := token.(json.Delim)
	if !compound {
		if text, ok := token.(string); ok && t != nil {
			return checkText(text, t, path)
		}
		return nil
	}
	if t != nil {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	}
	seen := map[string]bool{}
	for i := 0; d.More(); i++ {
		var inner reflect.Type
		var at string
		if delim == '{' {
			key, err := d.Token()
			if err != nil {
				return &invalid{path, "not JSON: " + err.Error()}
			}
			name := key.(string)
			at = join(path, name)
			if seen[name] {
				return &invalid{at, "given twice"}
			}
			seen[name] = true
			if t != nil && t.Kind() == reflect.Struct {
				if inner = field(t, name); inner == nil {
					return &invalid{at, "unknown field"}
				}
			}
		} else {
			at = path + "[" + strconv.Itoa(i) + "]"
			if t != nil && t.Kind() == reflect.Slice {
				inner = t.Elem()
			}
		}
		if err := checkValue(d, inner, at, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return &invalid{path, "not JSON: " + err.Error()}
	}
	return nil
}

// checkText tries a text on a type that reads itself from text, so that its complaint gets its path.
func checkText(text string, t reflect.Type, path string) error {
	u, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	if !ok {
		return nil
	}
	if err := u.UnmarshalText([]byte(text)); err != nil {
		return &invalid{path, err.Error()}
	}
	return nil
}

// field returns the type of t's field that JSON calls exactly name.
func field(t reflect.Type, name string) reflect.Type {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == name && tag != "" && tag != "-" {
			return f.Type
		}
		if f.Anonymous && tag == "" {
			if inner := field(f.Type, name); inner != nil {
				return inner
			}
		}
	}
	return nil
}

func join(path, name string) string {
	if len(name) > 64 {
		name = name[:64] + "..."
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// queryOf checks the query of r against the names a route knows: none twice that is not a list, no others. Of a list it has
// the first.
func queryOf(r *http.Request, known []param) (map[string]string, error) {
	q := map[string]string{}
	for name, values := range r.URL.Query() {
		i := slices.IndexFunc(known, func(p param) bool { return p.Name == name })
		switch {
		case i < 0:
			return nil, &invalid{join("", name), "unknown parameter"}
		case len(values) > 1 && known[i].Type != "strings":
			return nil, &invalid{name, "given twice"}
		}
		q[name] = values[0]
	}
	return q, nil
}

func missing(field string) error { return &invalid{field, "is missing"} }

func wrongValue(field string, format string, args ...any) error {
	return &invalid{field, fmt.Sprintf(format, args...)}
}
