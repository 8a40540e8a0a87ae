package mischief

import (
	"bytes"
	"io"
	"net/http"

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
