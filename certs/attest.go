package certs

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
)

// describedAs is the version of what is said here of a key: that of KeyMint 3.
const describedAs = 300

// Attest says of a key what the key store of a device says whose maker a is: it is kept at a level, by a device that was started as it was
// made and is locked, and answers challenge. The chain is DER, the certificate of the key first, and is good for as long as a. Makers of
// this kind are for labs and tests; no other server trusts one (android.md, section 9).
func (a *Authority) Attest(key crypto.PublicKey, challenge []byte, level AttestationLevel) (chain [][]byte, err error) {
	type root struct {
		Key    []byte
		Locked bool
		State  asn1.Enumerated // of bootStates
	}
	type enforced struct {
		Root root `asn1:"explicit,tag:704"`
	}
	value, err := asn1.Marshal(struct {
		Version    int
		Level      asn1.Enumerated
		Store      int
		StoreLevel asn1.Enumerated
		Challenge  []byte
		Unique     []byte
		BySoftware struct{}
		ByHardware enforced
	}{describedAs, asn1.Enumerated(level), describedAs, asn1.Enumerated(level), challenge, []byte{}, struct{}{}, enforced{root{make([]byte, 32), true, 0}}})
	if err != nil {
		return nil, fmt.Errorf("attestation: %w", err)
	}
	own := a.ca.Certificate
	leaf, err := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "Android Keystore Key"}, NotBefore: own.NotBefore, NotAfter: own.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: keyDescription, Value: value}},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("attestation: %w", err)
	}
	return [][]byte{leaf.Raw, own.Raw}, nil
}
