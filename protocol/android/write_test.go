package android

import (
	"testing"
	"time"

	"rollcall/protocol"
)

// AppendAnswer writes what encoding/json would, whatever of the answer is there.
func TestAppendAnswer(t *testing.T) {
	steady := CheckInAnswer{
		Round: 2, Complete: true, State: Active, Authority: AuthorityState{Registered: protocol.Intune, Resolved: protocol.Office365, Epoch: 4},
		Next: NextContact{After: Seconds(8 * time.Hour), Schedule: Steady},
	}
	for name, change := range map[string]func(a *CheckInAnswer){
		"nothing to do": func(*CheckInAnswer) {},
		"not complete":  func(a *CheckInAnswer) { a.Complete, a.Round, a.State, a.Next.Schedule = false, 16, Lost, Quick },
		"nothing":       func(a *CheckInAnswer) { *a = CheckInAnswer{} },
		"a policy":      func(a *CheckInAnswer) { a.Policy = &PolicyUpdate{Name: "policies/d-1", Policy: Raw("{}")} },
		"a command":     func(a *CheckInAnswer) { a.Commands = []Command{{ID: "c-1", Type: Lock}} },
		"a renewal":     func(a *CheckInAnswer) { a.Renew = &Offer{Method: EST} },
		"a change":      func(a *CheckInAnswer) { a.Authority.ChangedAt = 1e6 },
		"a notice":      func(a *CheckInAnswer) { a.Authority.Notice = "x" },
	} {
		a := steady
		change(&a)
		if got, want := string(AppendAnswer([]byte("x"), &a)), "x"+string(Append(nil, &a)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// A server without keys of a kind says so with an empty list, which every reader takes.
func TestDiscoveryOfNoKeys(t *testing.T) {
	b := Append(nil, &Discovery{Protocol: Version, Enroll: EnrollPath, EST: ESTPath})
	var d Discovery
	if err := Decode(b, &d); err != nil || d.Enroll != EnrollPath {
		t.Errorf("%s is read as %+v: %v", b, d, err)
	}
}
