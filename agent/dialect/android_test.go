package dialect

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// Every kind of device enrols: discovery, token, identity by EST, two rounds (AND-070, device side).
func TestAND070Enrol(t *testing.T) {
	for _, mode := range android.Modes {
		s := newAndroidScene(t, mode, plainHabits)
		s.start()
		s.issue()
		m := s.checksIn(1, android.ReasonEnrolled)
		if m.Applied.State != android.Provisioning || m.Status == nil || (m.Push != nil) != mode.Google() || s.act.Request.Identity != Current {
			t.Errorf("%s: first word %+v", mode, m)
		}
		s.policy(s.entries("p-wifi", "p-config"), &android.Policy{CameraAccess: "CAMERA_ACCESS_DISABLED"})
		m = s.checksIn(2, android.ReasonEnrolled)
		if m.Applied.State != android.Active || m.Applied.PolicyVersion != 1 || len(m.Applied.Profiles) != 2 || !m.Compliant {
			t.Errorf("%s: second word %+v", mode, m)
		}
		s.complete()
		s.rests()
		if s.d.Phase() != agent.Enrolled || s.d.Mode() != mode || s.d.State() != android.Active || s.d.androidTask != nil {
			t.Errorf("%s: phase %s, state %s, task %+v", mode, s.d.Phase(), s.d.State(), s.d.androidTask)
		}
		s.has("p-wifi", "p-config")
	}
}

// What is wrong with an enrolment ends it with the reason; a device that is managed is not taken twice.
func TestAndroidEnrolRefused(t *testing.T) {
	s := newAndroidScene(t, android.FullyManaged, plainHabits)
	if err := s.d.Enrol(s.now, AndroidStart{URL: "http://mdm.example", Token: "t", Mode: s.mode}, &s.act); err == nil {
		t.Error("a server without TLS is taken")
	}
	if err := s.d.Enrol(s.now, AndroidStart{URL: "https://mdm.example", Token: "t", Mode: android.Dedicated}, &s.act); err == nil {
		t.Error("a user's device enrols as a dedicated one")
	}
	if err := s.d.Enrol(s.now, AndroidStart{URL: "https://mdm.example", Token: "t", Mode: s.mode}, &s.act); err != nil {
		t.Fatal(err)
	}
	s.answer(200, &android.Discovery{Protocol: 1, PolicyKeys: []android.PolicyKey{{KID: "k", SPKI: "AAAA"}}, IdentityKeys: []string{}})
	if s.act.Kind != Rest || !errors.Is(s.act.Err, errNoKeys) {
		t.Errorf("a server without keys: %+v", s.act)
	}
	s.start2(t, 401, android.NewError(401, android.TokenUsed, "used", nil), android.TokenUsed)
	s.start2(t, 403, android.NewError(403, android.AuthorityUnknown, "none", nil), android.AuthorityUnknown)
	s.start2(t, 200, &android.EnrollAnswer{Device: "d-1", Enrollment: "e", Certificate: android.Offer{Method: "est", URL: "https://evil.example/est"}}, "elsewhere")
	s = androidEnrolled(t, android.FullyManaged, plainHabits)
	if err := s.d.Enrol(s.now, AndroidStart{URL: "https://mdm.example", Token: "t", Mode: s.mode}, &s.act); !errors.Is(err, ErrManaged) {
		t.Errorf("twice: %v", err)
	}
}

// start2 enrols up to the answer to its token.
func (s *androidScene) start2(t *testing.T, status int, v any, want string) {
	t.Helper()
	if err := s.d.Enrol(s.now, AndroidStart{URL: "https://mdm.example", Token: "token", Mode: s.mode}, &s.act); err != nil {
		t.Fatal(err)
	}
	s.answer(200, &android.Discovery{Protocol: 1, PolicyKeys: []android.PolicyKey{{KID: "k", SPKI: spki(s.seal)}}, IdentityKeys: []string{
		base64.StdEncoding.EncodeToString(s.ca.Certificate().RawSubjectPublicKeyInfo),
	}})
	s.answer(status, v)
	if s.act.Kind != Rest || s.act.Err == nil || !strings.Contains(s.act.Err.Error(), want) || s.d.Phase() != agent.New || s.d.Manager() != "" {
		t.Errorf("%v, want %s (phase %s)", s.act.Err, want, s.d.Phase())
	}
}

// An enrolment whose first check-in was cut off goes on where it was, with the same token (AND-071, device side).
func TestAND071CutOff(t *testing.T) {
	s := newAndroidScene(t, android.FullyManaged, plainHabits)
	s.start()
	s.issue()
	first := s.checksIn(1, android.ReasonEnrolled)
	certificate := s.d.Certificate(Current)
	s.respond(&Response{Err: errors.New("reset")})
	if s.act.Kind != Rest || s.d.Phase() != agent.New {
		t.Fatalf("%+v, phase %s", s.act, s.d.Phase())
	}
	s.restarts()
	s.start()
	again := s.checksIn(1, android.ReasonEnrolled)
	if !slices.Equal(certificate, s.d.Certificate(Current)) || again.CheckIn == first.CheckIn {
		t.Errorf("check-in %s after %s, under another certificate: %t", again.CheckIn, first.CheckIn, !slices.Equal(certificate, s.d.Certificate(Current)))
	}
	s.policy(s.entries("p-wifi"), nil)
	s.checksIn(2, android.ReasonEnrolled)
	s.respond(&Response{Status: 503})
	if s.d.Phase() != agent.Enrolling || s.d.Due() == 0 {
		t.Fatalf("phase %s, due %s", s.d.Phase(), s.d.Due())
	}
	s.restarts()
	s.due()
	s.checksIn(2, android.ReasonEnrolled)
	s.complete()
	s.rests()
	s.has("p-wifi")
}

// Check-ins in virtual time: 0, 3, 6, 9, 12, 15, 30, … 135 min, then every 8 h (AND-072).
func TestAND072Cadence(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	var got []int
	for s.d.Due().Sub(noon) <= 136*time.Minute {
		s.due()
		s.checksIn(1, android.ReasonSchedule)
		s.complete()
		s.rests()
		got = append(got, int(s.now.Sub(noon)/time.Minute))
	}
	if want := []int{3, 6, 9, 12, 15, 30, 45, 60, 75, 90, 105, 120, 135}; !slices.Equal(got, want) {
		t.Errorf("minutes %v, want %v", got, want)
	}
	last := s.now
	for i := range 3 {
		s.due()
		s.complete()
		if d := s.now.Sub(last); d > 8*time.Hour || i > 0 && d != 8*time.Hour {
			t.Errorf("steady check-in after %s", d)
		}
		last = s.now
	}
}

// Offline over three schedules: one check-in on return (AND-082).
func TestAND082OneCheckIn(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	s.now = s.now.Add(30 * time.Hour)
	s.d.Return(s.now, false)
	for range 10 {
		s.d.Return(s.now, true)
	}
	if late := s.d.Due().Sub(s.now); late <= 0 || late >= 5*time.Minute {
		t.Errorf("it comes %s after its return, want within five minutes", late)
	}
	s.due()
	s.checksIn(1, android.ReasonSchedule)
	s.complete()
	s.rests()
	if s.d.Due() <= s.now || s.d.Begin(s.now, Scheduled, &s.act) {
		t.Errorf("due %s again, now %s", s.d.Due(), s.now)
	}
}

// A round that got no answer is sent again as it was, after a restart too (AND-073); a command is carried out once (AND-074).
func TestAND074ReportedOnce(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	s.begins(Pushed)
	s.checksIn(1, android.ReasonPush)
	lost := android.Command{ID: "c-1", Type: android.StartLostMode, LostModeParams: &android.LostModeParams{LostMessage: "x"}}
	s.commands(lost)
	m := s.checksIn(2, android.ReasonPush)
	body := string(s.act.Request.Body)
	if len(m.Results) != 1 || m.Results[0].State != android.ResultDone || m.Applied.State != android.Lost {
		t.Fatalf("report %+v", m)
	}
	s.restarts() // between carrying out and reporting
	for range 2 {
		s.due()
		if got := string(s.act.Request.Body); got != body {
			t.Fatalf("sent\n%s\nand before\n%s", got, body)
		}
		s.respond(&Response{Err: errors.New("reset")})
	}
	s.due()
	s.commands(lost, android.Command{ID: "c-2", Type: android.StartLostMode, LostModeParams: lost.LostModeParams})
	m = s.checksIn(3, android.ReasonRetry)
	if m.Results[0].State != android.ResultDone || m.Results[1].ErrorCode != android.CodeAlreadyLost {
		t.Errorf("handed out again: %+v", m.Results)
	}
	want := []Order{
		{Command: "START_LOST_MODE", UUID: "c-1", Status: protocol.Acknowledged, Again: true},
		{Command: "START_LOST_MODE", UUID: "c-2", Status: protocol.Failed, Why: android.CodeAlreadyLost, Shown: "x"},
	}
	if got := s.act.Request.Orders; !slices.Equal(got, want) || s.act.Request.Repeat {
		t.Errorf("orders %+v, want %+v", got, want)
	}
	s.complete()
	if s.rests(); !s.act.Idle {
		t.Error("the server said that there is nothing more, and the conversation does not tell")
	}
}

// A machine that dies between its report and what the report is of hears of both again: it acts once the report that is sent again
// is delivered (AND-073, AND-079).
func TestAND073OrdersOfARepeatedReport(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	model := *pixel
	model.Tell = func(*android.StatusReport) {}
	s.d.Share(&model, plainHabits)
	s.begins(Pushed)
	s.commands(android.Command{ID: "c-1", Type: android.Lock}, android.Command{ID: "c-2", Type: android.StopLostMode})
	want := []Order{
		{Command: string(android.Lock), UUID: "c-1", Status: protocol.Acknowledged},
		{Command: string(android.StopLostMode), UUID: "c-2", Status: protocol.Failed, Why: android.CodeNotLost},
	}
	if r := &s.act.Request; r.Repeat || !slices.Equal(r.Orders, want) {
		t.Fatalf("repeat %t, orders %+v", r.Repeat, r.Orders)
	}
	s.restarts()
	s.due()
	if r := &s.act.Request; !r.Repeat || !slices.Equal(r.Orders, want) {
		t.Errorf("after a restart: repeat %t, orders %+v, want %+v", r.Repeat, r.Orders, want)
	}
	s.complete()
	s.rests()
	s.restarts()
	s.due()
	if r := &s.act.Request; r.Repeat || len(r.Orders) != 0 {
		t.Errorf("once they were heard: repeat %t, orders %+v", r.Repeat, r.Orders)
	}
}

// A device remembers a thousand commands.
func TestAND074Thousand(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	for i := range 1500 {
		s.d.remember(fmt.Sprint(i))
	}
	s.restarts()
	if len(s.d.done) != keepsCommands || s.d.remembers("499") || !s.d.remembers("500") || !s.d.remembers("1499") {
		t.Errorf("%d remembered", len(s.d.done))
	}
}

// 503 with Retry-After is waited for, 100 in a row remove nothing, and without one the wait doubles up to half an hour (AND-076).
func TestAND076Unavailable(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	for range 100 {
		s.due()
		before := s.now
		s.respond(&Response{Status: 503, RetryAfter: 900 * time.Second})
		if err := nearly(s.d.Due()-before, protocol.Time(900e6), 0.2); err != nil || s.d.Due().Sub(before) < 900*time.Second {
			t.Fatalf("next try in %v", s.d.Due().Sub(before))
		}
	}
	s.has("p-wifi", "p-config")
	for i := range 10 {
		s.due()
		before := s.now
		s.respond(&Response{Status: 500})
		want := min(time.Minute<<i, 30*time.Minute)
		if err := nearly(s.d.Due()-before, protocol.Time(want/time.Microsecond), 0.2); err != nil {
			t.Errorf("failure %d: %v", i+1, err)
		}
	}
	s.due()
	s.checksIn(1, android.ReasonRetry)
	s.complete()
	s.rests()
}

// 401 for 30 days removes nothing; after three in a row the device tries to renew its identity, once (AND-077).
func TestAND077NotRecognised(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	tries, refusals := 0, 0
	for s.now.Sub(noon) < 30*24*time.Hour {
		s.now = max(s.now.Add(6*time.Hour), s.d.Due())
		s.begins(Scheduled)
		if s.act.Kind == GetIdentity {
			if s.act.EST.Challenge != "" {
				t.Fatal("a renewal with a challenge")
			}
			tries++
			s.d.GotIdentity(s.now, nil, nil, errors.New("403"), &s.act)
		}
		s.wants(CheckIn)
		s.answer(401, android.NewError(401, android.NotRecognised, "who?", nil))
		refusals++
	}
	if want := (refusals - 1) / patience; tries != want || s.d.Phase() != agent.Enrolled {
		t.Errorf("%d renewals after %d refusals, want %d; phase %s", tries, refusals, want, s.d.Phase())
	}
	s.has("p-wifi", "p-config")
}

// So does one that has its identity by SCEP, by SCEP, and still after a restart.
func TestAND077BySCEP(t *testing.T) {
	s := newAndroidScene(t, android.FullyManaged, plainHabits)
	if err := s.d.Enrol(s.now, AndroidStart{URL: "https://mdm.example/", Token: "token", Mode: s.mode}, &s.act); err != nil {
		t.Fatal(err)
	}
	s.answer(200, &android.Discovery{
		Protocol: 1, SCEP: "/scep", PolicyKeys: []android.PolicyKey{{KID: s.seal.KID(), SPKI: spki(s.seal)}},
		IdentityKeys: []string{base64.StdEncoding.EncodeToString(s.ca.Certificate().RawSubjectPublicKeyInfo)},
	})
	s.answer(200, &android.EnrollAnswer{Device: "d-1", Enrollment: "e-1", Authority: protocol.Intune, Epoch: 1, Certificate: android.Offer{
		Method: android.SCEP, URL: "https://mdm.example/scep", Challenge: "secret", Subject: "CN=d-1", KeyAlgorithm: android.RSA2048,
	}})
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: "d-1", Unit: "e-1", Now: s.now.Time()})
	if err != nil {
		t.Fatal(err)
	}
	s.d.GotIdentity(s.now, key, c, nil, &s.act)
	s.checksIn(1, android.ReasonEnrolled)
	s.policy(s.entries("p-wifi"), nil)
	s.checksIn(2, android.ReasonEnrolled)
	s.complete()
	s.rests()
	s.restarts()
	for range patience {
		s.now = max(s.now.Add(6*time.Hour), s.d.Due())
		s.begins(Scheduled)
		s.wants(CheckIn)
		s.answer(401, android.NewError(401, android.NotRecognised, "who?", nil))
	}
	s.now = max(s.now.Add(6*time.Hour), s.d.Due())
	if s.begins(Scheduled); s.act.Kind != GetIdentity || s.act.SCEP.URL != "https://mdm.example/scep" || s.act.SCEP.Challenge != "" {
		t.Errorf("after %d refusals: %+v, want a renewal by SCEP", patience, s.act)
	}
}

// anothers is how devices of the mode never leave.
func anothers(m android.Mode) android.Removal {
	if m == android.WorkProfilePersonal {
		return android.Reset // the user's own data would go
	}
	return android.RemoveProfile
}

// 410 ends management only with the server's own order for this device and enrolment (AND-078, HST-027).
func TestAND078Orders(t *testing.T) {
	for _, mode := range android.Modes {
		s := androidEnrolled(t, mode, plainHabits)
		notice, err := s.seal.JWS(android.NoticeType, android.Append(nil, &android.Order{Device: "d-1", Enrollment: "e-1", Mode: android.Reset}))
		if err != nil {
			t.Fatal(err)
		}
		for name, order := range map[string]string{
			"none": "", "rubbish": "a.b.c", "another key's": s.order(s.forger, "d-1", "e-1", mode.Wiping()), "another device's": s.order(s.seal, "d-2", "e-1", mode.Wiping()),
			"of an enrolment before": s.order(s.seal, "d-1", "e-0", mode.Wiping()), "a notice": notice,
			"another kind's": s.order(s.seal, "d-1", "e-1", anothers(mode)), "of no kind": s.order(s.seal, "d-1", "e-1", ""),
		} {
			s.now = max(s.now, s.d.Due())
			s.begins(Synced)
			s.gone(order)
			if s.act.Kind != Rest || s.d.Phase() != agent.Enrolled || s.d.Due() == 0 {
				t.Fatalf("%s: %s: phase %s, act %+v", mode, name, s.d.Phase(), s.act)
			}
		}
		want := agent.Removed
		how := mode.Removal()
		if how == "" {
			how, want = android.Reset, agent.Wiped
		}
		s.begins(Synced)
		s.gone(s.order(s.seal, "d-1", "e-1", how))
		s.wants(Unenroll)
		var bye android.UnenrollRequest
		if err := android.DecodeKnown(s.act.Request.Body, &bye); err != nil || bye.Reason != android.ByOrder || bye.Enrollment != "e-1" {
			t.Errorf("%s: farewell %+v, %v", mode, bye, err)
		}
		s.respond(&Response{Err: errors.New("gone")}) // best effort
		if s.d.Phase() != want || s.d.State() != android.Deleted || s.d.Manager() != "" || len(s.d.Certificate(Current)) > 0 {
			t.Errorf("%s: phase %s, want %s; %s", mode, s.d.Phase(), want, s.d.State())
		}
	}
}

// What a proxy says in the server's place changes nothing: pages, other answers, other rounds (HST-027).
func TestHST027ProxyAnswers(t *testing.T) {
	s := androidEnrolled(t, android.WorkProfilePersonal, plainHabits)
	page := []byte("<html>404 Not Found</html>")
	for _, r := range []Response{
		{Status: 404, ContentType: "text/html", Body: page},
		{Status: 200, ContentType: "text/html", Body: page},
		{Status: 410, ContentType: "text/html", Body: page},
		{Status: 403, ContentType: "text/html", Body: page},
		{Status: 200, Body: []byte(`{}`)},
		{Status: 200, Body: []byte(`{"round":9,"complete":true,"authority":{"registered":"intune","resolved":"intune","epoch":1},"state":"ACTIVE","next":{"after":"1s","schedule":"STEADY"}}`)},
		{Status: 302},
		{Status: 407},
	} {
		s.now = max(s.now, s.d.Due())
		s.begins(Scheduled)
		s.respond(&r)
		if s.act.Kind != Rest || s.act.Err == nil || s.d.Phase() != agent.Enrolled || s.d.Due() <= s.now {
			t.Errorf("%d %s: %+v, phase %s, due %s", r.Status, r.Body, s.act, s.d.Phase(), s.d.Due())
		}
	}
	s.has("p-wifi", "p-config")
}

// A refusal that stands is asked about again by the schedule; what may be a mistake of the moment, soon (android.md, section 7).
func TestAND076RefusalsStand(t *testing.T) {
	for status, soon := range map[int]bool{403: false, 400: true, 401: true, 500: true} {
		s := androidEnrolled(t, android.FullyManaged, plainHabits)
		s.now = s.now.Add(24 * time.Hour) // the schedule is steady by now
		s.begins(Synced)
		s.answer(status, android.NewError(status, android.AuthorityUnknown, "none", nil))
		if wait := s.d.Due().Sub(s.now); (wait <= 30*time.Minute) != soon || wait <= 0 || wait > 10*time.Hour {
			t.Errorf("after %d it comes again in %s", status, wait)
		}
	}
}

// Of its networks a device tells where the policy asks for that, and nowhere else (AND-027).
func TestAND027NetworksWhereAsked(t *testing.T) {
	model := *pixel
	model.Tell = func(s *android.StatusReport) {
		s.NetworkInfo = &android.NetworkInfo{WiFiMACAddress: "02:00:00:00:00:01"}
	}
	for _, asked := range []bool{false, true} {
		s := androidEnrolled(t, android.FullyManaged, plainHabits)
		s.d.Share(&model, plainHabits)
		s.begins(Pushed)
		s.policy(s.entries("p-config"), &android.Policy{StatusReportingSettings: &android.StatusReportingSettings{NetworkInfo: asked}},
			func(a *android.CheckInAnswer) {
				a.Commands = []android.Command{{ID: "c-1", Type: android.RequestDeviceInfo}}
			})
		m := s.checksIn(2, android.ReasonPush)
		if m.Status == nil || (m.Status.NetworkInfo != nil) != asked {
			t.Errorf("asked %t: %+v", asked, m.Status)
		}
	}
}

// A policy that is older than the one in force, another device's or not signed by the server is not applied (HST-057).
func TestHST057StalePolicy(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	s.begins(Synced)
	s.policy(s.entries("p-wifi", "p-config"), nil)
	s.complete()
	for name, change := range map[string]func(*android.CheckInAnswer){
		"older":  func(a *android.CheckInAnswer) { a.Policy = s.update(s.seal, 1, s.entries(), android.Policy{}) },
		"forged": func(a *android.CheckInAnswer) { a.Policy = s.update(s.forger, 9, s.entries(), android.Policy{}) },
		"another's": func(a *android.CheckInAnswer) {
			a.Policy = s.update(s.seal, 9, s.entries(), android.Policy{})
			a.Policy.Name = "policies/d-2"
		},
		"signed for another device":      func(a *android.CheckInAnswer) { a.Policy = s.signedFor("d-2", "e-1", 9) },
		"signed for an enrolment before": func(a *android.CheckInAnswer) { a.Policy = s.signedFor("d-1", "e-0", 9) },
		"changed": func(a *android.CheckInAnswer) {
			a.Policy = s.update(s.seal, 9, s.entries(), android.Policy{})
			a.Policy.Version = 10
		},
		"other profiles": func(a *android.CheckInAnswer) {
			a.Policy = s.update(s.seal, 9, s.entries(), android.Policy{})
			a.Policy.Profiles = s.entries("x")
		},
		"no policy": func(a *android.CheckInAnswer) {
			a.Policy = s.update(s.seal, 9, s.entries(), android.Policy{})
			a.Policy.Policy = android.Raw(`[]`)
		},
	} {
		s.now = max(s.now, s.d.Due())
		s.begins(Scheduled)
		s.next(change)
		if _, v := s.d.Policy(); s.act.Kind != Rest || s.act.Err == nil || v != 2 {
			t.Errorf("%s: version %d in force, %+v", name, v, s.act)
		}
		s.has("p-wifi", "p-config")
	}
}

// What a policy no longer lists leaves, but configuration, which stays (AUTH-55); what has to go by a time goes, at once or then, on the
// network or not (AND-058, AUTH-23, AUTH-27).
func TestAND058OldProfiles(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	s.begins(Synced)
	s.policy(s.entries("p-vpn"), nil)
	s.checksIn(2, android.ReasonUser)
	s.complete()
	s.has("p-vpn", "p-config")

	s = androidEnrolled(t, android.FullyManaged, plainHabits)
	old := s.entries("p-wifi", "p-config", "p-new")
	changed := s.now
	old[0].RemoveAfter, old[1].RemoveAfter = changed.Add(7*24*time.Hour), s.now
	notice := func(a *android.CheckInAnswer) {
		n := protocol.Notice{Epoch: 2, ChangedAt: changed, Rule: protocol.RuleSevenDays}
		var err error
		if a.Authority.Notice, err = s.seal.JWS(android.NoticeType, android.Append(nil, android.NoticeOf(n))); err != nil {
			t.Fatal(err)
		}
	}
	s.begins(Synced)
	s.policy(old, nil, notice)
	s.checksIn(2, android.ReasonUser)
	s.complete()
	s.has("p-wifi", "p-new")
	if want := changed.Add(7 * 24 * time.Hour); s.d.Epoch() != 2 || s.d.Drops() != want {
		t.Errorf("epoch %d, drops %s, want %s", s.d.Epoch(), s.d.Drops(), want)
	}
	s.restarts()
	s.now = s.now.Add(10 * 24 * time.Hour)
	if n := s.d.Expire(s.now); n != 1 {
		t.Errorf("%d dropped, want 1", n)
	}
	s.has("p-new")
}

// A notice counts when the server signed it and it is newer, in a refusal too (HST-057).
func TestHST057Notices(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	tell := func(seal *certs.Seal, epoch uint32) {
		s.now = max(s.now, s.d.Due())
		s.begins(Synced)
		text, err := seal.JWS(android.NoticeType, android.Append(nil, android.NoticeOf(protocol.Notice{Epoch: epoch, ChangedAt: s.now, Rule: protocol.RuleSevenDays})))
		if err != nil {
			t.Fatal(err)
		}
		s.answer(503, android.NewError(503, android.AuthorityChanged, "wait", map[string]string{"notice": text, "epoch": fmt.Sprint(epoch)}))
	}
	tell(s.forger, 9)
	if s.d.Epoch() != 0 || s.act.Heard != (protocol.Notice{}) {
		t.Errorf("epoch %d by another key", s.d.Epoch())
	}
	tell(s.seal, 5)
	if s.d.Epoch() != 5 || s.act.Heard.Epoch != 5 || s.d.Drops() == 0 {
		t.Errorf("epoch %d, heard %+v", s.d.Epoch(), s.act.Heard)
	}
	tell(s.seal, 4)
	if s.d.Epoch() != 5 {
		t.Errorf("epoch %d after an older one", s.d.Epoch())
	}
}

// Wipes and releases wait until the server has heard of them (AND-079), and need its order.
func TestAND079ReportedFirst(t *testing.T) {
	for _, tt := range []struct {
		mode  android.Mode
		what  android.CommandType
		order android.Removal
		code  string
		phase agent.Phase
	}{
		{android.WorkProfilePersonal, android.Wipe, android.RemoveProfile, "", agent.Removed},
		{android.WorkProfileCompany, android.Wipe, android.Reset, "", agent.Wiped},
		{android.WorkProfileCompany, android.RelinquishOwnership, android.Release, "", agent.Removed},
		{android.FullyManaged, android.Wipe, android.Reset, "", agent.Wiped},
		{android.Dedicated, android.Wipe, android.Reset, "", agent.Wiped},
		{android.AOSPUser, android.RelinquishOwnership, android.Release, "", agent.Removed},
		{android.FullyManaged, android.RelinquishOwnership, android.Release, android.CodeManagementMode, agent.Enrolled},
		{android.FullyManaged, android.Wipe, "", android.CodeNoOrder, agent.Enrolled},
		{android.WorkProfilePersonal, android.Wipe, android.Reset, android.CodeNoOrder, agent.Enrolled}, // an order for something else
	} {
		s := androidEnrolled(t, tt.mode, plainHabits)
		s.begins(Pushed)
		c := android.Command{ID: "c-1", Type: tt.what}
		if tt.order != "" {
			c.Order = s.order(s.seal, "d-1", "e-1", tt.order)
		}
		s.commands(c)
		m := s.checksIn(2, android.ReasonPush)
		if r := m.Results[0]; r.ErrorCode != tt.code || (r.State == android.ResultDone) != (tt.code == "") || s.d.Phase() != agent.Enrolled {
			t.Errorf("%s %s: %+v, phase %s", tt.mode, tt.what, m.Results, s.d.Phase())
		}
		if tt.code == "" { // the server has not heard of it: nothing is gone, and it is said again
			s.respond(&Response{Status: 503})
			s.has("p-wifi", "p-config")
			s.restarts()
			s.due()
			s.checksIn(2, android.ReasonPush)
		}
		s.complete()
		s.rests()
		if s.d.Phase() != tt.phase || (tt.phase != agent.Enrolled) != (len(s.d.Certificate(Current)) == 0) {
			t.Errorf("%s %s: phase %s, want %s", tt.mode, tt.what, s.d.Phase(), tt.phase)
		}
	}
}

// What each kind of device may be asked (android.md, section 2.5).
func TestAND038Commands(t *testing.T) {
	lost := &android.LostModeParams{LostPhoneNumber: "1"}
	old, machine := *pixel, *pixel
	old.APILevel = 23
	machine.Tell = func(*android.StatusReport) {}
	for _, tt := range []struct {
		mode  android.Mode
		model *AndroidModel
		c     android.Command
		code  string
	}{
		{android.FullyManaged, pixel, android.Command{Type: android.Lock}, ""},
		{android.WorkProfilePersonal, pixel, android.Command{Type: android.Lock}, ""},
		{android.FullyManaged, pixel, android.Command{Type: android.Reboot}, ""},
		{android.AOSPUserless, pixel, android.Command{Type: android.Reboot}, ""},
		{android.WorkProfileCompany, pixel, android.Command{Type: android.Reboot}, android.CodeManagementMode},
		{android.FullyManaged, &old, android.Command{Type: android.Reboot}, android.CodeAPILevel},
		{android.WorkProfilePersonal, pixel, android.Command{Type: android.StartLostMode, LostModeParams: lost}, android.CodeManagementMode},
		{android.Dedicated, pixel, android.Command{Type: android.StartLostMode, LostModeParams: lost}, ""},
		{android.Dedicated, pixel, android.Command{Type: android.StartLostMode}, android.CodeInvalidValue},
		{android.Dedicated, pixel, android.Command{Type: android.StopLostMode}, android.CodeNotLost},
		{android.FullyManaged, pixel, android.Command{Type: android.ResetPassword, NewPassword: "1234"}, android.CodeInvalidValue},
		{android.FullyManaged, &old, android.Command{Type: android.ResetPassword, NewPassword: "1234"}, ""},
		{android.FullyManaged, &machine, android.Command{Type: android.ResetPassword, NewPassword: "correct horse"}, android.CodeUnsupported},
		{android.FullyManaged, &machine, android.Command{Type: android.ClearAppData, ClearAppsDataParams: &android.ClearAppsDataParams{PackageNames: []string{"x"}}}, android.CodeUnsupported},
		{android.FullyManaged, pixel, android.Command{Type: android.ResetPassword, NewPassword: "correct horse"}, ""},
		{android.FullyManaged, &old, android.Command{Type: android.ClearAppData, ClearAppsDataParams: &android.ClearAppsDataParams{PackageNames: []string{"x"}}}, android.CodeAPILevel},
		{android.FullyManaged, pixel, android.Command{Type: android.ClearAppData}, android.CodeInvalidValue},
		{android.FullyManaged, pixel, android.Command{Type: "ADD_ESIM"}, android.CodeUnsupported},
		{android.FullyManaged, pixel, android.Command{Type: android.Lock, ExpireTime: noon}, android.CodeExpired},
	} {
		s := androidEnrolled(t, tt.mode, plainHabits)
		s.d.Share(tt.model, plainHabits)
		s.begins(Pushed)
		tt.c.ID = "c-1"
		s.commands(tt.c)
		if m := s.checksIn(2, android.ReasonPush); m.Results[0].ErrorCode != tt.code {
			t.Errorf("%s, API level %d, %s: %+v, want %q", tt.mode, tt.model.APILevel, tt.c.Type, m.Results[0], tt.code)
		}
	}
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	s.begins(Pushed)
	s.commands(
		android.Command{ID: "c-1", Type: android.ClearAppData, ClearAppsDataParams: &android.ClearAppsDataParams{PackageNames: []string{"com.example.mail", "x"}}},
		android.Command{ID: "c-2", Type: android.RequestDeviceInfo},
	)
	m := s.checksIn(2, android.ReasonPush)
	want := map[string]android.AppResult{"com.example.mail": {Result: android.AppCleared}, "x": {Result: android.AppNotFound}}
	if !reflect.DeepEqual(m.Results[0].ClearAppsDataStatus, want) || m.Status == nil || len(m.Status.ApplicationReports) != 1 {
		t.Errorf("%+v", m)
	}
}

// What a policy wants and the device has not is said with its reason and its profile, and is well again once it is there (AND-028 for the
// agent, AND-061).
func TestNonCompliance(t *testing.T) {
	s := androidEnrolled(t, android.AOSPUser, plainHabits)
	s.begins(Synced)
	vpn := s.entries("p-vpn", "p-api")
	vpn[0].Fields, vpn[1].Fields = []string{"applications", "alwaysOnVpnPackage"}, []string{"minimumApiLevel"}
	s.policy(vpn, &android.Policy{
		Applications: []android.Application{{PackageName: "vpn", InstallType: "FORCE_INSTALLED"}}, AlwaysOnVPNPackage: &android.AlwaysOnVPNPackage{PackageName: "vpn"}, MinimumAPILevel: 40,
	})
	m := s.checksIn(2, android.ReasonUser)
	want := []android.NonComplianceDetail{
		{SettingName: "minimumApiLevel", NonComplianceReason: android.NotOSPermitted},
		{SettingName: "applications", FieldPath: "applications[0].packageName", PackageName: "vpn", NonComplianceReason: android.NotInstalled},
		{SettingName: "alwaysOnVpnPackage", FieldPath: "alwaysOnVpnPackage.packageName", PackageName: "vpn", NonComplianceReason: android.NotInstalled},
	}
	if m.Compliant || !slices.Equal(m.NonComplianceDetails, want) {
		t.Errorf("details %+v", m.NonComplianceDetails)
	}
	if p := m.Applied.Profiles; len(p) != 3 || p[2].Status != android.Applied || p[0].Status != android.Failed || p[0].Reason != android.NotInstalled || p[1].Reason != android.NotOSPermitted {
		t.Errorf("profiles %+v", p)
	}
	s.policy(s.entries("p-vpn"), nil)
	if m = s.checksIn(3, android.ReasonUser); !m.Compliant || m.Applied.Profiles[0].Status != android.Applied {
		t.Errorf("after it was mended: %+v", m)
	}
	s.complete()

	s = androidEnrolled(t, android.FullyManaged, &Habits{ProfileFails: 1_000_000})
	s.begins(Synced)
	if m := s.checksIn(1, android.ReasonUser); m.Compliant || m.Applied.Profiles[0].Status != android.Failed || m.Applied.Profiles[0].Reason != android.NotInvalidValue {
		t.Errorf("a device whose profiles fail says %+v", m)
	}
	if left := s.d.Profiles(); len(left) > 0 {
		t.Errorf("none of its profiles installed, and it has %v", left)
	}
}

// Round 2 reports what was applied: a version that did not install is said to have failed, the one before is still there and said to be,
// and the next policy has it tried again (AND-061; android.md, section 8).
func TestAND061ProfileThatFails(t *testing.T) {
	broken := brokenPlacer{}
	for _, tt := range []struct {
		name    string
		failing *Habits
		breaks  func(bool)
	}{
		{"by habit", &Habits{ProfileFails: 1_000_000}, func(bool) {}},
		{"on a machine", &Habits{Placer: broken}, func(on bool) { broken["p-wifi"] = on }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := androidEnrolled(t, android.FullyManaged, plainHabits)
			s.d.Share(pixel, tt.failing)
			tt.breaks(true)
			entries := s.entries("p-wifi", "p-config")
			entries[0].Version = 2
			said := func(want ...android.AppliedProfile) {
				t.Helper()
				s.begins(Synced)
				s.checksIn(1, android.ReasonUser)
				s.policy(entries, nil)
				if m := s.checksIn(2, android.ReasonUser); m.Compliant != (len(want) == 2) || !slices.Equal(m.Applied.Profiles, want) {
					t.Errorf("it says %+v, want %+v", m.Applied.Profiles, want)
				}
				s.complete()
			}
			wifi, config := android.AppliedProfile{ID: "p-wifi", Version: 1, Status: android.Applied}, android.AppliedProfile{ID: "p-config", Version: 1, Status: android.Applied}
			failed := android.AppliedProfile{ID: "p-wifi", Version: 2, Status: android.Failed, Reason: android.NotInvalidValue}
			said(wifi, failed, config)
			said(wifi, failed, config)
			s.d.Share(pixel, plainHabits)
			wifi.Version = 2
			said(wifi, config)
		})
	}
}

// The identity is renewed within a check-in; the new one counts once the server has taken it, the old one until then (AND-081).
func TestAND081Renewal(t *testing.T) {
	renew := func(a *android.CheckInAnswer) {
		a.Renew = &android.Offer{Method: android.EST, URL: "https://mdm.example/.well-known/est", Subject: "CN=d-1"}
	}
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	old := s.d.Identity()
	s.now = s.now.Add(330 * 24 * time.Hour)
	s.begins(Scheduled)
	s.next(renew)
	s.issue()
	s.checksIn(2, android.ReasonSchedule)
	if s.act.Request.Identity != Next || s.d.Identity() != old || !s.d.Renewing() {
		t.Errorf("identity %d, %+v", s.act.Request.Identity, s.d.Identity())
	}
	s.respond(&Response{Status: 503})
	s.restarts()
	s.due()
	if s.checksIn(2, android.ReasonSchedule); s.act.Request.Identity != Next {
		t.Error("after a restart the new identity is forgotten")
	}
	s.complete()
	s.rests()
	if now := s.d.Identity(); now.Serial == old.Serial || now.NotAfter <= old.NotAfter || s.d.Renewing() {
		t.Errorf("identity %+v", now)
	}

	s = androidEnrolled(t, android.FullyManaged, plainHabits) // the server does not know the new one
	s.begins(Synced)
	s.next(renew)
	s.issue()
	s.respond(&Response{Refused: true, Err: errors.New("bad certificate")})
	s.due()
	if s.wants(CheckIn); s.act.Request.Identity != Current {
		t.Error("the new identity was refused, and is used again")
	}

	s.now = s.now.Add(400 * 24 * time.Hour) // expired: enrol again
	if !s.d.MustEnrol(s.now) {
		t.Error("the identity has ended, and the device does not know")
	}
	s.start()
	s.issue()
	s.checksIn(1, android.ReasonEnrolled)
}

// What a renewal brings replaces an identity only if the server that knows the old one can have issued it (HST-120).
func TestHST120RenewalByAStranger(t *testing.T) {
	stranger, err := certs.NewIssuer("a proxy's", noon.Time())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		other  bool // the stranger issues
		copies bool // and copies the names of the server's authority
		handle string
		unit   string
		after  time.Duration // from now to the moment of issue
		key    bool          // for another key than the device's
	}{
		"of another authority":  {other: true, handle: "d-1", unit: "e-1"},
		"who copies all names":  {other: true, copies: true, handle: "d-1", unit: "e-1"},
		"for another device":    {handle: "d-2", unit: "e-1"},
		"for another enrolment": {handle: "d-1", unit: "e-0"},
		"for no enrolment":      {handle: "d-1"},
		"over already":          {handle: "d-1", unit: "e-1", after: -30 * 24 * time.Hour},
		"of the future":         {handle: "d-1", unit: "e-1", after: 30 * 24 * time.Hour},
		"for another key":       {handle: "d-1", unit: "e-1", key: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := androidEnrolled(t, android.FullyManaged, plainHabits)
			s.now = s.now.Add(330 * 24 * time.Hour)
			s.begins(Scheduled)
			s.next(func(a *android.CheckInAnswer) {
				a.Renew = &android.Offer{Method: android.EST, URL: "https://mdm.example/.well-known/est", Subject: "CN=d-1"}
			})
			key, err := certs.GenerateKey(certs.P256)
			if err != nil {
				t.Fatal(err)
			}
			ca, public := s.ca, key.Public()
			if tt.other {
				ca = stranger
			}
			if tt.key {
				other, err := certs.GenerateKey(certs.P256)
				if err != nil {
					t.Fatal(err)
				}
				public = other.Public()
			}
			c, err := ca.Issue(certs.IssueRequest{Public: public, Handle: tt.handle, Unit: tt.unit, Now: s.now.Add(tt.after).Time(), Lifetime: 7 * 24 * time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			if tt.copies {
				c = copied(t, c, s.ca.Certificate())
			}
			s.d.GotIdentity(s.now, key, c, nil, &s.act)
			if s.checksIn(2, android.ReasonSchedule); s.act.Request.Identity != Current || s.d.Renewing() {
				t.Errorf("it is taken: identity %d", s.act.Request.Identity)
			}
		})
	}
}

// copied is c by somebody else who calls itself as its authority is called, to the key id.
func copied(t *testing.T, c, authority *x509.Certificate) *x509.Certificate {
	t.Helper()
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	parent := *authority
	parent.PublicKey = key.Public()
	der, err := x509.CreateCertificate(nil, c, &parent, c.PublicKey, key)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil || c.Issuer.String() != authority.Subject.String() || !bytes.Equal(c.AuthorityKeyId, authority.SubjectKeyId) {
		t.Fatalf("%v: by %s", err, c.Issuer)
	}
	return c
}

// The first certificate must be the server's as well: else the enrolment has failed (HST-120).
func TestHST120CertificateByAStranger(t *testing.T) {
	s := newAndroidScene(t, android.FullyManaged, plainHabits)
	s.start()
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: "d-1", Unit: "e-1", Now: s.now.Time()})
	if err != nil {
		t.Fatal(err)
	}
	s.d.GotIdentity(s.now, key, copied(t, c, s.ca.Certificate()), nil, &s.act)
	if s.act.Kind != Rest || !errors.Is(s.act.Err, errStranger) || s.d.Phase() != agent.New {
		t.Errorf("act %+v, phase %s", s.act, s.d.Phase())
	}
}

// A push wakes the device under its newest id alone; another one is told at once (AND-093, device side).
func TestAND093PushID(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	fid := s.d.Push()
	if fid == "" || !s.d.Woken(fid) || s.d.Woken("f-0") {
		t.Errorf("id %q", fid)
	}
	s.d.ChangeToken(s.now)
	if s.d.Woken(fid) || s.d.Due() != s.now {
		t.Errorf("the old id wakes it, due %s", s.d.Due())
	}
	s.due()
	if m := s.checksIn(1, android.ReasonSchedule); m.Push == nil || m.Push.FID != s.d.Push() {
		t.Errorf("push %+v, want %q", m.Push, s.d.Push())
	}
	s.complete()
	s.rests()
}

// Work that the answer to the first check-in leaves is fetched at once.
func TestFirstCheckInLeavesWork(t *testing.T) {
	s := newAndroidScene(t, android.FullyManaged, plainHabits)
	s.start()
	s.issue()
	s.policy(s.entries("p-wifi"), nil)
	s.checksIn(2, android.ReasonEnrolled)
	s.commands(android.Command{ID: "c-1", Type: android.Lock})
	if m := s.checksIn(1, android.ReasonRetry); len(m.Results) > 0 || s.d.Phase() != agent.Enrolled {
		t.Errorf("%+v, phase %s", m, s.d.Phase())
	}
	s.commands(android.Command{ID: "c-1", Type: android.Lock})
	if m := s.checksIn(2, android.ReasonRetry); len(m.Results) != 1 {
		t.Errorf("%+v", m)
	}
	s.complete()
	s.rests()
}

// The user removes management: a farewell, best effort.
func TestUserUnenrols(t *testing.T) {
	s := androidEnrolled(t, android.WorkProfilePersonal, plainHabits)
	s.begins(UserRemoves)
	s.wants(Unenroll)
	s.respond(&Response{Status: 503})
	if s.d.Phase() != agent.Removed || s.d.androidTask != nil {
		t.Errorf("phase %s", s.d.Phase())
	}
}

// A device asleep holds at most 1 KiB.
func TestAndroidAsleep(t *testing.T) {
	const n = 200
	one := androidEnrolled(t, android.FullyManaged, plainHabits)
	kept := make([]*Android, n)
	bytes := make([][]byte, n)
	for i := range n {
		b, err := one.d.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		bytes[i] = b
	}
	measure := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := measure()
	for i := range n {
		kept[i] = new(Android)
		if err := kept[i].UnmarshalBinary(bytes[i]); err != nil {
			t.Fatal(err)
		}
		kept[i].Share(pixel, plainHabits)
	}
	each := (int64(measure()) - int64(before)) / n
	t.Logf("%d bytes a device", each)
	if each > 1024 {
		t.Errorf("%d bytes a device asleep, at most 1024", each)
	}
	runtime.KeepAlive(kept)
	runtime.KeepAlive(bytes)
}

func FuzzAndroidBinary(f *testing.F) {
	s := androidEnrolled(f, android.FullyManaged, plainHabits)
	b, err := s.d.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	s.begins(Pushed)
	s.commands(android.Command{ID: "c-1", Type: android.Lock})
	if b, err = s.d.AppendBinary(nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Android
		if d.UnmarshalBinary(b) != nil {
			return
		}
		d.Share(pixel, plainHabits)
		first, err := d.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var again Android
		if err := again.UnmarshalBinary(first); err != nil {
			t.Fatal(err)
		}
		var act Act
		again.Share(pixel, plainHabits)
		again.Begin(noon, Synced, &act)
		again.Answer(noon, &Response{Status: 503}, &act)
		again.Abandon(noon)
	})
}

// FuzzAndroidAnswers gives a device any answers.
func FuzzAndroidAnswers(f *testing.F) {
	f.Add(200, []byte(`{"round":1,"complete":false,"authority":{"registered":"intune","resolved":"intune","epoch":1},"state":"ACTIVE","commands":[{"id":"c","type":"LOCK"}],"next":{"after":"1s","schedule":"STEADY"}}`))
	f.Add(410, []byte(`{"error":{"code":410,"message":"","status":"NOT_FOUND","details":[{"@type":"rollcall/unenrollOrder","jws":"a.b.c"}]}}`))
	enrolled, err := androidEnrolled(f, android.FullyManaged, plainHabits).d.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		var d Android
		if err := d.UnmarshalBinary(enrolled); err != nil {
			t.Fatal(err)
		}
		d.Share(pixel, plainHabits)
		var act Act
		d.Begin(noon, Synced, &act)
		for range 3 {
			d.Answer(noon, &Response{Status: status, Body: body}, &act)
		}
		if p := d.Phase(); p != agent.Enrolled {
			t.Fatalf("phase %s by %d %s, which nobody signed", p, status, body)
		}
	})
}
