package conformance

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"rollcall/certs"
	"rollcall/fleet/target"
	"rollcall/protocol/windows"
)

// A pc is one Windows device of a run: it says what a check has it say.
type pc struct {
	member
	id             string // DeviceID
	hardware       string // HWDevID
	kind           string // EnrollmentType
	user, password string
	where          windows.DiscoverResponse

	given *given

	login    string
	session  int
	msg      uint32
	most     uint32            // MaxMsgSize; 0: it says none
	tree     map[string]string // nodes that it has, with their values
	answers  map[string]windows.Code
	told     []windows.Command // it was, in order; without Status
	messages int               // questions asked
}

// pcMark is where the DeviceIDs of all runs begin.
const pcMark = "0000" + udidMark

// bareMachine is a device that has nothing yet.
func (a *asking) bareMachine() *pc {
	m, n := a.joining("PC")
	d := &pc{
		member: m, id: fmt.Sprintf("%s%s%016X", pcMark, a.label, n), kind: windows.EnrollmentFull, login: windows.LoginUser,
		tree: map[string]string{}, answers: map[string]windows.Code{},
	}
	d.hardware = "hw-" + d.id
	a.leavers = append(a.leavers, d)
	return d
}

// machine is a device that knows where to enrol, and by which name and password.
func (a *asking) machine() *pc {
	d := a.bareMachine()
	d.find()
	d.invite(a.slot)
	return d
}

// invite gets the device a name and a password; owner 0: nobody's.
func (d *pc) invite(owner int) {
	d.a.needs(d.a.Steps.EnrolWindows != nil, "invite a Windows device")
	ctx, cancel := d.a.administrator()
	defer cancel()
	var err error
	if d.user, d.password, err = d.a.Steps.EnrolWindows(ctx, owner); err != nil {
		d.a.unasked("no invitation for a Windows device: %v", err)
	}
}

// governed is a device that is enrolled and has nothing left to do.
func (a *asking) governed() *pc {
	d := a.machine()
	d.join()
	return d
}

// join enrols a device that knows where.
func (d *pc) join() {
	d.enrol()
	d.sync()
	d.told = nil
}

// find asks discovery. It ends the check where the server does not serve Windows devices.
func (d *pc) find() {
	if d.a.WindowsURL == "" {
		d.a.skip("nobody said where Windows devices enrol")
	}
	x, body := d.soap(d.address(windows.DiscoveryPath), "discovery", windows.Credential{}, d.discover())
	r, ok := body.(*windows.DiscoverResponse)
	switch {
	case ok:
		d.where = *r
	case x.Status == 0, x.Status/100 == 5:
		d.a.unasked("discovery was answered %s", x.answer())
	default:
		d.a.skip("the server does not serve Windows devices: POST %s was answered %s (%s)", windows.DiscoveryPath, x.answer(), media(x))
	}
}

func (d *pc) address(path string) string { return strings.TrimSuffix(d.a.WindowsURL, "/") + path }

func (d *pc) discover() *windows.Discover {
	return &windows.Discover{
		EmailAddress: "conform@rollcall.invalid", RequestVersion: windows.Version{Major: 5}, DeviceType: windows.DeviceDesktop, ApplicationVersion: "10.0.22631.1",
		OSEdition: 48, AuthPolicies: []string{windows.OnPremise, windows.Federated},
	}
}

// credential is that of the device's invitation.
func (d *pc) credential() windows.Credential {
	return windows.Credential{Kind: windows.Password, Username: d.user, Password: d.password}
}

// soap sends one message of the enrolment phase. Nil comes back where the answer is none.
func (d *pc) soap(url, what string, who windows.Credential, body windows.Body) (*Exchange, windows.Body) {
	return d.envelope(url, what, d.request(url, who, body))
}

// request is such a message.
func (d *pc) request(url string, who windows.Credential, body windows.Body) []byte {
	d.messages++
	return windows.EncodeEnvelope(nil, &windows.Envelope{Header: windows.Header{MessageID: d.messageID(), To: url, Credential: who}, Body: body})
}

func (d *pc) messageID() string {
	return fmt.Sprintf("urn:uuid:c0f0c0f0-%04d-4000-8000-%012s", d.messages, d.id[len(d.id)-12:])
}

func (d *pc) envelope(url, what string, raw []byte) (*Exchange, windows.Body) {
	x := d.do(http.MethodPost, url, what, http.Header{"Content-Type": {windows.SOAPContentType}, "User-Agent": {windows.EnrollUserAgent}}, raw)
	e, err := windows.DecodeEnvelope(x.body)
	if err != nil {
		return x, nil
	}
	return x, e.Body
}

// newKey is RSA as real ones have it, unless the run wants it quick.
func (d *pc) newKey() crypto.Signer {
	key, err := newKey(d.a.P256Keys, 2048)
	if err != nil {
		d.a.unasked("no key: %v", err)
	}
	return key
}

// rst asks for a certificate by PKCS#10.
func (d *pc) rst(csr []byte, more ...windows.ContextItem) *windows.RequestSecurityToken {
	return &windows.RequestSecurityToken{Token: csr, Context: append([]windows.ContextItem{
		{Name: windows.ItemDeviceType, Value: windows.DeviceDesktop},
		{Name: windows.ItemApplicationVersion, Value: "10.0.22631.1"},
		{Name: windows.ItemOSEdition, Value: "48"},
		{Name: windows.ItemDeviceName, Value: "conform-" + d.name},
		{Name: windows.ItemMAC, Value: "02-00-00-00-00-01"},
		{Name: windows.ItemHWDevID, Value: d.hardware},
		{Name: windows.ItemDeviceID, Value: d.id},
		{Name: windows.ItemEnrollmentType, Value: d.kind},
		{Name: windows.ItemTargetedUserLoggedIn, Value: "true"},
		{Name: windows.ItemUXInitiated, Value: "true"},
	}, more...)}
}

// plainCSR is a request for a certificate as anybody makes it.
func (d *pc) plainCSR(key crypto.Signer) []byte {
	csr, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{}, key)
	if err != nil {
		d.a.unasked("no certificate request: %v", err)
	}
	return csr
}

// enrol has the server take the device in, by its invitation.
func (d *pc) enrol(more ...windows.ContextItem) {
	key := d.newKey()
	x, body := d.soap(d.where.EnrollmentURL, "enrolment", d.credential(), d.rst(d.plainCSR(key), more...))
	d.taken(x, body, key)
}

// taken reads the answer to a request for the device's certificate. It ends the check where there is none.
func (d *pc) taken(x *Exchange, body windows.Body, key crypto.Signer) {
	g, why := readGiven(body, key)
	if g == nil {
		d.blame("%s brought no certificate: %s (%s)", x.What, x.answer(), why)
	}
	d.given = g
	d.own(certs.Signer{Certificate: g.leaf, Key: key})
}

// A given is a provisioning document, as it is written. Only what a device cannot do without is looked for.
type given struct {
	document windows.Document
	leaf     *x509.Certificate
	store    string // User or System, where the certificate stood
	address  string // of management
}

// readGiven takes an answer apart; nil: it brings no certificate for the key, and why.
func readGiven(body windows.Body, key crypto.Signer) (g *given, why string) {
	r, ok := body.(*windows.RequestSecurityTokenResponse)
	if f, refused := body.(*windows.Fault); refused {
		return nil, f.Error()
	}
	if !ok {
		return nil, "no answer to a request for a certificate"
	}
	g = &given{}
	var err error
	if g.document, err = windows.DecodeDocument(r.Document); err != nil {
		return nil, err.Error()
	}
	mine, _ := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	for _, store := range []string{"User", "System"} {
		for _, c := range within(g.document, "CertificateStore", "My", store) {
			der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(parm(c.Parms, "EncodedCertificate")), ""))
			if err != nil || len(der) == 0 {
				continue
			}
			if leaf, err := x509.ParseCertificate(der); err == nil && mine != nil && mine.Equal(leaf.PublicKey) {
				g.leaf, g.store = leaf, store
			}
		}
	}
	if g.leaf == nil {
		return nil, "no certificate for the device's key is in the document"
	}
	for _, c := range g.document {
		if c.Type == "APPLICATION" {
			g.address = parm(c.Parms, "ADDR")
		}
	}
	return g, ""
}

// within are the characteristics below a path.
func within(list []windows.Characteristic, path ...string) []windows.Characteristic {
	for _, name := range path {
		i := slices.IndexFunc(list, func(c windows.Characteristic) bool { return c.Type == name })
		if i < 0 {
			return nil
		}
		list = list[i].Characteristics
	}
	return list
}

// parm is the value of a setting; empty: it is not there.
func parm(list []windows.Parm, name string) string {
	i := slices.IndexFunc(list, func(p windows.Parm) bool { return p.Name == name })
	if i < 0 {
		return ""
	}
	return list[i].Value
}

// refused wants a fault with this subcode and error type; empty: any.
func (d *pc) refused(x *Exchange, body windows.Body, subcode windows.Subcode, kind windows.ErrorType) *windows.Fault {
	f, ok := body.(*windows.Fault)
	switch {
	case !ok:
		d.a.fail("%s was answered %s, want a fault", x.What, x.answer())
	case subcode != "" && f.Subcode != subcode:
		d.a.fail("%s is refused by %s, want %s", x.What, f.Subcode, subcode)
	case kind != "" && f.ErrorType != kind:
		d.a.fail("%s is refused by error type %q, want %s", x.What, f.ErrorType, kind)
	}
	return f
}

func (d *pc) standing() (string, []certs.Signer) { return d.id, d.issued }

// leave ends the device's enrolment, by whichever of its identities the server takes.
func (d *pc) leave(ctx context.Context) error {
	if forget := d.a.Steps.Forget; forget != nil { // who is told to leave is gone with its farewell, not after a silence
		if err := forget(ctx, d.id); err != nil && !target.IsNotFound(err) {
			return err
		}
		if known := d.a.Steps.Known; known != nil {
			if s, err := known(ctx, d.id); target.IsNotFound(err) || err == nil && !s.Enrolled {
				return nil
			}
		}
	}
	said := "its leaving was not heard"
	for _, who := range slices.Backward(d.issued) {
		d.as(who)
		say := func(m *windows.Message) *Exchange {
			return d.a.run.exchange(ctx, d.client, http.MethodPost, d.given.address, "PC "+d.name+": leaves", syncMLHeader(), windows.EncodeMessage(nil, m))
		}
		say(d.begin()) // and hears that it is to
		x := say(d.begin(leaving()))
		var m windows.Message
		if x.Status == http.StatusOK && windows.DecodeMessage(x.body, &m) == nil && statusOf(&m, windows.SyncHeader) == windows.OK {
			said = ""
			break
		}
		said = "its leaving was answered " + x.answer()
	}
	return d.a.run.forgotten(ctx, d.id, said)
}
