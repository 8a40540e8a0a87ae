package apple

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"rollcall/protocol"
)

// A schema is Apple's YAML of one folder: what may stand in a message and what must. docs/schema.md of
// apple/device-management explains the format.
type schema struct {
	checkIns, commands, profiles map[string]schemaFile // by requesttype or payloadtype
	machineInfo                  schemaFile
	errors                       map[string]schemaFile // by code
}

type schemaFile struct {
	Payload struct {
		RequestType string `yaml:"requesttype"`
		PayloadType string `yaml:"payloadtype"`
	} `yaml:"payload"`
	PayloadKeys  []schemaKey `yaml:"payloadkeys"`
	ResponseKeys []schemaKey `yaml:"responsekeys"`
}

type schemaKey struct {
	Key         string              `yaml:"key"`
	Type        string              `yaml:"type"`
	Presence    string              `yaml:"presence"`
	RangeList   []any               `yaml:"rangelist"`
	SubKeys     []schemaKey         `yaml:"subkeys"`
	SupportedOS map[string]schemaOS `yaml:"supportedOS"`
}

type schemaOS struct {
	Introduced     any   `yaml:"introduced"`
	DeviceChannel  *bool `yaml:"devicechannel"`
	UserChannel    *bool `yaml:"userchannel"`
	UserEnrollment struct {
		Mode string `yaml:"mode"`
	} `yaml:"userenrollment"`
	SharedIPad struct {
		Mode string `yaml:"mode"`
	} `yaml:"sharedipad"`
}

func readSchema(t *testing.T, dir string) *schema {
	t.Helper()
	s := &schema{map[string]schemaFile{}, map[string]schemaFile{}, map[string]schemaFile{}, schemaFile{}, map[string]schemaFile{}}
	read := func(path string) (f schemaFile) {
		b, err := os.ReadFile(path)
		if err == nil {
			err = yaml.Unmarshal(b, &f)
		}
		if errors.Is(err, yaml.ErrExceededMaxDepth) {
			return schemaFile{} // com.apple.applicationaccess.new contains itself; a payload of it would have no schema
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return f
	}
	files := func(folder string) []string {
		paths, err := filepath.Glob(filepath.Join(dir, folder, "*.yaml"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no schema in %s/%s (%v)", dir, folder, err)
		}
		return paths
	}
	for _, path := range files("mdm/checkin") {
		f := read(path)
		s.checkIns[f.Payload.RequestType] = f
	}
	for _, path := range files("mdm/commands") {
		f := read(path)
		s.commands[f.Payload.RequestType] = f
	}
	for _, path := range files("mdm/profiles") {
		f := read(path)
		s.profiles[f.Payload.PayloadType] = f
	}
	for _, path := range files("mdm/errors") {
		f := read(path)
		s.errors[fmt.Sprint(f.PayloadKeys[0].RangeList[0])] = f
	}
	s.machineInfo = read(filepath.Join(dir, "other/machineinfo.yaml"))
	return s
}

// A device's circumstances decide which keys are for it.
type circumstances struct {
	os                 string // iOS or macOS
	user, byod, shared bool
}

// circumstancesOf reads them from the name of a golden file.
func circumstancesOf(name string) circumstances {
	c := circumstances{os: "iOS"}
	for _, part := range strings.Split(name, "-") {
		switch part {
		case "mac":
			c.os = "macOS"
		case "user":
			c.user = true
		case "byod":
			c.byod = true
		case "shared":
			c.shared, c.user = true, true
		}
	}
	return c
}

func (c circumstances) has(k schemaKey) bool {
	os := k.SupportedOS[c.os]
	no := func(flag *bool) bool { return flag != nil && !*flag }
	switch {
	case os.Introduced == "n/a",
		c.user && no(os.UserChannel), !c.user && no(os.DeviceChannel),
		c.byod && os.UserEnrollment.Mode == "forbidden", !c.byod && os.UserEnrollment.Mode == "required",
		c.shared && os.SharedIPad.Mode == "forbidden", !c.shared && os.SharedIPad.Mode == "required":
		return false
	}
	return true
}

// check returns what is wrong with dict by keys.
func (c circumstances) check(path string, keys []schemaKey, dict map[string]any) (wrong []string) {
	known := map[string]bool{}
	anyKey := false
	for _, k := range keys {
		known[k.Key] = true
		anyKey = anyKey || k.Key == "ANY"
		v, there := dict[k.Key]
		switch {
		case there && !c.has(k):
			wrong = append(wrong, path+k.Key+": is not for this kind of device")
		case there:
			wrong = append(wrong, c.checkValue(path+k.Key, k, v)...)
		case k.Presence == "required" && k.Key != "ANY" && c.has(k):
			wrong = append(wrong, path+k.Key+": is required")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(dict)) {
		if !known[key] && !anyKey {
			wrong = append(wrong, path+key+": is unknown")
		}
	}
	return wrong
}

func (c circumstances) checkValue(path string, k schemaKey, v any) (wrong []string) {
	ok := true
	switch k.Type {
	case "<string>":
		_, ok = v.(string)
	case "<integer>":
		switch v.(type) {
		case int64, uint64:
		default:
			ok = false
		}
	case "<real>":
		_, ok = v.(float64)
	case "<boolean>":
		_, ok = v.(bool)
	case "<data>":
		_, ok = v.([]byte)
	case "<date>":
		_, ok = v.(time.Time)
	case "<any>":
	case "<dictionary>":
		var dict map[string]any
		if dict, ok = v.(map[string]any); ok && len(k.SubKeys) > 0 {
			return c.check(path+".", k.SubKeys, dict)
		}
	case "<array>":
		var list []any
		if list, ok = v.([]any); ok && len(k.SubKeys) > 0 {
			for i, item := range list {
				wrong = append(wrong, c.checkValue(fmt.Sprintf("%s[%d]", path, i), k.SubKeys[0], item)...)
			}
			return wrong
		}
	default:
		return []string{path + ": the schema has the unknown type " + k.Type}
	}
	allowed := k.RangeList
	if k.Type == "<string>" { // a text in an array may list its values as keys
		for _, sub := range k.SubKeys {
			allowed = append(allowed, sub.Key)
		}
	}
	switch {
	case !ok:
		return []string{fmt.Sprintf("%s: is %T, not %s", path, v, k.Type)}
	case len(allowed) > 0 && !slices.ContainsFunc(allowed, func(a any) bool { return fmt.Sprint(a) == fmt.Sprint(v) }):
		return []string{fmt.Sprintf("%s: %v is not among the allowed values", path, v)}
	}
	return nil
}

// tree decodes what we encoded without any of our own types.
func tree(t *testing.T, body []byte) map[string]any {
	t.Helper()
	v := map[string]any{}
	if err := decodePlist(body, MaxMessage, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// who are the keys that say who speaks (apple.md section 4.4). The schema leaves them out of the reports and of
// the bootstrap messages, where every device sends them and every server looks for them.
func who(dict map[string]any) (rest map[string]any) {
	rest = maps.Clone(dict)
	for _, key := range []string{"UDID", "EnrollmentID", "EnrollmentUserID", "UserID", "UserShortName", "UserLongName"} {
		delete(rest, key)
	}
	return rest
}

func (s *schema) checkMessage(name string, m *Message, dict map[string]any) []string {
	c := circumstancesOf(name)
	f, ok := s.checkIns[m.MessageType.String()]
	if !ok {
		return []string{"no schema for " + m.MessageType.String()}
	}
	keys := slices.Clone(f.PayloadKeys)
	switch m.MessageType {
	case SetBootstrapToken, GetBootstrapToken:
		dict = who(dict)
	case UserAuthenticate: // "required" is meant for the second of the two requests
		for i := range keys {
			if keys[i].Key == "DigestResponse" && m.DigestResponse == "" {
				keys[i].Presence = "optional"
			}
		}
	}
	return c.check("", keys, dict)
}

// reportKeys are those of apple.md section 6.1, which the schema does not have.
var reportKeys = []schemaKey{
	{Key: "Status", Type: "<string>", Presence: "required", RangeList: []any{"Idle", "Acknowledged", "Error", "CommandFormatError", "NotNow"}},
	{Key: "CommandUUID", Type: "<string>"},
	{Key: "ErrorChain", Type: "<array>", SubKeys: []schemaKey{{Type: "<dictionary>", SubKeys: []schemaKey{
		{Key: "ErrorCode", Type: "<integer>", Presence: "required"},
		{Key: "ErrorDomain", Type: "<string>", Presence: "required"},
		{Key: "LocalizedDescription", Type: "<string>", Presence: "required"},
		{Key: "USEnglishDescription", Type: "<string>"},
	}}}},
}

func (s *schema) checkReport(name, request string, dict map[string]any) []string {
	return circumstancesOf(name).check("", slices.Concat(reportKeys, s.commands[request].ResponseKeys), who(dict))
}

func (s *schema) checkCommand(name string, dict map[string]any) []string {
	command, _ := dict["Command"].(map[string]any)
	request, _ := command["RequestType"].(string)
	f, ok := s.commands[request]
	if !ok {
		return []string{"no schema for " + request}
	}
	inner := append([]schemaKey{{Key: "RequestType", Type: "<string>", Presence: "required"}}, f.PayloadKeys...)
	return circumstancesOf(name).check("", []schemaKey{
		{Key: "CommandUUID", Type: "<string>", Presence: "required"},
		{Key: "Command", Type: "<dictionary>", Presence: "required", SubKeys: inner},
	}, dict)
}

func (s *schema) checkProfile(dict map[string]any) []string {
	c := circumstances{os: "macOS"} // the most keys
	top := slices.Clone(s.profiles["TopLevel"].PayloadKeys)
	for i := range top {
		if top[i].Key == "PayloadContent" && dict["IsEncrypted"] == true { // as the schema says in words
			top[i].Presence = "optional"
		}
	}
	wrong := c.check("", top, dict)
	payloads, _ := dict["PayloadContent"].([]any)
	for i, v := range payloads {
		payload, _ := v.(map[string]any)
		kind, _ := payload["PayloadType"].(string)
		f, ok := s.profiles[kind]
		if !ok {
			wrong = append(wrong, "no schema for "+kind)
			continue
		}
		keys := slices.Concat(s.profiles["CommonPayloadKeys"].PayloadKeys, f.PayloadKeys)
		wrong = append(wrong, c.check(fmt.Sprintf("PayloadContent[%d].", i), keys, payload)...)
	}
	return wrong
}

// TestAPL067Schema holds everything that we send against Apple's schema: the subset in testdata and, when
// ROLLCALL_APPLE_SCHEMA names it, the whole.
func TestAPL067Schema(t *testing.T) {
	for _, dir := range []string{filepath.Join("testdata", "schema"), os.Getenv("ROLLCALL_APPLE_SCHEMA")} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			if dir == "" {
				t.Skip("ROLLCALL_APPLE_SCHEMA is not set: only the subset in testdata was used")
			}
			s := readSchema(t, dir)
			report := func(name string, wrong []string) {
				for _, w := range wrong {
					t.Errorf("%s: %s", name, w)
				}
			}
			for name, m := range messages {
				dict := tree(t, EncodeMessage(nil, m))
				if m.MessageType == NoMessageType {
					report(name, s.checkReport(name, "", dict))
				} else {
					report(name, s.checkMessage(name, m, dict))
				}
			}
			for name, r := range results {
				report(name, s.checkReport(name, r.request, tree(t, EncodeResult(nil, messages["acknowledged"], r.result))))
			}
			for name, c := range orders {
				if _, unknown := c.(Unknown); !unknown {
					report(name, s.checkCommand(name, tree(t, EncodeCommand(nil, order, c))))
				}
			}
			for name, r := range replies() {
				if r.Kind == protocol.Work {
					report(name, s.checkCommand("reply-mac", tree(t, EncodeReply(nil, r))))
				}
			}
			report("bootstrap token", circumstances{os: "macOS"}.check("", s.checkIns["GetBootstrapToken"].ResponseKeys,
				tree(t, EncodeReply(nil, &protocol.Reply{Kind: protocol.Escrow, Escrow: []byte{1}}))))
			for name, p := range profiles {
				report(name, s.checkProfile(tree(t, EncodeProfile(p))))
			}
			report("MachineInfo", circumstances{os: "iOS"}.check("", s.machineInfo.PayloadKeys, tree(t, EncodeMachineInfo(machine))))
			for name, f := range forbidden {
				keys := s.errors[f.Code].PayloadKeys
				report(name, circumstances{os: "iOS"}.check("", keys, tree(t, f.Plist())))
				object := map[string]any{}
				if err := json.Unmarshal(f.JSON(), &object); err != nil {
					t.Fatal(err)
				}
				report(name, circumstances{os: "iOS"}.check("", keys, object))
			}
		})
	}
}

// TestSchemaChecker plants a fault of each kind: a checker that cannot fail proves nothing.
func TestSchemaChecker(t *testing.T) {
	s := readSchema(t, filepath.Join("testdata", "schema"))
	message := func(name string) map[string]any { return tree(t, EncodeMessage(nil, messages[name])) }
	profile := func(change func(dict map[string]any)) []string {
		dict := tree(t, EncodeProfile(enrolment()))
		change(dict)
		return s.checkProfile(dict)
	}
	payload := func(dict map[string]any, i int) map[string]any {
		return dict["PayloadContent"].([]any)[i].(map[string]any)
	}
	command := func(c Command, change func(command map[string]any)) []string {
		dict := tree(t, EncodeCommand(nil, order, c))
		change(dict["Command"].(map[string]any))
		return s.checkCommand("command", dict)
	}
	changed := func(name string, key string, v any) []string {
		dict := message(name)
		if dict[key] = v; v == nil {
			delete(dict, key)
		}
		return s.checkMessage(name, messages[name], dict)
	}
	for _, tt := range []struct {
		name string
		got  []string
		want string
	}{
		{"required key missing", changed("tokenupdate-ios", "PushMagic", nil), "PushMagic: is required"},
		{"wrong type", changed("tokenupdate-ios", "Token", "text"), "Token: is string, not <data>"},
		{"unknown key", changed("tokenupdate-ios", "pushMagic", "x"), "pushMagic: is unknown"},
		{"value outside the list", changed("gettoken-mac", "TokenServiceType", "com.example"), "TokenServiceType: com.example is not among the allowed values"},
		{"for another OS", changed("authenticate-ios", "ModelName", "iPhone"), "ModelName: is not for this kind of device"},
		{"for the other channel", changed("tokenupdate-mac", "NotOnConsole", true), "NotOnConsole: is not for this kind of device"},
		{"required on the user channel", changed("tokenupdate-user-mac", "NotOnConsole", nil), "NotOnConsole: is required"},
		{"for another enrolment", changed("authenticate-byod", "SerialNumber", "x"), "SerialNumber: is not for this kind of device"},
		{"required of a user enrolment", changed("tokenupdate-byod", "EnrollmentID", nil), "EnrollmentID: is required"},
		{"argument missing", command(RemoveProfile{"x"}, func(c map[string]any) { delete(c, "Identifier") }), "Command.Identifier: is required"},
		{"unknown query", command(DeviceInformation{[]string{"Colour"}}, func(map[string]any) {}), "Command.Queries[0]: Colour is not among the allowed values"},
		{"unknown command", command(Unknown{"Nothing"}, func(map[string]any) {}), "no schema for Nothing"},
		{"in a list", s.checkReport("x", "CertificateList", map[string]any{"Status": "Acknowledged", "CertificateList": []any{
			map[string]any{"CommonName": "x", "IsIdentity": "yes", "Data": []byte{1}},
		}}), "CertificateList[0].IsIdentity: is string, not <boolean>"},
		{"status", s.checkReport("x", "", map[string]any{"Status": "Done"}), "Status: Done is not among the allowed values"},
		{"top level", profile(func(d map[string]any) { d["PayloadVersion"] = uint64(2) }), "PayloadVersion: 2 is not among the allowed values"},
		{"payload", profile(func(d map[string]any) { delete(payload(d, 2), "Topic") }), "PayloadContent[2].Topic: is required"},
		{"one level down", profile(func(d map[string]any) { payload(d, 1)["PayloadContent"].(map[string]any)["KeyType"] = "RSA" }), "PayloadContent[1].PayloadContent.KeyType: is unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if len(tt.got) != 1 || tt.got[0] != tt.want {
				t.Errorf("got %q, want %q", tt.got, tt.want)
			}
		})
	}
}

// TestSchemaSubset: what is in testdata is Apple's, byte for byte.
func TestSchemaSubset(t *testing.T) {
	whole := os.Getenv("ROLLCALL_APPLE_SCHEMA")
	if whole == "" {
		t.Skip("ROLLCALL_APPLE_SCHEMA is not set")
	}
	subset := filepath.Join("testdata", "schema")
	err := filepath.Walk(subset, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(subset, path)
		ours, err1 := os.ReadFile(path)
		theirs, err2 := os.ReadFile(filepath.Join(whole, rel))
		if err1 != nil || err2 != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("%s differs from the whole schema (%v, %v)", rel, err1, err2)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
