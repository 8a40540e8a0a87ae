package conformance

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol/android"
	"rollcall/protocol/apple"
)

// How a droid comes to its identity: by EST or by SCEP, as the server offers.

// An issuance is a request for a certificate, and what became of it.
type issuance struct {
	certs.Signer // without a certificate: none came for its key
	*Exchange
	granted bool // the server took it for a good request
}

// identify obtains the identity that the server offered.
func (d *droid) identify() {
	got := d.apply(d.device, d.offer)
	if got.Certificate == nil {
		d.blame("a request for an identity by %s brought no certificate: %s", d.offer.Method, got.answer())
	}
	d.own(got.Signer)
}

// apply asks for a certificate in a device's name, as an offer has it: for the key that was attested, else for a new one. An offer without a
// challenge is for a renewal.
func (d *droid) apply(name string, o android.Offer) issuance {
	if d.attested != nil && o.Challenge != "" {
		return d.applyFor(d.attested, name, o)
	}
	return d.applyFor(d.newKey(o), name, o)
}

func (d *droid) applyFor(key crypto.Signer, name string, o android.Offer) issuance {
	switch o.Method {
	case android.EST:
		return d.applyByEST(key, name, o)
	case android.SCEP:
		return d.applyBySCEP(key, name, o)
	}
	d.a.unasked("the server offers identities by %q: only EST and SCEP are spoken here", o.Method)
	return issuance{}
}

// applyByEST is apply by RFC 7030, section 4.2.
func (d *droid) applyByEST(key crypto.Signer, name string, o android.Offer) issuance {
	csr, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		d.a.unasked("no certificate request: %v", err)
	}
	operation, h := "simplereenroll", http.Header{"Content-Type": {"application/pkcs10"}, "Content-Transfer-Encoding": {"base64"}}
	if o.Challenge != "" {
		operation = "simpleenroll"
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":"+o.Challenge)))
	}
	x := d.do(http.MethodPost, strings.TrimSuffix(o.URL, "/")+"/"+operation, operation, h, []byte(base64.StdEncoding.EncodeToString(csr)))
	return issuance{certs.Signer{Certificate: issuedFor(key, x), Key: key}, x, x.Status/100 == 2}
}

// applyBySCEP is apply by RFC 8894, section 3.3. A renewal is signed by the identity that d has.
func (d *droid) applyBySCEP(key crypto.Signer, name string, o android.Offer) issuance {
	r := d.scepClient(name, o).requestFor(key)
	if o.Challenge == "" {
		r.signer = d.identity
		r.askAs(sameSubject(d.identity.Certificate.Subject), "", nil)
		r.Type = scep.RenewalReq
	}
	x := r.post("a request for an identity", r.marshal())
	c, _, _ := r.issued(x)
	return issuance{certs.Signer{Certificate: c, Key: r.key}, x, c != nil}
}

// scepClient is d as one that has its offer in a profile, as Apple's devices have.
func (d *droid) scepClient(name string, o android.Offer) *phone {
	return &phone{a: d.a, name: d.name, enrolment: enrolment{scep: &apple.SCEP{URL: o.URL, Challenge: o.Challenge, Subject: [][][]string{{{"CN", name}}}}}}
}

// issuers are the authorities that the server says sign identities, and the answer that says so.
func (d *droid) issuers() ([]*x509.Certificate, *Exchange) {
	if d.offer.Method == android.SCEP {
		_, list := d.scepClient(d.device, d.offer).authority()
		return list, d.a.last
	}
	x := d.do(http.MethodGet, strings.TrimSuffix(d.offer.URL, "/")+"/cacerts", "cacerts", nil, nil)
	return estCertificates(x), x
}

// newKey makes a key of the kind that an offer names.
func (d *droid) newKey(o android.Offer) crypto.Signer {
	kind := certs.P256
	if o.KeyAlgorithm == android.RSA2048 {
		kind = certs.RSA2048
	}
	key, err := certs.GenerateKey(kind)
	if err != nil {
		d.a.unasked("no key: %v", err)
	}
	return key
}

// estCertificates are those in the answer of an EST service; nil: there are none.
func estCertificates(x *Exchange) []*x509.Certificate {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(x.body)), ""))
	if x.Status != http.StatusOK || media(x) != "application/pkcs7-mime" || err != nil {
		return nil
	}
	all, err := certs.ParseDegenerate(der)
	if err != nil {
		return nil
	}
	return all
}

// issuedFor is the certificate for a key in such an answer; nil: there is none.
func issuedFor(key crypto.Signer, x *Exchange) *x509.Certificate {
	mine, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	all := estCertificates(x)
	if i := slices.IndexFunc(all, func(c *x509.Certificate) bool { return ok && mine.Equal(c.PublicKey) }); i >= 0 {
		return all[i]
	}
	return nil
}
