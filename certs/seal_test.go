package certs

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func TestSeal(t *testing.T) {
	now := time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	seal, err := NewSeal("notices", now)
	if err != nil {
		t.Fatal(err)
	}
	data, err := seal.PEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadSeal(data)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := again.Sign("notice", "epoch=2")
	if err != nil {
		t.Fatal(err)
	}
	if twice, _ := seal.Sign("notice", "epoch=2"); !bytes.Equal(twice, signature) {
		t.Error("the same text has two signatures")
	}
	key, err := SealKeyOf(seal.Certificate().Raw)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := NewSeal("notices", now)
	foreign, _ := other.Sign("notice", "epoch=2")
	for _, tt := range []struct {
		name, what, text string
		key              SealKey
		signature        []byte
		want             bool
	}{
		{"its own", "notice", "epoch=2", key, signature, true},
		{"another text", "notice", "epoch=3", key, signature, false},
		{"about something else", "order", "epoch=2", key, signature, false},
		{"the cut moved", "notice\x00epoch", "=2", key, signature, false},
		{"of another seal", "notice", "epoch=2", key, foreign, false},
		{"no signature", "notice", "epoch=2", key, nil, false},
		{"no key", "notice", "epoch=2", "", signature, false},
	} {
		if got := tt.key.Verified(tt.what, tt.text, tt.signature); got != tt.want {
			t.Errorf("%s: Verified = %t, want %t", tt.name, got, tt.want)
		}
	}
	if seal.Certificate().IsCA || seal.Certificate().VerifyHostname("localhost") == nil {
		t.Error("the certificate stands for more than the seal")
	}
}

func TestSealRefuses(t *testing.T) {
	now := time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	seal, _ := NewSeal("notices", now)
	other, _ := NewSeal("notices", now)
	rsa, err := NewAuthority(RSA2048, "rsa", now)
	if err != nil {
		t.Fatal(err)
	}
	own, _ := seal.PEM()
	foreign, _ := other.PEM()
	certificate := CertificatesPEM(seal.Certificate())
	rsaCertificate, rsaKey, _ := rsa.PEM()
	for _, tt := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, ErrPEM},
		{"no key", certificate, ErrPEM},
		{"cut short", own[:len(own)-40], ErrPEM},
		{"another's key", append(bytes.Clone(certificate), foreign[len(CertificatesPEM(other.Certificate())):]...), ErrKeyMismatch},
		{"RSA", append(rsaCertificate, rsaKey...), ErrKey},
	} {
		if _, err := LoadSeal(tt.data); !errors.Is(err, tt.want) {
			t.Errorf("%s: LoadSeal = %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := SealKeyOf(rsa.Certificate().Raw); !errors.Is(err, ErrKey) {
		t.Errorf("SealKeyOf an RSA certificate = %v, want %v", err, ErrKey)
	}
	if _, err := SealKeyOf([]byte("no certificate")); !errors.Is(err, ErrMalformed) {
		t.Errorf("SealKeyOf nonsense = %v, want %v", err, ErrMalformed)
	}
}
