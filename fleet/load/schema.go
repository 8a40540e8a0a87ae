package load

import (
	"encoding"
	"encoding/json"
	"reflect"

	"github.com/invopop/jsonschema"

	"rollcall/fleet/ledger"
	"rollcall/fleet/report"
)

// Schema is the JSON Schema of what a load's result.json holds, made from the Go types.
func Schema() ([]byte, error) {
	type result struct {
		report.Result
		Load   Section        `json:"load"`
		Ledger *ledger.Result `json:"ledger,omitempty" jsonschema_description:"where orders were followed"`
	}
	r := jsonschema.Reflector{DoNotReference: true, Anonymous: true, ExpandedStruct: true, Mapper: words}
	s := r.Reflect(&result{})
	s.Title = "Result of rollcall fleet run"
	return json.MarshalIndent(s, "", " ")
}

// words has types that are written as text be strings.
func words(t reflect.Type) *jsonschema.Schema {
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return &jsonschema.Schema{Type: "string"}
	}
	return nil
}
