package certs

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"time"
)

var errNotYet = errors.New("certs: not written yet")

// Errors of this package. Every error returned wraps at most one of them, so errors.Is tells the reason.
var (
	ErrMalformed   = errors.New("malformed")                                  // bytes that cannot be read
	ErrPEM         = errors.New("bad PEM")                                    // HST-013
	ErrKeyMismatch = errors.New("private key does not belong to certificate") // HST-046, HST-047
	ErrWeakKey     = errors.New("public key refused")                         // HST-026, HST-040
	ErrForeign     = errors.New("not issued by this authority")               // HST-030, APL-022
	ErrNotIdentity = errors.New("not a client identity")                      // HST-030
	ErrExpired     = errors.New("certificate expired")                        // HST-031, AUTH-42
	ErrNotYetValid = errors.New("certificate not yet valid")                  // HST-031
	ErrLifetime    = errors.New("validity ends before it begins")
	ErrAlgorithm   = errors.New("algorithm refused") // HST-036, APL-007
	ErrSignature   = errors.New("signature does not verify")
	ErrDecrypt     = errors.New("cannot be decrypted") // HST-036: one text for every reason
	ErrPushTopic   = errors.New("not an MDM push certificate: no topic in the subject UID")
	ErrPushOlder   = errors.New("push certificate is not newer than the present one")
)

// A KeyKind is a kind of key that this package makes.
type KeyKind int

// The kinds of keys an authority or an identity may have (apple.md section 3.6).
const (
	P256 KeyKind = iota
	RSA2048
)

// GenerateKey makes a private key: *ecdsa.PrivateKey for P256, *rsa.PrivateKey for RSA2048.
func GenerateKey(kind KeyKind) (crypto.Signer, error) { return nil, errNotYet }

// CheckPublicKey refuses with ErrWeakKey what may not become or sign anything of ours.
func CheckPublicKey(pub crypto.PublicKey) error { return errNotYet }

// CheckCSR reads a PKCS#10 request and verifies its key and self-signature (the proof of possession).
func CheckCSR(der []byte, p Policy) (*x509.CertificateRequest, error) { return nil, errNotYet }

// ReadCertificatesPEM reads one or more CERTIFICATE blocks and nothing else.
func ReadCertificatesPEM(data []byte) ([]*x509.Certificate, error) { return nil, errNotYet }

// ReadKeyPEM reads exactly one private key (PKCS#8, PKCS#1 or SEC 1).
func ReadKeyPEM(data []byte) (crypto.Signer, error) { return nil, errNotYet }

// CertificatesPEM writes certificates as PEM, in order.
func CertificatesPEM(certificates ...*x509.Certificate) []byte { return nil }

// KeyPEM writes a private key as PKCS#8 PEM.
func KeyPEM(key crypto.Signer) ([]byte, error) { return nil, errNotYet }

// An Authority issues identities and verifies them. Safe for concurrent use.
type Authority struct{}

// NewAuthority makes a certificate authority that lives ten years from now.
func NewAuthority(kind KeyKind, name string, now time.Time) (*Authority, error) {
	return nil, errNotYet
}

// LoadAuthority reads what PEM wrote. A truncated file and a key of another certificate are refused (HST-047).
func LoadAuthority(certPEM, keyPEM []byte) (*Authority, error) { return nil, errNotYet }

// PEM writes the authority for LoadAuthority: certificates in one file, private keys in the other.
func (a *Authority) PEM() (certPEM, keyPEM []byte, err error) { return nil, nil, errNotYet }

// Certificate is the authority's own certificate.
func (a *Authority) Certificate() *x509.Certificate { return nil }

// ExpiresSoon says that the authority ends within 90 days of now, or has ended (HST-047).
func (a *Authority) ExpiresSoon(now time.Time) bool { return false }

// RA is the registration authority for SCEP: an RSA certificate of this authority and its key, with the authority as chain.
func (a *Authority) RA() Signer { return Signer{} }

// An IssueRequest says what identity to issue.
type IssueRequest struct {
	Public   crypto.PublicKey // RSA from 2048 bits, or P-256
	Handle   string           // opaque; becomes the subject's common name
	Now      time.Time
	Lifetime time.Duration // from Now; zero: 365 days (AUTH-40)
}

// Issue makes a client identity (apple.md section 3.6).
func (a *Authority) Issue(r IssueRequest) (*x509.Certificate, error) { return nil, errNotYet }

// IssueServer makes a TLS server certificate for DNS names and IP addresses.
func (a *Authority) IssueServer(names []string, public crypto.PublicKey, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	return nil, errNotYet
}

// Verify says whether leaf is a client identity of this authority, valid at now: ErrForeign, ErrNotIdentity, ErrNotYetValid, ErrExpired.
func (a *Authority) Verify(leaf *x509.Certificate, now time.Time) error { return errNotYet }

// DueAt returns when an identity becomes due for renewal (AUTH-41).
func DueAt(notBefore, notAfter time.Time, window time.Duration) (time.Time, error) {
	return time.Time{}, errNotYet
}

// A Push is an MDM push certificate with its key.
type Push struct {
	Topic       string
	Certificate *x509.Certificate
	Chain       []*x509.Certificate // intermediates, may be empty
	Key         crypto.Signer
}

// ReadPush reads a push certificate and its key: PEM with both, or PKCS#12 with password.
func ReadPush(data []byte, password string) (*Push, error) { return nil, errNotYet }

// PEM writes certificate, chain and key so that ReadPush reads them.
func (p *Push) PEM() ([]byte, error) { return nil, errNotYet }

// CheckPush checks an upload (AUTH-34). sameTopic is true too when present is nil.
func CheckPush(candidate, present *Push, now time.Time) (sameTopic bool, err error) {
	return false, errNotYet
}

// MakePush makes a push certificate for tests, signed by ca.
func MakePush(ca *Authority, topic string, notBefore, notAfter time.Time) (*Push, error) {
	return nil, errNotYet
}

// A Policy says what is still taken beside SHA-256, SHA-384, SHA-512 and AES. The zero Policy is strict.
type Policy struct {
	Legacy bool // SHA-1 and 3DES too: the setting legacyCMS of apple.md section 3.1, for one place
}

// A Signer is a certificate with its key, and the certificates that lead to its root.
type Signer struct {
	Certificate *x509.Certificate
	Chain       []*x509.Certificate
	Key         crypto.Signer
}

// An Attribute is a signed attribute of one value, which encoding/asn1 marshals.
type Attribute struct {
	Type  asn1.ObjectIdentifier
	Value any
}

// SignAttached makes a CMS SignedData (DER, SHA-256) that holds content and s's chain.
func SignAttached(content []byte, s Signer, now time.Time) ([]byte, error) { return nil, errNotYet }

// SignDetached makes a detached CMS signature (DER, SHA-256) over body.
func SignDetached(body []byte, s Signer, now time.Time) ([]byte, error) { return nil, errNotYet }

// SignLegacy signs body as macOS does: detached, BER of indefinite length, SHA-1, no signed attributes (apple.md section 4.2).
func SignLegacy(body []byte, s Signer) ([]byte, error) { return nil, errNotYet }

// VerifyDetached checks a detached signature over body, made by an identity of ca that is valid at now, and returns that identity.
func VerifyDetached(sig, body []byte, ca *Authority, now time.Time, p Policy) (*x509.Certificate, error) {
	return nil, errNotYet
}

// A Signed is a CMS SignedData of exactly one signer.
type Signed struct {
	Content      []byte // nil: detached or none
	Signer       *x509.Certificate
	Certificates []*x509.Certificate // all that it carries, the signer's too
}

// VerifyAttached checks that the signature of a SignedData is its signer's. Whether the signer is to be trusted is the caller's question.
func VerifyAttached(der []byte, p Policy) (*Signed, error) { return nil, errNotYet }

// VerifyMachineInfo checks the signature of a device's factory identity and its chain to one of roots; validity dates are not enforced (APL-084).
func VerifyMachineInfo(der []byte, roots []*x509.Certificate) (*Signed, error) { return nil, errNotYet }
