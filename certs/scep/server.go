package scep

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/smallstep/scep/x509util"

	"rollcall/certs"
)

// A Request is what a client asks, verified and decrypted: the signature over it is its Signer's, and the
// CSR is signed by the key that it names.
type Request struct {
	Type          MessageType // PKCSReq, RenewalReq or CertPoll
	TransactionID string      // visible ASCII, 1 to 255 bytes; the same in all messages of one enrolment
	// Signer signed the outer message, and the answer is encrypted to it. It proves nothing but in a
	// RenewalReq: there it is an identity of the CA, valid now, with the CSR's subject. Whether it was
	// revoked or superseded is for Issue to know.
	Signer    *x509.Certificate
	CSR       *x509.CertificateRequest // gives the key, not the subject (HST-039); nil in a CertPoll
	CSRHash   [sha256.Size]byte        // of the CSR's DER; with TransactionID it tells a repeat (HST-041)
	Challenge string                   // the CSR's challengePassword; may be empty
	Now       time.Time                // when it was read, by the Server's clock: the one moment that all of it is decided at
}

// A Server answers SCEP requests for one authority. It is an [http.Handler] for any path; set its fields
// before it serves.
type Server struct {
	CA     *certs.Authority // needs a registration authority: see [certs.Authority.RA]
	Policy certs.Policy     // Legacy: legacyCMS covers SCEP (apple.md section 3.1)
	Now    func() time.Time // nil: time.Now
	// Issue decides about a request: with a certificate, with ErrPending, or with a *Failure. Any other error
	// is ours to mend and becomes a 503. Issue is called for every request, a repeat too; the same
	// TransactionID with the same CSRHash must get the same certificate.
	Issue func(ctx context.Context, r *Request) (*x509.Certificate, error)
	// Refused, if set, is told why a request was refused, for the log: a *Failure, what wraps
	// certs.ErrMalformed, an *http.MaxBytesError, or the other error of Issue.
	Refused func(ctx context.Context, err error)
}

// Content types (RFC 8894, sections 4.1 and 4.2).
const (
	typeMessage = "application/x-pki-message"
	typeCA      = "application/x-x509-ca-cert"
	typeCARA    = "application/x-x509-ca-ra-cert"
)

// ServeHTTP answers GetCACaps, GetCACert and PKIOperation (apple.md section 3.1). A refusal by SCEP's own
// means has status 200; a message that cannot be read has 400, one above 128 KiB 413.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := r.URL.Query()["operation"]
	if len(operation) != 1 {
		s.refused(r.Context(), fmt.Errorf("%w: %d parameters operation", certs.ErrMalformed, len(operation)))
		http.Error(w, "want one parameter operation", http.StatusBadRequest)
		return
	}
	if r.Method != http.MethodGet && (r.Method != http.MethodPost || operation[0] != "PKIOperation") {
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	switch operation[0] {
	case "GetCACaps":
		answer(w, "text/plain", []byte(strings.Join(s.capabilities(), "\n")+"\n"))
	case "GetCACert":
		contentType, body, err := s.caCertificates()
		if err != nil {
			s.unavailable(w, r, err)
			return
		}
		answer(w, contentType, body)
	case "PKIOperation":
		body, status := readBody(w, r)
		if status != http.StatusOK {
			err := fmt.Errorf("%w: %s", certs.ErrMalformed, http.StatusText(status))
			if status == http.StatusRequestEntityTooLarge {
				err = &http.MaxBytesError{Limit: maxMessage}
			}
			s.refused(r.Context(), err)
			http.Error(w, http.StatusText(status), status)
			return
		}
		rep, err := s.respond(r.Context(), body)
		switch {
		case errors.Is(err, certs.ErrMalformed):
			http.Error(w, "not a pkiMessage", http.StatusBadRequest)
		case err != nil:
			s.unavailable(w, r, err)
		default:
			answer(w, typeMessage, rep)
		}
	default:
		s.refused(r.Context(), fmt.Errorf("%w: operation %.40q", certs.ErrMalformed, operation[0]))
		http.Error(w, "unknown operation", http.StatusBadRequest)
	}
}

func answer(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Write(body)
}

func (s *Server) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	s.refused(r.Context(), err)
	w.Header().Set("Retry-After", "60")
	http.Error(w, "try again later", http.StatusServiceUnavailable)
}

func (s *Server) refused(ctx context.Context, err error) {
	if s.Refused != nil {
		s.Refused(ctx, err)
	}
}

// capabilities lists what GetCACaps announces (RFC 8894, section 3.5.2; APL-012).
func (s *Server) capabilities() []string {
	list := []string{"AES", "SHA-256", "SHA-512", "POSTPKIOperation", "Renewal", "SCEPStandard"}
	if s.Policy.Legacy {
		list = append(list, "SHA-1", "DES3")
	}
	return list
}

var errNoRA = errors.New("SCEP: the authority has no RSA key and no registration authority")

// caCertificates is the answer to GetCACert: the CA alone, or its registration authority and the CA.
func (s *Server) caCertificates() (contentType string, body []byte, err error) {
	ra := s.CA.RA()
	switch {
	case ra.Certificate == nil:
		return "", nil, errNoRA
	case len(ra.Chain) == 0:
		return typeCA, ra.Certificate.Raw, nil
	}
	body, err = certs.Degenerate(append([]*x509.Certificate{ra.Certificate}, ra.Chain...)...)
	return typeCARA, body, err
}

// readBody returns the pkiMessage of a POST, or of a GET in base64.
func readBody(w http.ResponseWriter, r *http.Request) (body []byte, status int) {
	if r.Method == http.MethodPost {
		if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" { // HST-012
			return nil, http.StatusUnsupportedMediaType
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, http.StatusRequestEntityTooLarge
		}
		if err != nil || len(body) == 0 {
			return nil, http.StatusBadRequest
		}
		return body, http.StatusOK
	}
	message := r.URL.Query().Get("message")
	if base64.StdEncoding.DecodedLen(len(message)) > maxMessage+2 {
		return nil, http.StatusRequestEntityTooLarge
	}
	// A + that was not percent-encoded has become a space.
	body, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(message, " ", "+"))
	if err != nil || len(body) == 0 {
		return nil, http.StatusBadRequest
	}
	return body, http.StatusOK
}

// respond answers one pkiMessage with a CertRep. The error wraps [certs.ErrMalformed] when der cannot be
// read or lacks what an answer needs; other errors are Issue's or of signing the answer.
func (s *Server) respond(ctx context.Context, der []byte) ([]byte, error) {
	if s.CA.RA().Certificate == nil {
		return nil, errNoRA
	}
	now := time.Now()
	if s.Now != nil {
		now = s.Now()
	}
	m, err := parseMessage(der)
	if err != nil {
		s.refused(ctx, err)
		return nil, err
	}
	certificate, err := s.decide(ctx, m, now)
	no := (*Failure)(nil)
	switch {
	case errors.As(err, &no):
		s.refused(ctx, err)
		return s.certRep(m, now, failure, nil, no)
	case errors.Is(err, ErrPending):
		return s.certRep(m, now, pending, nil, nil)
	case err != nil:
		return nil, err
	}
	return s.certRep(m, now, success, certificate, nil)
}

// unreadable is the one answer for all that goes wrong between the signature and the decrypted request: who
// alters a stranger's message must not learn how far it got (HST-036).
var unreadable = &Failure{BadMessageCheck, "the request cannot be decrypted"}

// decide verifies m, opens it and asks Issue.
func (s *Server) decide(ctx context.Context, m *message, now time.Time) (*x509.Certificate, error) {
	if _, ok := m.Signer.PublicKey.(*rsa.PublicKey); !ok {
		return nil, &Failure{BadAlg, "the message must be signed with an RSA key"} // the answer could not be encrypted
	}
	switch err := m.Check(s.Policy); {
	case errors.Is(err, certs.ErrSignature):
		return nil, &Failure{BadMessageCheck, "the signature does not verify"}
	case err != nil:
		return nil, &Failure{BadAlg, err.Error()}
	}
	// Who may ask comes before what is asked, and what is not known is refused (HST-038).
	switch m.kind {
	case PKCSReq, CertPoll:
	case RenewalReq:
		if err := s.CA.Verify(m.Signer, now); err != nil {
			return nil, &Failure{BadRequest, "renewal: " + err.Error()}
		}
	default:
		return nil, &Failure{BadRequest, fmt.Sprintf("message type %d is not served", int(m.kind))}
	}
	content, err := certs.Decrypt(m.Content, s.CA.RA(), s.Policy)
	switch {
	case errors.Is(err, certs.ErrAlgorithm):
		return nil, &Failure{BadAlg, err.Error()}
	case err != nil:
		return nil, unreadable
	}
	r := &Request{Type: m.kind, TransactionID: string(m.transactionID.Bytes), Signer: m.Signer, Now: now}
	if m.kind == CertPoll {
		var names []asn1.RawValue // issuer and subject (RFC 8894, section 3.3.3); the transactionID says it all
		if rest, err := asn1.Unmarshal(content, &names); err != nil || len(rest) > 0 || len(names) != 2 {
			return nil, unreadable
		}
		return s.Issue(ctx, r)
	}
	switch r.CSR, err = certs.CheckCSR(content, s.Policy); {
	case errors.Is(err, certs.ErrMalformed):
		return nil, unreadable
	case errors.Is(err, certs.ErrAlgorithm):
		return nil, &Failure{BadAlg, err.Error()}
	case err != nil:
		return nil, &Failure{BadRequest, err.Error()}
	}
	if m.kind == RenewalReq && !bytes.Equal(r.CSR.RawSubject, m.Signer.RawSubject) {
		return nil, &Failure{BadRequest, "renewal: the subject differs from the present certificate's"}
	}
	if r.Challenge, err = x509util.ParseChallengePassword(content); err != nil {
		return nil, &Failure{BadRequest, "the challengePassword cannot be read"}
	}
	r.CSRHash = sha256.Sum256(content)
	return s.Issue(ctx, r)
}

// signer signs the answer with a certificate. Who asks for one of a P-256 key knows that kind of signature: the authority signs by its own key
// then, if that is such a key and may sign messages, in a thirtieth of the time that its RSA key takes.
func (s *Server) signer(certificate *x509.Certificate) certs.Signer {
	if certificate != nil && certificate.PublicKeyAlgorithm == x509.ECDSA {
		if own := s.CA.Own(); own.Certificate.PublicKeyAlgorithm == x509.ECDSA && own.Certificate.KeyUsage&x509.KeyUsageDigitalSignature != 0 {
			return own
		}
	}
	return s.CA.RA()
}

// certRep builds the answer to m (RFC 8894, section 3.3.2): with a fresh senderNonce, and with the issued
// certificate first in the outer set, where device code looks for it.
func (s *Server) certRep(m *message, now time.Time, status int, certificate *x509.Certificate, no *Failure) ([]byte, error) {
	rep := certs.Message{
		Detached:    true, // without an envelope there is no content at all (section 3.2)
		SigningTime: now,
		Attributes: []certs.Attribute{
			{Type: oidMessageType, Value: text(CertRep)},
			{Type: oidPKIStatus, Value: text(status)},
			{Type: oidTransactionID, Value: m.transactionID},
			{Type: oidSenderNonce, Value: newNonce()},
			{Type: oidRecipientNonce, Value: m.senderNonce},
		},
	}
	switch status {
	case failure:
		rep.Attributes = append(rep.Attributes, certs.Attribute{Type: oidFailInfo, Value: text(no.Info)})
		if no.Text != "" {
			utf8 := asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(strings.ToValidUTF8(no.Text, "�"))}
			rep.Attributes = append(rep.Attributes, certs.Attribute{Type: oidFailInfoText, Value: utf8})
		}
	case success:
		inside, err := certs.Degenerate(certificate)
		if err != nil {
			return nil, err
		}
		if rep.Content, err = certs.Encrypt(inside, m.Signer); err != nil {
			return nil, err
		}
		rep.Detached = false
		rep.First = []*x509.Certificate{certificate}
	}
	return rep.Sign(s.signer(certificate))
}
