package certs

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"io"
	"time"

	"go.mozilla.org/pkcs7"
	"golang.org/x/crypto/cryptobyte"
)

// An Attribute is a signed attribute of one value, which [asn1.Marshal] writes.
type Attribute struct {
	Type  asn1.ObjectIdentifier
	Value any
}

// SignAttached makes a SignedData (DER, SHA-256) that holds content, the signer's certificate and its chain:
// a signed profile (apple.md section 2.6) or a MachineInfo (section 10.3). now becomes the signing time.
func SignAttached(content []byte, s Signer, now time.Time) ([]byte, error) {
	m := Message{Content: content, SigningTime: now}
	return m.Sign(s)
}

// SignDetached makes a detached signature (DER, SHA-256) over body, with the signer's certificate and its
// chain. now becomes the signing time.
func SignDetached(body []byte, s Signer, now time.Time) ([]byte, error) {
	m := Message{Content: body, Detached: true, SigningTime: now}
	return m.Sign(s)
}

// A Message is a CMS SignedData before it is signed (RFC 5652, section 5); contentType and messageDigest are
// added to its attributes.
type Message struct {
	Content     []byte
	Detached    bool                // the content is signed but not carried
	First       []*x509.Certificate // carried before the signer's certificate
	Attributes  []Attribute
	SigningTime time.Time // zero: no such attribute
	SHA1        bool      // signed by SHA-1 in place of SHA-256: what others are tried with (HST-036)
}

// Sign signs m and returns DER, which carries First, the signer's certificate and its chain.
func (m *Message) Sign(s Signer) ([]byte, error) {
	hash := crypto.SHA256
	if m.SHA1 {
		hash = crypto.SHA1
	}
	attributes := append([]Attribute{
		{pkcs7.OIDAttributeContentType, pkcs7.OIDData},
		{pkcs7.OIDAttributeMessageDigest, sum(hash, m.Content)},
	}, m.Attributes...)
	if !m.SigningTime.IsZero() {
		attributes = append(attributes, Attribute{pkcs7.OIDAttributeSigningTime, m.SigningTime.UTC()})
	}
	set, err := marshalAttributes(attributes)
	if err != nil {
		return nil, err
	}
	sd, err := pkcs7.NewSignedData(m.Content)
	if err != nil {
		return nil, err
	}
	for _, c := range m.First {
		sd.AddCertificate(c)
	}
	// The library's own signer takes the signing time from the wall clock. So it is given the content to
	// sign without attributes, by a key that signs the attributes instead, and they are put in afterwards.
	if err := addSigner(sd, s, attributesSigner{s.Key, set}, hash); err != nil {
		return nil, err
	}
	if _, err := asn1.UnmarshalWithParams(set, &sd.GetSignedData().SignerInfos[0].AuthenticatedAttributes, "set"); err != nil {
		return nil, err
	}
	for _, c := range s.Chain {
		sd.AddCertificate(c)
	}
	if m.Detached {
		sd.Detach()
	}
	return sd.Finish()
}

// marshalAttributes writes attributes as the SET OF that is signed.
func marshalAttributes(attributes []Attribute) ([]byte, error) {
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value []asn1.RawValue `asn1:"set"`
	}
	list := make([]attribute, len(attributes))
	for i, a := range attributes {
		der, err := asn1.Marshal(a.Value)
		if err != nil {
			return nil, fmt.Errorf("signed attribute %s: %w", a.Type, err)
		}
		list[i] = attribute{a.Type, []asn1.RawValue{{FullBytes: der}}}
	}
	return asn1.MarshalWithParams(list, "set")
}

// An attributesSigner signs attributes, whatever digest it is handed.
type attributesSigner struct {
	crypto.Signer
	attributes []byte
}

func (s attributesSigner) Sign(rand io.Reader, _ []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.Signer.Sign(rand, sum(opts.HashFunc(), s.attributes), opts)
}

// addSigner signs with key in the name of s's certificate.
func addSigner(sd *pkcs7.SignedData, s Signer, key crypto.Signer, hash crypto.Hash) error {
	digest, scheme := pkcs7.OIDDigestAlgorithmSHA256, pkcs7.OIDDigestAlgorithmECDSASHA256
	if hash == crypto.SHA1 {
		digest, scheme = pkcs7.OIDDigestAlgorithmSHA1, pkcs7.OIDDigestAlgorithmECDSASHA1
	}
	_, rsaKey := s.Key.Public().(*rsa.PublicKey)
	switch {
	case rsaKey && hash == crypto.SHA1:
		scheme = pkcs7.OIDEncryptionAlgorithmRSASHA1 // as macOS writes it
	case rsaKey:
		scheme = pkcs7.OIDEncryptionAlgorithmRSA // what every CMS implementation must know (RFC 3370, section 3.2)
	}
	sd.SetDigestAlgorithm(digest)
	sd.SetEncryptionAlgorithm(scheme)
	if err := sd.SignWithoutAttr(s.Certificate, key, pkcs7.SignerInfoConfig{}); err != nil {
		return err
	}
	if rsaKey { // RSA's algorithm identifiers carry a NULL (RFC 3370, section 3.2)
		sd.GetSignedData().SignerInfos[0].DigestEncryptionAlgorithm.Parameters = asn1.NullRawValue
	}
	return nil
}

// SignLegacy signs body as macOS does (apple.md section 4.2): detached, BER of indefinite length, SHA-1, no
// signed attributes. For simulated Macs and tests.
func SignLegacy(body []byte, s Signer) ([]byte, error) {
	sd, err := pkcs7.NewSignedData(body)
	if err != nil {
		return nil, err
	}
	if err := addSigner(sd, s, s.Key, crypto.SHA1); err != nil {
		return nil, err
	}
	sd.Detach()
	der, err := sd.Finish()
	if err != nil {
		return nil, err
	}
	return indefinite(der)
}

// indefinite gives ContentInfo, SignedData, the encapsulated content and the certificates indefinite
// lengths, as Apple's CMS encoder does.
func indefinite(der []byte) ([]byte, error) {
	const sequence, tag0 = 0x30, 0xa0
	var info, explicit, data, version, digests, content, certificates, signers cryptobyte.String
	var kind cryptobyte.String
	input := cryptobyte.String(der)
	ok := input.ReadASN1(&info, sequence) &&
		info.ReadASN1Element(&kind, 0x06) && info.ReadASN1(&explicit, tag0) &&
		explicit.ReadASN1(&data, sequence) &&
		data.ReadASN1Element(&version, 0x02) && data.ReadASN1Element(&digests, 0x31) &&
		data.ReadASN1(&content, sequence) && data.ReadASN1(&certificates, tag0) &&
		data.ReadASN1Element(&signers, 0x31)
	if !ok {
		return nil, fmt.Errorf("CMS: %w", ErrMalformed)
	}
	open := func(tag byte) []byte { return []byte{tag, 0x80} }
	end := []byte{0, 0}
	return bytes.Join([][]byte{
		open(sequence), kind, open(tag0), open(sequence), version, digests,
		open(sequence), content, end,
		open(tag0), certificates, end,
		signers, end, end, end,
	}, nil), nil
}

// Degenerate makes a SignedData that holds certificates and no signature (RFC 8894, section 3.4).
func Degenerate(certificates ...*x509.Certificate) ([]byte, error) {
	var der []byte
	for _, c := range certificates {
		der = append(der, c.Raw...)
	}
	return pkcs7.DegenerateCertificate(der)
}

// ParseDegenerate reads the certificates of what [Degenerate] makes, at least one. The error is
// [ErrMalformed].
func ParseDegenerate(data []byte) ([]*x509.Certificate, error) {
	der, err := readCMS(data)
	if err != nil {
		return nil, fmt.Errorf("CMS certificates: %w", err)
	}
	p7, err := pkcs7.Parse(der)
	if err != nil {
		return nil, fmt.Errorf("CMS certificates: %w: %v", ErrMalformed, err)
	}
	if len(p7.Certificates) == 0 {
		return nil, fmt.Errorf("CMS certificates: %w: none inside", ErrMalformed)
	}
	return p7.Certificates, nil
}
