package rehearsal_test

import (
	"testing"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
)

func TestPlayLab(t *testing.T) {
	for _, name := range plan.BuiltIns() {
		t.Run(name, func(t *testing.T) {
			p, err := plan.BuiltIn(name)
			if err != nil {
				t.Fatal(err)
			}
			out, err := rehearsal.Play(t.Context(), rehearsal.Config{Plan: p, Population: population.New(p)})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("checked %d violated %d checkins %d refused %d failed %d enrol %d declined %d renew %d removed %d log %d %s", out.Checked, out.Violated, out.CheckIns, out.Refused, out.Failed, out.Enrolments, out.Declined, out.Renewals, out.Removed, out.LogLines, out.LogSHA256)
			for _, v := range out.Violations[:min(3, len(out.Violations))] {
				t.Errorf("%+v", v)
			}
			t.Logf("%+v", out.Hours[len(out.Hours)-1])
		})
	}
}
