package android

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"rollcall/protocol"
)

var update = flag.Bool("update", false, "write openapi.json")

// TestOpenAPI holds openapi.json against the types: members, which of them must be there, words, and what the types' comments say.
func TestOpenAPI(t *testing.T) {
	g := newGenerator(t)
	got, err := json.MarshalIndent(g.document(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile("openapi.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("openapi.json is not what the types say: go test -run TestOpenAPI -update, and read the difference")
	}
	if n := bytes.Count(got, []byte(`"description": ""`)); n > 0 {
		t.Errorf("%d types have no comment", n)
	}
}

// TestOpenAPIBounds: what openapi.json says of a member's bounds is what is refused: the last that is within is taken, the next is not.
func TestOpenAPIBounds(t *testing.T) {
	const (
		in    = `{"protocol":1,"checkin":"c-1","round":1,"device":"d-1","reason":"SCHEDULE","epoch":0,"applied":{"state":"ACTIVE","policyVersion":"0"},"compliant":true}`
		enrol = `{"protocol":1,"role":"dpc","mode":"AOSP_USER","hardware":{"brand":"a","model":"b","serialNumber":"1"},"software":{"apiLevel":1,"androidVersion":"14"}}`
	)
	long := strings.Repeat("a", 64)
	fid := func(n int) string {
		return `"compliant":true,"push":{"kind":"fcm","fid":"` + strings.Repeat("f", n) + `"}`
	}
	for _, tt := range []struct {
		message           any
		body              string
		old, within, over string
	}{
		{&CheckIn{}, in, `"protocol":1`, `"protocol":1`, `"protocol":2`},
		{&CheckIn{}, in, `"checkin":"c-1"`, `"checkin":"` + long + `"`, `"checkin":"a` + long + `"`},
		{&CheckIn{}, in, `"device":"d-1"`, `"device":"-_."`, `"device":".d"`},
		{&CheckIn{}, in, `"round":1`, `"round":16`, `"round":17`},
		{&CheckIn{}, in, `"round":1`, `"round":1`, `"round":0`},
		{&CheckIn{}, in, `"epoch":0`, `"epoch":4294967295`, `"epoch":4294967296`},
		{&CheckIn{}, in, `"policyVersion":"0"`, `"policyVersion":"9223372036854775807"`, `"policyVersion":"-1"`},
		{&CheckIn{}, in, `"compliant":true`, fid(4096), fid(4097)},
		{&EnrollRequest{}, enrol, `"apiLevel":1`, `"apiLevel":1`, `"apiLevel":0`},
		{&EnrollRequest{}, enrol, `"protocol":1`, `"protocol":1`, `"protocol":0`},
	} {
		if err := Decode([]byte(strings.Replace(tt.body, tt.old, tt.within, 1)), tt.message); err != nil {
			t.Errorf("%.80s: %v", tt.within, err)
		}
		if err := Decode([]byte(strings.Replace(tt.body, tt.old, tt.over, 1)), tt.message); err == nil {
			t.Errorf("%.80s is taken", tt.over)
		}
	}
}

// TestHST051Brand: two makers' devices with one serial number are two devices; what is specific to device and enterprise goes first.
func TestHST051Brand(t *testing.T) {
	ids := map[string]bool{}
	for _, h := range []Hardware{{Brand: "acme", SerialNumber: "1"}, {Brand: "zenith", SerialNumber: "1"}, {Brand: "acme", SerialNumber: "1", EnterpriseSpecificID: "1"}} {
		ids[h.ID()] = true
	}
	if len(ids) != 3 {
		t.Errorf("known by %v, want three", ids)
	}
}

type object = map[string]any

// A generator makes the document out of the types and their comments.
type generator struct {
	schemas  object
	comments map[string]string // by type, and by type.field
}

func newGenerator(t *testing.T) *generator {
	g := &generator{schemas: object{}, comments: map[string]string{}}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				continue
			}
			for _, s := range decl.Specs {
				spec := s.(*ast.TypeSpec)
				g.comments[spec.Name.Name] = oneLine(decl.Doc)
				fields, ok := spec.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, f := range fields.Fields.List {
					for _, name := range f.Names {
						g.comments[spec.Name.Name+"."+name.Name] = oneLine(f.Comment)
					}
				}
			}
		}
	}
	return g
}

func oneLine(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

var words = map[reflect.Type]any{
	reflect.TypeFor[Role](): []Role{DPC}, reflect.TypeFor[Mode](): Modes, reflect.TypeFor[Removal](): []Removal{RemoveProfile, Reset, Release},
	reflect.TypeFor[Reason](): reasons, reflect.TypeFor[State](): states, reflect.TypeFor[ProfileStatus](): []ProfileStatus{Applied, Pending, Failed},
	reflect.TypeFor[Schedule](): []Schedule{Quick, Steady}, reflect.TypeFor[ResultState](): []ResultState{ResultDone, ResultError, ResultLater},
	reflect.TypeFor[protocol.Family](): protocol.Families, reflect.TypeFor[protocol.Authority](): []protocol.Authority{protocol.Unknown, protocol.Intune, protocol.SCCM, protocol.Office365},
}

// bounds are what Decode refuses beyond the shapes, by type and member; TestOpenAPIBounds holds them against it.
var bounds = map[string]object{
	"Discovery.protocol": {"const": Version}, "EnrollRequest.protocol": {"const": Version}, "CheckIn.protocol": {"const": Version},
	"CheckIn.checkin": identifier, "CheckIn.device": identifier, "EnrollAnswer.device": identifier, "EnrollAnswer.enrollment": identifier,
	"UnenrollRequest.device": identifier, "Command.id": identifier,
	"CheckIn.round":               {"minimum": 1, "maximum": MaxRounds},
	"AppliedPolicy.policyVersion": {"pattern": "^[0-9]+$"}, "PolicyUpdate.version": {"pattern": "^[1-9][0-9]*$"},
	"Push.fid": {"maxLength": maxFID}, "Software.apiLevel": {"minimum": 1},
}

var identifier = object{"pattern": "^[0-9A-Za-z-][0-9A-Za-z._-]{0,63}$"}

// schema says a type; structs are said once and referred to.
func (g *generator) schema(t reflect.Type, quoted bool) object {
	switch enum := words[t]; {
	case enum != nil:
		return object{"type": "string", "enum": enum}
	case t == timeType:
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[Seconds]():
		return object{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)?s$`}
	case t == rawType:
		return object{}
	case quoted:
		return object{"type": "string", "pattern": "^-?[0-9]+$"}
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Slice:
		return object{"type": "array", "items": g.schema(t.Elem(), false)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": g.schema(t.Elem(), false)}
	case reflect.Pointer:
		return g.schema(t.Elem(), false)
	case reflect.Struct:
		g.object(t)
		return object{"$ref": "#/components/schemas/" + t.Name()}
	}
	if t.Kind() == reflect.Uint32 {
		return object{"type": "integer", "minimum": 0, "maximum": uint32(math.MaxUint32)}
	}
	return object{"type": "integer"}
}

func (g *generator) object(t reflect.Type) {
	if g.schemas[t.Name()] != nil {
		return
	}
	properties, required := object{}, []string{}
	g.schemas[t.Name()] = object{"type": "object", "description": g.comments[t.Name()], "properties": properties, "required": required}
	for i, s := 0, shapeOf(t); i < t.NumField(); i++ {
		m := s.members[i]
		property := g.schema(t.Field(i).Type, m.quoted)
		maps.Copy(property, bounds[t.Name()+"."+m.name])
		if note := g.comments[t.Name()+"."+t.Field(i).Name]; note != "" {
			if property["$ref"] != nil {
				property = object{"allOf": []object{property}}
			}
			property["description"] = note
		}
		properties[m.name] = property
		if m.required {
			required = append(required, m.name)
		}
	}
	g.schemas[t.Name()].(object)["required"] = required
}

func (g *generator) body(v any) object {
	return object{"required": true, "description": "at most 1 MiB, decompressed", "content": g.content(v)}
}

func (g *generator) content(v any) object {
	return object{ContentType: object{"schema": g.schema(reflect.TypeOf(v), false)}}
}

func (g *generator) answers(description string, v any, refusals ...string) object {
	all := object{"200": object{"description": description, "content": g.content(v)}}
	for _, code := range refusals {
		all[code] = object{"description": "refused; the package's page says what a device does then", "content": g.content(Error{})}
	}
	return all
}

func (g *generator) document() object {
	mutual, token := []object{{"identity": []string{}}}, []object{{"token": []string{}}}
	paths := object{
		DiscoveryPath: object{"get": object{"summary": "Where the server has what", "security": []object{}, "responses": g.answers("found", Discovery{}, "405", "429", "503")}},
		EnrollPath: object{"post": object{
			"summary": "Enrol a device with a token", "security": token, "requestBody": g.body(EnrollRequest{}),
			"responses": g.answers("taken in, up to its certificate", EnrollAnswer{}, "400", "401", "403", "405", "413", "415", "429", "503"),
		}},
		CheckInPath: object{"post": object{
			"summary": "One round of a check-in", "security": mutual, "requestBody": g.body(CheckIn{}),
			"responses": g.answers("what to do, or that all is done", CheckInAnswer{}, "400", "401", "403", "405", "410", "413", "415", "429", "503"),
		}},
		UnenrollPath: object{"post": object{
			"summary": "Say good-bye", "security": mutual, "requestBody": g.body(UnenrollRequest{}),
			"responses": g.answers("managed no more", UnenrollAnswer{}, "400", "401", "403", "405", "413", "415", "503"),
		}},
	}
	for _, v := range []any{Policy{}, ProvisioningData{}, Order{}, Notice{}} { // inside of other texts
		g.object(reflect.TypeOf(v))
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "rollcall agent protocol for Android", "version": "1",
			"description": "Messages between an Android device and its management server. Certificates come by EST (RFC 7030) at " + ESTPath + " or by SCEP (RFC 8894).",
		},
		"paths": paths,
		"components": object{"schemas": g.schemas, "securitySchemes": object{
			"identity": object{"type": "mutualTLS", "description": "the device's identity certificate"},
			"token":    object{"type": "http", "scheme": "bearer", "description": "an enrolment token: one device, one use"},
		}},
	}
}
