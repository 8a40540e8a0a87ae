package conformance

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"slices"
	"strings"

	"rollcall/protocol/windows"
)

// How Windows devices enrol, and who does not.

var windowsEnrolStatements = []Statement{
	{
		ID: "WIN-011", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN011,
		Says:   "A certificate request as Windows writes it is taken: its name a PrintableString with an exclamation mark and a NUL, its device id an extension that is no ASN.1 inside.",
		Source: "windows.md 4, 14",
		Why:    "Strict readers refuse it, and with it every build of Windows that writes it so.",
		How:    "A device enrols by such a request.",
		Fix:    "Read the subject as bytes; who the device is, the certificate that you issue says.",
	},
	{
		ID: "WIN-012", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN012,
		Says:   "A request whose own signature does not verify, or whose key has less than 2048 bits, is refused by CertificateRequest, and the invitation goes on.",
		Source: "windows.md 4, 14",
		Why:    "Who did not sign does not hold the key: somebody else's device would be let in by this certificate.",
		How:    "A device asks with a signature that is changed and with a key of 1024 bits, then in good order by the same password.",
		Fix:    "Verify the request's signature and look at its key before anything is used up.",
	},
	{
		ID: "WIN-013", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN013,
		Says:   "Base64 with line breaks is taken.",
		Source: "windows.md 4, 14",
		Why:    "Windows wraps it at 64 or 76 columns, as its build has it.",
		How:    "A device enrols by a request that is wrapped.",
		Fix:    "Drop white space before decoding.",
	},
	{
		ID: "WIN-014", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN014,
		Says:   "A password that is wrong, another user's or none is refused by Authentication or InvalidSecurity, with the policy too.",
		Source: "windows.md 2, 4.2, 14",
		Why:    "The password is all that keeps a stranger's PC out.",
		How:    "A device asks for its policy and its certificate without a credential, with a made-up password, and in another user's name.",
		Fix:    "Look at the security header before the body.",
	},
	{
		ID: "WIN-015", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN015,
		Says:   "Context items that the server does not know, and several MAC and IMEI, are taken.",
		Source: "windows.md 4, 14",
		Why:    "Each build of Windows says more of itself than the one before.",
		How:    "A device enrols with them.",
		Fix:    "Keep what you do not know, and lists as lists.",
	},
	{
		ID: "WIN-021", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN021,
		Says:   "A refusal is HTTP 500 with a SOAP fault, s:Receiver and a subcode of the table.",
		Source: "windows.md 4.2, 14; MS-MDE2 2.2.10",
		Why:    "By 200 Windows records 801900C8 in place of the reason, and nobody finds out what was wrong (fleet#50611).",
		How:    "A wrong password, half of a message and a request to the wrong service.",
		Fix:    "Answer 500, and say the table's word.",
	},
	{
		ID: "WIN-022", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN022,
		Says:   "A user without a licence is refused by UserLicense, and one who has as many devices as he may by DeviceCapReached.",
		Source: "windows.md 4.2, 14; AUTH-47",
		Why:    "By the word Windows tells its user what is wrong (80180018, 80180013); by another one he calls the help desk, which does not know either.",
		How:    "A device enrols for a user without a licence; then devices of another one enrol until one is refused.",
		Fix:    "Map each gate to its ErrorType of the table.",
	},
	{
		ID: "WIN-023", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN023,
		Says:   "An enrolment that was refused leaves no device.",
		Source: "windows.md 14",
		Why:    "Records of devices that never were count against their user's limit, and hide the real ones.",
		How:    "A device asks by an EnrollmentType that does not exist, and is looked for; then it enrols and is there.",
		Fix:    "Write the record behind all gates, with the certificate.",
	},
	{
		ID: "WIN-024", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN024,
		Says:   "A device that comes again with the hardware it had takes the place of its former self, whose certificate is refused from then on.",
		Source: "windows.md 4, 14",
		Why:    "A PC that was set up anew is there twice else, and the certificate on its old disk goes on to work.",
		How:    "A device enrols; one of the same user with the same HWDevID and another DeviceID follows; the first one's certificate is tried.",
		Fix:    "Look HWDevID up, end the enrolment that has it, revoke its certificate.",
	},
	{
		ID: "HST-018", Suite: Windows, Class: OfWindows, Must: true, check: checkHST018,
		Says:   "SOAP enrolment takes exactly one element at exactly its path.",
		Source: "hostile.md 1; CVE-2020-15216 of goxmldsig",
		Why:    "Where the element that was verified is not the one that is used, whoever wraps a good one around his own enrols as somebody else.",
		How:    "Two bodies, two certificate requests, a second security header, and a credential outside it.",
		Fix:    "Read by the full path, demand exactly one, and answer all else with a SOAP fault.",
	},
	{
		ID: "HST-037.windows", Suite: Windows, Class: OfWindows, Must: true, check: checkHST037Windows,
		Says:   "A password is for one device: none other enrols by it, and the same request that comes again gets the same certificate.",
		Source: "hostile.md 3, HST-037 and HST-041",
		Why:    "Passwords stand in mails: one that serves twice enrols a stranger's device; one that is spent by a lost answer costs a new one.",
		How:    "A device enrols, sends the same request again, and another one comes with its password.",
		Fix:    "Spend it with the certificate, in one transaction, and keep the answer with the request.",
	},
	{
		ID: "HST-043", Suite: Windows, Class: OfWindows, Must: true, check: checkHST043,
		Says:   "An enrolment bearer token is verified before anything in it is read.",
		Source: "hostile.md 3; CVE-2026-23518 of Fleet",
		Why:    "A token whose signature nobody checks lets anybody enrol as anybody.",
		How:    "Tokens of the directory with alg none and with a signature that nobody made, in the name of a user whom the server knows.",
		Fix:    "Fix the algorithm and the keys; check signature, issuer, audience, tenant and time before a claim is used.",
	},
	{
		ID: "HST-051.windows", Suite: Windows, Class: OfWindows, Must: true, check: checkHST051Windows,
		Says:   "Whoever knows the id of a device that is enrolled and nobody's does not get its place.",
		Source: "hostile.md 4, HST-051",
		Why:    "DeviceID is what a device says of itself: another one would get its commands, and lock it out.",
		How:    "A device without a user enrols; another asks by an invitation of its own with the same DeviceID; then the first has a session.",
		Fix:    "Refuse an id whose record is enrolled, unless its own user comes again.",
	},
}

var oidClientUsage = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}

// crookedCSR is a request for a certificate as Windows writes it (windows.md section 4).
func (d *pc) crookedCSR(key crypto.Signer) []byte {
	name := asn1.RawValue{Tag: asn1.TagPrintableString, Bytes: []byte("c0f0c0f0-0000-4000-8000-c0f0c0!" + d.id + "\x00")}
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	subject, err := asn1.Marshal([]asn1.RawValue{set(attribute{oidCommonName, name})})
	usage, wrong := asn1.Marshal([]asn1.ObjectIdentifier{oidClientUsage})
	if err != nil || wrong != nil {
		d.a.unasked("no subject: %v %v", err, wrong)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: subject, ExtraExtensions: []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: usage}, {Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 66, 1, 0}, Value: []byte(d.id + "\x00")},
	}}, key)
	if err != nil {
		d.a.unasked("no certificate request: %v", err)
	}
	return csr
}

// set is a SET OF one value.
func set(value any) asn1.RawValue {
	der, err := asn1.Marshal(value)
	if err != nil {
		panic(err) // a fault of this file
	}
	return asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: der}
}

func checkWIN011(a *asking) {
	d := a.machine()
	d.blame = a.fail
	key := d.newKey()
	x, body := d.soap(d.where.EnrollmentURL, "enrolment by a request as Windows writes it", d.credential(), d.rst(d.crookedCSR(key)))
	d.taken(x, body, key)
	d.sync()
}

func checkWIN012(a *asking) {
	d := a.machine()
	broken := d.plainCSR(d.newKey())
	broken[len(broken)-1] ^= 1
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		a.unasked("no key: %v", err)
	}
	for what, csr := range map[string][]byte{"with a signature that is wrong": broken, "with a key of 1024 bits": d.plainCSR(small)} {
		x, body := d.soap(d.where.EnrollmentURL, "enrolment "+what, d.credential(), d.rst(csr))
		d.refused(x, body, windows.SubcodeCertificateRequest, "")
	}
	d.blame = a.fail
	d.enrol()
}

func checkWIN013(a *asking) {
	d := a.machine()
	d.blame = a.fail
	key := d.newKey()
	csr := d.plainCSR(key)
	raw := d.request(d.where.EnrollmentURL, d.credential(), d.rst(csr))
	text := base64.StdEncoding.EncodeToString(csr)
	var lines strings.Builder
	for line := range slices.Chunk([]byte(text), 64) {
		lines.Write(line)
		lines.WriteString("\r\n")
	}
	wrapped := bytes.Replace(raw, []byte(text), []byte(lines.String()), 1)
	if bytes.Equal(wrapped, raw) {
		a.unasked("the request could not be wrapped")
	}
	x, body := d.envelope(d.where.EnrollmentURL, "enrolment by wrapped base64", wrapped)
	d.taken(x, body, key)
}

func checkWIN014(a *asking) {
	d := a.machine()
	for what, who := range map[string]windows.Credential{
		"without a credential":                   {},
		"with a password that was made up":       {Kind: windows.Password, Username: d.user, Password: "made-up"},
		"with a password in another user's name": {Kind: windows.Password, Username: "nobody@rollcall.invalid", Password: d.password},
		"with a token that was made up":          {Kind: windows.UserToken, Token: []byte("made-up")},
	} {
		for url, body := range map[string]windows.Body{d.where.PolicyURL: &windows.GetPolicies{}, d.where.EnrollmentURL: d.rst(d.plainCSR(d.newKey()))} {
			x, answer := d.soap(url, "a request "+what, who, body)
			if f := d.refused(x, answer, "", ""); f.Subcode != windows.SubcodeAuthentication && f.Subcode != windows.SubcodeInvalidSecurity && f.Subcode != windows.SubcodeAuthorization {
				a.fail("a request %s is refused by %s", what, f.Subcode)
			}
		}
	}
	d.blame = a.fail
	d.enrol()
}

func checkWIN015(a *asking) {
	d := a.machine()
	d.blame = a.fail
	d.enrol(windows.ContextItem{Name: "OfAnotherTime", Value: "x"}, windows.ContextItem{Name: windows.ItemMAC, Value: "02:00:00:00:00:02"},
		windows.ContextItem{Name: windows.ItemIMEI, Value: "350000000000001"}, windows.ContextItem{Name: windows.ItemIMEI, Value: "350000000000002"})
}

// receiver tells whether a fault's code is s:Receiver, whatever its prefix.
func receiver(x *Exchange) bool { return bytes.Contains(x.body, []byte(":Receiver<")) }

func checkWIN021(a *asking) {
	d := a.machine()
	rst := d.rst(d.plainCSR(d.newKey()))
	half := d.request(d.where.EnrollmentURL, d.credential(), rst)
	for _, one := range []struct {
		what    string
		ask     func() (*Exchange, windows.Body)
		subcode windows.Subcode
	}{
		{"a wrong password", func() (*Exchange, windows.Body) {
			return d.soap(d.where.EnrollmentURL, "enrolment with a wrong password", windows.Credential{Kind: windows.Password, Username: d.user, Password: "made-up"}, rst)
		}, windows.SubcodeAuthentication},
		{"half of a message", func() (*Exchange, windows.Body) {
			return d.envelope(d.where.EnrollmentURL, "half of an enrolment", half[:len(half)/2])
		}, windows.SubcodeMessageFormat},
		{"the wrong service", func() (*Exchange, windows.Body) {
			return d.soap(d.where.EnrollmentURL, "discovery at the wrong service", d.credential(), d.discover())
		}, windows.SubcodeMessageFormat},
	} {
		x, body := one.ask()
		d.refused(x, body, one.subcode, "")
		if x.Status != windows.FaultStatus || !receiver(x) {
			a.fail("%s was answered %s, want 500 by s:Receiver", x.What, x.answer())
		}
	}
}

// mostDevices is how many devices a user is given before nobody waits for a limit any more; Intune's is 15.
const mostDevices = 16

func checkWIN022(a *asking) {
	d := a.machine()
	d.blame = a.fail
	d.enrol()
	if a.Steps.Unlicensed == nil {
		a.without("that a user without a licence is refused: the adapter %s has none", a.Steps.Name)
	} else {
		poor := a.bareMachine()
		poor.where = d.where
		ctx, cancel := a.administrator()
		defer cancel()
		var err error
		if poor.user, poor.password, err = a.Steps.Unlicensed(ctx); err != nil {
			a.unasked("no invitation for a user without a licence: %v", err)
		}
		x, body := poor.asks("enrolment for a user without a licence")
		poor.refused(x, body, "", windows.ErrorUserLicense)
	}
	for range mostDevices - 1 {
		more := a.bareMachine()
		more.where = d.where
		more.invite(a.slot)
		key := more.newKey()
		x, body := more.soap(more.where.EnrollmentURL, "enrolment of one more device", more.credential(), more.rst(more.plainCSR(key)))
		if _, refused := body.(*windows.Fault); refused {
			more.refused(x, body, "", windows.ErrorDeviceCapReached)
			return
		}
		more.taken(x, body, key)
	}
	a.without("that there is a limit of devices: %d of one user are taken", mostDevices)
}

// asks asks for a certificate, by the device's invitation.
func (d *pc) asks(what string) (*Exchange, windows.Body) {
	return d.soap(d.where.EnrollmentURL, what, d.credential(), d.rst(d.plainCSR(d.newKey())))
}

func checkWIN023(a *asking) {
	a.needs(a.Steps.Known != nil, "tell how a device stands")
	d := a.machine()
	d.kind = "Half"
	x, body := d.soap(d.where.EnrollmentURL, "enrolment of a type that does not exist", d.credential(), d.rst(d.plainCSR(d.newKey())))
	if _, refused := body.(*windows.Fault); !refused {
		a.unasked("a bad request was answered %s", x.answer())
	}
	d.kind = windows.EnrollmentFull
	if d.known().Enrolled {
		a.fail("a device whose enrolment was refused counts as enrolled")
	}
	d.join()
	if !d.known().Enrolled {
		a.fail("after its first session the server does not hold the device for enrolled")
	}
}

func checkWIN024(a *asking) {
	old := a.governed()
	d := a.machine()
	d.hardware = old.hardware
	d.blame = a.fail
	d.join()
	old.shut("the same hardware enrolled again")
}

func checkHST018(a *asking) {
	d := a.machine()
	other := a.bareMachine()
	raw := string(d.request(d.where.EnrollmentURL, d.credential(), d.rst(d.plainCSR(d.newKey()))))
	between := func(from, to string) string {
		i := strings.Index(raw, from)
		k := strings.Index(raw, to)
		if i < 0 || k < i {
			a.unasked("the message has no %s", from)
		}
		return raw[i : k+len(to)]
	}
	body := between("<s:Body>", "</s:Body>")
	token := between("<BinarySecurityToken", "</BinarySecurityToken>")
	security := between("<wsse:Security", "</wsse:Security>")
	for what, wrapped := range map[string]string{
		"with two bodies":                    strings.Replace(raw, body, body+strings.ReplaceAll(body, d.id, other.id), 1),
		"with two certificate requests":      strings.Replace(raw, token, token+token, 1),
		"with two security headers":          strings.Replace(raw, security, security+security, 1),
		"with a credential in another place": strings.Replace(raw, body, strings.Replace(body, "<s:Body>", "<s:Body>"+security, 1), 1),
	} {
		x, answer := d.envelope(d.where.EnrollmentURL, "enrolment "+what, []byte(wrapped))
		d.refused(x, answer, "", "")
	}
	d.blame = a.fail
	d.enrol()
}

func checkHST037Windows(a *asking) {
	d := a.machine()
	key := d.newKey()
	rst := d.rst(d.plainCSR(key))
	x, body := d.soap(d.where.EnrollmentURL, "enrolment", d.credential(), rst)
	d.taken(x, body, key)
	first := d.given.leaf
	x, body = d.soap(d.where.EnrollmentURL, "the same enrolment again", d.credential(), rst)
	if g, why := readGiven(body, key); g == nil || !g.leaf.Equal(first) {
		a.fail("%s was answered %s: %s", x.What, x.answer(), why)
	}
	thief := a.bareMachine()
	thief.where, thief.user, thief.password = d.where, d.user, d.password
	x, body = thief.soap(d.where.EnrollmentURL, "enrolment by another's password", thief.credential(), thief.rst(thief.plainCSR(thief.newKey())))
	thief.refused(x, body, "", "")
}

func checkHST043(a *asking) {
	d := a.machine()
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	claims := part(`{"iss":"https://sts.windows.net/x/","aud":"x","upn":"` + d.user + `","exp":4102444800}`)
	for what, token := range map[string]string{
		"without a signature":          part(`{"alg":"none","typ":"JWT"}`) + "." + claims + ".",
		"with a signature of nobody's": part(`{"alg":"RS256","kid":"../../etc/passwd","typ":"JWT"}`) + "." + claims + "." + part(strings.Repeat("x", 256)),
		"by a shared secret":           part(`{"alg":"HS256","typ":"JWT"}`) + "." + claims + "." + part(strings.Repeat("x", 32)),
	} {
		x, body := d.soap(d.where.EnrollmentURL, "enrolment by a token "+what, windows.Credential{Kind: windows.JWT, Token: []byte(token)}, d.rst(d.plainCSR(d.newKey())))
		d.refused(x, body, "", "")
	}
	d.find() // it is still there
}

func checkHST051Windows(a *asking) {
	d := a.bareMachine()
	d.find()
	d.invite(0)
	d.kind, d.login = windows.EnrollmentDevice, windows.LoginNone
	d.join()
	thief := a.machine()
	thief.id = d.id
	x, body := thief.soap(d.where.EnrollmentURL, "enrolment by the id of another device", thief.credential(), thief.rst(thief.plainCSR(thief.newKey())))
	thief.refused(x, body, "", "")
	d.steady("after another came by its id")
}
