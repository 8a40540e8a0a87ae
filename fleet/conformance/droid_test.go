package conformance

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"rollcall/protocol/android"
)

// TestAndroidNotOffered: a server that does not speak the agent protocol, or whose administrator cannot invite, is not asked, and is told
// why; one that fails, or speaks it and takes nobody in, is no such server.
func TestAndroidNotOffered(t *testing.T) {
	offers := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == android.DiscoveryPath {
			w.Write(android.Append(nil, &android.Discovery{Protocol: android.Version, Enroll: android.EnrollPath, EST: android.ESTPath}))
		}
		return r.URL.Path == android.DiscoveryPath
	}
	invites := func(context.Context, android.Mode, int) (string, error) { return "token", nil }
	for name, tt := range map[string]struct {
		front   func(w http.ResponseWriter, r *http.Request) bool
		unknown bool
		invites func(context.Context, android.Mode, int) (string, error)
		want    Outcome
		reason  string
	}{
		"nobody said where": {unknown: true, want: NotApplicable, reason: "nobody said where"},
		"404":               {want: NotApplicable, reason: "404"},
		"a web page": {want: NotApplicable, reason: "text/html", front: func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte("<html>welcome</html>"))
			return true
		}},
		"it fails": {want: Unasked, reason: "503", front: func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}},
		"nobody invites": {want: NotApplicable, reason: "cannot make an enrolment token", front: offers},
		"nobody is in":   {want: Fail, reason: "is not taken in: 404", front: offers, invites: invites},
	} {
		t.Run(name, func(t *testing.T) {
			s := startToy(t)
			s.front = tt.front
			c := s.config("AND-070")
			c.Steps.EnrolAndroid = tt.invites
			if !tt.unknown {
				c.AndroidURL = s.URL + "/"
			}
			if f := ask(t, c).of("AND-070"); f.Outcome != tt.want || !strings.Contains(f.Reason, tt.reason) {
				t.Errorf("%s: %s, want %s: %s", f.Outcome, f.Reason, tt.want, tt.reason)
			}
		})
	}
}

// TestAndroidSecrets: neither challenges nor passcodes are shown.
func TestAndroidSecrets(t *testing.T) {
	body := android.Append(nil, &android.EnrollAnswer{Device: "d-1", Enrollment: "e-1", Certificate: android.Offer{Method: android.EST, Challenge: "secret-challenge", Subject: "CN=d-1"}})
	body = append(body, android.Append(nil, &android.Command{ID: "c-1", Type: android.ResetPassword, NewPassword: "secret-passcode"})...)
	for _, cut := range []int{0, 8} {
		if got := shown(body[:len(body)-cut], mostShown); strings.Contains(got, "secret") || !strings.Contains(got, "CN=d-1") {
			t.Errorf("shown: %s", got)
		}
	}
}
