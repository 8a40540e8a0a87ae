package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// maxPEM holds a chain of dozens of certificates with keys. PEM is refused by size before it is looked at:
// encoding/pem takes its time over megabytes of headers (HST-013).
const maxPEM = 256 << 10

// maxKey is above RSA-4096 in PKCS #8. Checking the arithmetic of a huge RSA key takes minutes.
const maxKey = 4 << 10

const (
	certificateBlock = "CERTIFICATE"
	privateKeyBlock  = "PRIVATE KEY"
)

// ReadCertificatesPEM reads one or more CERTIFICATE blocks, in order, and refuses with [ErrPEM] any other
// block, so that a private key that landed in the wrong file is noticed. Text between blocks is ignored, as
// RFC 7468 allows.
func ReadCertificatesPEM(data []byte) ([]*x509.Certificate, error) {
	certificates, keys, err := readPEM(data)
	switch {
	case err != nil:
		return nil, err
	case len(keys) > 0:
		return nil, fmt.Errorf("%w: a private key where only certificates are due", ErrPEM)
	case len(certificates) == 0:
		return nil, fmt.Errorf("%w: no %s block", ErrPEM, certificateBlock)
	}
	return certificates, nil
}

// readPEM reads every block of data. Errors tell the number of the block and its type, never its content.
func readPEM(data []byte) (certificates []*x509.Certificate, keys []crypto.Signer, err error) {
	if len(data) > maxPEM {
		return nil, nil, fmt.Errorf("%w: %d bytes, at most %d", ErrPEM, len(data), maxPEM)
	}
	want, n := bytes.Count(data, []byte("-----BEGIN ")), 0
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		n++
		switch {
		case block.Type == certificateBlock:
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("%w: block %d: certificate cannot be read: %v", ErrPEM, n, err)
			}
			certificates = append(certificates, c)
		case block.Type == "EC PARAMETERS": // openssl writes one before the key; the key names its curve itself
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, nil, fmt.Errorf("%w: block %d: the private key is encrypted; decrypt it first or use PKCS #12", ErrPEM, n)
		case block.Type == privateKeyBlock || strings.HasSuffix(block.Type, " "+privateKeyBlock):
			key, err := parseKey(block)
			if err != nil {
				return nil, nil, fmt.Errorf("block %d: %w", n, err)
			}
			keys = append(keys, key)
		default:
			return nil, nil, fmt.Errorf("%w: block %d is of type %.40q", ErrPEM, n, block.Type)
		}
	}
	if n != want { // Decode skips what it cannot read, but half a file must not pass for a shorter one (HST-047)
		return nil, nil, fmt.Errorf("%w: %d of %d blocks are cut short or damaged", ErrPEM, want-n, want)
	}
	return certificates, keys, nil
}

func parseKey(block *pem.Block) (crypto.Signer, error) {
	if len(block.Bytes) > maxKey {
		return nil, fmt.Errorf("%w: private key of %d bytes, at most %d", ErrPEM, len(block.Bytes), maxKey)
	}
	var key any
	var err error
	switch block.Type {
	case privateKeyBlock:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%w: %.40q is not a kind of key that is taken", ErrPEM, block.Type)
	}
	if err != nil { // err is not passed on: it might quote the key
		return nil, fmt.Errorf("%w: private key cannot be read", ErrPEM)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("%w: private key of type %T, want RSA or EC", ErrPEM, key)
}

// CertificatesPEM writes certificates as PEM, in order.
func CertificatesPEM(certificates ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certificates {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: c.Raw})...)
	}
	return out
}

// KeyPEM writes an RSA or EC private key as PKCS #8 PEM.
func KeyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateKeyBlock, Bytes: der}), nil
}

// sameKey says whether key is the private half of c's public key.
func sameKey(c *x509.Certificate, key crypto.Signer) bool {
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(c.PublicKey)
}
