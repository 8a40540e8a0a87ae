package certs

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

// VerifyMachineInfo checks a MachineInfo (apple.md section 10.3): a plist signed by a device's factory
// identity, whose chain must end at one of roots. Devices keep that identity for life and their clocks may
// be wrong before set-up, so validity dates are not enforced; SHA-1 and RSA-1024, which older factories
// used, are taken here and nowhere else. Errors as [ParseSigned] and [Signed.Check], and [ErrForeign]
// (APL-084).
func VerifyMachineInfo(data []byte, roots []*x509.Certificate) (*Signed, error) {
	s, err := ParseSigned(data)
	if err != nil {
		return nil, err
	}
	if len(s.Content) == 0 {
		return nil, fmt.Errorf("CMS: %w: no content", ErrMalformed)
	}
	if k, ok := s.Signer.PublicKey.(*rsa.PublicKey); ok && (k.N.BitLen() < 1024 || k.N.BitLen() > maxRSABits) {
		return nil, fmt.Errorf("CMS: signer: %w: RSA of %d bits", ErrKey, k.N.BitLen())
	}
	if err := s.check(Policy{Legacy: true}); err != nil {
		return nil, err
	}
	// Upwards, at most four certificates, each verified by the next.
	for c, steps := s.Signer, 0; c != nil && steps < 4; steps++ {
		if issuerOf(c, roots) != nil {
			return s, nil
		}
		c = issuerOf(c, s.Certificates)
	}
	return nil, fmt.Errorf("CMS: signer %.80q: %w", s.Signer.Subject.CommonName, ErrForeign)
}

// issuerOf returns the CA of list that signed c.
func issuerOf(c *x509.Certificate, list []*x509.Certificate) *x509.Certificate {
	hash, ok := signatureHash(c.SignatureAlgorithm)
	if !ok {
		return nil
	}
	for _, ca := range list {
		if ca.IsCA && bytes.Equal(ca.RawSubject, c.RawIssuer) && verifyRaw(ca.PublicKey, hash, c.RawTBSCertificate, c.Signature) == nil {
			return ca
		}
	}
	return nil
}
