package load

import (
	"encoding/json"

	"github.com/invopop/jsonschema"

	"rollcall/fleet/report"
)

// Schema is the JSON Schema of what a load's result.json holds, made from the Go types.
func Schema() ([]byte, error) {
	type result struct {
		report.Result
		Load Section `json:"load"`
	}
	r := jsonschema.Reflector{DoNotReference: true, Anonymous: true, ExpandedStruct: true}
	s := r.Reflect(&result{})
	s.Title = "Result of rollcall fleet run"
	return json.MarshalIndent(s, "", " ")
}
