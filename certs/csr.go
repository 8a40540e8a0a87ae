package certs

import (
	"crypto"
	"crypto/x509"
	"fmt"
)

// maxCSR is far above any honest request: RSA-4096 with a challenge and some names stays below 3 KiB.
const maxCSR = 32 << 10

// CheckCSR reads a PKCS#10 request (RFC 2986) and verifies its key by [CheckPublicKey] and its
// self-signature, which proves possession of the key. What else it asks for (subject, names, extensions) is
// read but means nothing: what is issued comes from the enrolment record (HST-039). The errors are
// [ErrMalformed], [ErrKey], [ErrAlgorithm] (a digest that p does not take) and [ErrSignature].
func CheckCSR(der []byte, p Policy) (*x509.CertificateRequest, error) {
	if len(der) > maxCSR {
		return nil, fmt.Errorf("certificate request of %d bytes, at most %d: %w", len(der), maxCSR, ErrMalformed)
	}
	if err := checkBER(der, maxCSR); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w: %v", ErrMalformed, err)
	}
	if err := CheckPublicKey(csr.PublicKey); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	hash, ok := signatureHash(csr.SignatureAlgorithm)
	if !ok || hash == crypto.SHA1 && !p.Legacy {
		return nil, fmt.Errorf("certificate request signed with %s: %w", csr.SignatureAlgorithm, ErrAlgorithm)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: %w: %v", ErrSignature, err)
	}
	return csr, nil
}

// signatureHash tells the digest of a signature algorithm of RSA PKCS #1 v1.5 or ECDSA.
func signatureHash(a x509.SignatureAlgorithm) (crypto.Hash, bool) {
	switch a {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		return crypto.SHA1, true
	case x509.SHA256WithRSA, x509.ECDSAWithSHA256:
		return crypto.SHA256, true
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384:
		return crypto.SHA384, true
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512:
		return crypto.SHA512, true
	}
	return 0, false
}
