package rehearsal_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
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
					if l.Side == rehearsal.OfServer { // it was held
						continue
					}
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

// A device's life tells when the push certificate began to hold it and when no more, and by which rule: together as long as the
// report has it (AUTH-30, AUTH-33).
func TestAUTH30ReliveHeld(t *testing.T) {
	const who = "population: {devices: 12, mix: {ios: 50, android: 50}, licences: {intune: 100}}\n"
	for _, tt := range []struct {
		name, text string
		rule       protocol.Rule
		devices    int
	}{
		{"a gap", "until: 4d\ntenant: {authority: office365, release: 1910}\n" + who + `timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 1d, authority: {set: coexistence}}
  - {at: 2d, apns: {upload: renewed}}
`, protocol.RulePushGap, 6},
		{"a gap to the end", "until: 4d\ntenant: {authority: office365, release: 1910}\n" + who + `timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 1d, authority: {set: coexistence}}
`, protocol.RulePushGap, 6},
		{"an ended certificate", "until: 4d\ntenant: {authority: intune, apns: {expires: +1d}}\n" + who + `timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 3d, apns: {upload: renewed}}
`, protocol.RulePushExpired, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := parsed(t, tt.text)
			pop := population.New(p)
			out, devices := played(t, rehearsal.Config{Plan: p, Population: pop}), 0
			for i := range pop.Devices {
				_, quiet, err := rehearsal.Relive(t.Context(), rehearsal.Config{Plan: p, Population: pop}, i)
				if err != nil {
					t.Fatal(err)
				}
				var since protocol.Time
				var held time.Duration
				for _, l := range quiet {
					switch l.What {
					case "held":
						if since = l.At; l.Rule != tt.rule {
							t.Errorf("device %d is held by %s, want %s", i, l.Rule, tt.rule)
						}
						devices++
					case "released":
						held += l.At.Sub(since)
						since = 0
					}
				}
				if since != 0 {
					held += out.End.Sub(since)
				}
				if want := out.Lives[i].Blocked + out.Lives[i].Silenced; held != want {
					t.Errorf("device %d was held for %s, and is told to be for %s", i, want, held)
				}
			}
			if devices != tt.devices {
				t.Errorf("%d devices were held, want %d", devices, tt.devices)
			}
		})
	}
}
