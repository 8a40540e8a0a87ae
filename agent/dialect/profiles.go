package dialect

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"unique"

	"rollcall/agent"
	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// A Profile is one installed profile.
type Profile struct {
	Identifier string
	UUID       string
	Family     protocol.Family // NoFamily: the enrolment profile
	MDM        bool            // the enrolment profile
	Content    uint64          // differs between versions; 0: the enrolment profile
}

// Profiles returns what is installed, the enrolment profile first.
func (d *Apple) Profiles() []Profile {
	var list []Profile
	if d.bonded() {
		uuid, _, _ := strings.Cut(d.self.uuids(), separator)
		list = append(list, Profile{Identifier: d.bond.Value().outline.identifier, UUID: uuid, MDM: true})
	}
	for _, h := range d.docs {
		o := h.Value()
		uuid, _, _ := strings.Cut(o.uuids, separator)
		list = append(list, Profile{o.identifier, uuid, o.family, false, o.content})
	}
	return list
}

// An outline is what a device keeps of a profile: what ProfileList and CertificateList ask for. Equal outlines are held
// once for all devices. Lists inside are texts with separators between their items.
type outline struct {
	identifier, name, description, organization string
	removalDisallowed                           bool
	family                                      protocol.Family
	content                                     uint64 // stands for the whole document; 0 in an enrolment profile
	uuids                                       string // of the profile and its payloads; empty in an enrolment profile
	payloads                                    string // type, identifier, name, description, organization of each
	certificates                                string // DER, one after another
	signers                                     string // DER, one after another
}

const payloadFields = 5

// mostTexts bounds what a device keeps of all its profiles together, in bytes: a server does not grow its state beyond what a restart
// reads (HST-120).
const mostTexts = 8 << 20

// outlineSize is what an outline takes beside its texts.
const outlineSize = 256

func (o *outline) size() int {
	return outlineSize + len(o.identifier) + len(o.name) + len(o.description) + len(o.organization) + len(o.uuids) + len(o.payloads) + len(o.certificates) + len(o.signers)
}

// A bond is the server's side of an enrolment: what all devices of one server have in common.
type bond struct {
	serverURL, checkInURL   string // checkInURL empty: serverURL
	topic, mode, appleID    string
	rights                  int64
	signs, checksOut        bool
	serverPins, checkInPins string // DER, one after another; empty: not pinned
	anchors                 string // of TLS, DER, one after another: the certificates of the profile but that of notices
	notices                 certs.SealKey
	outline                 outline
}

// opened is a profile out of its CMS, with what signed it.
type opened struct {
	*apple.Profile
	signers  string
	content  uint64
	document []byte // the property list
}

// open reads a profile in either form (APL-002) and checks its certificates.
func open(raw []byte) (opened, error) {
	o := opened{content: id(string(raw))}
	if len(raw) > 0 && raw[0] == 0x30 { // a SEQUENCE: CMS
		s, err := certs.VerifyAttached(raw, certs.Policy{})
		if err != nil {
			return o, fmt.Errorf("signed profile: %w", err)
		}
		raw, o.signers = s.Content, string(s.Signer.Raw)
		for _, c := range s.Certificates {
			if !c.Equal(s.Signer) {
				o.signers += string(c.Raw)
			}
		}
	}
	o.document = raw
	var err error
	if o.Profile, err = apple.DecodeProfile(raw); err != nil {
		return o, err
	}
	if len(o.Encrypted) > 0 {
		return o, fmt.Errorf("profile %q: encrypted", o.Identifier)
	}
	return o, nil
}

// outline reduces a profile. The error names a payload whose certificate cannot be read, or says that it is too long.
func (o *opened) outline() (outline, error) {
	uuids := []string{plain(o.UUID)}
	var payloads, certificates strings.Builder
	for i := range o.Payloads {
		p := &o.Payloads[i]
		uuids = append(uuids, plain(p.UUID))
		for _, s := range [payloadFields]string{p.Type, p.Identifier, p.DisplayName, p.Description, p.Organization} {
			payloads.WriteString(plain(s) + separator)
		}
		der, err := certificateOf(p)
		if err != nil {
			return outline{}, fmt.Errorf("profile %q: payload %q: %w", o.Identifier, p.Identifier, err)
		}
		certificates.Write(der)
	}
	x := outline{
		o.Identifier, o.DisplayName, o.Description, o.Organization, o.RemovalDisallowed, o.Family(), o.content,
		strings.Join(uuids, separator), payloads.String(), certificates.String(), o.signers,
	}
	if x.size() > mostTexts {
		return outline{}, fmt.Errorf("profile %q: its texts and certificates are longer than a device keeps", o.Identifier)
	}
	return x, nil
}

// certificateOf returns the certificate of a payload that is one, as DER; other payloads have none.
func certificateOf(p *apple.Payload) ([]byte, error) {
	der := p.Certificate
	switch p.Type {
	case apple.PEMPayload:
		block, _ := pem.Decode(der)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("no PEM certificate")
		}
		der = block.Bytes
	case apple.RootPayload, apple.PKCS1Payload:
	default:
		return nil, nil
	}
	if _, err := x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return der, nil
}

// bondOf reduces an enrolment profile: its bond, and the UUIDs apart.
func (o *opened) bondOf(m *apple.MDM) (b bond, uuids string, err error) {
	b = bond{
		serverURL: m.ServerURL, checkInURL: m.CheckInURL, topic: m.Topic, mode: m.EnrollmentMode, appleID: m.AssignedManagedAppleID,
		rights: m.AccessRights, signs: m.SignMessage, checksOut: m.CheckOutWhenRemoved,
	}
	if b.serverPins, err = o.pins(m.ServerURLPinningCertificateUUIDs); err != nil {
		return b, "", err
	}
	if b.checkInPins, err = o.pins(m.CheckInURLPinningCertificateUUIDs); err != nil {
		return b, "", err
	}
	if b.outline, err = o.outline(); err != nil {
		return b, "", err
	}
	for i := range o.Payloads {
		p := &o.Payloads[i]
		der, _ := certificateOf(p) // was read before
		if p.Identifier == apple.NoticeIdentifier {
			b.notices, _ = certs.SealKeyOf(der) // without a key that can be used there are no notices
		} else {
			b.anchors += string(der)
		}
	}
	uuids = b.outline.uuids
	b.outline.uuids, b.outline.content, b.outline.family = "", 0, protocol.NoFamily
	return b, uuids, nil
}

// pins collects the certificates that TLS is pinned to.
func (o *opened) pins(uuids []string) (string, error) {
	var pins []byte
	for _, uuid := range uuids {
		found := false
		for i := range o.Payloads {
			if p := &o.Payloads[i]; p.UUID == uuid {
				der, err := certificateOf(p)
				if err != nil {
					return "", fmt.Errorf("profile %q: payload %q: %w", o.Identifier, p.Identifier, err)
				}
				pins, found = append(pins, der...), len(der) > 0
			}
		}
		if !found {
			return "", fmt.Errorf("profile %q: pinning certificate %q is no certificate payload", o.Identifier, uuid)
		}
	}
	return string(pins), nil
}

// mdm returns b as an MDM payload, as far as an update is held against it.
func (b *bond) mdm() *apple.MDM {
	return &apple.MDM{
		ServerURL: b.serverURL, CheckInURL: b.checkInURL, Topic: b.topic, EnrollmentMode: b.mode, AssignedManagedAppleID: b.appleID,
		AccessRights: b.rights,
	}
}

// install puts an ordinary profile on the device, in the place of the one with its identifier (APL-062). The
// error leaves what was there.
func (d *Apple) install(now protocol.Time, o *opened) error {
	for i := range o.Payloads {
		switch p := &o.Payloads[i]; p.Type {
		case apple.SCEPPayload, apple.PKCS12Payload, "com.apple.security.acme":
			return fmt.Errorf("profile %q: payload %q: identities outside the enrolment profile are not supported", o.Identifier, p.Identifier)
		}
	}
	if o.Identifier == d.bond.Value().outline.identifier {
		return fmt.Errorf("profile %q: the enrolment profile's identifier, without an MDM payload", o.Identifier)
	}
	x, err := o.outline()
	if err != nil {
		return err
	}
	room := mostTexts - x.size()
	for _, h := range d.docs {
		if other := h.Value(); other.identifier != x.identifier {
			room -= other.size()
		}
	}
	if room < 0 {
		return fmt.Errorf("profile %q: no room for it beside the others", o.Identifier)
	}
	if d.habits.Fails(&d.core, o.Identifier, now) {
		return fmt.Errorf("profile %q: could not be installed", o.Identifier)
	}
	if d.habits.Placer != nil {
		if err := d.habits.Placer.Place(o.Identifier, o.content, o.document); err != nil {
			return fmt.Errorf("profile %q: %w", o.Identifier, err)
		}
	}
	h := unique.Make(x)
	at, _ := d.core.Install(agent.Profile{Name: id(x.identifier), Content: x.content, Family: x.family})
	if at < len(d.docs) {
		d.docs[at] = h
		return nil
	}
	grown := make([]unique.Handle[outline], len(d.docs)+1) // exact: a device sleeps longer than it grows
	copy(grown, d.docs)
	grown[at] = h
	d.docs = grown
	return nil
}

// uninstall takes an ordinary profile off, and tells whether it was there.
func (d *Apple) uninstall(identifier string) bool {
	at := d.core.Find(id(identifier))
	if at < 0 {
		return false
	}
	d.core.Uninstall(at)
	d.takeDoc(at)
	return true
}

// dropped follows the core, which has dropped a profile of the old authority (AUTH-27).
func (d *Apple) dropped(p agent.Profile) {
	for i, h := range d.docs {
		if id(h.Value().identifier) == p.Name {
			d.takeDoc(i)
			return
		}
	}
}

func (d *Apple) takeDoc(at int) {
	d.docs = append(d.docs[:at], d.docs[at+1:]...)
	if len(d.docs) == 0 {
		d.docs = nil
	}
}

// profileList answers ProfileList. The enrolment profile is among them (APL-061).
func (d *Apple) profileList() []apple.ProfileListItem {
	b := d.bond.Value()
	list := make([]apple.ProfileListItem, 0, 1+len(d.docs))
	mdm := b.outline
	mdm.uuids = d.self.uuids()
	list = append(list, mdm.item())
	for _, h := range d.docs {
		o := h.Value()
		list = append(list, o.item())
	}
	return list
}

func (o *outline) item() apple.ProfileListItem {
	uuids := strings.Split(o.uuids, separator)
	item := apple.ProfileListItem{
		PayloadUUID: uuids[0], PayloadIdentifier: o.identifier, PayloadVersion: 1, PayloadDisplayName: o.name,
		PayloadOrganization: o.organization, PayloadDescription: o.description, PayloadRemovalDisallowed: o.removalDisallowed,
		IsManaged: true,
	}
	for _, c := range parse(o.signers) {
		item.SignerCertificates = append(item.SignerCertificates, c.Raw)
	}
	fields := strings.Split(o.payloads, separator)
	for i, uuid := range uuids[1:] {
		if (i+1)*payloadFields > len(fields) {
			break
		}
		f := fields[i*payloadFields:]
		item.PayloadContent = append(item.PayloadContent, apple.ProfileListPayload{
			PayloadType: f[0], PayloadVersion: 1, PayloadIdentifier: f[1], PayloadUUID: uuid,
			PayloadDisplayName: f[2], PayloadDescription: f[3], PayloadOrganization: f[4],
		})
	}
	return item
}

// certificateList answers CertificateList: the identity, then what the profiles brought.
func (d *Apple) certificateList() []apple.CertificateItem {
	var list []apple.CertificateItem
	add := func(der string, identity bool) {
		for _, c := range parse(der) {
			list = append(list, apple.CertificateItem{CommonName: c.Subject.CommonName, IsIdentity: identity, Data: c.Raw})
		}
	}
	add(string(d.self.identity().cert), true)
	add(d.bond.Value().outline.certificates, false)
	for _, h := range d.docs {
		add(h.Value().certificates, false)
	}
	return list
}

// parse reads certificates that stand one after another. They were read once before.
func parse(der string) []*x509.Certificate {
	list, _ := x509.ParseCertificates([]byte(der))
	return list
}
