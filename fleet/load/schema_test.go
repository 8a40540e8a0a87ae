package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"rollcall/fleet/ledger"
	"rollcall/fleet/report"
	"rollcall/protocol"
)

// The published schema is that of today's types.
func TestSchema(t *testing.T) {
	got, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	const file = "result.schema.json"
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.TrimSpace(want), got) {
		t.Errorf("%s is not of today's types: go test ./fleet/load -run Schema -update", file)
	}
}

// A schema is what our own has of JSON Schema.
type schema struct {
	Type       string            `json:"type"`
	Enum       []any             `json:"enum"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
	Additional json.RawMessage   `json:"additionalProperties"`
	Items      *schema           `json:"items"`
	Least      int               `json:"minItems"`
	Most       *int              `json:"maxItems"`

	Schema      string `json:"$schema"`
	Title       string `json:"title"`
	Description string `json:"description"`
}

func readSchema(t testing.TB) (s schema) {
	t.Helper()
	b, err := os.ReadFile("result.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields() // a keyword that check knows nothing of
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// check names what s does not allow in v.
func (s *schema) check(at string, v any) (wrong []string) {
	is := map[string]bool{"": true}
	switch v := v.(type) {
	case string:
		is["string"] = true
	case bool:
		is["boolean"] = true
	case float64:
		is["number"], is["integer"] = true, v == math.Trunc(v)
	case []any:
		is["array"] = true
		if len(v) < s.Least || s.Most != nil && len(v) > *s.Most {
			wrong = append(wrong, fmt.Sprintf("%s: %d items", at, len(v)))
		}
		for i, item := range v {
			if s.Items != nil {
				wrong = append(wrong, s.Items.check(fmt.Sprintf("%s[%d]", at, i), item)...)
			}
		}
	case map[string]any:
		is["object"] = true
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				wrong = append(wrong, at+": lacks "+name)
			}
		}
		for name, item := range v {
			if p, ok := s.Properties[name]; ok {
				wrong = append(wrong, p.check(at+"."+name, item)...)
			} else if string(s.Additional) == "false" {
				wrong = append(wrong, at+": "+name+" is not allowed")
			} else if len(s.Additional) > 0 {
				var p schema
				if err := json.Unmarshal(s.Additional, &p); err != nil {
					wrong = append(wrong, err.Error())
				}
				wrong = append(wrong, p.check(at+"."+name, item)...)
			}
		}
	}
	if !is[s.Type] {
		wrong = append(wrong, fmt.Sprintf("%s: %v is no %s", at, v, s.Type))
	}
	if s.Enum != nil && !slices.Contains(s.Enum, v) {
		wrong = append(wrong, fmt.Sprintf("%s: %v is none of %v", at, v, s.Enum))
	}
	return wrong
}

// plain is a setting whose words a result may have.
var plain = Setting{Identity: "scep", Authentication: "mutual TLS"}

// conforms fails where the published schema refuses a result as it is written.
func conforms(t testing.TB, r *report.Result) {
	t.Helper()
	var b bytes.Buffer
	if err := report.WriteJSON(&b, r); err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	s := readSchema(t)
	if wrong := s.check("result", v); len(wrong) > 0 {
		t.Errorf("the schema refuses it:\n%s", strings.Join(wrong, "\n"))
	}
}

// The schema refuses what is no result, so that what it allows says something.
func TestSchemaRefuses(t *testing.T) {
	s := readSchema(t)
	for _, tt := range []struct{ text, want string }{
		{`{"version":"1"}`, "result.version: 1 is no integer"},
		{`{"load":{"loop":"ajar"}}`, "result.load.loop: ajar is none of"},
		{`{}`, "result: lacks load"},
		{`{"colour":1}`, "result: colour is not allowed"},
		{`{"reasons":null}`, "result.reasons: <nil> is no array"},
		{`{"devices":{"left_out_by":{"a":"b"}}}`, "result.devices.left_out_by.a: b is no integer"},
		{`{"load":{"baseline":{"failed":[{}]}}}`, "result.load.baseline.failed: 1 items"},
		{`{"load":{"windows":[{},{"done":0.5}]}}`, "result.load.windows[1].done: 0.5 is no integer"},
	} {
		var v any
		if err := json.Unmarshal([]byte(tt.text), &v); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.check("result", v), "\n"); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s; want %s", tt.text, got, tt.want)
		}
	}
}

// The parts of a result that are seldom there conform too.
func TestSchemaSeldom(t *testing.T) {
	x := &Section{
		Loop: "open", Arrivals: "check-ins", Identity: "kept", Authentication: "header", WokenBy: "push", Connections: "kept",
		Called: &Called{Devices: 1}, Enrolment: &Enrolled{Steps: []StepFigures{{}}}, Steps: []StepFigures{{}}, Windows: []Window{{}},
		DoneBy: map[protocol.Platform]uint64{protocol.IOS: 1}, Generator: Generator{Calibration: &Calibration{LeavesOut: new(Config).uncalibrated()}}, Baseline: compare(new(Section), &Section{Loop: "open"}),
	}
	found := ledger.Result{Findings: []ledger.Finding{{Fault: ledger.Stuck, Device: "a", Command: "b", Kind: "c", Profile: "d", At: 1, Detail: "e"}}}
	conforms(t, &report.Result{
		Version: 1, Verdict: report.Error, Limits: []report.Limit{{}}, Error: &report.Trouble{},
		Sections: map[string]any{"load": x, "ledger": found},
	})
	conforms(t, &report.Result{Sections: map[string]any{"load": &Section{
		Loop: "closed", Arrivals: "enrolments", Identity: "scep", Authentication: "mutual TLS", WokenBy: "themselves", Connections: "closed after the empty answer",
		Baseline: compare(wandering(rand.New(rand.NewPCG(1, 2)), 10, 0, 1), wandering(rand.New(rand.NewPCG(1, 2)), 10, 0, 1)), Steps: []StepFigures{}, Windows: []Window{}, DoneBy: map[protocol.Platform]uint64{},
	}}})
}
