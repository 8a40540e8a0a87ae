package device

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"rollcall/protocol"
)

// TestHST043Fetches: whoever sends tokens does not decide how often the directory is asked for keys, and a token that would be refused
// whoever signed it asks nobody. A key that is new there counts once the pause is over.
func TestHST043Fetches(t *testing.T) {
	keys := map[string]*rsa.PrivateKey{}
	for _, kid := range []string{"k1", "k2", "k3"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		keys[kid] = key
	}
	var published jose.JSONWebKeySet
	publish := func(kid string) {
		published.Keys = append(published.Keys, jose.JSONWebKey{Key: keys[kid].Public(), KeyID: kid, Algorithm: "RS256", Use: "sig"})
	}
	publish("k1")
	fetches := 0
	directory := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches++
		json.NewEncoder(w).Encode(published)
	}))
	defer directory.Close()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := &Entra{Tenant: "t1", Audiences: []string{"a1"}, KeysURL: directory.URL, transport: directory.Client().Transport}
	verify, err := e.Verifier(t.Context(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	token := func(key *rsa.PrivateKey, kid, aud string) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
		if err != nil {
			t.Fatal(err)
		}
		object, err := signer.Sign(fmt.Appendf(nil, `{"iss":"https://sts.windows.net/t1/","aud":%q,"tid":"t1","upn":"ada@example.org","exp":%d}`, aud, now.Add(time.Hour).Unix()))
		if err != nil {
			t.Fatal(err)
		}
		text, err := object.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	step := func(name, text string, taken bool, want int) {
		t.Helper()
		if _, err := verify(t.Context(), protocol.At(now), text); (err == nil) != taken || fetches != want {
			t.Errorf("%s: %v, with %d fetches until now; want taken %v and %d", name, err, fetches, taken, want)
		}
	}
	step("for another audience", token(keys["k2"], "k2", "a2"), false, 0)
	step("the first", token(keys["k1"], "k1", "a1"), true, 1)
	for i := range 20 {
		step("a key that nobody knows", token(keys["k2"], fmt.Sprint("nope", i), "a1"), false, 1)
	}
	publish("k2")
	step("a new key, too soon", token(keys["k2"], "k2", "a1"), false, 1)
	step("a key that is known", token(keys["k1"], "k1", "a1"), true, 1)
	later := func(name, kid string, by time.Duration, want int) {
		t.Helper()
		now = now.Add(by)
		newKey := token(keys[kid], kid, "a1")
		for range 1000 { // the library may not have cleared away the refused fetch of before yet
			if _, err := verify(t.Context(), protocol.At(now), newKey); err == nil {
				break
			}
			runtime.Gosched()
		}
		step(name, newKey, true, want)
	}
	later("a new key", "k2", keysPause, 2)
	publish("k3")
	later("a new key, when the clock was set back", "k3", -30*day, 3)
}
