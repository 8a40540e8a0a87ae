package conformance

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"rollcall/certs"
	"rollcall/fleet/target"
	"rollcall/protocol/android"
)

// How Android devices leave, and what must not make them.

var androidLeaveStatements = []Statement{
	{
		ID: "AND-078", Suite: Android, Class: OfAndroid, Must: true, check: checkAND078,
		Says:   "A device that an administrator removed hears it at its next check-in: 410 with an order that a policy key signed, for this device, in this enrolment, by a way that its mode has.",
		Source: "android.md 7, 8; HST-027",
		Why:    "Agents leave by such an order alone: without one a removed device stays under management that nobody attends to; by one that names too little a proxy unenrols a fleet.",
		How:    "A work profile and a fully managed device are removed by the administrator, and check in; the orders are verified with the keys of discovery, and read.",
		Fix:    "Sign device, enrolment, time and mode with a key that discovery names.",
	},
	{
		ID: "AND-079", Suite: Android, Class: OfAndroid, Must: true, check: checkAND079,
		Says:   "A wipe comes with a signed order; its result is stored before the device answers no more, and its certificate is refused from then on.",
		Source: "android.md 7, 8",
		Why:    "Agents carry a wipe out only with an order; a wiped device cannot report again, so that a result which is lost leaves it \"pending\" for ever; and a key that was copied off it must be worth nothing.",
		How:    "A wipe is ordered, fetched, and reported; the device's standing is read, where the adapter can; then its certificate is tried.",
		Fix:    "Sign an order for each such command; end the enrolment and revoke the certificate with the result.",
	},
	{
		ID: "AND-080.leave", Suite: Android, Class: OfAndroid, Must: true, check: checkAND080Leave,
		Says:   "A farewell in the name of another device or enrolment is 403, and ends neither; one's own is 200, and its certificate is refused from then on.",
		Source: "android.md 8",
		Why:    "Else one stolen certificate unenrols everybody; and one that outlives its enrolment lets in who left.",
		How:    "A device says good-bye for another one, then by an enrolment that is not its own; both check in; then it says good-bye for itself, and tries its certificate.",
		Fix:    "Hold device and enrolment against the certificate; revoke it with the answer.",
	},
	{
		ID: "HST-027.android", Suite: Android, Class: OfAndroid, Must: true, check: checkHST027Android,
		Says:   "Nothing but an administrator's removal is answered 410 or with an order: no stranger, no unknown path, no nonsense; and no device in good standing hears 401.",
		Source: "hostile.md 2; android.md 7",
		Why:    "Whatever looks like a removal and is none costs a fleet: agents of other people's may believe less than an order.",
		How:    "A stranger checks in and says good-bye; a device in good standing asks by other methods, at paths that are not there, and says nonsense; a device that left checks in.",
		Fix:    "Answer 400, 401, 403, 404 and 405 for what they are; keep 410 for the signed order.",
	},
}

var androidAloneStatements = []Statement{
	{
		ID: "AND-059", Suite: Android, Class: OfIntune, Must: true, alone: true, check: checkAND059,
		Says:   "A device without a user stays with the authority that it is registered with when the tenant's changes.",
		Source: "android.md 13; AUTH-18",
		Why:    "Nothing says whose a kiosk is: one that is moved without a word is managed by nobody who knows of it.",
		How:    "A dedicated device enrols; the authority is changed; it checks in twice, and who manages it is read before and after.",
		Fix:    "Leave devices without a user where they are, and list them.",
	},
	{
		ID: "AND-060", Suite: Android, Class: OfIntune, Must: true, alone: true, check: checkAND060,
		Says:   "The gap of a push certificate of Apple's holds no Android device: enrolment, check-in and commands go on.",
		Source: "android.md 13; AUTH-30",
		Why:    "Android has no such certificate: a server that holds it too makes an outage of half a fleet one of all.",
		How:    "The authority is changed, which opens the gap; a device gets a command and a new one enrols; then a renewed certificate is uploaded.",
		Fix:    "Ask after the gap for Apple's platforms alone.",
	},
	{
		ID: "AND-075", Suite: Android, Class: OfIntune, Must: true, alone: true, check: checkAND075,
		Says:   "After a change of authority the next answer tells of it by a signed notice, and the device is registered with the new one when its check-in is complete, not before.",
		Source: "android.md 8; AUTH-21",
		Why:    "A device that moves before it has its new policy is under nobody's; one that believes an unsigned notice drops profiles on a stranger's word.",
		How:    "The authority is changed; a device begins a check-in and completes it; who manages it is read in between, where the adapter can.",
		Fix:    "Register with the transaction that completes the check-in; sign notices with a policy key.",
	},
	{
		ID: "AND-081", Suite: Android, Class: OfAndroid, Must: true, alone: true, check: checkAND081,
		Says:   "A renewal is refused before the last 42 days; in them a check-in asks for it, the old certificate works until the new one was used, and then is refused.",
		Source: "android.md 9; AUTH-41",
		Why:    "A device whose identity ends must enrol again, by hand; one whose old certificate stops too soon is locked out in the middle.",
		How:    "A device tries to renew at once; the clock goes to forty days before the end; a check-in must ask for a renewal; the old certificate is tried before and after the first use of the new one.",
		Fix:    "Start 42 days early; retire the old certificate at the first use of the new.",
	},
}

// removal reads the order in an answer or a command, and wants it to be for this device.
func (d *droid) removal(text string, want android.Removal) {
	var o android.Order
	payload, signed := d.server.signed(android.OrderType, text)
	switch {
	case text == "":
		d.a.fail("%s has no order: no agent leaves by it", d.a.last.What)
	case !signed:
		d.a.fail("the order is signed by none of the %d policy keys of discovery", len(d.server.keys))
	case android.Decode(payload, &o) != nil:
		d.a.fail("the order is none: %q", payload)
	case o.Device != d.device || o.Enrollment != d.enrollment:
		d.a.fail("the order is for device %q in enrolment %q, want %q in %q", o.Device, o.Enrollment, d.device, d.enrollment)
	case o.Mode != want:
		d.a.fail("the order says %s to a device of mode %s, want %s", o.Mode, d.mode, want)
	case o.IssuedAt <= 0:
		d.a.fail("the order does not say when it was given")
	}
}

func checkAND078(a *asking) {
	a.needs(a.Steps.Forget != nil, "remove a device")
	for _, mode := range []android.Mode{android.WorkProfilePersonal, android.FullyManaged} {
		d := a.managed(mode)
		ctx, cancel := a.administrator()
		err := a.Steps.Forget(ctx, d.device)
		cancel()
		if err != nil {
			a.unasked("the adapter %s does not remove a device of mode %s that is enrolled: %v", a.Steps.Name, mode, err)
		}
		m := d.message(android.ReasonUser)
		x := d.round(&m)
		if x.Status != http.StatusGone {
			a.fail("a device of mode %s that was removed is answered %s, want 410", mode, x.answer())
		}
		var e android.Error
		if err := android.Decode(x.body, &e); err != nil {
			a.fail("a device that was removed is answered 410 with %s: %v", media(x), err)
		}
		want := mode.Removal()
		if want == "" {
			want = android.Reset
		}
		d.removal(e.Order(), want)
	}
}

// refusedFromNow wants the identity that d has to be worth nothing.
func (d *droid) refusedFromNow(after string) {
	d.as(d.identity) // a new connection
	m := d.message(android.ReasonUser)
	if x := d.round(&m); x.Status/100 == 2 || x.timedOut() {
		d.a.fail("after %s its certificate is answered %s", after, x.answer())
	}
}

func checkAND079(a *asking) {
	a.needs(a.Steps.Queue != nil, "queue a command")
	d := a.managed(android.FullyManaged)
	id := d.order(target.Wipe)
	m := d.message(android.ReasonUser)
	answer := d.heard(d.round(&m))
	if len(answer.Commands) != 1 || answer.Commands[0].Type != android.Wipe {
		a.fail("a wipe was ordered, and the device got %d commands", len(answer.Commands))
	}
	d.removal(answer.Commands[0].Order, android.Reset)
	d.obey(&m, &answer)
	if x := d.round(&m); x.Status != http.StatusOK {
		a.fail("the result of a wipe was answered %s", x.answer())
	}
	if got := d.outcome(id); got != "" && got != "Acknowledged" {
		a.fail("a wipe that was reported as done stands as %q", got)
	}
	if a.Steps.Known != nil && d.known().Enrolled {
		a.fail("a device that reported its wipe counts as enrolled")
	}
	d.refusedFromNow("its wipe")
}

// unenrol says good-bye for a device and an enrolment.
func (d *droid) unenrol(what, device, enrollment string) *Exchange {
	return d.post("farewell "+what, android.UnenrollPath, android.Append(nil, &android.UnenrollRequest{Device: device, Enrollment: enrollment, Reason: android.UserRequest}), nil)
}

func checkAND080Leave(a *asking) {
	d, other := a.managed(android.FullyManaged), a.managed(android.WorkProfileCompany)
	d.refused(d.unenrol("for another device", other.device, other.enrollment), http.StatusForbidden, android.DeviceMismatch)
	d.refused(d.unenrol("by another enrolment", d.device, other.enrollment), http.StatusForbidden, android.DeviceMismatch)
	d.steady("after a farewell that was not its own")
	other.steady("after another's farewell")
	if x := d.unenrol("for itself", d.device, d.enrollment); x.Status != http.StatusOK {
		a.fail("a farewell was answered %s", x.answer())
	}
	d.refusedFromNow("its farewell")
}

func checkHST027Android(a *asking) {
	d := a.managed(android.FullyManaged)
	check := func(x *Exchange, standing bool) {
		var e android.Error
		switch {
		case x.timedOut():
			a.fail("%s was not answered", x.What)
		case x.Status == http.StatusGone:
			a.fail("%s was answered 410, and nobody removed the device", x.What)
		case android.Decode(x.body, &e) == nil && e.Order() != "":
			a.fail("%s was answered with an order to leave, and nobody removed the device", x.What)
		case standing && x.Status == http.StatusUnauthorized:
			a.fail("%s of a device in good standing was answered 401", x.What)
		}
	}
	m := d.message(android.ReasonUser)
	body := android.Append(nil, &m)
	own := d.identity
	d.as(certs.Signer{})
	check(d.checkIn("check-in of a stranger", body), false)
	check(d.unenrol("of a stranger", d.device, d.enrollment), false)
	d.as(own)
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		check(d.do(method, d.server.url+android.CheckInPath, method+" in place of POST", http.Header{"Content-Type": {android.ContentType}}, nil), true)
	}
	for _, path := range []string{"/android/v1/checkin/" + d.device, "/android/v2/checkin", "/android/v1/nowhere"} {
		check(d.post("a check-in at "+path, path, body, nil), true)
	}
	for what, nonsense := range map[string][]byte{"nothing": nil, "a web page": []byte("<!DOCTYPE html><html></html>"), "a list": []byte("[1]"), "rubbish": bytes.Repeat([]byte{0xff}, 100)} {
		check(d.checkIn("check-in of "+what, nonsense), true)
	}
	d.steady("after it said nonsense")
	if x := d.unenrol("for itself", d.device, d.enrollment); x.Status != http.StatusOK {
		a.unasked("a farewell was answered %s", x.answer())
	}
	d.as(own)
	check(d.checkIn("check-in after its farewell", body), false)
}

func checkAND059(a *asking) {
	a.needs(a.Steps.Known != nil, "tell who manages a device")
	topic := a.opens()
	d := a.managed(android.Dedicated)
	before := d.known().Authority
	a.changeAuthority()
	d.as(d.identity)
	for range 2 {
		d.talk(android.ReasonUser)
		if now := d.known().Authority; now != before {
			a.fail("a device without a user was managed by %q, and is by %q after the tenant changed", before, now)
		}
	}
	a.renewed(topic)
}

func checkAND060(a *asking) {
	topic := a.opens()
	d := a.managed(android.FullyManaged)
	a.changeAuthority()
	d.as(d.identity)
	d.order(target.Lock)
	d.blame = a.fail
	if got := commands(d.talk(android.ReasonUser)); len(got) != 1 {
		a.fail("in the gap of Apple's push certificate an Android device gets %d commands of one", len(got))
	}
	next := a.droid(android.WorkProfilePersonal)
	next.blame = a.fail
	next.join()
	a.renewed(topic)
}

func checkAND075(a *asking) {
	topic := a.opens()
	d := a.managed(android.FullyManaged)
	a.changeAuthority()
	d.as(d.identity)
	registered := func() string {
		if a.Steps.Known == nil {
			return ""
		}
		s := d.known()
		if s.Authority == "" {
			return ""
		}
		return fmt.Sprintf("%s in epoch %d", s.Authority, s.Epoch)
	}
	before := registered()
	if before == "" {
		a.without("when it is registered: the adapter %s does not tell", a.Steps.Name)
	}
	m := d.message(android.ReasonUser)
	noticed := false
	for range android.MaxRounds {
		answer := d.heard(d.round(&m))
		if _, ok := d.server.signed(android.NoticeType, answer.Authority.Notice); ok {
			noticed = true
		} else if answer.Authority.Notice != "" || m.Round == 1 {
			a.fail("after a change of authority an answer tells of it by %q, which no policy key signed", answer.Authority.Notice)
		}
		switch now := registered(); {
		case before == "":
		case !answer.Complete && now != before:
			a.fail("before its check-in is complete a device is registered with %s, was with %s", now, before)
		case answer.Complete && now == before:
			a.fail("after a complete check-in a device is still registered with %s", now)
		}
		if answer.Complete {
			break
		}
		d.obey(&m, &answer)
	}
	if !noticed {
		a.fail("no answer tells of the change of authority")
	}
	a.renewed(topic)
}

func checkAND081(a *asking) {
	if a.Steps.Step == nil {
		a.skip("the server's clock cannot be set, and its identities live too long to wait for")
	}
	if a.Steps.PushState != nil && a.Steps.UploadPush != nil {
		a.freshPush()
	}
	d := a.managed(android.FullyManaged)
	offer := d.offer
	offer.Challenge = ""
	if early := d.apply(d.device, offer); early.granted || early.timedOut() {
		a.fail("a renewal a year before the end was answered %s", early.answer())
	}
	a.stepTo(d.identity.Certificate.NotAfter.Add(-40 * 24 * time.Hour))
	d.as(d.identity)
	asked := false
	for _, answer := range d.talk(android.ReasonUser) {
		if o := answer.Renew; o != nil {
			asked = true
			offer = *o
			offer.Challenge = ""
		}
	}
	if !asked {
		a.fail("forty days before its identity ends a device is not asked to renew it")
	}
	if offer.Method != d.offer.Method {
		a.fail("a device that got its identity by %s is to renew it by %s, which it may not know", d.offer.Method, offer.Method)
	}
	old, renewed := d.identity, d.apply(d.device, offer)
	c := renewed.Certificate
	if c == nil {
		a.fail("a renewal that was asked for is answered %s", renewed.answer())
	}
	if c.Subject.CommonName != d.device || !c.NotAfter.After(old.Certificate.NotAfter) {
		a.fail("the renewed certificate is for %q until %s", c.Subject.CommonName, c.NotAfter.UTC().Format(time.DateOnly))
	}
	d.as(old)
	d.steady("before the renewed identity was used, by the old one,")
	d.own(renewed.Signer)
	d.steady("by the renewed identity")
	now := d.identity
	d.as(old)
	d.refusedFromNow("the first use of the renewed one")
	d.as(now)
	d.steady("by the renewed identity")
}
