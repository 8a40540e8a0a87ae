package apply

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"rollcall/fleet/target"
	"rollcall/protocol"
)

// What the system, a device or a push service does is nobody else's: only another administrator's act ends a plan, and only where it
// does what a step that is left does (HST-070).
func TestHST070OnlyAdministratorsAreOthers(t *testing.T) {
	for _, tt := range []struct {
		actor, detail string
		contested     bool
	}{
		{"system", "ada@example.org: intune", false},
		{"device", "ada@example.org: intune", false},
		{"push service", "ada@example.org: intune", false},
		{"token:night", "bob@example.org: intune", false}, // whom no step is about
		{"token:night", "ada@example.org: intune", true},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if q := r.URL.Query(); q.Get("after") != "7" || q.Get("what") != "licences changed" {
				t.Errorf("asked for %s", r.URL)
			}
			io.WriteString(w, fmt.Sprintf(`{"lines": [{"seq": 8, "actor": %q, "what": "licences changed", "detail": %q}], "next": ""}`, tt.actor, tt.detail))
		}))
		steps := []Step{{Number: 1, State: Waiting, Action: "licences", Users: []string{"ada@example.org"}}}
		run := Runner{Server: &target.Rollcall{URL: server.URL}, Record: &Record{Journal: 7, Steps: steps}}
		err := run.alone(t.Context())
		server.Close()
		contested, is := errors.AsType[*Contested](err)
		_, refused := errors.AsType[*protocol.Refusal](err)
		if is != tt.contested || refused != tt.contested || !is && err != nil || is && (contested.Line.Seq != 8 || contested.Step.Number != 1) {
			t.Errorf("%s: %s: %v, contested %t", tt.actor, tt.detail, err, tt.contested)
		}
	}
}
