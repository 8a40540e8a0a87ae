package rehearsal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

func TestWords(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{enumerate(lang.English, nil), "no device"},
		{enumerate(lang.English, []string{"a"}), "a"},
		{enumerate(lang.English, []string{"a", "b"}), "a and b"},
		{enumerate(lang.English, []string{"a", "b", "c"}), "a, b and c"},
		{length(lang.English, 14*24*time.Hour), "14 days"},
		{length(lang.English, 24*time.Hour), "1 day"},
		{length(lang.English, 5*time.Hour), "5 hours"},
		{length(lang.English, 2*time.Minute), "2 minutes"},
		{length(lang.English, 3*time.Second), "3 seconds"},
		{length(lang.English, time.Second), "1 second"},
		{length(lang.English, 0), "0 seconds"},
		{per(lang.English, time.Second), "per second"},
		{per(lang.English, 10*time.Second), "per 10 seconds"},
		{per(lang.English, time.Minute), "per minute"},
		{per(lang.English, 2*time.Hour), "per 2 hours"},
		{per(lang.English, 24*time.Hour), "per day"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

// Every rule of authority has its sentence for the report's reader; there is no AUTH-54.
func TestRuleWords(t *testing.T) {
	for n := 1; n <= 55; n++ {
		name := fmt.Sprintf("AUTH-%02d", n)
		if text := string(ruleWords[name]); (text == "") != (n == 54) || strings.HasSuffix(text, ".") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// The acts of the ready plans are told in Dutch too; an act of anybody else's plan stays as its author wrote it.
func TestKnown(t *testing.T) {
	nl := &telling{Language: lang.Dutch}
	for _, name := range plan.BuiltIns() {
		p, err := plan.BuiltIn(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range p.Acts {
			if nl.known(a.Name) == a.Name {
				t.Errorf("plan %s: the act %q is in English alone", name, a.Name)
			}
		}
	}
	if got := nl.known("100% of us go"); got != "100% of us go" {
		t.Error(got)
	}
}

// A lab with an export says what of its state it could not be in, and who plays it: an open gap (AUTH-30), a push certificate that had
// ended (AUTH-33), in which no Apple device could enrol.
func TestAUTH30NotPlayedLive(t *testing.T) {
	asOf := protocol.At(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	for _, tt := range []struct {
		name       string
		was        population.Tenant
		gap, ended bool
	}{
		{"as it should be", population.Tenant{AsOf: asOf, ChangedAt: 5, APNs: population.APNs{Modified: 6, Expires: asOf + 1}}, false, false},
		{"a gap", population.Tenant{AsOf: asOf, ChangedAt: 5, APNs: population.APNs{Modified: 4, Expires: asOf + 1}}, true, false},
		{"it has ended", population.Tenant{AsOf: asOf, APNs: population.APNs{Expires: asOf}}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told := &telling{Language: lang.English, Run: &Run{Imported: true, Start: asOf, Plan: &plan.Plan{}, Population: &population.Population{Tenant: tt.was}}}
			said := strings.Join(told.notShown(), " ")
			if strings.Contains(said, "AUTH-30") != tt.gap || strings.Contains(said, "AUTH-33") != tt.ended {
				t.Errorf("it says %s", said)
			}
		})
	}
}
