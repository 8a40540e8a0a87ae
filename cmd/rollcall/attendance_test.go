//go:build !agentonly

package main

import (
	"fmt"
	"strings"
	"testing"

	"rollcall/fleet/plan"
	"rollcall/fleet/report"
)

// Faults strike enrolments too: each is in the numbers, and a run in which nobody enrolled is not ok.
func TestLabNobodyEnrols(t *testing.T) {
	for _, fault := range []string{"drop_response", "reset"} {
		t.Run(fault, func(t *testing.T) {
			p, err := plan.Parse("lost.yaml", []byte("until: 1h\npopulation: {devices: 2, mix: {ios: 100}}\ntimeline:\n  - {at: 0s, enrol: {over: 1m}}\nfaults:\n  - {share: 100%, "+fault+": true}\n"))
			if err != nil {
				t.Fatal(err)
			}
			lab := playLab(t, t.Context(), p, labFlags{}, nil)
			c := lab.run.Fleet.Counts()
			if c.BrokeOff == 0 || c.Dropped+c.Resets != c.BrokeOff {
				t.Errorf("counted %+v", c)
			}
			if r := lab.result; r.Verdict != report.Failed || len(r.Reasons) != 1 || !strings.HasPrefix(r.Reasons[0], "nobody enrolled: ") {
				t.Errorf("verdict %s: %q", r.Verdict, r.Reasons)
			}
			if got, want := fmt.Sprint(lab.result.Sections["enrolments"]), fmt.Sprintf("map[broke_off:%d done:0]", c.BrokeOff); got != want {
				t.Errorf("enrolments %s, want %s", got, want)
			}
			if text := fmt.Sprint(lab.story.Figures); !strings.Contains(text, fmt.Sprintf("{tries to enrol broke off %d ", c.BrokeOff)) {
				t.Errorf("figures %s", text)
			}
		})
	}
}
