package dialect

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"strings"
	"testing"

	"rollcall/certs"
)

const someUUIDs = "0A4B0C6D-3F1E-4F7A-9C57-6B7A5C1D2E3F" + separator + "11111111-2222-4333-8444-AAAAAAAAAAAA"

// TestRestingShares: what the certificates of one authority have in common is held once, whoever made them.
func TestRestingShares(t *testing.T) {
	ours, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	serial := int64(1)
	for name, f := range map[string]func(key crypto.Signer) ([]byte, error){
		"ours": func(key crypto.Signer) ([]byte, error) {
			c, err := ours.Issue(certs.IssueRequest{Public: key.Public(), Handle: "0123456789abcdef", Now: noon.Time()})
			if err != nil {
				return nil, err
			}
			return c.Raw, nil
		},
		"with a key identifier": func(key crypto.Signer) ([]byte, error) {
			serial++
			return x509.CreateCertificate(rand.Reader, &x509.Certificate{
				SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "device"}, NotAfter: noon.Time(),
				SubjectKeyId: []byte{byte(serial), 2, 3, 4}, DNSNames: []string{"a.example"},
			}, &x509.Certificate{Subject: pkix.Name{CommonName: "another CA"}}, key.Public(), caKey)
		},
	} {
		for _, kind := range []certs.KeyKind{certs.P256, certs.RSA2048} {
			var seen []resting
			for range 2 {
				key, err := certs.GenerateKey(kind)
				if err != nil {
					t.Fatal(err)
				}
				var i identity
				if i.key, err = packKey(key); err == nil {
					i.cert, err = f(key)
				}
				if err != nil {
					t.Fatal(name, err)
				}
				r := newResting(someUUIDs, i)
				if got := r.identity(); !slices.Equal(got.key, i.key) || !slices.Equal(got.cert, i.cert) || r.uuids() != someUUIDs {
					t.Errorf("%s, %v: came back as %x, %q", name, kind, got, r.uuids())
				}
				if kind == certs.P256 && len(r.own) > 350 {
					t.Errorf("%s: a device keeps %d bytes", name, len(r.own))
				}
				seen = append(seen, r)
			}
			if seen[0].shared != seen[1].shared {
				t.Errorf("%s, %v: two certificates share nothing:\n%x\n%x", name, kind, seen[0].shared.Value(), seen[1].shared.Value())
			}
		}
	}
}

// FuzzResting: whatever was put to rest comes back to the letter.
func FuzzResting(f *testing.F) {
	ca, err := authority()
	if err != nil {
		f.Fatal(err)
	}
	for _, uuids := range []string{"", someUUIDs, strings.ToLower(someUUIDs), "urn:uuid:" + someUUIDs, "\x00", "\x01abc", separator} {
		f.Add(uuids, []byte("key"), ca.Certificate().Raw)
	}
	f.Fuzz(func(t *testing.T, uuids string, key, cert []byte) {
		r := newResting(uuids, identity{key, cert})
		if i := r.identity(); !slices.Equal(i.key, key) || !slices.Equal(i.cert, cert) || r.uuids() != uuids {
			t.Errorf("%q, %x, %x came back as %q, %x", uuids, key, cert, r.uuids(), i)
		}
	})
}
