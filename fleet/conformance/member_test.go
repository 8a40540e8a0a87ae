package conformance

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"rollcall/protocol/android"
	"rollcall/protocol/windows"
)

// TestNotOffered: a server that does not serve the devices of a platform, or whose administrator cannot invite them, is not asked, and is
// told why; one that fails, or serves them and takes nobody in, is no such server.
func TestNotOffered(t *testing.T) {
	for platform, p := range map[string]struct {
		id, path        string
		hello           func(w http.ResponseWriter, r *http.Request)
		at              func(c *Config, url string)
		invites         func(c *Config)
		nobody, refused string
	}{
		"android": {
			id: "AND-070", path: android.DiscoveryPath, nobody: "cannot make an enrolment token", refused: "is not taken in: 404",
			hello: func(w http.ResponseWriter, _ *http.Request) {
				w.Write(android.Append(nil, &android.Discovery{Protocol: android.Version, Enroll: android.EnrollPath, EST: android.ESTPath}))
			},
			at: func(c *Config, url string) { c.AndroidURL = url },
			invites: func(c *Config) {
				c.Steps.EnrolAndroid = func(context.Context, android.Mode, int) (string, error) { return "token", nil }
			},
		},
		"windows": {
			id: "WIN-015", path: windows.DiscoveryPath, nobody: "cannot invite a Windows device", refused: "brought no certificate: 404",
			hello: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", windows.SOAPContentType)
				w.Write(windows.EncodeEnvelope(nil, &windows.Envelope{Body: &windows.DiscoverResponse{
					AuthPolicy: windows.OnPremise, EnrollmentVersion: windows.Version{Major: 5}, EnrollmentURL: "https://" + r.Host + windows.EnrollmentPath,
				}}))
			},
			at: func(c *Config, url string) { c.WindowsURL = url },
			invites: func(c *Config) {
				c.Steps.EnrolWindows = func(context.Context, int) (string, string, error) { return "ann", "password", nil }
			},
		},
	} {
		offers := func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == p.path {
				p.hello(w, r)
			}
			return r.URL.Path == p.path
		}
		for name, tt := range map[string]struct {
			front            func(w http.ResponseWriter, r *http.Request) bool
			unknown, invites bool
			want             Outcome
			reason           string
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
			"nobody invites": {want: NotApplicable, reason: p.nobody, front: offers},
			"nobody is in":   {want: Fail, reason: p.refused, front: offers, invites: true},
		} {
			t.Run(platform+"/"+name, func(t *testing.T) {
				s := startToy(t)
				s.front = tt.front
				c := s.config(p.id)
				if tt.invites {
					p.invites(&c)
				}
				if !tt.unknown {
					p.at(&c, s.URL+"/")
				}
				if f := ask(t, c).of(p.id); f.Outcome != tt.want || !strings.Contains(f.Reason, tt.reason) {
					t.Errorf("%s: %s, want %s: %s", f.Outcome, f.Reason, tt.want, tt.reason)
				}
			})
		}
	}
}
