package conformance

import (
	"bytes"
	"net/http"
	"strings"
	"sync"

	"rollcall/certs"
	"rollcall/protocol/android"
)

// How Android devices enrol, and who does not.

var androidEnrolStatements = []Statement{
	{
		ID: "AND-070", Suite: Android, Class: OfAndroid, Must: true, check: checkAND070,
		Says:   "A device enrols with its token, gets an identity for its own name by EST or SCEP, whose authority cacerts or GetCACert gives, and is managed when its first check-in is complete.",
		Source: "android.md 8, 9; RFC 7030, 4.1 and 4.2; RFC 8894, 4.2 and 3.3.1",
		Why:    "It is the way in: a server that leaves a part of it out has no devices, or some whose identity nobody can check.",
		How:    "A device asks to be taken in, obtains its certificate, holds it against what the service says of its authority, checks in until the check-in is complete, and is looked for, where the adapter can.",
		Fix:    "Issue for the name that the answer to enroll gave; answer cacerts and GetCACert with the authority that issues; enrol with the round that reports the first policy.",
	},
	{
		ID: "AND-071", Suite: Android, Class: OfAndroid, Must: true, check: checkAND071,
		Says:   "A request to enrol that comes again before the first check-in gets the same enrolment; after it the token is used: 401 TOKEN_USED.",
		Source: "android.md 8",
		Why:    "A device whose answer was lost asks again: where that makes a second enrolment, the first stays behind for ever; where the token never ends, whoever finds the QR code enrols.",
		How:    "A device asks twice, and once more when it has its certificate; the answers are compared; after its first check-in it asks again.",
		Fix:    "Bind the token to the device at its first use, derive the enrolment from the token, and end it with the first check-in.",
	},
	{
		ID: "HST-037.android", Suite: Android, Class: OfAndroid, Must: true, check: checkHST037Android,
		Says:   "A token is for one device: of two at once one is taken in, no other ever is, and its challenge gives nobody else a certificate; a token that was made up is 401 TOKEN_INVALID.",
		Source: "hostile.md 3; android.md 8",
		Why:    "Tokens stand in QR codes on walls: one that two devices can use enrols a stranger's beside the company's.",
		How:    "Two devices ask with one token at the same moment, a third afterwards; the one that lost asks for a certificate with the challenge of the other; one asks with an invented token, and one with none.",
		Fix:    "Redeem the token in one transaction with the device's name; keep its hash; compare the name where certificates are issued.",
	},
	{
		ID: "HST-044.android", Suite: Android, Class: OfAndroid, Must: true, check: checkHST044Android,
		Says:   "A request to enrol that is refused does not use the token up.",
		Source: "hostile.md 3",
		Why:    "Else every mistake of an agent costs an administrator a new token, and a device on a desk its enrolment.",
		How:    "A device asks in the wrong mode, in the wrong role, and with half of a message; then in good order with the same token.",
		Fix:    "Look at the message and at the gates before the token is bound.",
	},
	{
		ID: "AND-060.gates", Suite: Android, Class: OfAndroid, Must: true, check: checkAND060Gates,
		Says:   "A device in another mode than its token's, in a role that is not served, or for another user is refused with 403 MODE_NOT_ALLOWED; one without a user that names one, as malformed.",
		Source: "android.md 4, 8; AUTH-47",
		Why:    "A token for a kiosk that enrols somebody's own phone puts it under the rules of the company's devices, a wipe among them.",
		How:    "Devices ask with tokens that are not for what they say.",
		Fix:    "Store mode and user with the token, and compare before anything is bound.",
	},
	{
		ID: "HST-051.android", Suite: Android, Class: OfAndroid, Must: true, check: checkHST051Android,
		Says:   "Whoever knows the serial number of a device that is enrolled and nobody's does not get its place.",
		Source: "hostile.md 4, HST-042 and HST-051",
		Why:    "Serial numbers are printed on boxes: a second device that says one would get the commands and the profiles of the first, which would be locked out.",
		How:    "A device without a user enrols; another asks with a token of its own and the same serial number; then the first checks in.",
		Fix:    "Refuse a device whose record is enrolled under a valid identity, unless its own user comes again.",
	},
	{
		ID: "HST-014.android", Suite: Android, Class: OfAndroid, Must: true, check: checkHST014Android,
		Says:   "A message of another version of the protocol, or with a member that cannot be, is refused with 400, and the refusal names the member.",
		Source: "android.md 8; hostile.md 2",
		Why:    "Who is told \"bad request\" guesses; a server that takes what it does not understand acts on something else than was meant.",
		How:    "Requests to enrol and check-ins with protocol 2, a round that is a text, none, one beyond its range, and a mode that does not exist.",
		Fix:    "Check the version and each member before anything else, and say its path in the message.",
	},
	{
		ID: "HST-014.later", Suite: Android, Class: OfAndroid, Must: true, check: checkHST014Later,
		Says:   "Members that the server does not know are passed over.",
		Source: "android.md 8",
		Why:    "Else no agent can be newer than its server, and an update of one is an outage of the other.",
		How:    "A request to enrol and a check-in with members of another time, one of them an object.",
		Fix:    "Read what you know, strictly; pass over the rest.",
	},
	{
		ID: "AND-084", Suite: Android, Class: OfAndroid, Must: false, check: checkAND084,
		Says:   "Where attestation is required, none, a foreign root, a wrong challenge and a key in software are each refused with their reason, and no other key gets the certificate.",
		Source: "android.md 9, 13",
		Why:    "A key that software holds can be copied, and with it the device.",
		How:    "A device asks to be taken in with chains that are wrong in one place each, then with a good one, and asks for a certificate for another key.",
		Fix:    "Check chain, challenge, security level and, with the request, the key.",
	},
	{
		ID: "AUTH-05.android", Suite: Android, Class: OfIntune, Must: true, first: true, check: checkAUTH05Android,
		Says:   "Without the consent for Google's services no device of a mode that uses them gets a token, and one of a mode without Google is taken in.",
		Source: "authority.md, AUTH-05; android.md 4",
		Why:    "The consent says what of the devices goes to a third party: a device that enrols before it is there has told already.",
		How:    "In a tenant without the consent tokens are asked for in each mode; devices without Google's services enrol; the consent is granted, and the others do.",
		Fix:    "Look at the consent where tokens are made and where devices are taken in.",
	},
}

func checkAND070(a *asking) {
	d := a.droid(android.FullyManaged)
	d.blame = a.fail
	d.admit()
	issuers, said := d.issuers()
	d.identify()
	c := d.identity.Certificate
	if c.Subject.CommonName != d.device {
		a.fail("the certificate is for %q, the device is called %q", c.Subject.CommonName, d.device)
	}
	found := false
	for _, i := range issuers {
		found = found || c.CheckSignatureFrom(i) == nil
	}
	if !found {
		a.failBy(said, "%s was answered %s with %d certificates, and none issued the device's", said.What, said.answer(), len(issuers))
	}
	d.talk(android.ReasonEnrolled)
	if a.Steps.Known != nil && !d.known().Enrolled {
		a.fail("after a complete check-in the server does not hold the device for enrolled")
	}
}

func checkAND071(a *asking) {
	d := a.droid(android.FullyManaged)
	first := d.admitted(d.ask("with its token"))
	again := func(when string) {
		x := d.ask("with its token, " + when)
		if got := d.admittedAgain(x); got.Device != first.Device || got.Enrollment != first.Enrollment {
			a.fail("%s device %s is taken in as %s by %s, was %s by %s", when, d.name, got.Device, got.Enrollment, first.Device, first.Enrollment)
		}
	}
	again("again")
	d.identify()
	again("when it has its certificate")
	d.talk(android.ReasonEnrolled)
	d.refused(d.ask("after its first check-in"), http.StatusUnauthorized, android.TokenUsed)
}

// admittedAgain reads the answer to a request that came again.
func (d *droid) admittedAgain(x *Exchange) (answer android.EnrollAnswer) {
	if err := android.Decode(x.body, &answer); x.Status != http.StatusOK || err != nil {
		d.a.fail("%s was answered %s (%v)", x.What, x.answer(), err)
	}
	return answer
}

func checkHST037Android(a *asking) {
	first := a.droid(android.FullyManaged)
	second, third := a.bareDroid(first.server, first.mode), a.bareDroid(first.server, first.mode)
	second.token, third.token = first.token, first.token
	both := []*droid{first, second}
	answers := make([]*Exchange, len(both))
	var wait sync.WaitGroup
	for i, d := range both {
		m := d.request()
		body, header := android.Append(nil, &m), http.Header{"Content-Type": {android.ContentType}, "Authorization": {"Bearer " + d.token}}
		client := a.clients.of(d.identity, nil)
		wait.Go(func() {
			answers[i] = a.run.exchange(a.ctx, client, http.MethodPost, d.server.url+d.server.says.Enroll, "device "+d.name+": enrol, at once with another by the same token", header, body)
		})
	}
	wait.Wait()
	won := 0
	if answers[0].Status != http.StatusOK {
		won = 1
	}
	winner, loser := both[won], both[1-won]
	winner.admitted(answers[won])
	a.last = answers[1-won]
	loser.refused(answers[1-won], http.StatusUnauthorized, android.TokenUsed)
	third.refused(third.ask("by the token of another"), http.StatusUnauthorized, android.TokenUsed)
	if got := loser.apply("d-c0f0c0f0c0f0c0f0c0f0", winner.offer); got.granted {
		a.fail("the challenge of another device was answered %s", got.answer())
	}
	third.token = "made-up"
	third.refused(third.ask("by a token that was made up"), http.StatusUnauthorized, android.TokenInvalid)
	third.token = ""
	third.refused(third.ask("without a token"), http.StatusUnauthorized, android.TokenInvalid)
	winner.blame = a.fail
	winner.identify() // its own challenge serves still
}

func checkHST044Android(a *asking) {
	d := a.droid(android.FullyManaged)
	m := d.request()
	body := android.Append(nil, &m)
	for _, x := range []*Exchange{
		d.ask("in another mode", func(m *android.EnrollRequest) { m.Mode = android.WorkProfileCompany }),
		d.ask("as a companion", func(m *android.EnrollRequest) { m.Role = android.Companion }),
		d.askBy("with half of a message", body[:len(body)/2]),
	} {
		if x.Status/100 == 2 {
			a.unasked("%s was answered %s", x.What, x.answer()) // another statement tells it
		}
	}
	d.blame = a.fail
	d.join()
}

func checkAND060Gates(a *asking) {
	d := a.droid(android.FullyManaged)
	userless := a.droid(android.Dedicated)
	d.refused(d.ask("in another mode", func(m *android.EnrollRequest) { m.Mode = android.WorkProfilePersonal }), http.StatusForbidden, android.ModeNotAllowed)
	d.refused(d.ask("for another user", func(m *android.EnrollRequest) { m.User = &android.User{UPN: "nobody@rollcall.invalid"} }), http.StatusForbidden, android.ModeNotAllowed)
	d.refused(d.ask("as a companion", func(m *android.EnrollRequest) { m.Role = android.Companion }), http.StatusForbidden, android.ModeNotAllowed)
	userless.refused(userless.ask("with a user in a mode that has none", func(m *android.EnrollRequest) { m.User = &android.User{UPN: "nobody@rollcall.invalid"} }), http.StatusBadRequest, android.Malformed)
}

func checkHST051Android(a *asking) {
	d := a.managed(android.Dedicated)
	thief := a.droid(android.Dedicated)
	thief.serial = d.serial
	thief.refused(thief.ask("with the serial number of another device"), http.StatusForbidden, "")
	d.steady("after another came with its serial number")
}

// names wants a refusal of what is malformed that names the member.
func (d *droid) names(x *Exchange, reason, member string) {
	d.refused(x, http.StatusBadRequest, reason)
	if _, message := x.reason(); !strings.Contains(message, member) {
		d.a.fail("%s is refused without a word of %s: %q", x.What, member, message)
	}
}

func checkHST014Android(a *asking) {
	d := a.droid(android.FullyManaged)
	m := d.request()
	body := android.Append(nil, &m)
	changed := func(body []byte, old, with string) []byte { return bytes.Replace(body, []byte(old), []byte(with), 1) }
	d.names(d.askBy("version 2", changed(body, `"protocol":1`, `"protocol":2`)), android.ProtocolUnsupported, "protocol")
	d.names(d.askBy("in a mode that does not exist", changed(body, string(d.mode), "HALF_MANAGED")), android.Malformed, "mode")
	d.join()
	c := d.message(android.ReasonUser)
	body = android.Append(nil, &c)
	d.names(d.checkIn("check-in of version 2", changed(body, `"protocol":1`, `"protocol":2`)), android.ProtocolUnsupported, "protocol")
	for what, with := range map[string]string{"as a text": `"round":"1"`, "beyond its range": `"round":17`, "of nothing": `"round":0`} {
		d.names(d.checkIn("check-in with a round "+what, changed(body, `"round":1`, with)), android.Malformed, "round")
	}
	d.names(d.checkIn("check-in without a round", changed(body, `"round":1,`, "")), android.Malformed, "round")
	if x := d.checkIn("the same check-in in good order", body); x.Status != http.StatusOK {
		a.fail("after check-ins that were refused the one in good order is answered %s", x.answer())
	}
}

func checkHST014Later(a *asking) {
	d := a.droid(android.FullyManaged)
	m := d.request()
	later := func(body []byte) []byte {
		return bytes.Replace(body, []byte(`{"protocol":1`), []byte(`{"ofAnotherTime":{"x":[1,null,"y"]},"protocol":1`), 1)
	}
	d.blame = a.fail
	d.admitted(d.askBy("with a member that nobody knows", later(android.Append(nil, &m))))
	d.identify()
	d.talk(android.ReasonEnrolled)
	c := d.message(android.ReasonUser)
	if x := d.checkIn("check-in with a member that nobody knows", later(android.Append(nil, &c))); x.Status != http.StatusOK {
		a.fail("a check-in with a member that nobody knows is answered %s", x.answer())
	}
}

func checkAND084(a *asking) {
	d := a.droid(android.FullyManaged)
	bare := d.ask("without an attestation", func(m *android.EnrollRequest) { m.Attestation = nil })
	if bare.Status == http.StatusOK {
		a.skip("the server takes devices in that attest nothing")
	}
	d.refused(bare, http.StatusForbidden, android.AttestationMissing)
	if d.attested == nil {
		d.attested = d.newKey(d.offer)
	}
	refused := func(what string, maker *certs.Authority, token string, level certs.AttestationLevel, reason string) {
		x := d.ask("with an attestation "+what, func(m *android.EnrollRequest) { m.Attestation = d.vouched(maker, token, level) })
		d.refused(x, http.StatusForbidden, reason)
	}
	stranger, err := certs.NewIssuer("rollcall conform stranger", a.now())
	if err != nil {
		a.unasked("no other maker: %v", err)
	}
	refused("by a maker that nobody knows", stranger, d.token, certs.TrustedEnvironment, android.AttestationForeign)
	if a.Maker == nil {
		a.without("a wrong challenge, a key in software and another key: the server believes no maker of this run's (--android-maker)")
		return
	}
	refused("that answers another challenge", a.Maker, d.token+"x", certs.TrustedEnvironment, android.AttestationChallenge)
	refused("of a key in software", a.Maker, d.token, certs.Software, android.AttestationLevel)
	d.blame = a.fail
	d.admit()
	if other := d.applyFor(d.newKey(d.offer), d.device, d.offer); other.granted || other.timedOut() {
		a.fail("a request for a certificate for another key than the attested one was answered %s", other.answer())
	}
	d.identify()
	d.talk(android.ReasonEnrolled)
}

func checkAUTH05Android(a *asking) {
	a.androidServer()
	a.needs(a.Steps.Consented != nil && a.Steps.Consent != nil, "grant the consent for Google's services")
	ctx, cancel := a.administrator()
	granted, err := a.Steps.Consented(ctx)
	cancel()
	switch {
	case err != nil:
		a.unasked("the server does not say whether the consent for Google's services is granted: %v", err)
	case granted:
		a.skip("the consent for Google's services is granted, and nobody takes that back: a new tenant can be asked")
	}
	for _, mode := range android.Modes {
		if !mode.Google() {
			d := a.droid(mode)
			d.blame = a.fail
			d.join()
		} else if _, err := a.androidToken(mode); err == nil {
			a.fail("without the consent for Google's services there is a token for a device of mode %s", mode)
		}
	}
	for _, mode := range android.Modes {
		if mode.Google() {
			d := a.droid(mode) // grants it
			d.blame = a.fail
			d.join()
		}
	}
}
