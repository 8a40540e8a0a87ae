package android

import (
	"bytes"
	"reflect"
	"testing"
)

// matches holds what a template takes against the reader of all messages: it is read as the one that was kept, but for id and time.
func matches(t *testing.T, kept, message []byte) bool {
	t.Helper()
	var was, is CheckIn
	var form Template
	if Decode(kept, &was) != nil || !form.Keep(kept) {
		return false
	}
	id, ok := form.Matches(message)
	if !ok {
		return false
	}
	if err := Decode(message, &is); err != nil || is.CheckIn != string(id) {
		t.Fatalf("%s\nis taken for\n%s\nand is read as %q, %v", message, kept, is.CheckIn, err)
	}
	is.CheckIn, is.Time = was.CheckIn, was.Time
	if !reflect.DeepEqual(is, was) {
		t.Fatalf("%s\nis taken for\n%s", message, kept)
	}
	return true
}

func TestTemplate(t *testing.T) {
	for _, name := range []string{"checkin.json", "checkin_steady.json"} {
		kept := compact(t, golden(t, name))
		if !matches(t, kept, kept) {
			t.Fatalf("%s is not taken for itself", name)
		}
		for i := range kept {
			matches(t, kept, kept[:i])
			for _, c := range []byte(`"x]0\` + "\xff") {
				changed := bytes.Clone(kept)
				changed[i] = c
				matches(t, kept, changed)
			}
		}
	}
	const other = `{"protocol":1,"checkin":"c-another_one","round":1,"device":"d-1","reason":"SCHEDULE","time":"2027-01-02T03:04:05.678901Z",`
	if next := bytes.Replace(steadyBody, steadyBody[:bytes.Index(steadyBody, []byte(`"epoch"`))], []byte(other), 1); !matches(t, steadyBody, next) {
		t.Errorf("%s\nis not taken for\n%s", next, steadyBody)
	}
	for _, no := range []string{``, `"`, `2027-02-30T03:04:05Z`, `2027-01-02T03:04:05Z","time":"2027-01-02T03:04:05Z`} {
		at := bytes.Index(steadyBody, []byte(clock)) + len(clock)
		end := at + bytes.IndexByte(steadyBody[at:], '"')
		if changed := bytes.Join([][]byte{steadyBody[:at], steadyBody[end:]}, []byte(no)); matches(t, steadyBody, changed) {
			t.Errorf("%s\nis taken for a check-in", changed)
		}
	}
	var form Template
	if form.Keep([]byte(`{"checkin":"c","protocol":1}`)) || form.Keep([]byte(opening+`c"}`)) || form.Keep(nil) {
		t.Error("a template of what is written otherwise")
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(steadyBody, steadyBody)
	f.Add(golden(f, "checkin.json"), golden(f, "checkin_steady.json"))
	f.Add([]byte(steady+`,"x":{"time":"y"},"time":"2026-02-20T00:00:00Z"}`), []byte(steady+`,"x":{"time":"2026-02-20T00:00:00Z"},"time":"2026-02-20T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, kept, message []byte) { matches(t, kept, message) })
}
