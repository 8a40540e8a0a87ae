package mischief

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"rollcall/certs"
)

// An upload is a push certificate on its way to the server.
type upload struct {
	Certificate []byte `json:"certificate"`
	Confirm     bool   `json:"confirm"`
	push        *certs.Push
}

// upload reads the request as one; ok is false where it is none, or no push certificate.
func (c *call) upload() (u upload, ok bool) {
	if !c.api(http.MethodPost, "/apns") || json.Unmarshal(c.body, &u) != nil {
		return u, false
	}
	var err error
	u.push, err = certs.ReadPush(u.Certificate, "")
	return u, err == nil
}

// pushState is what the server says of its push certificate, to the same administrator.
func (c *call) pushState() (s struct {
	Topic    string    `json:"topic"`
	NotAfter time.Time `json:"not_after"`
},
) {
	json.Unmarshal(c.request(http.MethodGet, "/rollcall/v1/apns", nil).body, &s) // what cannot be read is zero
	return s
}

// now is the server's clock.
func (c *call) now() time.Time {
	var s struct {
		Now time.Time `json:"now"`
	}
	json.Unmarshal(c.request(http.MethodGet, "/rollcall/v1/clock", nil).body, &s) // likewise
	return s.Now
}

// taken answers an upload that nobody looked at.
func (c *call) taken() {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Write([]byte("{}"))
}

func anyTopic(c *call) {
	if u, ok := c.upload(); ok && !u.Confirm && u.push.Topic != c.pushState().Topic {
		c.taken()
		return
	}
	c.pass()
}

var waiting = regexp.MustCompile(`"queue":\s*[1-9]`)

func noWayBack(c *call) {
	if u, ok := c.upload(); ok {
		present := c.pushState().Topic
		back := c.m.noted("was "+u.push.Topic) != "" && u.push.Topic != present
		c.m.note("was "+present, "yes")
		if back && waiting.Match(c.request(http.MethodGet, "/rollcall/v1/devices?limit=1000", nil).body) {
			c.taken()
			return
		}
	}
	c.pass()
}

func tooLate(c *call) {
	if u, ok := c.upload(); ok && !u.Confirm {
		if s := c.pushState(); u.push.Topic == s.Topic && c.now().Sub(s.NotAfter) > 72*time.Hour {
			c.taken()
			return
		}
	}
	c.pass()
}

func endedCertificate(c *call) {
	if u, ok := c.upload(); ok && c.now().After(u.push.Certificate.NotAfter) {
		c.taken()
		return
	}
	c.pass()
}

var (
	warnings  = regexp.MustCompile(`"warnings":\s*\[[^\]]*\]`)
	suspended = []byte(`"suspended":true`)
)

func silentSuspension(c *call) {
	a := c.ask(c.body)
	if c.api(http.MethodGet, "/apns") && bytes.Contains(a.body, suspended) {
		a.body = warnings.ReplaceAll(bytes.ReplaceAll(a.body, suspended, []byte(`"suspended":false`)), []byte(`"warnings":[]`))
	}
	c.give(a)
}

func noWarning(c *call) {
	a := c.ask(c.body)
	if c.api(http.MethodGet, "/apns") && !bytes.Contains(a.body, suspended) {
		a.body = warnings.ReplaceAll(a.body, []byte(`"warnings":[]`))
	}
	c.give(a)
}

// unreachableIsGone shows Apple devices as gone that pushes do not reach.
func unreachableIsGone(c *call) {
	a := c.ask(c.body)
	if c.r.Method == http.MethodGet && strings.HasPrefix(c.r.URL.Path, "/rollcall/v1/devices/") && bytes.Contains(a.body, []byte(`"reachable":false`)) && !bytes.Contains(a.body, []byte(`"platform":"android"`)) && !bytes.Contains(a.body, []byte(`"platform":"windows"`)) {
		a.body = bytes.Replace(a.body, []byte(`"life":"enrolled"`), []byte(`"life":"ended"`), 1)
	}
	c.give(a)
}

// orders tells whether the request is an order for a device.
func (c *call) orders() bool {
	return c.api(http.MethodPost, "") && strings.HasPrefix(c.r.URL.Path, "/rollcall/v1/devices/")
}

func anyLock(c *call) {
	if c.orders() && strings.HasSuffix(c.r.URL.Path, "/lock") && c.m.note("locked "+c.r.URL.Path, "yes") != "" {
		c.taken()
		return
	}
	c.pass()
}

func pushEach(c *call) {
	a := c.ask(c.body)
	if c.orders() {
		step, err := json.Marshal(map[string]time.Time{"to": c.now()})
		if err == nil {
			c.request(http.MethodPost, "/rollcall/v1/clock", step)
		}
	}
	c.give(a)
}

func pushBeforeCommit(c *call) {
	switch {
	case c.api(http.MethodPost, "/clock"):
		c.m.note("stepping", "yes")
		defer c.m.note("stepping", "")
	case c.idle() && c.m.noted("stepping") != "":
		c.say(http.StatusOK)
		return
	}
	c.pass()
}
