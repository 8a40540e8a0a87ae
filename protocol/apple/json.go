package apple

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	"rollcall/protocol"
)

// maxJSON is the largest JSON body in bytes that this package reads: APNs takes 4096, a 403 has a few lines.
const maxJSON = 64 << 10

// encodeJSON writes <, > and & as they are: no browser reads this.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("JSON of %T: %v", v, err)) // a type of this package that cannot be written
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// decodeJSON reads one object strictly: UTF-8, at most maxDepth levels, no key twice, nothing behind it, keys
// compared byte by byte (HST-004, 006, 007, 014).
func decodeJSON(body []byte) (map[string]any, error) {
	if len(body) > maxJSON {
		return nil, fmt.Errorf("%w: %d bytes of JSON, at most %d", ErrTooLarge, len(body), maxJSON)
	}
	if !utf8.Valid(body) {
		return nil, fmt.Errorf("%w: JSON: not UTF-8 (HST-010)", protocol.ErrMalformed)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	v, err := jsonValue(d, 0)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = fmt.Errorf("bytes after the object (HST-006)")
		}
	}
	object, ok := v.(map[string]any)
	if err == nil && !ok {
		err = fmt.Errorf("want an object")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: JSON: byte %d: %w", protocol.ErrMalformed, d.InputOffset(), err)
	}
	return object, nil
}

func jsonValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth++; depth > maxDepth {
		return nil, fmt.Errorf("nested too deep (HST-004)")
	}
	if delim == '[' {
		list := []any{}
		for d.More() {
			v, err := jsonValue(d, depth)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	object := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key := t.(string) // the decoder lets no other key through
		if _, twice := object[key]; twice {
			return nil, fmt.Errorf("duplicate key %.64q (HST-006)", key)
		}
		if object[key], err = jsonValue(d, depth); err != nil {
			return nil, err
		}
	}
	_, err = d.Token()
	return object, err
}
