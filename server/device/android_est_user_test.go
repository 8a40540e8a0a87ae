package device

import (
	"testing"

	"rollcall/protocol/android"
)

// TestHST037ESTUser: whoever knows a challenge says with it whose it is (android.md, section 9): another user gets no certificate by it, and
// does not use it up.
func TestHST037ESTUser(t *testing.T) {
	l := newDroidLab(t)
	var a android.EnrollAnswer
	l.must(android.Decode(l.enrolls(l.invites(android.AOSPUser), nil).Body.Bytes(), &a))
	csr := l.request(a.Device)
	for _, tt := range []struct {
		user string
		want int
	}{{"d-ffff", 403}, {"", 403}, {a.Device, 200}} {
		w := l.asksAs(tt.user, &a, csr)
		if w.Code != tt.want {
			t.Errorf("user %q is answered %d %s, want %d", tt.user, w.Code, w.Body, tt.want)
		}
	}
}
