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

// A rehearsal begins with the gap that the server has, whatever the dates of its certificate: one that was made before the change
// of authority closes it by its upload after (AUTH-30, AUTH-31).
func TestAUTH30Gap(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"topic": "t", "not_before": "2026-01-01T00:00:00Z", "not_after": "2027-01-01T00:00:00Z"}`)
	}))
	defer server.Close()
	for _, open := range []bool{false, true} {
		s := &Snapshot{Facts: map[string]string{}, Population: &population.Population{}}
		state := &target.State{Gap: target.Gap{Open: open}}
		state.ChangedAt = protocol.At(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
		if err := s.push(t.Context(), &target.Rollcall{URL: server.URL}, state); err != nil {
			t.Fatal(err)
		}
		if at := s.Population.Tenant.APNs.Modified; (at != 0 && at < state.ChangedAt) != open {
			t.Errorf("the gap is open: %t, and the certificate of %s, the change of %s", open, at, state.ChangedAt)
		}
	}
}
