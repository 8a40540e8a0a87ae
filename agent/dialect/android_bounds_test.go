package dialect

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// TestAndroidSixteenRounds: a check-in has at most 16 rounds (android.md, section 8). A server that goes on for ever has its device keep
// everything and come again later.
func TestAndroidSixteenRounds(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	s.begins(Synced)
	for round := 1; round <= android.MaxRounds; round++ {
		s.checksIn(round, android.ReasonUser)
		s.next()
	}
	if s.act.Kind != Rest || s.act.Err == nil || !strings.Contains(s.act.Err.Error(), "16 rounds") {
		t.Fatalf("act %d, step %s, %v after %d rounds without an end", s.act.Kind, s.act.Request.Step, s.act.Err, android.MaxRounds)
	}
	if due := s.d.Due(); s.d.Phase() != agent.Enrolled || due <= s.now {
		t.Errorf("phase %s, due %s, now %s", s.d.Phase(), due, s.now)
	}
	s.has("p-wifi", "p-config")
}

// TestHST120OfferElsewhere: an offer of a certificate is taken from the server of the enrolment alone, by EST as by SCEP.
func TestHST120OfferElsewhere(t *testing.T) {
	for _, method := range []string{android.EST, android.SCEP} {
		for _, url := range []string{
			"https://evil.example/.well-known/est", "https://mdm.example.evil.example/est", "https://mdm.example:444/est", "https://mdm.example@evil.example/est",
			"http://mdm.example/.well-known/est", "//mdm.example/est", "", "https://mdm.example\x7f/",
		} {
			s := newAndroidScene(t, android.FullyManaged, plainHabits)
			if err := s.d.Enrol(s.now, AndroidStart{URL: "https://mdm.example/", Token: "token", Mode: s.mode}, &s.act); err != nil {
				t.Fatal(err)
			}
			s.answer(200, &android.Discovery{Protocol: 1, PolicyKeys: []android.PolicyKey{{KID: s.seal.KID(), SPKI: spki(s.seal)}}, IdentityKeys: []string{
				base64.StdEncoding.EncodeToString(s.ca.Certificate().RawSubjectPublicKeyInfo),
			}})
			s.answer(200, &android.EnrollAnswer{Device: "d-1", Enrollment: "e-1", Epoch: 1, Certificate: android.Offer{
				Method: method, URL: url, Challenge: "secret", Subject: "CN=d-1", KeyAlgorithm: android.P256,
			}})
			if s.act.Kind != Rest || s.act.Err == nil || s.d.Phase() == agent.Enrolled {
				t.Errorf("%s at %q: act %d, %v", method, url, s.act.Kind, s.act.Err)
			}
		}
	}
}

// TestHST120Staying: what stays on a device that no policy lists any more is bounded, whatever a server puts there.
func TestHST120Staying(t *testing.T) {
	s := androidEnrolled(t, android.FullyManaged, plainHabits)
	big := strings.Repeat("n", mostStaying/3)
	for i := range 6 {
		s.begins(Synced)
		s.policy([]android.ManifestEntry{{ID: fmt.Sprint("p-", i), Name: big, Family: protocol.Configuration, Authority: protocol.Intune, Version: 1}}, nil)
		s.checksIn(2, android.ReasonUser)
		s.complete()
	}
	s.has("p-5", "p-4", "p-3")
	if n := len(s.d.core.Profiles()); n != 3 {
		t.Errorf("%d profiles", n)
	}
}
