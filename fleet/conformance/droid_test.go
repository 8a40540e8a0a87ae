package conformance

import (
	"strings"
	"testing"

	"rollcall/protocol/android"
)

// TestAndroidSecrets: neither challenges nor passcodes are shown.
func TestAndroidSecrets(t *testing.T) {
	body := android.Append(nil, &android.EnrollAnswer{Device: "d-1", Enrollment: "e-1", Certificate: android.Offer{Method: android.EST, Challenge: "secret-challenge", Subject: "CN=d-1"}})
	body = append(body, android.Append(nil, &android.Command{ID: "c-1", Type: android.ResetPassword, NewPassword: "secret-passcode"})...)
	for _, cut := range []int{0, 8} {
		if got := shown(body[:len(body)-cut], mostShown); strings.Contains(got, "secret") || !strings.Contains(got, "CN=d-1") {
			t.Errorf("shown: %s", got)
		}
	}
}
