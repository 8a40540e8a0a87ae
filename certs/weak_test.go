package certs

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// TestEncryptWeak: 3DES opens where it is allowed, DES nowhere (HST-036); and a signature by SHA-1 is taken only there.
func TestEncryptWeak(t *testing.T) {
	a := rsaAuthority()
	for _, tt := range []struct {
		triple, legacy bool
		want           error
	}{{true, true, nil}, {true, false, ErrAlgorithm}, {false, true, ErrAlgorithm}, {false, false, ErrAlgorithm}} {
		der, err := EncryptWeak([]byte("a request"), a.Certificate(), tt.triple)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decrypt(der, a.RA(), Policy{Legacy: tt.legacy})
		if !errors.Is(err, tt.want) || tt.want == nil && !bytes.Equal(got, []byte("a request")) {
			t.Errorf("triple %t, legacy %t: %q, %v, want %v", tt.triple, tt.legacy, got, err, tt.want)
		}
	}
	m := Message{Content: []byte("x"), SigningTime: time.Now(), SHA1: true}
	der, err := m.Sign(a.RA())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyAttached(der, Policy{}); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("SHA-1: %v, want ErrAlgorithm", err)
	}
	if _, err := VerifyAttached(der, Policy{Legacy: true}); err != nil {
		t.Errorf("SHA-1 where it is allowed: %v", err)
	}
}
