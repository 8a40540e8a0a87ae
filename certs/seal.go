package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"
)

// A Seal signs short statements of a server's, such as one line of a header, for those who know its certificate: no
// chain, no time and no CMS are asked about. It is not changed once it is made and is safe for concurrent use.
type Seal struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewSeal makes a P-256 key with a certificate of its own, whose common name is name and which ends ten years after now.
// The certificate is no CA's and stands for no server.
func NewSeal(name string, now time.Time) (*Seal, error) {
	key, err := GenerateKey(P256)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-Backdate), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	c, err := createCertificate(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Seal{c, key.(*ecdsa.PrivateKey)}, nil
}

// LoadSeal reads what [Seal.PEM] wrote. The errors: [ErrPEM], [ErrKeyMismatch], and [ErrKey] for a key other than P-256.
func LoadSeal(data []byte) (*Seal, error) {
	certificates, keys, err := readPEM(data)
	if err == nil && (len(certificates) != 1 || len(keys) != 1) {
		err = fmt.Errorf("%w: %d certificates and %d private keys, want one of each", ErrPEM, len(certificates), len(keys))
	}
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	key, ok := keys[0].(*ecdsa.PrivateKey)
	switch {
	case !ok || key.Curve != elliptic.P256():
		return nil, fmt.Errorf("seal: %w: want P-256", ErrKey)
	case !sameKey(certificates[0], key):
		return nil, fmt.Errorf("seal: %w", ErrKeyMismatch)
	}
	return &Seal{certificates[0], key}, nil
}

// PEM writes the seal for [LoadSeal]. It is secret.
func (s *Seal) PEM() ([]byte, error) {
	key, err := KeyPEM(s.key)
	return append(CertificatesPEM(s.certificate), key...), err
}

// Certificate is what verifies the seal's signatures.
func (s *Seal) Certificate() *x509.Certificate { return s.certificate }

// Sign signs text, which is about what: the signature counts for nothing else. ASN.1 as in RFC 3279, section 2.2.3; the
// same text gives the same bytes (RFC 6979).
func (s *Seal) Sign(what, text string) ([]byte, error) {
	return s.key.Sign(nil, sealed(what, text), crypto.SHA256)
}

// A SealKey is the public half of a [Seal]: an uncompressed point on P-256 (SEC 1, section 2.3.3). Empty: none.
type SealKey string

// SealKeyOf takes it out of a certificate in DER. The error is [ErrMalformed], or [ErrKey] for a key other than P-256.
func SealKeyOf(der []byte) (SealKey, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return "", fmt.Errorf("seal: certificate: %w", ErrMalformed)
	}
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return "", fmt.Errorf("seal: %w: want P-256", ErrKey)
	}
	point, err := key.Bytes()
	return SealKey(point), err
}

// Verified tells whether signature is that seal's, over text about what.
func (k SealKey) Verified(what, text string, signature []byte) bool {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), []byte(k))
	return err == nil && ecdsa.VerifyASN1(key, sealed(what, text), signature)
}

// sealed hashes text in a way that no CMS and no TLS signature has.
func sealed(what, text string) []byte {
	sum := sha256.Sum256([]byte("rollcall seal\x00" + what + "\x00" + text))
	return sum[:]
}
