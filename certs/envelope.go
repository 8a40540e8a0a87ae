package certs

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"

	"go.mozilla.org/pkcs7"
)

func init() {
	pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmAES128CBC // the library's default is DES
}

// Encrypt makes a CMS EnvelopedData of content for recipient: AES-128-CBC, its key by RSA PKCS #1 v1.5
// (apple.md section 3.2). The error is [ErrKey] when recipient's key is not RSA.
func Encrypt(content []byte, recipient *x509.Certificate) ([]byte, error) {
	if _, ok := recipient.PublicKey.(*rsa.PublicKey); !ok { // the library panics on others
		return nil, fmt.Errorf("CMS: recipient: %w: type %T, want RSA", ErrKey, recipient.PublicKey)
	}
	return pkcs7.Encrypt(content, []*x509.Certificate{recipient})
}

// An envelope is as much of EnvelopedData as decides how to open it (RFC 5652, section 6.1).
type envelope struct {
	Type asn1.ObjectIdentifier
	Data struct {
		Version    int
		Recipients []asn1.RawValue `asn1:"set"`
		Encrypted  encrypted
	} `asn1:"explicit,tag:0"`
}

type encrypted struct {
	Type      asn1.ObjectIdentifier
	Algorithm pkix.AlgorithmIdentifier
	Content   asn1.RawValue `asn1:"tag:0,optional"`
}

var oidAES192CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}

// Decrypt opens an EnvelopedData with the RSA key of r, which must be a [crypto.Decrypter] too. The errors:
// [ErrMalformed]; [ErrAlgorithm] for content ciphers other than AES-CBC, and 3DES that p does not take; and
// [ErrDecrypt], one error with one text for everything that depends on a key, so that nobody learns where it
// failed (HST-036).
func Decrypt(data []byte, r Signer, p Policy) ([]byte, error) {
	der, err := readCMS(data)
	if err != nil {
		return nil, fmt.Errorf("CMS envelope: %w", err)
	}
	var e envelope
	if _, err := asn1.Unmarshal(der, &e); err != nil || !e.Type.Equal(pkcs7.OIDEnvelopedData) {
		return nil, fmt.Errorf("CMS envelope: %w", ErrMalformed)
	}
	keyLen, err := e.keyLength(p)
	if err != nil {
		return nil, err
	}
	if cipher := &e.Data.Encrypted.Algorithm; cipher.Algorithm.Equal(oidAES192CBC) {
		cipher.Algorithm = pkcs7.OIDEncryptionAlgorithmAES256CBC // the library lacks the name, not the cipher: it goes by the length of the key
	}
	key, ok := r.Key.(crypto.Decrypter)
	if !ok {
		return nil, fmt.Errorf("CMS envelope: %w: the recipient's key cannot decrypt", ErrKey)
	}
	content, ok := e.open(r.Certificate, guardedKey{key, keyLen})
	if !ok {
		return nil, fmt.Errorf("CMS envelope: %w", ErrDecrypt)
	}
	return content, nil
}

func (e *envelope) keyLength(p Policy) (int, error) {
	switch id := e.Data.Encrypted.Algorithm.Algorithm; {
	case id.Equal(pkcs7.OIDEncryptionAlgorithmAES128CBC):
		return 16, nil
	case id.Equal(oidAES192CBC):
		return 24, nil
	case id.Equal(pkcs7.OIDEncryptionAlgorithmAES256CBC):
		return 32, nil
	case id.Equal(pkcs7.OIDEncryptionAlgorithmDESEDE3CBC) && p.Legacy:
		return 24, nil
	default:
		return 0, fmt.Errorf("CMS envelope: cipher %s: %w", id, ErrAlgorithm)
	}
}

// A recipient is who has the key of the content (RFC 5652, section 6.2.1).
type recipient struct {
	Version int
	Who     issuerAndSerial
	Cipher  pkix.AlgorithmIdentifier
	Key     []byte
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

// open decrypts the key of the content, and has the library decrypt the content with that: by itself it wants the bare RSA key, and passes
// its padding error on.
func (e *envelope) open(c *x509.Certificate, key crypto.Decrypter) (content []byte, ok bool) {
	defer func() { // on a last block that is no padding, and on half blocks, the library panics
		if recover() != nil {
			content, ok = nil, false
		}
	}()
	for _, raw := range e.Data.Recipients {
		var r recipient
		if _, err := asn1.Unmarshal(raw.FullBytes, &r); err != nil || !bytes.Equal(r.Who.Issuer.FullBytes, c.RawIssuer) || r.Who.Serial.Cmp(c.SerialNumber) != 0 || !r.Cipher.Algorithm.Equal(pkcs7.OIDEncryptionAlgorithmRSA) {
			continue
		}
		secret, err := key.Decrypt(rand.Reader, r.Key, nil)
		if err != nil {
			return nil, false
		}
		plain := struct { // EncryptedData (RFC 5652, section 8): the same content without recipients
			Type asn1.ObjectIdentifier
			Data struct {
				Version   int
				Encrypted encrypted
			} `asn1:"explicit,tag:0"`
		}{Type: pkcs7.OIDEncryptedData}
		plain.Data.Encrypted = e.Data.Encrypted
		der, err := asn1.Marshal(plain)
		if err != nil {
			return nil, false
		}
		p7, err := pkcs7.Parse(der)
		if err != nil {
			return nil, false
		}
		content, err = p7.DecryptUsingPSK(secret)
		return content, err == nil
	}
	return nil, false
}

// A guardedKey answers with a random key of the right length in place of one that does not decrypt, in
// constant time (RFC 3218, section 2.3.2), whatever options it is asked with.
type guardedKey struct {
	crypto.Decrypter
	length int
}

func (k guardedKey) Decrypt(rand io.Reader, msg []byte, _ crypto.DecrypterOpts) ([]byte, error) {
	//lint:ignore SA1019 SCEP's peers know no other key transport (RFC 8894, section 3.5.2), and this is its safe form
	return k.Decrypter.Decrypt(rand, msg, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: k.length})
}

// ContentCipher returns the cipher that an EnvelopedData names, one that [Decrypt] does not take too. The error is
// [ErrMalformed].
func ContentCipher(data []byte) (asn1.ObjectIdentifier, error) {
	der, err := readCMS(data)
	if err != nil {
		return nil, fmt.Errorf("CMS envelope: %w", err)
	}
	var e envelope
	if _, err := asn1.Unmarshal(der, &e); err != nil || !e.Type.Equal(pkcs7.OIDEnvelopedData) {
		return nil, fmt.Errorf("CMS envelope: %w", ErrMalformed)
	}
	return e.Data.Encrypted.Algorithm.Algorithm, nil
}
