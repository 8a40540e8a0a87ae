package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A toy is the least that passes for an MDM server: it issues identities, takes every message, and knows no commands.
type toy struct {
	*httptest.Server
	ca      *certs.Authority
	left    atomic.Int32                                                        // CheckOuts
	message func(w http.ResponseWriter, r *http.Request, m *apple.Message) bool // answers in its place when it says so
	front   func(w http.ResponseWriter, r *http.Request) bool                   // the same, of any request
}

var toyCA = sync.OnceValues(func() (*certs.Authority, error) { return certs.NewAuthority(certs.P256, "toy", time.Now()) })

func startToy(t *testing.T) *toy {
	t.Helper()
	ca, err := toyCA()
	if err != nil {
		t.Fatal(err)
	}
	s := &toy{ca: ca}
	mux := http.NewServeMux()
	mux.Handle("/scep", &scep.Server{CA: ca, Issue: func(_ context.Context, r *scep.Request) (*x509.Certificate, error) {
		if r.CSR == nil {
			return nil, &scep.Failure{Info: scep.BadRequest}
		}
		return ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "toy", Now: time.Now()})
	}})
	mux.HandleFunc("/enrol", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", apple.ProfileType)
		w.Write(s.profile())
	})
	mux.HandleFunc("/mdm", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var m apple.Message
		if apple.DecodeMessage(b, &m) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if s.message != nil && s.message(w, r, &m) {
			return
		}
		if m.MessageType == apple.CheckOut {
			s.left.Add(1)
		}
	})
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.front == nil || !s.front(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *toy) profile() []byte {
	return apple.EncodeProfile(&apple.Profile{
		Identifier: "toy", UUID: "AAAAAAAA-0000-4000-8000-000000000001",
		Payloads: []apple.Payload{
			{Type: apple.MDMPayload, Identifier: "toy.mdm", UUID: "AAAAAAAA-0000-4000-8000-000000000002", MDM: &apple.MDM{
				IdentityCertificateUUID: "AAAAAAAA-0000-4000-8000-000000000003", Topic: "com.apple.mgmt.toy", ServerURL: s.URL + "/mdm", AccessRights: apple.AllRights,
			}},
			{Type: apple.SCEPPayload, Identifier: "toy.scep", UUID: "AAAAAAAA-0000-4000-8000-000000000003", SCEP: &apple.SCEP{URL: s.URL + "/scep", Challenge: "c", Keysize: 2048}},
		},
	})
}

// config asks the toy by the link that it has.
func (s *toy) config(only ...string) Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return Config{Server: s.URL, Steps: target.FromLink(s.URL + "/enrol"), Roots: roots, Only: only, P256Keys: true, Request: time.Hour, Check: time.Hour, Settle: time.Millisecond}
}

func ask(t *testing.T, c Config) *Result {
	t.Helper()
	r, err := Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *Result) of(id string) Finding {
	for _, f := range r.Findings {
		if f.ID == id {
			return f
		}
	}
	return Finding{}
}

// TestDevicesLeave: every device that was enrolled checks out, that of a check which failed too.
func TestDevicesLeave(t *testing.T) {
	s := startToy(t)
	s.message = func(w http.ResponseWriter, _ *http.Request, m *apple.Message) bool {
		if m.MessageType == apple.GetBootstrapToken {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	}
	r := ask(t, s.config("APL-037", "APL-050"))
	if f := r.of("APL-037"); f.Outcome != Fail || f.Exchange == nil || f.Exchange.Status != http.StatusNotFound {
		t.Errorf("APL-037: %+v", f)
	}
	if f := r.of("APL-050"); f.Outcome != Pass || f.Exchange != nil {
		t.Errorf("APL-050: %+v", f)
	}
	if r.Enrolled != 2 || s.left.Load() != 2 || len(r.Left) != 0 {
		t.Errorf("%d enrolled, %d left, %v remain", r.Enrolled, s.left.Load(), r.Left)
	}
	if err := r.Err(); err == nil || err.(interface{ Verdict() string }).Verdict() != "failed" {
		t.Errorf("verdict %v", err)
	}
}

// TestDeviceThatCannotLeave is told.
func TestDeviceThatCannotLeave(t *testing.T) {
	s := startToy(t)
	s.message = func(w http.ResponseWriter, _ *http.Request, m *apple.Message) bool {
		if m.MessageType == apple.CheckOut {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		return false
	}
	if r := ask(t, s.config("APL-050")); len(r.Left) != 1 || !strings.Contains(r.Left[0], "500") {
		t.Errorf("left %v, want the one device with 500", r.Left)
	}
}

// TestDeviceThatIsNotForgotten is told too, where the step that forgets it says nothing of that.
func TestDeviceThatIsNotForgotten(t *testing.T) {
	s := startToy(t)
	s.message = func(w http.ResponseWriter, _ *http.Request, m *apple.Message) bool {
		if m.MessageType == apple.CheckOut {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return m.MessageType == apple.CheckOut
	}
	for _, enrolled := range []bool{true, false} {
		c := s.config("APL-050")
		c.Steps.Forget = func(context.Context, string) error { return nil }
		c.Steps.Known = func(context.Context, string) (target.Standing, error) {
			return target.Standing{Enrolled: enrolled}, nil
		}
		if r := ask(t, c); (len(r.Left) == 1) != enrolled {
			t.Errorf("enrolled still: %t; left %v", enrolled, r.Left)
		}
	}
}

// TestServerThatHangs: the run ends when its time is over, with what it knows, and says what it could not ask.
func TestServerThatHangs(t *testing.T) {
	s := startToy(t)
	hang := make(chan struct{})
	defer close(hang)
	s.message = func(_ http.ResponseWriter, r *http.Request, m *apple.Message) bool {
		if m.MessageType == apple.TokenUpdate {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
			return true
		}
		return false
	}
	c := s.config("APL-001", "APL-050", "APL-037", "APL-040")
	c.AtOnce = 1
	r := new(Result)
	for c.Request = 30 * time.Millisecond; r.of("APL-001").Outcome != Pass; c.Request *= 4 { // a busy machine takes longer to answer
		if c.Request > time.Minute {
			t.Fatalf("nothing is answered within %s: %s", c.Request/4, r.of("APL-001").Reason)
		}
		r = ask(t, c)
	}
	for _, id := range []string{"APL-050", "APL-037", "APL-040"} {
		if f := r.of(id); f.Outcome != Unasked {
			t.Errorf("%s: %s %s, want it not asked", id, f.Outcome, f.Reason)
		}
	}
	if err := r.Err(); err == nil || err.(interface{ Verdict() string }).Verdict() != "invalid" {
		t.Errorf("verdict %v, want invalid", err)
	}
}

// TestSilentServerIsGivenUp: after some requests without an answer nobody waits for more.
func TestSilentServerIsGivenUp(t *testing.T) {
	s := startToy(t)
	c := s.config()
	s.Close()
	c.Suites, c.AtOnce = []Suite{Apple}, 1
	r := ask(t, c)
	for _, f := range r.Findings {
		if f.Outcome != Unasked && f.Outcome != NotApplicable {
			t.Errorf("%s: %s", f.ID, f.Outcome)
		}
	}
	if f := r.of("APL-101"); !strings.Contains(f.Reason, "in a row") && f.Outcome != NotApplicable {
		t.Errorf("the last: %s", f.Reason)
	}
	if f := r.of("HST-030"); !strings.Contains(f.Reason, "has not answered for 6 requests in a row") {
		t.Errorf("a late one: %s", f.Reason)
	}
}

// TestServerThatAnswersHTML, and nothing else.
func TestServerThatAnswersHTML(t *testing.T) {
	s := startToy(t)
	html := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!DOCTYPE html><html><body>welcome</body></html>")
	}))
	html.StartTLS()
	defer html.Close()
	c := s.config("APL-001", "APL-050")
	c.Steps = target.FromLink(html.URL)
	c.Roots = x509.NewCertPool()
	c.Roots.AddCert(html.Certificate())
	r := ask(t, c)
	if f := r.of("APL-001"); f.Outcome != Fail || !strings.Contains(f.Exchange.Received, "welcome") {
		t.Errorf("APL-001: %+v", f)
	}
	if f := r.of("APL-050"); f.Outcome != Unasked {
		t.Errorf("APL-050: %+v", f)
	}
}

// TestServerThatLies: answers that are not what they say are told as what they are, nothing of them is believed, and whoever
// was enrolled leaves.
func TestServerThatLies(t *testing.T) {
	endless := func(w http.ResponseWriter) {
		for chunk := bytes.Repeat([]byte("x"), 1<<20); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	for name, tt := range map[string]struct {
		path  string
		lie   func(w http.ResponseWriter)
		wants string
		comes Outcome // empty: not asked
	}{
		"an identity that is none":            {"/scep", func(w http.ResponseWriter) { w.Write([]byte("0\x03\x02\x01\x01")) }, "GetCACert brought no certificate", ""},
		"a SCEP service that is endless":      {"/scep", endless, "GetCACert brought no certificate", ""},
		"a profile that is another's":         {"/enrol", func(w http.ResponseWriter) { w.Write([]byte("<plist><dict/></plist>")) }, "no enrolment profile", ""},
		"a profile that is endless":           {"/enrol", endless, "no enrolment profile", ""},
		"200 with half of an answer":          {"/mdm", func(w http.ResponseWriter) { w.Header().Set("Content-Length", "100"); w.Write([]byte("half")) }, "unexpected EOF", ""},
		"work that is no command, for always": {"/mdm", func(w http.ResponseWriter) { w.Write([]byte("<html>welcome</html>")) }, "neither with nothing nor with a command", Fail},
	} {
		t.Run(name, func(t *testing.T) {
			s := startToy(t)
			s.front = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == tt.path {
					tt.lie(w)
					return true
				}
				return false
			}
			if tt.comes == "" {
				tt.comes = Unasked
			}
			r := ask(t, s.config("APL-050"))
			if f := r.of("APL-050"); f.Outcome != tt.comes || !strings.Contains(f.Reason, tt.wants) {
				t.Errorf("%s: %s, want %q", f.Outcome, f.Reason, tt.wants)
			}
		})
	}
}

// TestServerThatDemands what is not spoken here is told so.
func TestServerThatDemands(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(p *apple.Profile)
		wants  string
	}{
		"ACME": {func(p *apple.Profile) {
			p.Payloads[1] = apple.Payload{Type: "com.apple.security.acme", Identifier: "toy.acme", UUID: p.Payloads[1].UUID, Settings: map[string]any{"DirectoryURL": "https://rollcall.invalid/"}}
		}, "only SCEP is spoken"},
		"no MDM": {func(p *apple.Profile) { p.Payloads = p.Payloads[1:] }, "no MDM payload"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startToy(t)
			p, err := apple.DecodeProfile(s.profile())
			if err != nil {
				t.Fatal(err)
			}
			tt.change(p)
			c := s.config("APL-050", "APL-037")
			c.Steps = target.FromProfile(apple.EncodeProfile(p))
			for _, f := range ask(t, c).Findings {
				if f.Outcome != Unasked || !strings.Contains(f.Reason, tt.wants) {
					t.Errorf("%s: %s: %s, want %q", f.ID, f.Outcome, f.Reason, tt.wants)
				}
			}
		})
	}
}

// TestServerThatChangesItsMind half-way is found where it does.
func TestServerThatChangesItsMind(t *testing.T) {
	s := startToy(t)
	var n atomic.Int32
	s.message = func(w http.ResponseWriter, _ *http.Request, m *apple.Message) bool {
		if n.Add(1) > 10 && m.MessageType != apple.CheckOut {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	}
	c := s.config("APL-030", "APL-050", "APL-094")
	c.AtOnce = 1
	r := ask(t, c)
	failed := r.count(Fail) + r.count(Unasked)
	if failed == 0 || r.Enrolled == 0 {
		t.Errorf("%s", r.headline())
	}
}

// TestRemovalAnywhere: an answer that a device takes for its removal fails APL-094 whichever check meets it; one to a user's
// channel, or to a device that leaves, does not.
func TestRemovalAnywhere(t *testing.T) {
	for _, tt := range []struct {
		name string
		asks string
		when func(m *apple.Message) bool
		want Outcome
	}{
		{"Idle", "APL-040", func(m *apple.Message) bool { return m.MessageType == apple.NoMessageType }, Fail},
		{"a bootstrap token", "APL-037", func(m *apple.Message) bool {
			return len(m.BootstrapToken) > 0 && bytes.HasPrefix(m.BootstrapToken, []byte("boot"))
		}, Fail},
		{"a user", "APL-038", func(m *apple.Message) bool { return m.UserChannel() }, Pass},
		{"leaving", "APL-036", func(m *apple.Message) bool { return m.MessageType == apple.CheckOut }, Pass},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startToy(t)
			s.message = func(w http.ResponseWriter, _ *http.Request, m *apple.Message) bool {
				if tt.when(m) {
					w.WriteHeader(http.StatusGone)
					return true
				}
				return false
			}
			f := ask(t, s.config(tt.asks, "APL-094")).of("APL-094")
			if f.Outcome != tt.want || tt.want == Fail && (f.Exchange == nil || f.Exchange.Status != http.StatusGone) {
				t.Errorf("%s: %s %+v", f.Outcome, f.Reason, f.Exchange)
			}
		})
	}
}

// TestAPL057Unseen: where pushes are not seen, nobody is told that none followed.
func TestAPL057Unseen(t *testing.T) {
	s := startToy(t)
	queued, sent := []string{"one", "two"}, 0
	s.message = func(w http.ResponseWriter, _ *http.Request, m *apple.Message) bool {
		if m.MessageType != apple.NoMessageType || sent == len(queued) {
			return false
		}
		w.Write(apple.EncodeCommand(nil, queued[sent], apple.SecurityInfo{}))
		sent++
		return true
	}
	c := s.config("APL-057")
	c.Steps.Queue = func(context.Context, string, target.Order) (string, error) { sent = 0; return "", nil }
	sent = len(queued)
	if f := ask(t, c).of("APL-057"); f.Outcome != NotApplicable || !strings.Contains(f.Reason, "--apns-listen") {
		t.Errorf("%s: %s", f.Outcome, f.Reason)
	}
}

// TestAdapterThatQueuesNothing is told as such, and the server is not blamed for it.
func TestAdapterThatQueuesNothing(t *testing.T) {
	s := startToy(t)
	c := s.config("APL-050", "APL-051", "APL-055", "HST-033")
	c.Settle = time.Millisecond
	c.Steps.Queue = func(context.Context, string, target.Order) (string, error) { return "rubbish", nil }
	r := ask(t, c)
	for _, f := range r.Findings {
		if f.ID == "APL-050" && f.Outcome != Pass || f.ID != "APL-050" && (f.Outcome != Unasked || !strings.Contains(f.Reason, "queue step does nothing")) {
			t.Errorf("%s: %s: %s", f.ID, f.Outcome, f.Reason)
		}
	}
	if len(r.Left) > 0 || int(s.left.Load()) != r.Enrolled {
		t.Errorf("%d enrolled, %d left, %v remain", r.Enrolled, s.left.Load(), r.Left)
	}
}

// TestWrongCA: a server whose certificate nobody vouches for is not asked.
func TestWrongCA(t *testing.T) {
	s := startToy(t)
	c := s.config("APL-050")
	c.Roots = x509.NewCertPool()
	if f := ask(t, c).of("APL-050"); f.Outcome != Unasked || !strings.Contains(f.Reason, "certificate") {
		t.Errorf("%+v", f)
	}
}

// TestAdapters that fail, or print rubbish.
func TestAdapters(t *testing.T) {
	for name, tt := range map[string]struct {
		enrol target.Enrolment
		err   error
		want  string
	}{
		"fails":   {err: errors.New("no such tenant"), want: "no such tenant"},
		"rubbish": {enrol: target.Enrolment{Profile: []byte("rubbish\x00\x01")}, want: "9 bytes that are none"},
		"nothing": {want: "malformed"},
		"no URL":  {enrol: target.Enrolment{URL: "http://[::1"}, want: "link"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Steps: &target.Steps{Enrol: func(context.Context, protocol.Platform, int) (target.Enrolment, error) { return tt.enrol, tt.err }}, Only: []string{"APL-050"}, Roots: x509.NewCertPool()}
			if f := ask(t, c).of("APL-050"); f.Outcome != Unasked || !strings.Contains(f.Reason, tt.want) {
				t.Errorf("%+v, want %q", f, tt.want)
			}
		})
	}
}

// TestInterrupted: a run whose context ends tells what it has, and its devices leave all the same.
func TestInterrupted(t *testing.T) {
	s := startToy(t)
	ctx, cancel := context.WithCancel(context.Background())
	s.message = func(_ http.ResponseWriter, _ *http.Request, m *apple.Message) bool {
		if m.MessageType == apple.NoMessageType {
			cancel()
		}
		return false
	}
	c := s.config("APL-050", "APL-037")
	c.AtOnce = 1
	r, err := Run(ctx, c)
	if err != nil || !r.Interrupted || s.left.Load() == 0 {
		t.Errorf("%+v, %v, %d left", r, err, s.left.Load())
	}
	if err := r.Err(); err == nil || err.(interface{ Verdict() string }).Verdict() != "partial" {
		t.Errorf("verdict %v, want partial", err)
	}
	for _, f := range r.Findings {
		if f.Outcome != Unasked || f.Reason != "interrupted" {
			t.Errorf("%s: %s: %s", f.ID, f.Outcome, f.Reason)
		}
	}
}

// TestOthers: what changes on a device that is not the run's is told.
func TestOthers(t *testing.T) {
	s := startToy(t)
	for _, tt := range []struct {
		after map[string]string
		want  string
	}{
		{map[string]string{"X": "enrolled", "0000C0F0-0000000000000001": "enrolled"}, ""},
		{map[string]string{}, "X: it is gone"},
		{map[string]string{"X": "ended"}, "X: was enrolled; is ended"},
	} {
		c := s.config("APL-050")
		asked := 0
		c.Steps.Devices = func(context.Context) (map[string]string, error) {
			if asked++; asked == 1 {
				return map[string]string{"X": "enrolled"}, nil
			}
			return tt.after, nil
		}
		r := ask(t, c)
		if got := strings.Join(r.Others.Changed, ""); got != tt.want || !r.Others.Checked || r.Others.Devices != 1 {
			t.Errorf("%+v, want %q", r.Others, tt.want)
		}
		if (r.Err() == nil) != (tt.want == "") {
			t.Errorf("verdict %v", r.Err())
		}
	}
}

// TestOthersThatCannotBeListed: the reason is that listing them failed, before or after, and not that nobody could.
func TestOthersThatCannotBeListed(t *testing.T) {
	s := startToy(t)
	for _, at := range []int{1, 2} {
		c := s.config("APL-050")
		asked := 0
		c.Steps.Devices = func(context.Context) (map[string]string, error) {
			if asked++; asked == at {
				return nil, errors.New("nothing within 10s")
			}
			return map[string]string{}, nil
		}
		r := ask(t, c)
		var b strings.Builder
		if err := r.Summary(&b); err != nil || !strings.Contains(b.String(), "listing them failed: nothing within 10s") || strings.Contains(b.String(), "does not list them") {
			t.Errorf("time %d: %s", at, &b)
		}
	}
}

// TestScore: headline and badge have the same figures, also where hardly anything could be asked.
func TestScore(t *testing.T) {
	s := startToy(t)
	c := s.config("APL-001", "APL-050", "APL-037", "APL-080")
	c.Steps = target.FromProfile([]byte("<html>"))
	r := ask(t, c)
	var badge strings.Builder
	if err := r.Badge(&badge); err != nil || !strings.HasPrefix(r.headline(), "0 of 3 statements pass") || !strings.Contains(badge.String(), "0 of 3") {
		t.Errorf("%s; %s", r.headline(), &badge)
	}
}

// TestAloneStatements are not asked of a tenant that is not the run's, nor of one with other devices.
func TestAloneStatements(t *testing.T) {
	s := startToy(t)
	c := s.config("APL-090")
	if f := ask(t, c).of("APL-090"); f.Outcome != NotApplicable || !strings.Contains(f.Reason, "--tenant-is-mine") {
		t.Errorf("%+v", f)
	}
	c.Mine = true
	c.Steps.Devices = func(context.Context) (map[string]string, error) { return map[string]string{"X": "enrolled"}, nil }
	if f := ask(t, c).of("APL-090"); f.Outcome != NotApplicable || !strings.Contains(f.Reason, "other devices, X among them") {
		t.Errorf("%+v", f)
	}
}

// fieldReport is how an issue, a thread, an advisory or somebody's source is named.
var fieldReport = regexp.MustCompile(`[a-z0-9]#[0-9]|Docs#[0-9]|CVE-|VU#|Duo |forum thread|nanomdm|zentral`)

// TestStatements are whole: each has what a reader needs, and an id of its own.
func TestStatements(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range List() {
		if seen[s.ID] || s.Says == "" || s.Source == "" || (s.Until == "") != (s.check != nil || s.try != nil) || (s.try != nil && !s.Suite.OfDevices()) {
			t.Errorf("%+v", s)
		}
		if s.Why == "" || s.How == "" || s.Fix == "" {
			t.Errorf("%s: why, how and fix are due", s.ID)
		}
		if told := fieldReport.MatchString(s.Why + s.Source); told == (s.Report != "") {
			t.Errorf("%s: a field report is told by Why or Source: %t, by Report: %q", s.ID, told, s.Report)
		}
		seen[s.ID] = true
	}
	for id := range reports {
		if !seen[id] {
			t.Errorf("there is a report on %s, and no such statement", id)
		}
	}
	if _, ok := Find("apl-053"); !ok {
		t.Error("ids are found in any case")
	}
}

func TestRunRefuses(t *testing.T) {
	if _, err := Run(t.Context(), Config{}); err == nil {
		t.Error("a run without a way to enrol")
	}
	steps := target.FromProfile(nil)
	if _, err := Run(t.Context(), Config{Steps: steps, Only: []string{"APL-999"}}); err == nil || !strings.Contains(err.Error(), "APL-999") {
		t.Errorf("an unknown id: %v", err)
	}
	if _, err := Run(t.Context(), Config{Steps: steps, Only: []string{"APL-093"}}); err == nil || !strings.Contains(err.Error(), "conform device") {
		t.Errorf("a statement about devices: %v", err)
	}
	if _, err := Run(t.Context(), Config{Steps: steps, Only: []string{"AUTH-30"}}); err == nil || !strings.Contains(err.Error(), "--as intune") {
		t.Errorf("a statement of class intune: %v", err)
	}
}

// TestNoSecretsAreShown: what a report shows of an exchange has no secret in it.
func TestNoSecretsAreShown(t *testing.T) {
	m := apple.Message{MessageType: apple.TokenUpdate, UDID: "U", Topic: "t", Token: []byte("secret-token"), PushMagic: "secret-magic", UnlockToken: []byte("secret-unlock")}
	for _, cut := range []int{0, 40} {
		body := apple.EncodeMessage(nil, &m)
		got := shown(body[:len(body)-cut], mostShown)
		if strings.Contains(got, "secret") || strings.Contains(got, "c2VjcmV0") || !strings.Contains(got, "TokenUpdate") {
			t.Errorf("shown: %s", got)
		}
	}
	if got := shown([]byte("\x1b[31mred"), 100); strings.Contains(got, "\x1b") {
		t.Errorf("shown: %q", got)
	}
	if got := shown([]byte(strings.Repeat("x", 9000)), 100); len(got) > 200 || !strings.Contains(got, "9000 bytes in all") {
		t.Errorf("shown: %d bytes, %s", len(got), got)
	}
}
