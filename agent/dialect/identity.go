package dialect

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"rollcall/certs"
	"rollcall/protocol"
)

// An Identity is what is known of the device's certificate; Serial empty: it has none.
type Identity struct {
	Serial              string // hexadecimal, without leading zeros
	NotBefore, NotAfter protocol.Time
}

// Identity returns what is known of the certificate in use.
func (d *Apple) Identity() Identity { return identityOfCertificate(d.self.identity().cert) }

func identityOfCertificate(der []byte) Identity {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return Identity{}
	}
	return Identity{c.SerialNumber.Text(16), protocol.At(c.NotBefore), protocol.At(c.NotAfter)}
}

// Signer returns an identity ready for use, parsed anew at each call. The error tells that there is none.
func (d *Apple) Signer(w Which) (certs.Signer, error) { return d.identityOf(w).signer() }

// Certificate returns the certificate of an identity, DER, not to be changed; nil: there is none.
func (d *Apple) Certificate(w Which) []byte { return d.identityOf(w).cert }

func (d *Apple) identityOf(w Which) identity {
	switch {
	case w == Current:
		return d.self.identity()
	case w == Next && d.task != nil && d.incoming != nil:
		return d.incoming.identity
	case w == Previous && d.task != nil && d.old != nil:
		return *d.old
	}
	return identity{}
}

var errNoIdentity = errors.New("the device has no identity")

func (i identity) signer() (certs.Signer, error) {
	if len(i.cert) == 0 {
		return certs.Signer{}, errNoIdentity
	}
	key, err := unpackKey(i.key)
	if err != nil {
		return certs.Signer{}, err
	}
	c, err := x509.ParseCertificate(i.cert)
	if err != nil {
		return certs.Signer{}, fmt.Errorf("identity: %w", err)
	}
	return certs.Signer{Certificate: c, Key: key}, nil
}

// scalar is the length of a P-256 key at rest: the bare number of SEC 1, section 2.3.7. An RSA key is PKCS #8.
const scalar = 32

func packKey(key crypto.Signer) ([]byte, error) {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() {
			return k.Bytes()
		}
	case *rsa.PrivateKey:
		return x509.MarshalPKCS8PrivateKey(k)
	}
	return nil, fmt.Errorf("identity: key of type %T: want P-256 or RSA", key)
}

func unpackKey(b []byte) (crypto.Signer, error) {
	if len(b) == scalar {
		return ecdsa.ParseRawPrivateKey(elliptic.P256(), b)
	}
	key, err := x509.ParsePKCS8PrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if k, ok := key.(*rsa.PrivateKey); ok {
		return k, nil
	}
	return nil, fmt.Errorf("identity: key of type %T", key)
}
