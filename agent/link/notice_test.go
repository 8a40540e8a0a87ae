package link

import (
	"net/http"
	"testing"

	"rollcall/agent/dialect"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

func TestAUTH27ARefusedDeviceHearsOfTheChange(t *testing.T) {
	seal, err := certs.NewSeal("notices", noon)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, nil)
	s.edit = func(p *apple.Profile) {
		p.Payloads = append(p.Payloads, apple.Payload{Type: apple.PKCS1Payload, Identifier: apple.NoticeIdentifier, UUID: "4", Certificate: seal.Certificate().Raw})
	}
	l := s.link(Config{})
	d := s.enrolled(l, 1)
	words := apple.NoticeWords(protocol.Notice{Epoch: 2, ChangedAt: protocol.At(noon), Rule: protocol.RuleSevenDays})
	signature, err := seal.Sign(apple.NoticeHeader, words)
	if err != nil {
		t.Fatal(err)
	}
	value := apple.NoticeValue(words, signature)
	for _, tt := range []struct {
		name   string
		values []string
		want   uint32
	}{{"two of them", []string{value, value}, 0}, {"one", []string{value}, 2}} {
		s.mu.Lock()
		s.before = func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			w.Header()[apple.NoticeHeader] = tt.values
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		s.mu.Unlock()
		if _, err := l.Converse(t.Context(), d, dialect.Pushed); err == nil {
			t.Fatal("a refused conversation went well")
		}
		if d.Epoch() != tt.want {
			t.Errorf("%s: epoch %d, want %d", tt.name, d.Epoch(), tt.want)
		}
	}
}
