package certs

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"

	fork "github.com/smallstep/pkcs7"
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
		Encrypted  struct {
			Type      asn1.ObjectIdentifier
			Algorithm pkix.AlgorithmIdentifier
			Content   asn1.RawValue `asn1:"tag:0,optional"`
		}
	} `asn1:"explicit,tag:0"`
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
		// The library lacks the name, not the cipher: it goes by the length of the key.
		cipher.Algorithm = pkcs7.OIDEncryptionAlgorithmAES256CBC
		if der, err = asn1.Marshal(e); err != nil {
			return nil, fmt.Errorf("CMS envelope: %w", ErrMalformed)
		}
	}
	key, ok := r.Key.(crypto.Decrypter)
	if !ok {
		return nil, fmt.Errorf("CMS envelope: %w: the recipient's key cannot decrypt", ErrKey)
	}
	content, ok := open(der, r.Certificate, guardedKey{key, keyLen})
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

// open is the one place of the fork, which takes a crypto.Decrypter where the given library wants the bare
// key and passes its padding error on.
func open(der []byte, recipient *x509.Certificate, key crypto.Decrypter) (content []byte, ok bool) {
	defer func() { // on a last block that is no padding, and on half blocks, the library panics
		if recover() != nil {
			content, ok = nil, false
		}
	}()
	p7, err := fork.Parse(der)
	if err != nil {
		return nil, false
	}
	content, err = p7.Decrypt(recipient, key)
	return content, err == nil
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
