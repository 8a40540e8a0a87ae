package dialect

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

var (
	pixel = &AndroidModel{
		Brand: "acme", Name: "A1", AndroidVersion: "14", APILevel: 34, AgentVersion: "1.0.0", RAM: 8e9, Storage: 128e9,
		Apps: []android.ApplicationReport{{PackageName: "com.example.mail", VersionCode: 7, State: "INSTALLED"}},
	}
	seals = sync.OnceValues(func() ([2]*certs.Seal, error) {
		ours, err := certs.NewSeal("orders", noon.Time())
		theirs, err2 := certs.NewSeal("others", noon.Time())
		return [2]*certs.Seal{ours, theirs}, errors.Join(err, err2)
	})
)

// An androidScene is one Android device and, in place of its server, what the test says.
type androidScene struct {
	testing.TB
	d      *Android
	now    protocol.Time
	act    Act
	ca     *certs.Authority
	seal   *certs.Seal
	forger *certs.Seal
	mode   android.Mode
	ver    int64
}

func newAndroidScene(t testing.TB, mode android.Mode, h *Habits) *androidScene {
	t.Helper()
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	both, err := seals()
	if err != nil {
		t.Fatal(err)
	}
	w := AndroidWho{Number: 7, Seed: 1, Serial: "S-001", UPN: "kim@example.test"}
	if mode.Userless() {
		w.UPN = ""
	}
	if mode == android.WorkProfilePersonal {
		w.ESID = "ESID-1"
	}
	return &androidScene{TB: t, d: NewAndroid(w, pixel, h), now: noon, ca: ca, seal: both[0], forger: both[1], mode: mode}
}

// androidEnrolled is a scene whose device has enrolled.
func androidEnrolled(t testing.TB, mode android.Mode, h *Habits) *androidScene {
	t.Helper()
	s := newAndroidScene(t, mode, h)
	s.start()
	s.issue()
	s.checksIn(1, android.ReasonEnrolled)
	s.policy(s.entries("p-wifi", "p-config"), nil)
	s.checksIn(2, android.ReasonEnrolled)
	s.complete()
	s.rests()
	if s.d.Phase() != agent.Enrolled {
		t.Fatalf("phase %s, want enrolled", s.d.Phase())
	}
	return s
}

// start goes as far as the wish for an identity.
func (s *androidScene) start() {
	s.Helper()
	if err := s.d.Enrol(s.now, AndroidStart{URL: "https://mdm.example/", Token: "token", Mode: s.mode}, &s.act); err != nil {
		s.Fatal(err)
	}
	if s.act.Kind == Send && s.act.Request.Step == CheckIn { // it knows the way
		return
	}
	s.wants(Discover)
	s.answer(200, &android.Discovery{Protocol: 1, PolicyKeys: []android.PolicyKey{{KID: s.seal.KID(), SPKI: spki(s.seal)}}, IdentityKeys: []string{
		base64.StdEncoding.EncodeToString(s.ca.Certificate().RawSubjectPublicKeyInfo),
	}})
	s.wants(Enroll)
	if s.act.Request.Bearer != "token" {
		s.Fatalf("bearer %q", s.act.Request.Bearer)
	}
	s.answer(200, &android.EnrollAnswer{Device: "d-1", Enrollment: "e-1", Authority: protocol.Intune, Epoch: 1, Certificate: android.Offer{
		Method: android.EST, URL: "https://mdm.example/.well-known/est", Challenge: "secret", Subject: "CN=d-1", KeyAlgorithm: android.P256,
	}})
}

// issue gives the identity that the device wants.
func (s *androidScene) issue() {
	s.Helper()
	if s.act.Kind != GetIdentity || s.act.EST.URL == "" || s.act.EST.Subject.CommonName != "d-1" {
		s.Fatalf("act %+v, want GetIdentity by EST", s.act)
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		s.Fatal(err)
	}
	c, err := s.ca.Issue(certs.IssueRequest{Public: key.Public(), Handle: "d-1", Unit: "e-1", Now: s.now.Time()})
	if err != nil {
		s.Fatal(err)
	}
	s.d.GotIdentity(s.now, key, c, nil, &s.act)
}

func (s *androidScene) wants(step Step) {
	s.Helper()
	if s.act.Kind != Send || s.act.Request.Step != step {
		s.Fatalf("act %d, step %q, error %v; want %q", s.act.Kind, s.act.Request.Step, s.act.Err, step)
	}
}

// checksIn is the message that the device sends.
func (s *androidScene) checksIn(round int, why android.Reason) (m android.CheckIn) {
	s.Helper()
	s.wants(CheckIn)
	if err := android.DecodeKnown(s.act.Request.Body, &m); err != nil {
		s.Fatalf("%v: %s", err, s.act.Request.Body)
	}
	if m.Round != round || m.Reason != why || m.Device != "d-1" {
		s.Fatalf("round %d, reason %s, device %s; want %d, %s, d-1", m.Round, m.Reason, m.Device, round, why)
	}
	return m
}

func (s *androidScene) rests() {
	s.Helper()
	if s.act.Kind != Rest || s.act.Err != nil {
		s.Fatalf("act %+v, want rest without error", s.act)
	}
}

func (s *androidScene) answer(status int, v any) {
	s.respond(&Response{Status: status, ContentType: android.ContentType, Body: android.Append(nil, v)})
}

func (s *androidScene) respond(r *Response) { s.d.Answer(s.now, r, &s.act) }

// entries are profiles of the first version.
func (s *androidScene) entries(ids ...string) []android.ManifestEntry {
	list := []android.ManifestEntry{}
	for _, id := range ids {
		e := android.ManifestEntry{ID: id, Name: id, Family: protocol.WiFi, Authority: protocol.Intune, Version: 1}
		if id == "p-config" {
			e.Family = protocol.Configuration
		}
		list = append(list, e)
	}
	return list
}

// update is a policy, signed.
func (s *androidScene) update(seal *certs.Seal, version int64, entries []android.ManifestEntry, p android.Policy) *android.PolicyUpdate {
	s.Helper()
	u := &android.PolicyUpdate{Name: "policies/d-1", Version: version, Policy: android.Append(nil, &p), Profiles: entries}
	var err error
	if u.Signature, err = seal.DetachedJWS(android.PolicyType, u.Signed("d-1", "e-1")); err != nil {
		s.Fatal(err)
	}
	return u
}

// signedFor is an empty policy for this device that was signed for somebody else.
func (s *androidScene) signedFor(device, enrollment string, version int64) *android.PolicyUpdate {
	s.Helper()
	u := s.update(s.seal, version, s.entries(), android.Policy{})
	var err error
	if u.Signature, err = s.seal.DetachedJWS(android.PolicyType, u.Signed(device, enrollment)); err != nil {
		s.Fatal(err)
	}
	return u
}

// policy answers with the next policy, and changes the answer first.
func (s *androidScene) policy(entries []android.ManifestEntry, p *android.Policy, change ...func(*android.CheckInAnswer)) {
	s.Helper()
	if p == nil {
		p = &android.Policy{}
	}
	s.ver++
	s.next(append([]func(*android.CheckInAnswer){func(a *android.CheckInAnswer) { a.Policy = s.update(s.seal, s.ver, entries, *p) }}, change...)...)
}

// next answers that there is something to do.
func (s *androidScene) next(change ...func(*android.CheckInAnswer)) {
	s.Helper()
	a := &android.CheckInAnswer{Round: s.round(), State: android.Active, Next: android.NextContact{After: android.Seconds(8 * time.Hour), Schedule: android.Steady}}
	for _, c := range change {
		c(a)
	}
	s.answer(200, a)
}

func (s *androidScene) complete() { s.next(func(a *android.CheckInAnswer) { a.Complete = true }) }

func (s *androidScene) round() int {
	var m android.CheckIn
	if err := android.Decode(s.act.Request.Body, &m); err != nil {
		s.Fatal(err)
	}
	return m.Round
}

// begins has the device start a check-in.
func (s *androidScene) begins(why Why) {
	s.Helper()
	if !s.d.Begin(s.now, why, &s.act) {
		s.Fatalf("nothing to do (%s), due %s, now %s", why, s.d.Due(), s.now)
	}
}

// due waits until the device wants to talk, and has it begin.
func (s *androidScene) due() {
	s.Helper()
	if s.now = s.d.Due(); s.now == 0 {
		s.Fatal("never due")
	}
	s.begins(Scheduled)
}

// commands answers with these.
func (s *androidScene) commands(list ...android.Command) {
	s.Helper()
	s.next(func(a *android.CheckInAnswer) { a.Commands = list })
}

// order is one to leave.
func (s *androidScene) order(seal *certs.Seal, device, enrollment string, mode android.Removal) string {
	s.Helper()
	text, err := seal.JWS(android.OrderType, android.Append(nil, &android.Order{Device: device, Enrollment: enrollment, IssuedAt: int64(s.now / 1e6), Mode: mode}))
	if err != nil {
		s.Fatal(err)
	}
	return text
}

// gone answers 410 with this order; empty: without one.
func (s *androidScene) gone(order string) {
	e := android.NewError(410, android.Unenrolled, "gone", nil)
	if order != "" {
		e.Error.Details = append(e.Error.Details, android.ErrorDetail{Type: android.UnenrollOrder, JWS: order})
	}
	s.answer(410, e)
}

func (s *androidScene) identifiers() (list []string) {
	for _, p := range s.d.Profiles() {
		list = append(list, p.Identifier)
	}
	return list
}

func (s *androidScene) has(ids ...string) {
	s.Helper()
	if got := s.identifiers(); !slices.Equal(got, ids) {
		s.Fatalf("profiles %q, want %q", got, ids)
	}
}

// restarts keeps the device in a file and reads it again.
func (s *androidScene) restarts() {
	s.Helper()
	b, err := s.d.AppendBinary(nil)
	if err != nil {
		s.Fatal(err)
	}
	var again Android
	if err := again.UnmarshalBinary(b); err != nil {
		s.Fatal(err)
	}
	again.Share(s.d.model, s.d.habits)
	s.d = &again
}

// spki is a seal's key as discovery gives it.
func spki(s *certs.Seal) string { return base64.StdEncoding.EncodeToString(s.Key().SPKI()) }

func nearly(got, want protocol.Time, share float64) error {
	if d := float64(got - want); d < -share*float64(want) || d > share*float64(want) {
		return fmt.Errorf("%s, want %s within %.0f %%", got, want, share*100)
	}
	return nil
}
