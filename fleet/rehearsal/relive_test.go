package rehearsal_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
)

// A device's part of a story, played again alone, is what the log has about it; the conversations that are missing there are those
// of which nothing came, and with them all check-ins of the device are there.
func TestRelive(t *testing.T) {
	for _, name := range []string{"lab", "gap", "wrong-topic", "brownout"} {
		t.Run(name, func(t *testing.T) {
			p := ready(t, name, 120)
			pop := population.New(p)
			var log bytes.Buffer
			out := played(t, rehearsal.Config{Plan: p, Population: pop, Partition: 16, Log: &log})
			of := map[string][]rehearsal.Line{}
			for text := range bytes.Lines(log.Bytes()) {
				var l rehearsal.Line
				if json.Unmarshal(text, &l); l.Device != "" {
					of[l.Device] = append(of[l.Device], l)
				}
			}
			quiets := 0
			for i := 0; i < len(pop.Devices); i += 13 {
				logged, quiet, err := rehearsal.Relive(t.Context(), rehearsal.Config{Plan: p, Population: pop, Partition: 16}, i)
				if err != nil {
					t.Fatal(err)
				}
				id := pop.Devices[i].UDID
				if diff := cmp.Diff(of[id], logged); diff != "" {
					t.Fatalf("%s: the log (-) and what is played now (+):\n%s", id, diff)
				}
				done, moments := 0, map[string]bool{}
				for _, l := range quiet {
					if l.At >= out.Start && l.What == "checked in" {
						done++
					}
					if moments[l.At.String()] {
						t.Errorf("%s: two conversations at %s", id, l.At)
					}
					moments[l.At.String()] = true
				}
				if done > int(out.Lives[i].CheckIns) {
					t.Errorf("%s: %d check-ins of which nothing came, of %d", id, done, out.Lives[i].CheckIns)
				}
				quiets += done
				all := rehearsal.Together(logged, quiet)
				if len(all) != len(logged)+len(quiet) || !slices.IsSortedFunc(all, func(a, b rehearsal.Line) int { return int(a.At - b.At) }) {
					t.Errorf("%s: lines are missing or out of order", id)
				}
			}
			if quiets == 0 {
				t.Error("no check-in of which nothing came")
			}
		})
	}
}
