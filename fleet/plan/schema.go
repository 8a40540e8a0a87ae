package plan

import (
	"encoding/json"
	"reflect"

	"github.com/invopop/jsonschema"
)

// Schema returns the grammar of a plan file as a JSON Schema (draft 2020-12), made from the types of this package.
// Editors complete and check plans with it; contradictions are for [Parse] alone.
func Schema() ([]byte, error) {
	r := jsonschema.Reflector{
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		Anonymous:                  true,
		ExpandedStruct:             true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			valid := words(t)
			if valid == nil {
				return nil
			}
			s := &jsonschema.Schema{Type: "string"}
			for _, w := range valid {
				s.Enum = append(s.Enum, w)
			}
			return s
		},
	}
	s := r.Reflect(&Plan{})
	s.Title = "rollcall plan"
	s.Required = []string{"until"}
	return json.MarshalIndent(s, "", "  ")
}
