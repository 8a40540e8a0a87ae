package conformance

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"rollcall/protocol/apple"
)

var deviceCommandStatements = []Statement{
	{
		ID: "APL-058", Suite: Device, Class: OfApple, Must: true, try: tryAPL058,
		Says:   "A locked iPhone or iPad answers NotNow to none of the eight commands that never wait, and comes back by itself once it is unlocked only if NotNow was its last word.",
		Source: "apple.md 6.4; Apple, Handling NotNow Status Responses",
		Why:    "A simulator that comes back by itself always hides a server which never pushes again (fleet#43814).",
		How:    "The screen is locked; seven of the eight are asked (the eighth, EraseDevice, last), then InstallProfile alone, then InstallProfile with something after it.",
		Fix:    "Follow the list; poll by itself after NotNow as the last word alone.",
	},
	{
		ID: "APL-059", Suite: Device, Class: OfApple, Must: true, try: tryAPL059,
		Says:   "A report is kept until it gets a 2xx, a restart between notwithstanding, and is then the same report.",
		Source: "apple.md 6.3, 6.5; Apple, Sending MDM Commands",
		Why:    "A device that forgets its report, or carries the command out again, hides what a server does with repeats.",
		How:    "The report of a command is answered 503; the device is restarted, where somebody can, and asks again; then the report is taken.",
		Fix:    "Write the report down before it is sent, and strike it out after the 2xx.",
	},
	{
		ID: "APL-060", Suite: Device, Class: OfApple, Must: true, try: tryAPL060,
		Says:   "DeviceInformation brings keys that were asked and are permitted, and no others; without a right its keys are missing, and the rest is answered.",
		Source: "apple.md 7; Apple's schema of DeviceInformation",
		Why:    "Servers read what is missing as not permitted or not known; an Error in its place loses everything.",
		How:    "Three keys are asked with all rights; then three with the right for device information taken out of the profile.",
		Fix:    "Filter by question and right.",
	},
	{
		ID: "APL-061", Suite: Device, Class: OfApple, Must: true, try: tryAPL061,
		Says:   "ProfileList shows the enrolment profile, and RemoveProfile of it ends the enrolment.",
		Source: "apple.md 7; Apple, About MDM",
		Why:    "It is how a server takes a device out, and how it finds what to remove.",
		How:    "ProfileList is asked; then the enrolment profile is removed by command, and the device is woken.",
		Fix:    "Count the enrolment profile among the profiles.",
	},
	{
		ID: "APL-062", Suite: Device, Class: OfApple, Must: true, try: tryAPL062,
		Says:   "A profile with an identifier that is installed replaces, another one adds; one that fails leaves the old one as it was.",
		Source: "apple.md 2.1; Apple's TopLevel schema",
		Why:    "Servers update by identifier. A device that adds instead never shows what is left behind.",
		How:    "Two versions of one profile, another one, and a third version that cannot be installed; ProfileList after each.",
		Fix:    "The top-level PayloadIdentifier is the key; install whole or not at all.",
	},
	{
		ID: "APL-063", Suite: Device, Class: OfApple, Must: true, try: tryAPL063,
		Says:   "RestartDevice, ShutDownDevice and EraseDevice are acknowledged before they are done.",
		Source: "apple.md 6.5; Apple, Erase a Device",
		Why:    "A device that acts first never reports, and its server waits for ever.",
		How:    "Each is ordered on a new enrolment: its report must come, and nothing more after that of EraseDevice.",
		Fix:    "Report, hear the answer, act.",
	},
	{
		ID: "APL-067.device", Suite: Device, Class: OfApple, Must: true, try: tryAPL067,
		Says:   "Every message and result is an XML property list with the keys and types that Apple's schema has.",
		Source: "apple.md 5, 6.1, 7; Apple's device-management schema",
		Why:    "A server that was tried with a device which says things otherwise fails with real ones.",
		How:    "Authenticate, TokenUpdate and the results of five queries are read by a reader of its own and held against the schema.",
		Fix:    "Keep to the schema: names, types, what is required.",
	},
	{
		ID: "APL-072", Suite: Device, Class: OfApple, Must: true, try: tryAPL072,
		Says:   "With an equal DeclarationsToken the device asks nothing more; with another it fetches what is new or changed and nothing else, drops what is gone and reports its status.",
		Source: "apple.md 8; Apple, Integrating Declarative Management",
		Why:    "A device that fetches everything each time loads its server for nothing; one that drops nothing keeps what was taken from it.",
		How:    "Three configurations that do nothing and an activation of them are declared; then the same token is named again; then another, with one configuration as it was, one changed, one new and one gone. What the device fetches and reports is read. A device that answers DeclarativeManagement by an Error knows no declarations.",
		Fix:    "Compare with the token of the last declaration-items; fetch by ServerToken, drop what is not listed, then report.",
	},
	{
		ID: "APL-109", Suite: Device, Class: OfApple, Must: true, try: tryAPL109,
		Says:   "A push whose magic is not the device's wakes nobody.",
		Source: "apple.md 5, 13.2",
		Why:    "The magic is how a device tells its server's pushes from those of an enrolment that is over.",
		How:    "A push with another magic, then one with the right one.",
		Fix:    "Compare the magic with that of the latest TokenUpdate.",
	},
}

// A raw command is one that this repository's types do not have.
func rawCommand(requestType string) apple.Command { return apple.Unknown{Name: requestType} }

func tryAPL058(t *trial) {
	h := t.judge.Hands
	t.needs(h.Lock != nil, "lock the screen")
	o := t.enrolled(nil)
	if m := o.last("Authenticate"); !strings.HasPrefix(m.dict.text("ProductName"), "iP") {
		t.skip("the device is no iPhone and no iPad but %q", m.dict.text("ProductName"))
	}
	lock := func() {
		if t.simply(h.Lock); t.said != nil {
			t.unasked("the screen cannot be locked: %v", t.said)
		}
	}
	never := []apple.Command{
		apple.DeviceInformation{Queries: []string{"UDID"}},
		apple.ProfileList{},
		rawCommand("ProvisioningProfileList"),
		apple.InstalledApplicationList{},
		rawCommand("Restrictions"),
		apple.ClearPasscode{UnlockToken: []byte("conform")},
		apple.DeviceLock{},
	}
	comes := func(say []apple.Command) (came bool, last string) {
		lock()
		var orders []*order
		for _, c := range say {
			orders = append(orders, o.order(c))
		}
		t.wake(o)
		if m := orders[0].report(o); m == nil || m.kind != "NotNow" {
			t.unasked("the locked device does not answer NotNow to InstallProfile, so that its coming back cannot be seen")
		}
		before := len(o.heard(""))
		all := o.heard("")
		last = all[len(all)-1].kind
		t.later(func() bool { return len(o.heard("")) > before })
		return len(o.since(before)) > 0, last
	}
	install := apple.InstallProfile{Payload: apple.EncodeProfile(plainProfile("rollcall.conform.locked", 1))}

	lock()
	for i, m := range t.asks(o, never...) {
		if m.kind == "NotNow" {
			t.failBy(m.Exchange, "%s is answered NotNow", never[i].RequestType())
		}
	}
	if came, last := comes([]apple.Command{install}); last == "NotNow" && !came {
		t.fail("the device does not come back by itself although NotNow was its last word")
	}
	o.clear()
	if came, last := comes([]apple.Command{install, apple.DeviceInformation{Queries: []string{"UDID"}}}); last != "NotNow" && came {
		t.fail("the device comes back by itself although its last word was %s, and not NotNow", last)
	}
	o.clear()
	lock()
	erase := o.order(apple.EraseDevice{})
	t.wake(o)
	if m := erase.report(o); m != nil && m.kind == "NotNow" {
		t.failBy(m.Exchange, "EraseDevice is answered NotNow")
	}
}

// plainProfile is a profile that changes nothing on a device but the list of its profiles.
func plainProfile(identifier string, version int) *apple.Profile {
	return &apple.Profile{
		Identifier: identifier, UUID: fmt.Sprintf("C0F0C0F0-0000-4000-9000-%012X", version), DisplayName: fmt.Sprintf("%s, version %d", identifier, version),
		Payloads: []apple.Payload{{
			Type: "com.apple.webClip.managed", Identifier: identifier + ".clip", UUID: fmt.Sprintf("C0F0C0F0-0000-4000-9001-%012X", version),
			Settings: map[string]any{"Label": "rollcall", "URL": "https://rollcall.invalid/", "IsRemovable": true},
		}},
	}
}

func tryAPL059(t *trial) {
	o := t.enrolled(nil)
	c := o.order(apple.InstallProfile{Payload: apple.EncodeProfile(plainProfile("rollcall.conform.kept", 1))})
	o.decide(func(m *message) *reply {
		if m.uuid == c.id && m.kind == "Acknowledged" {
			return &reply{status: http.StatusServiceUnavailable}
		}
		return nil
	})
	t.wake(o)
	reports := func() (list []*message) {
		for _, m := range o.heard("") {
			if m.uuid == c.id && m.kind != "NotNow" {
				list = append(list, m)
			}
		}
		return list
	}
	if len(reports()) == 0 {
		t.unasked("the device did not report InstallProfile%s", t.because())
	}
	first := slices.Index(o.heard(""), reports()[0]) + 1
	if t.judge.Hands.Restart != nil {
		t.simply(t.judge.Hands.Restart)
	}
	n := len(reports())
	o.decide(nil)
	if t.wake(o); len(reports()) == n {
		t.later(func() bool { return len(reports()) > n })
	}
	for _, m := range o.since(first) {
		if m.handed == c.id {
			t.failBy(m.Exchange, "the device asks for the command again, and has not reported what came of it")
		}
	}
	all := reports()
	if len(all) == n {
		t.fail("the report that was answered 503 does not come again")
	}
	t.last = all[n].Exchange
	if !bytes.Equal(all[n].body, all[0].body) {
		t.fail("the report comes again with other words than before")
	}
	n = len(all)
	if t.wake(o); len(reports()) != n {
		t.fail("the report comes again after it was answered 200")
	}
}

func tryAPL060(t *trial) {
	asked := []string{"UDID", "OSVersion", "BuildVersion"}
	o := t.enrolled(nil)
	m := t.asks(o, apple.DeviceInformation{Queries: asked})[0]
	got, _ := m.dict["QueryResponses"].(dict)
	if m.kind != "Acknowledged" || len(got) == 0 {
		t.fail("DeviceInformation is answered %s with %d keys", m.kind, len(got))
	}
	for key := range got {
		if !slices.Contains(asked, key) {
			t.fail("the device tells %s, which nobody asked", key)
		}
	}
	t.again(o)
	o = t.enrolled(func(o *offer) { o.mdm().AccessRights = apple.AllRights &^ apple.RightDeviceInfo })
	m = t.asks(o, apple.DeviceInformation{Queries: asked})[0]
	got, _ = m.dict["QueryResponses"].(dict)
	if m.kind != "Acknowledged" {
		t.fail("without the right for some of its keys DeviceInformation is answered %s", m.kind)
	}
	for _, key := range asked[1:] {
		if _, there := got[key]; there {
			t.fail("the device tells %s without the right 16", key)
		}
	}
	if _, there := got["UDID"]; !there {
		t.fail("without the right for some of its keys DeviceInformation does not bring those that need none")
	}
}

// listed are the PayloadUUIDs of the profiles that ProfileList shows, by identifier.
func (t *trial) listed(o *offer) map[string][]string {
	m := t.asks(o, apple.ProfileList{})[0]
	out := map[string][]string{}
	for _, p := range m.dict.dicts("ProfileList") {
		out[p.text("PayloadIdentifier")] = append(out[p.text("PayloadIdentifier")], p.text("PayloadUUID"))
	}
	return out
}

func tryAPL061(t *trial) {
	o := t.enrolled(nil)
	if len(t.listed(o)[o.profile.Identifier]) != 1 {
		t.fail("ProfileList does not show the enrolment profile, %s", o.profile.Identifier)
	}
	if m := t.asks(o, apple.RemoveProfile{Identifier: o.profile.Identifier})[0]; m.kind != "Acknowledged" {
		t.fail("RemoveProfile of the enrolment profile is answered %s", m.kind)
	}
	t.silent(o, "RemoveProfile of its enrolment profile")
}

func tryAPL062(t *trial) {
	const a, b = "rollcall.conform.a", "rollcall.conform.b"
	o := t.enrolled(nil)
	install := func(p *apple.Profile, want string) {
		raw := apple.EncodeProfile(p)
		if want == "Error" {
			raw = bytes.ReplaceAll(raw, []byte("<string>com.apple.webClip.managed</string>"), []byte("<integer>7</integer>"))
		}
		if m := t.asks(o, apple.InstallProfile{Payload: raw})[0]; m.kind != want {
			t.fail("InstallProfile of %s is answered %s, want %s", p.DisplayName, m.kind, want)
		}
	}
	holds := func(after string, want map[string]int) {
		got := t.listed(o)
		for identifier, version := range want {
			if uuids := got[identifier]; len(uuids) != 1 || !strings.EqualFold(uuids[0], plainProfile(identifier, version).UUID) {
				t.fail("after %s ProfileList has %s as %v, want %s alone", after, identifier, uuids, plainProfile(identifier, version).UUID)
			}
		}
	}
	install(plainProfile(a, 1), "Acknowledged")
	holds("the first profile", map[string]int{a: 1})
	install(plainProfile(a, 2), "Acknowledged")
	holds("another version of it", map[string]int{a: 2})
	install(plainProfile(b, 3), "Acknowledged")
	holds("a profile of another identifier", map[string]int{a: 2, b: 3})
	install(plainProfile(a, 4), "Error")
	holds("a version that cannot be installed", map[string]int{a: 2, b: 3})
}

func tryAPL063(t *trial) {
	for _, c := range []apple.Command{apple.RestartDevice{}, apple.ShutDownDevice{}, apple.EraseDevice{}} {
		o := t.enrolled(nil)
		one := o.order(c)
		t.wake(o)
		switch m := one.report(o); {
		case m == nil:
			t.fail("%s is done without a report", c.RequestType())
		case m.kind == "Error" && c.RequestType() != "EraseDevice":
			continue // not supervised
		case m.kind != "Acknowledged":
			t.failBy(m.Exchange, "%s is answered %s", c.RequestType(), m.kind)
		}
		if c.RequestType() == "EraseDevice" {
			t.silent(o, "EraseDevice")
		}
		t.again(o)
	}
}

func tryAPL067(t *trial) {
	o := t.enrolled(nil)
	for _, m := range o.heard("") {
		s := schemas()[m.kind]
		if s == nil {
			continue
		}
		if why := m.dict.wrong(s.request, ""); why != "" {
			t.failBy(m.Exchange, "%s: %s", m.kind, why)
		}
		if m.dict.text("UDID") == "" && m.dict.text("EnrollmentID") == "" {
			t.failBy(m.Exchange, "%s does not say who speaks", m.kind)
		}
		if kind, _, _ := strings.Cut(m.header.Get("Content-Type"), ";"); kind != apple.CheckInType {
			t.failBy(m.Exchange, "%s comes as %q, want %s", m.kind, kind, apple.CheckInType)
		}
	}
	commands := []apple.Command{
		apple.DeviceInformation{Queries: []string{"UDID", "DeviceName", "OSVersion", "BatteryLevel", "DeviceCapacity", "IsSupervised", "WiFiMAC"}},
		apple.SecurityInfo{},
		apple.ProfileList{},
		apple.CertificateList{},
		apple.InstalledApplicationList{},
	}
	for i, m := range t.asks(o, commands...) {
		name := commands[i].RequestType()
		switch {
		case m.kind == "NotNow" || m.kind == "Error":
			continue // it is allowed to
		case m.kind != "Acknowledged":
			t.failBy(m.Exchange, "%s is answered %s", name, m.kind)
		case m.dict.text("UDID") == "" && m.dict.text("EnrollmentID") == "":
			t.failBy(m.Exchange, "the result of %s does not say who speaks", name)
		}
		if why := m.dict.wrong(schemas()[name].result, ""); why != "" {
			t.failBy(m.Exchange, "the result of %s: %s", name, why)
		}
	}
}

func tryAPL109(t *trial) {
	h := t.judge.Hands
	t.needs(h.Push != nil, "send the device a push")
	o := t.enrolled(nil)
	m := o.last("TokenUpdate")
	token, _ := m.dict["Token"].([]byte)
	before := len(o.heard(""))
	t.do(func(ctx context.Context) error { return h.Push(ctx, m.dict.text("Topic"), token, "not the magic") }, nil)
	if more := o.since(before); len(more) > 0 {
		t.failBy(more[0].Exchange, "the device comes at a push with a magic that is not its own")
	}
	if t.wake(o); len(o.since(before)) == 0 {
		t.unasked("the device does not come at a push with its magic either%s", t.because())
	}
}
