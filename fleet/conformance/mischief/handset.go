package mischief

import (
	"bytes"
	"maps"
	"net/http"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// handsetFaults are a device's mistakes: the layer stands before the judge, and changes what is said on the way to it and
// back as if the device had said or understood it so. APL-109 is left to whoever wakes the device: see WakesAtAnything.
var handsetFaults map[string]func(c *call)

func init() {
	handsetFaults = map[string]func(c *call){
		"APL-002.device": noSigned, "APL-003": mendedIdentity, "APL-004": firstMDM, "APL-009": anyFingerprint, "APL-010": pollsMore, "APL-036.device": checksOutTwice,
		"APL-041": tokenOnce, "APL-058": waitsLocked, "APL-059": forgetsReport, "APL-060": tellsMore, "APL-061": hidesItself, "APL-062": firstVersion,
		"APL-063": actsFirst, "APL-067.device": textForTruth, "APL-090.device": takesAnyUpdate, "APL-093": staysManaged, "APL-109": (*call).pass,
	}
	maps.Copy(handsetFaults, machineFaults)
	maps.Copy(handsetFaults, handheldFaults)
}

// WakesAtAnything tells whether a push wakes the device whatever its magic (APL-109).
func (m *Mischief) WakesAtAnything() bool { return m.is("APL-109") }

// bare is the unsigned profile that a link gave; nil: it gave none.
func (c *call) bare(a *answer) *apple.Profile {
	if !c.link(a) {
		return nil
	}
	p, err := apple.DecodeProfile(a.body)
	if err != nil {
		return nil
	}
	return p
}

// changing lets the request through and has change look at the profile of a link.
func (c *call) changing(change func(p *apple.Profile)) {
	a := c.ask(c.body)
	if p := c.bare(a); p != nil {
		change(p)
		a.body = apple.EncodeProfile(p)
	}
	c.give(a)
}

func noSigned(c *call) {
	a := c.ask(c.body)
	if c.link(a) && c.bare(a) == nil {
		a.body = []byte("this device knows no CMS")
	}
	c.give(a)
}

func mendedIdentity(c *call) {
	c.changing(func(p *apple.Profile) {
		for i := range p.Payloads {
			if p.Payloads[i].SCEP == nil {
				continue
			}
			for k := range p.Payloads {
				if m := p.Payloads[k].MDM; m != nil {
					m.IdentityCertificateUUID = p.Payloads[i].UUID
				}
			}
		}
	})
}

func firstMDM(c *call) {
	c.changing(func(p *apple.Profile) {
		kept, seen := p.Payloads[:0], false
		for _, one := range p.Payloads {
			if one.MDM == nil || !seen {
				kept = append(kept, one)
			}
			seen = seen || one.MDM != nil
		}
		p.Payloads = kept
	})
}

func anyFingerprint(c *call) {
	c.changing(func(p *apple.Profile) {
		for i := range p.Payloads {
			if s := p.Payloads[i].SCEP; s != nil {
				s.CAFingerprint = nil
			}
		}
	})
}

func pollsMore(c *call) {
	s, err := certs.ParseSigned(c.body)
	var kind string
	if err == nil && c.operation() == "PKIOperation" && s.Attribute(messageKind, &kind) == nil && kind == "20" {
		c.ask(c.body)
	}
	c.pass()
}

func checksOutTwice(c *call) {
	if c.says(apple.CheckOut) {
		c.ask(c.body)
	}
	c.pass()
}

func tokenOnce(c *call) {
	a := c.ask(c.body)
	if c.says(apple.TokenUpdate) {
		a.status = http.StatusOK
	}
	c.give(a)
}

// commanded lets a message through, remembers the command that answers it, and returns the answer.
func (c *call) commanded(body []byte) *answer {
	a := c.ask(body)
	if id, command, err := apple.DecodeCommand(a.body); c.device && err == nil && id != "" {
		c.m.note("type "+id, command.RequestType())
		if install, ok := command.(apple.InstallProfile); ok {
			c.installs(id, install.Payload)
		}
	}
	return a
}

// installs remembers which profile a command brings.
func (c *call) installs(id string, payload []byte) {
	p, err := apple.DecodeProfile(payload)
	if err != nil {
		return
	}
	if mdm, _, err := p.Enrolment(); mdm != nil && err == nil {
		c.m.note("updates "+id, "yes")
	}
	if first := c.m.noted("first " + p.Identifier); first == "" {
		c.m.note("first "+p.Identifier, p.UUID)
	} else if first != p.UUID {
		c.m.note("versions", c.m.noted("versions")+first+" "+p.UUID+" ")
	}
}

// reports tells whether the message reports a command of this type.
func (c *call) reports(requestType string) bool {
	return c.report() && c.m.noted("type "+c.msg.CommandUUID) == requestType
}

func waitsLocked(c *call) {
	body := c.body
	if c.reports("Restrictions") {
		body = c.replaced("<string>Error</string>", "<string>NotNow</string>")
	}
	c.give(c.commanded(body))
}

func forgetsReport(c *call) {
	if c.report() && c.m.noted("unheard "+c.msg.CommandUUID) != "" {
		c.say(http.StatusOK)
		return
	}
	a := c.ask(c.body)
	if c.report() && a.status == http.StatusServiceUnavailable {
		c.m.note("unheard "+c.msg.CommandUUID, "yes")
	}
	c.give(a)
}

func tellsMore(c *call) {
	const at = "<key>QueryResponses</key><dict>"
	c.give(c.ask(c.replaced(at, at+"<key>IMEI</key><string>350000000000000</string>")))
}

func hidesItself(c *call) {
	body := c.body
	if c.reports("ProfileList") {
		body = c.replaced("<string>"+c.m.noted("enrolment")+"</string>", "<string>hidden</string>")
	}
	a := c.commanded(body)
	if p := c.bare(a); p != nil {
		c.m.note("enrolment", p.Identifier)
	}
	c.give(a)
}

func firstVersion(c *call) {
	body := c.body
	if c.reports("ProfileList") {
		for versions := bytes.Fields([]byte(c.m.noted("versions"))); len(versions) > 1; versions = versions[2:] {
			body = bytes.ReplaceAll(body, versions[1], versions[0])
		}
	}
	c.give(c.commanded(body))
}

func actsFirst(c *call) {
	if c.reports("EraseDevice") {
		c.say(http.StatusOK)
		return
	}
	c.give(c.commanded(c.body))
}

func textForTruth(c *call) {
	c.give(c.ask(c.replaced("<key>IsIdentity</key><true/>", "<key>IsIdentity</key><string>yes</string>")))
}

func takesAnyUpdate(c *call) {
	body := c.body
	if c.report() && c.msg.Status == protocol.Failed && c.m.noted("updates "+c.msg.CommandUUID) != "" {
		body = c.replaced("<string>Error</string>", "<string>Acknowledged</string>")
	}
	c.give(c.commanded(body))
}

func staysManaged(c *call) {
	a := c.ask(c.body)
	if a.status == http.StatusUnauthorized {
		a.status = http.StatusServiceUnavailable
	}
	c.give(a)
}
