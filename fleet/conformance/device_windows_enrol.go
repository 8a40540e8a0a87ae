package conformance

import (
	"crypto"
	"net/http"
	"slices"
	"strings"

	"rollcall/certs"
	"rollcall/protocol/windows"
)

// How Windows devices enrol, renew and leave, and what must not make them.

var windowsDeviceStatements = []Statement{
	{
		ID: "WIN-025", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN025,
		Says:   "A document with a characteristic that the device does not know ends the enrolment, and leaves nothing.",
		Source: "windows.md 4.1, 14",
		Why:    "Windows 11 refuses such a document whole: a simulator that takes it hides a server by which no PC enrols.",
		How:    "The device enrols by a document with one more characteristic, and must begin no session; then by one in good order.",
		Fix:    "Read the whole document before anything of it is done.",
	},
	{
		ID: "WIN-026", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN026,
		Says:   "A fault ends the enrolment: the device asks for no certificate after its policy was refused, and for none twice.",
		Source: "windows.md 3, 4.2, 14",
		Why:    "Who goes on with defaults after a refusal enrols where no PC would.",
		How:    "The policy is answered by a fault; then the certificate is.",
		Fix:    "Show the fault's HRESULT and stop.",
	},
	{
		ID: "WIN-060", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN060,
		Says:   "To a management server whose certificate nobody vouches for the device says nothing.",
		Source: "windows.md 10, 14",
		Why:    "Whoever sits in between would hear what is on the device.",
		How:    "The device enrols by a document that does not bring the authority of the management server; no message may come.",
		Fix:    "Verify the server by the machine's roots, those of the document among them.",
	},
	{
		ID: "WIN-044", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN044,
		Says:   "The first message of a session has Alert 1201 or 1200, LoginStatus, DevId, Man, Mod, DmV and Lang, and Final.",
		Source: "windows.md 6, 14",
		Why:    "Servers know by it who speaks and whether a user is there.",
		How:    "The device begins a session, and its first message is read.",
		Fix:    "Write package 1 whole.",
	},
	{
		ID: "WIN-045", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN045,
		Says:   "MsgID begins at 1 and grows by 1, another session has another SessionID, and the commands of the first message are numbered from 2.",
		Source: "windows.md 6, 14",
		Why:    "A server keeps its answers by these numbers: with the same ones the next session hears the last one's.",
		How:    "The device holds two sessions, one with a command.",
		Fix:    "Count sessions and messages, and keep the first count.",
	},
	{
		ID: "WIN-046", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN046,
		Says:   "A message with nothing but Status and Final ends the session: the device sends nothing more.",
		Source: "windows.md 6, 14",
		Why:    "Each needless message is one for each device and session, for ever.",
		How:    "Sessions with and without a command, and what comes after their end.",
		Fix:    "End where there is nothing to answer.",
	},
	{
		ID: "WIN-059", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN059,
		Says:   "401, 403, 404, 410, 500, 503 and an answer that is no SyncML end the session and nothing else.",
		Source: "windows.md 10, 14; HST-027",
		Why:    "A device that leaves by such an answer is lost to every fault of a proxy.",
		How:    "Each is the answer to a session; then one is answered as it should be.",
		Fix:    "Keep everything, and come again by the schedule.",
	},
	{
		ID: "WIN-054", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN054,
		Says:   "Exec of Unenroll with another provider's name fails; with the own one no Status comes, but a session with the alert of leaving.",
		Source: "windows.md 7, 14",
		Why:    "Else one provider can end the management of another.",
		How:    "The device is told to leave for another provider, then for its own.",
		Fix:    "Compare PROVIDER-ID; begin a new session for the alert, whatever becomes of it.",
	},
	{
		ID: "WIN-056", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN056,
		Says:   "A user's removal sends one message with the alert, and goes on when the server answers 503.",
		Source: "windows.md 7, 14",
		Why:    "A device that waits for its farewell never leaves a server that is down.",
		How:    "The user removes the account, and the message is answered 503; then the device enrols anew.",
		Fix:    "One attempt, then remove.",
	},
	{
		ID: "WIN-061", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN061,
		Says:   "In its window the device renews by itself: with another key, in a message that its old identity signed, and uses what it gets.",
		Source: "windows.md 5, 14",
		Why:    "A device that does not is lost in a year; one that keeps its key renews nothing.",
		How:    "The device enrols by a certificate that is due at once; its request and the certificate of its next session are looked at.",
		Fix:    "Begin RenewPeriod days before the end; make a key; sign by the old one.",
	},
	{
		ID: "WIN-062", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN062,
		Says:   "A renewal asks discovery first, and follows no redirect.",
		Source: "windows.md 5, 14",
		Why:    "Whoever can redirect would get a new certificate's request, and answer it.",
		How:    "A renewal is answered 307 with another path of the same server; what is asked there is watched.",
		Fix:    "Discover, then ask where that says, and nowhere else.",
	},
	{
		ID: "WIN-066", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN066,
		Says:   "When the answer to a renewal is lost, the device goes on with its old certificate.",
		Source: "windows.md 5, 14",
		Why:    "A device that has thrown it away is stranded by one lost packet.",
		How:    "The connection is cut when a renewal was heard; then the device is to begin a session.",
		Fix:    "Replace the identity when the new one is there.",
	},
}

// askedFor are the requests of a kind so far.
func (t *trial) askedFor(d *desk, kind string) (list []asked) {
	t.judge.mu.Lock()
	defer t.judge.mu.Unlock()
	for _, a := range d.asked {
		if a.kind == kind {
			list = append(list, a)
		}
	}
	return list
}

func tryWIN025(t *trial) {
	d := t.desk(func(d *desk) {
		d.extra = `<characteristic type="RootCATrustedCertificates"><characteristic type="Root"/></characteristic>`
	})
	t.turnedAway(d, d.link(), "its document has a characteristic that nobody knows")
	t.last = t.latest(d)
	t.managedAt(nil)
}

func tryWIN026(t *trial) {
	no := func(kind string) func(string, *windows.RequestSecurityToken) *reply {
		return func(k string, _ *windows.RequestSecurityToken) *reply {
			if k != kind {
				return nil
			}
			return soapReply(windows.FaultStatus, &windows.Fault{Subcode: windows.SubcodeAuthorization, Reason: "no", ErrorType: windows.ErrorUserLicense, Message: "no"}, nil)
		}
	}
	d := t.desk(func(d *desk) { d.decide = no("policy") })
	t.turnedAway(d, d.link(), "its policy was refused")
	if n := len(t.askedFor(d, "issue")); n > 0 {
		t.last = t.latest(d)
		t.fail("after its policy was refused the device asks for a certificate")
	}
	d = t.desk(func(d *desk) { d.decide = no("issue") })
	t.turnedAway(d, d.link(), "its certificate was refused")
	if n := len(t.askedFor(d, "issue")); n != 1 {
		t.last = t.latest(d)
		t.fail("a refused certificate was asked for %d times, want once", n)
	}
}

func tryWIN060(t *trial) {
	d := t.desk(func(d *desk) { d.document = func(p *windows.Provisioning) { p.Root = nil } })
	t.turnedAway(d, d.link(), "nobody vouches for the server of its sessions")
}

// first is the first message of the latest session.
func (t *trial) first(d *desk) *remark { return t.session(d)[0] }

func tryWIN044(t *trial) {
	d := t.managedAt(nil)
	s := t.first(d)
	t.last = s.Exchange
	begins, login := false, false
	about := map[string]bool{}
	for i := range s.Commands {
		c := &s.Commands[i]
		begins = begins || c.Verb == windows.Alert && (c.Code == windows.ClientInitiated || c.Code == windows.ServerInitiated)
		login = login || c.Verb == windows.Alert && c.Code == windows.ClientEvent && len(c.Items) > 0 && strings.TrimSpace(c.Items[0].Meta.Type) == windows.TypeLoginStatus
		for _, item := range c.Items {
			if name, ok := strings.CutPrefix(item.Source, "./DevInfo/"); ok && c.Verb == windows.Replace && item.Data != "" {
				about[name] = true
			}
		}
	}
	missing := slices.DeleteFunc([]string{"DevId", "Man", "Mod", "DmV", "Lang"}, func(name string) bool { return about[name] })
	if !begins || !login || !s.Final || len(missing) > 0 {
		t.fail("the first message has the alert that begins: %t, LoginStatus: %t, Final: %t, and lacks %q", begins, login, s.Final, missing)
	}
}

func tryWIN045(t *trial) {
	d := t.managedAt(nil)
	seen := map[string]bool{}
	for range 2 {
		before := len(t.says(d))
		t.tell(d, on(windows.Get, "./DevInfo/Man"))
		all := t.says(d)[before:]
		t.last = all[0].Exchange
		if seen[all[0].Header.SessionID] {
			t.fail("two sessions are called %q", all[0].Header.SessionID)
		}
		seen[all[0].Header.SessionID] = true
		for i, s := range all {
			if s.Header.MsgID != uint32(i+1) || s.Header.SessionID != all[0].Header.SessionID {
				t.failBy(s.Exchange, "message %d of session %s is number %d of session %s", i+1, all[0].Header.SessionID, s.Header.MsgID, s.Header.SessionID)
			}
		}
		for i := range all[0].Commands {
			if got, want := all[0].Commands[i].CmdID, int32(i+2); got != want {
				t.fail("command %d of the first message is number %d, want %d", i+1, got, want)
			}
		}
	}
}

func tryWIN046(t *trial) {
	d := t.managedAt(nil)
	if all := t.session(d); len(all) != 1 {
		t.fail("a session that was ended by the first answer has %d messages", len(all))
	}
	before := len(t.says(d))
	t.tell(d, on(windows.Get, "./DevInfo/Man"))
	if all := t.says(d)[before:]; len(all) != 2 {
		t.fail("a session that was ended by the second answer has %d messages", len(all))
	}
}

func tryWIN059(t *trial) {
	d := t.managedAt(nil)
	for _, a := range []*reply{
		{status: http.StatusUnauthorized},
		{status: http.StatusForbidden},
		{status: http.StatusNotFound, kind: "text/html", body: "<html>gone</html>"},
		{status: http.StatusGone},
		{status: http.StatusInternalServerError},
		{status: http.StatusServiceUnavailable},
		{status: http.StatusOK, kind: "text/html", body: "<html>welcome</html>"},
		{status: http.StatusOK},
	} {
		t.judge.mu.Lock()
		d.answers = func(*remark) *reply { return a }
		t.judge.mu.Unlock()
		if !t.comes(func() int { return len(t.says(d)) }) {
			t.fail("after answers that mean nothing the device comes no more%s", t.because())
		}
	}
	t.judge.mu.Lock()
	d.answers = nil
	t.judge.mu.Unlock()
	if !t.comes(func() int { return len(t.says(d)) }) {
		t.fail("after answers that mean nothing the device comes no more%s", t.because())
	}
	t.last = t.latest(d)
	if _, _, left := t.look(d); left {
		t.fail("after answers that mean nothing the device leaves")
	}
}

func tryWIN054(t *trial) {
	d := t.managedAt(nil)
	other := []windows.Command{unenrol("another-provider")}
	if code := t.tells(d, other)[0].code(&other[0]); code < 400 {
		t.fail("an order to leave another provider is answered by status %d", code)
	}
	if _, _, left := t.look(d); left {
		t.fail("the device leaves by an order to leave another provider")
	}
	t.judge.mu.Lock()
	order := []windows.Command{unenrol(deskProvider)}
	d.queue = [][]windows.Command{order}
	t.judge.mu.Unlock()
	before := len(t.says(d))
	t.needs(t.judge.Hands.CheckIn != nil, "have the device ask its server")
	t.do(t.judge.Hands.CheckIn, func() bool { _, _, left := t.look(d); return left })
	all := t.says(d)[before:]
	if len(all) > 0 {
		t.last = all[len(all)-1].Exchange
	}
	if _, _, left := t.look(d); !left {
		t.fail("the device was told to leave, and does not")
	}
	for _, s := range all {
		if s.code(&order[0]) != 0 {
			t.failBy(s.Exchange, "the order to leave is answered by a Status")
		}
	}
	if goodbye := all[len(all)-1]; goodbye.Header.MsgID != 1 {
		t.fail("the alert of leaving comes in message %d of a session, want a session of its own", goodbye.Header.MsgID)
	}
}

func tryWIN056(t *trial) {
	h := t.judge.Hands
	t.needs(h.Remove != nil, "have its user remove the account")
	d := t.managedAt(nil)
	t.judge.mu.Lock()
	d.answers = func(*remark) *reply { return &reply{status: http.StatusServiceUnavailable} }
	t.judge.mu.Unlock()
	before := len(t.says(d))
	t.do(h.Remove, func() bool { _, _, left := t.look(d); return left })
	all := t.says(d)[before:]
	if _, _, left := t.look(d); !left || len(all) != 1 {
		t.fail("a device whose user removed the account says so in %d messages, and leaves: %t", len(all), left)
	}
	t.last = all[0].Exchange
	if again := t.desk(nil); !t.joins(again, again.link()) {
		t.fail("a device that was removed while its server was down does not enrol anew%s", t.because())
	}
}

// renews is a desk whose device is due to renew, when it has.
func (t *trial) renews(change func(d *desk)) *desk {
	d := t.managedAt(func(d *desk) {
		d.renewPeriod = 400
		if change != nil {
			change(d)
		}
	})
	if len(t.askedFor(d, "renew")) == 0 {
		t.later(func() bool { return len(t.askedFor(d, "renew")) > 0 })
	}
	return d
}

func tryWIN061(t *trial) {
	d := t.renews(nil)
	all := t.askedFor(d, "renew")
	if len(all) == 0 {
		t.fail("a device whose certificate is due does not renew it%s", t.because())
	}
	a := all[0]
	t.last = a.Exchange
	signed, err := certs.VerifyAttached(a.rst.Token, certs.Policy{})
	switch {
	case err != nil:
		t.fail("the renewal is not signed: %v", err)
	case a.leaf == nil || !signed.Signer.Equal(a.leaf) || !a.leaf.Equal(d.leaves[0]):
		t.fail("the renewal is signed by another certificate than the device's, or shown to nobody")
	}
	key, err := certs.CheckCSRKey(signed.Content, certs.Policy{})
	if old, ok := d.leaves[0].PublicKey.(interface{ Equal(crypto.PublicKey) bool }); err != nil || !ok || old.Equal(key) {
		t.fail("the renewal is for the key that the device has (%v)", err)
	}
	s := t.session(d)
	if last := s[len(s)-1]; last.leaf == nil || last.leaf.Equal(d.leaves[0]) {
		t.fail("after its renewal the device shows its old certificate")
	}
}

func tryWIN062(t *trial) {
	d := t.renews(func(d *desk) {
		d.decide = func(kind string, _ *windows.RequestSecurityToken) *reply {
			if kind == "renew" {
				return &reply{status: http.StatusTemporaryRedirect, header: map[string]string{"Location": d.judge.door.url + d.path + "/elsewhere"}}
			}
			return nil
		}
	})
	t.judge.mu.Lock()
	requests := slices.Clone(d.asked)
	t.judge.mu.Unlock()
	at := slices.IndexFunc(requests, func(a asked) bool { return a.kind == "renew" })
	if at < 0 {
		t.unasked("a device whose certificate is due does not renew it%s", t.because())
	}
	t.last = requests[at].Exchange
	if at == 0 || !slices.ContainsFunc(requests[slices.IndexFunc(requests, func(a asked) bool { return a.kind == "issue" })+1:at], func(a asked) bool { return a.kind == "discovery" }) {
		t.fail("the device renews without asking discovery")
	}
	for _, a := range requests[at+1:] {
		if strings.HasSuffix(a.Request, "/elsewhere") {
			t.failBy(a.Exchange, "the device follows a redirect of its renewal")
		}
	}
}

func tryWIN066(t *trial) {
	d := t.renews(func(d *desk) {
		d.decide = func(kind string, _ *windows.RequestSecurityToken) *reply {
			if kind == "renew" {
				return &reply{cut: true}
			}
			return nil
		}
	})
	if len(t.askedFor(d, "renew")) == 0 {
		t.unasked("a device whose certificate is due does not renew it%s", t.because())
	}
	before := len(t.says(d))
	if !t.comes(func() int { return len(t.says(d)) }) {
		t.fail("after its renewal was cut off the device comes no more%s", t.because())
	}
	if s := t.says(d)[before]; s.leaf == nil || !s.leaf.Equal(d.leaves[0]) {
		t.failBy(s.Exchange, "after its renewal was cut off the device comes by another certificate")
	}
}
