package conformance

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"

	"rollcall/certs"
	"rollcall/protocol/windows"
)

// What Windows devices are told before they ask for a certificate.

var windowsDiscoverStatements = []Statement{
	{
		ID: "WIN-001", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN001,
		Says:   "GET of the discovery service is answered 200 with nothing.",
		Source: "windows.md 1, 14",
		Why:    "Windows looks so whether anybody is there: without it the user is asked for the address of a server that he does not know.",
		How:    "GET " + windows.DiscoveryPath + ".",
		Fix:    "Answer GET beside POST.",
	},
	{
		ID: "WIN-002", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN002,
		Says:   "Every answer of the enrolment phase and of a session comes in one piece, with its length.",
		Source: "windows.md 1, 14",
		Why:    "Windows takes no chunks when it enrols: it fails, or reads half of a document.",
		How:    "The lengths of a discovery, a policy, an enrolment, a refusal and a session are looked at.",
		Fix:    "Write the body first, set Content-Length, then send.",
	},
	{
		ID: "WIN-003", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN003,
		Says:   "Discovery answers any RequestVersion from 3.0 on, by no higher one.",
		Source: "windows.md 2, 14",
		Why:    "A device goes by what it is answered: one that is told a version beyond its own leaves things out, and one that is too new for the server must still get in.",
		How:    "Discovery by 3.0, 4.0, 5.0 and 99.0.",
		Fix:    "Answer the lower one of the device's version and your own.",
	},
	{
		ID: "WIN-004", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN004,
		Says:   "The AuthPolicy that is answered is one that the device offers; where there is none, it is a fault.",
		Source: "windows.md 2, 14",
		Why:    "A device that is told to sign in as it cannot ends with a code that says nothing.",
		How:    "Discovery with each policy alone, and with one that does not exist.",
		Fix:    "Choose among those that are offered; else answer Authentication.",
	},
	{
		ID: "WIN-005", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN005,
		Says:   "The address of a sign-in page is there exactly when the AuthPolicy is Federated.",
		Source: "windows.md 2, 14",
		Why:    "Without it there is nowhere to sign in; with it beside a password a device does not know which of them is meant.",
		How:    "Discovery with OnPremise alone, and with Federated alone.",
		Fix:    "Write AuthenticationServiceUrl for Federated, and not else.",
	},
	{
		ID: "WIN-006", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN006,
		Says:   "RelatesTo is the request's MessageID to the byte, of a fault too.",
		Source: "windows.md 1, 14",
		Why:    "A device throws an answer away that is to another question.",
		How:    "Discovery and a request without a credential, by message ids of several kinds.",
		Fix:    "Copy MessageID; do not read it as a UUID.",
	},
	{
		ID: "WIN-007", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN007,
		Says:   "Prefixes, white space around values and a slash behind the discovery namespace do not matter.",
		Source: "windows.md 1, 14",
		Why:    "Builds of Windows write them in their own ways: a server that compares text loses some of them.",
		How:    "Discovery with other prefixes, with line breaks around the values, and in the namespace with a slash.",
		Fix:    "Compare namespace and name; trim values.",
	},
	{
		ID: "WIN-008", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN008,
		Says:   "Policy and enrolment are at one host.",
		Source: "windows.md 1, 14",
		Why:    "Windows refuses to go on at another one.",
		How:    "The addresses that discovery answers for a desktop and for a phone are compared.",
		Fix:    "Serve both from the host that the certificate names.",
	},
	{
		ID: "WIN-009", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN009,
		Says:   "The sign-in page leads to apps of the device alone, and writes nothing of the request unescaped.",
		Source: "windows.md 2, 14",
		Why:    "A page that leads anywhere hands the token of whoever signs in to a stranger's server.",
		How:    "The page is opened with a web address, a script and an app's address with a quote in it.",
		Fix:    "Take ms-app: and ms-appx-web: alone, and write by templates.",
	},
	{
		ID: "WIN-010", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN010,
		Says:   "GetPolicies answers policySchema 3, keys of at least 2048 bits, and a hash that its list of OIDs has.",
		Source: "windows.md 3, 14",
		Why:    "A device makes its key by it: one that cannot read it stops, and a short key is refused later, or worse, is not.",
		How:    "A device with an invitation asks for its policy.",
		Fix:    "Send 3, 2048 and SHA-256, and let hashAlgorithmOIDReference point into oIDs.",
	},
	{
		ID: "HST-003.windows", Suite: Windows, Class: OfWindows, Must: true, check: checkHST003Windows,
		Says:   "An envelope or a message with a document type is refused.",
		Source: "hostile.md 1, HST-003",
		Why:    "Entities of such a type read files, call other servers, or grow until the server ends (CVE-2022-3980 of Sophos Mobile).",
		How:    "Discovery with a DOCTYPE without entities, and with an external one; a session's message with one.",
		Fix:    "Refuse DOCTYPE in the reader.",
	},
}

func checkWIN001(a *asking) {
	d := a.bareMachine()
	d.find()
	x := d.do(http.MethodGet, d.address(windows.DiscoveryPath), "looks for the discovery service", nil, nil)
	if x.Status != http.StatusOK || len(x.body) > 0 {
		a.fail("GET of the discovery service was answered %s with %d bytes", x.answer(), len(x.body))
	}
}

// whole wants an answer in one piece.
func (d *pc) whole(x *Exchange) {
	if x.Status != 0 && x.length < 0 {
		d.a.failBy(x, "%s was answered without Content-Length", x.What)
	}
}

func checkWIN002(a *asking) {
	d := a.machine()
	for _, url := range []string{d.address(windows.DiscoveryPath), d.where.PolicyURL, d.where.EnrollmentURL} {
		body := windows.Body(d.discover())
		if url == d.where.PolicyURL {
			body = &windows.GetPolicies{}
		}
		x, _ := d.soap(url, "a request", d.credential(), body)
		d.whole(x)
	}
	key := d.newKey()
	x, body := d.soap(d.where.EnrollmentURL, "enrolment", d.credential(), d.rst(d.plainCSR(key)))
	d.whole(x)
	d.taken(x, body, key)
	m := d.begin()
	for range mostMessages {
		x := d.say(m)
		d.whole(x)
		answer := d.heard(x)
		if !more(answer) {
			return
		}
		m = d.obey(answer)
	}
}

// discovered is the answer to a discovery in other words.
func (d *pc) discovered(what string, change func(r *windows.Discover)) *windows.DiscoverResponse {
	m := d.discover()
	change(m)
	x, body := d.soap(d.address(windows.DiscoveryPath), "discovery "+what, windows.Credential{}, m)
	r, ok := body.(*windows.DiscoverResponse)
	if !ok {
		d.a.fail("discovery %s was answered %s", what, x.answer())
	}
	return r
}

func checkWIN003(a *asking) {
	d := a.bareMachine()
	d.find()
	for _, v := range []windows.Version{{Major: 3}, {Major: 4}, {Major: 5}, {Major: 99}} {
		if r := d.discovered("by version "+v.String(), func(m *windows.Discover) { m.RequestVersion = v }); v.Before(r.EnrollmentVersion) {
			a.fail("discovery by version %s is answered by %s", v, r.EnrollmentVersion)
		}
	}
}

func checkWIN004(a *asking) {
	d := a.bareMachine()
	d.find()
	for _, policy := range []string{windows.OnPremise, windows.Federated, windows.Certificate} {
		m := d.discover()
		m.AuthPolicies = []string{policy}
		x, body := d.soap(d.address(windows.DiscoveryPath), "discovery with "+policy+" alone", windows.Credential{}, m)
		switch r := body.(type) {
		case *windows.DiscoverResponse:
			if r.AuthPolicy != policy {
				a.fail("a device that offers %s is told %s", policy, r.AuthPolicy)
			}
		case *windows.Fault: // it does not serve it
		default:
			a.fail("%s was answered %s", x.What, x.answer())
		}
	}
	m := d.discover()
	m.AuthPolicies = []string{"Telepathy"}
	x, body := d.soap(d.address(windows.DiscoveryPath), "discovery with a policy that does not exist", windows.Credential{}, m)
	d.refused(x, body, "", "")
}

func checkWIN005(a *asking) {
	d := a.bareMachine()
	d.find()
	for _, policy := range []string{windows.OnPremise, windows.Federated} {
		m := d.discover()
		m.AuthPolicies = []string{policy}
		_, body := d.soap(d.address(windows.DiscoveryPath), "discovery with "+policy+" alone", windows.Credential{}, m)
		if r, ok := body.(*windows.DiscoverResponse); ok && (r.AuthPolicy == windows.Federated) != (r.AuthenticationURL != "") {
			a.fail("with AuthPolicy %s the address of the sign-in page is %q", r.AuthPolicy, r.AuthenticationURL)
		}
	}
}

// relatesTo is the request's id in an answer, as it is written.
func relatesTo(x *Exchange) string {
	e, _ := windows.DecodeEnvelope(x.body)
	if e == nil {
		return ""
	}
	return e.Header.RelatesTo
}

func checkWIN006(a *asking) {
	d := a.bareMachine()
	d.find()
	for _, id := range []string{"urn:uuid:5A0E4F2E-0F6C-4A55-9C2E-7F3C1D7F8A01", "urn:uuid: 5a0e4f2e", "conform/1?x=%20"} {
		for url, body := range map[string]windows.Body{d.address(windows.DiscoveryPath): d.discover(), d.where.EnrollmentURL: d.rst([]byte{0x30, 0})} {
			raw := windows.EncodeEnvelope(nil, &windows.Envelope{Header: windows.Header{MessageID: id, To: url}, Body: body})
			if x, _ := d.envelope(url, "a request with MessageID "+id, raw); strings.TrimSpace(relatesTo(x)) != id {
				a.fail("the answer to message %q relates to %q", id, relatesTo(x))
			}
		}
	}
}

func checkWIN007(a *asking) {
	d := a.bareMachine()
	d.find()
	plain := string(d.request(d.address(windows.DiscoveryPath), windows.Credential{}, d.discover()))
	const namespace = "http://schemas.microsoft.com/windows/management/2012/01/enrollment"
	for what, raw := range map[string]string{
		"with other prefixes": strings.NewReplacer("<s:", "<soap:", "</s:", "</soap:", "xmlns:s=", "xmlns:soap=", " s:mustUnderstand", " soap:mustUnderstand").Replace(plain),
		"with line breaks":    strings.NewReplacer("<EmailAddress>", "<EmailAddress>\n   ", "<RequestVersion>", "<RequestVersion>\n ", "</RequestVersion>", "\n </RequestVersion>", "</AuthPolicy>", "\r\n</AuthPolicy>").Replace(plain),
		"with a slash":        strings.ReplaceAll(plain, `"`+namespace+`"`, `"`+namespace+`/"`),
	} {
		if raw == plain {
			a.unasked("the message could not be written %s", what)
		}
		x, body := d.envelope(d.address(windows.DiscoveryPath), "discovery "+what, []byte(raw))
		if _, ok := body.(*windows.DiscoverResponse); !ok {
			a.fail("%s was answered %s", x.What, x.answer())
		}
	}
}

func checkWIN008(a *asking) {
	d := a.bareMachine()
	d.find()
	for _, kind := range []string{windows.DeviceDesktop, "WindowsPhone"} {
		r := d.discovered("of a "+kind, func(m *windows.Discover) { m.DeviceType = kind })
		policy, err := url.Parse(r.PolicyURL)
		enrolment, wrong := url.Parse(r.EnrollmentURL)
		if err != nil || wrong != nil || enrolment.Host == "" || r.PolicyURL != "" && policy.Hostname() != enrolment.Hostname() {
			a.fail("for a %s policy is at %q, enrolment at %q", kind, r.PolicyURL, r.EnrollmentURL)
		}
	}
}

func checkWIN009(a *asking) {
	d := a.bareMachine()
	d.find()
	m := d.discover()
	m.AuthPolicies = []string{windows.Federated}
	_, body := d.soap(d.address(windows.DiscoveryPath), "discovery with Federated alone", windows.Credential{}, m)
	r, ok := body.(*windows.DiscoverResponse)
	if !ok || r.AuthenticationURL == "" {
		a.skip("the server has no sign-in page")
	}
	open := func(back string) *Exchange {
		return d.do(http.MethodGet, r.AuthenticationURL+"?"+url.Values{"appru": {back}, "login_hint": {"conform@rollcall.invalid"}}.Encode(), "opens the sign-in page for "+back, nil, nil)
	}
	for _, back := range []string{"https://rollcall.invalid/", "javascript:alert(1)", "", "//rollcall.invalid"} {
		if x := open(back); x.Status/100 == 2 {
			a.fail("the sign-in page opens for %q, which is no app of a device", back)
		}
	}
	const mark = `"><script>c0f0</script>`
	x := open("ms-app://s-1-15-2-1/" + mark)
	if bytes.Contains(x.body, []byte("<script>c0f0")) {
		a.fail("the sign-in page writes the address as it is, %q among it", mark)
	}
	if x := open("ms-app://s-1-15-2-1"); x.Status != http.StatusOK {
		a.fail("the sign-in page for an app of the device was answered %s", x.answer())
	}
}

func checkWIN010(a *asking) {
	d := a.machine()
	if d.where.PolicyURL == "" {
		a.skip("the server has no policy service")
	}
	x, body := d.soap(d.where.PolicyURL, "asks for its policy", d.credential(), &windows.GetPolicies{})
	r, ok := body.(*windows.GetPoliciesResponse)
	switch {
	case !ok:
		a.fail("%s was answered %s", x.What, x.answer())
	case r.Policy.Schema != 3 || r.Policy.MinimalKeyLength < 2048 || r.Policy.HashAlgorithm == "":
		a.fail("the policy has schema %d, keys of %d bits and hash %q", r.Policy.Schema, r.Policy.MinimalKeyLength, r.Policy.HashAlgorithm)
	}
}

func checkHST003Windows(a *asking) {
	d := a.governed()
	typed := func(raw []byte, doctype string) []byte { return append([]byte(doctype), raw...) }
	for what, doctype := range map[string]string{"without entities": `<!DOCTYPE x>`, "with an external entity": `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>`} {
		who := d.client
		d.client = a.clients.of(certs.Signer{}, nil)
		x, body := d.envelope(d.address(windows.DiscoveryPath), "discovery with a document type "+what, typed(d.request(d.address(windows.DiscoveryPath), windows.Credential{}, d.discover()), doctype))
		if _, ok := body.(*windows.DiscoverResponse); ok || x.timedOut() {
			a.fail("%s was answered %s", x.What, x.answer())
		}
		d.client = who
		if x := d.syncML("a session with a document type "+what, typed(windows.EncodeMessage(nil, d.begin()), doctype)); x.Status == http.StatusOK {
			a.fail("%s was answered %s", x.What, x.answer())
		}
	}
	d.steady("after messages that were refused")
}
