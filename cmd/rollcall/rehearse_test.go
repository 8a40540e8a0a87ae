//go:build !agentonly

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"rollcall/fleet/population"
	"rollcall/fleet/report"
)

// Ctrl-C in the first of two rehearsals side by side: what was played of it, in all places that were asked for (HST-125).
func TestHST125BesideCtrlC(t *testing.T) {
	p, err := loadPlan("lab")
	if err == nil {
		p, err = p.WithDevices(20)
	}
	if err != nil {
		t.Fatal(err)
	}
	pop, err := population.Make(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := &rehearseFlags{report: filepath.Join(dir, "report"), csv: filepath.Join(dir, "act.csv")}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	cmd := rehearseCommand()
	cmd.SetContext(ctx)
	var out, errs bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	if err := f.besides(cmd, []variant{{"a", "a", p, pop, false}, {"b", "b", p, pop, false}}, "About both.", pop, time.Now()); exitCode(err) != 130 {
		t.Errorf("exit code %d, want 130: %v", exitCode(err), err)
	}
	if said := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(said, `About both. This is of "a" alone, the first of 2 rehearsals`) {
		t.Errorf("it does not say of which rehearsal this is: %.500s", said)
	}
	var r report.Result
	if err := json.Unmarshal(read(t, filepath.Join(f.report, report.ResultFile)), &r); err != nil || r.Verdict != report.Partial {
		t.Errorf("result.json: %s, %v", r.Verdict, err)
	}
	for _, name := range []string{f.csv, filepath.Join(f.report, report.PageFile), filepath.Join(f.report, report.ListFile)} {
		if st, err := os.Stat(name); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", filepath.Base(name), err)
		}
	}
}

// No file is written over another, and what cannot be written is found out before anything is played (HST-125).
func TestHST125Places(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("there"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		f    rehearseFlags
		want string // of the error; empty: none
	}{
		{rehearseFlags{report: at("r"), csv: at("r/list.csv"), log: at("log")}, ""},
		{rehearseFlags{csv: at("x"), log: at("./x"), force: true}, "--log and --csv would both write"},
		{rehearseFlags{report: at("m"), csv: at("m/devices.csv")}, "--report and --csv would both write"},
		{rehearseFlags{report: at("m"), log: at("m/report.html")}, "--report and --log would both write"},
		{rehearseFlags{csv: at("there")}, "--force replaces it"},
		{rehearseFlags{csv: at("there"), force: true}, ""},
		{rehearseFlags{csv: dir, force: true}, "is a folder"},
		{rehearseFlags{log: os.DevNull, force: true}, "a device or a pipe"},
		{rehearseFlags{csv: os.DevNull, force: true}, "a device or a pipe"},
		{rehearseFlags{report: at("m"), log: at("nowhere/log")}, "--log: "},
		{rehearseFlags{report: at("m"), csv: at("nowhere/csv")}, "--csv: "},
	} {
		err := x.f.places()
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: %v, want %q", x.f, err, x.want)
		}
		if exists(at("m")) {
			t.Errorf("%+v: refused, and the report's folder was made", x.f)
		}
	}
	if left, _ := filepath.Glob(at(".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// sameEventLog demands that two results are of stories whose event logs are the same, byte for byte.
func sameEventLog(ts *testscript.TestScript, neg bool, args []string) {
	var of [2]report.Result
	for i := range of {
		if err := json.Unmarshal([]byte(ts.ReadFile(args[i])), &of[i]); err != nil {
			ts.Fatalf("%s: %v", args[i], err)
		}
	}
	if same := of[0].EventLogSHA256 == of[1].EventLogSHA256; same == neg || of[0].EventLogSHA256 == "" {
		ts.Fatalf("event logs %s and %s", of[0].EventLogSHA256, of[1].EventLogSHA256)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
