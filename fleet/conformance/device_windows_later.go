package conformance

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// To whom Windows devices belong, when they come, and what stays on them.

var windowsDeviceLaterStatements = []Statement{
	{
		ID: "WIN-027", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN027,
		Says:   "A device that is managed enrols with nobody else, and stays with whom it has.",
		Source: "windows.md 9, 14",
		Why:    "Windows has one enrolment and answers a second one by 8018000A: a simulator with two hides why half of a migration stays behind (fleet#29042).",
		How:    "A device that has enrolled is to enrol elsewhere; then it is to ask its own server for work.",
		Fix:    "Look whether there is an enrolment before anybody is asked for a certificate.",
	},
	{
		ID: "WIN-028", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN028,
		Says:   "Where HTTPS does not come about, discovery looks for a redirect by plain HTTP, and follows it only when its user says so.",
		Source: "windows.md 1, 14",
		Why:    "Whoever is in the network can write a redirect over plain HTTP, and would manage every device that follows.",
		How:    "Discovery is at a port that speaks plain HTTP, which redirects to a server in good order; nobody consents, and nobody may come.",
		Fix:    "GET by plain HTTP, show where it leads, and stop by 8018001A without a yes.",
	},
	{
		ID: "WIN-055", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN055,
		Says:   "Leaving takes the server's certificates, profiles and policies off the device.",
		Source: "windows.md 7, 14",
		Why:    "What stays on a device that has left is nobody's to remove: the next server cannot tell it from its own.",
		How:    "A device with a Wi-Fi profile and a policy is removed by its user and enrols anew; what it had is looked for.",
		Fix:    "Keep a list of what each server set, and go through it.",
	},
	{
		ID: "WIN-057", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN057,
		Says:   "The poll sets run one after the other from enrolment, an interval of 0 is off, a number of 0 endless, and a changed one counts from the next session on.",
		Source: "windows.md 8, 14",
		Why:    "A simulator that counts them otherwise loads its server at hours at which no PC comes.",
		How:    "Two sessions at one minute, a set that is off, then one at two minutes for ever; the device's clock is read in each. The last is changed to one minute.",
		Fix:    "Add up the sets from the enrolment; the first endless one is the last.",
	},
	{
		ID: "WIN-058", Suite: WindowsDevice, Class: OfWindows, Must: true, try: tryWIN058,
		Says:   "A connection that fails is tried CONNRETRYFREQ times, after INITIALBACKOFFTIME doubled up to MAXBACKOFFTIME; an HTTP error waits for the schedule.",
		Source: "windows.md 8, 10, 14",
		Why:    "A fleet that tries at once again keeps down a server that was down; one that does not try again hides what a short fault costs.",
		How:    "The connection is cut in three attempts, whose times the device's clock tells; then a message is answered 503.",
		Fix:    "Count attempts that had no answer; after the last, and after any answer, go by the schedule.",
	},
	{
		ID: "WIN-072", Suite: WindowsDevice, Class: OfWindows, Must: false, try: tryWIN072,
		Says:   "A device that knows of a change of authority drops what the old one set seven days after it, without a word from anybody.",
		Source: "windows.md 11, 14; AUTH-27",
		Why:    "This is rollcall's own: Windows keeps the node and has no such clock. A simulator of a tenant's move has to, or nothing ever leaves the devices that come no more.",
		How:    "A device that comes every fortnight has a Wi-Fi profile and hears of a change; when seven days are over, it has to be gone.",
		Fix:    "Read ConfigInfo of DeviceManageability; drop what was there before at changedAt and seven days.",
	},
}

func tryWIN027(t *trial) {
	d := t.managedAt(nil)
	other := t.desk(nil)
	if t.joins(other, other.link()) || len(t.askedFor(other, "issue")) > 0 {
		t.last = t.latest(other)
		t.fail("a device that is managed enrols with another server")
	}
	if !t.comes(func() int { return len(t.says(d)) }) {
		t.fail("a device that was to enrol elsewhere comes to its own server no more%s", t.because())
	}
}

// plainly serves the judge's paths without TLS at a port of its own, until closed.
func (j *judge) plainly() (base string, closed func(), err error) {
	host, _, err := net.SplitHostPort(j.Listen)
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: j.door.server.Handler, ErrorLog: j.door.server.ErrorLog, ReadTimeout: time.Minute, MaxHeaderBytes: j.door.server.MaxHeaderBytes}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // ends by Close
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String()) // an address that is listened at has one
	return "https://" + net.JoinHostPort(j.Host, port), func() { server.Close(); <-ended }, nil
}

func tryWIN028(t *trial) {
	if !t.judge.Hands.AtRest {
		t.skip("whoever holds the device may say yes to the redirect")
	}
	base, closed, err := t.judge.plainly()
	if err != nil {
		t.unasked("nobody listens without TLS: %v", err)
	}
	defer closed()
	d := t.desk(nil)
	joined := t.joins(d, d.linkAt(base))
	t.last = t.latest(d)
	switch looked := len(t.askedFor(d, "plain")) > 0; {
	case joined, len(t.askedFor(d, "discovery")) > 0:
		t.fail("the device follows a redirect over plain HTTP to which nobody consented")
	case !looked && t.joins(t.desk(nil), d.link()):
		t.fail("a device that finds no HTTPS does not look for a redirect")
	case !looked:
		t.unasked("nobody has come%s", t.because())
	}
}

func tryWIN055(t *trial) {
	h := t.judge.Hands
	t.needs(h.Remove != nil, "have its user remove the account")
	d := t.managedAt(nil)
	const policy = "./Device/Vendor/MSFT/Policy/Config/DeviceLock/MaxInactivityTimeDeviceLock"
	set := []windows.Command{on(windows.Add, wifiNode("stays"), wlan), on(windows.Replace, policy, "15", windows.FormatInt)}
	if s := t.tell(d, set...); s.code(&set[0]) != windows.OK || s.code(&set[1]) != windows.OK {
		t.last = s.Exchange
		t.unasked("what is to leave the device could not be set")
	}
	t.do(h.Remove, func() bool { _, _, left := t.look(d); return left })
	again := t.desk(nil)
	if !t.joins(again, again.link()) {
		t.unasked("a device that was removed does not enrol anew%s", t.because())
	}
	const mine = "./Device/Vendor/MSFT/CertificateStore/My/User"
	look := []windows.Command{on(windows.Get, mine), on(windows.Delete, wifiNodes+"/stays"), on(windows.Delete, policy)}
	s := t.tell(again, look...)
	t.last = s.Exchange
	for i, what := range []string{1: "its Wi-Fi profile", 2: "its policy"} {
		if i > 0 && s.code(&look[i]) != windows.NotFound {
			t.fail("a device that has left its server still has %s", what)
		}
	}
	if r := s.result(mine); r != nil && strings.Contains(r.Data, windows.Thumbprint(d.leaves[0].Raw)) {
		t.fail("a device that has left its server still has its certificate")
	}
	t.without("that what nobody's server set stays: there is nothing of the kind here")
}

const localTime = "./DevDetail/Ext/Microsoft/LocalTime"

// clocks has the device begin a session by step, which tells its time and hears more besides.
func (t *trial) clocks(d *desk, step func(done func() bool), more ...windows.Command) time.Time {
	t.judge.mu.Lock()
	d.queue = [][]windows.Command{append([]windows.Command{on(windows.Get, localTime)}, more...)}
	t.judge.mu.Unlock()
	before := len(t.says(d))
	step(func() bool { return len(t.says(d)) > before+1 })
	return t.timeOf(d, before)
}

// timeOf is the time that the device told in the messages from one on.
func (t *trial) timeOf(d *desk, from int) time.Time {
	for _, s := range t.says(d)[from:] {
		t.last = s.Exchange
		if r := s.result(localTime); r != nil {
			if at, err := time.Parse(time.RFC3339, strings.TrimSpace(r.Data)); err == nil {
				return at
			}
		}
	}
	if len(t.says(d)) > from {
		t.skip("the device does not tell its time (%s)", localTime)
	}
	t.unasked("no session came%s", t.because())
	return time.Time{}
}

// atOnce has the device ask its server now.
func (t *trial) atOnce(done func() bool) {
	t.needs(t.judge.Hands.CheckIn != nil, "have the device ask its server")
	t.do(t.judge.Hands.CheckIn, done)
}

// patient skips the check unless somebody can wait with the device.
func (t *trial) patient() {
	t.needs(t.judge.Hands.Wait != nil, "wait until the device does what is due")
}

// provisioned has the documents of a desk changed.
func provisioned(change func(p *windows.Provisioning)) func(d *desk) {
	return func(d *desk) { d.document = change }
}

func tryWIN057(t *trial) {
	t.patient()
	d := t.managedAt(func(d *desk) {
		d.document = func(p *windows.Provisioning) {
			p.DMClient.Poll = windows.Poll{First: windows.PollSet{Interval: 1, Retries: 2}, Second: windows.PollSet{Retries: 3}, Remaining: windows.PollSet{Interval: 2}}
		}
		d.queue = [][]windows.Command{{on(windows.Get, localTime)}}
	})
	last := t.timeOf(d, 0)
	var change []windows.Command
	for i, want := range []time.Duration{1, 1, 2, 2, 1} {
		if change = nil; i == 3 {
			node := "./Device/Vendor/MSFT/DMClient/Provider/" + deskProvider + "/Poll/" + windows.PollIntervals[2]
			change = []windows.Command{on(windows.Replace, node, "1", windows.FormatInt)}
		}
		at := t.clocks(d, t.later, change...)
		if got := at.Sub(last).Round(time.Minute); got != want*time.Minute {
			t.fail("session %d after enrolment came %s after the one before, want %d min", i+1, at.Sub(last), want)
		}
		last = at
	}
}

func tryWIN058(t *trial) {
	t.patient()
	const first, most, soon = 2 * time.Second, 3 * time.Second, 15 * time.Second
	d := t.managedAt(provisioned(func(p *windows.Provisioning) {
		p.Application.ConnRetryFreq, p.Application.InitialBackoff, p.Application.MaxBackoff = 3, first.Milliseconds(), most.Milliseconds()
		p.DMClient.Poll = windows.Poll{First: windows.PollSet{Interval: 2}}
	}))
	ends := func(a *reply) { // each session, once it has told its time
		t.judge.mu.Lock()
		defer t.judge.mu.Unlock()
		d.answers = func(s *remark) *reply {
			if s.Header.MsgID == 1 {
				return nil
			}
			return a
		}
	}
	t.clocks(d, t.later) // from here on the schedule is far
	ends(&reply{cut: true})
	at := t.clocks(d, t.atOnce)
	for i, want := range []time.Duration{first, most} {
		next := t.clocks(d, t.later)
		if waited := next.Sub(at); waited < want-time.Second || waited > want+soon {
			t.fail("attempt %d came %s after the one that was cut off, want %s", i+2, waited, want)
		}
		at = next
	}
	ends(nil)
	next := t.clocks(d, t.later)
	if next.Sub(at) < soon {
		t.fail("after three attempts that were cut off another follows in %s, want the schedule", next.Sub(at))
	}
	ends(&reply{status: http.StatusServiceUnavailable})
	at = t.clocks(d, t.atOnce)
	ends(nil)
	if next = t.clocks(d, t.later); next.Sub(at) < soon {
		t.fail("after an answer by 503 the next attempt follows in %s, want the schedule", next.Sub(at))
	}
}

func tryWIN072(t *trial) {
	if t.patient(); !t.judge.Hands.AtRest {
		t.skip("nobody waits for seven days here")
	}
	const days = 24 * time.Hour / time.Minute
	d := t.managedAt(provisioned(func(p *windows.Provisioning) {
		p.DMClient.Poll = windows.Poll{First: windows.PollSet{Interval: uint32(14 * days)}}
	}))
	at := t.clocks(d, t.atOnce, on(windows.Add, wifiNode("old"), wlan))
	changed := protocol.At(at.Add(time.Second)) // which is told in whole ones, and is not to be before the enrolment
	notice := on(windows.Replace, "./Device/Vendor/MSFT/DeviceManageability/Provider/"+deskProvider+"/ConfigInfo",
		windows.NoticeWords(protocol.Intune, protocol.Notice{Epoch: 2, ChangedAt: changed, Rule: protocol.RuleSevenDays}))
	s := t.tell(d, notice, on(windows.Get, wifiNodes))
	if r := s.result(wifiNodes); r == nil || !slices.Contains(strings.Split(r.Data, "/"), "old") {
		t.unasked("the profile that is to leave is not there")
	}
	t.later(nil)
	before := len(t.says(d))
	gone := []windows.Command{on(windows.Get, localTime), on(windows.Delete, wifiNodes+"/old")}
	s = t.tell(d, gone...)
	if now := t.timeOf(d, before); now.Before(at.Add(7 * 24 * time.Hour)) {
		t.unasked("whoever has the device did not wait for seven days")
	}
	if t.last = s.Exchange; s.code(&gone[1]) != windows.NotFound {
		t.fail("seven days after a change of which the device knows it still has what was there before")
	}
}
