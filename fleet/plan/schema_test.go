package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestSchema holds the JSON Schema against the decoder: it accepts the ready plans, and refuses what is wrong in
// one file alone.
func TestSchema(t *testing.T) {
	data, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	for _, name := range BuiltIns() {
		text, err := builtIn.ReadFile("plans/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(s, s, decoded(t, text), ""); err != nil {
			t.Errorf("the schema refuses the plan %s: %v", name, err)
		}
	}
	archive, err := txtar.ParseFile("testdata/errors.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		if name := f.Name; name == "unknown-key.yaml" || name == "wrong-values.yaml" || name == "wrong-kinds.yaml" || name == "kind.yaml" {
			if err := valid(s, s, decoded(t, f.Data), ""); err == nil {
				t.Errorf("the schema accepts %s", name)
			}
		}
	}
	if !strings.Contains(string(data), "AUTH-22") {
		t.Error("the descriptions are not in the schema")
	}
}

func decoded(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// valid is as much of JSON Schema as the reflector writes.
func valid(root, s map[string]any, v any, path string) error {
	for key, rule := range s {
		switch key {
		case "$ref":
			name := strings.TrimPrefix(rule.(string), "#/$defs/")
			if err := valid(root, root["$defs"].(map[string]any)[name].(map[string]any), v, path); err != nil {
				return err
			}
		case "type":
			if got := kind(v); got != rule && !(rule == "number" && got == "integer") {
				return fmt.Errorf("%s is %s, want %s", path, got, rule)
			}
		case "enum":
			if !slices.ContainsFunc(rule.([]any), func(w any) bool { return reflect.DeepEqual(w, v) }) {
				return fmt.Errorf("%s is %v, want one of %v", path, v, rule)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(rule.(string)).MatchString(text) {
				return fmt.Errorf("%s is %q, want %s", path, text, rule)
			}
		case "minimum":
			if n, ok := v.(float64); ok && n < rule.(float64) {
				return fmt.Errorf("%s is %v", path, n)
			}
		case "maxLength":
			if text, ok := v.(string); ok && len(text) > int(rule.(float64)) {
				return fmt.Errorf("%s is too long", path)
			}
		case "items":
			list, _ := v.([]any)
			for i, item := range list {
				if err := valid(root, rule.(map[string]any), item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
					return err
				}
			}
		case "required":
			for _, name := range rule.([]any) {
				if object, ok := v.(map[string]any); ok && object[name.(string)] == nil {
					return fmt.Errorf("%s has no %s", path, name)
				}
			}
		case "properties", "patternProperties", "additionalProperties", "$schema", "$defs", "title", "description":
		default:
			return fmt.Errorf("the test does not know the rule %s", key)
		}
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	properties, _ := s["properties"].(map[string]any)
	for name, inner := range object {
		of, ok := properties[name].(map[string]any)
		if !ok {
			of, ok = pattern(s, name)
		}
		if !ok {
			if s["additionalProperties"] == false {
				return fmt.Errorf("%s has an unknown key %s", path, name)
			}
			of, _ = s["additionalProperties"].(map[string]any)
		}
		if err := valid(root, of, inner, path+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func pattern(s map[string]any, name string) (map[string]any, bool) {
	patterns, _ := s["patternProperties"].(map[string]any)
	for p, of := range patterns {
		if regexp.MustCompile(p).MatchString(name) {
			return of.(map[string]any), true
		}
	}
	return nil, false
}

func kind(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	}
	return "null"
}
