package dialect

import (
	"strings"
	"sync"
	"testing"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

const (
	noon  = protocol.Time(1_800_000_000_000_000)
	topic = "com.apple.mgmt.External.11111111-2222-4333-8444-555555555555"
)

var (
	iPhone = &Model{
		Platform: protocol.IOS, Name: "iPhone", Number: "MLPF3", Product: "iPhone14,5", OSVersion: "17.6", Build: "21G80", Capacity: 128,
		Apps: []apple.ApplicationItem{
			{Identifier: "com.example.notes", Name: "Notes", Version: "1", ShortVersion: "1", BundleSize: 1000},
			{Identifier: "com.example.maps", Name: "Maps", Version: "2", ShortVersion: "2", BundleSize: 2000},
		},
	}
	mac13       = &Model{Platform: protocol.MacOS, Name: "MacBook Pro", Number: "Mac14,9", Product: "Mac14,9", OSVersion: "14.6", Build: "23G80", Capacity: 512}
	plainHabits = &Habits{}
)

// authority is the one CA of all tests: making one takes an RSA key.
var authority = sync.OnceValues(func() (*certs.Authority, error) { return certs.NewAuthority(certs.P256, "test CA", noon.Time()) })

// A scene is one device and, in place of its server, what the test says.
type scene struct {
	testing.TB
	d   *Apple
	now protocol.Time
	act Act
	ca  *certs.Authority
}

func newScene(t testing.TB, m *Model, h *Habits) *scene {
	t.Helper()
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	w := Who{Number: 7, Seed: 1, UDID: "00008101-000A1B2C3D4E001E", Serial: "ROLLCALL0001", Name: "Phone of Ann", IMEI: "490154203237518"}
	return &scene{TB: t, d: NewApple(w, m, h), now: noon, ca: ca}
}

// enrolled is a scene whose device has gone through the whole enrolment.
func enrolled(t testing.TB, m *Model, h *Habits, change ...func(*apple.Profile)) *scene {
	t.Helper()
	s := newScene(t, m, h)
	s.enrol(s.profile(change...), 200)
	s.answer(200, nil)
	s.wants(TokenUpdate)
	s.answer(200, nil)
	s.rests()
	if s.d.Phase() != agent.Enrolled {
		t.Fatalf("phase %s, want enrolled", s.d.Phase())
	}
	return s
}

// profile is an enrolment profile, MDM first, so that nothing can depend on the order in the file.
func (s *scene) profile(change ...func(*apple.Profile)) *apple.Profile {
	p := &apple.Profile{
		Identifier: "com.example.mdm", UUID: "AAAAAAAA-0000-4000-8000-000000000001", DisplayName: "Management",
		Payloads: []apple.Payload{
			{Type: apple.MDMPayload, Identifier: "com.example.mdm.mdm", UUID: "AAAAAAAA-0000-4000-8000-000000000002", MDM: &apple.MDM{
				IdentityCertificateUUID: "AAAAAAAA-0000-4000-8000-000000000003", Topic: topic, ServerURL: "https://mdm.example/mdm",
				CheckInURL: "https://mdm.example/checkin", AccessRights: apple.AllRights, CheckOutWhenRemoved: true,
			}},
			{
				Type: apple.SCEPPayload, Identifier: "com.example.mdm.scep", UUID: "AAAAAAAA-0000-4000-8000-000000000003", SCEP: &apple.SCEP{
					URL: "https://mdm.example/scep", Name: "CA", Challenge: "secret", Keysize: 2048, KeyUsage: 5,
					Subject: [][][]string{{{"O", "Example"}}, {{"CN", "%SerialNumber%"}}}, CAFingerprint: []byte("sixteen bytes at"),
				},
			},
			{Type: apple.RootPayload, Identifier: "com.example.mdm.root", UUID: "AAAAAAAA-0000-4000-8000-000000000004", Certificate: s.ca.Certificate().Raw},
		},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

// enrol goes as far as Authenticate, or to the end when the profile does not get there.
func (s *scene) enrol(p *apple.Profile, status int) {
	s.Helper()
	if err := s.d.Enrol(s.now, Start{URL: "https://mdm.example/enrol"}, &s.act); err != nil {
		s.Fatal(err)
	}
	s.wants(FetchProfile)
	s.answer(status, apple.EncodeProfile(p))
	if s.act.Kind != GetIdentity {
		return
	}
	s.issue()
	s.wants(Authenticate)
}

// issue gives the identity that the device wants.
func (s *scene) issue() {
	s.Helper()
	if s.act.Kind != GetIdentity {
		s.Fatalf("act %+v, want GetIdentity", s.act)
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		s.Fatal(err)
	}
	c, err := s.ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: "handle", Now: s.now.Time()})
	if err != nil {
		s.Fatal(err)
	}
	s.d.GotIdentity(s.now, key, c, nil, &s.act)
}

func (s *scene) answer(status int, body []byte) {
	s.Helper()
	if s.act.Kind != Send {
		s.Fatalf("act %+v: nothing to answer", s.act)
	}
	s.d.Answer(s.now, &Response{Status: status, Body: body}, &s.act)
}

// lost tells the device that no answer came.
func (s *scene) lost() {
	s.d.Answer(s.now, &Response{Err: errLost}, &s.act)
}

type lostError struct{}

func (lostError) Error() string { return "connection lost" }

var errLost = lostError{}

// wants demands a request of a step and returns its message.
func (s *scene) wants(step Step) *apple.Message {
	s.Helper()
	if s.act.Kind != Send || s.act.Request.Step != step {
		s.Fatalf("act %d %s (%v), want %s", s.act.Kind, s.act.Request.Step, s.act.Err, step)
	}
	var m apple.Message
	if step >= Authenticate {
		if err := apple.DecodeMessage(s.act.Request.Body, &m); err != nil {
			s.Fatalf("%s: %v\n%s", step, err, s.act.Request.Body)
		}
		if m.UDID != s.d.UDID() {
			s.Errorf("%s: UDID %q", step, m.UDID)
		}
	}
	return &m
}

func (s *scene) rests() {
	s.Helper()
	if s.act.Kind != Rest || s.act.Err != nil {
		s.Fatalf("act %d %s (%v), want rest", s.act.Kind, s.act.Request.Step, s.act.Err)
	}
}

// wake begins a conversation by a push.
func (s *scene) wake() {
	s.Helper()
	if !s.d.Begin(s.now, Pushed, &s.act) {
		s.Fatal("a push did not wake the device")
	}
}

// due begins the conversation that the device wants by itself.
func (s *scene) due() {
	s.Helper()
	if s.d.Due() == 0 {
		s.Fatal("nothing is due")
	}
	s.now = max(s.now, s.d.Due())
	if !s.d.Begin(s.now, Scheduled, &s.act) {
		s.Fatal("nothing was due after all")
	}
}

// give answers with a command and returns the report's message and result.
func (s *scene) give(uuid string, c apple.Command) (*apple.Message, *apple.Result) {
	s.Helper()
	s.answer(200, apple.EncodeCommand(nil, uuid, c))
	return s.reported(uuid)
}

func (s *scene) reported(uuid string) (*apple.Message, *apple.Result) {
	s.Helper()
	m := s.wants(Report)
	if m.CommandUUID != uuid {
		s.Errorf("reported %q, want %q", m.CommandUUID, uuid)
	}
	if s.act.Request.Status != m.Status {
		s.Errorf("act says %s, the message %s", s.act.Request.Status, m.Status)
	}
	r, err := apple.DecodeResult(s.act.Request.Body)
	if err != nil {
		s.Fatal(err)
	}
	return m, r
}

// command gives one command in a conversation of its own.
func (s *scene) command(uuid string, c apple.Command) (*apple.Message, *apple.Result) {
	s.Helper()
	s.wake()
	s.wants(Idle)
	m, r := s.give(uuid, c)
	s.answer(200, nil)
	return m, r
}

// reborn writes the device to bytes and reads it again.
func (s *scene) reborn() {
	s.Helper()
	b, err := s.d.AppendBinary(nil)
	if err != nil {
		s.Fatal(err)
	}
	var d Apple
	if err := d.UnmarshalBinary(b); err != nil {
		s.Fatal(err)
	}
	d.Share(s.d.model, s.d.habits)
	s.d = &d
}

func (s *scene) identifiers() string {
	var list []string
	for _, p := range s.d.Profiles() {
		list = append(list, p.Identifier)
	}
	return strings.Join(list, " ")
}

func mail(identifier, name string) apple.InstallProfile {
	return apple.InstallProfile{Payload: apple.EncodeProfile(apple.NewProfile(identifier, name, protocol.Email))}
}
