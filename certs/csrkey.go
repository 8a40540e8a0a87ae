package certs

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CheckCSRKey is [CheckCSR] for requests of Windows devices, of which it reads the key and the signature alone: they write
// their subject as a PrintableString with characters that such a string must not have, which the library refuses, and an
// extension that is no ASN.1 inside (WIN-011). Errors as CheckCSR.
func CheckCSRKey(der []byte, p Policy) (crypto.PublicKey, error) {
	if err := checkBER(der, maxCSR); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	input := cryptobyte.String(der)
	var whole, signed, inner, key, algorithm cryptobyte.String
	var signature asn1.BitString
	var version int
	var oid asn1.ObjectIdentifier
	ok := input.ReadASN1(&whole, cbasn1.SEQUENCE) && input.Empty() &&
		whole.ReadASN1Element(&signed, cbasn1.SEQUENCE) && whole.ReadASN1(&algorithm, cbasn1.SEQUENCE) &&
		whole.ReadASN1BitString(&signature) && whole.Empty() && algorithm.ReadASN1ObjectIdentifier(&oid)
	inner = signed
	ok = ok && inner.ReadASN1(&inner, cbasn1.SEQUENCE) && inner.ReadASN1Integer(&version) && version == 0 &&
		inner.SkipASN1(cbasn1.SEQUENCE) && inner.ReadASN1Element(&key, cbasn1.SEQUENCE)
	if !ok {
		return nil, fmt.Errorf("certificate request: %w", ErrMalformed)
	}
	public, err := x509.ParsePKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w: %v", ErrMalformed, err)
	}
	if err := CheckPublicKey(public); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	scheme, known := requestSchemes[oid.String()]
	_, isRSA := public.(*rsa.PublicKey)
	if !known || scheme.rsa != isRSA || scheme.hash == crypto.SHA1 && !p.Legacy {
		return nil, fmt.Errorf("certificate request signed with %s: %w", oid, ErrAlgorithm)
	}
	if err := verifyRaw(public, scheme.hash, signed, signature.RightAlign()); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	return public, nil
}

// requestSchemes are the signature algorithms of a request (RFC 8017, appendix C; RFC 5758, section 3.2).
var requestSchemes = map[string]struct {
	rsa  bool
	hash crypto.Hash
}{
	"1.2.840.113549.1.1.5":  {true, crypto.SHA1},
	"1.2.840.113549.1.1.11": {true, crypto.SHA256},
	"1.2.840.113549.1.1.12": {true, crypto.SHA384},
	"1.2.840.113549.1.1.13": {true, crypto.SHA512},
	"1.2.840.10045.4.1":     {false, crypto.SHA1},
	"1.2.840.10045.4.3.2":   {false, crypto.SHA256},
	"1.2.840.10045.4.3.3":   {false, crypto.SHA384},
	"1.2.840.10045.4.3.4":   {false, crypto.SHA512},
}
