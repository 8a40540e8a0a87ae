package est

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/certs"
)

// maxMessage bounds a body of either side, in bytes, as in SCEP (HST-001).
const maxMessage = 128 << 10

// Content types (RFC 7030, sections 4.1.3 and 4.2.1).
const (
	typeRequest = "application/pkcs10"
	typeCerts   = "application/pkcs7-mime"
	certsOnly   = typeCerts + "; smime-type=certs-only"
)

// A Request is what a client asks: the CSR is signed by the P-256 key that it names.
type Request struct {
	User, Password string                   // simpleenroll: of HTTP Basic authentication
	Present        *x509.Certificate        // simplereenroll: of the connection; nil in simpleenroll
	CSR            *x509.CertificateRequest // gives the key, not the subject (HST-039)
	CSRHash        [sha256.Size]byte        // of the CSR's DER; tells a repeat
	Now            time.Time                // when it came, by the Server's clock: the one moment that all of it is decided at
}

// ErrRefused is wrapped by an error of Issue by which who asks may not have the certificate; asking again will not help.
var ErrRefused = errors.New("not entitled to a certificate")

// A Pending is the error of Issue by which the certificate is not decided on yet (RFC 7030, section 4.2.3).
type Pending struct{ RetryAfter time.Duration }

func (p *Pending) Error() string {
	return "the certificate is not ready: again in " + p.RetryAfter.String()
}

// A Server answers EST requests for one authority. It is an [http.Handler] for the paths under its Root, of which one element is the
// operation; set its fields before it serves.
type Server struct {
	CA   *certs.Authority
	Root string           // path before the slash and the operation, such as /.well-known/est: an operation has one path (HST-022)
	Now  func() time.Time // nil: time.Now
	// Issue decides about a request: with a certificate, with a *Pending or with what wraps ErrRefused. Any other error is ours to mend
	// and becomes a 503. Issue is called for every request, a repeat too; the same CSRHash of the same asker must get the same certificate.
	Issue func(ctx context.Context, r *Request) (*x509.Certificate, error)
	// Present returns the certificate with which a renewal comes, verified at now; an error refuses it. Nil: that of the TLS connection,
	// which whoever accepted that has verified.
	Present func(r *http.Request, now time.Time) (*x509.Certificate, error)
	// Refused, if set, is told why a request was refused, for the log: what wraps certs' errors, an *http.MaxBytesError, or Issue's or Present's error.
	Refused func(ctx context.Context, err error)
}

var (
	errUnknown = errors.New("nobody is known who asks")
	errMedia   = errors.New("unexpected Content-Type or Content-Encoding")
	errSubject = errors.New("renewal: the subject differs from the present certificate's")
)

// ServeHTTP answers the operations.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := http.MethodPost
	operation, _ := strings.CutPrefix(r.URL.Path, s.Root+"/")
	switch operation {
	case "cacerts":
		method = http.MethodGet
	case "simpleenroll", "simplereenroll":
	default:
		http.Error(w, "not served", http.StatusNotFound)
		return
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	certificate := s.CA.Certificate()
	if method == http.MethodPost {
		q := &Request{Now: s.now()}
		err := s.who(r, operation, q)
		if err == nil {
			err = q.read(w, r)
		}
		if err == nil {
			certificate, err = s.Issue(r.Context(), q)
		}
		if err != nil {
			s.refuse(w, r, err)
			return
		}
	}
	der, err := certs.Degenerate(certificate)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", certsOnly)
	w.Header().Set("Content-Transfer-Encoding", "base64")
	io.WriteString(w, base64.StdEncoding.EncodeToString(der)+"\n")
}

func (s *Server) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// who finds out who asks, before a byte of the body is read.
func (s *Server) who(r *http.Request, operation string, q *Request) (err error) {
	if operation == "simpleenroll" {
		known := false
		if q.User, q.Password, known = r.BasicAuth(); !known || q.Password == "" {
			return errUnknown
		}
		return nil
	}
	switch {
	case s.Present != nil:
		q.Present, err = s.Present(r, q.Now)
	case r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		q.Present = r.TLS.PeerCertificates[0]
	}
	if err == nil && q.Present == nil {
		err = errUnknown
	}
	return err
}

// read takes the CSR out of the body.
func (q *Request) read(w http.ResponseWriter, r *http.Request) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))                                                                                  // it has no case, and may have parameters (RFC 9110, section 8.3.1)
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") || err != nil || media != typeRequest { // HST-012
		return errMedia
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	if err != nil {
		return err
	}
	return q.decode(body)
}

// decode reads the CSR, base64 of DER with white space anywhere.
func (q *Request) decode(body []byte) error {
	der, err := decodeText(body)
	if err != nil {
		return err
	}
	csr, err := certs.CheckCSR(der, certs.Policy{})
	if err != nil {
		return err
	}
	if _, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok {
		return fmt.Errorf("%w: type %T, want P-256", certs.ErrKey, csr.PublicKey)
	}
	if q.Present != nil && !renews(csr.Subject, q.Present.Subject) {
		return errSubject
	}
	q.CSR, q.CSRHash = csr, sha256.Sum256(der)
	return nil
}

// renews tells whether a request with this subject asks for the renewal of a certificate: it has the same (RFC 7030, section 4.2.2), or
// the common name alone, which is all that the client may have asked for at first: the rest, like all of it, is the server's to say. They
// are compared by meaning: each side has its own type of string (RFC 5280, section 7.1).
func renews(asked, present pkix.Name) bool {
	return asked.String() == present.String() || asked.String() == (pkix.Name{CommonName: present.CommonName}).String()
}

func decodeText(body []byte) ([]byte, error) {
	text := bytes.Join(bytes.Fields(body), nil)
	der := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(der, text)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("%w: not base64", certs.ErrMalformed)
	}
	return der[:n], nil
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if s.Refused != nil {
		s.Refused(r.Context(), err)
	}
	status, text := http.StatusServiceUnavailable, "try again later"
	wait, pending := errors.AsType[*Pending](err)
	_, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case pending:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.RetryAfter.Seconds()))))
		status, text = http.StatusAccepted, "not ready yet"
	case errors.Is(err, errUnknown):
		w.Header().Set("WWW-Authenticate", `Basic realm="rollcall"`)
		status, text = http.StatusUnauthorized, err.Error()
	case errors.Is(err, ErrRefused): // which of the reasons, is nobody's business (HST-037)
		status, text = http.StatusForbidden, ErrRefused.Error()
	case errors.Is(err, errMedia):
		status, text = http.StatusUnsupportedMediaType, err.Error()
	case large:
		status, text = http.StatusRequestEntityTooLarge, "too large"
	case errors.Is(err, certs.ErrMalformed), errors.Is(err, certs.ErrKey), errors.Is(err, certs.ErrAlgorithm), errors.Is(err, certs.ErrSignature), errors.Is(err, errSubject):
		status, text = http.StatusBadRequest, err.Error()
	default:
		w.Header().Set("Retry-After", "60")
	}
	http.Error(w, text, status)
}
