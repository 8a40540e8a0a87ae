package issuer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/protocol"
	"rollcall/server/store"
)

var now = protocol.At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

func TestVerify(t *testing.T) {
	token, kept := New("ci", store.Reader, now, time.Hour)
	other, keptOther := New("other", store.Reader, now, 0)
	known := []store.Token{keptOther, kept}
	for _, tt := range []struct {
		name  string
		token string
		now   protocol.Time
		want  string // name of the token; empty: refused
	}{
		{"in its time", token, now, "ci"},
		{"its last moment", token, now.Add(time.Hour) - 1, "ci"},
		{"expired", token, now.Add(time.Hour), ""},
		{"without end", other, now.Add(100 * 365 * 24 * time.Hour), "other"},
		{"empty", "", now, ""},
		{"prefix alone", Prefix, now, ""},
		{"one letter changed", token[:len(token)-2] + "!!", now, ""},
		{"one letter more", token + "A", now, ""},
		{"without prefix", strings.TrimPrefix(token, Prefix), now, ""},
		{"its hash", string(kept.Hash[:]), now, ""},
	} {
		got, err := Verify(tt.token, known, tt.now)
		if got.Name != tt.want || (tt.want == "") != errors.Is(err, ErrToken) {
			t.Errorf("%s: Verify = %q, %v, want %q", tt.name, got.Name, err, tt.want)
		}
	}
	kept.Revoked = true
	if _, err := Verify(token, []store.Token{kept}, now); !errors.Is(err, ErrToken) {
		t.Errorf("Verify of a revoked token = %v, want ErrToken", err)
	}
}

func TestNewTokens(t *testing.T) {
	a, kept := New("x", store.Reader, now, 0)
	b, _ := New("x", store.Reader, now, 0)
	if a == b || !strings.HasPrefix(a, Prefix) || len(a) < len(Prefix)+22 {
		t.Errorf("tokens %q and %q: want two of at least 128 bits behind %q", a, b, Prefix)
	}
	if kept.Expires != 0 || kept.Made != now || strings.Contains(string(kept.Hash[:]), a) {
		t.Errorf("kept %+v", kept)
	}
}

func FuzzVerify(f *testing.F) {
	token, kept := New("ci", store.Reader, now, 0)
	f.Add(token)
	f.Add(Prefix)
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := Verify(s, []store.Token{kept}, now); (err == nil) != (s == token) {
			t.Errorf("Verify(%q) = %v", s, err)
		}
	})
}
