package fleet_test

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/fleet"
)

// TestAND084KeyStore: what a key store says of its keys is believed by whoever trusts its maker, for the token that it is about; a device
// that asks again has the same key, and no two have one (HST-040).
func TestAND084KeyStore(t *testing.T) {
	now := time.Now()
	maker, err := certs.NewIssuer("a maker", now)
	if err != nil {
		t.Fatal(err)
	}
	store := fleet.NewKeyStore(maker)
	key, chain, err := store.Attest("one")
	if err != nil {
		t.Fatal(err)
	}
	verify := func(token string, root *x509.Certificate) (*certs.Attestation, error) {
		challenge := sha256.Sum256([]byte(token))
		return certs.VerifyAttestation(chain, []*x509.Certificate{root}, nil, challenge[:], now)
	}
	a, err := verify("one", maker.Certificate())
	if err != nil || !key.PublicKey.Equal(a.Key) || a.Level != certs.TrustedEnvironment || !a.Locked || a.Boot != "VERIFIED" {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := verify("another", maker.Certificate()); !errors.Is(err, certs.ErrChallenge) {
		t.Errorf("for another token: %v", err)
	}
	if stranger, err := certs.NewIssuer("a maker", now); err != nil {
		t.Error(err)
	} else if _, err := verify("one", stranger.Certificate()); !errors.Is(err, certs.ErrForeign) {
		t.Errorf("by another maker: %v", err)
	}
	again, _, err := store.Attest("one")
	other, _, wrong := store.Attest("two")
	if err != nil || wrong != nil || !again.Equal(key) || other.Equal(key) {
		t.Errorf("again the same key: %t, by another token: %t (%v, %v)", again.Equal(key), other.Equal(key), err, wrong)
	}
}
