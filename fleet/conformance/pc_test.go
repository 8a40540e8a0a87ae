package conformance

import (
	"strings"
	"testing"

	"rollcall/protocol/windows"
)

// TestWindowsSecrets: neither passwords nor what a document brings are shown.
func TestWindowsSecrets(t *testing.T) {
	body := windows.EncodeEnvelope(nil, &windows.Envelope{
		Header: windows.Header{Credential: windows.Credential{Kind: windows.Password, Username: "ann", Password: "secret-password"}},
		Body:   &windows.RequestSecurityToken{Token: []byte("secret-token")},
	})
	at := strings.Index(string(body), "c2VjcmV0") // of the token
	for _, end := range []int{len(body), at + 8} {
		if got := shown(body[:end], mostShown); strings.Contains(got, "secret") || strings.Contains(got, "c2VjcmV0") || !strings.Contains(got, "ann") {
			t.Errorf("shown: %s", got)
		}
	}
}
