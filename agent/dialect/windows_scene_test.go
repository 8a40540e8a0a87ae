package dialect

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

const (
	winServer    = "https://mdm.example/ManagementServer/MDM.svc"
	winDiscovery = "https://enterpriseenrollment.example/EnrollmentServer/Discovery.svc"
	winPolicy    = "https://mdm.example/EnrollmentServer/Policy.svc"
	winEnrol     = "https://mdm.example/EnrollmentServer/Enrollment.svc"
	winHandle    = "1D8A5C0E-7A0F-4C6B-9A55-3E0E7F0C1B22"
	winID        = "8090C8B484A0E24EB5C56E806CB4EE5B"
	csps         = "./Device/Vendor/MSFT/"
)

var (
	desktop = &WindowsModel{
		Manufacturer: "rollcall", Name: "simulated", OSVersion: "10.0.22631.1", Edition: 48, Firmware: "1.0", Storage: 256000, Memory: 16384,
	}
	plainWindows = &WindowsHabits{}
	winStart     = WindowsStart{Email: "ada@example", Credential: windows.Credential{Kind: windows.Password, Username: "ada@example", Password: "secret"}}
)

// A winScene is one device and, in place of its server, what the test says.
type winScene struct {
	testing.TB
	d    *Windows
	now  protocol.Time
	act  Act
	ca   *certs.Authority
	body windows.Message

	order string // header of what the server answers
}

func newWinScene(t testing.TB, h *WindowsHabits) *winScene {
	t.Helper()
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	w := WindowsWho{Number: 7, Seed: 1, DeviceID: winID, HWDevID: "4A6F", Serial: "SER1", Name: "SIM-0001", MAC: "02-00-00-00-00-01"}
	return &winScene{TB: t, d: NewWindows(w, desktop, h), now: noon, ca: ca}
}

// wants checks what is to be done next.
func (s *winScene) wants(step Step) {
	s.Helper()
	if s.act.Kind != Send || s.act.Request.Step != step {
		s.Fatalf("act %d, step %s (%v), want to send %s", s.act.Kind, s.act.Request.Step, s.act.Err, step)
	}
}

func (s *winScene) rests() {
	s.Helper()
	if s.act.Kind != Rest || s.act.Err != nil {
		s.Fatalf("act %d, step %s, %v, want rest", s.act.Kind, s.act.Request.Step, s.act.Err)
	}
}

// restsWith checks that a conversation ended with a code.
func (s *winScene) restsWith(code windows.HRESULT) {
	s.Helper()
	got, coded := errors.AsType[windows.HRESULT](s.act.Err)
	if fault, ok := errors.AsType[*windows.Fault](s.act.Err); ok {
		got, coded = fault.HRESULT(), true
	}
	if s.act.Kind != Rest || !coded || got != code {
		s.Fatalf("act %d, %v, want rest with %s", s.act.Kind, s.act.Err, code)
	}
}

func (s *winScene) answer(status int, body []byte) {
	s.d.Answer(s.now, &Response{Status: status, Body: body, Order: s.order}, &s.act)
}

func (s *winScene) soap(body windows.Body) {
	status := 200
	if _, no := body.(*windows.Fault); no {
		status = windows.FaultStatus
	}
	s.answer(status, windows.EncodeEnvelope(nil, &windows.Envelope{Header: windows.Header{RelatesTo: "m"}, Body: body}))
}

func (s *winScene) asked() *windows.Envelope {
	s.Helper()
	e, err := windows.DecodeEnvelope(s.act.Request.Body)
	if err != nil {
		s.Fatal(err)
	}
	return e
}

var found = windows.DiscoverResponse{AuthPolicy: windows.OnPremise, EnrollmentVersion: windows.Version{Major: 5}, PolicyURL: winPolicy, EnrollmentURL: winEnrol}

// certify runs an enrolment up to the request for a certificate, whose answer is due.
func (s *winScene) certify(start WindowsStart) {
	s.Helper()
	if err := s.d.Enrol(s.now, start, &s.act); err != nil {
		s.Fatal(err)
	}
	s.wants(Probe)
	s.answer(200, nil)
	s.wants(Discovery)
	s.soap(&found)
	s.wants(Policy)
	s.soap(&windows.GetPoliciesResponse{Policy: windows.Policy{Schema: 3, MinimalKeyLength: 2048, HashAlgorithm: windows.OIDSHA256}})
	s.request()
}

// request makes the key and the request that the device wants.
func (s *winScene) request() {
	s.Helper()
	if s.act.Kind != MakeRequest {
		s.Fatalf("act %d (%v), want a request made", s.act.Kind, s.act.Err)
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		s.Fatal(err)
	}
	old, _ := s.d.Signer(Current)
	der, err := s.act.CSR.Sign(key, old)
	s.d.GotRequest(s.now, key, der, err, &s.act)
	s.wants(Certify)
}

// issue makes the certificate that the device has asked for.
func (s *winScene) issue() *x509.Certificate {
	s.Helper()
	token := s.asked().Body.(*windows.RequestSecurityToken)
	der := token.Token
	if token.Renew {
		signed, err := certs.VerifyAttached(der, certs.Policy{})
		if err != nil {
			s.Fatal(err)
		}
		if string(signed.Signer.Raw) != string(s.d.Certificate(Current)) {
			s.Fatal("the renewal is signed by another identity")
		}
		der = signed.Content
	}
	public, err := certs.CheckCSRKey(der, certs.Policy{})
	if err != nil {
		s.Fatal(err)
	}
	return s.certificate(public)
}

func (s *winScene) certificate(public crypto.PublicKey) *x509.Certificate {
	s.Helper()
	c, err := s.ca.Issue(certs.IssueRequest{Public: public, Handle: winHandle, Now: s.now.Time()})
	if err != nil {
		s.Fatal(err)
	}
	return c
}

// provisioning is the document of an enrolment.
func (s *winScene) provisioning(c *x509.Certificate, change ...func(*windows.Provisioning)) *windows.Provisioning {
	p := &windows.Provisioning{
		Root: s.ca.Certificate().Raw, Client: c.Raw, Store: windows.StoreUser,
		Renewal: &windows.Renewal{ROBO: true, RenewPeriod: 60, RetryInterval: 4},
		Application: windows.Application{
			ProviderID: "rollcall", Name: "rollcall", Address: winServer, ConnRetryFreq: 3, InitialBackoff: 30000, MaxBackoff: 100000,
			Search:     windows.SearchCriteria(winHandle, windows.StoreUser),
			ClientAuth: windows.Auth{Type: "DIGEST", Secret: "s1", Nonce: []byte("n1")},
			ServerAuth: windows.Auth{Type: "DIGEST", Name: winHandle, Secret: "s2", Nonce: []byte("n2")},
		},
		DMClient: &windows.DMClient{UPN: "ada@example", EntDMID: winHandle, Poll: windows.DefaultPoll, PFN: "Rollcall.Test_1234"},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func (s *winScene) provision(p *windows.Provisioning) {
	s.soap(&windows.RequestSecurityTokenResponse{Document: windows.EncodeDocument(nil, p.Document())})
}

// managed is a scene whose device has enrolled and had its first session.
func managed(t testing.TB, h *WindowsHabits, change ...func(*windows.Provisioning)) *winScene {
	t.Helper()
	s := newWinScene(t, h)
	s.d.SignIn(s.now, LoginUser)
	s.certify(winStart)
	s.provision(s.provisioning(s.issue(), change...))
	s.wants(Session)
	s.ends()
	if s.d.Phase() != agent.Enrolled {
		t.Fatalf("phase %s, want enrolled", s.d.Phase())
	}
	return s
}

// hears decodes the device's message.
func (s *winScene) hears() *windows.Message {
	s.Helper()
	s.wants(Session)
	if err := windows.DecodeMessage(s.act.Request.Body, &s.body); err != nil {
		s.Fatalf("%v\n%s", err, s.act.Request.Body)
	}
	return &s.body
}

// says answers the device's message with Status for all and commands, numbered from 100.
func (s *winScene) says(commands ...windows.Command) {
	s.Helper()
	s.saysPart(true, commands...)
}

func (s *winScene) saysPart(final bool, commands ...windows.Command) {
	s.Helper()
	in := s.hears()
	m := windows.Message{Header: windows.SyncHdr{SessionID: in.Header.SessionID, MsgID: in.Header.MsgID, Target: winID, Source: winServer}, Final: final}
	m.Commands = append(m.Commands, windows.Command{Verb: windows.Status, CmdID: 1, MsgRef: in.Header.MsgID, Cmd: windows.SyncHeader, Code: windows.OK})
	id := int32(100)
	var number func([]windows.Command)
	number = func(list []windows.Command) {
		for i := range list {
			if list[i].CmdID == 0 {
				list[i].CmdID = id
				id++
			} else if list[i].CmdID < 0 {
				list[i].CmdID = 0
			}
			number(list[i].Commands)
		}
	}
	number(commands)
	m.Commands = append(m.Commands, commands...)
	s.answer(200, windows.EncodeMessage(nil, &m))
}

// ends ends the session.
func (s *winScene) ends() {
	s.Helper()
	s.says()
	s.rests()
}

// begin starts a session for a reason.
func (s *winScene) begin(why Why) {
	s.Helper()
	if !s.d.Begin(s.now, why, &s.act) {
		s.Fatalf("%s: no session (%v)", why, s.act.Err)
	}
	s.wants(Session)
}

// tell has a session with these commands and returns the codes of their statuses, in order, and the results.
func (s *winScene) tell(commands ...windows.Command) (codes string, results []windows.Item) {
	s.Helper()
	if s.act.Kind == Rest {
		s.begin(Synced)
	}
	s.says(commands...)
	codes, results = s.codes()
	return codes, results
}

// codes are what the device's message says of the server's commands.
func (s *winScene) codes() (codes string, results []windows.Item) {
	s.Helper()
	for i, c := range s.hears().Commands {
		switch {
		case c.Verb == windows.Status && c.Cmd == windows.SyncHeader && i == 0:
		case c.Verb == windows.Status:
			codes += fmt.Sprintf(" %d", c.Code)
		case c.Verb == windows.Results:
			results = append(results, c.Items...)
		}
	}
	return strings.TrimSpace(codes), results
}

func on(v windows.Verb, uri string, data ...string) windows.Command {
	item := windows.Item{Target: uri}
	if len(data) > 0 {
		item.Data = data[0]
	}
	if len(data) > 1 {
		item.Meta.Format = data[1]
	}
	return windows.Command{Verb: v, Items: []windows.Item{item}}
}

func atomic(commands ...windows.Command) windows.Command {
	return windows.Command{Verb: windows.Atomic, Commands: commands}
}

func (s *winScene) later(d time.Duration) { s.now = s.now.Add(d) }
