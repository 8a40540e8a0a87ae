package conformance

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"slices"
	"time"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol"
)

var renewalRequestStatements = []Statement{{
	ID: "APL-011", Suite: Apple, Class: OfApple, Must: true, serial: true, check: checkAPL011,
	Says:   "Who announces Renewal grants a RenewalReq of a living identity without a challenge; one of a certificate that the CA did not issue, that has ended or was revoked, one for another subject and one whose signature does not verify are refused.",
	Source: "apple.md 3.5; RFC 8894 sections 2.5, 3.3.1.2",
	Why:    "A renewal needs no challenge: whoever passes for a holder gets an identity. And a CA that announces it and refuses leaves devices without an identity on the day they count on it (micromdm#557: legitimate renewals were locked out).",
	How:    "Where Renewal is announced, an enrolled device asks: by a foreign certificate, with another subject, with a byte of the signature changed, and in good order. Where that is refused, once more with a challenge, which it must not need, and where time may be set in the last forty days. Then by an identity that has ended, where its end is within reach; with --as intune also by that of a device that left.",
	Fix:    "Verify the signer against the CA, its validity and revocation, and compare the subjects, before issuing; ask for no challenge, and announce Renewal only if you renew.",
}}

// renewing is an enrolled device whose identity is RSA: a RenewalReq is signed by it.
func (a *asking) renewing() (*phone, *request) {
	p := a.invited(protocol.IOS)
	r := p.request()
	key, ok := r.key.(*rsa.PrivateKey)
	if !ok {
		var err error
		if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			a.unasked("no key: %v", err)
		}
	}
	r.key, r.signer.Key = key, key
	t, err := scep.NewTransport(key, a.now())
	if err != nil {
		a.unasked("no certificate to sign with: %v", err)
	}
	r.signer.Certificate = t.Certificate
	r.ask(p.scep.Challenge)
	identity, _, err := r.issued(r.post("PKCSReq", r.marshal()))
	if err != nil {
		a.unasked("no identity by SCEP: %v", err)
	}
	r.p = p.unsigned() // SCEP knows who asks by the message, whatever became of the identity
	p.own(certs.Signer{Certificate: identity, Key: key})
	p.enrol()
	return p, r
}

// renew asks for another identity by a RenewalReq; nil: it was refused.
func (r *request) renew(what string, signer certs.Signer, subject pkix.Name, challenge string, alter bool) *x509.Certificate {
	a, q := r.p.a, *r
	var err error
	if q.key, err = r.p.key(); err != nil {
		a.unasked("no key: %v", err)
	}
	q.signer = signer
	q.askAs(subject, challenge, nil)
	q.Type = scep.RenewalReq
	der := q.marshal()
	if alter {
		der[len(der)-1] ^= 1 // the last byte of the signature
	}
	x := q.post("RenewalReq "+what, der)
	if x.Status != http.StatusOK && !alter { // how those are refused is APL-007's question
		a.fail("a RenewalReq %s was answered %s, want 200 with a CertRep", what, x.answer())
	}
	c, _, _ := q.issued(x)
	return c
}

func checkAPL011(a *asking) {
	if !slices.Contains(a.invited(protocol.IOS).capabilities(), "Renewal") {
		a.skip("the CA does not announce Renewal")
	}
	p, r := a.renewing()
	own, subject := p.identity, sameSubject(p.identity.Certificate.Subject)
	foreign := certs.Signer{Certificate: selfSigned(a, own.Key, own.Certificate.Subject.CommonName, nil), Key: own.Key}
	if r.renew("by a foreign certificate", foreign, subject, "", false) != nil {
		a.fail("a certificate that the CA did not issue renewed itself")
	}
	if r.renew("with another subject", own, pkix.Name{CommonName: "another"}, "", false) != nil {
		a.fail("a renewal changed the subject")
	}
	if r.renew("with an altered signature", own, subject, "", true) != nil {
		a.fail("a renewal was granted although its signature does not verify")
	}
	granted := r.renew("in good order", own, subject, "", false)
	refused := a.last
	if granted == nil && r.renew("in good order, with a challenge", own, subject, a.invited(protocol.IOS).scep.Challenge, false) != nil {
		a.failBy(refused, "the CA announces Renewal, and grants it only with a challenge, which a renewal has not")
	}
	if a.Intune { // that leaving revokes the identity is nothing that Apple demands
		if err := p.leave(a.ctx); err != nil {
			a.unasked("the device cannot leave: %v", err)
		}
		if r.renew("by the identity of a device that left", own, subject, "", false) != nil {
			a.fail("the identity of a device that left renewed itself")
		}
		p, r = a.renewing()
		own, subject = p.identity, sameSubject(p.identity.Certificate.Subject)
	}
	switch {
	case granted != nil:
	case !a.ownsTime():
		a.without("whether the CA renews at all: it refuses a renewal as early as this, and the server's time is not this run's to set")
	default:
		a.freshPush()
		a.stepTo(own.Certificate.NotAfter.Add(-40 * 24 * time.Hour))
		if granted = r.renew("forty days before its end", own, subject, "", false); granted == nil {
			a.fail("the CA announces Renewal, and refuses it forty days before the identity ends")
		}
	}
	if a.outlive(p, "a RenewalReq by an identity that has ended") && r.renew("by an identity that has ended", own, subject, "", false) != nil {
		a.fail("an identity that has ended renewed itself")
	}
}
