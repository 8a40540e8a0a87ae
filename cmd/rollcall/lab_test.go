//go:build !agentonly

package main

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/fleet"
	"rollcall/fleet/ledger"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/fleet/report"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server/delivery"
)

// A played lab is one that ran in this process.
type played struct {
	run    *rehearsal.Run
	result *report.Result
	story  *report.Story
}

// playLab plays a plan, as f says, until ctx ends.
func playLab(t testing.TB, ctx context.Context, p *plan.Plan, f labFlags, progress func(fleet.Progress)) played {
	t.Helper()
	if f.clock == "" {
		f.clock = "driven"
	}
	p, err := f.fit(p)
	if err != nil {
		t.Fatal(err)
	}
	run, result, story, err := f.play(ctx, p, population.New(p), false, progress)
	if err != nil {
		t.Fatal(err)
	}
	return played{run, result, story}
}

func days(t *testing.T) *plan.Plan {
	t.Helper()
	p, err := plan.Load("testdata/days.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// One plan and seed tell the same history of each device whatever the network and the machine do in between, and so
// does a server that restarts in the middle: nothing that it acknowledged is lost (HST-124, I3). What the story is made
// of has happened, and is counted.
func TestLab(t *testing.T) {
	once := playLab(t, t.Context(), days(t), labFlags{}, nil)
	t.Run("holds", func(t *testing.T) { holds(t, once) })
	t.Run("happened", func(t *testing.T) { happened(t, once) })
	t.Run("counted", func(t *testing.T) { counted(t, once) })
	t.Run("kept", func(t *testing.T) { keptAndReported(t, once) })
	t.Run("HST-124 again", func(t *testing.T) {
		defer func(before *time.Location) { time.Local = before }(time.Local)
		time.Local = time.FixedZone("elsewhere", 5*3600+1800)
		again := playLab(t, t.Context(), days(t), labFlags{parallel: 3, language: lang.Dutch}, nil)
		same(t, once, again)
		sameLog(t, once, again)
		t.Run("in Dutch", func(t *testing.T) { inDutch(t, again) })
	})
	t.Run("I3 restarted", func(t *testing.T) {
		restarted := playLab(t, t.Context(), days(t), labFlags{restart: true}, nil)
		same(t, once, restarted)
		if !slices.ContainsFunc(restarted.run.Fleet.Acts(), func(a fleet.Act) bool { return a.Name == "The server is restarted" }) {
			t.Error("the server was not restarted")
		}
		sameLog(t, restarted, playLab(t, t.Context(), days(t), labFlags{restart: true}, nil))
	})
}

func holds(t *testing.T, p played) {
	r := p.result
	if r.Verdict != report.OK || r.Err() != nil || len(r.Reasons) > 0 {
		t.Errorf("verdict %s: %v", r.Verdict, r.Reasons)
	}
	if d := &r.Devices; d.Total != 23 || d.Enrolled != 23 || d.Enrolling+d.LeftOut+d.NotModelled+d.MustEnrol != 0 {
		t.Errorf("devices %+v, want all 23 enrolled", d)
	}
	if l := r.Sections["ledger"].(ledger.Result); l.Faults() != 0 || l.Ordered < 50 || l.Profiles < 20 || l.Retries == 0 {
		t.Errorf("ledger %+v: %v", l.Counts, l.Findings)
	}
	if i := r.Invariants; i.Checked < 1000 || i.Violated != 0 {
		t.Errorf("invariants %+v", i)
	}
	if c := r.CheckIns; c.Offered == 0 || c.Offered != c.Started || c.Started != c.Done+c.Failed+c.Refused {
		t.Errorf("check-ins %+v do not add up", c)
	}
	if r.VirtualSeconds != (6 * 24 * time.Hour).Seconds() {
		t.Errorf("%v virtual seconds", r.VirtualSeconds)
	}
	for _, row := range p.story.Devices.Rows {
		if what := fmt.Sprint(row[3]); !strings.HasSuffix(what, "failed") { // a profile may fail for good
			t.Errorf("to look at: %v", row)
		}
	}
}

// happened looks for everything that the plan brings about, where it shows.
func happened(t *testing.T, p played) {
	type sight struct {
		side   rehearsal.Side
		what   string
		detail string // a part of it
	}
	lines := p.run.Log.Lines()
	for _, s := range []sight{
		{rehearsal.OfServer, string(delivery.WhatEnrolled), ""},
		{rehearsal.OfServer, string(delivery.WhatRegistered), "intune"},
		{rehearsal.OfServer, string(delivery.WhatConfigured), ""},
		{rehearsal.OfServer, string(delivery.WhatProfileInstalled), "wifi"},
		{rehearsal.OfServer, string(delivery.WhatProfileFailed), ""},
		{rehearsal.OfServer, string(delivery.WhatProfileRemoved), "mail"},
		{rehearsal.OfServer, string(delivery.WhatDeferred), ""},
		{rehearsal.OfServer, string(delivery.WhatRenewed), ""},
		{rehearsal.OfServer, string(delivery.WhatUnknownReport), ""},
		{rehearsal.OfServer, string(delivery.WhatEnded), "erased"},
		{rehearsal.OfServer, string(delivery.WhatEnded), "left"},
		{rehearsal.OfServer, string(delivery.WhatEnded), "enrols again"},
		{rehearsal.OfServer, string(delivery.WhatRevoked), "erased"},
		{rehearsal.OfServer, string(delivery.WhatRefused), "expired"},
		{rehearsal.OfDevice, string(fleet.Joined), ""},
		{rehearsal.OfDevice, string(fleet.NotJoined), ""},
		{rehearsal.OfDevice, string(fleet.Left), ""},
		{rehearsal.OfDevice, string(fleet.Returned), ""},
		{rehearsal.OfDevice, string(fleet.Renewed), ""},
		{rehearsal.OfDevice, string(fleet.Removed), ""},
		{rehearsal.OfDevice, string(fleet.Wiped), ""},
		{rehearsal.OfDevice, string(fleet.Locked), ""},
		{rehearsal.OfDevice, string(fleet.Refused), "503"},
		{rehearsal.OfPlan, "A renewed push certificate is uploaded", ""},
		{rehearsal.OfPlan, "The server is down for 8h", ""},
	} {
		if !slices.ContainsFunc(lines, func(l rehearsal.Line) bool {
			return l.Side == s.side && l.What == s.what && strings.Contains(l.Detail, s.detail)
		}) {
			t.Errorf("nobody saw %+v", s)
		}
	}
	managed := map[string]bool{}
	for _, l := range lines {
		switch {
		case l.Side == rehearsal.OfDevice && l.What == string(fleet.Joined):
			managed[l.Device] = true
		case l.Side == rehearsal.OfDevice && (l.What == string(fleet.Removed) || l.What == string(fleet.Wiped)):
			managed[l.Device] = false
		case l.What == string(delivery.WhatUnreachable) && managed[l.Device]: // as if its new token were the old one
			t.Errorf("the push service lost a device that is enrolled: %+v", l)
		}
	}
	userless := 0
	for i := range p.run.Population.Devices {
		if d := &p.run.Population.Devices[i]; d.Userless() && p.run.Fleet.Device(i).Phase() == agent.Enrolled && !p.run.Fleet.Device(i).(*dialect.Apple).Awaiting() {
			userless++
		}
	}
	if userless != 3 {
		t.Errorf("%d devices without a user are enrolled and configured, want 3", userless)
	}
}

// counted looks for each habit and fault of the plan in the report, with the number that the fleet counted.
func counted(t *testing.T, p played) {
	cells := map[string]any{} // the first number of each row, by its name
	for _, table := range p.story.Tables {
		for _, row := range table.Rows {
			for _, c := range row[1:] {
				switch c.(type) {
				case int, uint64:
					if _, ok := cells[fmt.Sprint(row[0])]; !ok {
						cells[fmt.Sprint(row[0])] = c
					}
				}
			}
		}
	}
	c := p.run.Fleet.Counts()
	for name, want := range map[string]uint64{
		"nights that a device was switched off":  c.Nights,
		"spells without a network":               c.Spells,
		"absences that the timeline brought":     c.Absences,
		"check-ins started by a user's hand":     c.ByHand,
		"answers of NotNow":                      c.NotNow,
		"answers lost on the way":                c.Dropped,
		"requests cut off in the middle":         c.Resets,
		"requests that found no server":          c.Unreached,
		"requests answered 503 by a busy server": c.Busied,
		"completed, repeated ones included":      c.Enrolments,
		"renewals done, as the devices saw it":   c.Renewals,
	} {
		if got := fmt.Sprint(cells[name]); want == 0 || got != fmt.Sprint(want) {
			t.Errorf("the report has %s for %q, the fleet counted %d (and that should be something)", got, name, want)
		}
	}
	if cells["profiles that did not install"] == nil {
		t.Error("the report has no profile that did not install")
	}
	if c.Barred == 0 || c.Status[503] == 0 || c.Status[503] > c.Busied {
		t.Errorf("%d handshakes were refused, %d answers of 503 came of %d", c.Barred, c.Status[503], c.Busied)
	}
}

var update = flag.Bool("update", false, "rewrite the golden files; read the diff before you keep it")

// english are words that the telling has in English and no Dutch sentence has.
var english = regexp.MustCompile(`(?i)\b(the|and|a|device|devices|which|with|have|has|this|are|were|not|by|enrolled|refused|failed|done|ended|identity|server down)\b`)

// inDutch holds what is told of a run in Dutch against a golden file, but for what it took; and looks for English in all the page.
func inDutch(t *testing.T, p played) {
	result := *p.result
	result.WallSeconds, result.CPUSeconds, result.PeakRSSBytes = 1.5, 0, 0
	result.CheckIns.PerSecond, result.CheckIns.P50, result.CheckIns.P99, result.CheckIns.P999 = 0, 0, 0, 0
	var summary, page bytes.Buffer
	if err := errors.Join(report.Summary(&summary, &result, p.story, false), report.Page(&page, &result, p.story)); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "lab_nl.golden")
	if *update {
		if err := os.WriteFile(golden, summary.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), summary.String()); diff != "" {
		t.Errorf("the summary in Dutch (-want +got):\n%s", diff)
	}
	text := regexp.MustCompile(`(?s)<style>.*?</style>|<script.*?</script>|<[^>]*>`).ReplaceAllString(page.String(), "\n")
	for line := range strings.Lines(html.UnescapeString(text) + summary.String()) {
		if english.MatchString(line) && !strings.Contains(line, "devices.") { // a limit is the plan's
			t.Errorf("in English: %s", strings.TrimSpace(line))
		}
	}
}

// same demands that all devices have lived the same lives.
func same(t *testing.T, a, b played) {
	t.Helper()
	if diff := cmp.Diff(a.run.Log.Histories(), b.run.Log.Histories()); diff != "" {
		t.Errorf("histories differ:\n%s", diff)
	}
	x, y := a.run.Fleet.Counts(), b.run.Fleet.Counts()
	x.Resumed, y.Resumed, x.Handshakes, y.Handshakes = 0, 0, 0, 0 // sessions do not outlive a server
	if diff := cmp.Diff(x, y); diff != "" {
		t.Errorf("counts differ:\n%s", diff)
	}
	if len(a.run.Log.Histories()) != len(a.run.Population.Devices) {
		t.Errorf("%d histories", len(a.run.Log.Histories()))
	}
}

// sameLog holds two runs of one plan and seed to one event log, to the letter (HST-124).
func sameLog(t *testing.T, a, b played) {
	t.Helper()
	if diff := cmp.Diff(a.run.Log.Lines(), b.run.Log.Lines()); diff != "" {
		t.Errorf("the event logs of two runs differ:\n%s", diff)
	}
}

// keptAndReported writes what a run leaves behind, and reads it.
func keptAndReported(t *testing.T, p played) {
	dir := t.TempDir()
	f := labFlags{keep: filepath.Join(dir, "fleet"), report: filepath.Join(dir, "report")}
	if err := f.write(p.run, p.result, p.story); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(f.keep); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the kept fleet: %v, %v; want mode 600", st.Mode(), err)
	}
	file, err := os.Open(f.keep)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	devices, err := fleet.Open(file)
	if err != nil || len(devices) != 23 {
		t.Fatalf("opened again: %d devices, %v", len(devices), err)
	}
	for i, d := range devices {
		was := p.run.Fleet.Device(i).(*dialect.Apple)
		if d.UDID() != was.UDID() || d.Phase() != agent.Enrolled || d.Identity() != was.Identity() || d.Identity().NotAfter == 0 {
			t.Errorf("%s came back as %s, %s, %+v", was.UDID(), d.UDID(), d.Phase(), d.Identity())
		}
		if signer, err := d.Signer(dialect.Current); err != nil || !holdsKey(signer) {
			t.Errorf("%s came back without the key of its certificate: %v", was.UDID(), err)
		}
	}
	var names []string
	entries, err := os.ReadDir(f.report)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{report.EventsFile, report.PageFile, report.ResultFile}; err != nil || !slices.Equal(names, want) {
		t.Errorf("the report's folder has %v, %v; want %v", names, err, want)
	}
	var result report.Result
	b, err := os.ReadFile(filepath.Join(f.report, report.ResultFile))
	if err == nil {
		err = json.Unmarshal(b, &result)
	}
	if err != nil || result.Verdict != report.OK || result.Devices.Enrolled != 23 {
		t.Errorf("result.json: %+v, %v", result.Devices, err)
	}
	events, err := os.ReadFile(filepath.Join(f.report, report.EventsFile))
	if lines := bytes.Split(bytes.TrimSpace(events), []byte("\n")); err != nil || len(lines) != len(p.run.Log.Lines()) {
		t.Errorf("events.jsonl has %d lines, %v; want %d", len(lines), err, len(p.run.Log.Lines()))
	}
	if err := f.write(p.run, p.result, p.story); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("over an older report: %v", err)
	}
}

// holdsKey tells whether s has the private key of its certificate.
func holdsKey(s certs.Signer) bool {
	public, ok := s.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(s.Certificate.PublicKey)
}

// A run that is interrupted at any moment has a partial result, whoever is down just then (HST-125).
func TestHST125Interrupted(t *testing.T) {
	for _, tt := range []struct{ name, act string }{
		{"enrolling", "3 devices without a user enrol within 1h"},
		{"server down", "The server is down for 8h"},
		{"in the middle", "The server is up again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			p := playLab(t, ctx, days(t), labFlags{}, func(now fleet.Progress) {
				if now.Act == tt.act {
					interrupt()
				}
			})
			if p.result.Verdict != report.Partial || exitCode(p.result.Err()) != 130 {
				t.Errorf("verdict %s, exit code %d", p.result.Verdict, exitCode(p.result.Err()))
			}
			if p.result.VirtualSeconds >= (6*24*time.Hour).Seconds() || !strings.HasPrefix(p.story.Lead[0], "Interrupted after ") {
				t.Errorf("%v virtual seconds, %q", p.result.VirtualSeconds, p.story.Lead[0])
			}
			if p.result.Invariants.Violated != 0 {
				t.Errorf("invariants %+v", p.result.Invariants)
			}
			if c := p.result.CheckIns; c.Offered < c.Started || c.Started < c.Done+c.Failed+c.Refused {
				t.Errorf("check-ins %+v: more began than were due, or ended than began", c)
			}
		})
	}
}

// ask runs the program's command tree in this process.
func ask(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	root := &cobra.Command{Use: "rollcall", SilenceUsage: true, SilenceErrors: true}
	root.PersistentFlags().Bool("json", false, "")
	addCommands(root)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(new(bytes.Buffer))
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}

// The devices of an export are registered as it says before the story begins, those without a wire are counted, and the
// records that were left out are told by reason.
func TestLabExport(t *testing.T) {
	t.Parallel()
	samples := "../../fleet/population/testdata"
	tests := []struct {
		path      string
		records   int // with those left out
		leftOut   map[string]int
		mustEnrol int
		intune    int // registered with Intune
	}{
		{
			samples + "/bms-only", 20,
			map[string]int{"management_type": 1, "not_managed": 2, "other_mdm": 1, "profile_type": 1},
			2, 0,
		},
		{samples + "/coexistence", 15, nil, 2, 9},
		{samples + "/console/DevicesWithInventory.csv", 15, nil, 2, 9},
	}
	if shared := os.Getenv("ROLLCALL_SHARED"); shared != "" {
		tests = append(tests, []struct {
			path      string
			records   int
			leftOut   map[string]int
			mustEnrol int
			intune    int
		}{
			{
				shared + "/data/bms-only", 44,
				map[string]int{"management_type": 1, "not_managed": 8, "other_mdm": 1, "profile_type": 1},
				2, 0,
			},
			{shared + "/data/coexistence", 60, nil, 3, 44},
			{shared + "/data/coexistence/DevicesWithInventory.csv", 60, nil, 3, 44},
		}...)
	} else {
		t.Log("ROLLCALL_SHARED is not set: without the full sample exports")
	}
	for _, tt := range tests {
		t.Run(filepath.Base(tt.path), func(t *testing.T) {
			who := populationFlags{export: tt.path}
			f := labFlags{clock: "driven"}
			cmd := labCommand()
			p, pop, imported, err := who.load(cmd, nil, f.fit)
			if err != nil || !imported || p.Name != "tenant" {
				t.Fatalf("imported %v, %v", imported, err)
			}
			run, result, story, err := f.play(t.Context(), p, pop, imported, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := result.Err(); err != nil {
				t.Errorf("exit code %d: %v", exitCode(err), err)
			}
			d := &result.Devices
			for platform, size := range d.ByPlatform {
				if !size.Wire {
					t.Errorf("%d devices of %s without a wire", size.Total, platform)
				}
			}
			if d.Total != tt.records || d.NotModelled != 0 || d.MustEnrol != tt.mustEnrol || d.LeftOut+d.Enrolled != d.Total {
				t.Errorf("devices %+v, want %d records, all enrolled, %d of them to enrol again", d, tt.records, tt.mustEnrol)
			}
			if diff := cmp.Diff(tt.leftOut, d.LeftOutBy); diff != "" && len(tt.leftOut)+len(d.LeftOutBy) > 0 {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
			registeredAsSaid(t, run, story, d.Enrolled, tt.intune)
			keptSilent(t, run)
			if leaving := slices.ContainsFunc(pop.Devices, func(d population.Device) bool { return d.Has(population.Leaving) }); leaving != slices.ContainsFunc(story.Acts, func(a report.Act) bool { return slices.Contains(a.Rules, string(protocol.RuleRetire)) }) {
				t.Errorf("a device that is to leave: %t; what happened: %v", leaving, story.Acts)
			}
		})
	}
}

// registeredAsSaid holds the server's word, at the first check-in of each device and in its lists at the end, against the
// export.
func registeredAsSaid(t *testing.T, run *rehearsal.Run, story *report.Story, wired, intune int) {
	first := map[string]rehearsal.Line{}
	for _, l := range run.Log.Lines() {
		if _, known := first[l.Device]; !known && l.What == string(delivery.WhatRegistered) {
			first[l.Device] = l
		}
	}
	got := 0
	for i := range run.Population.Devices {
		d := &run.Population.Devices[i]
		if d.Registered == protocol.Intune {
			got++
		}
		if l := first[d.UDID]; l.Detail != d.Registered.String() || l.At > run.Start {
			t.Errorf("%s: %+v; the export says %s, before %s", d.Name, l, d.Registered, run.Start)
		}
	}
	if got != intune {
		t.Errorf("%d devices are registered with Intune, want %d", got, intune)
	}
	table := story.Tables[0]
	began, ended := 0, 0
	for _, row := range table.Rows {
		began, ended = began+row[2].(int), ended+row[3].(int)
		if row[1] != row[2] {
			t.Errorf("%v of %v devices of %v began as the export says", row[2], row[1], row[0])
		}
	}
	if table.Title != "Registered authority" || began != wired || ended != wired {
		t.Errorf("table %q counts %d and %d devices, want %d", table.Title, began, ended, wired)
	}
}

// keptSilent: devices that the export shows out of reach leave the network as the story begins, and nobody hears of them again.
func keptSilent(t *testing.T, run *rehearsal.Run) {
	last := map[string]rehearsal.Line{} // that a device said or that the server said of its check-ins
	leaving := map[string]bool{}
	for i := range run.Population.Devices {
		leaving[run.Population.Devices[i].UDID] = run.Population.Devices[i].Has(population.Leaving)
	}
	for _, l := range run.Log.Lines() {
		if leaving[l.Device] && l.What == string(fleet.Refused) { // an order to who leaves already: nobody was heard
			continue
		}
		switch l.What {
		case string(fleet.Left), string(fleet.Returned), string(fleet.Refused), string(delivery.WhatRegistered), string(delivery.WhatReported), string(delivery.WhatProfileInstalled):
			last[l.Device] = l
		}
	}
	silent := 0
	for i := range run.Population.Devices {
		if !run.Fleet.Silent(i) {
			continue
		}
		silent++
		if l := last[run.Population.Devices[i].UDID]; l.What != string(fleet.Left) || l.At > run.Start {
			t.Errorf("%s is silent in the export; in the story %+v", run.Population.Devices[i].Name, l)
		}
	}
	if silent == 0 {
		t.Error("no device of the export is silent: this shows nothing")
	}
}

// Once everybody is registered as the export says, users hold the licences that they have in truth.
func TestLabExportLicences(t *testing.T) {
	t.Parallel()
	who := populationFlags{export: "../../fleet/population/testdata/coexistence", devices: 30}
	f := labFlags{clock: "driven", length: time.Hour}
	cmd := labCommand()
	if err := cmd.Flags().Set("devices", "30"); err != nil {
		t.Fatal(err)
	}
	p, pop, _, err := who.load(cmd, nil, f.fit)
	if err != nil {
		t.Fatal(err)
	}
	run := &rehearsal.Run{Plan: p, Population: pop, Log: &rehearsal.Log{}}
	run.Watch = rehearsal.NewWatch(run.Log)
	l, err := newLaboratory(t.Context(), &f, pop.Tenant.AsOf, run)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	if run.Fleet, err = l.fleet(t.Context(), &f, run, nil); err != nil {
		t.Fatal(err)
	}
	if err := run.Fleet.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	truth := map[string]population.Licence{}
	for _, u := range pop.Users {
		truth[u.UPN] = u.Licence
	}
	n, pending := 0, 0
	for u, err := range l.target.Users(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		want := truth[u.UPN]
		if u.IntuneLicence != (want&population.IntuneLicence != 0) || u.BasicLicence != (want&population.BMSLicence != 0) {
			t.Errorf("%+v, want licence %b", u, want)
		}
	}
	for i := range pop.Devices {
		if d := &pop.Devices[i]; d.Platform.Apple() && d.Registered == protocol.Office365 && pop.Users[d.User].Licence&population.IntuneLicence != 0 {
			pending++
		}
	}
	if n != len(pop.Users) || len(pop.Devices) != 30 || pending == 0 {
		t.Errorf("%d users of %d, %d devices, %d of them entitled and not moved; want some", n, len(pop.Users), len(pop.Devices), pending)
	}
}

// --json prints one object, which begins with the keys that all jobs have.
func TestLabJSON(t *testing.T) {
	out, err := ask(t, "lab", "testdata/days.yaml", "--devices", "12", "--for", "5h", "--json")
	if err != nil {
		t.Fatal(err)
	}
	in := json.NewDecoder(strings.NewReader(out))
	var object json.RawMessage
	if err := in.Decode(&object); err != nil {
		t.Fatal(err)
	}
	if in.More() {
		t.Errorf("more than one object:\n%s", out)
	}
	keys := json.NewDecoder(bytes.NewReader(object))
	var got []string
	for depth := 0; ; {
		token, err := keys.Token()
		if err != nil {
			break
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		default:
			if key, ok := token.(string); ok && depth == 1 && len(got) < 5 && key != "lab" && key != "ok" {
				got = append(got, key)
			}
		}
	}
	if want := []string{"version", "command", "verdict", "reasons", "devices"}; !slices.Equal(got, want) {
		t.Errorf("the object begins with %v, want %v", got, want)
	}
}

// empty FOLDER checks that nothing was left behind in it.
func emptyFolder(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, e := range entries {
		ts.Fatalf("%s was left behind in %s", e.Name(), args[0])
	}
}

// A plan that names a foreign host is still played against loopback alone; the fleet refuses a target that nobody named.
func TestHST127LabTarget(t *testing.T) {
	p := days(t)
	_, err := fleet.New(t.Context(), fleet.Config{Plan: p, Population: population.New(p), URL: "https://mdm.example.org", Clock: fleet.Real()})
	if !errors.Is(err, protocol.Rule("HST-127")) {
		t.Errorf("New for a foreign host: %v", err)
	}
	p.IOwn = []string{"mdm.example.org"}
	if _, err := fleet.New(t.Context(), fleet.Config{Plan: p, Population: population.New(p), URL: "https://mdm.example.org", Clock: fleet.Real()}); errors.Is(err, protocol.Rule("HST-127")) {
		t.Errorf("New for a host that the plan names: %v", err)
	}
}
