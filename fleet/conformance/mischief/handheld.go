package mischief

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"rollcall/protocol/android"
)

// Faults of Android devices, before who judges them.

var handheldFaults = map[string]func(c *call){
	"AND-038.device": tells(`"state":"ERROR","errorCode":"`+android.CodeUnsupported+`"`, `"state":"DONE"`), "AND-061.device": applies(false),
	"AND-056.device": tells(`"policyVersion":"3","profiles":\[`, `"policyVersion":"3","profiles":[{"id":"p-old","version":1,"status":"APPLIED"},`),
	"AND-075.device": tells(`"epoch":[0-9]+`, `"epoch":5`),
	"AND-057.device": tells(`"policyVersion":"4","profiles":\[`, `"policyVersion":"4","profiles":[{"id":"p-old","version":1,"status":"APPLIED"},`),
	"AND-058.device": tells(`"policyVersion":"6","profiles":\[(\{[^{}]*\})\]`, `"policyVersion":"6","profiles":[$1,{"id":"p-old","version":1,"status":"APPLIED"}]`),
	"AND-071.device": otherHardware, "AND-072.device": tells(`("reason":"SCHEDULE","time":"[^"]*T[0-9]{2}):[0-9]{2}`, `$1:00`), "AND-074.device": obeysAnew,
	"AND-062.device": tells(`"compliant":false,"nonComplianceDetails":\[[^]]*\]`, `"compliant":true`),
	"AND-070.device": tells(`"reason":"ENROLLED"`, `"reason":"SCHEDULE"`), "AND-073.device": repeatsAnew, "AND-076.device": comesNoMore(http.StatusNotFound),
	"AND-077.device": comesNoMore(http.StatusUnauthorized), "AND-078.device": goneBy(false),
	"AND-079.device": tells(`"c-bare","state":"ERROR","errorCode":"`+android.CodeNoOrder+`"`, `"c-bare","state":"DONE"`), "AND-080.device": tells(`"checkin":"[^"]*"`, `"checkin":"c-same"`),
	"AND-082.device": makesUpTwice, "AND-093.device": tells(`"fid":"[^"]*"`, `"fid":"f-same"`), "AND-094.device": sleepsLonger,
	"AND-081.device": losesRenewal, "HST-014.device": strictReader, "HST-027.device": goneBy(true),
	"HST-053.device": applies(true), "HST-055.device": obeysTwice, "HST-120.device": certifiedAnywhere,
}

func (c *call) roundBelow() bool { return c.postsBelow(android.CheckInPath) }

// tells changes what a device says in a check-in.
func tells(pattern, with string) func(c *call) {
	found := regexp.MustCompile(pattern)
	return func(c *call) {
		body := c.body
		if c.roundBelow() {
			body = found.ReplaceAll(body, []byte(with))
		}
		c.give(c.ask(body))
	}
}

var policyVersion = regexp.MustCompile(`"policyVersion":"[0-9]+"`)

// applies applies every policy that is older than the one in force, or every one that is not, whoever signed it.
func applies(older bool) func(c *call) {
	return func(c *call) {
		if !c.roundBelow() {
			c.pass()
			return
		}
		body, key := c.body, "policy of "+c.desk()
		if version := c.m.noted(key); version != "" {
			body = policyVersion.ReplaceAll(body, []byte(`"policyVersion":"`+version+`"`))
		}
		a := c.ask(body)
		var said android.CheckIn
		var answer android.CheckInAnswer
		if android.Decode(c.body, &said) == nil && android.Decode(a.body, &answer) == nil && answer.Policy != nil {
			version := ""
			if p := answer.Policy; (p.Version < said.Applied.PolicyVersion) == older {
				version = strconv.FormatInt(p.Version, 10)
			}
			c.m.note(key, version)
		}
		c.give(a)
	}
}

// goneBy is gone for good after 410 with an order to be released, or after any other.
func goneBy(release bool) func(c *call) {
	return func(c *call) {
		key := "gone " + c.desk()
		if c.roundBelow() && c.m.noted(key) != "" {
			c.say(http.StatusServiceUnavailable)
			return
		}
		a := c.ask(c.body)
		if c.roundBelow() && a.status == http.StatusGone && releases(a) == release {
			c.m.note(key, "yes")
		}
		c.give(a)
	}
}

// releases tells whether an order to be released, whoever signed it, comes with a refusal.
func releases(a *answer) bool {
	var no android.Error
	if android.Decode(a.body, &no) != nil {
		return false
	}
	part := strings.Split(no.Order(), ".")
	if len(part) != 3 {
		return false
	}
	var o android.Order
	payload, err := base64.RawURLEncoding.DecodeString(part[1])
	return err == nil && json.Unmarshal(payload, &o) == nil && o.Mode == android.Release
}

// obeysTwice starts lost mode again by a command that did so before.
func obeysTwice(c *call) {
	body, key := c.body, "lost "+c.desk()
	if c.roundBelow() && c.m.noted(key) == "again" {
		body = bytes.Replace(body, []byte(`"state":"DONE"`), []byte(`"state":"ERROR","errorCode":"`+android.CodeAlreadyLost+`"`), 1)
	}
	a := c.ask(body)
	if c.roundBelow() && bytes.Contains(a.body, []byte(android.StartLostMode)) && c.m.note(key, "once") != "" {
		c.m.note(key, "again")
	}
	c.give(a)
}

// otherHardware asks to enrol as another one each time.
func otherHardware(c *call) {
	body := c.body
	if c.postsBelow(android.EnrollPath) && c.m.note("asked "+c.desk(), "yes") != "" {
		body = bytes.Replace(body, []byte(`"serialNumber":"`), []byte(`"serialNumber":"0`), 1)
	}
	c.give(c.ask(body))
}

// obeysAnew carries a command out again whose report was not heard.
func obeysAnew(c *call) {
	body := c.body
	if c.roundBelow() && bytes.Contains(body, []byte(`"command":"c-restarted"`)) && c.m.note("unheard "+c.desk(), "yes") != "" {
		body = bytes.Replace(body, []byte(`"state":"DONE"`), []byte(`"state":"ERROR","errorCode":"`+android.CodeAlreadyLost+`"`), 1)
	}
	c.give(c.ask(body))
}

// repeatsAnew gives a round that comes again another name.
func repeatsAnew(c *call) {
	body := c.body
	if c.roundBelow() && c.m.note("said "+string(body), "yes") != "" {
		body = bytes.Replace(body, []byte(`"checkin":"c-`), []byte(`"checkin":"c-0`), 1)
	}
	c.give(c.ask(body))
}

// comesNoMore is gone for good after an answer with this status.
func comesNoMore(status int) func(c *call) {
	return func(c *call) {
		key := "gave up " + c.desk()
		if c.roundBelow() && c.m.noted(key) != "" {
			c.say(http.StatusServiceUnavailable)
			return
		}
		a := c.ask(c.body)
		if c.roundBelow() && a.status == status {
			c.m.note(key, "yes")
		}
		c.give(a)
	}
}

// losesRenewal throws a renewed certificate away.
func losesRenewal(c *call) {
	a := c.ask(c.body)
	if c.postsBelow(android.ESTPath + "/simplereenroll") {
		a.status = http.StatusServiceUnavailable
	}
	c.give(a)
}

// strictReader refuses answers with what it does not know.
func strictReader(c *call) {
	a := c.ask(c.body)
	if c.roundBelow() && a.status == http.StatusOK && android.DecodeKnown(a.body, new(android.CheckInAnswer)) != nil {
		a.status = http.StatusInternalServerError
	}
	c.give(a)
}

var elsewhere = regexp.MustCompile(`"url":"https://localhost:[0-9]+`)

// certifiedAnywhere asks whoever is named for a certificate.
func certifiedAnywhere(c *call) {
	a := c.ask(c.body)
	if c.postsBelow(android.EnrollPath) {
		a.body = elsewhere.ReplaceAll(a.body, []byte(`"url":"https://`+c.r.Host))
	}
	c.give(a)
}

var timeTold = regexp.MustCompile(`"time":"([^"]*)"`)

// afterLong tells whether a round of a check-in comes hours after the one before, by the device's clock.
func (c *call) afterLong() bool {
	if !c.roundBelow() {
		return false
	}
	var said android.CheckIn
	if android.Decode(c.body, &said) != nil {
		return false
	}
	before, err := time.Parse(time.RFC3339, c.m.note("time of "+c.desk(), said.Time.String()))
	return err == nil && said.Time.Time().Sub(before) > time.Hour
}

// makesUpTwice comes another time for what it missed.
func makesUpTwice(c *call) {
	if c.afterLong() {
		c.ask(bytes.Replace(c.body, []byte(`"checkin":"c-`), []byte(`"checkin":"c-0`), 1))
	}
	c.pass()
}

// sleepsLonger comes four hours later each time that it was away for more than one.
func sleepsLonger(c *call) {
	key := "slept " + c.desk()
	slept, _ := strconv.Atoi(c.m.noted(key)) // nothing yet is 0
	if c.afterLong() {
		slept += 4
		c.m.note(key, strconv.Itoa(slept))
	}
	body := c.body
	if c.roundBelow() {
		body = timeTold.ReplaceAllFunc(body, func(text []byte) []byte {
			at, err := time.Parse(time.RFC3339, string(timeTold.FindSubmatch(text)[1]))
			if err != nil {
				return text
			}
			return []byte(`"time":"` + at.Add(time.Duration(slept)*time.Hour).UTC().Format(time.RFC3339Nano) + `"`)
		})
	}
	c.give(c.ask(body))
}
