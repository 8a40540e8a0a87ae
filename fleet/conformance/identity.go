package conformance

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net"
	"net/http"
	"net/url"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

var identityStatements = []Statement{
	{
		ID: "APL-020", Suite: Apple, Class: OfApple, Must: true, check: checkAPL020,
		Says:   "A request with neither certificate nor signature is refused on both endpoints, and not with 401.",
		Source: "apple.md 4.1, 4.3",
		Why:    "Who needs no identity can be any device; a 401 would make a device that lost its way give up its management.",
		How:    "Idle and TokenUpdate of an enrolled device from a connection without a certificate.",
		Fix:    "Ask for the client certificate, refuse with 400 or 403 where there is none.",
	},
	{
		ID: "APL-021", Suite: Apple, Class: OfApple, Must: true, check: checkAPL021,
		Says:   "An Mdm-Signature verifies in both forms, DER with SHA-256 and BER with SHA-1 as Macs write it; over an altered body it gets 400.",
		Source: "apple.md 4.2",
		Why:    "Every Mac signs with indefinite lengths, SHA-1 and no attributes; standard libraries refuse that, and the Mac cannot check in (smallstep/pkcs7#21).",
		How:    "Where the profile says SignMessage: Idle without a certificate, signed both ways, then with one byte of the body changed.",
		Fix:    "Turn BER into DER, verify SHA-1 by hand for this one header, over the bytes as they came.",
	},
	{
		ID: "APL-022", Suite: Apple, Class: OfApple, Must: true, check: checkAPL022,
		Says:   "A signature dated minutes before its certificate begins is taken, one by a certificate of a foreign CA is refused.",
		Source: "apple.md 4.2",
		Why:    "Clocks differ: refusing a signing time a little too early locked devices out (nanomdm#73, micromdm#871).",
		How:    "Where the profile says SignMessage: Idle signed four minutes before notBefore, and Idle signed by a certificate of our own making.",
		Fix:    "Allow five minutes; verify the chain to the device CA after the signature.",
	},
	{
		ID: "APL-023", Suite: Apple, Class: OfApple, Must: true, check: checkAPL023,
		Says:   "The certificate of one device with the UDID of another is refused in Authenticate, TokenUpdate, CheckOut, SetBootstrapToken, GetBootstrapToken and DeclarativeManagement, and the other device goes on undisturbed.",
		Source: "apple.md 4.3",
		Why:    "A server that takes any certificate of its CA lets every enrolled device take over every other.",
		How:    "Two Macs enrol; one speaks in the name of the other; then the other is looked at, and asks for its bootstrap token.",
		Fix:    "Bind the certificate to the enrolment at Authenticate, and hold every message against it.",
	},
	{
		ID: "APL-024", Suite: Apple, Class: OfApple, Must: true, check: checkAPL024,
		Says:   "A certificate that a trusted proxy passes in its header is who the device is, by RFC 9440 and as escaped PEM; in the name of another device it is refused, and so is nonsense.",
		Source: "apple.md 4.1; RFC 9440 section 2.2",
		Why:    "Behind a proxy this header is all that tells devices apart: read in one form only, or not held against the message, it locks them out or lets one in as another.",
		How:    "From the address that the server trusts: Idle of an enrolled device without TLS identity, its certificate in both forms; then with another device's certificate, with one that is none, and with two. HST-023 asks the same from anybody else.",
		Fix:    "Read the header from your proxies alone, in both forms, and check what it says as at a handshake.",
	},
	{
		ID: "APL-025", Suite: Apple, Class: OfApple, Must: true, passes: true, check: checkAPL025,
		Says:   "The user channel of a device has an address of its own: its TokenUpdate does not replace the device's.",
		Source: "apple.md 4.4, 9.1",
		Why:    "A push with the wrong channel's token wakes the wrong queue, and the device seems dead (micromdm#1083).",
		How:    "A Mac says a TokenUpdate for its device and one for a user; then a command is queued for the device, and its push is looked for.",
		Fix:    "Keep one record per UDID and UserID; on a Shared iPad per short name.",
	},
	{
		ID: "HST-023", Suite: Apple, Class: OfApple, Must: true, check: checkHST023,
		Says:   "A certificate in a header that a proxy would set is ignored when it comes from anybody else.",
		Source: "hostile.md 2; Fleet CVE-2026-46356",
		Why:    "Certificates are public: who may pass one in a header is any device.",
		How:    "Idle of an enrolled device without an identity, its certificate in the headers that proxies use, by RFC 9440 and as escaped PEM.",
		Fix:    "Read such a header only from the addresses of your proxies, and have them strip it from outside requests.",
	},
	{
		ID: "HST-027", Suite: Apple, Class: OfApple, Must: true, check: checkHST027,
		Says:   "Who is not let in never hears 401, 410 or com.apple.unrecognized.device.",
		Source: "hostile.md 2; apple.md 12",
		Why:    "A device takes these for its removal, and removes its profiles: one mistake, a lost database for one, empties the fleet.",
		How:    "Idle with an identity that is bound to nobody, with one that is another device's, and after CheckOut.",
		Fix:    "Answer 400 or 403 without that body; 401 only when an administrator removes the device.",
	},
	{
		ID: "HST-030", Suite: Apple, Class: OfApple, Must: true, check: checkHST030,
		Says:   "A client certificate that the device CA did not issue is refused: one that signed itself, and one of a CA that calls itself the same.",
		Source: "hostile.md 3",
		Why:    "A comparison by name is no verification.",
		How:    "Idle of an enrolled device with a certificate that has its subject and signed itself, and with one issued by a CA of our own with the same name.",
		Fix:    "Verify the chain at the TLS handshake, with the device CA as only root and clientAuth as only use.",
	},
	{
		ID: "HST-033", Suite: Apple, Class: OfApple, Must: true, check: checkHST033,
		Says:   "No device reads or answers the queue of another.",
		Source: "hostile.md 3; apple.md 4.3",
		Why:    "Commands hold profiles with passwords: any device could read any queue (micromdm#358).",
		How:    "A command waits for one device; another asks for work and reports in its name; then the first gets its command.",
		Fix:    "Let the certificate decide which queue is served; the message must agree.",
	},
}

func checkAPL020(a *asking) {
	p := a.enrolled(protocol.IOS)
	who := p.identity
	p.as(certs.Signer{})
	defer p.as(who)
	update := p.tokenUpdate()
	for _, m := range []apple.Message{p.idle(), update} {
		switch x := p.send(m); {
		case x.Status/100 == 2:
			a.fail("%s without any identity was answered %s", what(&m), x.answer())
		case x.Status == http.StatusUnauthorized:
			a.fail("%s without any identity was answered 401: a device takes that for its removal", what(&m))
		case x.timedOut():
			a.fail("%s without any identity got no answer", what(&m))
		}
	}
}

// unsigned is a copy of p that presents no certificate and signs nothing by itself.
func (p *phone) unsigned() *phone {
	q := *p
	q.as(certs.Signer{})
	return &q
}

// signedIdle sends an Idle that is signed as given.
func (p *phone) signedIdle(what string, body, sig []byte) *Exchange {
	return p.put(what, p.mdm.ServerURL, apple.CommandType, body, http.Header{"Mdm-Signature": {base64.StdEncoding.EncodeToString(sig)}})
}

func (a *asking) signs(p *phone) {
	if !p.mdm.SignMessage {
		a.skip("the enrolment profile does not ask for signatures (SignMessage)")
	}
}

func checkAPL021(a *asking) {
	p := a.enrolled(protocol.MacOS)
	a.signs(p)
	idle := p.idle()
	body := apple.EncodeMessage(nil, &idle)
	q := p.unsigned()
	sig, err := certs.SignDetached(body, p.identity, a.now())
	if err != nil {
		a.unasked("no signature: %v", err)
	}
	if x := q.signedIdle("Idle signed with SHA-256", body, sig); x.Status != http.StatusOK {
		a.fail("a DER signature with SHA-256 was answered %s", x.answer())
	}
	legacy, err := certs.SignLegacy(body, p.identity)
	if err != nil {
		a.unasked("no signature: %v", err)
	}
	if x := q.signedIdle("Idle signed as a Mac does", body, legacy); x.Status != http.StatusOK {
		a.fail("a signature as every Mac makes it was answered %s", x.answer())
	}
	altered := append(bytes.Clone(body), '\n')
	if x := q.signedIdle("Idle whose body was altered after it was signed", altered, sig); x.Status != http.StatusBadRequest {
		a.fail("a signature over another body was answered %s, want 400", x.answer())
	}
}

func checkAPL022(a *asking) {
	p := a.enrolled(protocol.MacOS)
	a.signs(p)
	idle := p.idle()
	body := apple.EncodeMessage(nil, &idle)
	q := p.unsigned()
	sig, err := certs.SignDetached(body, p.identity, p.identity.Certificate.NotBefore.Add(-4*time.Minute))
	if err != nil {
		a.unasked("no signature: %v", err)
	}
	if x := q.signedIdle("Idle signed four minutes before its certificate begins", body, sig); x.Status != http.StatusOK {
		a.fail("a signing time four minutes too early was answered %s", x.answer())
	}
	if sig, err = certs.SignDetached(body, a.stranger(p), a.now()); err != nil {
		a.unasked("no signature: %v", err)
	}
	if x := q.signedIdle("Idle signed by a foreign certificate", body, sig); x.Status/100 == 2 || x.timedOut() {
		a.fail("a signature by a certificate of nobody's was answered %s", x.answer())
	}
}

// stranger is an identity like p's that signed itself.
func (a *asking) stranger(p *phone) certs.Signer {
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		a.unasked("no key: %v", err)
	}
	c := selfSigned(a, key, "", func(t *x509.Certificate) { t.Subject = p.identity.Certificate.Subject })
	return certs.Signer{Certificate: c, Key: key}
}

func checkAPL023(a *asking) {
	first, second := a.enrolled(protocol.MacOS), a.enrolled(protocol.MacOS)
	liar := *second
	liar.udid, liar.serial, liar.magic, liar.name = first.udid, first.serial, "stolen", second.name+" in the name of "+first.name
	own := apple.Message{MessageType: apple.SetBootstrapToken, UDID: first.udid, BootstrapToken: []byte("bootstrap of " + first.udid)}
	kept := first.send(own).Status == http.StatusOK // else APL-037 tells it
	bootstrap := apple.Message{MessageType: apple.SetBootstrapToken, UDID: first.udid, BootstrapToken: []byte("stolen")}
	get := apple.Message{MessageType: apple.GetBootstrapToken, UDID: first.udid}
	for _, m := range []apple.Message{
		liar.authenticate(), liar.tokenUpdate(), bootstrap, get, {MessageType: apple.DeclarativeManagement, UDID: first.udid, Endpoint: "declaration-items"}, {MessageType: apple.CheckOut, UDID: first.udid, Topic: first.mdm.Topic},
	} {
		if x := liar.send(m); x.Status/100 == 2 || x.timedOut() {
			a.fail("%s with another device's certificate was answered %s", m.MessageType, x.answer())
		}
	}
	if x := first.send(first.idle()); x.Status != http.StatusOK {
		a.fail("afterwards the device itself is answered %s", x.answer())
	}
	if a.Steps.Known != nil && !first.known().Enrolled {
		a.fail("afterwards the server does not hold the device for enrolled")
	}
	if !kept {
		return
	}
	if token, err := apple.DecodeBootstrapToken(first.try(get).body); err != nil || !bytes.Equal(token, own.BootstrapToken) {
		a.fail("afterwards the device does not get its own bootstrap token back (%d bytes, %v)", len(token), err)
	}
}

func checkAPL025(a *asking) {
	a.seesPushes()
	a.needs(a.Steps.Queue != nil, "queue a command")
	p := a.enrolled(protocol.MacOS)
	user := p.tokenUpdate()
	user.UserID, user.UserShortName, user.PushMagic = "6DF9E2E8-9A4B-4B9E-9A8A-C0F0C0F0C0F0", "ann", "magic of the user"
	user.Token = a.Pushes.Register(p.mdm.Topic)
	if x := p.send(user); x.Status >= 500 || x.unenrols() && x.Status != http.StatusGone {
		a.fail("TokenUpdate of a user was answered %s", x.answer())
	}
	p.queue(1)
	if got := p.pushed(); got == nil {
		a.fail("after a user's TokenUpdate no push reaches the device's own address")
	} else if magic, _ := apple.DecodePush(got.Body); magic != p.magic {
		a.fail("after a user's TokenUpdate the device is pushed another magic")
	}
}

// forwarded are the forms in which proxies pass p's certificate on.
func (p *phone) forwarded() (byRFC, byPEM string) {
	der := p.identity.Certificate.Raw
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return ":" + base64.StdEncoding.EncodeToString(der) + ":", url.PathEscape(string(block))
}

func checkAPL024(a *asking) {
	if a.ProxyFrom == "" {
		a.skip("the server trusts no proxy at an address of this machine (--proxy-from)")
	}
	name := a.ProxyHeader
	if name == "" {
		name = "Client-Cert"
	}
	p, other := a.enrolled(protocol.IOS), a.enrolled(protocol.IOS)
	q := p.unsigned()
	q.client = a.clients.from(net.ParseIP(a.ProxyFrom), certs.Signer{}, q.anchors)
	idle := func(what string, values ...string) *Exchange {
		m := q.idle()
		return q.put("Idle through a trusted proxy with "+what, q.mdm.ServerURL, apple.CommandType, apple.EncodeMessage(nil, &m), http.Header{http.CanonicalHeaderKey(name): values})
	}
	byRFC, byPEM := p.forwarded()
	for what, value := range map[string]string{"its certificate by RFC 9440": byRFC, "its certificate as escaped PEM": byPEM} {
		switch x := idle(what, value); {
		case x.Status == 0 && !x.timedOut():
			a.unasked("nothing can be sent from %s: %s", a.ProxyFrom, x.Error)
		case x.Status != http.StatusOK:
			a.fail("Idle with %s was answered %s", what, x.answer())
		}
	}
	others, _ := other.forwarded()
	for what, values := range map[string][]string{
		"another device's certificate": {others}, "what is no certificate": {":AAAA:"}, "two certificates": {byRFC, others},
	} {
		switch x := idle(what, values...); {
		case x.Status/100 == 2 || x.timedOut():
			a.fail("Idle with %s was answered %s", what, x.answer())
		case x.unenrols():
			a.fail("Idle with %s was answered %s: a device takes that for its removal", what, x.answer())
		}
	}
}

func checkHST023(a *asking) {
	p := a.enrolled(protocol.IOS)
	q := p.unsigned()
	byRFC, byPEM := p.forwarded()
	for _, name := range []string{"Client-Cert", "X-Client-Cert", "X-Ssl-Client-Cert"} {
		for _, value := range []string{byRFC, byPEM} {
			idle := q.idle()
			header := http.Header{name: {value}, "X-Forwarded-For": {"127.0.0.1"}}
			x := q.put("Idle with a certificate in "+name, q.mdm.ServerURL, apple.CommandType, apple.EncodeMessage(nil, &idle), header)
			if x.Status/100 == 2 || x.timedOut() {
				a.fail("a certificate in the header %s was answered %s", name, x.answer())
			}
		}
	}
}

func checkHST027(a *asking) {
	first := a.enrolled(protocol.IOS)
	nobody := a.identified(protocol.IOS)
	other := *nobody
	other.udid = first.udid
	left := a.enrolled(protocol.IOS)
	left.send(apple.Message{MessageType: apple.CheckOut, UDID: left.udid, Topic: left.mdm.Topic})
	for what, p := range map[string]*phone{
		"an identity that is bound to nobody": nobody, "an identity that is not this device's": &other, "a device that checked out": left,
	} {
		if x := p.send(p.idle()); x.unenrols() {
			a.fail("%s was answered %s: a device takes that for its removal", what, x.answer())
		}
	}
}

func checkHST030(a *asking) {
	p := a.enrolled(protocol.IOS)
	who := p.identity
	defer p.as(who)
	forged := []struct {
		what string
		who  certs.Signer
	}{{"a certificate that signed itself", a.stranger(p)}}
	if ca := p.issuer(); ca != nil {
		forged = append(forged, struct {
			what string
			who  certs.Signer
		}{"a certificate of another CA with the same name", a.sameName(ca, p)})
	}
	for _, f := range forged {
		p.as(f.who)
		if x := p.send(p.idle()); x.Status/100 == 2 || x.timedOut() {
			a.fail("%s was answered %s", f.what, x.answer())
		}
	}
}

// issuer is the CA of the device's identity, as far as the SCEP service shows it.
func (p *phone) issuer() *x509.Certificate {
	_, list := p.authority()
	for _, c := range append(list, p.anchors...) {
		if c.IsCA && bytes.Equal(c.RawSubject, p.identity.Certificate.RawIssuer) {
			return c
		}
	}
	return nil
}

// sameName is an identity by a CA that has the name of ca and is not it.
func (a *asking) sameName(ca *x509.Certificate, p *phone) certs.Signer {
	caKey, err := certs.GenerateKey(certs.P256)
	if err != nil {
		a.unasked("no key: %v", err)
	}
	root := selfSigned(a, caKey, "", func(t *x509.Certificate) {
		t.RawSubject, t.SubjectKeyId, t.IsCA, t.BasicConstraintsValid = ca.RawSubject, ca.SubjectKeyId, true, true
		t.KeyUsage = x509.KeyUsageCertSign
	})
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		a.unasked("no key: %v", err)
	}
	own := p.identity.Certificate
	template := x509.Certificate{SerialNumber: own.SerialNumber, Subject: own.Subject, NotBefore: own.NotBefore, NotAfter: own.NotAfter, KeyUsage: own.KeyUsage, ExtKeyUsage: own.ExtKeyUsage}
	c, err := issue(&template, root, key, caKey)
	if err != nil {
		a.unasked("no certificate: %v", err)
	}
	return certs.Signer{Certificate: c, Key: key}
}

func checkHST033(a *asking) {
	a.needs(a.Steps.Queue != nil, "queue a command")
	first, second := a.enrolled(protocol.IOS), a.enrolled(protocol.IOS)
	ids := first.queue(1)
	liar := *second
	liar.udid, liar.name = first.udid, second.name+" in the name of "+first.name
	for _, m := range []apple.Message{liar.idle(), liar.report(ids[0], protocol.Acknowledged)} {
		if x := liar.send(m); x.Status/100 == 2 || x.timedOut() {
			a.fail("%s with another device's certificate was answered %s", what(&m), x.answer())
		}
	}
	if id, _ := first.command(first.try(first.idle())); id == "" || ids[0] != "" && id != ids[0] {
		a.fail("afterwards the command is gone from the queue of its device")
	}
}
