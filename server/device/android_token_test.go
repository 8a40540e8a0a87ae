//go:build unix

package device

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol/android"
	"rollcall/server/delivery"
)

// enrolls asks to enrol the usual hardware by a token for its user.
func (l *lab) enrolls(token string, change func(*android.EnrollRequest)) *httptest.ResponseRecorder {
	m := android.EnrollRequest{
		Protocol: 1, Role: android.DPC, Mode: android.AOSPUser, Hardware: android.Hardware{Brand: "acme", Model: "A1", SerialNumber: "S-1"},
		Software: android.Software{APILevel: 34, AndroidVersion: "14"},
	}
	if change != nil {
		change(&m)
	}
	return l.from("192.0.2.7:1", http.MethodPost, android.EnrollPath, string(android.Append(nil, &m)), "Authorization", "Bearer "+token)
}

// invites makes a token of the lab's user.
func (l *lab) invites(mode android.Mode) string {
	l.t.Helper()
	token, err := l.core.InviteAndroid(l.t.Context(), l.pnow(), l.user, mode, time.Hour)
	l.must(err)
	return token
}

// TestAND071UsedForGood: a token is used from the first check-in of its device on, whatever becomes of the identity and of the record (HST-037).
func TestAND071UsedForGood(t *testing.T) {
	l := newDroidLab(t)
	comes := func() (token string, p *phone) { // up to the end of the first check-in
		l.setClock(l.now().Add(time.Second))
		token = l.invites(android.AOSPUser)
		var a android.EnrollAnswer
		l.must(android.Decode(l.enrolls(token, nil).Body.Bytes(), &a))
		key := newKey()
		der, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(l.asksAs(a.Device, &a, l.requestOf(a.Device, key)).Body.Bytes())))
		l.must(err)
		leaf, err := certs.ParseDegenerate(der)
		l.must(err)
		if w := l.enrolls(token, nil); w.Code != 200 {
			t.Fatalf("before its first check-in answered %d %s", w.Code, w.Body)
		}
		p = l.phoneOf(a.Device, certs.Signer{Certificate: leaf[0], Key: key})
		p.begins()
		return token, p
	}
	wants := func(when string, tokens ...string) {
		t.Helper()
		for _, token := range tokens {
			if w := l.enrolls(token, nil); w.Code != 401 || !strings.Contains(w.Body.String(), android.TokenUsed) {
				t.Errorf("%s: answered %d %s", when, w.Code, w.Body)
			}
		}
	}
	first, _ := comes()
	wants("enrolled", first)
	second, p := comes()
	wants("enrolled again", first, second)
	enrollment, _, _ := strings.Cut(l.record(p.id).Facts.Said, " ")
	bye := android.Append(nil, &android.UnenrollRequest{Device: p.id, Enrollment: enrollment, Reason: android.UserRequest})
	if a, err := p.do(http.MethodPost, android.UnenrollPath, nil, bytes.Replace(bye, []byte(enrollment), []byte("e-another"), 1)); err != nil || a.status != 403 || l.record(p.id).State.Life != delivery.Enrolled {
		t.Errorf("a good-bye of another enrolment is answered %d %s, %v", a.status, a.body, err)
	}
	if a, err := p.do(http.MethodPost, android.UnenrollPath, nil, bye); err != nil || a.status != 200 || l.record(p.id).State.Life != delivery.Ended {
		t.Errorf("its good-bye is answered %d %s, %v", a.status, a.body, err)
	}
	wants("it has left", first, second)
	tx, err := l.store.Begin(t.Context(), l.record(p.id).State.Device)
	l.must(err)
	l.must(tx.Commit(l.pnow(), &delivery.Outcome{State: *tx.State(), Changed: delivery.Gone}))
	tx.End()
	wants("its record is gone", first, second)
}

// TestHST037AndroidTokens: a token is for its mode and for its user, and refused it is not used up.
func TestHST037AndroidTokens(t *testing.T) {
	l := newDroidLab(t)
	token := l.invites(android.AOSPUser)
	for name, tt := range map[string]struct {
		change func(*android.EnrollRequest)
		reason string
	}{
		"another mode":   {func(m *android.EnrollRequest) { m.Mode = android.AOSPUserless }, android.ModeNotAllowed},
		"another role":   {func(m *android.EnrollRequest) { m.Role = "companion" }, android.ModeNotAllowed},
		"another user":   {func(m *android.EnrollRequest) { m.User = &android.User{UPN: "other@example.org"} }, android.ModeNotAllowed},
		"nobody we know": {func(m *android.EnrollRequest) { m.User = &android.User{UPN: "nobody@example.org"} }, android.ModeNotAllowed},
	} {
		if w := l.enrolls(token, tt.change); w.Code != 403 || !strings.Contains(w.Body.String(), tt.reason) {
			t.Errorf("%s: answered %d %s", name, w.Code, w.Body)
		}
	}
	if w := l.enrolls(token, func(m *android.EnrollRequest) { m.User = &android.User{UPN: "ada@example.org"} }); w.Code != 200 {
		t.Errorf("its own user: answered %d %s", w.Code, w.Body)
	}
}
