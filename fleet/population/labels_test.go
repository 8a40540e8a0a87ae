package population

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"rollcall/fleet/plan"
)

// TestHST122Labels: a label of one's own that cannot mean anything is named with its line.
func TestHST122Labels(t *testing.T) {
	good := "{\n \"Managed by: Office 365\": \"microsoft365ManagedMdm\",\n \"OS: iPhone OS\": \"ios\"\n}\n"
	own, err := ReadLabels("own.json", []byte(good))
	if want := map[string]string{"Managed by: Office 365": "microsoft365ManagedMdm", "OS: iPhone OS": "ios"}; err != nil || !maps.Equal(own, want) {
		t.Errorf("%v, %v", own, err)
	}
	for _, tt := range []struct{ text, field, nearest string }{
		{"{\n\"Managed by: O365\":\n\"microsoft365ManagedMDm2\"}", "Managed by: O365", "microsoft365managedmdm"},
		{"{\n\n\"Colour: red\": \"x\"}", "Colour: red", ""},
		{"{\n\n\"Intune\": \"mdm\"}", "Intune", ""},
		{"{\"OS: a\": \"ios\",\n\n\"OS: a\": \"macos\"}", "OS: a", ""},
		{"{\n\n\"OS: a\": 3}", "OS: a", ""},
		{"{\n\n\"OS: a\": {}}", "OS: a", ""},
		{"\n\n[]", "", ""},
		{"{\n\n\"OS: a\"", "OS: a", ""},
		{"{\n\n\"OS: a\": \"ios\"", "", ""},
		{"{}\n\n{}", "", ""},
	} {
		_, err := ReadLabels("own.json", []byte(tt.text))
		e, ok := errors.AsType[*plan.Error](err)
		if !ok || e.File != "own.json" || e.Line != 3 || e.Field != tt.field || e.Nearest != tt.nearest || e.Rule != "HST-122" {
			t.Errorf("%q: %v, want line 3, field %q, nearest %q", tt.text, err, tt.field, tt.nearest)
		}
	}
}

// A label that nothing knows is told with the place where it is first.
func TestHST122UnknownLabel(t *testing.T) {
	const head = "Device ID,Enrollment date,Last check-in,Managed by,Ownership,OS,Primary user UPN\n"
	const rest = ",2026-01-01T00:00:00Z,2026-10-01T00:00:00Z,Intune,Personal,"
	name := filepath.Join(t.TempDir(), "a.csv")
	must(t, os.WriteFile(name, []byte(head+"d1"+rest+"Windows,a@example.com\nd2"+rest+"PalmOS,a@example.com\nd3"+rest+"PalmOS,a@example.com\n"), 0o600))
	p, err := Import(Options{Path: name})
	must(t, err)
	i := slices.IndexFunc(p.Doubts, func(d Doubt) bool { return d.Kind == LabelUnknown })
	if i < 0 {
		t.Fatalf("%v: no doubt about the label", p.Doubts)
	}
	if got, want := p.Doubts[i].Text.String(), "the label OS: PalmOS is not known (2 rows, first at a.csv:3:62)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzReadLabels(f *testing.F) {
	f.Add([]byte(`{"Managed by: Office 365": "microsoft365ManagedMdm"}`))
	f.Add([]byte(`{"OS: a": "ios", "OS: a": "ios"}`))
	f.Add([]byte("{\"\xff: a\": [[[["))
	f.Fuzz(func(t *testing.T, b []byte) {
		own, err := ReadLabels("own.json", b)
		if err != nil {
			return
		}
		if _, err := newLabels(own); err != nil {
			t.Errorf("%q was read and is not taken: %v", b, err)
		}
	})
}
