package dialect

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unique"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// ErrManaged is wrapped by the error of a second enrolment (APL-004).
var ErrManaged = errors.New("the device is managed already")

// Enrol begins an enrolment. The error tells what of s is wrong, or wraps [ErrManaged].
func (d *Apple) Enrol(now protocol.Time, s Start, out *Act) error {
	out.reset()
	if p := d.Phase(); p == agent.Enrolled || p == agent.Enrolling || d.task != nil {
		return fmt.Errorf("enrol %s: %w", d.UDID(), ErrManaged)
	}
	d.task = &task{start: s}
	if s.Profile != nil {
		d.enrolBy(now, s.Profile, out)
		return nil
	}
	if u, err := url.Parse(s.URL); err != nil || u.Scheme != "https" || u.Host == "" {
		d.task = nil
		return fmt.Errorf("enrol %s: %.200q is no https URL", d.UDID(), s.URL)
	}
	out.Kind = Send
	out.Request = Request{Step: FetchProfile, Method: "GET", URL: s.URL, UserAgent: d.userAgent()}
	if s.ADE {
		out.Request.Step, out.Request.Method, out.Request.Sign = FetchADE, "POST", SignMachineInfo
		out.Request.ContentType = d.habits.Doubts.MachineInfoType
		if out.Request.ContentType == "" {
			out.Request.ContentType = "application/pkcs7-signature"
		}
		out.Request.Body = d.machineInfo()
	}
	d.task.step = out.Request.Step
	return nil
}

func (d *Apple) machineInfo() []byte {
	w := d.Who()
	return apple.EncodeMachineInfo(&apple.MachineInfo{
		UDID: w.UDID, Serial: w.Serial, IMEI: w.IMEI, Product: d.model.Product, OSVersion: d.model.OSVersion,
		BuildVersion: d.model.Build, Language: "en", CanRequestSoftwareUpdate: true,
	})
}

// fetched takes the answer to the request for the enrolment profile.
func (d *Apple) fetched(now protocol.Time, r *Response, out *Act) {
	if r.Status == 200 {
		d.enrolBy(now, r.Body, out)
		return
	}
	d.giveUp(failure(d.step, r), out)
}

// giveUp ends an enrolment that has not reached the server's check-in endpoint.
func (d *Apple) giveUp(err error, out *Act) {
	d.task = nil
	out.reset()
	out.Err = err
}

// enrolBy installs an enrolment profile on a device that is not managed: the certificates it brings are trusted from
// here on, then the identity is asked for, then the MDM payload says its first word (APL-003).
func (d *Apple) enrolBy(now protocol.Time, raw []byte, out *Act) {
	o, err := open(raw)
	if err != nil {
		d.giveUp(err, out)
		return
	}
	scep, err := d.take(&o)
	if err != nil {
		d.giveUp(err, out)
		return
	}
	d.ask(scep, out)
}

// take checks an enrolment profile and makes it the one on its way, beside what is installed.
func (d *Apple) take(o *opened) (*apple.Payload, error) {
	mdm, scep, err := o.Enrolment()
	switch {
	case err != nil:
		return nil, err
	case mdm == nil:
		return nil, fmt.Errorf("profile %q: no MDM payload", o.Identifier)
	case scep.SCEP == nil:
		return nil, fmt.Errorf("profile %q: payload %q: identities of type %s are not supported", o.Identifier, scep.Identifier, scep.Type)
	}
	if d.bonded() {
		b := d.bond.Value()
		if o.Identifier != b.outline.identifier {
			return nil, fmt.Errorf("profile %q: %w", o.Identifier, ErrManaged)
		}
		if err := b.mdm().CheckUpdate(mdm.MDM); err != nil {
			return nil, fmt.Errorf("profile %q: %w", o.Identifier, err)
		}
	}
	in := &incoming{}
	if in.bond, in.uuids, err = o.bondOf(mdm.MDM); err != nil {
		return nil, err
	}
	if d.bonded() && d.habits.Ordered {
		b := d.bond.Value()
		if err := b.keeps(&in.bond, scep.SCEP); err != nil {
			return nil, fmt.Errorf("profile %q: %w", o.Identifier, err)
		}
	}
	d.incoming = in
	return scep, nil
}

// ask wants the identity that the profile on its way names.
func (d *Apple) ask(p *apple.Payload, out *Act) {
	s := p.SCEP
	out.Kind = GetIdentity
	out.Trust = Trust{Anchors: d.incoming.bond.anchors}
	out.SCEP = SCEP{
		URL: s.URL, Name: s.Name, Subject: d.subject(p), Challenge: s.Challenge, CAFingerprint: s.CAFingerprint,
		Retries: clamp(s.Retries, 3, 10), RetryDelay: time.Duration(clamp(s.RetryDelay, 10, 300)) * time.Second,
		KeyUsage: keyUsage(s.KeyUsage),
	}
	d.step = Identify
}

// clamp reads a number of a profile: absent or senseless is usual, and too much is most (HST-120).
func clamp(v, usual, most int64) int {
	if v <= 0 {
		v = usual
	}
	return int(min(v, most))
}

var (
	oidKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 15}
	shortNames  = map[string]asn1.ObjectIdentifier{
		"CN": {2, 5, 4, 3}, "C": {2, 5, 4, 6}, "L": {2, 5, 4, 7}, "ST": {2, 5, 4, 8}, "O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11},
	}
)

// keyUsage returns the extension for 1 (sign) and 4 (encrypt); 0 is the default, digitalSignature.
func keyUsage(bits int64) []pkix.Extension {
	var b byte
	if bits == 0 || bits&1 != 0 {
		b = 0x80
	}
	if bits&4 != 0 {
		b |= 0x20
	}
	der, _ := asn1.Marshal(asn1.BitString{Bytes: []byte{b}, BitLength: 3}) // three bits always marshal
	return []pkix.Extension{{Id: oidKeyUsage, Critical: true, Value: der}}
}

// subject is the subject to ask for: the payload's, with what it wants filled in. Without a common name
// it is the payload's identifier.
func (d *Apple) subject(p *apple.Payload) pkix.Name {
	var n pkix.Name
	w := d.Who()
	fill := strings.NewReplacer("%ComputerName%", w.Name, "%HardwareUUID%", w.UDID, "%SerialNumber%", w.Serial)
	named := false
	for _, rdn := range p.SCEP.Subject {
		for _, pair := range rdn {
			if len(pair) != 2 {
				continue
			}
			oid := shortNames[pair[0]]
			if oid == nil {
				oid = dotted(pair[0])
			}
			if oid == nil {
				continue
			}
			named = named || oid.Equal(shortNames["CN"])
			n.ExtraNames = append(n.ExtraNames, pkix.AttributeTypeAndValue{Type: oid, Value: fill.Replace(pair[1])})
		}
	}
	if !named {
		n.ExtraNames = append(n.ExtraNames, pkix.AttributeTypeAndValue{Type: shortNames["CN"], Value: p.Identifier})
	}
	return n
}

// dotted reads an object identifier; nil: it is none.
func dotted(s string) asn1.ObjectIdentifier {
	var oid asn1.ObjectIdentifier
	for _, part := range strings.Split(s, ".") {
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil || n < 0 {
			return nil
		}
		oid = append(oid, int(n))
	}
	if len(oid) < 2 || oid[0] > 2 || oid[0] < 2 && oid[1] > 39 {
		return nil
	}
	return oid
}

// GotIdentity tells the device what became of GetIdentity: its key and certificate, or why there is none.
func (d *Apple) GotIdentity(now protocol.Time, key crypto.Signer, c *x509.Certificate, err error, out *Act) {
	out.reset()
	if d.task == nil || d.incoming == nil || d.step != Identify {
		return
	}
	in := d.incoming
	if err == nil && d.bonded() && d.habits.Ordered && !issuedBy(in.bond.anchors, c) {
		err = errStranger
	}
	if err == nil {
		in.key, err = packKey(key)
	}
	if err != nil {
		err = &Failure{Step: Identify, Err: err}
		if d.bonded() { // a renewal: the old profile and identity stay
			d.incoming = nil
			d.executed(now, protocol.Failed, nil, agent.Nothing, chain(profileFailed, err), out)
			return
		}
		d.giveUp(err, out)
		return
	}
	in.cert = append([]byte(nil), c.Raw...)
	if !d.bonded() {
		d.commit()
		d.newMagic(now)
		d.newToken(now)
		d.ade, d.awaits = d.start.ADE, d.start.ADE && d.start.Awaiting
		d.start = Start{}
	}
	d.advance(now, &agent.Event{Kind: agent.Enrol, CheckOut: in.bond.checksOut}, out)
}

// commit puts the enrolment profile that was on its way in the place of what there was.
func (d *Apple) commit() {
	in := d.incoming
	if d.bonded() && d.habits.Doubts.OldIdentityReports {
		old := d.self.identity()
		d.old = &old
	}
	d.incoming = nil
	d.bond, d.self = unique.Make(in.bond), newResting(in.uuids, in.identity)
	if c, err := x509.ParseCertificate(in.cert); err == nil {
		d.core.SetIdentity(agent.Identity{NotBefore: protocol.At(c.NotBefore), NotAfter: protocol.At(c.NotAfter)})
	}
}

// Reissued gives an enrolled device another certificate for the key that it has, as if it had come with its enrolment.
func (d *Apple) Reissued(c *x509.Certificate) {
	i := d.self.identity()
	d.self = newResting(d.self.uuids(), identity{i.key, c.Raw})
	d.core.SetIdentity(agent.Identity{NotBefore: protocol.At(c.NotBefore), NotAfter: protocol.At(c.NotAfter)})
}

// forget leaves nothing of an enrolment that has ended.
func (d *Apple) forget() {
	*d = Apple{core: d.core, model: d.model, habits: d.habits, who: d.who}
}
