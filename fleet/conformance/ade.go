package conformance

import (
	"net/http"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

var automatedStatements = []Statement{
	{
		ID: "APL-084", Suite: Apple, Class: OfApple, Must: true, check: checkAPL084,
		Says:   "A MachineInfo that is not signed by the factory, or with a serial number that is not the tenant's, gets no profile; a good one does.",
		Source: "apple.md 10.3; Apple, MachineInfo",
		Why:    "Serial numbers can be guessed: without the signature anybody enrols as anybody's device (Duo Labs, 2018).",
		How:    "An assigned serial signed by a key of our own, an unassigned one and an assigned one signed by the factory identity.",
		Fix:    "Verify the CMS against the factory's root, then look the serial number up.",
	},
	{
		ID: "APL-085", Suite: Apple, Class: OfApple, Must: true, check: checkAPL085,
		Says:   "A device that is too old and can update itself is told so by 403 com.apple.softwareupdate.required with a content type; another gets its profile.",
		Source: "apple.md 10.3; Apple's schema, mdm/errors",
		Why:    "With the wrong content type Setup Assistant shows an error in place of the update.",
		How:    "A device with OS 10 that says it can update itself asks for its profile.",
		Fix:    "Answer application/json with code and details.OSVersion.",
	},
	{
		ID: "APL-086", Suite: Apple, Class: OfApple, Must: true, passes: true, check: checkAPL086,
		Says:   "A device that waits in Setup Assistant is pushed again if it does not come, and gets DeviceConfigured, once, after everything else.",
		Source: "apple.md 10.4",
		Why:    "Without it the device waits for ever; too early, its user meets a device without its profiles.",
		How:    "A device with an assigned serial number enrols with AwaitingConfiguration, does not come at its first push, where time can be set, and then empties its queue.",
		Fix:    "Queue DeviceConfigured behind the first profiles, and wake the device again if it does not come.",
	},
	{
		ID: "APL-087", Suite: Apple, Class: OfApple, Must: true, check: checkAPL087,
		Says:   "A device without a user is known from the assignment of its serial number, whatever it says of itself; one that enrols by a user's link is that user's.",
		Source: "apple.md 10.5; AUTH-18, AUTH-19",
		Why:    "Who manages such a device depends on it having no user: taken from what the device says, any device could say so.",
		How:    "A serial number is assigned to nobody and its device enrols automatically; another enrols by a user's link and says that it waits in Setup Assistant, as only automated ones do; whose they are is read.",
		Fix:    "Keep it with the serial number's assignment, and ask no message of the device.",
	},
	{
		ID: "HST-042", Suite: Apple, Class: OfApple, Must: true, check: checkHST042,
		Says:   "The profile that one serial number got enrols no device with another.",
		Source: "hostile.md 3",
		Why:    "Else one device of the tenant opens the door to any other.",
		How:    "A device takes the profile of an assigned serial number and says another one in Authenticate.",
		Fix:    "Bind the challenge to serial number and UDID.",
	},
}

// automated skips the check unless devices can enrol automatically.
func (a *asking) automated() {
	if a.AutomatedURL == "" || a.Factory == nil {
		a.skip("automated enrolment is not part of this run (--ade-url, --ade-identity)")
	}
	a.needs(a.Steps.Assign != nil, "assign a serial number")
}

// machineInfo asks for the profile of automated enrolment.
func (p *phone) machineInfo(what string, by certs.Signer, osVersion string) *Exchange {
	product := products[p.platform]
	info := &apple.MachineInfo{UDID: p.udid, Serial: p.serial, Product: product[0], BuildVersion: "22B83", OSVersion: osVersion, Language: "en", CanRequestSoftwareUpdate: true}
	body, err := certs.SignAttached(apple.EncodeMachineInfo(info), by, p.a.now())
	if err != nil {
		p.a.unasked("MachineInfo cannot be signed: %v", err)
	}
	return p.do(http.MethodPost, p.a.AutomatedURL, what, http.Header{"Content-Type": {"application/pkcs7-signature"}}, body)
}

func (p *phone) assign(awaiting bool) { p.assignTo(p.a.slot, awaiting) }

func (p *phone) assignTo(owner int, awaiting bool) {
	ctx, cancel := p.a.administrator()
	defer cancel()
	if err := p.a.Steps.Assign(ctx, p.serial, owner, awaiting); err != nil {
		p.a.unasked("the serial number cannot be assigned: %v", err)
	}
}

func checkAPL084(a *asking) {
	a.automated()
	p := a.phone(protocol.IOS)
	p.assign(false)
	x := p.machineInfo("MachineInfo", *a.Factory, "18.1")
	if x.Status != http.StatusOK || media(x) != apple.ProfileType {
		a.fail("an assigned device was answered %s as %q", x.answer(), media(x))
	}
	if _, err := readEnrolment(x.body); err != nil {
		a.fail("the profile: %v", err)
	}
	key, err := certs.GenerateKey(certs.P256)
	if err != nil {
		a.unasked("no key: %v", err)
	}
	forged := certs.Signer{Certificate: selfSigned(a, key, p.udid, nil), Key: key}
	if x := p.machineInfo("MachineInfo signed by nobody's factory", forged, "18.1"); x.Status/100 == 2 || x.timedOut() {
		a.fail("a MachineInfo that no factory signed was answered %s", x.answer())
	}
	other := a.phone(protocol.IOS)
	if x := other.machineInfo("MachineInfo with a serial number that is not assigned", *a.Factory, "18.1"); x.Status/100 == 2 || x.timedOut() {
		a.fail("a serial number of nobody's was answered %s", x.answer())
	}
}

func checkAPL085(a *asking) {
	a.automated()
	p := a.phone(protocol.IOS)
	p.assign(false)
	x := p.machineInfo("MachineInfo of an old system", *a.Factory, "10.0")
	if x.Status == http.StatusOK {
		a.skip("the server asks for no version: it gave the profile to OS 10")
	}
	no, err := apple.DecodeForbidden(x.header.Get("Content-Type"), x.body)
	if x.Status != http.StatusForbidden || err != nil || no.Code != apple.SoftwareUpdateRequired || no.Details == nil || no.Details.OSVersion == "" {
		a.fail("a device that is too old was answered %s as %q, want 403 %s with a version", x.answer(), media(x), apple.SoftwareUpdateRequired)
	}
}

// assigned is a device with the profile of automated enrolment.
func (a *asking) assigned(awaiting bool) *phone { return a.assignedTo(a.slot, awaiting) }

func (a *asking) assignedTo(owner int, awaiting bool) *phone {
	p := a.phone(protocol.IOS)
	p.assignTo(owner, awaiting)
	x := p.machineInfo("MachineInfo", *a.Factory, "18.1")
	var err error
	if p.enrolment, err = readEnrolment(x.body); err != nil || x.Status != http.StatusOK {
		a.unasked("no profile by automated enrolment: answered %s, %v", x.answer(), err)
	}
	p.identify()
	return p
}

func checkAPL086(a *asking) {
	a.automated()
	p := a.assigned(true)
	p.register()
	p.say(p.authenticate())
	m := p.tokenUpdate()
	m.AwaitingConfiguration = true
	p.say(m)
	switch {
	case a.Pushes == nil:
		a.without("that it is pushed again: %s", a.blind())
	case p.pushed() == nil:
		a.fail("a device that waits is not pushed")
	case a.Steps.Step == nil:
		a.without("that it is pushed again: nobody waits for that here")
	case p.pushed() == nil:
		a.fail("a device that waits and did not come is not pushed again")
	}
	x := p.say(p.idle())
	configured, n := 0, 0
	for {
		id, c := p.command(x)
		if id == "" {
			break
		}
		if n++; n > 50 {
			a.unasked("the server hands out commands without end")
		}
		if configured > 0 {
			a.fail("%s came behind DeviceConfigured", c.RequestType())
		}
		if c.RequestType() == "DeviceConfigured" {
			configured++
		}
		x = p.say(p.report(id, protocol.Acknowledged))
	}
	if configured != 1 {
		a.fail("a device that waits got DeviceConfigured %d times, want once", configured)
	}
}

func checkHST042(a *asking) {
	a.automated()
	p := a.assigned(false)
	p.serial += "X"
	p.register()
	if x := p.send(p.authenticate()); x.Status/100 == 2 || x.timedOut() {
		a.fail("a profile of another serial number: Authenticate was answered %s", x.answer())
	}
}

func checkAPL087(a *asking) {
	a.automated()
	a.needs(a.Steps.Known != nil, "tell how a device stands")
	users := a.identified(protocol.IOS)
	users.register()
	users.say(users.authenticate())
	m := users.tokenUpdate()
	m.AwaitingConfiguration = true
	users.say(m)
	if users.known().User == "" {
		a.skip("the adapter %s does not tell whose a device is", a.Steps.Name)
	}
	p := a.assignedTo(0, false)
	p.enrol()
	switch s := p.known(); {
	case s.User != "":
		a.fail("a device whose serial number is assigned to nobody counts as %s's", s.User)
	case !s.Enrolled:
		a.fail("a device whose serial number is assigned to nobody is not held for enrolled")
	}
}
