package conformance

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"rollcall/protocol/windows"
)

// How Windows devices enrol by a provisioning package with a bootstrap certificate, and who does not.

var windowsPackageStatements = []Statement{
	{
		ID: "WIN-067.package", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN067Package,
		Says:   "A machine whose request the bootstrap certificate of a package has signed enrols, for nobody.",
		Source: "windows.md 2, 3, 9, 14",
		Why:    "The package is on every machine of a classroom: none of them is whoever made it.",
		How:    "A machine asks by a package for its policy and its certificate, and has a session; whose it is, is asked of the document and of the server.",
		Fix:    "Answer AuthPolicy Certificate where a device offers it, verify the signature, and enrol without a user.",
	},
	{
		ID: "WIN-067.limits", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN067Limits,
		Says:   "A package admits so many machines, by requests of now, and by its own certificate alone.",
		Source: "windows.md 9, 14; MS-MDE2 3.4",
		Why:    "Its certificate stands for the package and not for a machine: whoever finds a memory stick, or a request in somebody's log, has all that it takes.",
		How:    "To a package for one machine come a request signed by a certificate that anybody made, one of two days ago, a machine, its request once more, and a second machine.",
		Fix:    "Know packages by their certificates, look at the Timestamp, count machines by HWDevID, and remember what was answered.",
	},
	{
		ID: "WIN-024.package", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN024Package,
		Says:   "A machine that comes again by its package takes the place of its former self, and no other place.",
		Source: "windows.md 4, 9, 14",
		Why:    "Machines of a classroom are set up anew each summer: else the package is used up, and last year's disks go on to work.",
		How:    "By a package for one machine one enrols, and comes again with another DeviceID; the first certificate is tried.",
		Fix:    "Count machines by HWDevID, end the enrolment that has it, revoke its certificate.",
	},
	{
		ID: "HST-018.package", Suite: Windows, Class: OfWindows, Must: true, check: checkHST018Package,
		Says:   "Of a signed request only what was signed is believed, at its one place; all else is a SOAP fault and leaves nothing.",
		Source: "hostile.md 1, HST-018; CVE-2020-15216 of goxmldsig",
		Why:    "Where the signature is verified over one element and another one is read, whoever has seen one request enrols what he likes.",
		How:    "To a package for one machine come requests whose body was changed, wrapped or doubled, one without its Timestamp, and one that another key signed; then the machine itself.",
		Fix:    "Verify the elements that are read, and not those that an id finds; refuse every other shape.",
	},
}

// A pack is a provisioning package as a machine has it: its bootstrap certificate, DER, and the key of that.
type pack struct {
	cert []byte
	key  crypto.Signer
}

// strangers is a package that no server has made.
var strangers = sync.OnceValues(func() (pack, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return pack{}, err
	}
	now := time.Now()
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(20, 0, 0)}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	return pack{cert, key}, err
})

// signedFor is how long a request is good for, from when it is signed.
const signedFor = 5 * time.Minute

// packed gets a package for so many machines, and a machine that is told to use one.
func (a *asking) packed(machines int) (*pc, pack) {
	d := a.emptyHanded()
	m := d.discover()
	m.AuthPolicies = []string{windows.Certificate}
	x, body := d.soap(d.address(windows.DiscoveryPath), "discovery with Certificate alone", windows.Credential{}, m)
	if r, ok := body.(*windows.DiscoverResponse); !ok || r.AuthPolicy != windows.Certificate {
		a.skip("the server does not serve AuthPolicy Certificate: its discovery was answered %s", x.answer())
	}
	a.needs(a.Steps.Package != nil, "make a provisioning package")
	ctx, cancel := a.administrator()
	defer cancel()
	bundle, err := a.Steps.Package(ctx, machines)
	if err != nil {
		a.unasked("no provisioning package: %v", err)
	}
	pair, err := tls.X509KeyPair(bundle, bundle)
	if err != nil {
		a.unasked("a provisioning package of which nothing can be read: %v", err)
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		a.unasked("a provisioning package whose key is not RSA")
	}
	return d, pack{pair.Certificate[0], key}
}

// emptyHanded is a machine before which nobody sits, and which knows where to enrol.
func (a *asking) emptyHanded() *pc {
	d := a.bareMachine()
	d.find()
	d.kind, d.login = windows.EnrollmentDevice, windows.LoginNone
	return d
}

// signed is a message of d's by a package, from a time on.
func (d *pc) signed(by pack, url string, from time.Time, body windows.Body) []byte {
	d.messages++
	raw, err := windows.SignEnvelope(nil, &windows.Envelope{Header: windows.Header{
		MessageID: d.messageID(), To: url, Created: from, Expires: from.Add(signedFor), Credential: windows.Credential{Kind: windows.X509, Token: by.cert},
	}, Body: body}, by.key)
	if err != nil {
		d.a.unasked("no signature: %v", err)
	}
	return raw
}

// unpack enrols d by a package, and has its first session. It returns the request.
func (d *pc) unpack(by pack) []byte {
	key := d.newKey()
	raw := d.signed(by, d.where.EnrollmentURL, d.a.now(), d.rst(d.plainCSR(key)))
	x, body := d.envelope(d.where.EnrollmentURL, "enrolment by a package", raw)
	d.taken(x, body, key)
	d.sync()
	return raw
}

// barred wants an enrolment refused, and no trace of the device.
func (d *pc) barred(what string, raw []byte) {
	x, body := d.envelope(d.where.EnrollmentURL, "enrolment "+what, raw)
	d.refused(x, body, "", "")
	if d.a.Steps.Known != nil && d.known().Enrolled {
		d.a.failBy(x, "%s was refused, and the server holds the device for enrolled", x.What)
	}
}

func checkWIN067Package(a *asking) {
	d, by := a.packed(1)
	d.blame = a.fail
	x, body := d.envelope(d.where.PolicyURL, "the question for the policy by a package", d.signed(by, d.where.PolicyURL, a.now(), &windows.GetPolicies{}))
	if _, ok := body.(*windows.GetPoliciesResponse); !ok {
		a.fail("%s was answered %s", x.What, x.answer())
	}
	d.unpack(by)
	if upn := parm(d.given.provider(""), "UPN"); upn != "" {
		a.fail("the document of a machine that a package enrolled names %q", upn)
	}
	if a.Steps.Known == nil {
		a.without("that the server holds the machine for nobody's: the adapter %s cannot tell how a device stands", a.Steps.Name)
	} else if s := d.known(); s.User != "" {
		a.fail("the server holds a machine that a package enrolled for one of %q", s.User)
	}
}

func checkWIN067Limits(a *asking) {
	d, by := a.packed(1)
	other, err := strangers()
	if err != nil {
		a.unasked("no key: %v", err)
	}
	stranger, old, second := a.emptyHanded(), a.emptyHanded(), a.emptyHanded()
	request := func(d *pc, by pack, from time.Time) []byte {
		return d.signed(by, d.where.EnrollmentURL, from, d.rst(d.plainCSR(d.newKey())))
	}
	stranger.barred("by the certificate of no package", request(stranger, other, a.now()))
	old.barred("by a request of two days ago", request(old, by, a.now().AddDate(0, 0, -2)))
	d.blame = a.fail
	raw := d.unpack(by)
	x, body := d.envelope(d.where.EnrollmentURL, "the same enrolment again, after its session", raw)
	if g, _ := readGiven(body, d.identity.Key); g != nil && !g.leaf.Equal(d.given.leaf) {
		a.failBy(x, "%s brought another certificate", x.What)
	}
	second.barred("of a second machine by a package for one", request(second, by, a.now()))
	d.steady("after others came by its package")
}

func checkWIN024Package(a *asking) {
	old, by := a.packed(1)
	old.unpack(by)
	d := a.emptyHanded()
	d.hardware = old.hardware
	d.blame = a.fail
	d.unpack(by)
	old.shut("the same machine enrolled again by its package")
}

func checkHST018Package(a *asking) {
	d, by := a.packed(1)
	evil := a.emptyHanded()
	key := evil.newKey()
	raw := d.signed(by, d.where.EnrollmentURL, a.now(), d.rst(d.plainCSR(key)))
	piece := func(from, to string) []byte {
		i, k := bytes.Index(raw, []byte(from)), bytes.Index(raw, []byte(to))
		if i < 0 || k < i {
			a.unasked("the message has no %s", from)
		}
		return slices.Clone(raw[i : k+len(to)])
	}
	body, stamp := piece("<s:Body", "</s:Body>"), piece("<u:Timestamp", "</u:Timestamp>")
	changed := bytes.ReplaceAll(bytes.ReplaceAll(body, []byte(d.hardware), []byte(evil.hardware)), []byte(d.id), []byte(evil.id))
	with := func(old []byte, parts ...[]byte) []byte { return bytes.Replace(raw, old, bytes.Join(parts, nil), 1) }
	other, err := strangers()
	if err != nil {
		a.unasked("no key: %v", err)
	}
	forged := evil.signed(pack{by.cert, other.key}, d.where.EnrollmentURL, a.now(), evil.rst(evil.plainCSR(key)))
	for _, tt := range []struct {
		what string
		raw  []byte
	}{
		{"whose body was changed", with(body, changed)},
		{"whose signed body is in the header, and another one in its place", bytes.Replace(with(body, changed), []byte("</s:Header>"), slices.Concat([]byte(`<x xmlns="urn:x">`), body, []byte("</x></s:Header>")), 1)},
		{"whose signed body is in an Object of the signature", bytes.Replace(with(body, changed), []byte("</ds:Signature>"), slices.Concat([]byte("<ds:Object>"), body, []byte("</ds:Object></ds:Signature>")), 1)},
		{"with another body behind the signed one", with(body, body, changed)},
		{"whose body is another by its id", with(body, []byte(strings.Replace(string(changed), `u:Id="_2"`, `u:Id="_9"`, 1)))},
		{"without its Timestamp", with(stamp)},
		{"that another key signed", forged},
	} {
		if bytes.Equal(tt.raw, raw) {
			a.unasked("the message could not be written, one %s", tt.what)
		}
		evil.barred(tt.what, tt.raw)
	}
	d.blame = a.fail
	d.unpack(by) // its one place is free
}
