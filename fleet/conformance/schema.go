package conformance

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// schemaText has the keys of messages and commands as Apple's device-management schema (release iOS 18.1) names them: a line
// with a name, then one for each key of a request (>) and of a result (<): path, type, and whether it must be there. A * is
// each item of an array.
//
//go:embed schema.txt
var schemaText string

// A shape is what a key may be.
type shape struct {
	kind     string // of the property list; any: whatever
	required bool
}

// A schema has the shapes of one message's or command's keys by path.
type schema struct{ request, result map[string]shape }

// schemas are all of them by RequestType or MessageType.
var schemas = sync.OnceValue(func() map[string]*schema {
	all := map[string]*schema{}
	var s *schema
	for line := range strings.Lines(schemaText) {
		f := strings.Fields(line)
		if len(f) == 1 {
			s = &schema{map[string]shape{}, map[string]shape{}}
			all[f[0]] = s
			continue
		}
		keys := s.request
		if f[0] == "<" {
			keys = s.result
		}
		keys[f[1]] = shape{f[2], len(f) > 3}
	}
	return all
})

// wrong tells what of d is not as keys have it; empty: nothing. A key that they do not have is passed over, since Apple adds keys
// from release to release; see unknown.
func (d dict) wrong(keys map[string]shape, path string) string {
	for _, key := range slices.Sorted(maps.Keys(d)) {
		s, known := keys[path+key]
		if !known {
			continue
		}
		if why := wrongValue(d[key], s, keys, path+key); why != "" {
			return why
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		name, below := strings.CutPrefix(key, path)
		if _, there := d[name]; below && !there && !strings.Contains(name, ".") && keys[key].required {
			return fmt.Sprintf("key %s is missing", key)
		}
	}
	return ""
}

func wrongValue(v any, s shape, keys map[string]shape, path string) string {
	is := kindOf(v)
	if s.kind != "any" && s.kind != is && !(s.kind == "real" && is == "integer") {
		return fmt.Sprintf("%s is %s, want %s", path, is, s.kind)
	}
	switch v := v.(type) {
	case dict:
		if s.kind != "any" && slices.ContainsFunc(slices.Collect(maps.Keys(keys)), func(k string) bool { return strings.HasPrefix(k, path+".") }) {
			return v.wrong(keys, path+".")
		}
	case []any:
		each, known := keys[path+".*"]
		for _, item := range v {
			if !known {
				break
			}
			if why := wrongValue(item, each, keys, path+".*"); why != "" {
				return why
			}
		}
	}
	return ""
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case int64:
		return "integer"
	case float64:
		return "real"
	case bool:
		return "boolean"
	case time.Time:
		return "date"
	case []byte:
		return "data"
	case []any:
		return "array"
	}
	return "dictionary"
}

// unknown names a key of d that keys do not have, but for those of the envelope; empty: there is none.
func (d dict) unknown(keys map[string]shape, envelope ...string) string {
	for _, key := range slices.Sorted(maps.Keys(d)) {
		if _, known := keys[key]; !known && !slices.Contains(envelope, key) {
			return key
		}
	}
	return ""
}
