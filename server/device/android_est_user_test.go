//go:build unix

package device

import (
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"rollcall/protocol/android"
)

// TestHST037ESTUser: whoever knows a challenge says with it whose it is (android.md, section 9): another user gets no certificate by it, and
// does not use it up.
func TestHST037ESTUser(t *testing.T) {
	l := newDroidLab(t)
	token, err := l.core.InviteAndroid(t.Context(), l.pnow(), l.user, android.AOSPUser, time.Hour)
	l.must(err)
	m := android.EnrollRequest{
		Protocol: 1, Role: android.DPC, Mode: android.AOSPUser, Hardware: android.Hardware{Brand: "acme", Model: "A1", SerialNumber: "S-1"},
		Software: android.Software{APILevel: 34, AndroidVersion: "14"},
	}
	var a android.EnrollAnswer
	w := l.from("192.0.2.7:1", http.MethodPost, android.EnrollPath, string(android.Append(nil, &m)), "Authorization", "Bearer "+token)
	l.must(android.Decode(w.Body.Bytes(), &a))
	csr := l.request(a.Device)
	for _, tt := range []struct {
		user string
		want int
	}{{"d-ffff", 403}, {"", 403}, {a.Device, 200}} {
		basic := base64.StdEncoding.EncodeToString([]byte(tt.user + ":" + a.Certificate.Challenge))
		w := l.from("192.0.2.7:1", http.MethodPost, android.ESTPath+"/simpleenroll", csr, "Authorization", "Basic "+basic, "Content-Type", "application/pkcs10")
		if w.Code != tt.want {
			t.Errorf("user %q is answered %d %s, want %d", tt.user, w.Code, w.Body, tt.want)
		}
	}
}
