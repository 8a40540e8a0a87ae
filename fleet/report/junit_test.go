package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteJUnit(t *testing.T) {
	limits := []Limit{{Limit: "checkins.p99 < 50ms", Got: "11ms", OK: true}, {Limit: "checkins.failed == 0", Got: "3", OK: false}, {Limit: "moved.p95 < 1d", Got: NotApplicable, OK: true}}
	for _, tt := range []struct {
		verdict                          string
		tests, failures, errors, skipped int
	}{
		{OK, 5, 1, 0, 1},
		{Failed, 5, 2, 0, 1},
		{Invalid, 5, 0, 1, 3},
		{Partial, 5, 0, 1, 3},
	} {
		r := &Result{Command: "fleet run", Verdict: tt.verdict, Reasons: []string{"<why> & \u202e"}, Limits: limits, Invariants: Invariants{Checked: 7}, WallSeconds: 1.5}
		var b bytes.Buffer
		if err := WriteJUnit(&b, r); err != nil {
			t.Fatal(err)
		}
		var all struct {
			Suites []struct {
				Tests    int    `xml:"tests,attr"`
				Failures int    `xml:"failures,attr"`
				Errors   int    `xml:"errors,attr"`
				Skipped  int    `xml:"skipped,attr"`
				Time     string `xml:"time,attr"`
				Cases    []struct {
					Class string `xml:"classname,attr"`
				} `xml:"testcase"`
			} `xml:"testsuite"`
		}
		if err := xml.Unmarshal(b.Bytes(), &all); err != nil || len(all.Suites) != 1 {
			t.Fatalf("%v\n%s", err, &b)
		}
		s := all.Suites[0]
		if s.Tests != tt.tests || s.Failures != tt.failures || s.Errors != tt.errors || s.Skipped != tt.skipped || len(s.Cases) != tt.tests || s.Time != "1.500" {
			t.Errorf("%s: %+v", tt.verdict, s)
		}
		if strings.Contains(b.String(), "\u202e") || s.Cases[0].Class != "rollcall.fleet.run" {
			t.Errorf("%s", &b)
		}
	}
}

// A file is there whole or as it was (HST-125).
func TestHST125WriteFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	write := func(text string, err error) error {
		return WriteFile(name, func(w io.Writer) error {
			io.WriteString(w, text)
			return err
		})
	}
	if err := write("first", nil); err != nil {
		t.Fatal(err)
	}
	if err := write("half", errors.New("full")); err == nil {
		t.Error("a failed write was not told")
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "first" {
		t.Errorf("%q (%v)", b, err)
	}
	if list, _ := os.ReadDir(filepath.Dir(name)); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
	if err := Regular(os.DevNull); err == nil {
		t.Error("a device would be replaced")
	}
}
