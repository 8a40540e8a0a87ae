package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"software.sslmate.com/src/go-pkcs12"
)

// A Push is an MDM push certificate with its key: what a server shows to APNs (apple.md section 13.1).
type Push struct {
	Topic       string // the subject's UID, begins "com.apple.mgmt."
	Certificate *x509.Certificate
	Chain       []*x509.Certificate // intermediates; may be empty
	Key         crypto.Signer
}

const topicPrefix = "com.apple.mgmt."

var oidUserID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1} // RFC 4519, section 2.39

// ReadPush reads an uploaded push certificate and its private key: either PEM with the certificate first,
// perhaps intermediates, and one key in any place; or PKCS #12 (DER), which password opens. It checks what
// belongs to the file alone; whether it may replace another one is the caller's to say. The errors: [ErrPEM]; [ErrMalformed] (PKCS #12
// that cannot be read, a wrong password, or a key derivation of more than a million rounds, HST-046);
// [ErrKeyMismatch]; [ErrPushTopic].
func ReadPush(data []byte, password string) (*Push, error) {
	p, err := readPush(data, password)
	if err != nil {
		return nil, fmt.Errorf("push certificate: %w", err)
	}
	if !sameKey(p.Certificate, p.Key) {
		return nil, fmt.Errorf("push certificate: %w", ErrKeyMismatch)
	}
	if p.Topic = topic(p.Certificate); !strings.HasPrefix(p.Topic, topicPrefix) {
		return nil, fmt.Errorf("push certificate %.80q: %w", p.Certificate.Subject.CommonName, ErrPushTopic)
	}
	return p, nil
}

func readPush(data []byte, password string) (*Push, error) {
	if len(data) > 0 && data[0] == 0x30 { // a DER SEQUENCE; PEM begins with text
		return readPKCS12(data, password)
	}
	certificates, keys, err := readPEM(data)
	switch {
	case err != nil:
		return nil, err
	case len(certificates) == 0:
		return nil, fmt.Errorf("%w: no certificate", ErrPEM)
	case len(keys) != 1:
		return nil, fmt.Errorf("%w: %d private keys, want 1", ErrPEM, len(keys))
	}
	return &Push{Certificate: certificates[0], Chain: certificates[1:], Key: keys[0]}, nil
}

func readPKCS12(data []byte, password string) (p *Push, err error) {
	if err := checkPKCS12(data); err != nil {
		return nil, err
	}
	defer func() { // the library is not ours, and the bytes are a stranger's
		if recover() != nil {
			p, err = nil, fmt.Errorf("PKCS #12: %w", ErrMalformed)
		}
	}()
	key, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return nil, fmt.Errorf("PKCS #12: %w: %v", ErrMalformed, err)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return &Push{Certificate: leaf, Chain: chain, Key: k}, nil
	case *ecdsa.PrivateKey:
		return &Push{Certificate: leaf, Chain: chain, Key: k}, nil
	}
	return nil, fmt.Errorf("PKCS #12: %w: private key of type %T, want RSA or EC", ErrMalformed, key)
}

// topic returns the UID of the subject, empty unless there is exactly one.
func topic(c *x509.Certificate) string {
	found, n := "", 0
	for _, name := range c.Subject.Names {
		if value, ok := name.Value.(string); ok && name.Type.Equal(oidUserID) {
			found = value
			n++
		}
	}
	if n != 1 {
		return ""
	}
	return found
}

// PEM writes certificate, chain and key for [ReadPush]. It is secret.
func (p *Push) PEM() ([]byte, error) {
	key, err := KeyPEM(p.Key)
	if err != nil {
		return nil, err
	}
	return append(CertificatesPEM(append([]*x509.Certificate{p.Certificate}, p.Chain...)...), key...), nil
}

// MakePush makes a push certificate (P-256) as Apple's portal would, but signed by ca, which a simulated
// APNs must be told to trust. ca should be an authority made for this alone: a push certificate is a client
// certificate, and would pass for an identity of its authority. The errors are [ErrPushTopic] and
// [ErrLifetime].
func MakePush(ca *Authority, topic string, notBefore, notAfter time.Time) (*Push, error) {
	if !strings.HasPrefix(topic, topicPrefix) {
		return nil, fmt.Errorf("topic %.80q, want %s…: %w", topic, topicPrefix, ErrPushTopic)
	}
	if !notAfter.After(notBefore) {
		return nil, fmt.Errorf("push certificate %s: %w", topic, ErrLifetime)
	}
	key, err := GenerateKey(P256)
	if err != nil {
		return nil, err
	}
	c, err := ca.sign(&x509.Certificate{
		Subject: pkix.Name{
			CommonName: "APSP:" + uuid.NewString(),
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: oidUserID, Value: topic}},
		},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, key.Public())
	if err != nil {
		return nil, err
	}
	return &Push{Topic: topic, Certificate: c, Key: key}, nil
}

// maxRounds bounds each key derivation of a PKCS #12 file (HST-046): half a second. Real exports use 2,048 to
// 600,000. Rounds that stand inside an encrypted part cannot be seen before it is opened; who hides them
// there knows the password that the file's own, bounded MAC was checked with.
const maxRounds = 1_000_000

// checkPKCS12 looks at every key derivation that data asks for before the library obeys it.
func checkPKCS12(data []byte) error {
	if err := checkBER(data, maxPEM); err != nil {
		return fmt.Errorf("PKCS #12: %w", err)
	}
	return checkRounds(data, 0)
}

// checkRounds walks DER, also inside octet strings. In PKCS #12 an INTEGER that follows an OCTET STRING is
// always a number of rounds after its salt: in PBE and PBKDF2 parameters and in MacData. What is not DER is
// left to the library, which refuses it.
func checkRounds(der cryptobyte.String, depth int) error {
	salted := false
	for depth < maxDepth && !der.Empty() {
		var value cryptobyte.String
		var tag cbasn1.Tag
		if !der.ReadAnyASN1(&value, &tag) {
			return nil
		}
		if tag == cbasn1.INTEGER && salted {
			if rounds := new(big.Int).SetBytes(value); rounds.Cmp(big.NewInt(maxRounds)) > 0 {
				return fmt.Errorf("PKCS #12: %w: key derivation of more than %d rounds", ErrMalformed, maxRounds)
			}
		}
		salted = tag == cbasn1.OCTET_STRING
		if salted || tag&0x20 != 0 {
			if err := checkRounds(value, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
