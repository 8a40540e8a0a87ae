package conformance

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// A dict is a dictionary of a property list: string, int64, float64, bool, time.Time, []byte, []any and dict by key.
type dict map[string]any

// maxDepth is how deep a property list may be (HST-004).
const maxDepth = 64

// readPlist reads an XML property list whose root is a dictionary. It shares no code with what rollcall's server and devices
// read by, so that one wrong idea does not judge itself; and it is as strict as they are, except about numbers and dates
// that are too large.
func readPlist(body []byte) (dict, error) {
	r := plistReader{xml.NewDecoder(strings.NewReader(string(body)))}
	start, err := r.next(true)
	if err != nil {
		return nil, err
	}
	if start == nil || start.Name.Local != "plist" {
		return nil, errors.New("the root is no plist")
	}
	if start, err = r.next(false); err != nil {
		return nil, err
	}
	if start == nil || start.Name.Local != "dict" {
		return nil, errors.New("the plist holds no dictionary")
	}
	d, err := r.dict(1)
	if err != nil {
		return nil, err
	}
	for range 2 { // the end of plist, and of everything
		if start, err = r.next(true); err == io.EOF {
			return d, nil
		}
		if err != nil {
			return nil, err
		}
		if start != nil {
			return nil, fmt.Errorf("%s behind the dictionary", start.Name.Local)
		}
	}
	return nil, errors.New("it goes on behind its end")
}

type plistReader struct{ *xml.Decoder }

// next returns the next element's start; nil: an element has ended. Prologue: instructions and declarations may come.
func (r plistReader) next(prologue bool) (*xml.StartElement, error) {
	for {
		t, err := r.Token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return &t, nil
		case xml.EndElement:
			return nil, nil
		case xml.CharData:
			if strings.TrimSpace(string(t)) != "" {
				return nil, fmt.Errorf("text %.20q between elements", t)
			}
		case xml.ProcInst, xml.Directive:
			if !prologue {
				return nil, errors.New("an instruction inside of the list")
			}
		}
	}
}

func (r plistReader) dict(depth int) (dict, error) {
	d := dict{}
	for {
		start, err := r.next(false)
		if err != nil {
			return nil, err
		}
		if start == nil {
			return d, nil
		}
		if start.Name.Local != "key" {
			return nil, fmt.Errorf("%s where a key is due", start.Name.Local)
		}
		key, err := r.text()
		if err != nil {
			return nil, err
		}
		if _, twice := d[key]; twice {
			return nil, fmt.Errorf("key %q is there twice", key)
		}
		if start, err = r.next(false); err != nil {
			return nil, err
		}
		if start == nil {
			return nil, fmt.Errorf("key %q has no value", key)
		}
		if d[key], err = r.value(start, depth+1); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
}

func (r plistReader) value(start *xml.StartElement, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("more than %d levels", maxDepth)
	}
	switch start.Name.Local {
	case "dict":
		return r.dict(depth)
	case "array":
		list := []any{}
		for {
			start, err := r.next(false)
			if err != nil {
				return nil, err
			}
			if start == nil {
				return list, nil
			}
			v, err := r.value(start, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
	case "true", "false":
		text, err := r.text()
		if err == nil && text != "" {
			err = fmt.Errorf("%s with text in it", start.Name.Local)
		}
		return start.Name.Local == "true", err
	}
	text, err := r.text()
	if err != nil {
		return nil, err
	}
	switch start.Name.Local {
	case "string":
		return text, nil
	case "integer":
		return strconv.ParseInt(text, 10, 64)
	case "real":
		return strconv.ParseFloat(text, 64)
	case "date":
		return time.Parse(time.RFC3339, text)
	case "data":
		return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	}
	return nil, fmt.Errorf("element %s is none of a property list", start.Name.Local)
}

// text is the text of an element that has nothing else in it.
func (r plistReader) text() (string, error) {
	var b strings.Builder
	for {
		t, err := r.Token()
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.CharData:
			b.Write(t)
		case xml.EndElement:
			return b.String(), nil
		case xml.StartElement:
			return "", fmt.Errorf("element %s inside of a text", t.Name.Local)
		}
	}
}

// text is the string under key; empty: there is none.
func (d dict) text(key string) string {
	s, _ := d[key].(string)
	return s
}

// dicts are the dictionaries in the array under key.
func (d dict) dicts(key string) (list []dict) {
	all, _ := d[key].([]any)
	for _, v := range all {
		if one, ok := v.(dict); ok {
			list = append(list, one)
		}
	}
	return list
}
