package conformance

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/certs"
	"rollcall/certs/scep"
	"rollcall/protocol"
)

var scepStatements = []Statement{
	{
		ID: "APL-005", Suite: Apple, Class: OfApple, Must: true, check: checkAPL005,
		Says:   "GetCACaps, GetCACert and PKIOperation, by POST and by GET with percent-encoded base64, answer with their content types.",
		Source: "apple.md 3.1; RFC 8894 sections 3.5, 4.1 to 4.3",
		Why:    "Apple's clients choose POST or GET by what is announced, and send empty or named message parameters; servers that read them strictly lose devices (micromdm#436, scep#155).",
		How:    "Each operation is asked as Apple's clients ask, also with an empty message, and an identity is fetched by GET; POST is asked where GetCACaps announces POSTPKIOperation or SCEPStandard.",
		Fix:    "Answer application/x-x509-ca-cert or -ca-ra-cert to GetCACert and application/x-pki-message to PKIOperation; ignore a message that GetCACaps brings.",
	},
	{
		ID: "APL-006", Suite: Apple, Class: OfApple, Must: true, check: checkAPL006,
		Says:   "A CertRep has the request's transactionID, its senderNonce as recipientNonce, and a fresh senderNonce.",
		Source: "apple.md 3.2; RFC 8894 section 3.2.1",
		Why:    "A client that cannot tie an answer to its request may take a replayed one; a library in wide use copies the nonce.",
		How:    "The signed attributes of two answers are compared with those of their requests.",
		Fix:    "Draw 16 random bytes as senderNonce of each answer.",
	},
	{
		ID: "APL-007", Suite: Apple, Class: OfApple, Must: true, serial: true, check: checkAPL007,
		Says:   "A wrong, missing, expired or spent challenge gets HTTP 200 with FAILURE badRequest, an altered signature badMessageCheck, a signer without RSA, and SHA-1, 3DES or DES that was not announced, badAlg; never a certificate.",
		Source: "apple.md 3.2, 3.4; RFC 8894 section 3.2.1.4",
		Why:    "Whoever gets a certificate without its challenge is a managed device (CERT VU#971035). An HTTP error in place of FAILURE makes clients try again for ever.",
		How:    "A request with a wrong challenge, one with none, one with a byte of its signature changed, one signed by a P-256 key; then good ones by SHA-1 and under 3DES, where GetCACaps does not name them, and under DES; then one with the challenge that another has spent, and where time may be set one whose challenge is a day old.",
		Fix:    "Check signature and challenge before anything else, and answer refusals as CertRep FAILURE with their failInfo.",
	},
	{
		ID: "APL-008", Suite: Apple, Class: OfApple, Must: true, check: checkAPL008,
		Says:   "The same request again, with its transactionID, gets the same certificate; another key with the spent challenge gets none.",
		Source: "apple.md 3.2, 3.4; RFC 8894 section 3.2.1.1",
		Why:    "A device that lost the answer asks again; refused, its user starts from the beginning (nanomdm#73). A challenge that serves twice enrols a stranger.",
		How:    "The same message is sent twice, then a message for another key with the same challenge.",
		Fix:    "Keep the answer of a transaction for a day, by transactionID and request; spend the challenge with the first certificate.",
	},
	{
		ID: "APL-012", Suite: Apple, Class: OfApple, Must: true, check: checkAPL012,
		Says:   "The CA announces AES and SHA-256 (or SCEPStandard), takes what else it announces, and answers with AES, never with DES.",
		Source: "apple.md 3.1, 3.2; RFC 8894 sections 2.9, 3.5.2",
		Why:    "iOS 18 refuses a CA whose capabilities it finds insufficient (smallstep/certificates#2406); a common library encrypts with DES unless told otherwise.",
		How:    "GetCACaps is read, and the cipher of the envelope in which a certificate comes; SHA-1 and 3DES, where they are announced, are tried.",
		Fix:    "Announce AES, SHA-256, POSTPKIOperation and SCEPStandard, and set the cipher of answers to AES.",
	},
	{
		ID: "APL-013", Suite: Apple, Class: OfApple, Must: true, check: checkAPL013,
		Says:   "An issued certificate is for client authentication, begins some minutes before it was issued and has a serial number of its own; an empty or senseless PKIOperation gets 400.",
		Source: "apple.md 3.1, 3.6",
		Why:    "Devices whose clocks are seconds behind sign before their certificate begins and are refused (nanomdm#73, micromdm#1015); old Macs POST an empty body (scep#155).",
		How:    "Two certificates are fetched and read; two bodies that are no pkiMessage are posted.",
		Fix:    "Set notBefore ten minutes back, EKU clientAuth, a serial that no other certificate has; answer 400 to what cannot be read.",
	},
	{
		ID: "HST-037", Suite: Apple, Class: OfApple, Must: true, check: checkHST037,
		Says:   "Of several requests that bring the same challenge at the same moment, exactly one gets a certificate.",
		Source: "hostile.md 3; CERT VU#971035",
		Why:    "A challenge that is checked first and spent later gives two identities to whoever is quick.",
		How:    "Four requests for four keys with one challenge are sent together, on connections that are open already.",
		Fix:    "Spend the challenge in the same transaction that records the certificate.",
	},
	{
		ID: "HST-038", Suite: Apple, Class: OfApple, Must: true, check: checkHST038,
		Says:   "SCEP messages of types that are not served get no certificate, whatever challenge they bring.",
		Source: "hostile.md 3; CVE-2026-30836 of step-ca",
		Why:    "A switch over the message type whose default skipped authorisation issued certificates to anybody.",
		How:    "UpdateReq, CertRep and two unknown numbers, each around a request without a challenge.",
		Fix:    "Refuse by default; decide who may ask before looking at what is asked.",
	},
	{
		ID: "HST-039", Suite: Apple, Class: OfApple, Must: true, check: checkHST039,
		Says:   "The issued certificate takes its key from the request and nothing else: no subject of another device, no name or address of a host, no wildcard, no CA, nothing without end.",
		Source: "hostile.md 3; apple.md 3.6; CVE-2025-61727",
		Why:    "A device that chooses its subject can choose another's; one that gets a host name or a CA bit can be the server (Duo Labs on automated enrolment, 2018).",
		How:    "Requests with another enrolled device's subject and a CA constraint, with the server's host name, a wildcard, an address, a mailbox and a URI, and with an extension of 100 KiB; each certificate that comes is read.",
		Fix:    "Write subject and extensions from the enrolment record.",
	},
}

func media(x *Exchange) string {
	kind, _, _ := mime.ParseMediaType(x.header.Get("Content-Type"))
	return kind
}

func checkAPL005(a *asking) {
	p := a.invited(protocol.IOS)
	for _, message := range []string{p.scep.Name, ""} {
		if x := p.scepGet("GetCACaps", message); x.Status != http.StatusOK || len(bytes.TrimSpace(x.body)) == 0 {
			a.fail("GetCACaps was answered %s with %d bytes", x.answer(), len(x.body))
		}
	}
	x := p.scepGet("GetCACert", p.scep.Name)
	var err error
	switch kind := media(x); {
	case x.Status != http.StatusOK:
		a.fail("GetCACert was answered %s", x.answer())
	case kind == "application/x-x509-ca-cert":
		_, err = x509.ParseCertificate(x.body)
	case kind == "application/x-x509-ca-ra-cert":
		_, err = certs.ParseDegenerate(x.body)
	default:
		a.fail("GetCACert came as %q", kind)
	}
	if err != nil {
		a.fail("GetCACert is not what its content type says: %v", err)
	}
	r := p.request()
	posted := !r.byGet
	r.byGet = true
	x = r.post("PKIOperation by GET", r.marshal())
	if _, _, err := r.issued(x); err != nil || media(x) != "application/x-pki-message" {
		a.fail("PKIOperation by GET: %v, content type %q", err, media(x))
	}
	if !posted { // nobody may ask so who is not told that it may be done
		return
	}
	r.byGet = false
	again := r.post("the same by POST", r.marshal())
	if again.Status != http.StatusOK || media(again) != "application/x-pki-message" {
		a.fail("PKIOperation by POST was answered %s as %q", again.answer(), media(again))
	}
}

// certified is a device's request that brought its certificate.
func (p *phone) certified() (*request, *x509.Certificate, *scep.Answer) {
	r := p.request()
	c, answer, err := r.issued(r.post("PKCSReq", r.marshal()))
	if err != nil {
		p.a.unasked("no identity by SCEP: %v", err)
	}
	return r, c, answer
}

func checkAPL006(a *asking) {
	var nonces [][]byte
	for range 2 {
		r, _, answer := a.invited(protocol.IOS).certified()
		switch {
		case answer.Type != scep.CertRep:
			a.fail("the answer has messageType %d, want 3", answer.Type)
		case answer.TransactionID != r.TransactionID:
			a.fail("transactionID is %q, was %q", answer.TransactionID, r.TransactionID)
		case answer.TextTag != asn1.TagPrintableString:
			a.fail("transactionID is no PrintableString")
		case !bytes.Equal(answer.Recipient, r.SenderNonce):
			a.fail("recipientNonce is not the request's senderNonce")
		case bytes.Equal(answer.SenderNonce, r.SenderNonce):
			a.fail("senderNonce is a copy of the request's")
		case len(answer.SenderNonce) != 16:
			a.fail("senderNonce has %d bytes, want 16", len(answer.SenderNonce))
		}
		nonces = append(nonces, answer.SenderNonce)
	}
	if bytes.Equal(nonces[0], nonces[1]) {
		a.fail("senderNonce is the same in two answers")
	}
}

// refusal wants a CertRep FAILURE in an answer.
func (r *request) refusal(x *Exchange, what string, want scep.FailInfo) {
	a := r.p.a
	if x.Status != http.StatusOK {
		a.fail("%s was answered %s, want 200 with FAILURE", what, x.answer())
	}
	answer, err := scep.ReadAnswer(x.body)
	switch {
	case err != nil:
		a.fail("%s: %v", what, err)
	case answer.Status == 0:
		a.fail("%s got a certificate", what)
	case answer.Status != 2 || answer.FailInfo != want:
		a.fail("%s got pkiStatus %d, %s; want FAILURE %s", what, answer.Status, answer.FailInfo, want)
	}
}

func checkAPL007(a *asking) {
	p := a.invited(protocol.IOS)
	r := p.request()
	r.ask(p.scep.Challenge + "x")
	r.refusal(r.post("PKCSReq with a wrong challenge", r.marshal()), "a wrong challenge", scep.BadRequest)
	r.ask("")
	r.refusal(r.post("PKCSReq without a challenge", r.marshal()), "no challenge", scep.BadRequest)

	r.ask(p.scep.Challenge)
	altered := r.marshal()
	altered[len(altered)-1] ^= 1 // the last byte of the signature
	r.refusal(r.post("PKCSReq with an altered signature", altered), "an altered signature", scep.BadMessageCheck)

	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		a.unasked("no key: %v", err)
	}
	r.Signer = certs.Signer{Certificate: selfSigned(a, key, "device", nil), Key: key}
	r.refusal(r.post("PKCSReq signed by a P-256 key", r.marshal()), "a message that cannot be answered", scep.BadAlg)

	caps := p.capabilities()
	if !slices.Contains(caps, "SHA-1") {
		r.refusal(r.weak("SHA-1"), "a request signed by SHA-1, which is not announced,", scep.BadAlg)
	}
	if !slices.Contains(caps, "DES3") {
		r.refusal(r.weak("DES3"), "a request under 3DES, which is not announced,", scep.BadAlg)
	}
	r.refusal(r.weak("DES"), "a request under DES", scep.BadAlg)

	p.certified()
	spent := p.request()
	spent.refusal(spent.post("PKCSReq with a spent challenge", spent.marshal()), "a spent challenge", scep.BadRequest)
	late := a.invited(protocol.IOS).request()
	if !a.ownsTime() {
		a.without("an expired challenge: the server's time is not this run's to set")
		return
	}
	a.pass(25 * time.Hour)
	late.ask(late.p.scep.Challenge)
	late.refusal(late.post("PKCSReq with a challenge that is a day old", late.marshal()), "a challenge that is a day old", scep.BadRequest)
}

// weak posts a good request that is weak in one way: SHA-1, DES3 or DES.
func (r *request) weak(way string) *Exchange {
	r.ask(r.p.scep.Challenge)
	var err error
	if r.Message.SHA1 = way == "SHA-1"; !r.Message.SHA1 {
		r.Envelope, err = certs.EncryptWeak(r.csr, r.Recipient, way == "DES3")
	}
	if err != nil {
		r.p.a.unasked("the SCEP message cannot be made: %v", err)
	}
	return r.post("PKCSReq by "+way, r.marshal())
}

func checkAPL008(a *asking) {
	p := a.invited(protocol.IOS)
	r, first, _ := p.certified()
	second, _, err := r.issued(r.post("the same PKCSReq again", r.marshal()))
	switch {
	case err != nil:
		a.fail("the same request again: %v", err)
	case !sameCertificate(first, second):
		a.fail("the same request again got another certificate: serial %x, then %x", first.SerialNumber, second.SerialNumber)
	}
	other := p.request()
	if c, _, _ := other.issued(other.post("PKCSReq for another key with the spent challenge", other.marshal())); c != nil {
		a.fail("another key got a certificate for the spent challenge")
	}
}

// selfSigned makes a certificate of its own for a key.
func selfSigned(a *asking, key crypto.Signer, name string, change func(*x509.Certificate)) *x509.Certificate {
	c, err := selfMade(key, name, a.now(), change)
	if err != nil {
		a.unasked("no certificate: %v", err)
	}
	return c
}

// selfMade is selfSigned at a time. Change, unless nil, has the last word.
func selfMade(key crypto.Signer, name string, now time.Time, change func(*x509.Certificate)) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func checkAPL012(a *asking) {
	p := a.invited(protocol.IOS)
	x := p.scepGet("GetCACaps", p.scep.Name)
	caps := strings.Fields(string(x.body))
	strong := slices.Contains(caps, "AES") && (slices.Contains(caps, "SHA-256") || slices.Contains(caps, "SHA-512"))
	if !strong && !slices.Contains(caps, "SCEPStandard") {
		a.fail("GetCACaps announces %q: iOS 18 asks for AES and SHA-256", caps)
	}
	for _, way := range []string{"SHA-1", "DES3"} {
		if !slices.Contains(caps, way) {
			continue
		}
		weak := p.request().weak(way)
		if answer, err := scep.ReadAnswer(weak.body); err != nil || answer.Status == 2 && answer.FailInfo == scep.BadAlg {
			a.failBy(weak, "GetCACaps announces %s, and a request by it is refused", way)
		}
		p = a.invited(protocol.IOS)
	}
	_, _, answer := p.certified()
	if id := answer.Cipher.String(); !strings.HasPrefix(id, "2.16.840.1.101.3.4.1.") {
		a.fail("the certificate came under cipher %s, which is no AES", id)
	}
}

func checkAPL013(a *asking) {
	p := a.invited(protocol.IOS)
	_, c, _ := p.certified()
	_, second, _ := a.invited(protocol.IOS).certified()
	now := a.now()
	switch {
	case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		a.fail("the certificate is not for client authentication")
	case c.NotBefore.After(now.Add(-time.Minute)):
		a.fail("the certificate begins at %s, and it is %s: a device whose clock is a little behind is refused", c.NotBefore.UTC(), now.UTC())
	case c.NotAfter.Before(now.AddDate(0, 0, 300)) || c.NotAfter.After(now.AddDate(0, 0, 430)):
		a.fail("the certificate lives until %s, want about a year", c.NotAfter.UTC())
	case c.SerialNumber.Cmp(second.SerialNumber) == 0:
		a.fail("two certificates have the serial number %x", c.SerialNumber)
	}
	r := p.request()
	for what, body := range map[string][]byte{"an empty PKIOperation": {}, "a PKIOperation without sense": []byte("this is no pkiMessage")} {
		if x := r.post(what, body); x.Status != http.StatusBadRequest {
			a.fail("%s was answered %s, want 400", what, x.answer())
		}
	}
}

func checkHST037(a *asking) {
	p := a.invited(protocol.IOS)
	const n = 4
	requests, messages, clients := make([]*request, n), make([][]byte, n), make([]*phone, n)
	for i := range n {
		one := *p
		one.client = a.clients.of(certs.Signer{}, p.anchors)
		clients[i] = &one
		requests[i] = one.request() // opens the connection too
		messages[i] = requests[i].marshal()
	}
	answers := make([]*Exchange, n)
	var wait sync.WaitGroup
	for i := range n {
		method, to, header, body := requests[i].operation(messages[i])
		wait.Go(func() {
			answers[i] = a.exchange(a.ctx, clients[i].client, method, to, "one of four with the same challenge", header, body)
		})
	}
	wait.Wait()
	won := 0
	for i := range n {
		a.last = answers[i]
		if c, _, _ := requests[i].issued(answers[i]); c != nil {
			won++
		}
	}
	if won != 1 {
		a.fail("%d of %d got a certificate for one challenge, want 1", won, n)
	}
}

func checkHST038(a *asking) {
	p := a.invited(protocol.IOS)
	r := p.request()
	for _, kind := range []scep.MessageType{18, 3, 99, 0} {
		r.ask("")
		r.Type = kind
		x := r.post("a message of type "+kindName(kind), r.marshal())
		if c, _, _ := r.issued(x); c != nil {
			a.fail("messageType %d without a challenge got a certificate", kind)
		}
		if x.Status == 0 {
			a.fail("messageType %d was answered %s", kind, x.answer())
		}
	}
}

func kindName(k scep.MessageType) string {
	if k == 18 {
		return "UpdateReq"
	}
	return strconv.Itoa(int(k))
}

func checkHST039(a *asking) {
	victim := a.enrolled(protocol.IOS).identity.Certificate
	p := a.invited(protocol.IOS)
	u, err := url.Parse(p.mdm.ServerURL)
	if err != nil {
		a.unasked("ServerURL: %v", err)
	}
	names, err := asn1.Marshal([]asn1.RawValue{
		{Class: 2, Tag: 2, Bytes: []byte(u.Hostname())},
		{Class: 2, Tag: 2, Bytes: []byte("*." + u.Hostname())},
		{Class: 2, Tag: 7, Bytes: []byte{127, 0, 0, 1}},
		{Class: 2, Tag: 1, Bytes: []byte("root@rollcall.invalid")},
		{Class: 2, Tag: 6, Bytes: []byte("urn:rollcall:another")},
	})
	if err != nil {
		a.unasked("no request: %v", err)
	}
	const long = 100 << 10 // as much as a message may hold
	for _, tt := range []struct {
		what    string
		subject pkix.Name
		more    []pkix.Extension
	}{
		{"another device's subject and a CA constraint", sameSubject(victim.Subject), []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}},
		}},
		{"names that are not its own", pkix.Name{CommonName: "device"}, []pkix.Extension{{Id: oidAltNames, Value: names}}},
		{"an extension of 100 KiB", pkix.Name{CommonName: "device"}, []pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: append([]byte{4, 0x83, long >> 16, long >> 8 & 0xff, long & 0xff}, make([]byte, long)...)},
		}},
	} {
		q := a.invited(protocol.IOS)
		r := q.request()
		r.askAs(tt.subject, q.scep.Challenge, tt.more)
		c, _, err := r.issued(r.post("PKCSReq with "+tt.what, r.marshal()))
		switch {
		case err != nil:
			continue // refused: nobody got anything
		case c.IsCA:
			a.fail("the certificate is a CA")
		case len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses)+len(c.URIs) > 0:
			a.fail("the certificate has the names %q %v %q %v, which the request chose", c.DNSNames, c.IPAddresses, c.EmailAddresses, c.URIs)
		case bytes.Equal(c.RawSubject, victim.RawSubject):
			a.fail("the certificate has the subject of another device, %q, which the request chose", c.Subject)
		case len(c.Raw) > long/2:
			a.fail("the certificate has %d bytes, which the request brought", len(c.Raw))
		}
	}
}

// issue signs template's names and uses for another key.
func issue(template, parent *x509.Certificate, key, by crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
