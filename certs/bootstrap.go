package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"time"
)

// NewBootstrap makes the certificate of a provisioning package for Windows devices, and its key: RSA, since Windows signs XML with no other
// (windows.md section 2). It signs itself and certifies nothing: a server knows it by its fingerprint alone.
func NewBootstrap(name string, from, until time.Time) (Signer, error) {
	key, err := GenerateKey(RSA2048)
	if err != nil {
		return Signer{}, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	c, err := createCertificate(template, template, key.Public(), key)
	if err != nil {
		return Signer{}, err
	}
	return Signer{Certificate: c, Key: key}, nil
}
