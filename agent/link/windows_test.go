package link

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

const handle = "1D8A5C0E-7A0F-4C6B-9A55-3E0E7F0C1B22"

// A winServer answers Windows devices in a server's place: one enrolment's documents, and a queue of commands for its sessions.
type winServer struct {
	*server
	commands  []windows.Command // for the next session, given once
	federated bool
	moved     string // discovery is redirected there; empty: it is not
	own       atomic.Pointer[tls.Certificate]
}

func serveWindows(t testing.TB) *winServer {
	w := &winServer{}
	w.server = serve(t, func(_ *server, c *tls.Config) {
		w.own.Store(&c.Certificates[0])
		now := c.Clone()
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := now.Clone()
			c.Certificates = []tls.Certificate{*w.own.Load()}
			return c, nil
		}
	})
	w.before = w.windows
	return w
}

func (s *winServer) windows(w http.ResponseWriter, r *http.Request, body []byte) bool {
	status, content := http.StatusOK, windows.SOAPContentType
	var out []byte
	envelope := func(b windows.Body) { out = windows.EncodeEnvelope(nil, &windows.Envelope{Body: b}) }
	switch {
	case r.URL.Path == windows.DiscoveryPath && r.Method == http.MethodGet:
		s.asked = append(s.asked, "probe")
	case r.URL.Path == windows.DiscoveryPath && s.moved != "":
		s.asked = append(s.asked, "moved")
		http.Redirect(w, r, s.moved, http.StatusTemporaryRedirect)
		return true
	case r.URL.Path == windows.DiscoveryPath:
		s.asked = append(s.asked, "discovery")
		found := &windows.DiscoverResponse{AuthPolicy: windows.OnPremise, EnrollmentVersion: windows.Version{Major: 5}, PolicyURL: s.URL + windows.PolicyPath, EnrollmentURL: s.URL + windows.EnrollmentPath}
		if s.federated {
			found.AuthPolicy, found.AuthenticationURL = windows.Federated, s.URL+"/sign-in"
		}
		envelope(found)
	case r.URL.Path == windows.PolicyPath:
		s.asked = append(s.asked, "policy")
		envelope(&windows.GetPoliciesResponse{Policy: windows.Policy{Schema: 3, MinimalKeyLength: 2048, HashAlgorithm: windows.OIDSHA256}})
	case r.URL.Path == windows.EnrollmentPath:
		envelope(s.certify(r, body))
	case r.URL.Path == windows.ManagementPath:
		content = windows.SyncMLContentType
		out = s.session(r, body)
	default:
		return false
	}
	if out == nil && r.Method != http.MethodGet {
		status = http.StatusForbidden
	}
	w.Header().Set("Content-Type", content)
	w.WriteHeader(status)
	w.Write(out)
	return true
}

func (s *winServer) certify(r *http.Request, body []byte) windows.Body {
	e, err := windows.DecodeEnvelope(body)
	if err != nil {
		s.t.Error(err)
		return nil
	}
	rst := e.Body.(*windows.RequestSecurityToken)
	s.asked = append(s.asked, "certificate for "+e.Header.Credential.String())
	der := rst.Token
	if rst.Renew {
		signed, err := certs.VerifyAttached(der, certs.Policy{})
		if err != nil || len(r.TLS.PeerCertificates) == 0 || !signed.Signer.Equal(r.TLS.PeerCertificates[0]) {
			s.t.Errorf("renewal by another identity than TLS has: %v", err)
			return nil
		}
		der = signed.Content
	}
	public, err := certs.CheckCSRKey(der, certs.Policy{})
	if err != nil {
		s.t.Error(err)
		return nil
	}
	c, err := s.ca.Issue(certs.IssueRequest{Public: public, Handle: handle, Now: s.now()})
	if err != nil {
		s.t.Error(err)
		return nil
	}
	p := windows.Provisioning{Client: c.Raw, Store: windows.StoreUser, Application: windows.Application{ProviderID: "rollcall"}}
	if !rst.Renew {
		p.Root, p.Renewal = s.ca.Certificate().Raw, &windows.Renewal{ROBO: true, RenewPeriod: 60, RetryInterval: 4}
		p.Application = windows.Application{
			ProviderID: "rollcall", Name: "rollcall", Address: s.URL + windows.ManagementPath, ConnRetryFreq: 3, InitialBackoff: 1000, MaxBackoff: 2000,
			Search:     windows.SearchCriteria(handle, windows.StoreUser),
			ClientAuth: windows.Auth{Type: "DIGEST", Secret: "s1", Nonce: []byte("n1")}, ServerAuth: windows.Auth{Type: "DIGEST", Name: handle, Secret: "s2", Nonce: []byte("n2")},
		}
		p.DMClient = &windows.DMClient{EntDMID: handle, Poll: windows.DefaultPoll}
	}
	return &windows.RequestSecurityTokenResponse{Document: windows.EncodeDocument(nil, p.Document())}
}

func (s *winServer) session(r *http.Request, body []byte) []byte {
	var m windows.Message
	if err := windows.DecodeMessage(body, &m); err != nil {
		s.t.Error(err)
		return nil
	}
	if len(r.TLS.PeerCertificates) == 0 {
		s.asked = append(s.asked, "nobody")
		return nil
	}
	s.serials[r.TLS.PeerCertificates[0].SerialNumber.Text(16)]++
	word := "session"
	for _, c := range m.Commands {
		if c.Verb == windows.Alert && c.Code != windows.ClientEvent {
			word += " " + map[windows.Code]string{windows.ClientInitiated: "begins", windows.ServerInitiated: "woken", windows.GenericAlert: "leaves"}[c.Code]
		}
	}
	s.asked = append(s.asked, word)
	out := windows.Message{Header: windows.SyncHdr{SessionID: m.Header.SessionID, MsgID: m.Header.MsgID, Target: m.Header.Source, Source: m.Header.Target}, Final: true}
	out.Commands = append(out.Commands, windows.Command{Verb: windows.Status, CmdID: 1, MsgRef: m.Header.MsgID, Cmd: windows.SyncHeader, Code: windows.OK})
	for i, c := range s.commands {
		c.CmdID = int32(i) + 2
		out.Commands = append(out.Commands, c)
	}
	s.commands = nil
	return windows.EncodeMessage(nil, &out)
}

func desktop(n int) *dialect.Windows {
	return dialect.NewWindows(dialect.WindowsWho{Number: protocol.Device(n), Seed: 1, DeviceID: "8090C8B484A0E24EB5C56E806CB4EE5B", Name: "SIM"},
		&dialect.WindowsModel{Manufacturer: "rollcall", Name: "simulated", OSVersion: "10.0.22631.1", Edition: 48}, &dialect.WindowsHabits{})
}

func (s *winServer) start() dialect.WindowsStart {
	return dialect.WindowsStart{Email: "ada@example.test", Discovery: s.URL + windows.DiscoveryPath, Credential: windows.Credential{Kind: windows.Password, Username: "ada@example.test", Password: "secret"}}
}

// A Windows device's whole life over mutual TLS: enrolment, commands, a wake-up, a renewal with an RSA key, leaving.
func TestWindows(t *testing.T) {
	s := serveWindows(t)
	var watched record
	l := s.link(Config{Watcher: &watched, RSAKeys: func(Device) (*rsa.PrivateKey, error) { return transportKey(t), nil }})
	d := desktop(1)
	heard := func(want ...string) {
		t.Helper()
		if got := s.told(); !slices.Equal(got, want) {
			t.Errorf("the server heard %q, want %q", got, want)
		}
	}
	if _, err := l.EnrolWindows(t.Context(), d, s.start()); err != nil || d.Phase() != agent.Enrolled {
		t.Fatalf("%v, %s", err, d.Phase())
	}
	heard("probe", "discovery", "policy", "certificate for password of ada@example.test", "session begins")
	s.commands = []windows.Command{
		{Verb: windows.Add, Items: []windows.Item{{Target: "./Device/Vendor/MSFT/WiFi/Profile/office/WlanXml", Data: "<x/>"}}},
		{Verb: windows.Get, Items: []windows.Item{{Target: "./DevInfo/Nothing"}}},
	}
	r, err := l.Converse(t.Context(), d, dialect.Pushed)
	if err != nil || r.Commands != 2 || r.Errors != 1 || r.Steps[dialect.Session] != 2 {
		t.Errorf("%v, %+v", err, r)
	}
	heard("session woken", "session")
	if len(d.Profiles()) != 1 {
		t.Errorf("profiles %v", d.Profiles())
	}
	serial := d.Identity().Serial
	s.set(d.Identity().NotAfter.Time().Add(-59 * 24 * time.Hour))
	l.config.RSAKeys = nil // a renewal needs a new key
	if _, err := l.Converse(t.Context(), d, dialect.Scheduled); err != nil || d.Identity().Serial == serial {
		t.Fatalf("%v, serial number %s", err, d.Identity().Serial)
	}
	heard("discovery", "certificate for password of ada@example.test")
	if _, err := l.Converse(t.Context(), d, dialect.Synced); err != nil || s.serials[d.Identity().Serial] != 1 {
		t.Errorf("%v, requests %v", err, s.serials)
	}
	heard("session begins")
	if _, err := l.Converse(t.Context(), d, dialect.UserRemoves); err != nil || d.Phase() != agent.Removed {
		t.Errorf("%v, %s", err, d.Phase())
	}
	heard("session begins leaves")
}

// AuthPolicy Federated: a person signs in at the server's page.
func TestWindowsSignsIn(t *testing.T) {
	s := serveWindows(t)
	s.federated = true
	page := ""
	l := s.link(Config{SignIn: func(_ context.Context, _ Device, at string) ([]byte, error) {
		page = at
		return []byte("token"), nil
	}})
	start := s.start()
	start.Credential = windows.Credential{}
	if _, err := l.EnrolWindows(t.Context(), desktop(1), start); err != nil || !strings.HasPrefix(page, s.URL+"/sign-in?appru=") {
		t.Fatalf("%v, page %s", err, page)
	}
	if got := s.told(); !slices.Contains(got, "certificate for user token") {
		t.Errorf("the server heard %q", got)
	}
	d := desktop(2)
	if _, err := s.link(Config{}).EnrolWindows(t.Context(), d, start); !errors.Is(err, windows.EWebSignIn) || d.Phase() != agent.New {
		t.Errorf("%v, %s", err, d.Phase())
	}
}

// WIN-028: where HTTPS does not answer, plain HTTP may name another place, which the user must approve.
func TestWIN028OverTheWire(t *testing.T) {
	s := serveWindows(t)
	plain := httptest.NewServer(http.RedirectHandler(s.URL+windows.DiscoveryPath, http.StatusFound))
	t.Cleanup(plain.Close)
	start := s.start()
	start.Discovery = "https" + strings.TrimPrefix(plain.URL, "http") + windows.DiscoveryPath
	l := s.link(Config{})
	if _, err := l.EnrolWindows(t.Context(), desktop(1), start); !errors.Is(err, windows.EInsecureRedirect) || len(s.told()) > 0 {
		t.Errorf("without consent: %v", err)
	}
	start.Consents = true
	d := desktop(2)
	if _, err := l.EnrolWindows(t.Context(), d, start); err != nil || d.Phase() != agent.Enrolled {
		t.Errorf("with consent: %v, %s", err, d.Phase())
	}
}

// WIN-060: a server whose certificate is not trusted, or is of another name, hears not one byte of SyncML.
func TestWIN060UntrustedServer(t *testing.T) {
	s := serveWindows(t)
	l := s.link(Config{})
	d := desktop(1)
	if _, err := l.EnrolWindows(t.Context(), d, s.start()); err != nil {
		t.Fatal(err)
	}
	s.told()
	other, err := foreign()
	if err != nil {
		t.Fatal(err)
	}
	for name, issue := range map[string]func(key *certs.Signer) (*x509.Certificate, error){
		"untrusted": func(k *certs.Signer) (*x509.Certificate, error) {
			return other.IssueServer([]string{"127.0.0.1"}, k.Key.Public(), noon, 0)
		},
		"other name": func(k *certs.Signer) (*x509.Certificate, error) {
			return s.ca.IssueServer([]string{"127.0.0.2"}, k.Key.Public(), noon, 0)
		},
		"expired": func(k *certs.Signer) (*x509.Certificate, error) {
			return s.ca.IssueServer([]string{"127.0.0.1"}, k.Key.Public(), noon.Add(-48*time.Hour), 24*time.Hour)
		},
	} {
		key, err := certs.GenerateKey(certs.P256)
		if err != nil {
			t.Fatal(err)
		}
		own, err := issue(&certs.Signer{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		s.own.Store(&tls.Certificate{Certificate: [][]byte{own.Raw}, PrivateKey: key})
		_, err = l.Converse(t.Context(), d, dialect.Synced)
		if _, refused := errors.AsType[*tls.CertificateVerificationError](err); !refused || d.Phase() != agent.Enrolled || len(s.told()) > 0 {
			t.Errorf("%s: %v, %s", name, err, d.Phase())
		}
	}
}

// WIN-062: a renewal follows no redirect; a first enrolment may, within its host.
func TestWIN062NoRedirect(t *testing.T) {
	s := serveWindows(t)
	l := s.link(Config{})
	d := desktop(1)
	if _, err := l.EnrolWindows(t.Context(), d, s.start()); err != nil {
		t.Fatal(err)
	}
	s.told()
	s.moved = s.URL + "/elsewhere"
	s.set(d.Identity().NotAfter.Time().Add(-59 * 24 * time.Hour))
	_, err := l.Converse(t.Context(), d, dialect.Scheduled)
	if !errors.Is(err, windows.HTTPError(307)) || d.Phase() != agent.Enrolled || !slices.Equal(s.told(), []string{"moved"}) {
		t.Errorf("%v, %s", err, d.Phase())
	}
}

// A tokens gives a directory's tokens.
type tokens struct{}

func (tokens) Token(upn, device string) (string, error) { return "of." + upn + "." + device, nil }

// The tokens of a directory go with a session's requests, each in its header (windows.md section 1).
func TestWindowsTokens(t *testing.T) {
	s := serveWindows(t)
	var headers []string
	s.before = func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if r.URL.Path == windows.ManagementPath {
			headers = append(headers, r.Header.Get("Authorization")+" "+r.Header.Get("DeviceToken"))
		}
		return s.windows(w, r, body)
	}
	for name, value := range map[string]string{"AADResourceID": "https://mdm.example", "ForceAadToken": "1"} {
		s.commands = append(s.commands, windows.Command{Verb: windows.Add, Items: []windows.Item{{Target: "./Device/Vendor/MSFT/DMClient/Provider/rollcall/" + name, Data: value}}})
	}
	d := desktop(1)
	d.Share(&dialect.WindowsModel{}, &dialect.WindowsHabits{Directory: tokens{}})
	d.SignIn(1, dialect.LoginUser)
	start := s.start()
	start.Directory = "d1"
	if _, err := s.link(Config{RSAKeys: func(Device) (*rsa.PrivateKey, error) { return transportKey(t), nil }}).EnrolWindows(t.Context(), d, start); err != nil {
		t.Fatal(err)
	}
	if want := []string{" ", "Bearer of.ada@example.test.d1 of..d1"}; !slices.Equal(headers, want) {
		t.Errorf("the requests bring %q, want %q", headers, want)
	}
}
