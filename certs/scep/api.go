package scep

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http"
	"time"

	"rollcall/certs"
)

var errNotYet = errors.New("scep: not written yet")

// A MessageType is the messageType attribute (RFC 8894, section 3.2.1.2).
type MessageType int

// The message types of RFC 8894.
const (
	CertRep    MessageType = 3
	RenewalReq MessageType = 17
	PKCSReq    MessageType = 19
	CertPoll   MessageType = 20
)

// A FailInfo is the failInfo attribute (RFC 8894, section 3.2.1.4).
type FailInfo int

// The failInfo values of RFC 8894.
const (
	BadAlg          FailInfo = 0
	BadMessageCheck FailInfo = 1
	BadRequest      FailInfo = 2
	BadTime         FailInfo = 3
	BadCertID       FailInfo = 4
)

// A Failure is a CertRep FAILURE: what Server.Issue returns to refuse and what Client.Enrol returns when refused.
type Failure struct {
	Info FailInfo
	Text string // sent along as failInfoText; no secrets
}

func (f *Failure) Error() string { return f.Text }

// ErrPending is what Server.Issue returns to let the client poll.
var ErrPending = errors.New("pending")

// A Request is one verified and decrypted pkiMessage of a client.
type Request struct {
	Type          MessageType              // PKCSReq, RenewalReq or CertPoll
	TransactionID string                   // at most 255 bytes
	Signer        *x509.Certificate        // of the outer message; for RenewalReq verified as an identity of the CA
	CSR           *x509.CertificateRequest // checked by certs.CheckCSR; nil for CertPoll
	CSRHash       [32]byte                 // SHA-256 of the CSR's DER
	Challenge     string                   // challengePassword of the CSR
}

// A Server answers SCEP requests. It is an http.Handler; its fields are set before it serves.
type Server struct {
	CA     *certs.Authority
	Policy certs.Policy     // Legacy: legacyCMS covers SCEP
	Now    func() time.Time // nil: time.Now
	// Issue decides: a certificate, ErrPending, a *Failure; any other error is a 503.
	Issue func(ctx context.Context, r *Request) (*x509.Certificate, error)
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {}

// NewChallenge makes a random challenge of 128 bits.
func NewChallenge() string { return "" }

// A ChallengeHash is what is stored of a challenge: its SHA-256.
type ChallengeHash [32]byte

// HashChallenge hashes a challenge for storage and for looking it up.
func HashChallenge(challenge string) ChallengeHash { return ChallengeHash{} }

// Matches compares in constant time. An empty challenge matches nothing.
func (h ChallengeHash) Matches(challenge string) bool { return false }

// A Transport is an RSA key and its self-signed certificate, with which a device whose identity is P-256 signs and opens SCEP messages.
type Transport struct {
	Key         *rsa.PrivateKey
	Certificate *x509.Certificate
}

// NewTransport signs key's certificate; it is good for any number of transactions around now.
func NewTransport(key *rsa.PrivateKey, now time.Time) (*Transport, error) { return nil, errNotYet }

// A CACache remembers GetCACaps and GetCACert answers for many clients. The zero CACache is ready.
type CACache struct{}

// A Client enrols at one SCEP server.
type Client struct {
	URL           string       // its query is kept
	Name          string       // CA name, sent as message of GetCACert; may be empty
	HTTP          *http.Client // nil: http.DefaultClient
	CAFingerprint []byte       // MD5, SHA-1 or SHA-256 of the CA certificate by length; empty: not checked
	Cache         *CACache     // nil: the server is asked every time
}

// An EnrolRequest says what to enrol.
type EnrolRequest struct {
	Key        crypto.Signer // the identity's key: P-256 or RSA
	Transport  *Transport    // signs and opens the messages; nil: Key is RSA and does both
	Subject    pkix.Name
	Challenge  string
	Renew      *certs.Signer                                    // set: RenewalReq signed by this RSA identity
	Retries    int                                              // polls after PENDING
	RetryDelay time.Duration                                    // before every poll but the first
	Wait       func(ctx context.Context, d time.Duration) error // nil: a timer
	Now        time.Time
}

// Enrol obtains a certificate for r.Key.
func (c *Client) Enrol(ctx context.Context, r EnrolRequest) (*x509.Certificate, error) {
	return nil, errNotYet
}
