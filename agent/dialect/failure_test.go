package dialect

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

func TestAPL093(t *testing.T) {
	order := (&apple.Forbidden{Code: apple.UnrecognizedDevice}).JSON()
	plist := (&apple.Forbidden{Code: apple.UnrecognizedDevice}).Plist()
	other := (&apple.Forbidden{Code: apple.SoftwareUpdateRequired, Details: &apple.ForbiddenDetails{OSVersion: "18"}}).JSON()
	for _, tt := range []struct {
		name   string
		r      Response
		gone   bool
		doubts Doubts
	}{
		{"401", Response{Status: 401}, true, Doubts{}},
		{"403 unrecognized, JSON", Response{Status: 403, ContentType: "application/json", Body: order}, true, Doubts{}},
		{"403 unrecognized, plist", Response{Status: 403, ContentType: "application/xml", Body: plist}, true, Doubts{}},
		{"403 unrecognized, wrong type", Response{Status: 403, ContentType: "text/html", Body: order}, false, Doubts{}},
		{"403 other code", Response{Status: 403, ContentType: "application/json", Body: other}, false, Doubts{}},
		{"403", Response{Status: 403}, false, Doubts{}},
		{"404", Response{Status: 404}, false, Doubts{}},
		{"410", Response{Status: 410}, false, Doubts{}},
		{"400", Response{Status: 400}, false, Doubts{}},
		{"429", Response{Status: 429}, false, Doubts{}},
		{"500", Response{Status: 500}, false, Doubts{}},
		{"503", Response{Status: 503, RetryAfter: 15 * time.Minute}, false, Doubts{}},
		{"redirect too far", Response{Err: errors.New("redirected")}, false, Doubts{}},
		{"refused", Response{Err: errLost}, false, Doubts{}},
		{"TLS error", Response{Err: errLost, Refused: true}, false, Doubts{}},
		{"410, if that is how it is", Response{Status: 410}, true, Doubts{GoneUnenrols: true}},
		{"404, if that is how it is", Response{Status: 404}, true, Doubts{GoneUnenrols: true}},
	} {
		for _, step := range []Step{Idle, Report, TokenUpdate} {
			t.Run(tt.name+" to "+step.String(), func(t *testing.T) {
				s := enrolled(t, iPhone, &Habits{Doubts: tt.doubts})
				s.command("1", mail("com.example.mail", "Mail"))
				switch step {
				case TokenUpdate:
					s.d.ChangeToken(s.now)
					s.due()
				case Report:
					s.wake()
					s.give("2", apple.ProfileList{})
				default:
					s.wake()
				}
				s.wants(step)
				s.d.Answer(s.now, &tt.r, &s.act)
				f, ok := errors.AsType[*Failure](s.act.Err)
				if s.act.Kind != Rest || !ok || f.Step != step || f.Status != tt.r.Status {
					t.Fatalf("act %d, %v", s.act.Kind, s.act.Err)
				}
				if tt.gone {
					if s.d.Phase() != agent.Removed || len(s.d.Profiles()) != 0 || s.d.Due() != 0 {
						t.Errorf("phase %s, %v, due %s; want everything gone", s.d.Phase(), s.d.Profiles(), s.d.Due())
					}
					return
				}
				if s.d.Phase() != agent.Enrolled || len(s.d.Profiles()) != 2 || s.d.Identity().Serial == "" {
					t.Fatalf("phase %s, %v; want everything kept", s.d.Phase(), s.d.Profiles())
				}
				least, most := 45*time.Second, time.Minute
				if tt.r.RetryAfter > 0 {
					least, most = tt.r.RetryAfter, tt.r.RetryAfter*5/4
				}
				if wait := s.d.Due().Sub(s.now); wait < least || wait > most {
					t.Errorf("comes back after %s, want from %s to %s", wait, least, most)
				}
				s.due()
				s.wants(step) // what the server has not heard comes again
			})
		}
	}
	t.Run("Retry-After unread", func(t *testing.T) {
		s := enrolled(t, iPhone, &Habits{Doubts: Doubts{IgnoresRetryAfter: true}})
		s.wake()
		s.d.Answer(s.now, &Response{Status: 503, RetryAfter: time.Hour}, &s.act)
		if wait := s.d.Due().Sub(s.now); wait > time.Minute {
			t.Errorf("waits %s, though it does not read the header", wait)
		}
	})
}

func TestGarbageInPlaceOfACommand(t *testing.T) { // HST-120
	s := enrolled(t, iPhone, plainHabits)
	s.wake()
	s.answer(200, []byte("<html>Welcome to our wireless network</html>"))
	if s.act.Kind != Rest || s.act.Err == nil || s.d.Due() == 0 {
		t.Fatalf("act %d, %v, due %s; want a retry", s.act.Kind, s.act.Err, s.d.Due())
	}
	s.due()
	s.give("1", apple.ProfileList{})
	s.answer(200, []byte("bplist00"))
	if s.act.Kind != Rest || s.act.Err == nil || s.d.Owes() || s.d.Phase() != agent.Enrolled {
		t.Errorf("act %d, %v, owes %v", s.act.Kind, s.act.Err, s.d.Owes())
	}
}

// renewal gives an enrolled device its renewal and stops where it wants an identity.
func renewal(t *testing.T, s *scene, change ...func(*apple.Profile)) {
	t.Helper()
	p := s.profile(change...)
	p.UUID, p.Payloads[0].UUID = "BBBBBBBB-0000-4000-8000-000000000001", "BBBBBBBB-0000-4000-8000-000000000002"
	p.Payloads[1].SCEP.Challenge = "second secret"
	s.now = s.now.Add(330 * 24 * time.Hour)
	s.wake()
	s.give("R-0", apple.ProfileList{}) // in the same conversation
	s.answer(200, apple.EncodeCommand(nil, "R-1", apple.InstallProfile{Payload: apple.EncodeProfile(p)}))
}

func TestRenewal(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits)
	s.command("1", mail("com.example.mail", "Mail"))
	before, _, magic := s.d.Push()
	old := s.d.Identity()
	renewal(t, s)
	if s.act.Kind != GetIdentity || s.act.SCEP.Challenge != "second secret" {
		t.Fatalf("act %+v", s.act)
	}
	s.issue()
	s.wants(Authenticate)
	if s.act.Request.Identity != Next || s.d.Identity() != old {
		t.Errorf("Authenticate by identity %d, while %+v is in use", s.act.Request.Identity, s.d.Identity())
	}
	if _, err := s.d.Signer(Next); err != nil {
		t.Error(err)
	}
	s.answer(200, nil)
	s.wants(TokenUpdate)
	if s.act.Request.Identity != Current || s.d.Identity() == old {
		t.Error("TokenUpdate does not come with the new identity")
	}
	s.answer(200, nil)
	m, _ := s.reported("R-1")
	if m.Status != protocol.Acknowledged || s.act.Request.Identity != Current || s.act.Request.Command != "InstallProfile" {
		t.Errorf("report %s by identity %d", m.Status, s.act.Request.Identity)
	}
	s.answer(200, nil)
	s.rests()
	after, _, again := s.d.Push()
	if before != after || magic != again || s.identifiers() != "com.example.mdm com.example.mail" || s.d.Profiles()[0].UUID != "BBBBBBBB-0000-4000-8000-000000000001" {
		t.Errorf("after the renewal: %s, %v", s.identifiers(), s.d.Profiles())
	}
	if _, err := s.d.Signer(Next); err == nil {
		t.Error("there is still a next identity")
	}
	s.wake()
	s.wants(Idle)

	o := enrolled(t, iPhone, &Habits{Doubts: Doubts{OldIdentityReports: true}})
	renewal(t, o)
	o.issue()
	o.answer(200, nil)
	o.answer(200, nil)
	o.reported("R-1")
	if o.act.Request.Identity != Previous {
		t.Errorf("report by identity %d, want the one before", o.act.Request.Identity)
	}
	if s, err := o.d.Signer(Previous); err != nil || s.Certificate.NotBefore.After(noon.Time()) {
		t.Errorf("the identity before: %v", err)
	}
	o.answer(200, nil)
	if _, err := o.d.Signer(Previous); err == nil {
		t.Error("the identity before is kept after its report")
	}
}

func TestAPL090(t *testing.T) {
	for name, change := range map[string]func(*apple.MDM){
		"ServerURL":     func(m *apple.MDM) { m.ServerURL += "2" },
		"CheckInURL":    func(m *apple.MDM) { m.CheckInURL += "2" },
		"no CheckInURL": func(m *apple.MDM) { m.CheckInURL = "" },
		"Topic":         func(m *apple.MDM) { m.Topic += "2" },
		"rights":        func(m *apple.MDM) { m.AccessRights |= apple.RightErase },
	} {
		t.Run(name, func(t *testing.T) {
			less := func(p *apple.Profile) { p.Payloads[0].MDM.AccessRights &^= apple.RightErase }
			s := enrolled(t, iPhone, plainHabits, less)
			old := s.d.Identity()
			renewal(t, s, less, func(p *apple.Profile) { change(p.Payloads[0].MDM) })
			if m, _ := s.reported("R-1"); m.Status != protocol.Failed {
				t.Errorf("%s, want Error", m.Status)
			}
			s.answer(200, nil)
			s.rests()
			if s.d.Phase() != agent.Enrolled || s.d.Identity() != old || s.d.Profiles()[0].UUID != "AAAAAAAA-0000-4000-8000-000000000001" {
				t.Errorf("phase %s, %v", s.d.Phase(), s.d.Profiles())
			}
		})
	}
	s := enrolled(t, iPhone, plainHabits)
	renewal(t, s, func(p *apple.Profile) { // what may change
		p.DisplayName, p.Payloads[1].SCEP.URL, p.Payloads[0].MDM.AccessRights = "Other", "https://other.example/scep", 3
		p.Payloads[0].MDM.CheckOutWhenRemoved = false
	})
	s.issue()
	s.answer(200, nil)
	s.answer(200, nil)
	s.answer(200, nil)
	s.rests()
	if s.d.Begin(s.now, UserRemoves, &s.act) {
		t.Error("CheckOut, though the update took that away")
	}
}

func TestRenewalFails(t *testing.T) {
	kept := func(t *testing.T, s *scene, old Identity) {
		t.Helper()
		m, _ := s.reported("R-1")
		if m.Status != protocol.Failed || s.act.Request.Identity != Current || s.d.Identity() != old {
			t.Fatalf("report %s by identity %d, want Error by the old", m.Status, s.act.Request.Identity)
		}
		if s.d.Certificate(Next) != nil {
			t.Error("the refused identity is kept")
		}
		s.answer(200, nil)
		s.rests()
		if s.d.Phase() != agent.Enrolled || s.d.Owes() {
			t.Errorf("phase %s, owes %v", s.d.Phase(), s.d.Owes())
		}
	}
	t.Run("no identity", func(t *testing.T) {
		s := enrolled(t, iPhone, plainHabits)
		old := s.d.Identity()
		renewal(t, s)
		s.d.GotIdentity(s.now, nil, nil, errors.New("badRequest"), &s.act)
		kept(t, s, old)
	})
	for name, r := range map[string]Response{"400": {Status: 400}, "401": {Status: 401}, "TLS": {Refused: true, Err: errLost}} {
		t.Run("refused by "+name, func(t *testing.T) {
			s := enrolled(t, iPhone, plainHabits)
			old := s.d.Identity()
			renewal(t, s)
			s.issue()
			s.d.Answer(s.now, &r, &s.act)
			kept(t, s, old)
		})
	}
	t.Run("cut off while asking", func(t *testing.T) {
		s := enrolled(t, iPhone, plainHabits)
		old := s.d.Identity()
		renewal(t, s)
		s.d.Abandon(s.now)
		if s.d.Identity() != old || s.d.task != nil {
			t.Fatal("the renewal left something behind")
		}
		s.due()
		s.wants(Idle)
	})
}

// TestHST034: the server may have retired the old identity when its answer was lost, so the new one is tried again.
func TestHST034(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits)
	old := s.d.Identity()
	renewal(t, s)
	s.issue()
	for _, status := range []int{0, 503} {
		s.answer(status, nil)
		if s.act.Kind != Rest || s.d.Identity() != old {
			t.Fatalf("act %d, identity %+v", s.act.Kind, s.d.Identity())
		}
		s.reborn()
		s.due()
		s.wants(Authenticate)
		if s.act.Request.Identity != Next {
			t.Fatal("not with the new identity")
		}
	}
	s.answer(200, nil)
	s.wants(TokenUpdate)
	s.lost()
	s.reborn()
	s.due()
	s.wants(TokenUpdate)
	s.answer(200, nil)
	if m, _ := s.reported("R-1"); m.Status != protocol.Acknowledged {
		t.Errorf("report %s", m.Status)
	}
	s.answer(200, nil)
	s.rests()
}

func TestAUTH42AnExpiredIdentityOnlyWaits(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits)
	s.now = s.now.Add(400 * 24 * time.Hour)
	s.wake()
	s.d.Answer(s.now, &Response{Err: errLost, Refused: true}, &s.act)
	if s.d.Phase() != agent.Enrolled || s.d.Due() == 0 {
		t.Errorf("phase %s, due %s: it cannot know better", s.d.Phase(), s.d.Due())
	}
}

func TestAUTH27OldProfilesGo(t *testing.T) {
	seal := newSeal(t)
	s := enrolled(t, iPhone, plainHabits, withNotices(seal))
	s.command("1", mail("com.example.old", "Old"))
	s.command("2", mail("com.example.both", "Old"))
	s.now++
	s.wake()
	s.d.Answer(s.now, &Response{Status: 503, Notice: notice(t, seal, protocol.Notice{Epoch: 1, ChangedAt: s.now})}, &s.act) // a refused device knows too
	changed := s.now
	s.command("3", mail("com.example.both", "New"))
	if s.identifiers() != "com.example.mdm com.example.old com.example.both" {
		t.Fatalf("installed: %s", s.identifiers())
	}
	if s.d.Due() != changed.Add(7*24*time.Hour) || s.d.Drops() != s.d.Due() {
		t.Errorf("due %s", s.d.Due())
	}
	kept, err := s.d.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	away := NewApple(s.d.Who(), iPhone, plainHabits)
	if err := away.UnmarshalBinary(kept); err != nil {
		t.Fatal(err)
	}
	if early, n := away.Expire(changed), away.Expire(away.Drops()); early != 0 || n != 1 || len(away.docs) != 1 || away.Drops() != 0 {
		t.Errorf("off the network %d profiles leave at once and %d after seven days, %d are left; want 0, 1 and 1", early, n, len(away.docs))
	}
	s.now = s.d.Due()
	if s.d.Begin(s.now, Scheduled, &s.act) || s.identifiers() != "com.example.mdm com.example.both" || s.act.Dropped != 1 {
		t.Errorf("installed: %s; %d dropped, want 1", s.identifiers(), s.act.Dropped)
	}
}

func TestSignMessage(t *testing.T) {
	for _, tt := range []struct {
		signs, legacy bool
		want          Sign
	}{{false, false, NoSignature}, {true, false, SignBody}, {true, true, SignLegacy}, {false, true, NoSignature}} {
		s := enrolled(t, iPhone, &Habits{Legacy: tt.legacy}, func(p *apple.Profile) { p.Payloads[0].MDM.SignMessage = tt.signs })
		s.wake()
		if got := s.act.Request.Sign; got != tt.want {
			t.Errorf("SignMessage %v, legacy %v: %d, want %d", tt.signs, tt.legacy, got, tt.want)
		}
	}
}

func TestPins(t *testing.T) {
	s := enrolled(t, iPhone, plainHabits, func(p *apple.Profile) {
		p.Payloads[0].MDM.ServerURLPinningCertificateUUIDs = []string{p.Payloads[2].UUID}
	})
	s.wake()
	if want := (Trust{string(s.ca.Certificate().Raw), true}); s.act.Trust != want {
		t.Error("the ServerURL is not pinned")
	}
	s.answer(200, nil)
	s.d.ChangeToken(s.now)
	s.due()
	if s.act.Trust.Pinned {
		t.Error("the CheckInURL is pinned too")
	}
}

// A refusal says in its failure what the server gave as the reason, on one line that nobody can forge (HST-068).
func TestFailureSaysWhy(t *testing.T) {
	for _, tt := range []struct{ kind, body, want string }{
		{"text/plain; charset=utf-8", "AUTH-47: no licence\n", "profile: status 403: AUTH-47: no licence"},
		{"text/plain", "one\nlevel=error two", "profile: status 403: one"},
		{"text/plain", "a\x1b[31m\rb", `profile: status 403: a\x1b[31m\rb`},
		{"text/plain", strings.Repeat("x", 10_000), "profile: status 403: " + strings.Repeat("x", 200)},
		{"text/html", "<h1>no</h1>", "profile: status 403"},
		{"text/plain", "", "profile: status 403"},
	} {
		if got := failure(FetchProfile, &Response{Status: 403, ContentType: tt.kind, Body: []byte(tt.body)}).Error(); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.body, got, tt.want)
		}
	}
}
