package mischief

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"rollcall/protocol/windows"
)

// Faults of servers of Windows devices, in management sessions.

// syncs tells whether the request is a message of a management session.
func (c *call) syncs() bool { return c.postsBelow(windows.ManagementPath) }

// syncML reads a message of a session; nil: it is none.
func (c *call) syncML() *windows.Message {
	var m windows.Message
	if !c.syncs() || windows.DecodeMessage(c.body, &m) != nil {
		return nil
	}
	return &m
}

// sender is who a message says that it comes from; empty: it says nothing.
func (c *call) sender() string {
	if m := c.syncML(); m != nil {
		return m.Header.Source
	}
	return ""
}

// talks changes the answer to a message of a session. Change tells whether it did.
func talks(change func(c *call, in, out *windows.Message) bool) func(c *call) {
	return func(c *call) {
		a := c.ask(c.body)
		in := c.syncML()
		var out windows.Message
		if in != nil && a.status == http.StatusOK && windows.DecodeMessage(a.body, &out) == nil && change(c, in, &out) {
			a.body = windows.EncodeMessage(nil, &out)
		}
		c.give(a)
	}
}

// hears changes what a device said, before the server hears it.
func hears(pattern, with string) func(c *call) {
	found := regexp.MustCompile(pattern)
	return func(c *call) {
		body := c.body
		if c.syncs() {
			body = found.ReplaceAll(body, []byte(with))
		}
		c.give(c.ask(body))
	}
}

// What a server may make of the answers of Windows' push service (WIN-042) is asked of whoever plays that: KeepsEnded, that a channel
// that has ended goes on to be sent to, KeepsToken, that a token which has ended goes on to be used, and PressesOn, that neither 406 nor
// 403 is heard.

func (m *Mischief) KeepsEnded() bool { return m.is("WIN-042") }
func (m *Mischief) KeepsToken() bool { return m.is("WIN-042/token") }

func (m *Mischief) PressesOn(status int) bool {
	return status == http.StatusNotAcceptable && m.is("WIN-042/throttled") || status == http.StatusForbidden && m.is("WIN-042/other-app")
}

// drop takes commands out of an answer.
func drop(m *windows.Message, which func(c *windows.Command) bool) bool {
	before := len(m.Commands)
	m.Commands = slices.DeleteFunc(m.Commands, func(c windows.Command) bool { return which(&c) })
	return len(m.Commands) != before
}

// on tells whether a command is about a node whose LocURI has this in it.
func on(c *windows.Command, part string) bool {
	return len(c.Items) > 0 && strings.Contains(c.Items[0].Target, part)
}

// next is a CmdID that an answer does not have yet.
func next(m *windows.Message) (id int32) {
	for i := range m.Commands {
		id = max(id, m.Commands[i].CmdID)
	}
	return id + 1
}

const (
	policies = "/Policy/Config/"
	inquiry  = "WMI_Bridge_Server"
)

var (
	anybodyManages = instead(func(c *call) bool { return c.syncs() && c.leaf() == nil }, http.StatusForbidden, http.StatusOK)
	endedManages   = instead(func(c *call) bool { return c.syncs() && c.leaf() != nil }, http.StatusForbidden, http.StatusOK)
	anyMessageSize = instead((*call).syncs, http.StatusRequestEntityTooLarge, http.StatusOK)
	anyForm        = instead((*call).syncs, http.StatusUnsupportedMediaType, http.StatusOK)
	anyRoots       = instead(func(c *call) bool { return c.syncs() && bytes.Count(c.body, []byte("<SyncML")) > 1 }, http.StatusBadRequest, http.StatusOK)
	goneIfBroken   = instead((*call).syncs, http.StatusBadRequest, http.StatusGone)

	anySource = rewrite((*call).syncs, `(<Cmd>SyncHdr</Cmd><Data>)401<`, `${1}200<`)
	saysSize  = rewrite((*call).syncs, `</Source></SyncHdr>`, `</Source><Meta><MaxMsgSize xmlns="syncml:metinf">8192</MaxMsgSize></Meta></SyncHdr>`)

	anyMost         = hears(`<MaxMsgSize[^>]*>[0-9]+</MaxMsgSize>`, ``)
	everybodyIsUser = hears(`(LoginStatus</Type></Meta><Data>)(none|others)<`, `${1}user<`)
	thereIsDone     = hears(`<Data>418<`, `<Data>200<`)
	missingFails    = hears(`(<Cmd>Replace</Cmd><Data>)404<`, `${1}500<`)
	goneFails       = hears(`(<Cmd>Delete</Cmd><Data>)404<`, `${1}500<`)
	triesForEver    = hears(`(<Cmd>(?:Add|Replace)</Cmd><Data>)500<`, `${1}503<`)
	ownsEverything  = hears(`(`+inquiry+`/ConfigInfo</LocURI></Source>(?:<Meta>.*?</Meta>)?<Data>)1<`, `${1}255<`)
	ownsNothing     = hears(`(`+inquiry+`/ConfigInfo</LocURI></Source>(?:<Meta>.*?</Meta>)?<Data>)13<`, `${1}1<`)

	unansweredAlert = talks(func(_ *call, in, out *windows.Message) bool {
		return drop(out, func(s *windows.Command) bool {
			return s.Verb == windows.Status && slices.ContainsFunc(in.Commands, func(c windows.Command) bool {
				return c.Verb == windows.Alert && c.Code == windows.GenericAlert && c.CmdID == s.CmdRef && len(c.Items) > 0 && c.Items[0].Meta.Type != windows.TypeUnenrollment
			})
		})
	})
	statusLast = talks(func(_ *call, _, out *windows.Message) bool {
		n := 0
		for n < len(out.Commands) && out.Commands[n].Verb == windows.Status {
			n++
		}
		slices.Reverse(out.Commands[:n])
		return true
	})
	ordersOnce = talks(func(c *call, in, out *windows.Message) bool {
		return drop(out, func(one *windows.Command) bool {
			if one.Verb != windows.Exec {
				return false
			}
			session := in.Header.SessionID
			first := c.m.note("order "+in.Header.Source+nodeOf(one), session)
			return first != "" && first != session
		})
	})
	ordersAgain = talks(func(c *call, in, out *windows.Message) bool {
		key := "order of " + in.Header.Source
		for i := range out.Commands {
			if one := &out.Commands[i]; one.Verb == windows.Exec {
				c.m.note(key, nodeOf(one))
				c.m.note(key+" in", in.Header.SessionID)
				return false
			}
		}
		node := c.m.noted(key)
		if node == "" || c.m.noted(key+" in") == in.Header.SessionID || in.Header.MsgID != 1 {
			return false
		}
		out.Commands = append(out.Commands, windows.Command{Verb: windows.Exec, CmdID: next(out), Items: []windows.Item{{Target: node}}})
		return true
	})
	otherLeaves = talks(func(_ *call, _, out *windows.Message) bool {
		for i := range out.Commands {
			if c := &out.Commands[i]; c.Verb == windows.Exec && on(c, "/Unenroll") {
				c.Items[0].Data = "MS DM Server"
				return true
			}
		}
		return false
	})
	channelOnly = talks(func(_ *call, _, out *windows.Message) bool {
		return drop(out, func(c *windows.Command) bool { return c.Verb == windows.Get && on(c, "/Push/Status") })
	})
	anyAccount = talks(func(_ *call, _, out *windows.Message) bool {
		s := &out.Commands[0]
		if s.Chal == nil {
			return false
		}
		s.Code, s.Chal = windows.AuthenticationTaken, nil
		return true
	})
	noChallenge = talks(func(_ *call, _, out *windows.Message) bool {
		had := out.Commands[0].Chal != nil
		out.Commands[0].Chal = nil
		return had
	})
	unknownIsFine = talks(func(_ *call, in, out *windows.Message) bool {
		changed := false
		for i := range in.Commands {
			for k := range out.Commands {
				if s := &out.Commands[k]; in.Commands[i].Verb == windows.Unknown && s.Verb == windows.Status && s.CmdRef == in.Commands[i].CmdID {
					s.Code, changed = windows.OK, true
				}
			}
		}
		return changed
	})
	deletesFirst = talks(func(c *call, in, out *windows.Message) bool {
		changed := false
		for i := 0; i < len(out.Commands); i++ {
			one := out.Commands[i]
			if one.Verb != windows.Add && one.Verb != windows.Replace || !on(&one, policies) {
				continue
			}
			old := c.m.note("wrote "+in.Header.Source+nodeOf(&one), one.Items[0].Data)
			if old != "" && old != one.Items[0].Data && one.Verb == windows.Replace {
				out.Commands = slices.Insert(out.Commands, i, windows.Command{Verb: windows.Delete, CmdID: next(out), Items: []windows.Item{{Target: nodeOf(&one)}}})
				i++
				changed = true
			}
		}
		return changed
	})
	sendsAgain = talks(func(c *call, in, out *windows.Message) bool {
		key := "added " + in.Header.Source
		idle := true
		for i := range out.Commands {
			one := &out.Commands[i]
			idle = idle && (one.Verb == windows.Status || one.Verb == windows.Get)
			switch {
			case one.Verb == windows.Add && on(one, policies):
				c.m.note(key, nodeOf(one))
			case one.Verb == windows.Delete:
				c.m.note(key, "")
			}
		}
		node := c.m.noted(key)
		if !idle || node == "" || in.Header.MsgID != 1 {
			return false
		}
		out.Commands = append(out.Commands, windows.Command{
			Verb: windows.Add, CmdID: next(out), Items: []windows.Item{{Target: node, Meta: windows.Meta{Format: windows.FormatInt}, Data: "1"}},
		})
		return true
	})
	keepsSettings = talks(func(_ *call, _, out *windows.Message) bool {
		return drop(out, func(c *windows.Command) bool { return c.Verb == windows.Delete && on(c, policies) })
	})
)

// on1 is the node that a command is about.
func nodeOf(c *windows.Command) string { return c.Items[0].Target }

// saysWho believes a device that says it is another one.
func saysWho(c *call) {
	body := c.body
	if m := c.syncML(); m != nil {
		body = deviceID.ReplaceAll(body, []byte("${1}"+m.Header.Source+"<"))
	}
	c.give(c.ask(body))
}

var deviceID = regexp.MustCompile(`(<LocURI>\./DevInfo/DevId</LocURI></Source><Data>)[^<]*<`)

// oneQuery serves no message whose address says mode=machine.
func oneQuery(c *call) {
	if c.syncs() && c.r.URL.RawQuery == "mode=machine" {
		c.say(http.StatusNotFound)
		return
	}
	c.pass()
}

// nothingToSay ends a session that a push began by no message at all.
func nothingToSay(c *call) {
	a := c.ask(c.body)
	if c.syncs() && bytes.Contains(c.body, []byte("<Data>1200</Data>")) {
		a.body = nil
	}
	c.give(a)
}

// anotherMessage answers a repeat in other bytes.
func anotherMessage(c *call) {
	a := c.ask(c.body)
	if c.syncs() && a.status == http.StatusOK && c.m.note("said "+string(c.body), "yes") != "" {
		a.body = append(a.body, '\n')
	}
	c.give(a)
}

// byNumber knows a message by its device and its numbers, whatever enrolment it is of.
func byNumber(c *call) {
	m := c.syncML()
	if m == nil {
		c.pass()
		return
	}
	key := "answered " + m.Header.Source + " " + m.Header.SessionID + " " + strconv.Itoa(int(m.Header.MsgID))
	a := c.ask(c.body)
	if old := c.m.noted(key); old != "" {
		a.body = []byte(old)
	}
	c.m.note(key, string(a.body))
	c.give(a)
}

// leavesOnce refuses a device that has left.
func leavesOnce(c *call) {
	if c.syncs() && bytes.Contains(c.body, []byte(windows.TypeUnenrollment)) && c.m.note("left "+string(c.leaf()), "yes") != "" {
		c.say(http.StatusForbidden)
		return
	}
	c.pass()
}

// callsAnywhere calls whatever a device says is its channel when the device is to be woken.
func callsAnywhere(c *call) {
	if m := c.syncML(); m != nil {
		for i := range m.Commands {
			for _, item := range m.Commands[i].Items {
				if strings.HasSuffix(item.Source, "/Push/ChannelURI") {
					c.m.note("channel", item.Data)
				}
			}
		}
	}
	if c.api(http.MethodPost, "/sync") {
		if r, err := http.NewRequestWithContext(c.r.Context(), http.MethodPost, c.m.noted("channel"), strings.NewReader("x")); err == nil {
			t := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true} // it is the check's own
			if resp, err := t.RoundTrip(r); err == nil {
				resp.Body.Close()
			}
		}
	}
	c.pass()
}

// lastWord shows what a device said last of an order, not first.
func lastWord(c *call) {
	if m := c.syncML(); m != nil && slices.ContainsFunc(m.Commands, func(s windows.Command) bool { return s.Cmd == windows.Exec && s.Code >= 500 }) {
		c.m.note("failed "+m.Header.Source, "yes")
	}
	a := c.ask(c.body)
	if id, ok := strings.CutPrefix(c.r.URL.Path, "/rollcall/v1/devices/"); ok && c.r.Method == http.MethodGet && c.m.noted("failed "+id) != "" {
		a.body = bytes.ReplaceAll(a.body, []byte(`"status":"Acknowledged"`), []byte(`"status":"Error"`))
	}
	c.give(a)
}

// takesAnyProfile takes profiles that nobody can read.
func takesAnyProfile(c *call) {
	a := c.ask(c.body)
	if c.api(http.MethodPost, "/profiles") && a.status/100 == 4 {
		a.status, a.body = http.StatusOK, []byte("{}")
	}
	c.give(a)
}

// movesNever shows every Windows device as registered since the same change, whatever becomes of it; movesAtOnce, since the latest.
func movesNever(c *call) {
	a := c.ask(c.body)
	if c.r.Method == http.MethodGet && strings.HasPrefix(c.r.URL.Path, "/rollcall/v1/devices/") && bytes.Contains(a.body, []byte(`"platform":"windows"`)) {
		a.body = epochs.ReplaceAll(a.body, []byte(`"epoch":1`))
	}
	c.give(a)
}

func movesAtOnce(c *call) {
	turned := c.turned()
	a := c.ask(c.body)
	if turned && c.r.Method == http.MethodGet && strings.HasPrefix(c.r.URL.Path, "/rollcall/v1/devices/") && bytes.Contains(a.body, []byte(`"platform":"windows"`)) {
		a.body = epochs.ReplaceAll(a.body, []byte(`"epoch":9`))
	}
	c.give(a)
}
