package certs

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"go.mozilla.org/pkcs7"
)

// EncryptWeak is [Encrypt] with a cipher that nobody should take any more: DES, or 3DES when triple (HST-036). It is there to try
// servers with.
func EncryptWeak(content []byte, to *x509.Certificate, triple bool) ([]byte, error) {
	public, ok := to.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("CMS: recipient: %w: type %T, want RSA", ErrKey, to.PublicKey)
	}
	key, iv := make([]byte, 24), make([]byte, des.BlockSize)
	rand.Read(key)
	rand.Read(iv)
	block, err := des.NewTripleDESCipher(key)
	id := pkcs7.OIDEncryptionAlgorithmDESEDE3CBC
	if !triple {
		key, id = key[:8], pkcs7.OIDEncryptionAlgorithmDESCBC
		block, err = des.NewCipher(key)
	}
	//lint:ignore SA1019 SCEP's peers know no other key transport (RFC 8894, section 3.5.2)
	wrapped, keyErr := rsa.EncryptPKCS1v15(rand.Reader, public, key)
	if err = errors.Join(err, keyErr); err != nil {
		return nil, err
	}
	pad := des.BlockSize - len(content)%des.BlockSize
	sealed := append(bytes.Clone(content), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(sealed, sealed)

	der, err := asn1.Marshal(recipient{0, issuerAndSerial{asn1.RawValue{FullBytes: to.RawIssuer}, to.SerialNumber}, pkix.AlgorithmIdentifier{Algorithm: pkcs7.OIDEncryptionAlgorithmRSA, Parameters: asn1.NullRawValue}, wrapped})
	if err != nil {
		return nil, err
	}
	var e envelope
	e.Type = pkcs7.OIDEnvelopedData
	e.Data.Recipients = []asn1.RawValue{{FullBytes: der}}
	e.Data.Encrypted.Type = pkcs7.OIDData
	e.Data.Encrypted.Algorithm = pkix.AlgorithmIdentifier{Algorithm: id, Parameters: asn1.RawValue{Tag: asn1.TagOctetString, Bytes: iv}}
	e.Data.Encrypted.Content = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: sealed}
	return asn1.Marshal(e)
}
