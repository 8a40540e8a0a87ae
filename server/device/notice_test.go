package device

import (
	"context"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server"
	"rollcall/server/authority"
)

// withSeal has the server sign notices.
func withSeal(t *testing.T) func(*Config) {
	return func(cfg *Config) {
		var err error
		if cfg.Enrolment.Seal, err = certs.NewSeal("notices", cfg.Now()); err != nil {
			t.Fatal(err)
		}
	}
}

// key is what an enrolment profile tells a device of the server's notices.
func (l *lab) key() certs.SealKey {
	l.t.Helper()
	p := l.open(l.get("/e/"+l.invite(), nil).body)
	if err := p.CheckEnrolment(testTopic); err != nil {
		l.t.Error(err)
	}
	for _, payload := range p.Payloads {
		if payload.Identifier == apple.NoticeIdentifier {
			key, err := certs.SealKeyOf(payload.Certificate)
			if err != nil {
				l.t.Fatal(err)
			}
			return key
		}
	}
	l.t.Fatal("the enrolment profile has no certificate for notices")
	return ""
}

func TestAUTH30ARefusalCarriesTheNotice(t *testing.T) {
	l := newLab(t, withSeal(t))
	key, other := l.key(), newLab(t, withSeal(t)).key()
	p := l.phone(udid(1)).enrol()
	if got := p.send(p.idle()).header.Values(apple.NoticeHeader); got != nil {
		t.Errorf("the first authority is no change, and the header says %q", got)
	}
	changed := l.pnow()
	change := authority.Change{Authority: protocol.SCCM, At: changed}
	shown, err := l.core.PreviewAuthority(context.Background(), changed, change)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.core.SetAuthority(context.Background(), changed, server.System, change, shown.ID, shown.Stranded); err != nil {
		t.Fatal(err)
	}
	want := protocol.Notice{Epoch: 2, ChangedAt: changed, Rule: protocol.RuleRegistered} // it has no profiles of before
	check := func(a answer, status int) {
		t.Helper()
		values := a.header.Values(apple.NoticeHeader)
		if a.status != status || len(values) != 1 {
			t.Fatalf("answered %d with notices %q, want %d and one", a.status, values, status)
		}
		n, words, signature, err := apple.DecodeNotice(values[0])
		if err != nil || n != want {
			t.Errorf("notice %+v (%v), want %+v", n, err, want)
		}
		if !key.Verified(apple.NoticeHeader, words, signature) || other.Verified(apple.NoticeHeader, words, signature) {
			t.Error("the notice is not signed by this server alone (HST-057)")
		}
	}
	refused := p.send(p.idle())
	check(refused, 503)
	if refused.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	check(l.get("/e/"+l.invite(), nil), 503)                                                         // the page of an enrolment link
	check(p.send(apple.Message{MessageType: apple.Authenticate, UDID: p.id, Topic: testTopic}), 503) // and the hello of one that enrols
	l.setClock(l.now().Add(time.Hour))
	l.uploadPush(testTopic)
	check(p.send(p.idle()), 200)
	check(p.send(apple.Message{UDID: p.id, UserID: "501", UserShortName: "ada"}), 200) // the device's, whoever speaks
}
