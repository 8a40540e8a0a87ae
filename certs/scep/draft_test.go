package scep

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"testing"
	"time"

	"rollcall/certs"
)

// TestDraft: what is drafted is what a server reads, and what it answers is what comes of it.
func TestDraft(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	ca, err := certs.NewAuthority(certs.P256, "test", now)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := certs.GenerateKey(certs.RSA2048)
	if err != nil {
		t.Fatal(err)
	}
	signer := certs.Signer{Key: rsaKey}
	if signer.Certificate, err = selfSigned(rsaKey, pkix.Name{CommonName: "transport"}, now.Add(-time.Hour), now.AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	var got *Request
	var refuse error
	server := &Server{CA: ca, Now: func() time.Time { return now }, Issue: func(_ context.Context, r *Request) (*x509.Certificate, error) {
		got = r
		if refuse != nil {
			return nil, refuse
		}
		return ca.Issue(certs.IssueRequest{Public: r.CSR.PublicKey, Handle: "handle", Now: now})
	}}
	csr, err := CSR(key, pkix.Name{CommonName: "device"}, nil, "the challenge")
	if err != nil {
		t.Fatal(err)
	}
	d := Draft{Type: PKCSReq, TransactionID: "one", SenderNonce: bytes.Repeat([]byte{7}, 16), Content: csr, Recipient: ca.RA().Certificate, Signer: signer, Message: certs.Message{SigningTime: now}}
	exchange := func() *Answer {
		t.Helper()
		der, err := d.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		rep, err := server.respond(t.Context(), der)
		if err != nil {
			t.Fatal(err)
		}
		a, err := ReadAnswer(rep)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := exchange()
	if got == nil || got.Challenge != "the challenge" || got.TransactionID != "one" || !bytes.Equal(got.CSR.Raw, csr) {
		t.Fatalf("the server read %+v", got)
	}
	if a.Type != CertRep || a.Status != 0 || a.TransactionID != "one" || !bytes.Equal(a.Recipient, d.SenderNonce) || len(a.SenderNonce) != 16 || a.Cipher.String() != "2.16.840.1.101.3.4.1.2" {
		t.Errorf("answer %+v", a)
	}
	if list, err := a.Open(signer); err != nil || len(list) != 1 || list[0].Subject.CommonName != "handle" {
		t.Errorf("opened %v, %v", list, err)
	}
	if _, err := a.Open(certs.Signer{Certificate: ca.RA().Certificate, Key: ca.RA().Key}); !errors.Is(err, ErrAnswer) {
		t.Errorf("opened by somebody else: %v", err)
	}
	refuse = &Failure{BadRequest, "no"}
	if a := exchange(); a.Status != 2 || a.FailInfo != BadRequest || a.Text != "no" || a.Cipher != nil {
		t.Errorf("refusal %+v", a)
	}
	d.Type = 18
	if a := exchange(); a.Status != 2 {
		t.Errorf("UpdateReq was answered %+v", a)
	}
}

// FuzzReadAnswer: bytes of a stranger are read or refused.
func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x30, 0x80, 0x06, 0x09})
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := ReadAnswer(b); err == nil && a.Signer == nil {
			t.Error("an answer that nobody signed")
		} else if err != nil && !errors.Is(err, ErrAnswer) {
			t.Errorf("error %v", err)
		}
	})
}
