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
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
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

// certified is the usual hardware with a token's certificate, before its first check-in.
func (l *lab) certified(token string) *phone {
	l.t.Helper()
	var a android.EnrollAnswer
	l.must(android.Decode(l.enrolls(token, nil).Body.Bytes(), &a))
	key := newKey()
	der, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(l.asksAs(a.Device, &a, l.requestOf(a.Device, key)).Body.Bytes())))
	l.must(err)
	leaf, err := certs.ParseDegenerate(der)
	l.must(err)
	return l.phoneOf(a.Device, certs.Signer{Certificate: leaf[0], Key: key})
}

// TestAND071UsedForGood: a token is used from the first check-in of its device on, whatever becomes of the identity and of the record (HST-037).
func TestAND071UsedForGood(t *testing.T) {
	l := newDroidLab(t)
	comes := func() (token string, p *phone) { // up to the end of the first check-in
		l.setClock(l.now().Add(time.Second))
		token = l.invites(android.AOSPUser)
		p = l.certified(token)
		if w := l.enrolls(token, nil); w.Code != 200 {
			t.Fatalf("before its first check-in answered %d %s", w.Code, w.Body)
		}
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

// TestAND071Halfway: a token is used, though its device is amid its first check-in, where that is by another token; and where its device was
// turned away since another user's has its place.
func TestAND071Halfway(t *testing.T) {
	l := newDroidLab(t)
	used := func(when, token string) {
		t.Helper()
		if w := l.enrolls(token, nil); w.Code != 401 || !strings.Contains(w.Body.String(), android.TokenUsed) {
			t.Errorf("%s: answered %d %s", when, w.Code, w.Body)
		}
	}
	hello := func(p *phone) answer {
		a, err := p.do(http.MethodPost, android.CheckInPath, nil, android.Append(nil, &android.CheckIn{
			Protocol: 1, CheckIn: "c-hello", Round: 1, Device: p.id, Reason: android.ReasonEnrolled, Time: l.pnow(), Applied: android.AppliedPolicy{State: android.Provisioning}, Compliant: true,
		}))
		l.must(err)
		return a
	}
	first := l.invites(android.AOSPUser)
	l.certified(first).begins()
	second := l.invites(android.AOSPUser)
	p := l.certified(second)
	if a := hello(p); a.status != 200 || l.record(p.id).State.Life != delivery.Enrolling {
		t.Fatalf("its hello is answered %d %s, and it is %s", a.status, a.body, l.record(p.id).State.Life)
	}
	used("amid another enrolment", first)
	if w := l.enrolls(second, nil); w.Code != 200 {
		t.Errorf("amid its own: answered %d %s", w.Code, w.Body)
	}

	l = newDroidLab(t)
	others, err := l.core.PutUsers(t.Context(), l.pnow(), []store.User{{UPN: "bob@example.org", User: authority.User{IntuneLicence: true}}})
	l.must(err)
	late := l.invites(android.AOSPUser)
	loser := l.certified(late)
	token, err := l.core.InviteAndroid(t.Context(), l.pnow(), others[0], android.AOSPUser, time.Hour)
	l.must(err)
	l.certified(token).begins()
	if a := hello(loser); a.status != 403 && a.status != 401 {
		t.Fatalf("in another's place it is answered %d %s", a.status, a.body)
	}
	used("turned away", late)
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
