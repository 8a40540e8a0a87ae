package conformance

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/report"
)

var update = flag.Bool("update", false, "rewrite golden files")

// sample is a result with each outcome once.
func sample() *Result {
	finding := func(id string, o Outcome, reason string) Finding {
		s, _ := Find(id)
		f := newFinding(&s)
		f.Outcome, f.Reason, f.Seconds = o, reason, 0.25
		return f
	}
	r := &Result{
		Server: "https://mdm.example.org", Adapter: "nanomdm", Suites: []Suite{Apple, Gap}, Enrolled: 7, Left: []string{"0000C0F0-0000000000000001: CheckOut was answered 500 Internal Server Error"},
		Seconds: 3.5, Findings: []Finding{
			finding("APL-050", Pass, ""), finding("APL-053", Fail, "a report of an unknown command was answered 404 \x1b[31mNot Found"), finding("APL-104", Fail, "ten commands made 10 pushes"),
			finding("APL-100", NotApplicable, "this run does not see the server's pushes"), finding("AUTH-33", Unasked, "no device could be enrolled"),
			finding("APL-023", Fail, "taken over"), finding("APL-001", Pass, ""),
		},
		Others: Others{Checked: true, Devices: 2},
	}
	r.Findings[1].Exchange = &Exchange{
		What: "device A: Acknowledged of C0F0", Request: "PUT https://mdm.example.org/mdm", Header: map[string]string{"Content-Type": "application/x-apple-aspen-mdm"},
		Sent: "<plist><dict/></plist>", Status: 404, Answer: map[string]string{"Content-Type": "text/html"}, Received: "<script>alert(1)</script>",
	}
	r.Findings[2].Without = []string{"that a push which was answered 429 comes again: nobody waits for minutes here"}
	r.Findings[6].Seen = []string{"a device of ios hears: Idle 503, Retry-After \x1b60"}
	r.Findings[4].Exchange = &Exchange{What: "device A: Authenticate", Request: "PUT https://mdm.example.org/mdm", Error: "connection refused"}
	r.Apply([]Deviation{{ID: "APL-023", Reason: "any certificate is taken: docs/security.md"}, {ID: "APL-001", Reason: "said to fail"}})
	return r
}

func TestGolden(t *testing.T) {
	r := sample()
	for name, write := range map[string]func(*bytes.Buffer) error{
		"sample.txt":  func(b *bytes.Buffer) error { return r.Summary(b) },
		"sample.xml":  func(b *bytes.Buffer) error { return r.JUnit(b) },
		"sample.html": func(b *bytes.Buffer) error { return r.Page(b) },
		"sample.svg":  func(b *bytes.Buffer) error { return r.Badge(b) },
		"sample.json": func(b *bytes.Buffer) error { return report.WriteJSON(b, r.Report()) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name)
		if *update { // then read the diff before you keep it
			if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s changed (%v); got:\n%s", golden, err, b.Bytes())
		}
		if bytes.Contains(b.Bytes(), []byte("\x1b")) {
			t.Errorf("%s: a terminal would obey a stranger's text", name)
		}
	}
}

func TestOutputsAreWellFormed(t *testing.T) {
	r := sample()
	var b bytes.Buffer
	if err := r.JUnit(&b); err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Suites []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Errors   int    `xml:"errors,attr"`
			Skipped  int    `xml:"skipped,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &suites); err != nil || len(suites.Suites) != 3 {
		t.Fatalf("%d suites, %v", len(suites.Suites), err)
	}
	if run := suites.Suites[2]; run.Name != "rollcall conform run" || run.Tests != 2 || run.Errors != 1 {
		t.Errorf("%+v, want the device that could not be taken out", run)
	}
	apple := suites.Suites[0]
	if apple.Name != "rollcall conform apple" {
		apple = suites.Suites[1]
	}
	if apple.Tests != 6 || apple.Failures != 2 || apple.Skipped != 3 {
		t.Errorf("%+v", apple)
	}
	b.Reset()
	if err := r.Page(&b); err != nil || strings.Contains(b.String(), "<script>") {
		t.Errorf("the page runs a stranger's script (%v)", err)
	}
	out, err := json.Marshal(r.Report())
	if err != nil || !strings.HasPrefix(string(out), `{"version":1,"command":"conform","verdict":"failed"`) {
		t.Errorf("%s, %v", out, err)
	}
}

// TestKnownAndNotAsked: a deviation that keeps a statement from being asked is known like one that fails it.
func TestKnownAndNotAsked(t *testing.T) {
	r := &Result{Findings: []Finding{{ID: "APL-055", Level: "must", Outcome: Unasked, Reason: "Idle was answered 500"}}}
	r.Apply([]Deviation{{ID: "APL-055", Reason: "ticket 7"}})
	if f := r.Findings[0]; f.Outcome != Known || f.Reason != "ticket 7 (not asked: Idle was answered 500)" || r.Err() != nil {
		t.Errorf("%+v, %v", f, r.Err())
	}
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		outcome Outcome
		id      string
		change  func(*Result)
		want    string
	}{
		{"kept", Pass, "APL-050", nil, report.OK},
		{"a must fails", Fail, "APL-050", nil, report.Failed},
		{"a should fails", Fail, "APL-104", nil, report.OK},
		{"known", Known, "APL-050", nil, report.OK},
		{"an unexpected pass", Unexpected, "APL-104", nil, report.Failed},
		{"not asked", Unasked, "APL-050", nil, report.Invalid},
		{"interrupted", Unasked, "APL-050", func(r *Result) { r.Interrupted = true }, report.Partial},
		{"a device is left behind", Pass, "APL-050", func(r *Result) { r.Left = []string{"X: no"} }, report.Invalid},
		{"a device is left behind by a run that was interrupted", Pass, "APL-050", func(r *Result) { r.Left, r.Interrupted = []string{"X: no"}, true }, report.Partial},
		{"a device is left behind and a must fails", Fail, "APL-050", func(r *Result) { r.Left = []string{"X: no"} }, report.Failed},
		{"a user is left behind", Pass, "APL-050", func(r *Result) { r.Made = "user conform-1: no" }, report.Invalid},
		{"others changed", Pass, "APL-050", func(r *Result) { r.Others.Changed = []string{"X"} }, report.Failed},
	} {
		s, _ := Find(tt.id)
		f := newFinding(&s)
		f.Outcome = tt.outcome
		r := &Result{Findings: []Finding{f}}
		if tt.change != nil {
			tt.change(r)
		}
		if got := r.Report().Verdict; got != tt.want {
			t.Errorf("%s: verdict %s, want %s", tt.name, got, tt.want)
		}
		if reasons := strings.Join(r.Report().Reasons, " "); (len(r.Left) > 0) != strings.Contains(reasons, "1 devices of this run could not be taken out again") {
			t.Errorf("%s: reasons %q", tt.name, reasons)
		}
		if err := r.Err(); (err == nil) != (tt.want == report.OK) {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
}

func TestReadKnown(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	list, err := ReadKnown(strings.NewReader("- {id: APL-050, reason: a & b, until: 2026-03-01}\n- id: APL-053\n  reason: still\n  until: \"2026-03-03\"\n- {id: HST-001, reason: for good}\n"), now)
	if err != nil || len(list) != 2 || list[0].ID != "APL-053" || list[1].ID != "HST-001" {
		t.Errorf("%+v, %v; want the one whose day has come left out", list, err)
	}
	if list, err := ReadKnown(strings.NewReader(""), now); err != nil || len(list) != 0 {
		t.Errorf("nothing is an empty list: %v, %v", list, err)
	}
	for text, want := range map[string]string{
		"- {id: APL-999, reason: x}":                             "entry 1: there is no statement",
		"- {id: APL-050}":                                        "entry 1: APL-050 has no reason",
		"- {id: APL-050, reason: x, until: tomorrow}":            "want a day",
		"- {id: APL-050, reason: x}\n- {id: APL-050, reason: y}": "entry 2: APL-050 is there twice",
		"- {id: APL-050, reason: x, why: y}":                     "unknown field",
		"a: b":                                                   "want a list",
		"- &a {id: APL-050, reason: x}\n- *a":                    "aliases",
		strings.Repeat("#", maxKnown+1):                          "more than",
	} {
		if _, err := ReadKnown(strings.NewReader(text), now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

// FuzzReadKnown: a file of a stranger is read or refused.
func FuzzReadKnown(f *testing.F) {
	f.Add("- {id: APL-050, reason: x, until: 2026-03-01}")
	f.Add("- &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ReadKnown(strings.NewReader(text), time.Unix(0, 0))
		for _, d := range list {
			if _, known := Find(d.ID); err == nil && (!known || d.Reason == "") {
				t.Errorf("%+v", d)
			}
		}
	})
}
