package device

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"rollcall/protocol/windows"
)

// TestHST043Tokens: a device's token counts when everything about it is right, whichever version, and else nothing of it does.
func TestHST043Tokens(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(Entra{Tenant: "t1", Audiences: []string{"https://mdm.example.org", "client-1"}, Keys: set})
	if err != nil {
		t.Fatal(err)
	}
	directory, err := ReadEntra(file)
	if err != nil {
		t.Fatal(err)
	}
	l := newWindowsLab(t, func(c *Config) {
		if c.Windows.Verify, err = directory.Verifier(context.Background(), c.Now); err != nil {
			t.Fatal(err)
		}
	})
	claims := func(change map[string]any) []byte {
		all := map[string]any{
			"iss": "https://sts.windows.net/t1/", "aud": "https://mdm.example.org", "tid": "t1", "upn": ada, "deviceid": "d1",
			"exp": l.now().Add(time.Hour).Unix(), "nbf": l.now().Add(-time.Minute).Unix(),
		}
		for name, value := range change {
			if all[name] = value; value == nil {
				delete(all, name)
			}
		}
		raw, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	sign := func(alg jose.SignatureAlgorithm, key any, kid string, payload []byte) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
		if err != nil {
			t.Fatal(err)
		}
		object, err := signer.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		text, err := object.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	rs256 := func(change map[string]any) string { return sign(jose.RS256, key, "k1", claims(change)) }
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must2(x509.MarshalPKIXPublicKey(key.Public()))})
	good := rs256(nil)
	parts := strings.Split(good, ".")
	for i, tt := range []struct {
		name, token string
		taken       bool
	}{
		{"version 1", good, true},
		{"version 2", rs256(map[string]any{"iss": "https://login.microsoftonline.com/t1/v2.0", "aud": "client-1", "deviceid": "d2"}), true},
		{"alg none", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", false},
		{"HS256 with the public key", sign(jose.HS256, public, "k1", claims(nil)), false},
		{"PS256", sign(jose.PS256, key, "k1", claims(nil)), false},
		{"another key", sign(jose.RS256, other, "k1", claims(nil)), false},
		{"kid with a path", sign(jose.RS256, other, "../../etc/passwd", claims(nil)), false},
		{"changed after it was signed", parts[0] + "." + base64.RawURLEncoding.EncodeToString(claims(map[string]any{"upn": "eve@example.org"})) + "." + parts[2], false},
		{"another issuer", rs256(map[string]any{"iss": "https://sts.windows.net/t2/"}), false},
		{"another tenant", rs256(map[string]any{"tid": "t2"}), false},
		{"no tenant", rs256(map[string]any{"tid": nil}), false},
		{"another audience", rs256(map[string]any{"aud": "https://graph.example.org"}), false},
		{"no audience", rs256(map[string]any{"aud": nil}), false},
		{"no exp", rs256(map[string]any{"exp": nil}), false},
		{"expired", rs256(map[string]any{"exp": l.now().Add(-time.Second).Unix()}), false},
		{"not valid yet", rs256(map[string]any{"nbf": l.now().Add(time.Hour).Unix()}), false},
		{"a user by the name of version 2", rs256(map[string]any{"upn": nil, "preferred_username": ada, "deviceid": "d3"}), true},
		{"a user who is not named, on a device that is", rs256(map[string]any{"upn": nil, "scp": "user_impersonation", "deviceid": "dev-1"}), false},
		{"no token", "x", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := l.pc(pcID(i))
			_, f := p.ask(windows.Header{Credential: windows.Credential{Kind: windows.JWT, Token: []byte(tt.token)}}, p.rst(windows.EnrollmentFull, csr(t, p.key)))
			if tt.taken {
				if f != nil {
					t.Fatal(f)
				}
				return
			}
			if f == nil || f.HRESULT() != windows.EAuthentication {
				t.Errorf("fault %v", f)
			}
			l.untouched(t, p, "")
		})
	}
	for name, text := range map[string]string{
		"tenant":     `{"audiences":["a"],"keys_url":"https://x"}`,
		"audiences":  `{"tenant":"t","keys_url":"https://x"}`,
		"either":     `{"tenant":"t","audiences":["a"]}`,
		"no https":   `{"tenant":"t","audiences":["a"],"keys_url":"http://x"}`,
		"keys: ":     `{"tenant":"t","audiences":["a"],"keys":{"keys":[]}}`,
		`"password"`: `{"tenant":"t","audiences":["a"],"keys_url":"https://x","password":"p"}`,
	} {
		if _, err := ReadEntra([]byte(text)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want an error with %q", text, err, name)
		}
	}
}

func must2(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
