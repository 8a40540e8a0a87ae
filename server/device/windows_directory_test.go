package device

import (
	"bytes"
	"context"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/csp"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// newDirectoryLab believes tokens that say "user|device"; one without a bar is forged.
func newDirectoryLab(t *testing.T, change ...func(*Config)) *lab {
	return newWindowsLab(t, append([]func(*Config){func(c *Config) {
		c.Windows.Verify = func(_ context.Context, _ protocol.Time, token string) (*EntraClaims, error) {
			upn, device, ok := strings.Cut(token, "|")
			if !ok {
				return nil, errMethod
			}
			return &EntraClaims{UPN: upn, Device: device}, nil
		}
	}}, change...)...)
}

// brings has p enrol with a token of the directory, and with context items beside the usual ones: names and values in turn.
func (p *pc) brings(kind, token string, items ...string) *windows.Fault {
	p.lab.t.Helper()
	p.context = nil
	for i := 0; i < len(items); i += 2 {
		p.context = append(p.context, windows.ContextItem{Name: items[i], Value: items[i+1]})
	}
	given, f := p.ask(windows.Header{Credential: windows.Credential{Kind: windows.JWT, Token: []byte(token)}}, p.rst(kind, csr(p.lab.t, p.key)))
	if f == nil {
		p.wears(given.Client, p.key)
		p.sync()
	}
	return f
}

// TestAUTH47EnrolmentManager: the devices that an enrolment manager registers, by a token or a link, are outside the device limit, and the
// account is their user. Who is none any more keeps them, and gets no more.
func TestAUTH47EnrolmentManager(t *testing.T) {
	l := newDirectoryLab(t)
	l.must(l.core.ChangeSettings(context.Background(), l.pnow(), server.System, "", func(s *server.Settings) { s.DeviceLimit = 1 }))
	manages := func(is bool) {
		_, err := l.core.PutUsersWith(context.Background(), l.pnow(), []string{ada}, func(_ int, u *store.User) { u.Manager = is })
		l.must(err)
	}
	manages(true)
	pcs := []*pc{l.pc(pcID(1)), l.pc(pcID(2)), l.pc(pcID(3))}
	for i, p := range pcs[:2] {
		if f := p.brings(windows.EnrollmentFull, ada+"|d"+string('1'+rune(i))); f != nil {
			t.Fatal(f)
		}
	}
	pcs[2].enrol()
	manages(false)
	if f := l.pc(pcID(4)).brings(windows.EnrollmentFull, ada+"|d4"); f == nil || f.HRESULT() != windows.EDeviceCapReached {
		t.Errorf("of who is no manager any more: %v", f)
	}
	for i, p := range pcs {
		if s := p.state(); s.Life != delivery.Enrolled || s.User != l.user {
			t.Errorf("device %d is %s, of user %d", i, s.Life, s.User)
		}
	}
}

// TestAUTH47DirectoryWays: of a user's devices of the directory the limit counts those that are only registered with it.
func TestAUTH47DirectoryWays(t *testing.T) {
	l := newDirectoryLab(t)
	l.must(l.core.ChangeSettings(context.Background(), l.pnow(), server.System, "", func(s *server.Settings) { s.DeviceLimit = 1 }))
	if f := l.pc(pcID(1)).brings(windows.EnrollmentFull, ada+"|d1"); f != nil {
		t.Fatal(f)
	}
	for i, tt := range []struct {
		name, kind string
		items      []string
		want       windows.HRESULT
	}{
		{"registered", windows.EnrollmentFull, nil, windows.EDeviceCapReached},
		{"joined", windows.EnrollmentDevice, nil, 0},
		{"by group policy", windows.EnrollmentFull, []string{windows.ItemUXInitiated, "False"}, 0},
		{"by Autopilot", windows.EnrollmentDevice, []string{windows.ItemNotInOobe, "false", windows.ItemZeroTouch, "r1"}, 0},
		{"registered, by its user", windows.EnrollmentFull, []string{windows.ItemUXInitiated, "true"}, windows.EDeviceCapReached},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := l.pc(pcID(2+i)).brings(tt.kind, ada+"|d"+tt.name, tt.items...)
			if got := hresult(f); got != tt.want {
				t.Errorf("%v, want %v", f, tt.want)
			}
		})
	}
}

func hresult(f *windows.Fault) windows.HRESULT {
	if f == nil {
		return 0
	}
	return f.HRESULT()
}

// TestAUTH51CoManagedEnrolment: where a PC of the user is co-managed, one that enrols by itself comes through Configuration Manager: it
// is co-managed from the first moment, and its client is asked in each session, in a tenant of Intune's too (WIN-068).
func TestAUTH51CoManagedEnrolment(t *testing.T) {
	l := newDirectoryLab(t)
	_, err := l.core.PutUsers(context.Background(), l.pnow(), []store.User{{UPN: ada, Groups: []string{"all"}, User: authority.User{IntuneLicence: true, CoManaged: true, Premium: true}}})
	l.must(err)
	by := l.pc(pcID(1))
	if f := by.brings(windows.EnrollmentDevice, ada+"|d1", windows.ItemUXInitiated, "false"); f != nil {
		t.Fatal(f)
	}
	if by.state().CoManaged {
		t.Error("it is co-managed, and has no client that says so")
	}
	p := l.pc(pcID(2))
	p.tree[csp.NodeConfigInfo] = "3"
	if f := p.brings(windows.EnrollmentDevice, ada+"|d2", windows.ItemUXInitiated, "false"); f != nil {
		t.Fatal(f)
	}
	if s := p.state(); !s.CoManaged || !s.Told || s.Workloads != authority.Compliance {
		t.Errorf("co-managed %v, workloads %s, told %v", s.CoManaged, s.Workloads, s.Told)
	}
}

// TestTermsOfUse: a user of the directory sees the terms and accepts or declines them, always by 302 and to an app of the device's alone;
// what accepting gave is needed to enrol, and is good for this user, these terms and an hour (windows.md section 2).
func TestTermsOfUse(t *testing.T) {
	l := newDirectoryLab(t, func(c *Config) { c.Windows.Terms = "Be <good>." })
	p := l.pc(pcID(1))
	const back = "ms-appx-web://Microsoft.AAD.BrokerPlugin/DRS?x=1"
	visit := func(method, to, token string, form url.Values) *httptest.ResponseRecorder {
		header := []string{"Content-Type", "application/x-www-form-urlencoded"}
		if token != "" {
			header = append(header, "Authorization", "Bearer "+token)
		}
		target := termsPath
		if form != nil {
			form.Set("redirect_uri", to)
		} else {
			target += "?" + url.Values{"redirect_uri": {to}, "client-request-id": {"c1"}, "api-version": {"1.0"}, "mode": {"azureadjoin"}}.Encode()
		}
		return l.from("192.0.2.1:1", method, target, form.Encode(), header...)
	}
	led := func(a *httptest.ResponseRecorder) url.Values {
		u, err := url.Parse(a.Header().Get("Location"))
		if err != nil || a.Code != http.StatusFound || u.Scheme != "ms-appx-web" || u.Query().Get("x") != "1" {
			t.Fatalf("answered %d to %s", a.Code, a.Header().Get("Location"))
		}
		return u.Query()
	}
	for _, evil := range []string{"", "https://evil.example", "javascript:alert(1)"} {
		if a := visit("GET", evil, ada+"|d1", nil); a.Code != 400 {
			t.Errorf("redirect_uri %q answered %d, want 400", evil, a.Code)
		}
		if a := visit("POST", evil, "", url.Values{"accept": {"yes"}, "blob": {"b"}}); a.Code != 400 {
			t.Errorf("redirect_uri %q, accepted, answered %d, want 400", evil, a.Code)
		}
	}
	for token, want := range map[string]string{"": "invalid_request", "forged": "unauthorized_client", "eve@elsewhere.example|d1": "access_denied", "|d1": "access_denied"} {
		if q := led(visit("GET", back, token, nil)); q.Get("error") != want || q.Get("error_description") == "" || q.Get("IsAccepted") != "" {
			t.Errorf("token %q: %v, want error %s", token, q, want)
		}
	}
	shown := func() string {
		a := visit("GET", back, ada+"|d1", nil)
		blob := regexp.MustCompile(`name="blob" value="([^"]*)"`).FindSubmatch(a.Body.Bytes())
		if a.Code != 200 || blob == nil || !bytes.Contains(a.Body.Bytes(), []byte("Be &lt;good&gt;.")) {
			t.Fatalf("the page answered %d %s", a.Code, a.Body)
		}
		return html.UnescapeString(string(blob[1]))
	}
	if q := led(visit("POST", back, "", url.Values{"accept": {"no"}, "blob": {shown()}})); q.Get("IsAccepted") != "false" || q.Get("OpaqueBlob") != "" {
		t.Errorf("declined: %v", q)
	}
	q := led(visit("POST", back, "", url.Values{"accept": {"yes"}, "blob": {shown()}}))
	if q.Get("IsAccepted") != "true" {
		t.Fatalf("accepted: %v", q)
	}
	blob := q.Get("OpaqueBlob")
	enrols := func(n int, token, data string, items ...string) windows.HRESULT {
		return hresult(l.pc(pcID(n)).brings(windows.EnrollmentDevice, token, append(items, windows.ItemEnrollmentData, data)...))
	}
	for i, data := range []string{"", "x", blob + "x", "zz" + blob} {
		if got := enrols(1, ada+"|d1", data); got != windows.EInvalidEnrollmentData {
			t.Errorf("%d: enrolment data %q: %v", i, data, got)
		}
		l.untouched(t, p, "")
	}
	if got := enrols(1, ada+"|d1", blob); got != 0 {
		t.Errorf("accepted: %v", got)
	}
	if got := enrols(2, "|d2", ""); got != 0 {
		t.Errorf("a device without a user: %v", got)
	}
	if got := enrols(3, ada+"|d3", "", windows.ItemUXInitiated, "false"); got != 0 {
		t.Errorf("by itself: %v", got)
	}
	_, err := l.core.PutUsers(context.Background(), l.pnow(), []store.User{{UPN: "bob@example.org", Groups: []string{"all"}, User: authority.User{IntuneLicence: true}}})
	l.must(err)
	if got := enrols(6, "bob@example.org|d6", blob); got != windows.EInvalidEnrollmentData {
		t.Errorf("what another user has seen: %v", got)
	}
	l.setClock(l.now().Add(termsLife + time.Second))
	if got := enrols(4, ada+"|d4", blob); got != windows.EInvalidEnrollmentData {
		t.Errorf("too late: %v", got)
	}
	blob = shown()
	l.h.cfg.Windows.Terms = "Be better."
	if got := enrols(5, ada+"|d5", blob); got != windows.EInvalidEnrollmentData {
		t.Errorf("other terms: %v", got)
	}
}
