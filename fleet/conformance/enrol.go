package conformance

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol/apple"
)

// An enrolment is what an enrolment profile says.
type enrolment struct {
	raw      []byte    // as it came
	from     *Exchange // that brought it; nil: it was given
	signed   bool
	document *apple.Profile
	mdm      *apple.MDM
	scep     *apple.SCEP
	anchors  []*x509.Certificate
}

// fetch gets the right to enrol and reads the profile.
func (p *phone) fetch() error {
	ctx, cancel := p.a.administrator()
	defer cancel()
	e, err := p.a.Steps.Enrol(ctx, p.platform, p.a.slot)
	if err != nil {
		return err
	}
	raw := e.Profile
	var from *Exchange
	if e.URL != "" {
		from = p.link(e.URL)
		if from.Status != http.StatusOK {
			return fmt.Errorf("the enrolment link was answered %s", from.answer())
		}
		raw = from.body
	}
	if p.enrolment, err = readEnrolment(raw); err != nil {
		if from == nil {
			err = fmt.Errorf("the adapter %s gives %d bytes that are none, beginning %q: %w", p.a.Steps.Name, len(raw), shown(raw[:min(len(raw), 40)], 40), err)
		}
		return err
	}
	p.from = from
	return nil
}

// link opens an enrolment link. It is a secret, as is the challenge behind it.
func (p *phone) link(url string) *Exchange {
	x := p.do(http.MethodGet, url, "opens its enrolment link", http.Header{"User-Agent": {browsers[p.platform.String()]}}, nil)
	x.Request, x.Received = "GET (the enrolment link)", shown(x.body, 600)
	return x
}

var browsers = map[string]string{
	"ios": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X)", "ipados": "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X)", "macos": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)",
}

// readEnrolment reads an enrolment profile, signed or not.
func readEnrolment(raw []byte) (e enrolment, err error) {
	e.raw = raw
	e.document, err = apple.OpenProfile(raw, func(cms []byte) ([]byte, error) {
		e.signed = true
		return certs.Content(cms)
	})
	if err != nil {
		return e, err
	}
	mdm, identity, err := e.document.Enrolment()
	switch {
	case err != nil:
		return e, err
	case mdm == nil:
		return e, errors.New("the profile has no MDM payload")
	}
	e.mdm, e.scep = mdm.MDM, identity.SCEP
	for _, q := range e.document.Payloads {
		if q.Type != apple.RootPayload && q.Type != apple.PKCS1Payload {
			continue
		}
		if c, err := x509.ParseCertificate(q.Certificate); err == nil && c.IsCA {
			e.anchors = append(e.anchors, c)
		}
	}
	if e.scep == nil {
		return e, fmt.Errorf("the identity comes by %s, and only SCEP is spoken here", identity.Type)
	}
	return e, nil
}

// transport is the RSA key with which devices ask for P-256 identities, made when it is needed first.
var transport = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// A request is one SCEP enrolment, taken apart so that each part can be wrong.
type request struct {
	p      *phone
	key    crypto.Signer // of the identity
	signer certs.Signer  // of the message, RSA
	csr    []byte
	byGet  bool // the CA does not announce POST
	scep.Draft
}

// authority asks the SCEP service about itself.
func (p *phone) authority() (caps []string, list []*x509.Certificate) {
	caps = p.capabilities()
	x := p.scepGet("GetCACert", p.scep.Name)
	if x.Status != http.StatusOK {
		p.a.unasked("GetCACert was answered %s", x.answer())
	}
	list, err := certs.ParseDegenerate(x.body)
	if err != nil {
		var one *x509.Certificate
		if one, err = x509.ParseCertificate(x.body); err != nil {
			p.a.unasked("GetCACert brought no certificate: %v", err)
		}
		list = []*x509.Certificate{one}
	}
	return caps, list
}

// capabilities are what GetCACaps names.
func (p *phone) capabilities() []string {
	return strings.Fields(string(p.scepGet("GetCACaps", p.scep.Name).body))
}

// scepGet does one of the GET operations.
func (p *phone) scepGet(operation, message string) *Exchange {
	u, err := url.Parse(p.scep.URL)
	if err != nil {
		p.a.unasked("the profile's SCEP URL: %v", err)
	}
	q := u.Query()
	q.Set("operation", operation)
	if message != "" {
		q.Set("message", message)
	}
	u.RawQuery = q.Encode()
	x := p.do(http.MethodGet, u.String(), operation, nil, nil)
	if len(x.Request) > 300 {
		x.Request = x.Request[:300] + "…"
	}
	return x
}

// recipient is whom requests are encrypted to.
func recipient(list []*x509.Certificate) *x509.Certificate {
	var ca *x509.Certificate
	for _, c := range list {
		if _, ok := c.PublicKey.(*rsa.PublicKey); !ok {
			continue
		}
		if !c.IsCA && (c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageKeyEncipherment != 0) {
			return c
		}
		if ca == nil {
			ca = c
		}
	}
	return ca
}

// request makes a good PKCSReq for a new key.
func (p *phone) request() *request {
	key, err := p.key()
	if err != nil {
		p.a.unasked("no key: %v", err)
	}
	return p.requestFor(key)
}

// requestFor makes a good PKCSReq for a key.
func (p *phone) requestFor(key crypto.Signer) *request {
	caps, list := p.authority()
	r := &request{p: p, key: key, byGet: !slices.Contains(caps, "POSTPKIOperation") && !slices.Contains(caps, "SCEPStandard")}
	r.Recipient = recipient(list)
	if r.Recipient == nil {
		p.a.unasked("the SCEP service has no RSA certificate to encrypt to")
	}
	outer, err := transport()
	if err != nil {
		p.a.unasked("no RSA key: %v", err)
	}
	if k, ok := key.(*rsa.PrivateKey); ok {
		outer = k
	}
	t, err := scep.NewTransport(outer, p.a.now())
	if err != nil {
		p.a.unasked("no certificate to sign with: %v", err)
	}
	r.signer = certs.Signer{Certificate: t.Certificate, Key: outer}
	r.ask(p.scep.Challenge)
	return r
}

// ask writes the CSR with a challenge, and the message around it.
func (r *request) ask(challenge string) {
	subject, err := r.p.subject()
	if err != nil {
		r.p.a.unasked("no certificate request: %v", err)
	}
	r.askAs(subject, challenge, nil)
}

// askAs is ask with another subject. More nil: the extensions of the profile.
func (r *request) askAs(subject pkix.Name, challenge string, more []pkix.Extension) {
	var err error
	if more == nil {
		more, err = extensions(r.p.scep)
	}
	var csr []byte
	if err == nil {
		csr, err = scep.CSR(r.key, subject, more, challenge)
	}
	if err != nil {
		r.p.a.unasked("no certificate request: %v", err)
	}
	nonce := make([]byte, 16)
	rand.Read(nonce)
	id := make([]byte, 20)
	rand.Read(id)
	r.csr = csr
	r.Draft = scep.Draft{
		Type: scep.PKCSReq, TransactionID: hex.EncodeToString(id), SenderNonce: nonce, Content: csr, Recipient: r.Recipient, Signer: r.signer,
		Message: certs.Message{SigningTime: r.p.a.now()},
	}
}

// marshal makes the message's bytes.
func (r *request) marshal() []byte {
	der, err := r.Marshal()
	if err != nil {
		r.p.a.unasked("the SCEP message cannot be made: %v", err)
	}
	return der
}

// operation is a PKIOperation with bytes: by POST where the CA announces it, else by GET (apple.md section 3.1).
func (r *request) operation(der []byte) (method, to string, header http.Header, body []byte) {
	u, err := url.Parse(r.p.scep.URL)
	if err != nil {
		r.p.a.unasked("the profile's SCEP URL: %v", err)
	}
	q := u.Query()
	q.Set("operation", "PKIOperation")
	if r.byGet {
		q.Set("message", base64.StdEncoding.EncodeToString(der))
		u.RawQuery = q.Encode()
		return http.MethodGet, u.String(), nil, nil
	}
	u.RawQuery = q.Encode()
	return http.MethodPost, u.String(), http.Header{"Content-Type": {"application/x-pki-message"}}, der
}

// post sends bytes as a PKIOperation.
func (r *request) post(what string, der []byte) *Exchange {
	method, to, header, body := r.operation(der)
	x := r.p.do(method, to, what, header, body)
	if r.byGet {
		x.Request = "GET (the pkiMessage in the query, percent-encoded)"
	}
	return x
}

// issued returns the certificate in an answer that is for r's key; nil: there is none, and err says why.
func (r *request) issued(x *Exchange) (*x509.Certificate, *scep.Answer, error) {
	if x.Status != http.StatusOK {
		return nil, nil, fmt.Errorf("answered %s", x.answer())
	}
	answer, err := scep.ReadAnswer(x.body)
	if err != nil {
		return nil, nil, err
	}
	if answer.Status != 0 {
		return nil, answer, fmt.Errorf("pkiStatus %d, %s %s", answer.Status, answer.FailInfo, answer.Text)
	}
	list, err := answer.Open(r.signer)
	if err != nil {
		return nil, answer, err
	}
	public, _ := r.key.Public().(interface{ Equal(crypto.PublicKey) bool })
	for _, c := range list {
		if public.Equal(c.PublicKey) {
			return c, answer, nil
		}
	}
	return nil, answer, errors.New("the certificate is for another key")
}

// identify obtains the device's identity.
func (p *phone) identify() {
	r := p.request()
	x := r.post("PKCSReq", r.marshal())
	c, _, err := r.issued(x)
	if err != nil {
		p.a.unasked("no identity by SCEP: %v", err)
	}
	p.own(certs.Signer{Certificate: c, Key: r.key})
}

// sameCertificate tells whether two certificates are one.
func sameCertificate(a, b *x509.Certificate) bool {
	return a != nil && b != nil && bytes.Equal(a.Raw, b.Raw)
}
