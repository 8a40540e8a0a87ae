package mischief

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/apple"
)

// fails tells whether a device could not do what it was told.
func (c *call) fails() bool { return c.report() && c.msg.Status == protocol.Failed }

// puts tells whether a device puts a command off.
func (c *call) puts() bool { return c.report() && c.msg.Status == protocol.NotNow }

func (c *call) declares() bool {
	return c.says(apple.DeclarativeManagement) || c.says(apple.GetToken)
}

// saysAgain tells whether a device says another TokenUpdate than its first.
func (c *call) saysAgain() bool {
	return c.says(apple.TokenUpdate) && c.m.note("updated "+c.msg.UDID, "yes") != ""
}

// removes answers what a device says as if it were to be removed.
func removes(when func(c *call) bool, status int) func(c *call) {
	return func(c *call) {
		if when(c) {
			c.say(status)
			return
		}
		c.pass()
	}
}

// refuses answers what a device says with an error of its own.
func refuses(when func(c *call) bool) func(c *call) {
	return removes(when, http.StatusInternalServerError)
}

// unauthorizedNonsense refuses only what is signed, as devices sign where they are asked to.
func unauthorizedNonsense(c *call) {
	if bytes.Contains(c.body, []byte("Sulking")) && c.r.Header.Get("Mdm-Signature") != "" {
		c.say(http.StatusUnauthorized)
		return
	}
	c.pass()
}

func pageForNothing(c *call) {
	if c.idle() {
		c.w.Header().Set("Content-Type", "text/html")
		io.WriteString(c.w, "<html>log in</html>")
		return
	}
	c.pass()
}

// keepsStolen refuses another's bootstrap token and stores it.
func keepsStolen(c *call) {
	a := c.passBinding()
	if c.says(apple.SetBootstrapToken) && a.status != http.StatusOK {
		c.m.note("stolen "+c.msg.UDID, "yes")
	}
	if c.says(apple.GetBootstrapToken) && c.m.noted("stolen "+c.msg.UDID) != "" {
		a.body = nil
	}
	c.give(a)
}

func readsAnothers(c *call) {
	a := c.passBinding()
	if c.says(apple.GetBootstrapToken) && a.status != http.StatusOK {
		a.status = http.StatusOK
	}
	c.give(a)
}

// keepsUnknown refuses a message that it does not know, and takes it for a TokenUpdate.
func keepsUnknown(c *call) {
	a := c.ask(c.body)
	if a.status == http.StatusBadRequest && bytes.Contains(c.body, []byte("RollcallUnknown")) {
		c.ask(c.replaced("RollcallUnknown", "TokenUpdate"))
	}
	c.give(a)
}

func outermostError(c *call) {
	if c.fails() && len(c.msg.ErrorChain) > 1 {
		c.msg.ErrorChain = c.msg.ErrorChain[:1]
		c.give(c.message(&c.msg))
		return
	}
	c.pass()
}

var deviceCount = regexp.MustCompile(`[0-9]+ devices`)

func countless(c *call) {
	a := c.ask(c.body)
	if _, ok := c.upload(); ok && a.status/100 == 4 {
		a.body = deviceCount.ReplaceAll(a.body, []byte("some devices"))
	}
	c.give(a)
}

// removesEnded lets nobody in whose identity has ended.
func removesEnded(c *call) {
	c.stepped()
	now, err := time.Parse(time.RFC3339, c.m.noted("now"))
	if c.device && c.leaf() != nil && err == nil && now.After(c.r.TLS.PeerCertificates[0].NotAfter) {
		c.say(http.StatusUnauthorized)
		return
	}
	c.pass()
}
