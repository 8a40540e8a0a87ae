package dialect

import (
	"strings"
	"testing"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

func newSeal(t testing.TB) *certs.Seal {
	t.Helper()
	seal, err := certs.NewSeal("notices", noon.Time())
	if err != nil {
		t.Fatal(err)
	}
	return seal
}

// withNotices gives an enrolment profile the certificate of seal.
func withNotices(seal *certs.Seal) func(*apple.Profile) {
	return func(p *apple.Profile) {
		p.Payloads = append(p.Payloads, apple.Payload{
			Type: apple.PKCS1Payload, Identifier: apple.NoticeIdentifier, UUID: "AAAAAAAA-0000-4000-8000-000000000009", Certificate: seal.Certificate().Raw,
		})
	}
}

// notice is n as a header, signed by seal.
func notice(t testing.TB, seal *certs.Seal, n protocol.Notice) string {
	t.Helper()
	words := apple.NoticeWords(n)
	signature, err := seal.Sign(apple.NoticeHeader, words)
	if err != nil {
		t.Fatal(err)
	}
	return apple.NoticeValue(words, signature)
}

func TestHST057OnlyItsOwnServersNotice(t *testing.T) {
	seal, tenant := newSeal(t), newSeal(t) // tenant: another one
	third := protocol.Notice{Epoch: 3, ChangedAt: noon, Rule: protocol.RuleSevenDays}
	own := notice(t, seal, third)
	for _, tt := range []struct {
		name   string
		header string
		want   uint32
	}{
		{"its own server's", own, 3},
		{"its own server's, lower", notice(t, seal, protocol.Notice{Epoch: 1, ChangedAt: noon}), 2},
		{"replayed", notice(t, seal, protocol.Notice{Epoch: 2, ChangedAt: noon}), 2},
		{"from the future", notice(t, seal, protocol.Notice{Epoch: 3, ChangedAt: noon.Add(1e18)}), 3},
		{"another tenant's", notice(t, tenant, third), 2},
		{"changed on the way", strings.Replace(own, "epoch=3", "epoch=4", 1), 2},
		{"of another rule on the way", strings.Replace(own, "AUTH-27", "AUTH-21", 1), 2},
		{"two in one", own + ", " + own, 2},
		{"nonsense", "epoch=3", 2},
		{"signed for another purpose", func() string {
			signature, _ := seal.Sign("order", apple.NoticeWords(third))
			return apple.NoticeValue(apple.NoticeWords(third), signature)
		}(), 2},
	} {
		for _, status := range []int{200, 503, 403} {
			s := enrolled(t, iPhone, plainHabits, withNotices(seal))
			s.wake()
			s.d.Answer(s.now, &Response{Status: 200, Notice: notice(t, seal, protocol.Notice{Epoch: 2, ChangedAt: noon})}, &s.act)
			s.reborn() // the key is among what a device keeps
			s.wake()
			s.d.Answer(s.now, &Response{Status: status, Notice: tt.header}, &s.act)
			if got := s.d.Epoch(); got != tt.want {
				t.Errorf("%s, with status %d: epoch %d, want %d", tt.name, status, got, tt.want)
			}
		}
	}

	s := enrolled(t, iPhone, plainHabits) // a foreign server gave it no key
	s.wake()
	s.d.Answer(s.now, &Response{Status: 200, Notice: own}, &s.act)
	if s.d.Epoch() != 0 {
		t.Error("a notice was believed without a key")
	}
}

func TestNoticeKeyIsNoAnchor(t *testing.T) {
	seal := newSeal(t)
	s := enrolled(t, iPhone, plainHabits, withNotices(seal))
	s.wake()
	if want := (Trust{Anchors: string(s.ca.Certificate().Raw)}); s.act.Trust != want {
		t.Error("TLS trusts the key of notices")
	}
	listed := false
	for _, c := range s.d.certificateList() {
		listed = listed || string(c.Data) == string(seal.Certificate().Raw)
	}
	if !listed {
		t.Error("the certificate is installed and CertificateList leaves it out")
	}
}
