package dialect

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

func TestEnrolment(t *testing.T) {
	s := newScene(t, iPhone, plainHabits)
	if err := s.d.Enrol(s.now, Start{URL: "https://mdm.example/enrol"}, &s.act); err != nil {
		t.Fatal(err)
	}
	s.wants(FetchProfile)
	if r := s.act.Request; r.Method != "GET" || r.Identity != NoIdentity || r.Sign != NoSignature {
		t.Errorf("request for the profile: %+v", r)
	}
	s.answer(200, apple.EncodeProfile(s.profile()))
	want := SCEP{URL: "https://mdm.example/scep", Name: "CA", Challenge: "secret"}
	got := s.act.SCEP
	if got.URL != want.URL || got.Name != want.Name || got.Challenge != want.Challenge || string(got.CAFingerprint) != "sixteen bytes at" {
		t.Errorf("SCEP %+v, want %+v", got, want)
	}
	if name := got.Subject.String(); !strings.Contains(name, "ROLLCALL0001") {
		t.Errorf("subject %q, want the serial number in it", name)
	}
	if s.act.Trust.Anchors != string(s.ca.Certificate().Raw) { // certificates come first (APL-003)
		t.Error("the profile's root is not trusted when SCEP begins")
	}
	s.issue()
	m := s.wants(Authenticate)
	if m.Topic != topic || m.SerialNumber != "ROLLCALL0001" || m.OSVersion != "17.6" || m.ProductName != "iPhone14,5" || m.DeviceName != "" {
		t.Errorf("Authenticate: %+v", m)
	}
	if r := s.act.Request; r.Method != "PUT" || r.URL != "https://mdm.example/checkin" || !strings.HasPrefix(r.ContentType, apple.CheckInType) || r.Identity != Current {
		t.Errorf("request: %+v", r)
	}
	if s.d.Phase() != agent.Enrolling {
		t.Errorf("phase %s, want enrolling", s.d.Phase())
	}
	s.answer(200, nil)
	m = s.wants(TokenUpdate)
	tp, token, magic := s.d.Push()
	if !bytes.Equal(m.Token, token) || m.PushMagic != magic || tp != topic || len(token) != 32 || m.AwaitingConfiguration || len(m.UnlockToken) == 0 {
		t.Errorf("TokenUpdate: %+v", m)
	}
	s.answer(200, nil)
	s.rests()
	if s.d.Due() != 0 {
		t.Errorf("due %s: Apple devices do not poll", s.d.Due())
	}
	if i := s.d.Identity(); i.Serial == "" || i.NotAfter <= s.now {
		t.Errorf("identity %+v", i)
	}
	if _, err := s.d.Signer(Current); err != nil {
		t.Error(err)
	}
}

func TestMacIntroducesItself(t *testing.T) {
	s := newScene(t, mac13, plainHabits)
	s.enrol(s.profile(func(p *apple.Profile) { p.Payloads[0].MDM.AccessRights = 3 }), 200)
	m := s.wants(Authenticate)
	if m.DeviceName != "Phone of Ann" || m.ModelName != "MacBook Pro" || m.Model != "Mac14,9" || m.SerialNumber != "" {
		t.Errorf("Authenticate: %+v; want names, and no serial number without the right", m)
	}
	s.answer(200, nil)
	if m = s.wants(TokenUpdate); m.UnlockToken != nil {
		t.Error("a Mac gave an UnlockToken")
	}
}

func TestAPL002BothForms(t *testing.T) {
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	for _, signed := range []bool{false, true} {
		s := newScene(t, iPhone, plainHabits)
		c, err := s.ca.IssueServer([]string{"mdm.example"}, key.Public(), noon.Time(), 0)
		if err != nil {
			t.Fatal(err)
		}
		form := func(p *apple.Profile) []byte {
			raw := apple.EncodeProfile(p)
			if !signed {
				return raw
			}
			raw, err := certs.SignAttached(raw, certs.Signer{Certificate: c, Key: key}, noon.Time())
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		if err := s.d.Enrol(s.now, Start{Profile: form(s.profile())}, &s.act); err != nil {
			t.Fatal(err)
		}
		s.issue()
		s.answer(200, nil)
		s.answer(200, nil)
		s.rests()
		m, _ := s.command("1", apple.InstallProfile{Payload: form(apple.NewProfile("com.example.mail", "Mail", protocol.Email))})
		if m.Status != protocol.Acknowledged {
			t.Errorf("signed %v: %s %+v", signed, m.Status, m.ErrorChain)
		}
		_, r := s.command("2", apple.ProfileList{})
		for _, p := range r.ProfileList {
			if got := len(p.SignerCertificates) > 0; got != signed {
				t.Errorf("signed %v: %s has signers: %v", signed, p.PayloadIdentifier, got)
			}
		}
		if signed {
			raw := form(apple.NewProfile("com.example.other", "Other", protocol.WiFi))
			raw[len(raw)-1] ^= 1
			if m, _ := s.command("3", apple.InstallProfile{Payload: raw}); m.Status != protocol.Failed {
				t.Errorf("altered signature: %s, want Error", m.Status)
			}
		}
	}
}

func TestAPL003(t *testing.T) {
	orders := [][3]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}, {0, 2, 1}, {2, 0, 1}}
	for _, order := range orders {
		s := newScene(t, iPhone, plainHabits)
		s.enrol(s.profile(func(p *apple.Profile) {
			q := p.Payloads
			p.Payloads = []apple.Payload{q[order[0]], q[order[1]], q[order[2]]}
		}), 200)
		s.wants(Authenticate)
	}
	for name, change := range map[string]func(*apple.Profile){
		"no such identity":    func(p *apple.Profile) { p.Payloads[0].MDM.IdentityCertificateUUID = "other" },
		"identity is no such": func(p *apple.Profile) { p.Payloads[0].MDM.IdentityCertificateUUID = p.Payloads[2].UUID },
		"broken root":         func(p *apple.Profile) { p.Payloads[2].Certificate = []byte{1, 2, 3} },
		"no MDM payload":      func(p *apple.Profile) { p.Payloads = p.Payloads[1:] },
		"missing pin":         func(p *apple.Profile) { p.Payloads[0].MDM.ServerURLPinningCertificateUUIDs = []string{"x"} },
		"pin is no certificate": func(p *apple.Profile) {
			p.Payloads[0].MDM.CheckInURLPinningCertificateUUIDs = []string{p.Payloads[1].UUID}
		},
		"ServerURL without TLS": func(p *apple.Profile) { p.Payloads[0].MDM.ServerURL = "http://mdm.example" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, iPhone, plainHabits)
			s.enrol(s.profile(change), 200)
			if s.act.Kind != Rest || s.act.Err == nil {
				t.Fatalf("act %+v, want rest with an error", s.act)
			}
			if s.d.Phase() != agent.New || len(s.d.Profiles()) != 0 || s.d.Identity().Serial != "" || s.d.task != nil {
				t.Errorf("left behind: phase %s, %v", s.d.Phase(), s.d.Profiles())
			}
		})
	}
}

func TestAPL004(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits)
	if err := s.d.Enrol(s.now, Start{URL: "https://mdm.example/enrol"}, &s.act); !errors.Is(err, ErrManaged) {
		t.Errorf("second enrolment: %v, want ErrManaged", err)
	}
	second := s.profile(func(p *apple.Profile) { p.Identifier = "com.other.mdm" })
	if m, _ := s.command("1", apple.InstallProfile{Payload: apple.EncodeProfile(second)}); m.Status != protocol.Failed {
		t.Errorf("second MDM profile by command: %s, want Error", m.Status)
	}
	if got := s.identifiers(); got != "com.example.mdm" {
		t.Errorf("installed: %s", got)
	}
	n := newScene(t, iPhone, plainHabits)
	n.enrol(n.profile(func(p *apple.Profile) {
		extra := p.Payloads[0]
		extra.Identifier, extra.UUID = "com.example.mdm.again", "AAAAAAAA-0000-4000-8000-000000000009"
		p.Payloads = append(p.Payloads, extra)
	}), 200)
	if n.act.Kind != Rest || n.act.Err == nil || n.d.Phase() != agent.New {
		t.Errorf("two MDM payloads: %+v", n.act)
	}
}

func TestEnrolmentFails(t *testing.T) {
	check := func(t *testing.T, s *scene, step Step) {
		t.Helper()
		f, ok := errors.AsType[*Failure](s.act.Err)
		if s.act.Kind != Rest || !ok || f.Step != step {
			t.Fatalf("act %d, %v; want a failure of %s", s.act.Kind, s.act.Err, step)
		}
		if s.d.Phase() != agent.New || s.d.Due() != 0 || len(s.d.Profiles()) != 0 {
			t.Errorf("phase %s, due %s, %v", s.d.Phase(), s.d.Due(), s.d.Profiles())
		}
		s.enrol(s.profile(), 200) // and it can try again
	}
	t.Run("profile 403", func(t *testing.T) {
		s := newScene(t, iPhone, plainHabits)
		s.enrol(s.profile(), 403)
		check(t, s, FetchProfile)
	})
	t.Run("SCEP", func(t *testing.T) {
		s := newScene(t, iPhone, plainHabits)
		s.d.Enrol(s.now, Start{Profile: apple.EncodeProfile(s.profile())}, &s.act)
		s.d.GotIdentity(s.now, nil, nil, errors.New("badRequest"), &s.act)
		check(t, s, Identify)
	})
	for _, status := range []int{401, 400, 503, 0} {
		t.Run("Authenticate", func(t *testing.T) {
			s := newScene(t, iPhone, plainHabits)
			s.enrol(s.profile(), 200)
			s.answer(status, nil)
			check(t, s, Authenticate)
		})
	}
}

func TestAPL041(t *testing.T) {
	s := newScene(t, iPhone, plainHabits)
	s.enrol(s.profile(), 200)
	s.answer(200, nil)
	first := *s.wants(TokenUpdate)
	for i, status := range []int{500, 0, 400, 404} {
		s.answer(status, nil)
		if s.act.Err == nil || s.d.Phase() != agent.Enrolling {
			t.Fatalf("after %d: %v, phase %s", status, s.act.Err, s.d.Phase())
		}
		if i == 1 {
			s.reborn()
		}
		s.due()
		if again := s.wants(TokenUpdate); again.PushMagic != first.PushMagic {
			t.Error("another magic in the repeat")
		}
	}
	s.answer(200, nil)
	s.rests()
	if s.d.Phase() != agent.Enrolled || s.d.Owes() {
		t.Fatalf("phase %s, owes %v", s.d.Phase(), s.d.Owes())
	}
	_, before, _ := s.d.Push()
	old := string(before)
	s.d.ChangeToken(s.now)
	s.due()
	if m := s.wants(TokenUpdate); string(m.Token) == old {
		t.Error("the changed token was not told")
	}
	s.answer(500, nil)
	s.due()
	s.wants(TokenUpdate)
	s.answer(200, nil)
	s.rests()
	if s.d.Owes() {
		t.Error("still owed after the 2xx")
	}
}

func TestADE(t *testing.T) {
	s := newScene(t, iPhone, plainHabits)
	if err := s.d.Enrol(s.now, Start{URL: "https://mdm.example/ade", ADE: true, Awaiting: true}, &s.act); err != nil {
		t.Fatal(err)
	}
	s.wants(FetchADE)
	if r := s.act.Request; r.Method != "POST" || r.Sign != SignMachineInfo || r.ContentType != "application/pkcs7-signature" {
		t.Errorf("request: %+v", r)
	}
	m, err := apple.DecodeMachineInfo(s.act.Request.Body)
	if err != nil || m.Serial != "ROLLCALL0001" || m.UDID != s.d.UDID() || m.Product != "iPhone14,5" || m.OSVersion != "17.6" || m.BuildVersion != "21G80" {
		t.Errorf("MachineInfo %+v, %v", m, err)
	}
	s.answer(200, apple.EncodeProfile(s.profile()))
	s.issue()
	s.answer(200, nil)
	if m := s.wants(TokenUpdate); !m.AwaitingConfiguration {
		t.Error("TokenUpdate does not say AwaitingConfiguration")
	}
	s.answer(200, nil)
	_, r := s.command("1", apple.DeviceInformation{Queries: []string{"AwaitingConfiguration", "IsSupervised"}})
	if r.QueryResponses["AwaitingConfiguration"] != true || r.QueryResponses["IsSupervised"] != true {
		t.Errorf("answers %v", r.QueryResponses)
	}
	s.command("2", apple.DeviceConfigured{})
	if s.d.Awaiting() {
		t.Error("still awaiting after DeviceConfigured")
	}
}

func TestADESoftwareUpdateRequired(t *testing.T) {
	s := newScene(t, iPhone, plainHabits)
	s.d.Enrol(s.now, Start{URL: "https://mdm.example/ade", ADE: true}, &s.act)
	f := apple.Forbidden{Code: apple.SoftwareUpdateRequired, Details: &apple.ForbiddenDetails{OSVersion: "18.1"}}
	s.d.Answer(s.now, &Response{Status: 403, ContentType: "application/json", Body: f.JSON()}, &s.act)
	if no, ok := errors.AsType[*Failure](s.act.Err); !ok || no.Code != apple.SoftwareUpdateRequired || s.d.Phase() != agent.New {
		t.Errorf("%v, phase %s", s.act.Err, s.d.Phase())
	}
}

func TestEnrolRefusesAddresses(t *testing.T) {
	for _, u := range []string{"", "http://mdm.example", "mdm.example", "https://", "ftp://x", "https://%zz"} {
		s := newScene(t, iPhone, plainHabits)
		if err := s.d.Enrol(s.now, Start{URL: u}, &s.act); err == nil {
			t.Errorf("Enrol took %q", u)
		} else if s.d.task != nil {
			t.Errorf("%q left a task", u)
		}
	}
}
