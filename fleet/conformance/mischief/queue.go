package mischief

import (
	"bytes"
	"net/http"
	"strings"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// handed is the id of the command in an answer; empty: there is none.
func (a *answer) handed() string {
	id, _, _ := apple.DecodeCommand(a.body)
	return id
}

func endlessNothing(c *call) {
	a := c.ask(c.body)
	if c.idle() && a.status == http.StatusOK && len(a.body) == 0 {
		c.w.WriteHeader(a.status)
		http.NewResponseController(c.w).Flush() // from here on nobody knows how long it is
		return
	}
	c.give(a)
}

func newUUID(c *call) {
	if c.api(http.MethodPost, "") && strings.HasPrefix(c.r.URL.Path, "/rollcall/v1/devices/") {
		device := strings.Split(strings.TrimPrefix(c.r.URL.Path, "/rollcall/v1/devices/"), "/")[0]
		c.m.note("orders "+device, c.m.noted("orders "+device)+"x")
	}
	a := c.ask(c.body)
	if c.device {
		id := a.handed()
		before := c.m.note("head "+c.msg.UDID, id)
		if c.idle() && id != "" && before == id && len(c.m.noted("orders "+c.msg.UDID)) > 20 {
			a.body = bytes.ReplaceAll(a.body, []byte(id), []byte(id[:len(id)-1]+"G"))
		}
	}
	c.give(a)
}

func oneReport(c *call) {
	key := "reported " + c.r.RemoteAddr + c.msg.CommandUUID
	if c.report() && c.m.noted(key) != "" {
		c.say(http.StatusBadRequest)
		return
	}
	a := c.ask(c.body)
	if c.report() && c.msg.Status != protocol.NotNow && a.status == http.StatusOK {
		c.m.note(key, "yes")
	}
	c.give(a)
}

func knownReports(c *call) {
	if c.report() && c.m.noted("handed "+c.msg.CommandUUID) == "" {
		c.say(http.StatusNotFound)
		return
	}
	a := c.ask(c.body)
	if id := a.handed(); c.device && id != "" {
		c.m.note("handed "+id, "yes")
	}
	c.give(a)
}

func oneConnection(c *call) {
	if c.report() && c.msg.Status != protocol.NotNow {
		if from := c.m.note("from "+c.msg.CommandUUID, c.r.RemoteAddr); from != "" && from != c.r.RemoteAddr {
			c.m.note("from "+c.msg.CommandUUID, from)
			c.say(http.StatusServiceUnavailable)
			return
		}
	}
	c.pass()
}

func errorIsNotNow(c *call) {
	if c.report() && c.msg.Status == protocol.Failed {
		c.give(c.ask(c.replaced("<string>Error</string>", "<string>NotNow</string>")))
		return
	}
	c.pass()
}

func offersForEver(c *call) {
	a := c.ask(c.body)
	key := func(what string) string { return what + " " + c.msg.UDID }
	switch {
	case c.idle():
		c.m.note(key("first"), string(a.body))
		c.m.note(key("not now"), "")
	case c.report() && c.msg.Status == protocol.NotNow:
		all := c.m.noted(key("not now"))
		if !strings.Contains(all, c.msg.CommandUUID) {
			all += c.msg.CommandUUID + " "
			c.m.note(key("not now"), all)
		}
		if len(strings.Fields(all)) > 1 && len(a.body) == 0 {
			if times := c.m.note(key("times"), c.m.noted(key("times"))+"x"); len(times) < 6 {
				a.body = []byte(c.m.noted(key("first")))
				a.header.Set("Content-Type", apple.AnswerType)
			}
		}
	}
	c.give(a)
}

func endsOnSuccess(c *call) {
	a := c.ask(c.body)
	key := "not now " + c.msg.UDID
	switch {
	case c.idle():
		c.m.note(key, "")
	case c.report() && c.msg.Status == protocol.NotNow:
		c.m.note(key, c.m.noted(key)+c.msg.CommandUUID)
	case c.report() && c.msg.Status == protocol.Acknowledged:
		if id := a.handed(); id != "" && strings.Contains(c.m.noted(key), id) {
			a.body = nil
		}
	}
	c.give(a)
}

func oneHead(c *call) {
	if c.idle() && c.leaf() != nil {
		who := string(c.leaf())
		last := c.m.note("last "+who, c.r.RemoteAddr)
		seen := c.m.note("seen "+c.r.RemoteAddr+who, "yes")
		if seen != "" && last != c.r.RemoteAddr {
			c.say(http.StatusOK)
			return
		}
	}
	c.pass()
}

func plainText(c *call) {
	a := c.ask(c.body)
	if c.device && a.handed() != "" {
		a.header.Set("Content-Type", "text/plain")
	}
	c.give(a)
}

func whenever(c *call) {
	a := c.ask(c.body)
	if c.report() && a.status == http.StatusServiceUnavailable {
		a.header.Del("Retry-After")
	}
	c.give(a)
}

func noGap(c *call) {
	a := c.ask(c.body)
	if c.idle() && a.status == http.StatusServiceUnavailable {
		a.status, a.body = http.StatusOK, nil
	}
	c.give(a)
}

func unauthorizedInGap(c *call) {
	a := c.ask(c.body)
	if c.says(apple.GetBootstrapToken) && a.status == http.StatusServiceUnavailable {
		a.status = http.StatusUnauthorized
	}
	c.give(a)
}

func gapLoses(c *call) {
	a := c.ask(c.body)
	key := "refused " + c.msg.UDID
	switch {
	case !c.idle():
	case a.status == http.StatusServiceUnavailable:
		c.m.note(key, "yes")
	case a.handed() != "" && c.m.note(key, "") != "":
		lost := a.handed()
		c.msg.Status, c.msg.CommandUUID = protocol.Acknowledged, lost
		a = c.message(&c.msg)
	}
	c.give(a)
}

func linkIsSpent(c *call) {
	if c.r.Method == http.MethodGet && c.m.noted("spent "+c.r.URL.Path) != "" {
		c.say(http.StatusNotFound)
		return
	}
	a := c.ask(c.body)
	if c.r.Method == http.MethodGet && a.status == http.StatusServiceUnavailable {
		c.m.note("spent "+c.r.URL.Path, "yes")
	}
	c.give(a)
}
