package conformance

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"rollcall/protocol/windows"
)

// TestWindowsNotOffered: a server that does not serve Windows devices, or whose administrator cannot invite, is not asked, and is told
// why; one that fails, or takes nobody in, is no such server.
func TestWindowsNotOffered(t *testing.T) {
	offers := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == windows.DiscoveryPath {
			w.Header().Set("Content-Type", windows.SOAPContentType)
			w.Write(windows.EncodeEnvelope(nil, &windows.Envelope{Body: &windows.DiscoverResponse{
				AuthPolicy: windows.OnPremise, EnrollmentVersion: windows.Version{Major: 5}, EnrollmentURL: "https://" + r.Host + windows.EnrollmentPath,
			}}))
		}
		return r.URL.Path == windows.DiscoveryPath
	}
	invites := func(context.Context, int) (string, string, error) { return "ann", "password", nil }
	for name, tt := range map[string]struct {
		front   func(w http.ResponseWriter, r *http.Request) bool
		unknown bool
		invites func(context.Context, int) (string, string, error)
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
		"nobody invites": {want: NotApplicable, reason: "cannot invite a Windows device", front: offers},
		"nobody is in":   {want: Fail, reason: "brought no certificate: 404", front: offers, invites: invites},
	} {
		t.Run(name, func(t *testing.T) {
			s := startToy(t)
			s.front = tt.front
			c := s.config("WIN-015")
			c.Steps.EnrolWindows = tt.invites
			if !tt.unknown {
				c.WindowsURL = s.URL + "/"
			}
			if f := ask(t, c).of("WIN-015"); f.Outcome != tt.want || !strings.Contains(f.Reason, tt.reason) {
				t.Errorf("%s: %s, want %s: %s", f.Outcome, f.Reason, tt.want, tt.reason)
			}
		})
	}
}

// TestWindowsSecrets: neither passwords nor what a document brings are shown.
func TestWindowsSecrets(t *testing.T) {
	body := windows.EncodeEnvelope(nil, &windows.Envelope{
		Header: windows.Header{Credential: windows.Credential{Kind: windows.Password, Username: "ann", Password: "secret-password"}},
		Body:   &windows.RequestSecurityToken{Token: []byte("secret-token")},
	})
	at := strings.Index(string(body), "c2VjcmV0") // of the token
	for _, end := range []int{len(body), at + 8} {
		if got := shown(body[:end], mostShown); strings.Contains(got, "secret") || strings.Contains(got, "c2VjcmV0") || !strings.Contains(got, "ann") {
			t.Errorf("shown: %s", got)
		}
	}
}
