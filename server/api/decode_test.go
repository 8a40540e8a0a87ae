package api

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestHST014StrictDecoding(t *testing.T) {
	for _, tt := range []struct{ name, body, field, message string }{
		{"unknown field", `{"users":[{"upn":"a@x"},{"upn":"b@x","upnn":1}]}`, "users[1].upnn", "unknown field"},
		{"__proto__", `{"__proto__":{"a":1}}`, "__proto__", "unknown field"},
		{"given twice", `{"users":[],"users":[]}`, "users", "given twice"},
		{"given twice inside", `{"users":[{"upn":"a@x","upn":"b@x"}]}`, "users[0].upn", "given twice"},
		{"HST-007 another case", `{"Users":[]}`, "Users", "unknown field"},
		{"HST-007 look-alike", `{"useгs":[]}`, "useгs", "unknown field"},
		{"trailing garbage", `{"users":[]} {}`, "", "something follows"},
		{"trailing text", `{"users":[]}x`, "", "something follows"},
		{"wrong type", `{"users":[{"upn":7}]}`, "users.upn", "cannot be a number"},
		{"cut", `{"users":[{"upn":"a`, "users[0].upn", "not JSON"},
		{"no object", `null`, "", "want a JSON object"},
		{"empty", ``, "", "want a JSON object"},
		{"HST-004 depth", `{"users":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, "users" + strings.Repeat("[0]", 64), "nested too deeply"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var in putUsers
			err := decodeStrict([]byte(tt.body), &in)
			bad, ok := errors.AsType[*invalid](err)
			if !ok || bad.field != tt.field || !strings.Contains(bad.message, tt.message) {
				t.Errorf("decodeStrict = %v, want field %q, message %q", err, tt.field, tt.message)
			}
		})
	}
	t.Run("a word that a type does not know", func(t *testing.T) {
		var in setUp
		err := decodeStrict([]byte(`{"authority":"nobody"}`), &in)
		if bad, ok := errors.AsType[*invalid](err); !ok || bad.field != "authority" || !strings.Contains(bad.message, "office365") {
			t.Errorf("decodeStrict = %v, want field authority and the words it knows", err)
		}
	})
	t.Run("many keys", func(t *testing.T) {
		body := `{` + strings.Repeat(`"x":1,`, 1_000_000) + `"y":1}`
		var in putUsers
		if err := decodeStrict([]byte(body), &in); err == nil {
			t.Error("a million unknown keys were taken")
		}
	})
	t.Run("what is right is taken", func(t *testing.T) {
		var in putUsers
		if err := decodeStrict([]byte(`{"users":[{"upn":"a@x","groups":["g"],"basic_licence":true}]}`), &in); err != nil {
			t.Fatal(err)
		}
		if u := in.Users[0]; u.UPN != "a@x" || u.Groups[0] != "g" || u.BasicLicence == nil || !*u.BasicLicence {
			t.Errorf("decoded %+v", u)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"users":[{"upn":"a@x","groups":["g"]}]}`, `{"users":null}`, `[]`, `{"users":[{}]} `, `{"authority":"intune"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in putUsers
		if decodeStrict(body, &in) != nil {
			return
		}
		again, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var twice putUsers
		if err := decodeStrict(again, &twice); err != nil {
			t.Fatalf("%s was taken, and then %s was not: %v", body, again, err)
		}
	})
}
