//go:build !agentonly

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
)

// readExport reads an export by flags, and returns what was said on the way.
func readExport(t *testing.T, flags ...string) (said string, err error) {
	t.Helper()
	var who populationFlags
	var notes bytes.Buffer
	cmd := &cobra.Command{Use: "test", SilenceErrors: true, SilenceUsage: true, RunE: func(cmd *cobra.Command, args []string) error {
		_, _, _, err := who.load(cmd, args, func(p *plan.Plan) (*plan.Plan, error) { return p, nil })
		return err
	}}
	who.register(cmd)
	cmd.SetErr(&notes)
	cmd.SetArgs(flags)
	err = cmd.Execute()
	return notes.String(), err
}

// TestHST122Lenient: rows that --lenient leaves out are told by file, line and column: the first twenty, and how many there
// are.
func TestHST122Lenient(t *testing.T) {
	const good = `{"id":"d1","managementAgent":"mdm","operatingSystem":"Windows"}`
	for bad, want := range map[int]int{0: 0, 3: 3, 20: 20, 150: 21} {
		file := filepath.Join(t.TempDir(), "managedDevices.json")
		if err := os.WriteFile(file, []byte(good+"\n"+strings.Repeat("{}\n", bad)), 0o600); err != nil {
			t.Fatal(err)
		}
		said, err := readExport(t, "--export", filepath.Dir(file), "--authority", "intune", "--lenient")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(said, "\n"); n != want || bad > 0 && !strings.HasPrefix(said, "left out: "+file+":2:1: id: a device without id (HST-122)\n") {
			t.Errorf("%d bad rows: %d lines, want %d:\n%s", bad, n, want, said)
		}
		if total := fmt.Sprintf("left out: %d rows in all", bad); strings.Contains(said, total) != (bad > fewBad) {
			t.Errorf("%d bad rows: %s", bad, said)
		}
	}
}

// TestExportMistakes: each flag that says how an export is read names itself, and its file.
func TestExportMistakes(t *testing.T) {
	const export = "../../fleet/population/testdata/coexistence"
	labels := filepath.Join(t.TempDir(), "labels.json")
	for _, tt := range []struct{ labels, flag, want string }{
		{"[]", "--labels=" + labels, "--labels: " + labels + ":1:2: want one JSON object"},
		{"{", "--labels=" + labels, "--labels: " + labels + ":1:2: want one JSON object"},
		{`{"Colour: red": "mdm"}`, "--labels=" + labels, labels + `:1:22: Colour: red: want "column: label"`},
		{"", "--labels=" + labels + ".none", labels + ".none"},
		{"", "--bms-agent=zork", "--bms-agent: zork: no such management agent; want one of "},
		{"", "--bms-agent=easmdn", `did you mean "easmdm"?`},
	} {
		if err := os.WriteFile(labels, []byte(tt.labels), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readExport(t, "--export", export, tt.flag); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s of %q: %v, want %q", tt.flag, tt.labels, err, tt.want)
		}
	}
}

// --seed is the plan's seed and makes another population by the same rules; the same one makes the same again.
func TestSeed(t *testing.T) {
	made := func(flags ...string) (uint64, []population.Device) {
		var who populationFlags
		var p *plan.Plan
		var pop *population.Population
		cmd := &cobra.Command{Use: "test", RunE: func(cmd *cobra.Command, args []string) (err error) {
			p, pop, _, err = who.load(cmd, args, func(p *plan.Plan) (*plan.Plan, error) { return p, nil })
			return err
		}}
		who.register(cmd)
		cmd.SetArgs(append(flags, "--devices", "40"))
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		return p.Seed, pop.Devices
	}
	for _, from := range [][]string{{"--plan", "lab"}, {"--export", "../../fleet/population/testdata/coexistence"}} {
		own, as := made(from...)
		nine, other := made(append(from, "--seed", "9")...)
		_, again := made(append(from, "--seed", "9")...)
		zero, _ := made(append(from, "--seed", "0")...)
		if own == 9 || nine != 9 || zero != 0 {
			t.Errorf("%v: seeds %d, %d, %d; want the plan's own, 9, 0", from, own, nine, zero)
		}
		if !reflect.DeepEqual(other, again) || reflect.DeepEqual(as, other) {
			t.Errorf("%v: the same seed gave the same population: %t; another seed another: %t", from, reflect.DeepEqual(other, again), !reflect.DeepEqual(as, other))
		}
	}
}

// --previous needs an older export of the same tenant, and says what is wrong with another.
func TestPrevious(t *testing.T) {
	const export = "../../fleet/population/testdata/coexistence"
	for _, tt := range []struct {
		flags []string
		want  string // empty: no error
	}{
		{[]string{"--export", export, "--as-of", "2026-11-09T08:00:00Z", "--previous", export}, ""},
		{[]string{"--export", export, "--previous", export}, "--previous " + export + ": it describes 2026-11-01T08:00:00Z, which is not before"},
		{[]string{"--export", export, "--previous", "../../fleet/population/testdata/bms-only"}, "--previous "},
		{[]string{"--export", export, "--previous", "nowhere"}, "--previous nowhere: "},
		{[]string{"--previous", export}, "--previous says how an export is read: it needs --export"},
	} {
		_, err := readExport(t, tt.flags...)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.flags, err, tt.want)
		}
	}
}

// What a lab leaves out of a plan, or puts in, is no contradiction with an export (HST-123).
func TestHST123ARunCutShort(t *testing.T) {
	for name, f := range map[string]labFlags{
		"cut": {clock: "driven", length: 20 * time.Hour}, "with a restart": {clock: "driven", restart: true}, "squeezed": {clock: "real", length: time.Minute, restart: true},
	} {
		who := populationFlags{export: "../../fleet/population/testdata/coexistence"}
		if _, _, _, err := who.load(labCommand(), nil, f.fit); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
