package dialect

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unique"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/android"
)

// An AndroidStart says where an Android device enrols.
type AndroidStart struct {
	URL     string // of the server; https
	Token   string // of the enrolment
	Mode    android.Mode
	Anchors string // certificates that the server is known by, DER, one after another; empty: the caller's roots

	Attestation [][]byte // what the device's key store says of the key that it will ask a certificate for: a chain, DER; nil: nothing
}

// AndroidStartOf reads the text of a QR code, or the extras of a zero-touch configuration. By whose certificate the server is known
// (rollcall.CA_SHA256) is held against its TLS by the caller, who has the connection.
func AndroidStartOf(text []byte) (AndroidStart, error) {
	var p android.ProvisioningData
	if err := android.Decode(text, &p); err != nil {
		return AndroidStart{}, fmt.Errorf("provisioning: %w", err)
	}
	return AndroidStart{URL: p.Bundle.ServerURL, Token: p.Bundle.Token, Mode: p.Bundle.Mode}, nil
}

var (
	errMethods  = errors.New("the server offers no way to a certificate that is known here")
	errNoKeys   = errors.New("the server names no key that orders, or that certificates are signed with")
	errStranger = errors.New("the certificate was not signed by the server's authority")
	errNoPolicy = errors.New("no policy came, so the enrolment has failed")
	errPolicy   = errors.New("the policy is not the server's, not this device's, or older than the one in force")
)

// Enrol begins an enrolment. A device whose identity has ended gives up what it had (AUTH-42). The error tells what of s is wrong, or
// wraps [ErrManaged].
func (d *Android) Enrol(now protocol.Time, s AndroidStart, out *Act) error {
	out.reset()
	if d.MustEnrol(now) {
		d.advance(now, &agent.Event{Kind: agent.Unenrol}, out)
		out.reset()
	}
	resume := (*comingBack)(nil)
	if d.androidTask != nil {
		resume = d.resume
	}
	if p := d.Phase(); p == agent.Enrolled || p == agent.Enrolling || d.androidTask != nil && resume == nil {
		return fmt.Errorf("enrol %s: %w", d.Who().Serial, ErrManaged)
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("enrol %s: %.200q is no https URL", d.Who().Serial, s.URL)
	}
	if s.Mode.Userless() == (d.Who().UPN != "") {
		return fmt.Errorf("enrol %s: mode %s, user %q", d.Who().Serial, s.Mode, d.Who().UPN)
	}
	s.URL = strings.TrimSuffix(s.URL, "/")
	d.androidTask = &androidTask{start: s}
	if resume != nil && resume.token == s.Token { // the server knows the device already
		d.names, d.bond = resume.names, unique.Make(resume.bond)
		d.setIdentity(resume.identity)
		d.resume = resume
		d.firstCheckIn(now, out)
		return nil
	}
	d.ask(Discover, "GET", s.URL+android.DiscoveryPath, nil, out)
	return nil
}

// ask makes a request that comes before there is an identity.
func (d *Android) ask(step Step, method, address string, body []byte, out *Act) {
	out.Kind, out.Trust = Send, Trust{Anchors: d.start.Anchors}
	out.Request = Request{Step: step, Method: method, URL: address, UserAgent: d.userAgent(), Body: body}
	if body != nil {
		out.Request.ContentType = android.ContentType
	}
	d.step = step
}

func (d *Android) userAgent() string { return "rollcall-android/" + d.model.AgentVersion }

// giveUp ends an enrolment that has not reached its first check-in.
func (d *Android) giveUp(err error, out *Act) {
	d.forget()
	out.reset()
	out.Err = err
}

// discovered takes the server's description of itself, and asks to be enrolled.
func (d *Android) discovered(r *Response, out *Act) {
	var found android.Discovery
	err := error(androidFailure(Discover, r))
	if r.Status == 200 {
		err = android.Decode(r.Body, &found)
	}
	keys := ""
	for _, k := range found.PolicyKeys {
		der, wrong := base64.StdEncoding.DecodeString(k.SPKI)
		point, wrong2 := certs.SealKeyOfSPKI(der)
		if wrong == nil && wrong2 == nil { // a key of a later kind is none for us
			keys += string(point)
		}
	}
	issuers := ""
	for _, k := range found.IdentityKeys {
		der, wrong := base64.StdEncoding.DecodeString(k)
		if _, wrong2 := x509.ParsePKIXPublicKey(der); wrong == nil && wrong2 == nil {
			issuers += string(der)
		}
	}
	if err == nil && (keys == "" || issuers == "") {
		err = errNoKeys
	}
	if err != nil {
		d.giveUp(err, out)
		return
	}
	d.bond = unique.Make(androidBond{url: d.start.URL, keys: keys, issuers: issuers, anchors: d.start.Anchors, mode: d.start.Mode})
	w := d.Who()
	request := android.EnrollRequest{
		Protocol: android.Version, Role: android.DPC, Mode: d.start.Mode, Hardware: d.hardware(), Software: d.software(),
	}
	if w.UPN != "" {
		request.User = &android.User{UPN: w.UPN}
	}
	for _, der := range d.start.Attestation {
		if request.Attestation == nil {
			request.Attestation = &android.Attestation{}
		}
		request.Attestation.Chain = append(request.Attestation.Chain, base64.StdEncoding.EncodeToString(der))
	}
	d.ask(Enroll, "POST", d.start.URL+android.EnrollPath, android.Append(nil, &request), out)
	out.Request.Bearer = d.start.Token
}

func (d *Android) hardware() android.Hardware {
	w := d.Who()
	h := android.Hardware{Brand: d.model.Brand, Model: d.model.Name, SerialNumber: w.Serial, EnterpriseSpecificID: w.ESID}
	if w.ESID != "" { // a personal device since Android 12 says nothing else
		h.SerialNumber = w.ESID
	}
	return h
}

func (d *Android) software() android.Software {
	return android.Software{APILevel: d.model.APILevel, AndroidVersion: d.model.AndroidVersion, AgentVersion: d.model.AgentVersion}
}

// taken takes the server's word that the device may enrol, and asks for its identity.
func (d *Android) taken(r *Response, out *Act) {
	var a android.EnrollAnswer
	err := error(androidFailure(Enroll, r))
	if r.Status == 200 {
		err = android.Decode(r.Body, &a)
	}
	if err == nil {
		err = d.offered(&a.Certificate, a.Device, out)
	}
	if err != nil {
		d.giveUp(err, out)
		return
	}
	d.names = a.Device + separator + a.Enrollment
	b := d.bond.Value()
	if b.renewal = a.Certificate.URL; a.Certificate.Method == android.SCEP {
		b.renewal = bySCEP + b.renewal
	}
	d.bond = unique.Make(b)
}

const bySCEP = "SCEP "

// offer is by what the device renews when nobody asks it to: where its identity came from.
func (b *androidBond) offer() *android.Offer {
	if u, is := strings.CutPrefix(b.renewal, bySCEP); is {
		return &android.Offer{Method: android.SCEP, URL: u}
	}
	return &android.Offer{Method: android.EST, URL: b.renewal}
}

// offered turns an offer into the wish for an identity.
func (d *Android) offered(o *android.Offer, device string, out *Act) error {
	subject := pkix.Name{CommonName: device}
	if name, ok := strings.CutPrefix(o.Subject, "CN="); ok {
		subject.CommonName = name
	}
	u, err := url.Parse(o.URL)
	server, unreadable := url.Parse(d.bond.Value().url)                                  // a damaged state may have any
	if err != nil || unreadable != nil || u.Scheme != "https" || u.Host != server.Host { // HST-120
		return fmt.Errorf("certificate: %.200q is elsewhere", o.URL)
	}
	switch o.Method {
	case android.EST:
		out.EST = EST{URL: o.URL, Subject: subject}
		if o.Challenge != "" {
			out.EST.User, out.EST.Challenge = device, o.Challenge
		}
	case android.SCEP:
		out.SCEP = SCEP{URL: o.URL, Subject: subject, Challenge: o.Challenge, Retries: scepPolls}
	default:
		return errMethods
	}
	out.Kind, out.Trust = GetIdentity, Trust{Anchors: d.bond.Value().anchors}
	d.step = Identify
	return nil
}

// scepPolls is how often a pending SCEP request is asked after.
const scepPolls = 3

// GotIdentity tells the device what became of GetIdentity: its key and certificate, or why there is none.
func (d *Android) GotIdentity(now protocol.Time, key crypto.Signer, c *x509.Certificate, err error, out *Act) {
	out.reset()
	if d.androidTask == nil || d.step != Identify {
		return
	}
	made := identity{}
	if bond := d.bond.Value(); err == nil && !bond.issued(c) {
		err = errStranger
	}
	if err == nil {
		made.key, err = packKey(key)
	}
	if err == nil {
		made.cert = append([]byte(nil), c.Raw...)
	}
	if d.held != nil { // a renewal: without it, all goes on as before
		if err == nil && d.renews(now, key, c) {
			d.incoming = &made
			d.held.Identity = Next
		}
		d.release(out)
		return
	}
	if err != nil {
		d.giveUp(&Failure{Step: Identify, Err: err}, out)
		return
	}
	d.setIdentity(made)
	d.resume = &comingBack{d.start.Token, d.names, d.bond.Value(), made}
	d.firstCheckIn(now, out)
}

// issued tells whether an authority of the server's signed c: names of it anybody can copy. Who stands between device and server may hand
// out others, and the server would know none of them (HST-120).
func (b *androidBond) issued(c *x509.Certificate) bool {
	for rest := []byte(b.issuers); len(rest) > 0; {
		var one asn1.RawValue
		next, err := asn1.Unmarshal(rest, &one)
		if err != nil {
			return false
		}
		public, err := x509.ParsePKIXPublicKey(one.FullBytes)
		signer := x509.Certificate{PublicKey: public}
		if err == nil && signer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			return true
		}
		rest = next
	}
	return false
}

// renews tells whether c, which the server's authority signed, can take the place of the identity in use: with the same subject, for the
// key that was made, and valid now.
func (d *Android) renews(now protocol.Time, key crypto.Signer, c *x509.Certificate) bool {
	was, err := x509.ParseCertificate(d.self.identity().cert)
	public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return err == nil && ok && public.Equal(key.Public()) && bytes.Equal(c.RawSubject, was.RawSubject) &&
		protocol.At(c.NotBefore) <= now && now < protocol.At(c.NotAfter)
}

// release sends the request that has waited for a renewal.
func (d *Android) release(out *Act) {
	out.Kind, out.Request, out.Trust = Send, *d.held, Trust{Anchors: d.bond.Value().anchors}
	d.step, d.held = d.held.Step, nil
}

func (d *Android) setIdentity(i identity) {
	d.self = newResting("", i)
	if c, err := x509.ParseCertificate(i.cert); err == nil {
		d.core.SetIdentity(agent.Identity{NotBefore: protocol.At(c.NotBefore), NotAfter: protocol.At(c.NotAfter)})
	}
}

// Reissued gives an enrolled device another certificate for the key that it has, as if it had come with its enrolment.
func (d *Android) Reissued(c *x509.Certificate) {
	d.setIdentity(identity{d.self.identity().key, c.Raw})
}

// firstCheckIn says the first word under the identity.
func (d *Android) firstCheckIn(now protocol.Time, out *Act) {
	d.reason = android.ReasonEnrolled
	d.advance(now, &agent.Event{Kind: agent.Enrol, CheckOut: true}, out)
}

// commit puts the renewed identity, which the server has taken, in the place of the one before.
func (d *Android) commit() {
	d.setIdentity(*d.incoming)
	d.incoming = nil
}
