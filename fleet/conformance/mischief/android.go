package mischief

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"rollcall/certs"
	"rollcall/protocol/android"
)

// Faults of servers of Android devices.

// posts tells whether the request is a device's, to a path of the agent protocol.
func (c *call) posts(path string) bool { return c.r.Method == http.MethodPost && c.r.URL.Path == path }

func (c *call) checksIn() bool { return c.posts(android.CheckInPath) }
func (c *call) enrols() bool   { return c.posts(android.EnrollPath) }

// round reads a round of a check-in; ok is false where it is none.
func (c *call) round() (m android.CheckIn, ok bool) {
	ok = c.checksIn() && android.Decode(c.body, &m) == nil
	return m, ok
}

// own tells whether a device's name is that of its certificate.
func (c *call) own(device string) bool {
	return c.leaf() != nil && c.r.TLS.PeerCertificates[0].Subject.CommonName == device
}

// rewrite has the bytes that a pattern finds in an answer to when replaced.
func rewrite(when func(c *call) bool, pattern, with string) func(c *call) {
	found := regexp.MustCompile(pattern)
	return func(c *call) {
		a := c.ask(c.body)
		if when(c) {
			a.body = found.ReplaceAll(a.body, []byte(with))
		}
		c.give(a)
	}
}

// instead answers with another status where the server answers with this one.
func instead(when func(c *call) bool, of, status int) func(c *call) {
	return func(c *call) {
		a := c.ask(c.body)
		if when(c) && a.status == of {
			a.status = status
		}
		c.give(a)
	}
}

// members changes the members of an answer.
func (a *answer) members(change func(m map[string]json.RawMessage)) {
	m := map[string]json.RawMessage{}
	if json.Unmarshal(a.body, &m) != nil {
		return
	}
	change(m)
	if b, err := json.Marshal(m); err == nil {
		a.body = b
	}
}

var (
	lowerCase      = rewrite((*call).checksIn, `"type":"LOCK"`, `"type":"lock"`)
	anotherPolicy  = rewrite((*call).checksIn, `("signature":"[^"]*)[^"]{8}"`, `${1}AAAAAAAA"`)
	sleepsAtOnce   = rewrite((*call).checksIn, `"after":"180s"`, `"after":"28800s"`)
	unsignedNotice = rewrite((*call).checksIn, `("notice":"[^"]*)[^"]{8}"`, `${1}AAAAAAAA"`)
	unsignedOrder  = rewrite((*call).checksIn, `("jws":"[^"]*)[^"]{8}"`, `${1}AAAAAAAA"`)
	wipesUnordered = rewrite((*call).checksIn, `,"order":"[^"]*"`, ``)
	inventedIsUsed = rewrite((*call).enrols, `"TOKEN_INVALID"`, `"TOKEN_USED"`)
	noReason       = rewrite((*call).enrols, `"MODE_NOT_ALLOWED"`, `"REFUSED"`)
	namelessReason = rewrite((*call).enrols, `"ATTESTATION_WRONG_CHALLENGE"`, `"REFUSED"`)
	otherNetworks  = rewrite((*call).checksIn, `"openNetworkConfiguration":\{`, `"networks":{`)
	namesNothing   = rewrite((*call).checksIn, `"message":"(?:[^"\\]|\\.)*"`, `"message":"bad request"`)

	anyAndroid = instead(func(c *call) bool { m, ok := c.round(); return ok && !c.own(m.Device) }, http.StatusForbidden, http.StatusOK)
	anySize    = instead(func(c *call) bool { return c.checksIn() && len(c.body) > android.MaxMessage }, http.StatusRequestEntityTooLarge, http.StatusOK)
	anyPacked  = instead(func(c *call) bool { return c.checksIn() && c.r.Header.Get("Content-Encoding") == "gzip" }, http.StatusRequestEntityTooLarge, http.StatusOK)
	anyTail    = instead(func(c *call) bool { return c.checksIn() && bytes.Count(c.body, []byte(`"checkin"`)) > 1 }, http.StatusBadRequest, http.StatusOK)

	endedChecksIn       = instead(func(c *call) bool { return c.checksIn() && c.leaf() != nil }, http.StatusUnauthorized, http.StatusOK)
	oldChecksIn         = instead(func(c *call) bool { return c.checksIn() && c.leaf() != nil }, http.StatusForbidden, http.StatusOK)
	renewsEarly         = instead(func(c *call) bool { return c.posts(android.ESTPath + "/simplereenroll") }, http.StatusForbidden, http.StatusOK)
	challengeForAll     = instead(func(c *call) bool { return c.posts(android.ESTPath + "/simpleenroll") }, http.StatusForbidden, http.StatusOK)
	unauthorizedRubbish = instead((*call).checksIn, http.StatusBadRequest, http.StatusUnauthorized)

	anyFarewell      = instead(func(c *call) bool { return c.posts(android.UnenrollPath) }, http.StatusForbidden, http.StatusOK)
	goneAtWrongPaths = instead(func(c *call) bool { return strings.HasPrefix(c.r.URL.Path, "/android/") }, http.StatusNotFound, http.StatusGone)
	anybodyChecksIn  = instead(func(c *call) bool { return c.checksIn() && c.leaf() == nil }, http.StatusUnauthorized, http.StatusOK)
)

// noAuthority answers cacerts with nothing.
func noAuthority(c *call) {
	if c.r.URL.Path == android.ESTPath+"/cacerts" {
		c.say(http.StatusNoContent)
		return
	}
	c.pass()
}

// renewsNobody refuses renewals.
func renewsNobody(c *call) {
	if c.posts(android.ESTPath + "/simplereenroll") {
		c.say(http.StatusForbidden)
		return
	}
	c.pass()
}

// anotherEnrolment calls an enrolment by another name when it is asked for again.
func anotherEnrolment(c *call) {
	a := c.ask(c.body)
	if c.enrols() && a.status == http.StatusOK && c.m.note("taken in "+c.r.Header.Get("Authorization"), "yes") != "" {
		a.body = bytes.Replace(a.body, []byte(`"enrollment":"e-`), []byte(`"enrollment":"e-2`), 1)
	}
	c.give(a)
}

// tokenForAll takes in whoever has a token.
func tokenForAll(c *call) {
	a := c.ask(c.body)
	var m android.EnrollRequest
	if c.enrols() && android.Decode(c.body, &m) == nil {
		token := c.r.Header.Get("Authorization")
		whose, answered := c.m.noted("whose "+token), c.m.noted("answered "+token)
		switch {
		case a.status == http.StatusOK:
			c.m.note("whose "+token, m.Hardware.SerialNumber)
			c.m.note("answered "+token, string(a.body))
		case a.status == http.StatusUnauthorized && answered != "" && whose != m.Hardware.SerialNumber:
			a.status, a.body = http.StatusOK, []byte(answered)
		}
	}
	c.give(a)
}

// anyPlace takes a device in whose serial number another one's has.
func anyPlace(c *call) {
	a := c.ask(c.body)
	var m android.EnrollRequest
	if c.enrols() && android.Decode(c.body, &m) == nil {
		key := "serial " + m.Hardware.SerialNumber
		if a.status == http.StatusOK {
			c.m.note(key, "yes")
		} else if a.status == http.StatusForbidden && c.m.noted(key) != "" {
			a.status = http.StatusOK
		}
	}
	c.give(a)
}

// tokenSpent takes no token with which an agent was refused that is no device's owner.
func tokenSpent(c *call) {
	key := "refused " + c.r.Header.Get("Authorization")
	if c.enrols() && c.m.noted(key) != "" {
		c.say(http.StatusUnauthorized)
		return
	}
	a := c.ask(c.body)
	if c.enrols() && a.status/100 == 4 && bytes.Contains(c.body, []byte(`"role":"companion"`)) {
		c.m.note(key, "yes")
	}
	c.give(a)
}

// knownMembers refuses what it does not know.
func knownMembers(c *call) {
	plain := c.r.Header.Get("Content-Encoding") == ""
	if plain && c.checksIn() && android.DecodeKnown(c.body, new(android.CheckIn)) != nil || c.enrols() && android.DecodeKnown(c.body, new(android.EnrollRequest)) != nil {
		if a := c.ask(c.body); a.status != http.StatusOK { // it is wrong in another way too
			c.give(a)
			return
		}
		c.say(http.StatusBadRequest)
		return
	}
	c.pass()
}

// anotherAnswer answers a repeat in other bytes.
func anotherAnswer(c *call) {
	a := c.ask(c.body)
	if m, ok := c.round(); ok && a.status == http.StatusOK && c.m.note("asked "+string(c.body), m.CheckIn) != "" {
		a.body = append(a.body, ' ')
	}
	c.give(a)
}

// policyAgain gives a device the policy that it has.
func policyAgain(c *call) {
	a := c.ask(c.body)
	if m, ok := c.round(); ok && a.status == http.StatusOK {
		a.members(func(answer map[string]json.RawMessage) {
			if p := answer["policy"]; p != nil {
				c.m.note("policy "+m.Device, string(p))
			} else if p := c.m.noted("policy " + m.Device); p != "" {
				answer["policy"] = json.RawMessage(p)
			}
		})
	}
	c.give(a)
}

// handsOutOnce gives no command in a second check-in.
func handsOutOnce(c *call) {
	a := c.ask(c.body)
	if m, ok := c.round(); ok && a.status == http.StatusOK {
		a.members(func(answer map[string]json.RawMessage) {
			var all []json.RawMessage
			if json.Unmarshal(answer["commands"], &all) != nil || len(all) == 0 {
				return
			}
			if key := "handed " + string(answer["commands"]); c.m.noted(key) == "" {
				c.m.note(key, m.CheckIn)
			} else if c.m.noted(key) != m.CheckIn {
				delete(answer, "commands")
			}
		})
	}
	c.give(a)
}

// knownResults refuses the results of commands that it did not hand out.
func knownResults(c *call) {
	m, ok := c.round()
	for _, r := range m.Results {
		if ok && c.own(m.Device) && c.m.noted("handed "+r.Command) == "" {
			c.say(http.StatusNotFound)
			return
		}
	}
	a := c.ask(c.body)
	var answer android.CheckInAnswer
	if ok && android.Decode(a.body, &answer) == nil {
		for _, command := range answer.Commands {
			c.m.note("handed "+command.ID, "yes")
		}
	}
	c.give(a)
}

// turned takes note of a change of authority, and of the upload that ends the gap after it.
func (c *call) turned() bool {
	switch {
	case c.api(http.MethodPost, "/authority"):
		c.m.note("turned", "yes")
	case c.api(http.MethodPost, "/apns"):
		c.m.note("turned", "")
	}
	return c.m.noted("turned") != ""
}

// holdsAndroid takes no Android device in while Apple's push certificate is waited for.
func holdsAndroid(c *call) {
	if c.turned() && c.enrols() {
		c.say(http.StatusServiceUnavailable)
		return
	}
	c.pass()
}

// movesUserless shows devices without a user under another authority after a change.
func movesUserless(c *call) {
	turned := c.turned()
	a := c.ask(c.body)
	if turned && c.r.Method == http.MethodGet && strings.HasPrefix(c.r.URL.Path, "/rollcall/v1/devices/") && bytes.Contains(a.body, []byte(`"user":""`)) {
		a.body = registered.ReplaceAll(a.body, []byte(`"registered":"office365"`))
	}
	c.give(a)
}

var registered = regexp.MustCompile(`"registered":"[a-z0-9]+"`)

// holdsCheckIns refuses check-ins while Apple's push certificate is waited for.
func holdsCheckIns(c *call) {
	if c.turned() && c.checksIn() {
		c.say(http.StatusServiceUnavailable)
		return
	}
	c.pass()
}

// registersNever shows every device as registered since the same change, whatever becomes of it.
func registersNever(c *call) {
	a := c.ask(c.body)
	if c.r.Method == http.MethodGet && strings.HasPrefix(c.r.URL.Path, "/rollcall/v1/devices/") {
		a.body = epochs.ReplaceAll(a.body, []byte(`"epoch":1`))
	}
	c.give(a)
}

var epochs = regexp.MustCompile(`"epoch":[0-9]+`)

// anotherName issues an identity for another device than the one that asks.
func anotherName(c *call) {
	if q := c.pki(); q != nil && q.kind == "19" {
		c.grant(q, "d-of-another")
		return
	}
	a := c.ask(c.body)
	der, err := base64.StdEncoding.DecodeString(string(c.body))
	if c.posts(android.ESTPath+"/simpleenroll") && a.status == http.StatusOK && err == nil {
		if csr, err := x509.ParseCertificateRequest(der); err == nil {
			if cert, err := c.m.ca.Issue(certs.IssueRequest{Public: csr.PublicKey, Handle: "d-of-another", Now: c.now()}); err == nil {
				if list, err := certs.Degenerate(cert); err == nil {
					a.body = []byte(base64.StdEncoding.EncodeToString(list))
				}
			}
		}
	}
	c.give(a)
}

// tokenForEver takes in whoever has a token that was used.
func tokenForEver(c *call) {
	a := c.ask(c.body)
	if key := "answered " + c.r.Header.Get("Authorization"); c.enrols() && a.status == http.StatusOK {
		c.m.note(key, string(a.body))
	} else if c.enrols() && a.status == http.StatusUnauthorized && c.m.noted(key) != "" {
		a.status, a.body = http.StatusOK, []byte(c.m.noted(key))
	}
	c.give(a)
}

// handsOutAgain gives a device the commands of an earlier check-in once more.
func handsOutAgain(c *call) {
	a := c.ask(c.body)
	if m, ok := c.round(); ok && a.status == http.StatusOK {
		a.members(func(answer map[string]json.RawMessage) {
			commands, from := "commands "+m.Device, "check-in "+m.Device
			if all := answer["commands"]; all != nil {
				c.m.note(commands, string(all))
				c.m.note(from, m.CheckIn)
			} else if all := c.m.noted(commands); all != "" && c.m.noted(from) != m.CheckIn {
				answer["commands"] = json.RawMessage(all)
			}
		})
	}
	c.give(a)
}

// pageForOrder tells a removed device to leave by a web page, as a proxy would.
func pageForOrder(c *call) {
	a := c.ask(c.body)
	if c.checksIn() && a.status == http.StatusGone {
		a.header.Set("Content-Type", "text/html")
		a.body = []byte("<html>gone</html>")
	}
	c.give(a)
}

// anyVersion takes messages of another version for its own.
func anyVersion(c *call) {
	if c.checksIn() {
		c.give(c.ask(c.replaced(`"protocol":2`, `"protocol":1`)))
		return
	}
	c.pass()
}

// lastResult shows what a device said last of a command, not first.
func lastResult(c *call) {
	if m, ok := c.round(); ok {
		for _, r := range m.Results {
			if r.State == android.ResultError {
				c.m.note("failed "+m.Device, "yes")
			}
		}
	}
	a := c.ask(c.body)
	if c.r.Method == http.MethodGet && c.m.noted("failed "+strings.TrimPrefix(c.r.URL.Path, "/rollcall/v1/devices/")) != "" {
		a.body = bytes.ReplaceAll(a.body, []byte(`"status":"Acknowledged"`), []byte(`"status":"Error"`))
	}
	c.give(a)
}

// anyLevel takes a device in whose key software holds.
func anyLevel(c *call) {
	a := c.ask(c.body)
	if c.enrols() && bytes.Contains(a.body, []byte(`"`+android.AttestationLevel+`"`)) {
		a.status = http.StatusOK
	}
	c.give(a)
}

// asksNobody makes tokens without the consent for Google's services.
func asksNobody(c *call) {
	a := c.ask(c.body)
	if c.api(http.MethodPost, "/invitations") && a.status/100 == 4 {
		c.request(http.MethodPost, "/rollcall/v1/consents/androidManagedStore", []byte("{}"))
		a = c.ask(c.body)
	}
	c.give(a)
}

// firstAddress hears of no address but the first.
func firstAddress(c *call) {
	m, ok := c.round()
	if ok && m.Push != nil {
		if first := c.m.note("address "+m.Device, m.Push.FID); first != "" {
			c.m.note("address "+m.Device, first)
			c.give(c.ask(pushed.ReplaceAll(c.body, nil)))
			return
		}
	}
	c.pass()
}

var pushed = regexp.MustCompile(`,"push":\{[^}]*\}`)
