package certs

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// at is the moment at which the tests play.
var at = time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC)

// Authorities and RSA keys are slow to make; tests share these and do not change them.
var (
	ecAuthority  = sync.OnceValue(func() *Authority { return must(NewAuthority(P256, "EC authority", at)) })
	rsaAuthority = sync.OnceValue(func() *Authority { return must(NewAuthority(RSA2048, "RSA authority", at)) })
	rsaKey       = sync.OnceValue(func() *rsa.PrivateKey { return must(GenerateKey(RSA2048)).(*rsa.PrivateKey) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// identity issues an identity of a for key.
func identity(t testing.TB, a *Authority, key crypto.Signer) Signer {
	t.Helper()
	c, err := a.Issue(IssueRequest{Public: key.Public(), Handle: "7f3a", Now: at})
	if err != nil {
		t.Fatal(err)
	}
	return Signer{Certificate: c, Key: key}
}

func ecKey() crypto.Signer { return must(GenerateKey(P256)) }

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// opensslAuthority is the authority of testdata, without its key.
func opensslAuthority(t testing.TB) *Authority {
	t.Helper()
	list, err := ReadCertificatesPEM(read(t, "authority.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{ca: Signer{Certificate: list[0]}}
}

// testdataTime is inside the validity of the certificates of testdata, whenever they were made.
func testdataTime(t testing.TB) time.Time {
	t.Helper()
	return opensslAuthority(t).ca.Certificate.NotBefore.Add(time.Hour)
}

func macSigner(t testing.TB) Signer {
	t.Helper()
	c := must(ReadCertificatesPEM(read(t, "mac.pem")))[0]
	return Signer{Certificate: c, Key: must(readKeyPEM(read(t, "mac.key")))}
}

// createLeaf signs an arbitrary template with a, bypassing what Issue demands.
func createLeaf(t testing.TB, a *Authority, template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	t.Helper()
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = at.Add(-time.Hour), at.Add(time.Hour)
	}
	c, err := a.sign(template, public)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mentions(err error, words string) bool {
	return err != nil && strings.Contains(err.Error(), words)
}
