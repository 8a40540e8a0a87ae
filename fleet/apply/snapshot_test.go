package apply

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
)

// A rehearsal begins with the times that the tenant has set (AUTH-21, AUTH-27, AUTH-33, AUTH-41, AUTH-43, AUTH-47, AUTH-53).
func TestAUTH35Times(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"cadence_seconds": 14400, "reach_seconds": 300, "renewal_retry_seconds": 86400, "device_contact_days": 30,
			"old_profile_days": 3, "record_days": 90, "push_grace_days": 60, "push_warning_days": [20, 2]}`)
	}))
	defer server.Close()
	s := &Snapshot{Facts: map[string]string{}, Population: &population.Population{}}
	state := &target.State{}
	state.Authority = protocol.Intune
	if err := s.settings(t.Context(), &target.Rollcall{URL: server.URL}, state); err != nil {
		t.Fatal(err)
	}
	const day = plan.Duration(plan.Day)
	got := []plan.Duration{s.tenant.Cadence, s.tenant.Reach, s.tenant.Identity.Retry, s.tenant.Counted, s.tenant.OldProfiles, s.tenant.Records, s.tenant.APNs.Grace}
	for i, want := range []plan.Duration{plan.Duration(4 * time.Hour), plan.Duration(5 * time.Minute), day, 30 * day, 3 * day, 90 * day, 60 * day} {
		if got[i] != want {
			t.Errorf("time %d: %s, want %s", i, got[i], want)
		}
	}
	if w := s.tenant.APNs.Warnings; len(w) != 2 || w[0] != 20*day || w[1] != 2*day {
		t.Errorf("warnings %s, want 20d and 2d", w)
	}
}
