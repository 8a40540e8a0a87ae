package report_test

import (
	"bytes"
	"strings"
	"testing"

	"rollcall/fleet/report"
	"rollcall/protocol/lang"
)

// Why a run failed is told in the reader's language, on the terminal and on the page; the result itself stays as it is.
func TestReasonsInDutch(t *testing.T) {
	said := map[string]string{
		"limit checkins.p99 < 50ms: got 80ms":                                          "grens checkins.p99 < 50ms: het werd 80ms",
		"device 7F: I3: enrolled, and the server does not list it":                     "apparaat 7F: I3: ingeschreven, en de server heeft het niet in de lijst",
		"device 7F: I7: listed in 2 portals":                                           "apparaat 7F: I7: het staat in 2 portalen",
		"nobody enrolled: 1 attempt broke off":                                         "niemand is ingeschreven: 1 poging brak af",
		"wire: 09:00, device 7F, SyncML: epoch is 2 by rule and nothing over the wire": "verbinding: 09:00, apparaat 7F, SyncML: epoch is 2 volgens de regels en niets over de verbinding",
	}
	r := &report.Result{Version: 1, Command: "rehearse", Verdict: report.Failed}
	for reason := range said {
		r.Reasons = append(r.Reasons, reason)
	}
	s := &report.Story{Language: lang.Dutch}
	var summary, brief, page bytes.Buffer
	if err := report.Summary(&summary, r, s, false); err != nil {
		t.Fatal(err)
	}
	if err := report.Brief(&brief, r, s, false); err != nil {
		t.Fatal(err)
	}
	if err := report.Page(&page, r, s); err != nil {
		t.Fatal(err)
	}
	for reason, want := range said {
		for name, text := range map[string]string{"summary": summary.String(), "brief": brief.String(), "page": strings.NewReplacer("&lt;", "<").Replace(page.String())} {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
				t.Errorf("%s: %q is not told as %q", name, reason, want)
			}
		}
	}
}
