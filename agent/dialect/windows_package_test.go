package dialect

import (
	"errors"
	"slices"
	"testing"
	"time"

	"rollcall/protocol/windows"
)

// WIN-067: a device with a provisioning package offers a certificate and nothing else, signs what it asks for itself with, from now on for
// some minutes, and takes no other way.
func TestWIN067DeviceSigns(t *testing.T) {
	var signed []windows.Envelope
	wrong := error(nil)
	start := WindowsStart{
		Discovery: winDiscovery, Device: true, Credential: windows.Credential{Kind: windows.X509, Token: []byte("certificate")},
		Sign: func(dst []byte, e *windows.Envelope) ([]byte, error) {
			signed = append(signed, *e)
			return windows.EncodeEnvelope(dst, e), wrong
		},
	}
	certified := found
	certified.AuthPolicy = windows.Certificate
	begin := func(answered *windows.DiscoverResponse) *winScene {
		s := newWinScene(t, plainWindows)
		if err := s.d.Enrol(s.now, start, &s.act); err != nil {
			t.Fatal(err)
		}
		s.answer(200, nil)
		s.wants(Discovery)
		if got := s.asked().Body.(*windows.Discover).AuthPolicies; start.Sign != nil && !slices.Equal(got, []string{windows.Certificate}) {
			t.Errorf("offers %q", got)
		}
		s.soap(answered)
		return s
	}
	s := begin(&certified)
	s.wants(Policy)
	s.soap(&windows.GetPoliciesResponse{Policy: windows.Policy{Schema: 3, MinimalKeyLength: 2048, HashAlgorithm: windows.OIDSHA256}})
	s.request()
	s.wants(Certify)
	if len(signed) != 2 {
		t.Fatalf("%d requests were signed, want those for the policy and the certificate", len(signed))
	}
	for _, e := range signed {
		if h := e.Header; !h.Created.Equal(s.now.Time()) || h.Expires.Sub(h.Created) != 5*time.Minute || h.Credential.Kind != windows.X509 || h.To == "" {
			t.Errorf("signed %+v", h)
		}
	}

	begin(&found).restsWith(windows.EPasswordNeeded)
	wrong = errors.New("the key is gone")
	if s := begin(&certified); s.act.Kind != Rest || !errors.Is(s.act.Err, wrong) || s.d.winTask != nil {
		t.Errorf("act %d, %v", s.act.Kind, s.act.Err)
	}
	start = winStart
	begin(&certified).restsWith(windows.EMessageFormat)
}
