package conformance

import (
	"slices"
	"strings"

	"rollcall/protocol/windows"
)

// Profiles on Windows devices.

var windowsProfileStatements = []Statement{
	{
		ID: "WIN-035", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN035,
		Says:   "No message is larger than the device's MaxMsgSize, what is larger comes in pieces, and the server says no MaxMsgSize itself.",
		Source: "windows.md 6, 14",
		Why:    "Windows throws away what is too large for it; and by a MaxMsgSize of the server's it ended the session in place of cutting its own (measured on Windows 11 25H2).",
		How:    "A device that takes 4,000 bytes gets a profile of 20,000 characters, and puts it together.",
		Fix:    "Count what a message takes; send what is larger with Size and MoreData.",
	},
	{
		ID: "WIN-037", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN037,
		Says:   "What is the user's waits until the user is signed in.",
		Source: "windows.md 6, 14",
		Why:    "The device answers 405 at the lock screen: a server that takes it for an answer shows mail as failed that only came too early.",
		How:    "A device gets a profile with a node of ./User while nobody is signed in, then somebody else, then its user.",
		Fix:    "Read LoginStatus in each session, and hold back what names ./User.",
	},
	{
		ID: "WIN-038", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN038,
		Says:   "Status 418 of an Add has the server replace, 404 of a Replace has it add, 404 of a Delete is done.",
		Source: "windows.md 6.1, 11, 14",
		Why:    "What somebody set before is there: a server that gives up shows a failure, and the device keeps the old value.",
		How:    "A profile adds a node that is there, and replaces one that is not; then it is taken away from a device that has lost it.",
		Fix:    "Send it once more as the other verb, and count a Delete of nothing as done.",
	},
	{
		ID: "WIN-038.again", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN038Again,
		Says:   "Status 500 has a profile tried again in later sessions, thrice at most.",
		Source: "windows.md 6.1, 14",
		Why:    "Many CSP fail once and work later; one that always fails is asked with each session for ever.",
		How:    "A device answers 500 to a profile in five sessions, and what it is told is counted.",
		Fix:    "Count the tries of a command, and end it with its error.",
	},
	{
		ID: "WIN-039", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN039,
		Says:   "A profile whose XML does not parse is refused when it is uploaded, and XML in Data comes as text.",
		Source: "windows.md 6, 14",
		Why:    "A raw document in Data breaks the message: everything in it is answered 400, and all profiles stay pending (fleet#16316).",
		How:    "A profile with half of a WLANProfile is uploaded, then a whole one, which must come to the device as it was.",
		Fix:    "Parse at the upload; escape when you write.",
	},
	{
		ID: "WIN-070", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN070,
		Says:   "A newer version of a profile replaces what it changes, and deletes nothing that it has.",
		Source: "windows.md 11, 14; AUTH-26",
		Why:    "A Wi-Fi profile that is deleted first takes the network along by which the next one would have come.",
		How:    "A profile is assigned, and another version of it, of which one setting is the same and one is not.",
		Fix:    "Compare with what the device has, and send Replace for what differs.",
	},
	{
		ID: "WIN-070.removal", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN070Removal,
		Says:   "A profile that is taken away is deleted, node for node, and an unchanged one is never sent again.",
		Source: "windows.md 11",
		Why:    "Without it an administrator cannot take back what he set (fleet#26904); what is sent with each session is applied with each session (fleet#24394).",
		How:    "A profile is assigned; two sessions later it is taken away.",
		Fix:    "Keep the nodes that were written, for each device and profile.",
	},
}

// policyNode is a setting of Windows' policies.
func policyNode(name string) string { return "./Device/Vendor/MSFT/Policy/Config/Conform/" + name }

func checkWIN035(a *asking) {
	d := a.governed()
	d.most = 4000
	text := strings.Repeat("twenty characters. &", 1000)
	node := policyNode("Large")
	d.assigned(settings(windows.FormatChr, "Replace "+node+"="+strings.ReplaceAll(text, "&", "&amp;")))
	m := d.begin()
	for range 4 * mostMessages {
		x := d.say(m)
		answer := d.heard(x)
		if len(x.body) > int(d.most) {
			a.fail("a device that takes %d bytes is answered %d", d.most, len(x.body))
		}
		if answer.Header.MaxMsgSize != 0 {
			a.fail("the server says that it takes messages of %d bytes", answer.Header.MaxMsgSize)
		}
		if !more(answer) {
			break
		}
		m = d.obey(answer)
	}
	if d.tree[node] != text {
		a.fail("a setting of %d characters came as %d", len(text), len(d.tree[node]))
	}
}

func checkWIN037(a *asking) {
	d := a.governed()
	node := "./User/Vendor/MSFT/Policy/Config/Conform/Mail"
	d.assigned(settings(windows.FormatInt, "Replace "+node+"=1"))
	for _, login := range []string{windows.LoginNone, windows.LoginOthers} {
		d.login = login
		d.sync()
		if got := d.did(node); len(got) > 0 {
			a.fail("a device whose login is %q gets %v of what is its user's", login, got)
		}
	}
	d.login = windows.LoginUser
	if d.sync(); len(d.did(node)) != 1 {
		a.fail("a device whose user is signed in gets %v of what is its user's", d.did(node))
	}
}

func checkWIN038(a *asking) {
	d := a.governed()
	there, missing := policyNode("There"), policyNode("Missing")
	d.tree[there] = "old"
	d.answers["Replace "+missing] = windows.NotFound
	d.assigned(settings(windows.FormatChr, "Add "+there+"=new", "Replace "+missing+"=new"))
	d.sync()
	if got := d.tree[there]; got != "new" {
		a.fail("an Add was answered 418, and the node has %q after %v", got, d.did(there))
	}
	if got := d.tree[missing]; got != "new" {
		a.fail("a Replace was answered 404, and the node has %q after %v", got, d.did(missing))
	}
	delete(d.answers, "Replace "+missing)
	d.drop(there)
	d.drop(missing)
	d.assigned("")
	d.told = nil
	d.sync()
	deleted := len(d.did(there))
	d.told = nil
	if d.sync(); deleted == 0 || len(d.did(there)) > 0 {
		a.fail("a Delete was answered 404: it came %d times, and then %d times again", deleted, len(d.did(there)))
	}
}

func checkWIN038Again(a *asking) {
	d := a.governed()
	node := policyNode("Fails")
	d.answers["Add "+node], d.answers["Replace "+node] = windows.CommandFailed, windows.CommandFailed
	d.assigned(settings(windows.FormatInt, "Replace "+node+"=1"))
	for range 5 {
		d.sync()
	}
	if got := len(d.did(node)); got < 2 || got > 3 {
		a.fail("a profile that is answered 500 came %d times in five sessions, want two or three", got)
	}
}

const wlan = `<WLANProfile xmlns="http://www.microsoft.com/networking/WLAN/profile/v1"><name>conform</name><SSIDConfig><SSID><name>conform</name></SSID></SSIDConfig><connectionType>ESS</connectionType></WLANProfile>`

func checkWIN039(a *asking) {
	d := a.governed()
	node := "./Device/Vendor/MSFT/WiFi/Profile/conform/WlanXml"
	escaped := strings.NewReplacer("<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(wlan)
	if err := d.profile(settings(windows.FormatChr, "Add "+node+"="+escaped[:len(escaped)/2])); err == nil {
		a.fail("a profile with half of a WLANProfile was taken")
	}
	d.assigned(settings(windows.FormatChr, "Add "+node+"="+escaped))
	if d.sync(); d.tree[node] != wlan {
		a.fail("a WLANProfile came as %q", shown([]byte(d.tree[node]), 400))
	}
}

func checkWIN070(a *asking) {
	d := a.governed()
	changed, same := policyNode("Changed"), policyNode("Same")
	d.assigned(settings(windows.FormatInt, "Add "+changed+"=1", "Add "+same+"=1"))
	d.sync()
	d.told = nil
	d.assigned(settings(windows.FormatInt, "Add "+changed+"=2", "Add "+same+"=1"))
	d.sync()
	if got := d.did(changed); d.tree[changed] != "2" || slices.Contains(got, windows.Delete) {
		a.fail("a newer version came by %v, and the node has %q", got, d.tree[changed])
	}
	if got := d.did(same); slices.Contains(got, windows.Delete) {
		a.fail("what is the same in a newer version was told by %v", got)
	}
}

func checkWIN070Removal(a *asking) {
	d := a.governed()
	node := policyNode("Taken")
	d.assigned(settings(windows.FormatInt, "Add "+node+"=1"))
	d.sync()
	if d.told = nil; d.tree[node] != "1" {
		a.unasked("a profile was assigned, and a session does not bring it")
	}
	d.sync()
	if got := d.did(node); len(got) > 0 {
		a.fail("a profile that has not changed comes again, by %v", got)
	}
	d.assigned("")
	d.sync()
	if got := d.did(node); !slices.Equal(got, []windows.Verb{windows.Delete}) {
		a.fail("a profile was taken away, and the device is told %v", got)
	}
}
