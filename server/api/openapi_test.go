package api

import (
	"bytes"
	"encoding"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/server/store"
)

var update = flag.Bool("update", false, "rewrite openapi.json")

// The document must say what the routes and the types of their bodies are; nobody writes it by hand.
func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	want, err := json.MarshalIndent(describe(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(openAPI, want) {
		t.Error("openapi.json is not what the routes are; go test ./server/api -run OpenAPI -update, and read the difference")
	}
}

type object = map[string]any

func describe() object {
	schemas := object{}
	paths := map[string]object{}
	for _, r := range routes() {
		op := object{
			"summary":     r.summary,
			"operationId": operationID(&r),
			"responses": object{
				fmt.Sprint(r.success()): object{"description": "done", "content": content(schemaOf(reflect.TypeOf(r.out), schemas))},
				"default":               object{"description": "not done", "content": content(schemaOf(reflect.TypeFor[failure](), schemas))},
			},
		}
		if !r.open {
			op["security"] = []any{object{"token": []any{}}}
		}
		if r.in != nil {
			op["requestBody"] = object{"required": true, "content": content(schemaOf(reflect.TypeOf(r.in()).Elem(), schemas))}
		}
		var params []any
		for _, part := range strings.Split(r.path, "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok {
				params = append(params, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
			}
		}
		for _, p := range r.query {
			schema := object{"type": p.Type}
			if p.Type == "strings" {
				schema = object{"type": "array", "items": object{"type": "string"}}
			}
			params = append(params, object{"name": p.Name, "in": "query", "description": p.Meaning, "schema": schema})
		}
		if params != nil {
			op["parameters"] = params
		}
		if paths[r.path] == nil {
			paths[r.path] = object{}
		}
		paths[r.path][strings.ToLower(r.method)] = op
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "rollcall administration", "version": "1",
			"description": "Unknown fields, fields given twice and anything after the JSON value are refused. Times are RFC 3339 in UTC; an empty one is never.",
		},
		"paths":      paths,
		"components": object{"schemas": schemas, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}},
	}
}

func operationID(r *route) string {
	var b strings.Builder
	b.WriteString(strings.ToLower(r.method))
	for _, part := range strings.FieldsFunc(strings.TrimPrefix(r.path, "/rollcall/v1"), func(c rune) bool { return strings.ContainsRune("/{}.-", c) }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

func content(schema object) object { return object{"application/json": object{"schema": schema}} }

var texts = map[reflect.Type][]string{
	reflect.TypeFor[protocol.Authority](): names(protocol.Unknown, protocol.Intune, protocol.SCCM, protocol.Office365),
	reflect.TypeFor[protocol.Platform]():  names(protocol.Platforms[:]...),
	reflect.TypeFor[protocol.Family]():    names(protocol.Families[:]...),
	reflect.TypeFor[wanted]():             append(names(protocol.Unknown, protocol.Intune, protocol.SCCM, protocol.Office365), coexistence),
	reflect.TypeFor[store.Role]():         names(store.NoRole, store.Reader, store.Helpdesk, store.IntuneAdministrator, store.GlobalAdministrator),
}

func names[T fmt.Stringer](list ...T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

// schemaOf describes a type as encoding/json writes it. Structs with a name become components.
func schemaOf(t reflect.Type, components object) object {
	switch {
	case t == reflect.TypeFor[document]():
		return object{"type": "object"}
	case texts[t] != nil:
		return object{"type": "string", "enum": texts[t]}
	case t == reflect.TypeFor[protocol.Time]():
		return object{"type": "string", "description": "RFC 3339, or empty for never"}
	case t == reflect.TypeFor[[]byte]():
		return object{"type": "string", "contentEncoding": "base64"}
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Int, reflect.Int64, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t.Elem(), components)}
	case reflect.Pointer:
		return object{"oneOf": []any{schemaOf(t.Elem(), components), object{"type": "null"}}}
	case reflect.Struct:
		ref := object{"$ref": "#/components/schemas/" + t.Name()}
		if components[t.Name()] != nil {
			return ref
		}
		properties, required := object{}, []string{}
		components[t.Name()] = object{"type": "object", "properties": properties, "additionalProperties": false}
		fields(t, properties, &required, components)
		if sort.Strings(required); len(required) > 0 {
			components[t.Name()].(object)["required"] = required
		}
		return ref
	}
	panic("no schema for " + t.String())
}

func fields(t reflect.Type, properties object, required *[]string, components object) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			fields(f.Type, properties, required, components)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		properties[name] = schemaOf(f.Type, components)
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
}

// checkAnswer holds an answer against the document: the response of this route with this status.
func checkAnswer(t *testing.T, r *route, status int, body []byte) {
	t.Helper()
	var doc object
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	op, _ := at(doc, "paths", r.path, strings.ToLower(r.method)).(object)
	if op == nil {
		t.Errorf("%s %s is not in openapi.json", r.method, r.path)
		return
	}
	response := at(op, "responses", fmt.Sprint(status), "content", "application/json", "schema")
	if response == nil {
		response = at(op, "responses", "default", "content", "application/json", "schema")
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Errorf("%s %s: %d: not JSON: %v", r.method, r.path, status, err)
		return
	}
	if err := fits(doc, response, v, "answer"); err != nil {
		t.Errorf("%s %s: %d: %v in %s", r.method, r.path, status, err, body)
	}
}

func at(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(object)
		v = m[k]
	}
	return v
}

// fits tells whether v is what schema says, for the words that describe uses.
func fits(doc object, schema, v any, path string) error {
	s := schema.(object)
	if ref, ok := s["$ref"].(string); ok {
		return fits(doc, at(doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...), v, path)
	}
	if list, ok := s["oneOf"].([]any); ok {
		var err error
		for _, one := range list {
			if err = fits(doc, one, v, path); err == nil {
				return nil
			}
		}
		return err
	}
	wrong := fmt.Errorf("%s is %T, want %v", path, v, s["type"])
	switch s["type"] {
	case "null":
		if v != nil {
			return wrong
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return wrong
		}
	case "integer":
		if n, ok := v.(float64); !ok || n != float64(int64(n)) {
			return wrong
		}
	case "string":
		text, ok := v.(string)
		if !ok {
			return wrong
		}
		if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, any(text)) {
			return fmt.Errorf("%s is %q, want one of %v", path, text, enum)
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			return wrong
		}
		for i, item := range list {
			if err := fits(doc, s["items"], item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case "object":
		m, ok := v.(object)
		if !ok {
			return wrong
		}
		properties, _ := s["properties"].(object)
		for key, item := range m {
			if properties == nil {
				break
			}
			if properties[key] == nil {
				return fmt.Errorf("%s.%s is not in the document", path, key)
			}
			if err := fits(doc, properties[key], item, path+"."+key); err != nil {
				return err
			}
		}
		required, _ := s["required"].([]any)
		for _, key := range required {
			if _, ok := m[key.(string)]; !ok {
				return fmt.Errorf("%s.%s is missing", path, key)
			}
		}
	default:
		return fmt.Errorf("%s: a schema of type %v", path, s["type"])
	}
	return nil
}
