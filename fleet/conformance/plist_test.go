package conformance

import (
	"reflect"
	"strings"
	"testing"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

func TestReadPlist(t *testing.T) {
	list := func(inside string) string {
		return `<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd"><plist version="1.0">` + inside + "</plist>\n"
	}
	for name, tt := range map[string]struct {
		in   string
		want dict
		err  string
	}{
		"everything": {
			list("<dict><key>s</key><string>a &amp; b</string><key>i</key><integer>-7</integer><key>r</key><real>1.5</real><key>t</key><true/><key>f</key><false/>" +
				"<key>d</key><data> AAEC\n</data><key>a</key><array><string/><dict><key>x</key><integer>1</integer></dict></array></dict>"),
			dict{"s": "a & b", "i": int64(-7), "r": 1.5, "t": true, "f": false, "d": []byte{0, 1, 2}, "a": []any{"", dict{"x": int64(1)}}},
			"",
		},
		"empty":        {list("<dict/>"), dict{}, ""},
		"twice":        {list("<dict><key>a</key><true/><key>a</key><true/></dict>"), nil, `key "a" is there twice`},
		"no value":     {list("<dict><key>a</key></dict>"), nil, `key "a" has no value`},
		"no key":       {list("<dict><true/></dict>"), nil, "where a key is due"},
		"array":        {list("<array/>"), nil, "holds no dictionary"},
		"two roots":    {list("<dict/><dict/>"), nil, "behind the dictionary"},
		"behind":       {list("<dict/>") + list("<dict/>"), nil, "behind"},
		"binary":       {"bplist00", nil, "between elements"},
		"html":         {"<html><body/></html>", nil, "the root is no plist"},
		"text between": {list("<dict>x</dict>"), nil, "between elements"},
		"cut":          {list("<dict>")[:150], nil, ""},
		"element":      {list("<dict><key>a</key><null/></dict>"), nil, "none of a property list"},
		"markup":       {list("<dict><key>a</key><string><b/></string></dict>"), nil, "inside of a text"},
		"deep":         {list("<dict><key>a</key>" + strings.Repeat("<array>", 80) + strings.Repeat("</array>", 80) + "</dict>"), nil, "more than 64 levels"},
		"entity":       {`<!DOCTYPE p [<!ENTITY e "x">]>` + list("<dict><key>a</key><string>&e;</string></dict>"), nil, "entity"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readPlist([]byte(tt.in))
			if tt.want == nil {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%v, %v, want %q", got, err, tt.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%#v, %v, want %#v", got, err, tt.want)
			}
		})
	}
}

// FuzzReadPlist: it panics on nothing, and what rollcall's gate reads too is the same to both.
func FuzzReadPlist(f *testing.F) {
	m := apple.Message{MessageType: apple.TokenUpdate, UDID: "U", Topic: "t", Token: []byte("token"), PushMagic: "m"}
	f.Add(apple.EncodeMessage(nil, &m))
	f.Add(apple.EncodeResult(nil, &apple.Message{UDID: "U", Status: protocol.Acknowledged, CommandUUID: "1"}, &apple.Result{QueryResponses: map[string]any{"a": 1.5, "b": []any{true}}}))
	f.Add([]byte("<plist><dict><key>Status</key><string>Idle</string></dict></plist>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := readPlist(body)
		var m apple.Message
		if err != nil || apple.DecodeMessage(body, &m) != nil {
			return
		}
		if d.text("UDID") != m.UDID || d.text("CommandUUID") != m.CommandUUID || m.MessageType != apple.NoMessageType && d.text("MessageType") != m.MessageType.String() {
			t.Errorf("this reader reads %v, the gate %+v", d, m)
		}
	})
}

func TestSchemaOf(t *testing.T) {
	keys := schemas()["CertificateList"].result
	item := func(identity any) dict {
		return dict{"CertificateList": []any{dict{"CommonName": "x", "IsIdentity": identity, "Data": []byte{1}}}, "Status": "Acknowledged"}
	}
	for name, tt := range map[string]struct {
		in   dict
		want string
	}{
		"right":   {item(true), ""},
		"type":    {item("yes"), "CertificateList.*.IsIdentity is string, want boolean"},
		"missing": {dict{"CertificateList": []any{dict{"CommonName": "x", "Data": []byte{1}}}}, "key CertificateList.*.IsIdentity is missing"},
		"whole":   {dict{}, "key CertificateList is missing"},
		"array":   {dict{"CertificateList": dict{}}, "CertificateList is dictionary, want array"},
	} {
		if got := tt.in.wrong(keys, ""); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	if got := (dict{"RequestType": "DeviceInformation", "Querys": []any{}}).unknown(schemas()["DeviceInformation"].request, "RequestType"); got != "Querys" {
		t.Errorf("unknown: %q, want Querys", got)
	}
}
