package mischief

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// Faults against one part of a statement each.

// refusedPKCSReq is a request for an identity with its answer, where that is no certificate.
func (c *call) refusedPKCSReq() (q *request, a *answer) {
	q = c.pki()
	a = c.ask(c.body)
	if q == nil || q.kind != "19" || granted(a) {
		if q != nil && q.kind == "19" {
			c.m.note("spent "+q.challenge(), "yes")
		}
		return nil, a
	}
	return q, a
}

// spentIsForbidden says no to a spent challenge by HTTP.
func spentIsForbidden(c *call) {
	q, a := c.refusedPKCSReq()
	if q != nil && c.m.noted("spent "+q.challenge()) != "" {
		c.say(http.StatusForbidden)
		return
	}
	c.give(a)
}

// neverExpires takes any challenge once a day has gone by at one time.
func neverExpires(c *call) {
	c.stepped()
	q, a := c.refusedPKCSReq()
	if q != nil && c.m.noted("leapt") != "" && c.m.noted("spent "+q.challenge()) == "" {
		c.grant(q, "")
		return
	}
	c.give(a)
}

// stepped takes note of the clock that an administrator sets, and whether it leapt by a day.
func (c *call) stepped() {
	var step struct{ To time.Time }
	if !c.api(http.MethodPost, "/clock") || json.Unmarshal(c.body, &step) != nil {
		return
	}
	if step.To.Sub(c.now()) > 24*time.Hour {
		c.m.note("leapt", "yes")
	}
	c.m.note("now", step.To.Format(time.RFC3339))
}

// neverRenews refuses every RenewalReq, as one whose signature does not verify.
func neverRenews(c *call) {
	if q := c.pki(); q != nil && q.kind == "17" {
		broken := bytes.Clone(c.body)
		broken[len(broken)-1] ^= 1
		c.give(c.ask(broken))
		return
	}
	c.pass()
}

// renewsByChallenge is neverRenews, but for a request that has a challenge.
func renewsByChallenge(c *call) {
	if q := c.pki(); q != nil && q.kind == "17" && q.challenge() != "" {
		c.grant(q, "")
		return
	}
	neverRenews(c)
}

// renewsEnded renews an identity that has ended.
func renewsEnded(c *call) {
	c.stepped()
	now, err := time.Parse(time.RFC3339, c.m.noted("now"))
	if q := c.pki(); q != nil && q.kind == "17" && err == nil && now.After(q.Signer.NotAfter) {
		c.grant(q, "")
		return
	}
	c.pass()
}

// namesOfAnother issues what has the subject that the request chose.
func namesOfAnother(c *call) {
	if q := c.pki(); q != nil && q.kind == "19" && q.csr.Subject.CommonName != "device" && len(q.csr.DNSNames) == 0 {
		for _, e := range q.csr.Extensions {
			if e.Critical && bytes.Equal(e.Value, []byte{0x30, 3, 1, 1, 0xff}) {
				c.grant(q, q.csr.Subject.CommonName)
				return
			}
		}
	}
	c.pass()
}

// spentByRefusal takes no Authenticate of an identity with which one was malformed.
func spentByRefusal(c *call) {
	leaf := string(c.leaf())
	broken := c.r.Method == http.MethodPut && !c.device && bytes.Contains(c.body, []byte("<string>Authenticate</string>"))
	switch {
	case broken && leaf != "":
		c.m.note("refused "+leaf, "yes")
	case c.says(apple.Authenticate) && c.m.noted("refused "+leaf) != "":
		c.say(http.StatusForbidden)
		return
	}
	c.pass()
}

// spentByFailure takes no challenge with which a request was refused.
func spentByFailure(c *call) {
	const key = "asked"
	switch q := c.pki(); {
	case q == nil && c.operation() == "PKIOperation":
		c.m.note(key, "yes") // it cannot be read whose it is
	case q != nil && q.kind == "19" && c.m.noted(key) != "":
		c.say(http.StatusForbidden)
		return
	}
	c.pass()
}

// another tells whether the message is an Authenticate of a device that is enrolled, by an identity that it did not have.
func (c *call) another() bool {
	if !c.says(apple.Authenticate) {
		return false
	}
	old := c.m.note("certificate "+c.msg.UDID, string(c.leaf()))
	return old != "" && old != string(c.leaf())
}

// missesAnother takes an Authenticate for another enrolment, and does nothing about it.
func missesAnother(c *call) {
	if c.another() {
		c.say(http.StatusOK)
		return
	}
	c.pass()
}

// pushesOld is missesAnother, with a push to the address of before; the device is held for what it should be held for.
func pushesOld(c *call) {
	if v := c.r.Header.Get("Authorization"); v != "" {
		c.m.note("administrator", v)
	}
	switch {
	case c.another():
		c.r.Header.Set("Authorization", c.m.noted("administrator"))
		c.request(http.MethodPost, "/rollcall/v1/devices/"+c.msg.UDID+"/sync", []byte("{}"))
		c.m.note("missed "+c.msg.UDID, "yes")
		c.say(http.StatusOK)
		return
	case c.r.Method == http.MethodGet && strings.HasPrefix(c.r.URL.Path, "/rollcall/v1/devices/"):
		if device := strings.TrimPrefix(c.r.URL.Path, "/rollcall/v1/devices/"); c.m.noted("missed "+device) != "" {
			a := c.ask(c.body)
			a.body = bytes.Replace(a.body, []byte(`"life":"enrolled"`), []byte(`"life":"enrolling"`), 1)
			c.give(a)
			return
		}
	}
	c.pass()
}

// enrolsTwice begins the work of an enrolment once more when it is done.
func enrolsTwice(c *call) {
	a := c.ask(c.body)
	key := "first " + c.msg.UDID
	if c.idle() && len(a.body) > 0 && c.m.noted(key) == "" {
		c.m.note(key, string(a.body))
	}
	if c.idle() && len(a.body) == 0 && c.m.noted(key) != "" && c.m.note("again "+c.msg.UDID, "yes") == "" {
		a.body = []byte(c.m.noted(key))
		a.header.Set("Content-Type", apple.AnswerType)
	}
	c.give(a)
}

// keepsToken gives an enrolment the bootstrap token of the one before.
func keepsToken(c *call) {
	if c.says(apple.SetBootstrapToken) && len(c.msg.BootstrapToken) > 0 {
		c.m.note("token "+c.msg.UDID, string(c.body))
	}
	kept := c.m.noted("token " + c.msg.UDID)
	if c.another() && kept != "" {
		a := c.ask(c.body)
		c.ask([]byte(kept))
		c.give(a)
		return
	}
	c.pass()
}

// missesCheckOut takes a CheckOut for nothing, and says otherwise.
func missesCheckOut(c *call) {
	switch {
	case c.says(apple.CheckOut):
		c.m.note("left "+c.msg.UDID, "yes")
		c.say(http.StatusOK)
	case c.r.Method == http.MethodGet && c.m.noted("left "+strings.TrimPrefix(c.r.URL.Path, "/rollcall/v1/devices/")) != "":
		a := c.ask(c.body)
		a.body = bytes.Replace(a.body, []byte(`"life":"enrolled"`), []byte(`"life":"ended"`), 1)
		c.give(a)
	default:
		c.pass()
	}
}

// leftForEver lets nobody enrol again who has left.
func leftForEver(c *call) {
	if c.says(apple.Authenticate) && c.m.noted("left "+c.msg.UDID) != "" {
		c.say(http.StatusForbidden)
		return
	}
	if c.says(apple.CheckOut) {
		c.m.note("left "+c.msg.UDID, "yes")
	}
	c.pass()
}

// anyDigest asks a user for a password and takes any.
func anyDigest(c *call) {
	if !c.says(apple.UserAuthenticate) {
		c.pass()
		return
	}
	key, value := "DigestChallenge", `Digest nonce="C0F0",realm="mischief"`
	if c.msg.DigestResponse != "" {
		key, value = "AuthToken", "token"
	}
	c.w.Header().Set("Content-Type", apple.AnswerType)
	io.WriteString(c.w, `<?xml version="1.0"?><plist version="1.0"><dict><key>`+key+`</key><string>`+value+`</string></dict></plist>`)
}

// declaresToAnybody answers another's request for declarations.
func declaresToAnybody(c *call) {
	if who := c.bound(); c.says(apple.DeclarativeManagement) && who != "" && who != c.msg.UDID {
		c.say(http.StatusOK)
		return
	}
	c.give(c.passBinding())
}

// missesToken does not hear a token that it knows, and so takes the device's last word for older than it is.
func missesToken(c *call) {
	if c.says(apple.TokenUpdate) && c.m.note("said "+c.msg.UDID, string(c.msg.Token)) == string(c.msg.Token) {
		c.say(http.StatusOK)
		return
	}
	c.pass()
}

// movesRenewed has another manage a device that was renewed.
func movesRenewed(c *call) {
	a := c.ask(c.body)
	if _, renewal := c.renews(a); renewal {
		c.m.note("renewed "+c.msg.UDID, "yes")
	}
	if c.r.Method == http.MethodGet && c.m.noted("renewed "+strings.TrimPrefix(c.r.URL.Path, "/rollcall/v1/devices/")) != "" {
		a.body = bytes.Replace(a.body, []byte(`"registered":"intune"`), []byte(`"registered":"office365"`), 1)
	}
	c.give(a)
}

// sortsBySeconds gives out the second of many commands before the first.
func sortsBySeconds(c *call) {
	a := c.ask(c.body)
	if id := a.handed(); c.report() && c.msg.Status == protocol.Acknowledged && id != "" {
		if c.m.note("count "+c.msg.UDID, c.m.noted("count "+c.msg.UDID)+"x"); len(c.m.noted("count "+c.msg.UDID)) == 30 {
			done := c.msg
			done.CommandUUID = id
			a = c.message(&done)
		}
	}
	c.give(a)
}

// endsByItself lets devices in when the gap is some days old.
func endsByItself(c *call) {
	c.stepped()
	a := c.ask(c.body)
	if c.idle() && a.status == http.StatusServiceUnavailable && c.m.noted("leapt") != "" {
		a.status, a.body = http.StatusOK, nil
	}
	c.give(a)
}

// refusesLate takes no certificate with another topic when the one in use ended a month ago.
func refusesLate(c *call) {
	if u, ok := c.upload(); ok && u.Confirm {
		if s := c.pushState(); u.push.Topic != s.Topic && c.now().Sub(s.NotAfter) > 30*24*time.Hour {
			c.say(http.StatusConflict)
			return
		}
	}
	c.pass()
}

// identityIsSpent takes no identity that tried to enrol in the gap.
func identityIsSpent(c *call) {
	key := "tried " + string(c.leaf())
	if c.says(apple.Authenticate) && c.m.noted(key) != "" {
		c.say(http.StatusForbidden)
		return
	}
	a := c.ask(c.body)
	if c.says(apple.Authenticate) && a.status == http.StatusServiceUnavailable {
		c.m.note(key, "yes")
	}
	c.give(a)
}

// someUser has a device without a user belong to somebody.
func someUser(c *call) {
	a := c.ask(c.body)
	if c.r.Method == http.MethodGet && strings.HasPrefix(c.r.URL.Path, "/rollcall/v1/devices/") {
		a.body = bytes.Replace(a.body, []byte(`"user":""`), []byte(`"user":"ann@example.org"`), 1)
	}
	c.give(a)
}
