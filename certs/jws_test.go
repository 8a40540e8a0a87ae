package certs

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// A statement is believed as it was signed, as its type, by its key, and in no other form (HST-027, HST-057).
func TestJWS(t *testing.T) {
	seal, err := NewSeal("orders", time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewSeal("other", time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	payload := []byte(`{"device":"d-1"}`)
	text, err := seal.JWS("order", payload)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := seal.JWS("order", payload); again != text {
		t.Error("the same statement is signed otherwise")
	}
	if got, ok := seal.Key().OpenJWS("order", text); !ok || string(got) != string(payload) {
		t.Errorf("opened %q, %t", got, ok)
	}
	if key, err := SealKeyOfSPKI(seal.Key().SPKI()); err != nil || key != seal.Key() {
		t.Errorf("key %v", err)
	}
	part := strings.Split(text, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	hs := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"` + seal.KID() + `","typ":"order"}`))
	changed := base64.RawURLEncoding.EncodeToString([]byte(`{"device":"d-2"}`))
	for name, wrong := range map[string]string{
		"no text": "", "no signature": part[0] + "." + part[1] + ".", "alg none": none + "." + part[1] + ".", "another algorithm": hs + "." + part[1] + "." + part[2],
		"another payload": part[0] + "." + changed + "." + part[2], "a fourth part": text + ".x", "padding": text + "=", "cut": text[:len(text)-2],
		"too long": part[0] + "." + strings.Repeat("A", maxJWS) + "." + part[2], "zeros": part[0] + "." + part[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
	} {
		if _, ok := seal.Key().OpenJWS("order", wrong); ok {
			t.Errorf("%s: believed", name)
		}
	}
	if _, ok := seal.Key().OpenJWS("notice", text); ok {
		t.Error("an order is believed as a notice")
	}
	if _, ok := other.Key().OpenJWS("order", text); ok {
		t.Error("another key's is believed")
	}
	detached, err := seal.DetachedJWS("policy", payload)
	if err != nil || !seal.Key().VerifiedJWS("policy", detached, payload) {
		t.Errorf("detached: not believed (%v)", err)
	}
	if seal.Key().VerifiedJWS("policy", detached, []byte(`{}`)) || seal.Key().VerifiedJWS("order", detached, payload) || SealKey("").VerifiedJWS("policy", detached, payload) {
		t.Error("detached: another payload, type or key is believed")
	}
	if _, err := SealKeyOfSPKI([]byte{0x30, 0x80}); err == nil {
		t.Error("no key is taken for one")
	}
}
