package scep

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"rollcall/certs"
)

var (
	oidChallengePassword = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
	oidExtensionRequest  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}
	oidSHA256WithRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidECDSAWithSHA256   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
)

// CSR makes a certificate request (DER) with challenge as its challengePassword; empty: without one. The same again is the same to
// the letter, whatever the kind of key. The error is [certs.ErrKey] for keys other than RSA and EC ones.
func CSR(key crypto.Signer, subject pkix.Name, extensions []pkix.Extension, challenge string) ([]byte, error) {
	name, err := asn1.Marshal(subject.ToRDNSequence())
	if err != nil {
		return nil, err
	}
	csr, _, err := makeCSR(key, name, extensions, challenge)
	return csr, err
}

// makeCSR is CSR of a subject as DER; it returns the public key too, PKIX. crypto/x509 knows no challengePassword, and what adds one to
// its requests signs a second time: with RSA that is a third of an enrolment.
func makeCSR(key crypto.Signer, subject []byte, extensions []pkix.Extension, challenge string) (csr, public []byte, err error) {
	type attribute struct {
		Type   asn1.ObjectIdentifier
		Values []any `asn1:"set"`
	}
	type info struct { // RFC 2986, section 4.1
		Version    int
		Subject    asn1.RawValue
		Key        asn1.RawValue
		Attributes []attribute `asn1:"tag:0"`
	}
	if public, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		return nil, nil, fmt.Errorf("certificate request: %w: %v", certs.ErrKey, err)
	}
	algorithm := pkix.AlgorithmIdentifier{Algorithm: oidECDSAWithSHA256}
	switch key.Public().(type) {
	case *ecdsa.PublicKey:
	case *rsa.PublicKey:
		algorithm = pkix.AlgorithmIdentifier{Algorithm: oidSHA256WithRSA, Parameters: asn1.NullRawValue}
	default:
		return nil, nil, fmt.Errorf("certificate request: %w: type %T", certs.ErrKey, key.Public())
	}
	i := info{Subject: asn1.RawValue{FullBytes: subject}, Key: asn1.RawValue{FullBytes: public}}
	if len(extensions) > 0 {
		i.Attributes = append(i.Attributes, attribute{oidExtensionRequest, []any{extensions}})
	}
	if challenge != "" {
		i.Attributes = append(i.Attributes, attribute{oidChallengePassword, []any{challenge}})
	}
	signed, err := asn1.Marshal(i)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(signed)
	signature, err := key.Sign(nil, sum[:], crypto.SHA256) // without a random source ECDSA signs deterministically (RFC 6979)
	if err != nil {
		return nil, nil, err
	}
	csr, err = asn1.Marshal(struct {
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: signed}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	return csr, public, err
}
