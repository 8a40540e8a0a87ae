package mischief

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"net/http"
	"strings"
	"time"

	"rollcall/certs"
)

// Signed attributes of SCEP (RFC 8894, section 3.2.1).
var (
	messageKind    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	pkiStatus      = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 3}
	failInfo       = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 4}
	senderNonce    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	recipientNonce = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 6}
	transactionID  = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}
)

// A request is a PKIOperation that was opened with the CA's own key.
type request struct {
	*certs.Signed
	kind string // messageType
	csr  *x509.CertificateRequest
	raw  []byte // of csr
}

// operation is the SCEP operation of the request; empty: none.
func (c *call) operation() string { return c.r.URL.Query().Get("operation") }

// pki opens a PKIOperation by POST; nil: it is none that can be opened.
func (c *call) pki() *request {
	if c.r.Method != http.MethodPost || c.operation() != "PKIOperation" {
		return nil
	}
	s, err := certs.ParseSigned(c.body)
	if err != nil || s.Check(certs.Policy{}) != nil {
		return nil
	}
	q := &request{Signed: s}
	if s.Attribute(messageKind, &q.kind) != nil {
		return nil
	}
	if q.raw, err = certs.Decrypt(s.Content, c.m.ca.RA(), certs.Policy{}); err != nil {
		return nil
	}
	if q.csr, err = x509.ParseCertificateRequest(q.raw); err != nil {
		return nil
	}
	return q
}

// challenge is the request's challengePassword as it is written; empty: there is none, or a long one.
func (q *request) challenge() string {
	oid := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x07}
	_, rest, found := bytes.Cut(q.raw, oid)
	if !found || len(rest) < 4 || rest[3] >= 0x80 || len(rest) < 4+int(rest[3]) { // SET, length, string, length
		return ""
	}
	return string(rest[4 : 4+int(rest[3])])
}

// grant answers q with a certificate that nobody was asked about. An empty name is as good as any.
func (c *call) grant(q *request, name string) {
	if name == "" {
		name = "mischief"
	}
	leaf, err := c.m.ca.Issue(certs.IssueRequest{Public: q.csr.PublicKey, Handle: name, Now: time.Now()})
	c.answer(q, leaf, err)
}

// answer answers q with a certificate, if making it did not fail.
func (c *call) answer(q *request, leaf *x509.Certificate, err error) {
	ca := c.m.ca
	var inside, envelope, der []byte
	if err == nil {
		inside, err = certs.Degenerate(leaf)
	}
	if err == nil {
		envelope, err = certs.Encrypt(inside, q.Signer)
	}
	var id, nonce asn1.RawValue
	if err == nil {
		err = q.Attribute(transactionID, &id)
	}
	if err == nil {
		err = q.Attribute(senderNonce, &nonce)
	}
	fresh := make([]byte, 16)
	rand.Read(fresh)
	if err == nil {
		m := certs.Message{Content: envelope, First: []*x509.Certificate{leaf}, SigningTime: time.Now(), Attributes: []certs.Attribute{
			{Type: messageKind, Value: "3"}, {Type: pkiStatus, Value: "0"}, {Type: transactionID, Value: id}, {Type: recipientNonce, Value: nonce}, {Type: senderNonce, Value: fresh},
		}}
		der, err = m.Sign(ca.RA())
	}
	if err != nil {
		http.Error(c.w, err.Error(), http.StatusInternalServerError)
		return
	}
	c.w.Header().Set("Content-Type", "application/x-pki-message")
	c.w.Write(der)
}

// granted tells whether an answer is a CertRep SUCCESS.
func granted(a *answer) bool {
	s, err := certs.ParseSigned(a.body)
	var status string
	return err == nil && s.Attribute(pkiStatus, &status) == nil && status == "0"
}

func noGet(c *call) {
	if c.r.Method == http.MethodGet && c.operation() == "PKIOperation" {
		c.say(http.StatusBadRequest)
		return
	}
	c.pass()
}

func copiedNonce(c *call) {
	a := c.ask(c.body)
	s, err := certs.ParseSigned(a.body)
	if c.operation() != "PKIOperation" || err != nil {
		c.give(a)
		return
	}
	m := certs.Message{Content: s.Content, Detached: len(s.Content) == 0, SigningTime: time.Now()}
	for _, cert := range s.Certificates {
		if !cert.Equal(s.Signer) && !cert.IsCA {
			m.First = append(m.First, cert)
		}
	}
	for _, id := range []asn1.ObjectIdentifier{messageKind, pkiStatus, failInfo, transactionID, recipientNonce} {
		var v asn1.RawValue
		if s.Attribute(id, &v) == nil {
			m.Attributes = append(m.Attributes, certs.Attribute{Type: id, Value: v})
		}
		if id.Equal(recipientNonce) {
			m.Attributes = append(m.Attributes, certs.Attribute{Type: senderNonce, Value: v})
		}
	}
	if a.body, err = m.Sign(c.m.ca.RA()); err != nil {
		a.status = http.StatusInternalServerError
	}
	c.give(a)
}

func anyChallenge(c *call) {
	q := c.pki()
	a := c.ask(c.body)
	switch {
	case q == nil || q.kind != "19":
	case granted(a):
		c.m.note("spent "+q.challenge(), "yes")
	case c.m.noted("spent "+q.challenge()) == "":
		c.grant(q, "")
		return
	}
	c.give(a)
}

func onceOnly(c *call) {
	if q := c.pki(); q != nil && q.kind == "19" && c.m.note("sent "+string(q.raw), "yes") != "" {
		c.say(http.StatusBadRequest)
		return
	}
	c.pass()
}

func anyRenewal(c *call) {
	if q := c.pki(); q != nil && q.kind == "17" {
		c.grant(q, "")
		return
	}
	c.pass()
}

func anyMessage(c *call) {
	if q := c.pki(); q != nil && q.kind != "19" && q.kind != "17" && q.kind != "20" {
		c.grant(q, "")
		return
	}
	c.pass()
}

func namesOfTheRequest(c *call) {
	if q := c.pki(); q != nil && q.kind == "19" && len(q.csr.DNSNames) > 0 {
		leaf, err := c.m.ca.IssueServer(q.csr.DNSNames, q.csr.PublicKey, time.Now(), 0)
		c.answer(q, leaf, err)
		return
	}
	c.pass()
}

// raceTime is how long requests are held so that those of one challenge meet.
const raceTime = 100 * time.Millisecond

func raced(c *call) {
	q := c.pki()
	if q == nil || q.kind != "19" {
		c.pass()
		return
	}
	key := "racing " + q.challenge()
	if c.m.note(key, c.m.noted(key)+"x") != "" {
		c.m.note("raced "+q.challenge(), "yes")
	}
	time.Sleep(raceTime)
	met := c.m.noted("raced "+q.challenge()) != ""
	c.m.note(key, "")
	if met {
		c.grant(q, "")
		return
	}
	c.pass()
}

func weakCapabilities(c *call) {
	if c.operation() == "GetCACaps" {
		c.w.Header().Set("Content-Type", "text/plain")
		c.w.Write([]byte(strings.Join([]string{"DES3", "SHA-1", "POSTPKIOperation", "Renewal"}, "\n")))
		return
	}
	c.pass()
}

func failsOnGarbage(c *call) {
	a := c.ask(c.body)
	if c.operation() == "PKIOperation" && a.status == http.StatusBadRequest {
		a.status = http.StatusInternalServerError
	}
	c.give(a)
}

func noChain(c *call) {
	a := c.ask(c.body)
	if !c.link(a) {
		c.give(a)
		return
	}
	signed, err := certs.VerifyAttached(a.body, certs.Policy{})
	if err == nil {
		key, keyErr := certs.GenerateKey(certs.P256)
		if err = keyErr; err == nil {
			root := c.m.ca.Certificate() // whose time is all that is known here of a driven clock
			var leaf *x509.Certificate
			if leaf, err = c.m.ca.IssueServer([]string{"127.0.0.1"}, key.Public(), root.NotBefore, root.NotAfter.Sub(root.NotBefore)); err == nil {
				a.body, err = certs.SignAttached(signed.Content, certs.Signer{Certificate: leaf, Key: key}, root.NotBefore)
			}
		}
	}
	if err != nil {
		a.status = http.StatusInternalServerError
	}
	c.give(a)
}
