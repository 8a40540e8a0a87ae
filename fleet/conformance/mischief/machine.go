package mischief

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"rollcall/protocol/windows"
)

// Faults of Windows devices, before who judges them.

var machineFaults = map[string]func(c *call){
	"WIN-025": provisions(`<characteristic type="RootCATrustedCertificates">.*?</characteristic>`, ``), "WIN-026": ownPolicy, "WIN-060": anyServer,
	"WIN-044": hears(`<Item><Source><LocURI>\./DevInfo/Lang</LocURI></Source><Data>[^<]*</Data></Item>`, ``), "WIN-045": oneSession, "WIN-046": oneMoreWord, "WIN-047": backwards,
	"WIN-048": hears(`<Data>418<`, `<Data>200<`), "WIN-049": hears(`(<Cmd>Add</Cmd><Data>)216<`, `${1}200<`), "WIN-050": unknownIsOptional,
	"WIN-051": hears(`>node</Format>`, `>chr</Format>`), "WIN-052": hears(`<Data>424<`, `<Data>200<`), "WIN-053": says(windows.Replace, "./User/", windows.OK),
	"WIN-054": says(windows.Exec, "/Unenroll", windows.OK), "WIN-056": leavesTwice, "WIN-059": givesUp, "WIN-061": keepsIdentity, "WIN-062": followsRenewal, "WIN-066": strandedByRenewal,
	"WIN-069": says(windows.Get, "WMI_Bridge_Server", windows.NotAllowed), "WIN-027": (*call).pass, "WIN-028": consents, "WIN-055": says(windows.Delete, "WiFi/Profile/stays", windows.OK),
	"WIN-057": provisions(`(name="NumberOfFirstRetries" value=")2"`, `${1}0"`), "WIN-058": waitsForSchedule, "WIN-072": rewrite((*call).syncs, `authority=[^<]*`, `anything`),
}

// EnrolsTwice tells whether the device enrols although it is managed (WIN-027): of that no layer sees anything.
func (m *Mischief) EnrolsTwice() bool { return m.is("WIN-027") }

// desk is which enrolment of the judge's a request is about.
func (c *call) desk() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(c.r.URL.Path, "/"), "/")
	return name
}

// ownPolicy goes on with a policy of the device's own where it was refused one.
func ownPolicy(c *call) {
	a := c.ask(c.body)
	if strings.HasSuffix(c.r.URL.Path, windows.PolicyPath) && a.status == windows.FaultStatus {
		c.envelope(http.StatusOK, &windows.Envelope{Body: &windows.GetPoliciesResponse{PolicyID: "own", Policy: windows.Policy{Schema: 3, MinimalKeyLength: 2048, HashAlgorithm: windows.OIDSHA256}}})
		return
	}
	c.give(a)
}

// anyServer has a device trust whoever manages it.
func anyServer(c *call) {
	if !c.asksToken() {
		c.pass()
		return
	}
	root := c.m.ca.Certificate().Raw
	trust := `$1<characteristic type="Root"><characteristic type="System"><characteristic type="` + windows.Thumbprint(root) + `"><parm name="EncodedCertificate" value="` +
		base64.StdEncoding.EncodeToString(root) + `"/></characteristic></characteristic></characteristic><characteristic type="My">`
	provisions(`(<characteristic type="CertificateStore">)<characteristic type="My">`, trust)(c)
}

// oneSession calls each session by the same name.
func oneSession(c *call) {
	m := c.syncML()
	if m == nil {
		c.pass()
		return
	}
	name := []byte("<SessionID>" + m.Header.SessionID + "</SessionID>")
	const same = "<SessionID>7</SessionID>"
	a := c.ask(bytes.Replace(c.body, name, []byte(same), 1))
	a.body = bytes.Replace(a.body, []byte(same), name, 1)
	c.give(a)
}

// oneMoreWord says something more when a session has ended.
func oneMoreWord(c *call) {
	a := c.ask(c.body)
	m := c.syncML()
	var out windows.Message
	if m != nil && !bytes.Contains(c.body, []byte(windows.TypeUnenrollment)) && windows.DecodeMessage(a.body, &out) == nil && out.Final &&
		!slices.ContainsFunc(out.Commands, func(c windows.Command) bool { return c.Verb != windows.Status }) {
		m.Header.MsgID++
		m.Commands = []windows.Command{{Verb: windows.Status, CmdID: 1, MsgRef: out.Header.MsgID, Cmd: windows.SyncHeader, Code: windows.OK}}
		c.ask(windows.EncodeMessage(nil, m))
	}
	c.give(a)
}

// backwards answers commands in the order from the last.
func backwards(c *call) {
	body := c.body
	if m := c.syncML(); m != nil {
		n := 0
		for n < len(m.Commands) && m.Commands[n].Verb == windows.Status {
			n++
		}
		slices.Reverse(m.Commands[min(1, n):n])
		body = windows.EncodeMessage(nil, m)
	}
	c.give(c.ask(body))
}

// unknownIsOptional calls what is no command a feature that the device lacks.
func unknownIsOptional(c *call) {
	body := c.body
	if m := c.syncML(); m != nil {
		for i := range m.Commands {
			if s := &m.Commands[i]; s.Verb == windows.Status && s.Cmd == windows.Unknown && s.Code == windows.BadRequest {
				s.Code = windows.OptionalNotSupported
			}
		}
		body = windows.EncodeMessage(nil, m)
	}
	c.give(c.ask(body))
}

// says answers a verb on a node whose LocURI has this in it by another code.
func says(verb windows.Verb, part string, code windows.Code) func(c *call) {
	return func(c *call) {
		body := c.body
		key := func(id int32) string { return "told " + c.desk() + " " + strconv.Itoa(int(id)) }
		m := c.syncML()
		if m != nil {
			for i := range m.Commands {
				if s := &m.Commands[i]; s.Verb == windows.Status && c.m.noted(key(s.CmdRef)) != "" {
					s.Code = code
					body = windows.EncodeMessage(nil, m)
				}
			}
		}
		a := c.ask(body)
		var out windows.Message
		if m != nil && windows.DecodeMessage(a.body, &out) == nil {
			for i := range out.Commands {
				if one := &out.Commands[i]; one.Verb == verb && on(one, part) {
					c.m.note(key(one.CmdID), "yes")
				}
			}
		}
		c.give(a)
	}
}

// leavesTwice says farewell once more than it should.
func leavesTwice(c *call) {
	if c.syncs() && bytes.Contains(c.body, []byte(windows.TypeUnenrollment)) {
		c.ask(c.body)
	}
	c.pass()
}

// givesUp never comes again where a session was answered by anything else than SyncML.
func givesUp(c *call) {
	key := "gave up " + c.desk()
	if c.syncs() && c.m.noted(key) != "" {
		c.say(http.StatusServiceUnavailable)
		return
	}
	a := c.ask(c.body)
	if c.syncs() && (a.status == http.StatusGone || a.status == http.StatusUnauthorized) {
		c.m.note(key, "yes")
	}
	c.give(a)
}

// keepsIdentity throws a renewed certificate away.
func keepsIdentity(c *call) {
	a := c.ask(c.body)
	if _, rst := c.rst(); rst != nil && rst.Renew && a.status == http.StatusOK {
		c.say(http.StatusServiceUnavailable)
		return
	}
	c.give(a)
}

// followsRenewal goes where a renewal is redirected to.
func followsRenewal(c *call) {
	a := c.ask(c.body)
	if _, rst := c.rst(); rst != nil && a.status == http.StatusTemporaryRedirect {
		if u, err := url.Parse(a.header.Get("Location")); err == nil {
			a = c.request(c.r.Method, u.Path, c.body)
		}
	}
	c.give(a)
}

// strandedByRenewal has nothing left when the answer to a renewal is lost.
func strandedByRenewal(c *call) {
	key := "stranded " + c.desk()
	if c.syncs() && c.m.noted(key) != "" {
		c.say(http.StatusServiceUnavailable)
		return
	}
	a := c.ask(c.body)
	if _, rst := c.rst(); rst != nil && rst.Renew && a.cut {
		c.m.note(key, "yes")
	}
	c.give(a)
}

// consents follows a redirect over plain HTTP to which nobody said yes.
func consents(c *call) {
	a := c.ask(c.body)
	if c.r.TLS == nil && c.r.Method == http.MethodGet && a.status == http.StatusFound {
		if u, err := url.Parse(a.header.Get("Location")); err == nil {
			c.request(http.MethodPost, u.Path, windows.EncodeEnvelope(nil, &windows.Envelope{Body: &windows.Discover{
				EmailAddress: "conform@rollcall.invalid", RequestVersion: windows.Version{Major: 5}, DeviceType: windows.DeviceDesktop, AuthPolicies: []string{windows.OnPremise},
			}}))
		}
	}
	c.give(a)
}

// waitsForSchedule takes a connection that was cut for an answer.
func waitsForSchedule(c *call) {
	a := c.ask(c.body)
	a.cut = a.cut && !c.syncs()
	c.give(a)
}
