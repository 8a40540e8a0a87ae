package device

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/windows"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/csp"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

func TestWIN001Probe(t *testing.T) {
	l := newWindowsLab(t)
	if a := l.get(windows.DiscoveryPath, nil); a.status != 200 || len(a.body) != 0 || a.length != 0 {
		t.Errorf("answered %d %q, want 200 and nothing", a.status, a.body)
	}
	off := newLab(t)
	if a := off.get(windows.DiscoveryPath, nil); a.status != http.StatusNotFound {
		t.Errorf("a server without Windows answered %d, want 404", a.status)
	}
}

// discovers asks for discovery; a fault comes back as nil.
func (p *pc) discovers(version windows.Version, policies ...string) *windows.DiscoverResponse {
	p.lab.t.Helper()
	_, e := p.post(windows.DiscoveryPath, windows.Header{}, &windows.Discover{
		EmailAddress: ada, RequestVersion: version, DeviceType: windows.DeviceDesktop, ApplicationVersion: "10.0.22631.1", OSEdition: 48, AuthPolicies: policies,
	})
	if e.Header.RelatesTo != "urn:uuid:"+p.id {
		p.lab.t.Errorf("RelatesTo %q (WIN-006)", e.Header.RelatesTo)
	}
	r, _ := e.Body.(*windows.DiscoverResponse)
	return r
}

func TestWIN003Discovery(t *testing.T) {
	p := newWindowsLab(t).pc(pcID(1))
	for _, tt := range []struct {
		rule      string
		version   windows.Version
		policies  []string
		want      string // policy; empty: a fault
		highest   windows.Version
		federated bool
	}{
		{"WIN-003 3.0", windows.Version{Major: 3}, []string{windows.OnPremise}, windows.OnPremise, windows.Version{Major: 3}, false},
		{"WIN-003 9.0", windows.Version{Major: 9}, []string{windows.OnPremise}, windows.OnPremise, windows.Version{Major: 5}, false},
		{"WIN-004 both", windows.Version{Major: 5}, []string{windows.Federated, windows.OnPremise}, windows.OnPremise, windows.Version{Major: 5}, false},
		{"WIN-005 Federated alone", windows.Version{Major: 5}, []string{windows.Federated}, windows.Federated, windows.Version{Major: 5}, true},
		{"WIN-067 a package", windows.Version{Major: 5}, []string{windows.Certificate}, windows.Certificate, windows.Version{Major: 5}, false},
		{"WIN-004 none in common", windows.Version{Major: 5}, []string{"Kerberos"}, "", windows.Version{}, false},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			r := p.discovers(tt.version, tt.policies...)
			if tt.want == "" {
				if r != nil {
					t.Errorf("answered %+v, want a fault", r)
				}
				return
			}
			if r == nil || r.AuthPolicy != tt.want || r.EnrollmentVersion != tt.highest || (r.AuthenticationURL != "") != tt.federated {
				t.Fatalf("answered %+v", r)
			}
		})
	}
}

func TestWIN008OneHost(t *testing.T) {
	p := newWindowsLab(t).pc(pcID(1))
	for _, way := range []string{windows.OnPremise, windows.Federated, windows.Certificate} {
		r := p.discovers(windows.Version{Major: 5}, way)
		if r == nil {
			t.Fatalf("%s: a fault", way)
		}
		policy, _ := url.Parse(r.PolicyURL)
		enrolment, _ := url.Parse(r.EnrollmentURL)
		if policy.Host != testHost || policy.Host != enrolment.Host {
			t.Errorf("%s: policy at %s, enrolment at %s", way, policy.Host, enrolment.Host)
		}
	}
}

// eachAnswer has the server say yes and no at all its services for enrolment. The MessageID is urn:uuid:7, with white space around it; fault:
// empty where it says yes.
func eachAnswer(t *testing.T, holds func(t *testing.T, fault windows.Subcode, a answer, e *windows.Envelope)) {
	l := newWindowsLab(t)
	fresh := l.pc(pcID(2))
	rst := fresh.rst(windows.EnrollmentFull, csr(t, newKey()))
	discover := &windows.Discover{RequestVersion: windows.Version{Major: 5}, DeviceType: windows.DeviceDesktop, ApplicationVersion: "10.0", AuthPolicies: []string{windows.OnPremise}}
	for _, tt := range []struct {
		name, path string
		body       windows.Body
		who        windows.Header
		fault      windows.Subcode // empty: none
	}{
		{"discovery", windows.DiscoveryPath, discover, windows.Header{}, ""},
		{"no policy in common", windows.DiscoveryPath, &windows.Discover{RequestVersion: windows.Version{Major: 5}, AuthPolicies: []string{"Kerberos"}}, windows.Header{}, windows.SubcodeAuthentication},
		{"policy", windows.PolicyPath, &windows.GetPolicies{}, password(ada, l.ticketFor(l.user)), ""},
		{"policy for nobody", windows.PolicyPath, &windows.GetPolicies{}, windows.Header{}, windows.SubcodeInvalidSecurity},
		{"enrolment by a wrong password", windows.EnrollmentPath, rst, password(ada, "wrong"), windows.SubcodeAuthentication},
		{"discovery at the wrong service", windows.EnrollmentPath, discover, windows.Header{}, windows.SubcodeMessageFormat},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.who.MessageID, tt.who.To = "urn:uuid:7", "https://"+testHost+tt.path
			raw := bytes.Replace(windows.EncodeEnvelope(nil, &windows.Envelope{Header: tt.who, Body: tt.body}), []byte("urn:uuid:7"), []byte("\n  urn:uuid:7 "), 1)
			a, e := fresh.postRaw(tt.path, raw)
			if e == nil {
				t.Fatalf("answered %d %q", a.status, a.body)
			}
			holds(t, tt.fault, a, e)
		})
	}
}

// Whatever the answer, it comes in one piece.
func TestWIN002Whole(t *testing.T) {
	eachAnswer(t, func(t *testing.T, _ windows.Subcode, a answer, _ *windows.Envelope) { whole(t, a) })
	t.Run("sessions", func(t *testing.T) {
		p := newWindowsLab(t).pc(pcID(1)).enrol()
		a, _ := p.sends(p.begin())
		whole(t, a)
		a, _ = p.sendRaw([]byte("<SyncML"))
		whole(t, a)
	})
}

// An answer is tied to its request by the MessageID, trimmed.
func TestWIN006RelatesTo(t *testing.T) {
	eachAnswer(t, func(t *testing.T, _ windows.Subcode, _ answer, e *windows.Envelope) {
		if got := e.Header.RelatesTo; got != "urn:uuid:7" {
			t.Errorf("RelatesTo %q", got)
		}
	})
}

// No is HTTP 500 with s:Receiver and a subcode of the table, and yes is 200.
func TestWIN021Faults(t *testing.T) {
	eachAnswer(t, func(t *testing.T, fault windows.Subcode, a answer, e *windows.Envelope) {
		f, no := e.Body.(*windows.Fault)
		switch {
		case no != (fault != ""), no && (f.Subcode != fault || a.status != windows.FaultStatus || !bytes.Contains(a.body, []byte("s:Receiver<"))), !no && a.status != http.StatusOK:
			t.Errorf("answered %d %s, want %q", a.status, a.body, fault)
		}
	})
}

// whole wants an answer to have come in one piece.
func whole(t testing.TB, a answer) {
	t.Helper()
	if a.length != int64(len(a.body)) || a.header.Get("Transfer-Encoding") != "" {
		t.Errorf("Content-Length %d of %d bytes", a.length, len(a.body))
	}
}

func TestWIN007OtherSpelling(t *testing.T) {
	p := newWindowsLab(t).pc(pcID(1))
	raw := `<?xml version="1.0"?><env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope" xmlns:w="http://www.w3.org/2005/08/addressing"><env:Header>` +
		"<w:Action env:mustUnderstand=\"1\">\n " + windows.ActionDiscover + " \n</w:Action><w:MessageID>\n  urn:uuid:7 \n</w:MessageID></env:Header><env:Body>" +
		`<d:Discover xmlns:d="http://schemas.microsoft.com/windows/management/2012/01/enrollment/"><d:request><d:RequestVersion> 5.0 </d:RequestVersion>` +
		`<d:EmailAddress/><d:DeviceType>CIMClient_Windows</d:DeviceType><d:ApplicationVersion>10.0.22631.1</d:ApplicationVersion><d:OSEdition>48</d:OSEdition>` +
		`<d:AuthPolicies><d:AuthPolicy> OnPremise </d:AuthPolicy></d:AuthPolicies></d:request></d:Discover></env:Body></env:Envelope>`
	a, e := p.postRaw(windows.DiscoveryPath, []byte(raw))
	if e == nil || e.Header.RelatesTo != "urn:uuid:7" {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	if _, ok := e.Body.(*windows.DiscoverResponse); !ok {
		t.Errorf("answered %+v", e.Body)
	}
}

func TestWIN009SignIn(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1))
	page := func(appru string, form url.Values) answer {
		method, header := http.MethodGet, http.Header{}
		if form != nil {
			method = http.MethodPost
			header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		a, err := p.do(method, signInPath+"?"+url.Values{"appru": {appru}, "login_hint": {ada}}.Encode(), header, []byte(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, evil := range []string{"", "https://evil.example", "javascript:alert(1)", "ms-apps://x", "//evil.example"} {
		if a := page(evil, nil); a.status != 400 {
			t.Errorf("appru %q answered %d, want 400", evil, a.status)
		}
	}
	const back = `ms-app://s-1-15-2-1"><script>`
	token := l.ticketFor(l.user)
	if a := page(back, nil); a.status != 200 || bytes.Contains(a.body, []byte(`"><script>`)) {
		t.Errorf("the form answered %d %s", a.status, a.body)
	}
	if a := page(back, url.Values{"code": {"wrong"}}); !bytes.Contains(a.body, []byte("unknown")) || bytes.Contains(a.body, []byte("wresult")) {
		t.Errorf("a wrong code answered %s", a.body)
	}
	a := page(back, url.Values{"code": {token}})
	if !bytes.Contains(a.body, []byte(`name="wresult" value="`+token+`"`)) || bytes.Contains(a.body, []byte(`"><script>`)) {
		t.Fatalf("answered %s", a.body)
	}
	// The device brings it as its user token, in base64.
	given, f := p.ask(windows.Header{Credential: windows.Credential{Kind: windows.UserToken, Token: []byte(token)}}, p.rst(windows.EnrollmentFull, csr(t, p.key)))
	if f != nil || given.DMClient.UPN != ada {
		t.Errorf("enrolment with it: %v", f)
	}
}

// An enrolment link opened on a PC says how to enrol it, and is not used up by that (HST-037).
func TestWindowsLink(t *testing.T) {
	l := newWindowsLab(t)
	token := l.ticketFor(l.user)
	pc := http.Header{"User-Agent": {"Mozilla/5.0 (Windows NT 10.0; Win64; x64)"}}
	for range 2 {
		a := l.get("/e/"+token, pc)
		if a.status != 200 || !bytes.Contains(a.body, []byte(token)) || !bytes.Contains(a.body, []byte(ada)) || !bytes.Contains(a.body, []byte(`href="ms-device-enrollment:?mode=mdm&amp;`)) {
			t.Errorf("answered %d %s", a.status, a.body)
		}
	}
	if a := l.get("/e/"+token, http.Header{"User-Agent": {"Mozilla/5.0 (iPhone)"}}); a.status != http.StatusForbidden {
		t.Errorf("a phone is answered %d", a.status)
	}
	any := l.invite() // for any kind of device
	if a := l.get("/e/"+any, pc); !bytes.Contains(a.body, []byte("Enrol this PC")) {
		t.Errorf("a link for anything answered %d", a.status)
	}
	p := l.pc(pcID(1))
	if _, f := p.ask(password(ada, token), p.rst(windows.EnrollmentFull, csr(t, p.key))); f != nil {
		t.Error(f)
	}
	if a := l.get("/e/"+token, pc); a.status != http.StatusNotFound {
		t.Errorf("a used link is answered %d", a.status)
	}
}

func TestWIN010Policy(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1))
	token := l.ticketFor(l.user)
	_, e := p.post(windows.PolicyPath, password(ada, token), &windows.GetPolicies{})
	r, ok := e.Body.(*windows.GetPoliciesResponse)
	if !ok || r.Policy.Schema != 3 || r.Policy.MinimalKeyLength < 2048 || r.Policy.HashAlgorithm != windows.OIDSHA256 || r.Policy.Validity != 365*day || r.Policy.Renewal != 42*day {
		t.Errorf("answered %+v", e.Body)
	}
	_, e = p.post(windows.PolicyPath, password(ada, "guess"), &windows.GetPolicies{})
	if f, ok := e.Body.(*windows.Fault); !ok || f.HRESULT() != windows.EAuthentication {
		t.Errorf("a guess answered %+v", e.Body)
	}
	if _, f := p.ask(password(ada, token), p.rst(windows.EnrollmentFull, csr(t, p.key))); f != nil {
		t.Errorf("the policy used the link up: %v", f)
	}
}

func TestWIN012Requests(t *testing.T) {
	l := newWindowsLab(t)
	real, err := os.ReadFile("../../certs/testdata/windows.csr")
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		rule string
		csr  []byte
		want windows.HRESULT
	}{
		{"WIN-011 GUID!id in a PrintableString with a NUL", real, 0},
		{"WIN-012 bad self-signature", bytes.Replace(real, []byte("8090C8B4"), []byte("8090C8B5"), 1), windows.ECertificateRequest},
		{"WIN-012 1024 bits", csr(t, weak), windows.ECertificateRequest},
		{"WIN-012 no request at all", []byte("0"), windows.ECertificateRequest},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			p := l.pc(pcID(i))
			token := l.ticketFor(l.user)
			_, f := p.ask(password(ada, token), p.rst(windows.EnrollmentFull, tt.csr))
			if tt.want == 0 {
				if f != nil {
					t.Error(f)
				}
				return
			}
			if f == nil || f.HRESULT() != tt.want {
				t.Fatalf("fault %v, want %s", f, tt.want)
			}
			l.untouched(t, p, token)
		})
	}
}

// untouched checks that a refused enrolment left nothing: no record, and the link as it was (WIN-023, HST-044).
func (l *lab) untouched(t *testing.T, p *pc, token string) {
	t.Helper()
	t.Run("WIN-023", func(t *testing.T) {
		if _, err := l.store.Device(context.Background(), p.id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("there is a record of %s: %v", p.id, err)
		}
	})
	if token == "" {
		return
	}
	if _, err := l.core.Ticket(context.Background(), l.pnow(), token); err != nil {
		t.Errorf("the link is used up: %v (HST-044)", err)
	}
}

func TestHST018Envelopes(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1))
	token := l.ticketFor(l.user)
	head := password(ada, token)
	head.MessageID, head.To = "urn:uuid:1", "https://"+testHost+windows.EnrollmentPath
	good := string(windows.EncodeEnvelope(nil, &windows.Envelope{Header: head, Body: p.rst(windows.EnrollmentFull, csr(t, p.key))}))
	cut := func(from, to string) string { // with its ends
		a := strings.Index(good, from)
		return good[a : a+strings.Index(good[a:], to)+len(to)]
	}
	security := cut("<wsse:Security", "</wsse:Security>")
	bst := cut("<BinarySecurityToken", "</BinarySecurityToken>")
	body := cut("<s:Body>", "</s:Body>")
	header := cut("<s:Header>", "</s:Header>")
	for name, raw := range map[string]string{
		"two security headers":        strings.Replace(good, security, security+security, 1),
		"two user name tokens":        strings.Replace(good, "</wsse:Security>", cut("<wsse:UsernameToken>", "</wsse:UsernameToken>")+"</wsse:Security>", 1),
		"security inside another":     strings.Replace(good, security, `<x:wrap xmlns:x="urn:x">`+security+`</x:wrap>`, 1),
		"security in the body":        strings.Replace(strings.Replace(good, security, "", 1), "<s:Body>", "<s:Body>"+security, 1),
		"doubled binary token":        strings.Replace(good, bst, bst+bst, 1),
		"wrapped binary token":        strings.Replace(good, bst, `<x:wrap xmlns:x="urn:x">`+bst+`</x:wrap>`, 1),
		"binary token inside another": strings.Replace(good, bst, strings.Replace(bst, "</BinarySecurityToken>", bst+"</BinarySecurityToken>", 1), 1),
		"two bodies":                  strings.Replace(good, body, body+body, 1),
		"header after body":           strings.Replace(good, header+body, body+header, 1),
		"foreign namespace (HST-008)": strings.Replace(good, `<RequestSecurityToken xmlns="http://docs.oasis-open.org`, `<RequestSecurityToken xmlns="http://docs.oasis-closed.org`, 1),
		"another action":              strings.Replace(good, "RST/wstep", "RST/xstep", 1),
		"no action":                   strings.Replace(good, cut("<a:Action", "</a:Action>"), "", 1),
		"no MessageID":                strings.Replace(good, cut("<a:MessageID", "</a:MessageID>"), "", 1),
		"truncated":                   good[:len(good)-40],
		"a document type (HST-003)":   `<!DOCTYPE s [<!ENTITY a "b">]>` + good,
		"another body":                string(windows.EncodeEnvelope(nil, &windows.Envelope{Header: head, Body: &windows.GetPolicies{}})),
		"no SOAP at all":              "hello",
	} {
		t.Run(name, func(t *testing.T) {
			if raw == good {
				t.Fatal("it is not changed")
			}
			a, e := p.postRaw(windows.EnrollmentPath, []byte(raw))
			if e == nil || a.status != windows.FaultStatus {
				t.Fatalf("answered %d %s", a.status, a.body)
			}
			f, ok := e.Body.(*windows.Fault)
			if !ok || f.HRESULT() != windows.EMessageFormat && f.HRESULT() != windows.EInvalidSecurity {
				t.Errorf("answered %+v, want a fault of the format", e.Body)
			}
			l.untouched(t, p, token)
		})
	}
}

// The request for a certificate may come in base64 of several lines.
func TestWIN013LineBreaks(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1))
	head := password(ada, l.ticketFor(l.user))
	head.MessageID, head.To = "urn:uuid:1", "https://"+testHost+windows.EnrollmentPath
	good := string(windows.EncodeEnvelope(nil, &windows.Envelope{Header: head, Body: p.rst(windows.EnrollmentFull, csr(t, p.key))}))
	a, b := strings.Index(good, "<BinarySecurityToken"), strings.Index(good, "</BinarySecurityToken>")
	token := base64Of(good[a : b+1])
	wrapped := strings.Replace(good, token, lines(token), 1)
	if _, e := p.postRaw(windows.EnrollmentPath, []byte(wrapped)); e == nil || wrapped == good {
		t.Error("no envelope")
	} else if f, refused := e.Body.(*windows.Fault); refused {
		t.Error(f)
	}
}

func base64Of(element string) string {
	return element[strings.Index(element, ">")+1 : strings.LastIndex(element, "<")]
}

func lines(s string) string {
	var b strings.Builder
	for len(s) > 64 {
		b.WriteString(s[:64] + "\r\n")
		s = s[64:]
	}
	return b.String() + s
}

func TestWIN014Credentials(t *testing.T) {
	verified := map[string]*EntraClaims{
		"good":    {UPN: ada, Device: "d1"},
		"device":  {Device: "d2"},
		"package": {UPN: "package_0f2a@example.org"},
		"nobody":  {UPN: "eve@example.org"},
	}
	l := newWindowsLab(t, func(c *Config) {
		c.Windows.Verify = func(_ context.Context, _ protocol.Time, token string) (*EntraClaims, error) {
			if claims := verified[token]; claims != nil {
				return claims, nil
			}
			return nil, errors.New("signature does not verify")
		}
	})
	userless := l.ticketFor(0)
	phones, err := l.core.Invite(context.Background(), l.pnow(), l.user, protocol.IOS, time.Hour)
	l.must(err)
	secret := l.ticketFor(l.user)
	for i, tt := range []struct {
		name string
		cred windows.Credential
		want windows.HRESULT
		user delivery.UserID
	}{
		{"password", windows.Credential{Kind: windows.Password, Username: " ADA@example.org ", Password: secret}, 0, l.user},
		{"a used link (HST-037)", windows.Credential{Kind: windows.Password, Username: ada, Password: secret}, windows.EAuthentication, 0},
		{"another's link", windows.Credential{Kind: windows.Password, Username: "eve@example.org", Password: l.ticketFor(l.user)}, windows.EAuthentication, 0},
		{"a link for a phone", windows.Credential{Kind: windows.Password, Username: ada, Password: phones}, windows.EAuthentication, 0},
		{"no link", windows.Credential{Kind: windows.Password, Username: ada, Password: "hunter2"}, windows.EAuthentication, 0},
		{"no credential", windows.Credential{}, windows.EInvalidSecurity, 0},
		{"an unknown token", windows.Credential{Kind: windows.OtherToken, Token: []byte("x")}, windows.EInvalidSecurity, 0},
		{"WIN-067 service account", windows.Credential{Kind: windows.Password, Username: "package@example.org", Password: userless}, 0, 0},
		{"JWT", windows.Credential{Kind: windows.JWT, Token: []byte("good")}, 0, l.user},
		{"WIN-067 JWT of a device", windows.Credential{Kind: windows.JWT, Token: []byte("device")}, 0, 0},
		{"WIN-067 JWT of a package", windows.Credential{Kind: windows.JWT, Token: []byte("package")}, 0, 0},
		{"JWT of somebody unknown", windows.Credential{Kind: windows.JWT, Token: []byte("nobody")}, windows.EAuthorization, 0},
		{"HST-043 JWT that does not verify", windows.Credential{Kind: windows.JWT, Token: []byte("forged")}, windows.EAuthentication, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := l.pc(pcID(i))
			given, f := p.ask(windows.Header{Credential: tt.cred}, p.rst(windows.EnrollmentDevice, csr(t, p.key)))
			if tt.want != 0 {
				if f == nil || f.HRESULT() != tt.want {
					t.Errorf("fault %v, want %s", f, tt.want)
				}
				l.untouched(t, p, "")
				return
			}
			if f != nil {
				t.Fatal(f)
			}
			if s := p.state(); s.User != tt.user || (given.DMClient.UPN == "") != (tt.user == 0) || given.DMClient.SkipUserStatus != (tt.user == 0) {
				t.Errorf("user %d, UPN %q", s.User, given.DMClient.UPN)
			}
		})
	}
	for _, hidden := range []string{secret, userless, "hunter2"} {
		if strings.Contains(l.log.String(), hidden) {
			t.Errorf("the log has %q", hidden)
		}
	}
}

// TestHST043OneMachine: a token of a device of the directory enrols one machine at a time, however many bring it and however fast: the
// others are above the limit (AUTH-47). The same machine, set up anew, takes its own place; where the first has left, another may come.
func TestHST043OneMachine(t *testing.T) {
	l := newWindowsLab(t, func(c *Config) {
		c.Windows.Verify = func(_ context.Context, _ protocol.Time, token string) (*EntraClaims, error) {
			upn, device, _ := strings.Cut(token, "|")
			return &EntraClaims{UPN: upn, Device: device}, nil
		}
	})
	brings := func(p *pc, token string) *windows.Fault {
		given, f := p.ask(windows.Header{Credential: windows.Credential{Kind: windows.JWT, Token: []byte(token)}}, p.rst(windows.EnrollmentDevice, csr(t, p.key)))
		if f == nil {
			p.wears(given.Client, p.key)
		}
		return f
	}
	refused := func(f *windows.Fault) bool { return f != nil && f.HRESULT() == windows.EDeviceCapReached }
	for i, token := range []string{"|d1", ada + "|d2"} {
		first, second := l.pc(pcID(10*i+1)), l.pc(pcID(10*i+2))
		if f := brings(first, token); f != nil {
			t.Fatal(f)
		}
		if f := brings(second, token); !refused(f) {
			t.Errorf("%s: another machine beside one that has begun: %v", token, f)
		}
		first.sync()
		if f := brings(second, token); !refused(f) {
			t.Errorf("%s: another machine: %v", token, f)
		}
		l.untouched(t, second, "")
		var err error
		l.core, err = server.Open(context.Background(), l.pnow(), server.Config{Store: l.store})
		l.must(err)
		l.h.cfg.Server, l.h.cfg.Handle = l.core, l.core.Handle
		if f := brings(second, token); !refused(f) {
			t.Errorf("%s: another machine after a restart: %v", token, f)
		}
		anew := l.pc(pcID(10*i + 3)) // the same, with another name
		anew.hardware = "hw" + first.id
		if f := brings(anew, token); f != nil {
			t.Fatal(f)
		}
		anew.sync()
		if was, is := first.state(), anew.state(); was.Life != delivery.Ended || is.Life != delivery.Enrolled {
			t.Errorf("%s: the machine is %s, was %s", token, is.Life, was.Life)
		}
		anew.must(anew.begin(leaving))
		if f := brings(second, token); f != nil {
			t.Errorf("%s: another machine after the first has said farewell: %v", token, f)
		}
	}
	faults := make([]*windows.Fault, 8)
	var all sync.WaitGroup
	for i := range faults {
		p := l.pc(pcID(30 + i))
		all.Go(func() { faults[i] = brings(p, "|d3") })
	}
	all.Wait()
	if n := len(slices.DeleteFunc(faults, refused)); n != 1 {
		t.Errorf("%d machines enrolled at once by one token", n)
	}
}

func TestHST043NoVerifier(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1))
	_, f := p.ask(windows.Header{Credential: windows.Credential{Kind: windows.JWT, Token: []byte("eyJhbGciOiJub25lIn0..")}}, p.rst(windows.EnrollmentFull, csr(t, p.key)))
	if f == nil || f.HRESULT() != windows.EAuthentication {
		t.Errorf("fault %v", f)
	}
	l.untouched(t, p, "")
}

// provisioned is the document of an enrolment, and the certificate in it.
func provisioned(t *testing.T) (*windows.Provisioning, *x509.Certificate) {
	t.Helper()
	l := newWindowsLab(t, func(c *Config) { c.Windows.PFN = "Rollcall.Test_1" })
	p := l.pc(pcID(1))
	given, f := p.ask(password(ada, l.ticketFor(l.user)), p.rst(windows.EnrollmentFull, csr(t, p.key)))
	if f != nil {
		t.Fatal(f)
	}
	leaf, err := x509.ParseCertificate(given.Client)
	if err != nil {
		t.Fatal(err)
	}
	return given, leaf
}

// The document names one provider, and has two secrets of its own with their nonces.
func TestWIN017Document(t *testing.T) {
	given, leaf := provisioned(t)
	a := &given.Application
	if a.ProviderID != ProviderID || a.Address != "https://"+testHost+windows.ManagementPath || len(a.ClientAuth.Nonce) != 16 || len(a.ServerAuth.Nonce) != 16 ||
		a.ClientAuth.Secret == a.ServerAuth.Secret || a.ServerAuth.Name != leaf.Subject.CommonName {
		t.Errorf("%+v", a)
	}
	if given.DMClient.PFN != "Rollcall.Test_1" || given.DMClient.EntDMID != leaf.Subject.CommonName {
		t.Errorf("%+v", given.DMClient)
	}
}

// One of the poll sets is endless.
func TestWIN019PollSets(t *testing.T) {
	given, _ := provisioned(t)
	endless := 0
	for _, set := range given.DMClient.Poll.Sets() {
		if set.Endless() {
			endless++
		}
	}
	if endless != 1 {
		t.Errorf("%d endless sets: %+v", endless, given.DMClient.Poll)
	}
}

func TestWIN016Provisioning(t *testing.T) {
	l := newWindowsLab(t)
	for i, tt := range []struct {
		kind string
		want windows.Store
	}{{windows.EnrollmentFull, windows.StoreUser}, {windows.EnrollmentDevice, windows.StoreSystem}} {
		t.Run(tt.kind, func(t *testing.T) {
			p := l.pc(pcID(i))
			p.context = []windows.ContextItem{{Name: "MAC", Value: "A2-19"}, {Name: "MAC", Value: "A2-20"}, {Name: "FromTomorrow", Value: "kept"}}
			given, f := p.ask(password(ada, l.ticketFor(l.user)), p.rst(tt.kind, csr(t, p.key)))
			if f != nil {
				t.Fatal(f)
			}
			leaf, err := x509.ParseCertificate(given.Client)
			if err != nil {
				t.Fatal(err)
			}
			subject, place, err := windows.ReadSearchCriteria(given.Application.Search)
			if err != nil || place != tt.want || given.Store != tt.want || subject != leaf.Subject.String() {
				t.Errorf("WIN-016, WIN-018: store %s, search %q, subject %s", given.Store, given.Application.Search, leaf.Subject)
			}
			now := l.now()
			if leaf.NotBefore.Before(now.Add(-time.Hour)) || leaf.NotAfter.AddDate(0, 0, -given.Renewal.RenewPeriod).Before(now) || !given.Renewal.ROBO {
				t.Errorf("WIN-020: from %s to %s, renews %d days before", leaf.NotBefore, leaf.NotAfter, given.Renewal.RenewPeriod)
			}
			if err := l.ca.Verify(leaf, now); err != nil || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
				t.Errorf("certificate: %v", err)
			}
			facts := l.record(p.id).Facts
			if facts.Name != "PC-"+p.id[28:] || facts.Hardware != "hw"+p.id || !strings.Contains(facts.Said, `"MAC":["A2-19","A2-20"]`) || !strings.Contains(facts.Said, `"FromTomorrow":["kept"]`) {
				t.Errorf("WIN-015: %+v", facts)
			}
		})
	}
}

func TestWIN022Gates(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name  string
		setUp func(l *lab)
		want  windows.ErrorType
		code  windows.HRESULT
	}{
		{"AUTH-01 no authority", nil, windows.ErrorNotSupported, windows.ENotSupported},
		{"AUTH-47 no licence", func(l *lab) {
			l.must(l.core.ChangeSettings(ctx, l.pnow(), server.System, "", func(s *server.Settings) { s.Licences = delivery.Always }))
			_, err := l.core.PutUsers(ctx, l.pnow(), []store.User{{UPN: ada, Groups: []string{"all"}}})
			l.must(err)
		}, windows.ErrorUserLicense, windows.EUserLicense},
		{"AUTH-47 device limit", func(l *lab) {
			l.must(l.core.ChangeSettings(ctx, l.pnow(), server.System, "", func(s *server.Settings) { s.DeviceLimit = 1 }))
			l.pc(pcID(7)).enrol()
		}, windows.ErrorDeviceCapReached, windows.EDeviceCapReached},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newWindowsLab(t)
			if tt.setUp == nil {
				l = newWindowsLabOf(t, authority.Tenant{Release: 1910})
			} else {
				tt.setUp(l)
			}
			p := l.pc(pcID(1))
			token := l.ticketFor(l.user)
			_, f := p.ask(password(ada, token), p.rst(windows.EnrollmentFull, csr(t, p.key)))
			if f == nil || f.ErrorType != tt.want || f.HRESULT() != tt.code || f.Subcode != windows.SubcodeAuthorization || f.TraceID == "" {
				t.Fatalf("WIN-021: fault %+v, want %s", f, tt.want)
			}
			if !l.logged(f.TraceID) {
				t.Error("the log does not have the trace")
			}
			l.untouched(t, p, token)
			lines, err := l.store.Journal(ctx, store.LineFilter{}, 1000)
			if err != nil || !slices.ContainsFunc(lines, func(x store.Line) bool { return x.What == delivery.WhatRefused && strings.Contains(x.Detail, ada) }) {
				t.Errorf("the journal does not say who was refused: %v", err)
			}
		})
	}
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// newWindowsLabOf has a tenant of its own.
func newWindowsLabOf(t *testing.T, tenant authority.Tenant) *lab {
	l := newWindowsLab(t)
	ctx := context.Background()
	kept := store.NewMemory()
	var err error
	if l.core, err = server.Open(ctx, l.pnow(), server.Config{Store: kept}); err != nil {
		t.Fatal(err)
	}
	l.must(l.core.SetUp(ctx, l.pnow(), tenant, delivery.Settings{}))
	users, err := l.core.PutUsers(ctx, l.pnow(), []store.User{{UPN: ada, Groups: []string{"all"}}})
	l.must(err)
	l.user, l.store = users[0], kept
	l.h.cfg.Server, l.h.cfg.Handle = l.core, l.core.Handle
	return l
}

func TestWIN024KnownHardware(t *testing.T) {
	l := newWindowsLab(t)
	old := l.pc(pcID(1)).enrol()
	again := l.pc(pcID(2)) // the same machine, set up anew
	r := again.rst(windows.EnrollmentFull, csr(t, again.key))
	for i := range r.Context {
		if r.Context[i].Name == windows.ItemHWDevID {
			r.Context[i].Value = "hw" + old.id
		}
	}
	if _, f := again.ask(password(ada, l.ticketFor(l.user)), r); f != nil {
		t.Fatal(f)
	}
	if s := old.state(); s.Life != delivery.Ended {
		t.Errorf("the old enrolment is %s", s.Life)
	}
	if a, m := old.sends(old.begin()); m != nil || a.status != http.StatusForbidden {
		t.Errorf("its identity answered %d %+v, want 403", a.status, m)
	}
	// The same device under its own name, again: one record, and the old identity ends with the first use of the new one.
	p := l.pc(pcID(3)).enrol()
	before := p.who
	p.key = newKey()
	p.enrol()
	if s := p.state(); s.Life != delivery.Enrolled {
		t.Errorf("after enrolling again it is %s", s.Life)
	}
	second := l.pc(p.id)
	second.wears(before.Certificate.Raw, before.Key.(*ecdsa.PrivateKey))
	if a, m := second.sends(second.begin()); m != nil || a.status != http.StatusForbidden { // its first message is answered in the record, too
		t.Errorf("the identity of the enrolment before is answered %d", a.status)
	}
	// Somebody else who calls his machine the same takes nothing from anybody (HST-051).
	users, err := l.core.PutUsers(context.Background(), l.pnow(), []store.User{{UPN: "eve@example.org", User: authority.User{IntuneLicence: true}}})
	l.must(err)
	eve, token := l.pc(p.id), l.ticketFor(users[0])
	_, f := eve.ask(password("eve@example.org", token), eve.rst(windows.EnrollmentFull, csr(t, eve.key)))
	if f == nil || f.HRESULT() != windows.EAuthorization {
		t.Errorf("fault %v, want %s", f, windows.EAuthorization)
	}
	if _, err := l.core.Ticket(context.Background(), l.pnow(), token); err != nil {
		t.Errorf("her link is used up: %v", err)
	}
	if p.sync() == 0 || p.state().User != l.user {
		t.Error("the device is another user's")
	}
	// A device without a user has nothing to prove that it is the same: its name is anybody's to say (HST-042).
	kiosk := l.pc(pcID(4))
	enrol := func(p *pc) *windows.Fault {
		given, f := p.ask(password("kiosk", l.ticketFor(0)), p.rst(windows.EnrollmentDevice, csr(t, p.key)))
		if f == nil {
			p.wears(given.Client, p.key)
			p.sync()
		}
		return f
	}
	if f := enrol(kiosk); f != nil {
		t.Fatal(f)
	}
	if f := enrol(l.pc(kiosk.id)); f == nil || f.HRESULT() != windows.EAuthorization || kiosk.sync() == 0 {
		t.Errorf("a second kiosk of this name: %v", f)
	}
	if _, f := kiosk.ask(password(ada, l.ticketFor(l.user)), kiosk.rst(windows.EnrollmentFull, csr(t, newKey()))); f == nil || f.HRESULT() != windows.EAuthorization {
		t.Errorf("a user takes a kiosk over: %v", f)
	}
}

// renewal is a request to renew, signed by s.
func renewal(t *testing.T, key *ecdsa.PrivateKey, s certs.Signer, now time.Time) *windows.RequestSecurityToken {
	t.Helper()
	signed, err := certs.SignAttached(csr(t, key), s, now)
	if err != nil {
		t.Fatal(err)
	}
	return &windows.RequestSecurityToken{Renew: true, Token: signed}
}

func TestWIN063Renewal(t *testing.T) {
	l := newWindowsLab(t)
	p, other := l.pc(pcID(1)).enrol(), l.pc(pcID(2)).enrol()
	foreign, err := certs.NewIssuer("another CA", l.now())
	l.must(err)
	strange, err := foreign.Issue(certs.IssueRequest{Public: newKey().Public(), Handle: "x", Now: l.now()})
	l.must(err)
	refused := func(name string, who *pc, r *windows.RequestSecurityToken) {
		t.Helper()
		given, f := who.ask(password(ada, ""), r)
		if given != nil || f == nil || f.ErrorType != windows.ErrorNotEligibleToRenew {
			t.Errorf("%s: %+v, fault %v", name, given, f)
		}
		if s := p.state(); s.Rare.Read().Next != (delivery.Identity{}) {
			t.Errorf("%s: left %+v in the state", name, s.Rare.Read().Next)
		}
	}
	fresh := newKey()
	refused("before the window", p, renewal(t, fresh, p.who, l.now()))
	l.setClock(l.now().Add(330 * day)) // inside the last 42 days
	refused("signed by another device's", p, renewal(t, fresh, other.who, l.now()))
	nobody := l.pc(p.id)
	refused("without TLS identity", nobody, renewal(t, fresh, p.who, l.now()))
	refused("the same key", p, renewal(t, p.key, p.who, l.now()))
	refused("signed by a foreign authority's", p, renewal(t, fresh, certs.Signer{Certificate: strange, Key: newKey()}, l.now()))
	refused("not signed at all", p, &windows.RequestSecurityToken{Renew: true, Token: csr(t, fresh)})

	given, f := p.ask(password(ada, ""), renewal(t, fresh, p.who, l.now()))
	if f != nil {
		t.Fatalf("%v\n%s", f, l.log)
	}
	leaf, err := x509.ParseCertificate(given.Client)
	l.must(err)
	if given.DMClient != nil || given.Renewal != nil || given.Application.Address != "" || given.Store != windows.StoreUser || leaf.Subject.String() != p.who.Certificate.Subject.String() {
		t.Errorf("the answer holds %+v", given)
	}
	doubled := renewal(t, fresh, p.who, l.now()) // WIN-064: by hand, base64 of base64, and the answer got lost
	doubled.Doubled = true
	// Another signature is another request, for a key that has its certificate, and too soon for one more (HST-045).
	if _, f := p.ask(password(ada, ""), doubled); f == nil || f.ErrorType != windows.ErrorInMaintenance {
		t.Errorf("WIN-064: %v", f)
	}
	// One that has expired gets no connection at all.
	l.setClock(l.now().Add(366 * day))
	other.http.CloseIdleConnections()
	if _, err := other.do(http.MethodPost, windows.EnrollmentPath, http.Header{"Content-Type": {windows.SOAPContentType}}, nil); err == nil {
		t.Error("an expired identity is let in")
	}
}

// Both identities are let in until the newer one is used; then the older one is let in no more. That holds for an identity of a renewal too, which
// only its age tells from one that waits for its first use.
func TestWIN065BothUntilUsed(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	for _, which := range []string{"first", "second"} {
		fresh := newKey()
		l.setClock(l.now().Add(330 * day))
		p.http.CloseIdleConnections()
		given, f := p.ask(password(ada, ""), renewal(t, fresh, p.who, l.now()))
		if f != nil {
			t.Fatal(f)
		}
		leaf, err := x509.ParseCertificate(given.Client)
		l.must(err)
		if n := p.sync(); n == 0 || p.state().Identity.Fingerprint != fingerprint(p.who.Certificate) {
			t.Errorf("%s renewal: the old identity is not used any more before the new one was", which)
		}
		old := p.who
		p.wears(given.Client, fresh)
		if p.sync() == 0 || p.state().Identity.Fingerprint != fingerprint(leaf) {
			t.Errorf("%s renewal: the new identity is not the device's after its first use\n%s", which, l.log)
		}
		late := l.pc(p.id)
		late.wears(old.Certificate.Raw, old.Key.(*ecdsa.PrivateKey))
		if a, m := late.sends(late.begin()); m != nil || a.status != http.StatusForbidden || !l.logged("HST-032") || p.state().Identity.Fingerprint != fingerprint(leaf) {
			t.Errorf("%s renewal: the old identity answered %d afterwards", which, a.status)
		}
	}
}

// TestWIN063Store: a renewed certificate goes where the one before is (WIN-016).
func TestWIN063Store(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1))
	given, f := p.ask(password("kiosk", l.ticketFor(0)), p.rst(windows.EnrollmentDevice, csr(t, p.key)))
	if f != nil {
		t.Fatal(f)
	}
	p.wears(given.Client, p.key)
	p.sync()
	l.setClock(l.now().Add(330 * day))
	if given, f = p.ask(password("kiosk", ""), renewal(t, newKey(), p.who, l.now())); f != nil || given.Store != windows.StoreSystem {
		t.Errorf("%v, %+v", f, given)
	}
}

func TestWIN064Doubled(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.setClock(l.now().Add(330 * day))
	fresh := newKey()
	r := renewal(t, fresh, p.who, l.now())
	r.Doubled = true
	raw := windows.EncodeEnvelope(nil, &windows.Envelope{Header: windows.Header{MessageID: "urn:uuid:1", To: "x"}, Body: r})
	if !bytes.Contains(raw, []byte(base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(r.Token))))) {
		t.Fatal("the request is not doubled")
	}
	other := bytes.Replace(raw, []byte("http://schemas.microsoft.com/windows/pki/2009/01/enrollment#PKCS7"),
		[]byte("http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd#PKCS7"), 1)
	var first []byte
	for i, message := range [][]byte{raw, other} { // the same request again is answered with the same certificate
		_, e := p.postRaw(windows.EnrollmentPath, message)
		if e == nil {
			t.Fatal("no envelope")
		}
		answer, ok := e.Body.(*windows.RequestSecurityTokenResponse)
		if !ok {
			t.Fatalf("answered %+v\n%s", e.Body, l.log)
		}
		if i == 0 {
			first = answer.Document
		} else if !bytes.Equal(first, answer.Document) {
			t.Error("the same request got another certificate")
		}
	}
}

func TestWIN029NoIdentity(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	before := p.state()
	nobody := l.pc(p.id)
	if a, m := nobody.sends(nobody.begin()); m != nil || a.status != http.StatusForbidden || !l.logged("HST-030") {
		t.Errorf("without certificate: %d", a.status)
	}
	unbound := l.identity(store.Grant{Purpose: delivery.ForEnrolment, User: l.user})
	stray := l.pc(p.id)
	stray.wears(unbound.Certificate.Raw, unbound.Key.(*ecdsa.PrivateKey))
	if a, m := stray.sends(stray.begin()); m != nil || a.status != http.StatusForbidden {
		t.Errorf("with one of no device: %d", a.status)
	}
	if after := p.state(); after.LastSeen != before.LastSeen || after.Seq != before.Seq {
		t.Errorf("the device changed: %+v", after)
	}
	for _, tt := range []struct {
		name, method, kind string
		body               []byte
		want               int
	}{
		{"WBXML", http.MethodPost, windows.WBXMLContentType, []byte{3}, http.StatusUnsupportedMediaType},
		{"GET", http.MethodGet, windows.SyncMLContentType, nil, http.StatusMethodNotAllowed},
		{"HST-001 too large", http.MethodPost, windows.SyncMLContentType, make([]byte, windows.MaxMessage+1), http.StatusRequestEntityTooLarge},
		{"truncated", http.MethodPost, windows.SyncMLContentType, windows.EncodeMessage(nil, p.begin())[:200], http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a, err := p.do(tt.method, windows.ManagementPath, http.Header{"Content-Type": {tt.kind}}, tt.body); err != nil || a.status != tt.want {
				t.Errorf("answered %d (%v), want %d", a.status, err, tt.want)
			}
		})
	}
	if after := p.state(); after.LastSeen != before.LastSeen {
		t.Error("the device changed")
	}
}

// One network has so many enrolments: one more is told to come later, by the protocol's own word, and its link stays (HST-045).
func TestHST045Windows(t *testing.T) {
	l := newWindowsLab(t, func(c *Config) { c.EnrolRate = 0.01 })
	p, token := l.pc(pcID(1)), l.ticketFor(l.user)
	if _, e := p.post(windows.PolicyPath, password(ada, token), &windows.GetPolicies{}); e == nil {
		t.Fatal("the first is not answered")
	}
	a, e := p.post(windows.EnrollmentPath, password(ada, token), p.rst(windows.EnrollmentFull, csr(t, p.key)))
	f, ok := e.Body.(*windows.Fault)
	if !ok || f.HRESULT() != windows.EInMaintenance || a.header.Get("Retry-After") == "" || !l.logged("HST-045") {
		t.Errorf("answered %d %+v", a.status, e.Body)
	}
	l.untouched(t, p, token)
}

// TestHST010Facts: what a PC says of itself is kept as far as a person would read it, and a text that is to be
// there once is (HST-006).
func TestHST010Facts(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1))
	r := p.rst(windows.EnrollmentFull, csr(t, p.key))
	twice := *r
	twice.Context = append(slices.Clone(r.Context), windows.ContextItem{Name: windows.ItemDeviceID, Value: pcID(2)})
	if given, f := p.ask(password(ada, l.ticketFor(l.user)), &twice); given != nil || f == nil {
		t.Errorf("two names: %v", f)
	}
	for i := range r.Context {
		if c := &r.Context[i]; c.Name == windows.ItemDeviceName {
			c.Value = strings.Repeat("e\u0301", 5000)
		}
	}
	for range 40 {
		r.Context = append(r.Context, windows.ContextItem{Name: "Blob", Value: strings.Repeat("x", 2<<10)})
	}
	if _, f := p.ask(password(ada, l.ticketFor(l.user)), r); f != nil {
		t.Fatal(f)
	}
	facts := l.record(p.id).Facts
	if n := len(facts.Said); n > 9<<10 {
		t.Errorf("%d bytes are kept", n)
	}
	if facts.Name != strings.Repeat("\u00e9", 256) {
		t.Errorf("a name of %d bytes is kept: %.40q", len(facts.Name), facts.Name)
	}
}

// TestWIN068OtherQuestion: what a PC says of Configuration Manager's client in answer to another question is no word of it either.
func TestWIN068OtherQuestion(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	l.order(p.id, protocol.DeviceInformation)
	out := p.obey(p.must(p.begin()))
	lied := false
	for i := range out.Commands {
		if c := &out.Commands[i]; c.Verb == windows.Status && c.Cmd == windows.Get {
			c.Code = windows.OK
			if !lied {
				out.Commands = append(out.Commands, windows.Command{
					Verb: windows.Results, CmdID: 90, MsgRef: c.MsgRef, CmdRef: c.CmdRef, Cmd: windows.Get, Items: []windows.Item{{Source: csp.NodeConfigInfo, Data: "1"}},
				})
			}
			lied = true
		}
	}
	if p.must(out); !lied || p.state().CoManaged {
		t.Errorf("lied %v, co-managed %v", lied, p.state().CoManaged)
	}
}

// TestWIN023Now: the answer is good from the moment that it is sent in, on a device whose clock is behind too (windows.md section 4).
func TestWIN023Now(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1))
	_, e := p.post(windows.EnrollmentPath, password(ada, l.ticketFor(l.user)), p.rst(windows.EnrollmentFull, csr(t, p.key)))
	if h := &e.Header; h.Created.After(l.now().Add(-4*time.Minute)) || h.Expires.Before(l.now().Add(4*time.Minute)) {
		t.Errorf("at %s it is good from %s to %s", l.now(), h.Created, h.Expires)
	}
}

// TestHST031ClockSetMeanwhile: a PC whose enrolment the server's clock is set ahead under gets a certificate that is valid when
// the enrolment is.
func TestHST031ClockSetMeanwhile(t *testing.T) {
	var jump atomic.Bool
	var l *lab
	l = newWindowsLab(t, func(c *Config) {
		now := c.Now
		c.Now = func() time.Time {
			if jump.Load() {
				l.setClock(l.now().Add(11 * time.Minute))
			}
			return now()
		}
	})
	p := l.pc(pcID(1))
	asked, csr := password(ada, l.ticketFor(l.user)), csr(t, p.key)
	jump.Store(true)
	if _, f := p.ask(asked, p.rst(windows.EnrollmentFull, csr)); f != nil {
		t.Errorf("%v\n%s", f, l.log)
	}
}

// TestWIN068Unasked: what a PC says without having been asked is no word of Configuration Manager's client, nor anything else.
func TestWIN068Unasked(t *testing.T) {
	l := newWindowsLab(t)
	p := l.pc(pcID(1)).enrol()
	before := l.record(p.id)
	m := p.begin()
	for _, item := range []windows.Item{{Source: csp.NodeConfigInfo, Data: "1"}, {Source: csp.NodeSerial, Data: "another"}} {
		m.Commands = append(m.Commands, windows.Command{Verb: windows.Results, CmdID: 50, MsgRef: 1, CmdRef: 9, Cmd: windows.Get, Items: []windows.Item{item}})
	}
	p.must(m)
	if now := l.record(p.id); now.State.CoManaged || now.Facts.Serial != before.Facts.Serial {
		t.Errorf("co-managed %v, serial number %q", now.State.CoManaged, now.Facts.Serial)
	}
}

// TestWIN020ShortLife: the window of a short life is closed at issue, and the device hears so.
func TestWIN020ShortLife(t *testing.T) {
	l := newWindowsLab(t)
	set := l.core.World().Settings
	set.Lifetime = 30 * day
	l.must(l.core.SetSettings(context.Background(), l.pnow(), server.System, set))
	p := l.pc(pcID(1)).enrol()
	if n := p.given.Renewal.RenewPeriod; n != 10 {
		t.Errorf("it renews %d days before its end, want 10", n)
	}
	for at, want := range map[time.Duration]bool{0: false, 18 * day: false, 21 * day: true} {
		l.setClock(l.now().Add(at))
		if _, f := p.ask(password(ada, ""), renewal(t, newKey(), p.who, l.now())); (f == nil) != want {
			t.Errorf("%s after its issue: %v", at, f)
		}
		l.setClock(l.now().Add(-at))
	}
}

// TestWIN063ThroughProxy: a device that renews behind a trusted proxy asks for the policies as it does without one.
func TestWIN063ThroughProxy(t *testing.T) {
	l := newWindowsLab(t, func(c *Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	p := l.pc(pcID(1)).enrol()
	header := http.Header{"Content-Type": {windows.SOAPContentType}, ProxyHeader: {":" + base64.StdEncoding.EncodeToString(p.who.Certificate.Raw) + ":"}}
	p.http, _ = l.client(nil) // the proxy's connection
	head := password(ada, "")
	head.MessageID = "urn:uuid:1"
	e := &windows.Envelope{Header: head, Body: &windows.GetPolicies{}}
	if a, err := p.do(http.MethodPost, windows.PolicyPath, header, windows.EncodeEnvelope(nil, e)); err != nil || a.status != http.StatusOK {
		t.Errorf("answered %d, %v", a.status, err)
	}
}

// TestHST041LostAnswer: a device whose certificate was lost on its way gets the same one for the same request, until it has come with it.
func TestHST041LostAnswer(t *testing.T) {
	l := newWindowsLab(t)
	p, token := l.pc(pcID(1)), l.ticketFor(l.user)
	request := csr(t, p.key)
	first, f := p.ask(password(ada, token), p.rst(windows.EnrollmentFull, request))
	if f != nil {
		t.Fatal(f)
	}
	if again, f := p.ask(password(ada, token), p.rst(windows.EnrollmentFull, request)); f != nil || !bytes.Equal(again.Client, first.Client) {
		t.Fatalf("the same request again: %v", f)
	}
	if _, f := p.ask(password(ada, token), p.rst(windows.EnrollmentFull, csr(t, newKey()))); f == nil {
		t.Error("another request has a certificate by the same link")
	}
	p.wears(first.Client, p.key)
	if p.sync() == 0 || p.state().Life != delivery.Enrolled {
		t.Errorf("it is %s", p.state().Life)
	}
	if _, f := p.ask(password(ada, token), p.rst(windows.EnrollmentFull, request)); f == nil || p.state().Life != delivery.Enrolled {
		t.Errorf("a device that has enrolled: %v", f)
	}
}
