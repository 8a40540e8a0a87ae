package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"
)

// describe is a KeyDescription as Android's key stores write it.
func describe(level asn1.Enumerated, challenge []byte, boot asn1.Enumerated, locked bool) []byte {
	type rootOfTrust struct {
		Key    []byte
		Locked bool
		State  asn1.Enumerated
		Hash   []byte
	}
	type list struct {
		Purpose []int       `asn1:"explicit,tag:1,set,optional"`
		Root    rootOfTrust `asn1:"explicit,tag:704"`
		Patch   int         `asn1:"explicit,tag:706"`
	}
	type software struct {
		At int64 `asn1:"explicit,tag:701"`
	}
	der, err := asn1.Marshal(struct {
		Version    int
		Level      asn1.Enumerated
		KeyMint    int
		KeyLevel   asn1.Enumerated
		Challenge  []byte
		Unique     []byte
		BySoftware software
		ByHardware list
	}{300, level, 300, level, challenge, []byte{}, software{1}, list{[]int{2}, rootOfTrust{make([]byte, 32), locked, boot, make([]byte, 32)}, 202611}})
	if err != nil {
		panic(err)
	}
	return der
}

// An attester is a maker's root with a factory below it.
type attester struct {
	root, factory *x509.Certificate
	key           crypto.Signer
}

func newAttester(t testing.TB) *attester {
	t.Helper()
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	make := func(serial int64, name string, parent *x509.Certificate, by crypto.Signer) (*x509.Certificate, crypto.Signer) {
		key := ecKey()
		c := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: at, NotAfter: at.AddDate(10, 0, 0), IsCA: true,
			BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		if parent == nil {
			parent, by = c, key
		}
		return signed(t, c, parent, key.Public(), by), key
	}
	a := &attester{}
	var rootKey crypto.Signer
	a.root, rootKey = make(0x1001, "a maker's root", nil, nil)
	a.factory, a.key = make(0xbeef, "a factory", a.root, rootKey)
	return a
}

func signed(t testing.TB, c, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(nil, c, parent, public, by)
	if err == nil {
		c, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// chain attests a key as key stores do: with a certificate that is valid for ever.
func (a *attester) chain(t testing.TB, public crypto.PublicKey, description []byte) [][]byte {
	t.Helper()
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Android Keystore Key"}, NotBefore: time.Unix(0, 0), NotAfter: time.Date(2048, 1, 1, 0, 0, 0, 0, time.UTC)}
	if description != nil {
		leaf.ExtraExtensions = []pkix.Extension{{Id: keyDescription, Value: description}}
	}
	return [][]byte{signed(t, leaf, a.factory, public, a.key).Raw, a.factory.Raw, a.root.Raw}
}

// An attestation holds if the maker vouches for the key, and the key for this enrolment (AND-084).
func TestAND084Attestation(t *testing.T) {
	ours, stranger := newAttester(t), newAttester(t)
	key, now := ecKey(), time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	challenge := []byte("SHA-256 of the token")
	good := ours.chain(t, key.Public(), describe(1, challenge, 0, true))
	attested, err := x509.ParseCertificate(good[0])
	if err != nil {
		t.Fatal(err)
	}
	other := ecKey()
	beyond := signed(t, &x509.Certificate{ // who has an attested key makes itself a better one
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Unix(0, 0), NotAfter: now.AddDate(1, 0, 0),
		ExtraExtensions: []pkix.Extension{{Id: keyDescription, Value: describe(2, challenge, 0, true)}},
	}, attested, other.Public(), key)
	for _, tt := range []struct {
		name    string
		chain   [][]byte
		revoked Revoked
		want    error
	}{
		{"good", good, Revoked{"dead": true}, nil},
		{"strong box", ours.chain(t, key.Public(), describe(2, challenge, 0, true)), nil, nil},
		{"without its root", good[:2], nil, nil},
		{"wrong challenge", ours.chain(t, key.Public(), describe(1, []byte("another token"), 0, true)), nil, ErrChallenge},
		{"no challenge", ours.chain(t, key.Public(), describe(1, nil, 0, true)), nil, ErrChallenge},
		{"software level", ours.chain(t, key.Public(), describe(0, challenge, 0, true)), nil, ErrSoftware},
		{"a level that nobody knows", ours.chain(t, key.Public(), describe(9, challenge, 0, true)), nil, ErrSoftware},
		{"foreign root", stranger.chain(t, key.Public(), describe(1, challenge, 0, true)), nil, ErrForeign},
		{"signed by an attested key", [][]byte{beyond.Raw, good[0], good[1], good[2]}, nil, ErrForeign},
		{"its factory was revoked", good, Revoked{"beef": true}, ErrRevoked},
		{"itself was revoked", good, Revoked{"1": true}, ErrRevoked},
		{"no description", ours.chain(t, key.Public(), nil), nil, ErrMalformed},
		{"a description cut off", ours.chain(t, key.Public(), describe(1, challenge, 0, true)[:40]), nil, ErrMalformed},
		{"no certificate", [][]byte{[]byte("x")}, nil, ErrMalformed},
		{"nothing", nil, nil, ErrMalformed},
		{"nine certificates", [][]byte{good[0], good[1], good[1], good[1], good[1], good[1], good[1], good[1], good[2]}, nil, ErrMalformed},
	} {
		a, err := VerifyAttestation(tt.chain, []*x509.Certificate{ours.root}, tt.revoked, challenge, now)
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if err == nil && (!key.Public().(*ecdsa.PublicKey).Equal(a.Key) || a.Boot != "VERIFIED" || !a.Locked || a.Level == Software) {
			t.Errorf("%s: %+v", tt.name, a)
		}
	}
	if a, err := readKeyDescription(describe(1, challenge, 2, false)); err != nil || a.Boot != "UNVERIFIED" || a.Locked {
		t.Errorf("an unlocked device: %+v, %v", a, err)
	}
}

// The list of revoked certificates is by serial number in hexadecimal, of any case and with any zeros before it.
func TestReadRevoked(t *testing.T) {
	got, err := ReadRevoked([]byte(`{"entries":{"00C35747A084470C":{"status":"REVOKED","reason":"KEY_COMPROMISE"},"beef":{"status":"SUSPENDED"}},"later":1}`))
	if err != nil || len(got) != 2 || !got["c35747a084470c"] || !got["beef"] {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "[]", `{}`, `{"entries":[]}`} {
		if _, err := ReadRevoked([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzKeyDescription(f *testing.F) {
	f.Add(describe(1, []byte("x"), 0, true))
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, der []byte) {
		a, err := readKeyDescription(der)
		if (a == nil) == (err == nil) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
