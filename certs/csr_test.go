package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"testing"
)

func csr(t testing.TB, key crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestHST040CSR(t *testing.T) {
	good := csr(t, ecKey(), x509.CertificateRequest{Subject: pkix.Name{CommonName: "h"}})
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	stolen := bytes.Replace(good, elementOf(t, good), elementOf(t, csr(t, ecKey(), x509.CertificateRequest{})), 1)
	for _, tt := range []struct {
		name   string
		der    []byte
		policy Policy
		want   error
	}{
		{"P-256", good, Policy{}, nil},
		{"RSA", csr(t, rsaKey(), x509.CertificateRequest{}), Policy{}, nil},
		{"SHA-1", read(t, "sha1.csr"), Policy{}, ErrAlgorithm},
		{"SHA-1, legacy", read(t, "sha1.csr"), Policy{Legacy: true}, nil},
		{"MD5, legacy", read(t, "md5.csr"), Policy{Legacy: true}, ErrAlgorithm},
		{"bad self-signature", forged, Policy{}, ErrSignature},
		{"key of somebody else", stolen, Policy{}, ErrSignature},
		{"P-224", csr(t, must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)), x509.CertificateRequest{}), Policy{}, ErrKey},
		{"empty", nil, Policy{}, ErrMalformed},
		{"trailing byte", append(bytes.Clone(good), 0), Policy{}, ErrMalformed},
		{"a certificate", ecAuthority().Certificate().Raw, Policy{}, ErrMalformed},
		{"attributes of 1 MB", csr(t, ecKey(), x509.CertificateRequest{DNSNames: manyNames(40_000)}), Policy{}, ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := CheckCSR(tt.der, tt.policy); !errors.Is(err, tt.want) {
				t.Errorf("CheckCSR = %v, want %v", err, tt.want)
			}
			if _, err := CheckCSRKey(tt.der, tt.policy); !errors.Is(err, tt.want) {
				t.Errorf("CheckCSRKey = %v, want %v", err, tt.want)
			}
		})
	}
	for n := range good { // HST-002
		if _, err := CheckCSR(good[:n], Policy{}); err == nil {
			t.Fatalf("CSR cut to %d of %d bytes was taken", n, len(good))
		}
		if _, err := CheckCSRKey(good[:n], Policy{}); err == nil {
			t.Fatalf("CSR cut to %d of %d bytes was taken for its key", n, len(good))
		}
	}
}

// elementOf returns the bits of the public key in a CSR.
func elementOf(t testing.TB, der []byte) []byte {
	t.Helper()
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return r.RawSubjectPublicKeyInfo
}

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("h%d.rollcall.example.com", i)
	}
	return names
}

// HST-039: whatever a CSR asks for, Issue takes the key alone.
func TestHST039IssueTakesTheKeyAlone(t *testing.T) {
	der := csr(t, ecKey(), x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: "mdm.example"},
		DNSNames:        []string{"mdm.example", "*.example"},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}},
	})
	r, err := CheckCSR(der, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := ecAuthority().Issue(IssueRequest{Public: r.PublicKey, Handle: "7f3a", Now: at})
	if err != nil {
		t.Fatal(err)
	}
	if c.Subject.String() != "CN=7f3a" || c.IsCA || len(c.DNSNames)+len(c.EmailAddresses)+len(c.URIs)+len(c.IPAddresses) > 0 {
		t.Errorf("issued %s, CA %t, names %v", c.Subject, c.IsCA, c.DNSNames)
	}
	if !r.PublicKey.(*ecdsa.PublicKey).Equal(c.PublicKey) {
		t.Error("issued for another key")
	}
}

// WIN-011, WIN-012: the request of a real Windows device, whose subject is a PrintableString with "!" and NUL.
func TestWIN011WindowsCSR(t *testing.T) {
	der := read(t, "windows.csr")
	if _, err := x509.ParseCertificateRequest(der); err == nil {
		t.Fatal("the library reads it: CheckCSRKey is not needed any more")
	}
	key, err := CheckCSRKey(der, Policy{})
	if err != nil || CheckPublicKey(key) != nil {
		t.Fatalf("CheckCSRKey = %v, %v", key, err)
	}
	forged := bytes.Replace(der, []byte("8090C8B4"), []byte("8090C8B5"), 1)
	if _, err := CheckCSRKey(forged, Policy{}); !errors.Is(err, ErrSignature) {
		t.Errorf("WIN-012: another subject than was signed: %v, want %v", err, ErrSignature)
	}
}

func FuzzCheckCSR(f *testing.F) {
	f.Add(csr(f, ecKey(), x509.CertificateRequest{Subject: pkix.Name{CommonName: "h"}, DNSNames: []string{"a.example"}}))
	f.Add(read(f, "sha1.csr"))
	f.Add(read(f, "md5.csr"))
	f.Add(read(f, "windows.csr"))
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := CheckCSR(der, Policy{Legacy: true})
		if err == nil && CheckPublicKey(r.PublicKey) != nil {
			t.Error("a refused key passed")
		}
		if _, lenient := CheckCSRKey(der, Policy{Legacy: true}); err == nil && lenient != nil {
			t.Errorf("CheckCSR takes what CheckCSRKey refuses: %v", lenient)
		}
	})
}
