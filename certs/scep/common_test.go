package scep

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"rollcall/certs"
)

var at = time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Authorities and RSA keys are slow to make; tests share these and do not change them.
var (
	ecAuthority  = sync.OnceValue(func() *certs.Authority { return must(certs.NewAuthority(certs.P256, "EC authority", at)) })
	rsaAuthority = sync.OnceValue(func() *certs.Authority { return must(certs.NewAuthority(certs.RSA2048, "RSA authority", at)) })
	rsaKey       = sync.OnceValue(func() *rsa.PrivateKey { return must(certs.GenerateKey(certs.RSA2048)).(*rsa.PrivateKey) })
	transport    = sync.OnceValue(func() *Transport { return must(NewTransport(rsaKey(), at)) })
)

func ecKey() crypto.Signer { return must(certs.GenerateKey(certs.P256)) }

// A desk issues as a server would: a challenge is good for one CSR in one transaction, which may come again.
type desk struct {
	ca *certs.Authority

	mu      sync.Mutex
	unspent map[[sha256.Size]byte]bool
	issued  map[string]*x509.Certificate // by transaction and CSR hash
	revoked map[string]bool              // serials
	calls   int
	pending int // answers PENDING this often before it issues
	asked   []*Request
}

func newDesk(ca *certs.Authority, challenges ...string) *desk {
	d := &desk{ca: ca, unspent: make(map[[sha256.Size]byte]bool), issued: make(map[string]*x509.Certificate), revoked: make(map[string]bool)}
	for _, c := range challenges {
		d.unspent[sha256.Sum256([]byte(c))] = true
	}
	return d
}

func (d *desk) issue(_ context.Context, r *Request) (*x509.Certificate, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	d.asked = append(d.asked, r)
	if d.pending > 0 {
		d.pending--
		return nil, ErrPending
	}
	key := r.TransactionID + string(r.CSRHash[:])
	if r.Type == CertPoll {
		key = r.TransactionID
	}
	if c := d.issued[key]; c != nil {
		return c, nil
	}
	public, handle := crypto.PublicKey(nil), "7f3a"
	switch r.Type {
	case CertPoll: // what the desk let wait
		for _, asked := range d.asked {
			if asked.CSR != nil && asked.TransactionID == r.TransactionID {
				public = asked.CSR.PublicKey
			}
		}
	case RenewalReq:
		if d.revoked[r.Signer.SerialNumber.String()] {
			return nil, &Failure{BadRequest, "revoked"}
		}
		public, handle = r.CSR.PublicKey, r.Signer.Subject.CommonName
	default:
		hash := sha256.Sum256([]byte(r.Challenge))
		if !d.unspent[hash] {
			return nil, &Failure{BadRequest, "challenge refused"}
		}
		delete(d.unspent, hash)
		public = r.CSR.PublicKey
	}
	if public == nil {
		return nil, &Failure{BadCertID, "nothing is pending"}
	}
	c, err := d.ca.Issue(certs.IssueRequest{Public: public, Handle: handle, Now: at})
	if err == nil {
		d.issued[key] = c
	}
	return c, err
}

func (d *desk) server() *Server {
	return &Server{CA: d.ca, Now: func() time.Time { return at }, Issue: d.issue}
}

// inProcess carries requests to a handler without a network.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result(), nil
}

func clientOf(h http.Handler) *Client {
	return &Client{URL: "https://mdm.example/scep", HTTP: &http.Client{Transport: inProcess{h}}}
}

func enrolRequest(challenge string) EnrolRequest {
	return EnrolRequest{Key: ecKey(), Transport: transport(), Subject: pkix.Name{CommonName: "device"}, Challenge: challenge, Now: at}
}

// A draft is a pkiMessage that a test may spoil.
type draft struct {
	kind       string
	id         string
	nonce      []byte
	content    []byte
	signer     certs.Signer
	attributes []certs.Attribute // in place of the three of kind, id and nonce
}

// newDraft is a good PKCSReq to ca.
func newDraft(ca *certs.Authority, r EnrolRequest) *draft {
	e := must(newEnrolment(trusted(ca), &r))
	return &draft{kind: text(e.kind), id: e.transactionID, nonce: newNonce(), content: must(certs.Encrypt(e.csr, ca.RA().Certificate)), signer: e.signer}
}

// trusted is what a client knows of ca once it has asked.
func trusted(ca *certs.Authority) *authority {
	a := &authority{caps: map[string]bool{"SCEPStandard": true, "Renewal": true}, certificates: []*x509.Certificate{ca.RA().Certificate}}
	a.certificates = append(a.certificates, ca.RA().Chain...)
	if err := a.choose(); err != nil {
		panic(err)
	}
	return a
}

func (d *draft) sign() []byte {
	m := certs.Message{Content: d.content, Attributes: d.attributes, SigningTime: at}
	if m.Attributes == nil {
		m.Attributes = []certs.Attribute{{Type: oidMessageType, Value: d.kind}, {Type: oidTransactionID, Value: d.id}, {Type: oidSenderNonce, Value: d.nonce}}
	}
	return must(m.Sign(d.signer))
}

// failInfo reads a CertRep and returns its failInfo, or -1 unless it is a FAILURE; it must be ca's in any case.
func failInfo(t testing.TB, ca *certs.Authority, rep []byte) (FailInfo, string) {
	t.Helper()
	m, err := parseMessage(rep)
	if err != nil {
		t.Fatal(err)
	}
	status := must(m.number(oidPKIStatus))
	ours := m.Signer.Equal(ca.RA().Certificate) || status == success && m.Signer.Equal(ca.Certificate()) // see TestAnswersAreSigned
	if err := m.Check(certs.Policy{}); err != nil || !ours {
		t.Fatalf("CertRep not signed by the authority: %v", err)
	}
	if status != failure {
		return -1, ""
	}
	if len(m.Content) > 0 {
		t.Error("FAILURE with an envelope")
	}
	no := (*Failure)(nil)
	if !errors.As(m.failure(), &no) {
		t.Fatal("FAILURE without failInfo")
	}
	return no.Info, no.Text
}
