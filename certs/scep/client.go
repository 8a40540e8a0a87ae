package scep

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"time"

	"rollcall/certs"
)

// A Client enrols at one SCEP server. Its fields are those of a com.apple.security.scep payload (apple.md
// section 2.3). Safe for concurrent use.
type Client struct {
	URL           string       // http or https; a query that it has is kept
	Name          string       // CA name, the message of GetCACaps and GetCACert; may be empty
	HTTP          *http.Client // nil: http.DefaultClient
	CAFingerprint []byte       // MD5, SHA-1 or SHA-256 of the CA certificate, by length; empty: not compared
	Cache         *CACache     // nil: the server is asked about its CA every time
}

// A Transport is an RSA key with a self-signed certificate, with which a device whose identity is P-256 signs
// and opens its messages (apple.md section 3.3). It says nothing about the device, so that a fleet can keep
// a few and use each again and again.
type Transport struct {
	Key         *rsa.PrivateKey
	Certificate *x509.Certificate
}

// NewTransport makes key's certificate, valid for ten years from the day before now.
func NewTransport(key *rsa.PrivateKey, now time.Time) (*Transport, error) {
	c, err := selfSigned(key, pkix.Name{CommonName: "SCEP transport"}, now.Add(-24*time.Hour), now.AddDate(10, 0, 0))
	if err != nil {
		return nil, err
	}
	return &Transport{Key: key, Certificate: c}, nil
}

// selfSigned makes a temporary certificate (RFC 8894, section 2.3).
func selfSigned(key crypto.Signer, subject pkix.Name, notBefore, notAfter time.Time) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	rand.Read(serial)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      subject,
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// An EnrolRequest says what to enrol.
type EnrolRequest struct {
	Key        crypto.Signer // the identity's key, P-256 or RSA
	Transport  *Transport    // nil: Key is RSA and signs and opens the messages itself
	Subject    pkix.Name
	Extensions []pkix.Extension // of the CSR: key usage, subject alternative name; may be empty
	Challenge  string           // may be empty
	// Renew, if set, is the present RSA identity: a RenewalReq is sent, signed by it and with its subject in
	// place of Subject (RFC 8894, section 3.3.1.2).
	Renew      *certs.Signer
	Retries    int                                              // polls after PENDING; zero: 3, negative: none
	RetryDelay time.Duration                                    // before each poll but the first; zero: 10 s
	Wait       func(ctx context.Context, d time.Duration) error // nil: a timer
	Now        time.Time                                        // for the signing time and the temporary certificate
}

// Enrol obtains a certificate for r.Key: GetCACaps, GetCACert, PKCSReq (or RenewalReq), and polls after
// PENDING. It accepts an answer only under the conditions of apple.md section 3.3 (APL-009). The same
// request again makes the same CSR and the same transaction, so that a server answers the repeat with the
// certificate it issued. The errors: [*Failure], [ErrPending], [ErrCA], [ErrCaps], [ErrAnswer], [*StatusError],
// [certs.ErrKey] when no RSA key is there to open the answer, and the network's.
func (c *Client) Enrol(ctx context.Context, r EnrolRequest) (*x509.Certificate, error) {
	ca, err := c.authority(ctx)
	if err != nil {
		return nil, err
	}
	e, err := newEnrolment(ca, &r)
	if err != nil {
		return nil, err
	}
	certificate, err := c.exchange(ctx, e, e.kind, e.csr)
	if !errors.Is(err, ErrPending) {
		return certificate, err
	}
	poll, err := asn1.Marshal([]asn1.RawValue{{FullBytes: ca.ca.RawSubject}, {FullBytes: e.subject}}) // IssuerAndSubject
	if err != nil {
		return nil, err
	}
	retries, delay, wait := r.Retries, r.RetryDelay, r.Wait
	if retries == 0 {
		retries = 3
	}
	if delay == 0 {
		delay = 10 * time.Second
	}
	if wait == nil {
		wait = sleep
	}
	for i := range max(retries, 0) {
		if i > 0 {
			if err := wait(ctx, delay); err != nil {
				return nil, err
			}
		}
		if certificate, err = c.exchange(ctx, e, CertPoll, poll); !errors.Is(err, ErrPending) {
			return certificate, err
		}
	}
	return nil, ErrPending
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// An enrolment is what stays the same over the messages of one transaction.
type enrolment struct {
	ca            *authority
	kind          MessageType
	signer        certs.Signer
	csr, subject  []byte
	public        crypto.PublicKey
	transactionID string
	now           time.Time
}

func newEnrolment(ca *authority, r *EnrolRequest) (*enrolment, error) {
	e := &enrolment{ca: ca, kind: PKCSReq, public: r.Key.Public(), now: r.Now}
	var err error
	if e.subject, err = asn1.Marshal(r.Subject.ToRDNSequence()); err != nil {
		return nil, err
	}
	switch {
	case r.Renew != nil:
		if !ca.caps["Renewal"] {
			return nil, fmt.Errorf("%w: Renewal", ErrCaps)
		}
		e.kind, e.signer = RenewalReq, *r.Renew
		e.subject = r.Renew.Certificate.RawSubject
	case r.Transport != nil:
		e.signer = certs.Signer{Certificate: r.Transport.Certificate, Key: r.Transport.Key}
	default:
		e.signer.Key = r.Key
		if e.signer.Certificate, err = selfSigned(r.Key, r.Subject, r.Now.Add(-time.Hour), r.Now.AddDate(0, 0, 7)); err != nil {
			return nil, err
		}
	}
	if _, ok := e.signer.Key.(*rsa.PrivateKey); !ok {
		return nil, fmt.Errorf("SCEP: %w: messages need an RSA key, got %T", certs.ErrKey, e.signer.Key)
	}
	var public []byte
	if e.csr, public, err = makeCSR(r.Key, e.subject, r.Extensions, r.Challenge); err != nil {
		return nil, err
	}
	id := sha256.Sum256(public)
	e.transactionID = hex.EncodeToString(id[:])
	return e, nil
}

// exchange sends one message of e and takes its answer.
func (c *Client) exchange(ctx context.Context, e *enrolment, kind MessageType, content []byte) (*x509.Certificate, error) {
	envelope, err := certs.Encrypt(content, e.ca.recipient)
	if err != nil {
		return nil, err
	}
	nonce := newNonce()
	m := certs.Message{
		Content:     envelope,
		SigningTime: e.now,
		Attributes: []certs.Attribute{
			{Type: oidMessageType, Value: text(kind)},
			{Type: oidTransactionID, Value: e.transactionID},
			{Type: oidSenderNonce, Value: nonce},
		},
	}
	der, err := m.Sign(certs.Signer{Certificate: e.signer.Certificate, Key: e.signer.Key})
	if err != nil {
		return nil, err
	}
	var body []byte
	if e.ca.caps["POSTPKIOperation"] || e.ca.caps["SCEPStandard"] {
		body, err = c.post(ctx, der)
	} else {
		body, _, err = c.get(ctx, "PKIOperation", base64.StdEncoding.EncodeToString(der))
	}
	if err != nil {
		return nil, err
	}
	certificate, err := e.accept(body, nonce)
	if errors.Is(err, ErrAnswer) && c.Cache != nil {
		c.Cache.forget(c.cacheKey()) // perhaps the CA has changed since
	}
	return certificate, err
}

// accept checks an answer and opens it (APL-009).
func (e *enrolment) accept(body, nonce []byte) (*x509.Certificate, error) {
	m, err := parseMessage(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if !e.ca.has(m.Signer) {
		return nil, fmt.Errorf("%w: signed by %.80q, not by the CA", ErrAnswer, m.Signer.Subject.CommonName)
	}
	if err := m.Check(certs.Policy{}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	var recipientNonce []byte
	if err := m.Attribute(oidRecipientNonce, &recipientNonce); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	status, err := m.number(oidPKIStatus)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	case m.kind != CertRep:
		return nil, fmt.Errorf("%w: message type %d", ErrAnswer, m.kind)
	case string(m.transactionID.Bytes) != e.transactionID:
		return nil, fmt.Errorf("%w: another transactionID", ErrAnswer)
	case !bytes.Equal(recipientNonce, nonce):
		return nil, fmt.Errorf("%w: recipientNonce is not the senderNonce", ErrAnswer)
	}
	switch status {
	case pending:
		return nil, ErrPending
	case failure:
		return nil, m.failure()
	case success:
		return e.open(m)
	}
	return nil, fmt.Errorf("%w: pkiStatus %d", ErrAnswer, status)
}

// has says whether c is one of the certificates that GetCACert gave.
func (a *authority) has(c *x509.Certificate) bool {
	for _, known := range a.certificates {
		if known.Equal(c) {
			return true
		}
	}
	return false
}

// failure reads failInfo and its text.
func (m *message) failure() error {
	info, err := m.number(oidFailInfo)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	no := &Failure{Info: FailInfo(info)}
	var words asn1.RawValue
	if m.Attribute(oidFailInfoText, &words) == nil && visible(words) { // optional, and not worth a refusal
		no.Text = string(words.Bytes)
	}
	return no
}

// open decrypts the answer and finds the certificate of e's key in it.
func (e *enrolment) open(m *message) (*x509.Certificate, error) {
	content, err := certs.Decrypt(m.Content, e.signer, certs.Policy{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	list, err := certs.ParseDegenerate(content)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	mine, ok := e.public.(interface{ Equal(crypto.PublicKey) bool })
	for _, c := range list {
		if ok && mine.Equal(c.PublicKey) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w: the certificate is for another key", ErrAnswer)
}

// address adds an operation, and a message unless empty, to the query of the client's URL.
func (c *Client) address(operation, message string) (string, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "", fmt.Errorf("SCEP URL: %w", err)
	}
	query := u.Query()
	query.Set("operation", operation)
	if message != "" {
		query.Set("message", message)
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

func (c *Client) get(ctx context.Context, operation, message string) (body []byte, contentType string, err error) {
	address, err := c.address(operation, message)
	if err != nil {
		return nil, "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, "", err
	}
	return c.do(r, operation)
}

// post sends a message with its Content-Length, since some servers refuse chunked bodies.
func (c *Client) post(ctx context.Context, der []byte) ([]byte, error) {
	const operation = "PKIOperation"
	address, err := c.address(operation, "")
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(der))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", typeMessage)
	body, _, err := c.do(r, operation)
	return body, err
}

func (c *Client) do(r *http.Request, operation string) (body []byte, contentType string, err error) {
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxMessage+1))
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("SCEP: %s: %w", operation, err)
	case resp.StatusCode != http.StatusOK:
		return nil, "", &StatusError{operation, resp.StatusCode, resp.Header.Get("Retry-After")}
	case len(body) > maxMessage:
		return nil, "", fmt.Errorf("%w: %s: more than %d bytes", ErrAnswer, operation, maxMessage)
	}
	return body, resp.Header.Get("Content-Type"), nil
}
