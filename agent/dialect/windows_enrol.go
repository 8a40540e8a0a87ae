package dialect

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/agent"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// A WindowsStart says how an enrolment begins.
type WindowsStart struct {
	Email     string // UPN; empty: a device without a user
	Discovery string // URL; empty: enterpriseenrollment.<domain of Email>
	// Credential is what the device signs in with. None, with a server that wants a web page's token: [WebSignIn].
	Credential windows.Credential
	Device     bool   // EnrollmentType Device: the certificate is the machine's
	Consents   bool   // to a redirect that plain HTTP brings (WIN-028)
	Oobe       bool   // during set-up
	Automatic  bool   // nobody started it in Settings
	Data       string // EnrollmentData; empty: none
	ZeroTouch  string // registration of an Autopilot profile; empty: none
	Directory  string // the device's id in the directory whose token it signs in with; empty: it is in none

	// Sign appends a request with the signature of the Credential, which is then a provisioning package's bootstrap certificate
	// ([windows.SignEnvelope]). Nil: the Credential is another.
	Sign func(dst []byte, e *windows.Envelope) ([]byte, error)
}

// An enrolling is what a device keeps while it enrols, or renews its identity.
type enrolling struct {
	start     WindowsStart
	renews    bool
	plain     bool // the probe is by plain HTTP
	discovery string
	policy    string
	enrolment string
	federated bool
	key       crypto.Signer
}

const (
	requestMajor = 5 // RequestVersion 5.0
	leastBits    = 2048
	signedFor    = 5 * time.Minute // from when a request is signed until it ends
	// returnTo is where a web page sends its token, by a scheme that only apps have.
	returnTo = "ms-app://windows.immersivecontrolpanel"
)

// Enrol begins an enrolment. The error tells what of s is wrong, or wraps [ErrManaged] and [windows.EAlreadyEnrolled], or
// [windows.EEnrollmentInProgress] (WIN-027); [windows.EManagementBlocked], or [windows.EManagementUnconfigured] where a directory says no
// address, since none is found by mail for its devices (windows.md sections 2 and 4.2).
func (d *Windows) Enrol(now protocol.Time, s WindowsStart, out *Act) error {
	out.reset()
	d.now = now
	switch {
	case d.Phase() == agent.Enrolled:
		return fmt.Errorf("enrol %s: %w: %w", d.DeviceID(), ErrManaged, windows.EAlreadyEnrolled)
	case d.winTask != nil:
		return fmt.Errorf("enrol %s: %w: %w", d.DeviceID(), ErrManaged, windows.EEnrollmentInProgress)
	}
	discovery := s.Discovery
	switch {
	case d.habits.Blocked:
		return fmt.Errorf("enrol %s: a policy forbids it: %w", d.DeviceID(), windows.EManagementBlocked)
	case discovery == "" && s.Credential.Kind == windows.JWT:
		return fmt.Errorf("enrol %s: the directory names no server: %w", d.DeviceID(), windows.EManagementUnconfigured)
	case discovery == "":
		_, domain, _ := strings.Cut(s.Email, "@")
		discovery = "https://enterpriseenrollment." + domain + windows.DiscoveryPath
	}
	if !secure(discovery) {
		return fmt.Errorf("enrol %s: %.200q is no https URL", d.DeviceID(), discovery)
	}
	d.winTask = &winTask{enrolling: enrolling{start: s, discovery: discovery}}
	d.ask(Probe, "GET", discovery, nil, out)
	return nil
}

func secure(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && !strings.HasSuffix(u.Hostname(), ".")
}

// ask makes a request of the enrolment phase.
func (d *Windows) ask(s Step, method, target string, body windows.Body, out *Act) {
	t := d.winTask
	t.step = s
	r := Request{Step: s, Method: method, URL: target, UserAgent: windows.EnrollUserAgent, Stays: t.renews || s == Probe && t.plain}
	if body != nil {
		e := windows.Envelope{Header: windows.Header{MessageID: "urn:uuid:" + d.guid(uint64(s)), To: target}, Body: body}
		if s != Discovery {
			e.Header.Credential = t.start.Credential
		}
		if t.renews && s != Discovery {
			e.Header.Credential = windows.Credential{Kind: windows.Password, Username: d.own()[ownUser]}
			r.Identity = Current
		}
		if sign := t.start.Sign; sign != nil && s != Discovery {
			var err error
			e.Header.Created = d.now.Time().Truncate(time.Millisecond)
			e.Header.Expires = e.Header.Created.Add(signedFor)
			if out.scratch, err = sign(out.scratch[:0], &e); err != nil {
				d.giveUp(err, &Response{}, out)
				return
			}
		} else {
			out.scratch = windows.EncodeEnvelope(out.scratch[:0], &e)
		}
		r.ContentType, r.Body = windows.SOAPContentType, out.scratch
	}
	out.Kind, out.Request = Send, r
	if d.bonded() {
		out.Trust = Trust{Anchors: d.account.Value().anchors}
	}
}

// guid draws a UUID.
func (d *Windows) guid(what uint64) string {
	var id uuid.UUID
	for i := range 2 {
		n := d.core.Draw(1<<64-1, chanceToken, uint64(d.now)<<8^uint64(d.core.Enrolments())<<4^what<<1^uint64(i))
		for k := range 8 {
			id[8*i+k] = byte(n >> (8 * k))
		}
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id.String()
}

// enrolAnswer takes the answer to a request of the enrolment phase.
func (d *Windows) enrolAnswer(r *Response, out *Act) {
	t := d.winTask
	if t.step == Probe {
		d.probed(r, out)
		return
	}
	body, err := answered(t.step, r)
	if err != nil {
		d.giveUp(err, r, out)
		return
	}
	switch b := body.(type) {
	case *windows.DiscoverResponse:
		d.discovered(b, r, out)
	case *windows.GetPoliciesResponse:
		d.request(b.Policy.MinimalKeyLength, out)
	case *windows.RequestSecurityTokenResponse:
		d.certified(b, r, out)
	default:
		d.giveUp(windows.EMessageFormat, r, out)
	}
}

// probed takes the answer to the probe: HTTPS, else a redirect by plain HTTP that the user must approve (WIN-028).
func (d *Windows) probed(r *Response, out *Act) {
	t := d.winTask
	switch {
	case r.Status == 200 && !t.plain:
		d.ask(Discovery, "POST", t.discovery, d.introduce(), out)
	case r.Status == 0 && !t.plain && trouble(r.Err) == windows.EConnectivity, r.Status == 0 && !t.plain && trouble(r.Err) == windows.EInvalidTLSCertificate:
		t.plain = true
		d.ask(Probe, "GET", "http://"+strings.TrimPrefix(t.discovery, "https://"), nil, out)
	case r.Status == 0:
		d.giveUp(trouble(r.Err), r, out)
	case t.plain && r.Status >= 300 && r.Status < 400 && secure(r.Location):
		if !t.start.Consents {
			d.giveUp(windows.EInsecureRedirect, r, out)
			return
		}
		t.plain, t.discovery = false, r.Location
		d.ask(Discovery, "POST", t.discovery, d.introduce(), out)
	case t.plain: // the user is asked for an address
		d.giveUp(windows.EConnectivity, r, out)
	default:
		d.giveUp(windows.HTTPError(r.Status), r, out)
	}
}

// trouble is the code of a connection that did not come about.
func trouble(err error) windows.HRESULT {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return windows.EDiscoveryCertDate
	}
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	if unknown || name || invalid {
		return windows.EInvalidTLSCertificate
	}
	return windows.EConnectivity
}

// answered reads the answer to a SOAP request. The error is an HRESULT, or a Fault that has one (WIN-026).
func answered(s Step, r *Response) (windows.Body, error) {
	switch {
	case r.Status == 0:
		return nil, trouble(r.Err)
	case r.Status == 200 && len(r.Body) == 0:
		return nil, windows.EEmptyAnswer
	case r.Status != 200 && r.Status != windows.FaultStatus:
		return nil, windows.HTTPError(r.Status)
	}
	e, err := windows.DecodeEnvelope(r.Body)
	if err != nil {
		if r.Status != 200 {
			return nil, windows.HTTPError(r.Status)
		}
		return nil, fmt.Errorf("%w: %w", windows.EMessageFormat, err)
	}
	fault, no := e.Body.(*windows.Fault)
	switch {
	case no && r.Status == windows.FaultStatus:
		return nil, fault
	case r.Status != 200 || no: // a fault that came with 200 is lost on the device
		return nil, windows.HTTPError(r.Status)
	}
	fits := false
	switch e.Body.(type) {
	case *windows.DiscoverResponse:
		fits = s == Discovery
	case *windows.GetPoliciesResponse:
		fits = s == Policy
	case *windows.RequestSecurityTokenResponse:
		fits = s == Certify
	}
	if !fits {
		return nil, windows.EMessageFormat
	}
	return e.Body, nil
}

// giveUp ends an enrolment with nothing left of it, or a renewal until its next attempt.
func (d *Windows) giveUp(err error, r *Response, out *Act) {
	t := d.winTask
	d.winTask = nil
	out.Kind, out.Request = Rest, Request{}
	out.Err = &Failure{Step: t.step, Status: r.Status, RetryAfter: r.RetryAfter, Err: err}
	if t.renews {
		d.renewal.status, d.renewal.code = renewFailed, windows.EUnknownFault
		if fault, ok := errors.AsType[*windows.Fault](err); ok {
			d.renewal.code = fault.HRESULT()
		} else if code, ok := errors.AsType[windows.HRESULT](err); ok {
			d.renewal.code = code
		}
		d.renewAfter(d.now)
	}
}

// introduce is what discovery asks.
func (d *Windows) introduce() *windows.Discover {
	email := d.start.Email
	if d.renews {
		email = d.own()[ownUser]
	}
	policies := []string{windows.OnPremise, windows.Federated}
	if d.start.Sign != nil {
		policies = []string{windows.Certificate}
	}
	return &windows.Discover{
		EmailAddress: email, RequestVersion: windows.Version{Major: requestMajor}, DeviceType: windows.DeviceDesktop,
		ApplicationVersion: d.model.OSVersion, OSEdition: d.model.Edition, AuthPolicies: policies,
	}
}

// discovered takes the answer of discovery.
func (d *Windows) discovered(b *windows.DiscoverResponse, r *Response, out *Act) {
	t := d.winTask
	switch {
	case b.AuthPolicy != windows.OnPremise && b.AuthPolicy != windows.Federated && (b.AuthPolicy != windows.Certificate || t.start.Sign == nil),
		!secure(b.EnrollmentURL) || b.PolicyURL != "" && !secure(b.PolicyURL) || b.AuthenticationURL != "" && !secure(b.AuthenticationURL):
		d.giveUp(windows.EMessageFormat, r, out)
		return
	}
	t.enrolment, t.policy, t.federated = b.EnrollmentURL, b.PolicyURL, b.AuthPolicy == windows.Federated
	if t.renews {
		d.request(leastBits, out)
		return
	}
	switch kind := t.start.Credential.Kind; {
	case b.AuthPolicy == windows.Certificate, kind == windows.JWT, kind == windows.UserToken, kind == windows.Password && !t.federated:
		d.policies(out)
	case t.federated && b.AuthenticationURL != "":
		u, _ := url.Parse(b.AuthenticationURL) // secure has read it
		q := u.Query()
		q.Set("appru", returnTo)
		q.Set("login_hint", t.start.Email)
		u.RawQuery = q.Encode()
		out.Kind, out.Page = WebSignIn, u.String()
	default:
		d.giveUp(windows.EPasswordNeeded, r, out)
	}
}

// GotToken tells the device what a person's signing in at [Act].Page brought, or why nothing.
func (d *Windows) GotToken(now protocol.Time, token []byte, err error, out *Act) {
	out.reset()
	d.now = now
	if d.winTask == nil || d.step != Discovery {
		return
	}
	if err != nil || len(token) == 0 {
		d.giveUp(fmt.Errorf("%w: %w", windows.EWebSignIn, err), &Response{}, out)
		return
	}
	d.start.Credential = windows.Credential{Kind: windows.UserToken, Token: token}
	d.policies(out)
}

func (d *Windows) policies(out *Act) {
	if d.policy == "" {
		d.request(leastBits, out)
		return
	}
	d.ask(Policy, "POST", d.policy, &windows.GetPolicies{}, out)
}

// request wants a key and a request for a certificate.
func (d *Windows) request(bits int, out *Act) {
	d.step = Certify
	out.Kind, out.Request = MakeRequest, Request{}
	out.CSR = CSR{Subject: d.guid(0)[:30] + "!" + d.DeviceID() + "\x00", DeviceID: d.DeviceID(), Bits: max(bits, leastBits), Renews: d.renews}
}

// GotRequest tells the device its new key, and the request that CSR.Sign made with it.
func (d *Windows) GotRequest(now protocol.Time, key crypto.Signer, der []byte, err error, out *Act) {
	out.reset()
	d.now = now
	t := d.winTask
	if t == nil || t.step != Certify || t.key != nil {
		return
	}
	if err == nil {
		_, err = packKey(key)
	}
	if err != nil {
		d.giveUp(fmt.Errorf("%w: %w", windows.ECertificateRequest, err), &Response{}, out)
		return
	}
	t.key = key
	d.ask(Certify, "POST", t.enrolment, &windows.RequestSecurityToken{Renew: t.renews, Token: der, Context: d.context()}, out)
}

// context is what the device says of itself when it asks for a certificate.
func (d *Windows) context() []windows.ContextItem {
	w, m, s := d.Who(), d.model, &d.start
	list := []windows.ContextItem{
		{Name: windows.ItemDeviceType, Value: windows.DeviceDesktop}, {Name: windows.ItemApplicationVersion, Value: m.OSVersion},
	}
	if d.renews {
		return list
	}
	kind := windows.EnrollmentFull
	if s.Device {
		kind = windows.EnrollmentDevice
	}
	add := func(name, value string) {
		if value != "" {
			list = append(list, windows.ContextItem{Name: name, Value: value})
		}
	}
	add(windows.ItemOSEdition, strconv.FormatUint(uint64(m.Edition), 10))
	add(windows.ItemOSVersion, m.OSVersion)
	add(windows.ItemDeviceName, w.Name)
	add(windows.ItemMAC, w.MAC)
	add(windows.ItemHWDevID, w.HWDevID)
	add(windows.ItemDeviceID, w.DeviceID)
	add(windows.ItemEnrollmentType, kind)
	add(windows.ItemLocale, m.language())
	add(windows.ItemTargetedUserLoggedIn, strconv.FormatBool(d.login == uint8(LoginUser)))
	add(windows.ItemUXInitiated, strconv.FormatBool(!s.Automatic))
	add(windows.ItemNotInOobe, strconv.FormatBool(!s.Oobe))
	add(windows.ItemRequestVersion, windows.Version{Major: requestMajor}.String())
	add(windows.ItemManufacturer, m.Manufacturer)
	add(windows.ItemDeviceModel, m.Name)
	add(windows.ItemSerialNumber, w.Serial)
	add(windows.ItemEnrollmentData, s.Data)
	add(windows.ItemZeroTouch, s.ZeroTouch)
	return list
}
