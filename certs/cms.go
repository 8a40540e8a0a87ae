package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha1" // SHA-1 is verified where a Policy allows it
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"go.mozilla.org/pkcs7"
)

// A Policy says what is taken beside SHA-256, SHA-384, SHA-512 and AES. The zero Policy is strict.
type Policy struct {
	// Legacy takes SHA-1 and 3DES too: the setting legacyCMS of apple.md section 3.1, for the place that
	// the Policy is given to. MD5 and DES are never taken (HST-036).
	Legacy bool
}

// A Signer is a certificate with its private key and the certificates that lead to its root.
type Signer struct {
	Certificate *x509.Certificate
	Chain       []*x509.Certificate
	Key         crypto.Signer // RSA or EC
}

// signingSkew is how far a signing time may lie outside the validity of the certificate that signed
// (APL-022, HST-035).
const signingSkew = 5 * time.Minute

// A Signed is a CMS SignedData of exactly one signer (RFC 5652, section 5), of which nothing has been
// verified until [Signed.Check] was asked.
type Signed struct {
	Content      []byte              // empty: detached, or none
	Signer       *x509.Certificate   // the one that the signer's issuer and serial number name
	Certificates []*x509.Certificate // all that came along, in order, Signer too

	digest, scheme asn1.ObjectIdentifier
	signature      []byte
	signed         []byte            // DER of the signed attributes as they are signed; nil: there are none
	attributes     map[string][]byte // by object identifier: the DER of the single value
}

// ParseSigned reads a SignedData, DER or BER, behind the gate: at most 1 MiB, nested at most 64 deep,
// nothing after it. It takes exactly one signer, named by issuer and serial number and with its certificate
// inside, and signed attributes of one value each, none twice. The error is [ErrMalformed].
func ParseSigned(data []byte) (*Signed, error) {
	der, err := readCMS(data)
	if err != nil {
		return nil, fmt.Errorf("CMS: %w", err)
	}
	p7, err := pkcs7.Parse(der)
	if err != nil {
		return nil, fmt.Errorf("CMS: %w: %v", ErrMalformed, err)
	}
	if len(p7.Signers) != 1 {
		return nil, fmt.Errorf("CMS: %w: %d signers, want 1", ErrMalformed, len(p7.Signers))
	}
	info := p7.Signers[0]
	s := &Signed{
		Content:      p7.Content,
		Certificates: p7.Certificates,
		digest:       info.DigestAlgorithm.Algorithm,
		scheme:       info.DigestEncryptionAlgorithm.Algorithm,
		signature:    info.EncryptedDigest,
	}
	if s.Signer = bySerial(p7.Certificates, info.IssuerAndSerialNumber.IssuerName.FullBytes, info.IssuerAndSerialNumber.SerialNumber); s.Signer == nil {
		return nil, fmt.Errorf("CMS: %w: the signer's certificate is not inside", ErrMalformed)
	}
	if len(info.AuthenticatedAttributes) == 0 {
		return s, nil
	}
	s.attributes = make(map[string][]byte, len(info.AuthenticatedAttributes))
	for _, a := range info.AuthenticatedAttributes {
		name := a.Type.String()
		var value asn1.RawValue
		rest, err := asn1.Unmarshal(a.Value.Bytes, &value)
		if _, twice := s.attributes[name]; twice || err != nil || len(rest) > 0 {
			return nil, fmt.Errorf("CMS: %w: signed attribute %s has not exactly one value", ErrMalformed, name)
		}
		s.attributes[name] = a.Value.Bytes
	}
	// Carried as [0], signed as SET OF (RFC 5652, section 5.4).
	if s.signed, err = asn1.MarshalWithParams(info.AuthenticatedAttributes, "set"); err != nil {
		return nil, fmt.Errorf("CMS: %w: signed attributes: %v", ErrMalformed, err)
	}
	return s, nil
}

// bySerial finds the certificate that an issuer and a serial number name.
func bySerial(list []*x509.Certificate, issuer []byte, serial *big.Int) *x509.Certificate {
	for _, c := range list {
		if serial != nil && c.SerialNumber.Cmp(serial) == 0 && bytes.Equal(c.RawIssuer, issuer) {
			return c
		}
	}
	return nil
}

// Attribute decodes the signed attribute id into out, as [asn1.Unmarshal] does. The error is [ErrMalformed],
// also when there is no such attribute.
func (s *Signed) Attribute(id asn1.ObjectIdentifier, out any) error {
	value, ok := s.attributes[id.String()]
	if !ok {
		return fmt.Errorf("CMS: %w: no signed attribute %s", ErrMalformed, id)
	}
	if _, err := asn1.Unmarshal(value, out); err != nil {
		return fmt.Errorf("CMS: %w: signed attribute %s: %v", ErrMalformed, id, err)
	}
	return nil
}

// Check verifies that Signer signed Content. It says nothing about whether Signer is to be trusted. The
// errors: [ErrKey] (see [CheckPublicKey]), [ErrAlgorithm] for a digest that p does not take, and
// [ErrSignature].
func (s *Signed) Check(p Policy) error {
	if err := CheckPublicKey(s.Signer.PublicKey); err != nil {
		return fmt.Errorf("CMS: signer: %w", err)
	}
	return s.check(p)
}

// check is Check without the question whether the key is one that we would certify.
func (s *Signed) check(p Policy) error {
	hash, err := s.hash()
	if err != nil {
		return err
	}
	if hash == crypto.SHA1 && !p.Legacy {
		return fmt.Errorf("CMS: digest SHA-1: %w", ErrAlgorithm)
	}
	signed := s.Content
	if s.signed != nil {
		var kind asn1.ObjectIdentifier
		if err := s.Attribute(pkcs7.OIDAttributeContentType, &kind); err != nil {
			return err
		}
		if !kind.Equal(pkcs7.OIDData) {
			return fmt.Errorf("CMS: %w: content type %s", ErrMalformed, kind)
		}
		var digest []byte
		if err := s.Attribute(pkcs7.OIDAttributeMessageDigest, &digest); err != nil {
			return err
		}
		if subtle.ConstantTimeCompare(digest, sum(hash, s.Content)) != 1 {
			return fmt.Errorf("CMS: %w: another content was signed", ErrSignature)
		}
		signed = s.signed
	}
	if err := verifyRaw(s.Signer.PublicKey, hash, signed, s.signature); err != nil {
		return fmt.Errorf("CMS: %w", err)
	}
	return nil
}

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1} // some sign as "EC", like rsaEncryption
	hashes         = map[string]crypto.Hash{
		pkcs7.OIDDigestAlgorithmSHA1.String():   crypto.SHA1,
		pkcs7.OIDDigestAlgorithmSHA256.String(): crypto.SHA256,
		pkcs7.OIDDigestAlgorithmSHA384.String(): crypto.SHA384,
		pkcs7.OIDDigestAlgorithmSHA512.String(): crypto.SHA512,
	}
	schemes = map[string]struct {
		rsa  bool
		hash crypto.Hash // 0: whatever the digest algorithm says
	}{
		pkcs7.OIDEncryptionAlgorithmRSA.String():       {rsa: true},
		pkcs7.OIDEncryptionAlgorithmRSASHA1.String():   {rsa: true, hash: crypto.SHA1},
		pkcs7.OIDEncryptionAlgorithmRSASHA256.String(): {rsa: true, hash: crypto.SHA256},
		pkcs7.OIDEncryptionAlgorithmRSASHA384.String(): {rsa: true, hash: crypto.SHA384},
		pkcs7.OIDEncryptionAlgorithmRSASHA512.String(): {rsa: true, hash: crypto.SHA512},
		oidECPublicKey.String():                        {},
		pkcs7.OIDDigestAlgorithmECDSASHA1.String():     {hash: crypto.SHA1},
		pkcs7.OIDDigestAlgorithmECDSASHA256.String():   {hash: crypto.SHA256},
		pkcs7.OIDDigestAlgorithmECDSASHA384.String():   {hash: crypto.SHA384},
		pkcs7.OIDDigestAlgorithmECDSASHA512.String():   {hash: crypto.SHA512},
	}
)

// hash returns the digest, if digest algorithm, signature algorithm and the signer's key agree.
func (s *Signed) hash() (crypto.Hash, error) {
	hash, known := hashes[s.digest.String()]
	if !known {
		return 0, fmt.Errorf("CMS: digest %s: %w", s.digest, ErrAlgorithm)
	}
	scheme, known := schemes[s.scheme.String()]
	_, rsaKey := s.Signer.PublicKey.(*rsa.PublicKey)
	if !known || scheme.rsa != rsaKey || scheme.hash != 0 && scheme.hash != hash {
		return 0, fmt.Errorf("CMS: signature algorithm %s with digest %s and a key of type %T: %w", s.scheme, s.digest, s.Signer.PublicKey, ErrAlgorithm)
	}
	return hash, nil
}

// verifyRaw verifies an RSA PKCS #1 v1.5 or ECDSA signature over signed. It takes SHA-1, which crypto/x509
// does not; whether that is wanted has been decided before.
func verifyRaw(pub crypto.PublicKey, hash crypto.Hash, signed, signature []byte) error {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(k, hash, sum(hash, signed), signature) == nil {
			return nil
		}
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(k, sum(hash, signed), signature) {
			return nil
		}
	}
	return ErrSignature
}

func sum(hash crypto.Hash, data []byte) []byte {
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}

// VerifyAttached reads a SignedData with its content inside, such as a signed profile (APL-002), and checks
// that its signer signed it. Whether the signer is to be trusted is the caller's question. Errors as
// [ParseSigned] and [Signed.Check]; an empty content is [ErrMalformed].
func VerifyAttached(data []byte, p Policy) (*Signed, error) {
	s, err := ParseSigned(data)
	if err != nil {
		return nil, err
	}
	if len(s.Content) == 0 {
		return nil, fmt.Errorf("CMS: %w: no content", ErrMalformed)
	}
	if err := s.Check(p); err != nil {
		return nil, err
	}
	return s, nil
}

// Content is what somebody signed, whoever it was (APL-002): who uploaded it, or the device that it is for, judges the signer.
// Errors as [VerifyAttached].
func Content(data []byte) ([]byte, error) {
	s, err := VerifyAttached(data, Policy{Legacy: true})
	if err != nil {
		return nil, err
	}
	return s.Content, nil
}

// VerifyDetached checks a detached signature over body, made by an identity of ca that holds at now, and
// returns that identity: what the header Mdm-Signature carries in base64 (apple.md section 4.2). sig may be
// BER, with or without signed attributes. A signing time may lie up to 5 minutes outside the certificate's
// validity (APL-022), since clocks differ. Errors as [ParseSigned], [Signed.Check] and [Authority.Verify].
func VerifyDetached(sig, body []byte, ca *Authority, now time.Time, p Policy) (*x509.Certificate, error) {
	s, err := ParseSigned(sig)
	if err != nil {
		return nil, err
	}
	if len(s.Content) > 0 || len(body) == 0 {
		return nil, fmt.Errorf("CMS: %w: want a detached signature over a message", ErrMalformed)
	}
	s.Content = body
	if err := s.Check(p); err != nil {
		return nil, err
	}
	if err := ca.Verify(s.Signer, now); err != nil {
		return nil, fmt.Errorf("CMS: signer: %w", err)
	}
	if _, ok := s.attributes[pkcs7.OIDAttributeSigningTime.String()]; ok {
		var at time.Time
		if err := s.Attribute(pkcs7.OIDAttributeSigningTime, &at); err != nil {
			return nil, err
		}
		if at.Before(s.Signer.NotBefore.Add(-signingSkew)) {
			return nil, fmt.Errorf("CMS: signed at %s: %w", at.Format(time.RFC3339), ErrNotYetValid)
		}
		if at.After(s.Signer.NotAfter.Add(signingSkew)) {
			return nil, fmt.Errorf("CMS: signed at %s: %w", at.Format(time.RFC3339), ErrExpired)
		}
	}
	return s.Signer, nil
}
