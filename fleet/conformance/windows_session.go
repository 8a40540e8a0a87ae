package conformance

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"slices"

	"rollcall/certs"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/windows"
)

// Management sessions of Windows devices: who may speak, and what each message is answered.

var windowsSessionStatements = []Statement{
	{
		ID: "WIN-029", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN029,
		Says:   "Management without a certificate that the server issued is answered 403 and changes nothing.",
		Source: "windows.md 10, 14; HST-030",
		Why:    "The certificate is all that tells a device: the id in a message anybody can know (the objection in fleet#14626).",
		How:    "A device's session is sent without a certificate, and by one of its name that signed itself, while a command waits for it.",
		Fix:    "Ask for certificates at the handshake, take those that you issued alone, and answer 403 to others.",
	},
	{
		ID: "WIN-030", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN030,
		Says:   "A message in the name of another device than the certificate's is answered by Status 401 and nothing more, and neither device loses anything.",
		Source: "windows.md 6, 14; HST-033",
		Why:    "Else any device reads what any other is given: passwords of networks, keys, a new PIN.",
		How:    "A command waits for one device; another begins a session in its name, and one as itself that says ./DevInfo/DevId of the first; then the first has a session.",
		Fix:    "The certificate says which enrolment it is; compare Source and DevId, and end the session.",
	},
	{
		ID: "WIN-031", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN031,
		Says:   "The query behind the management address changes nothing.",
		Source: "windows.md 1, 14",
		Why:    "Windows adds mode and Platform in spellings of its own.",
		How:    "Sessions with ?mode=machine, ?MODE=Maintenance&Platform=WoA and no query.",
		Fix:    "Route by the path.",
	},
	{
		ID: "WIN-032", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN032,
		Says:   "Every message is answered by SyncML, also when there is nothing to do, and one with nothing but Status ends the session.",
		Source: "windows.md 6, 14",
		Why:    "An empty answer is no legal end: what the device reported in its message counts as unheard.",
		How:    "A device that a push would have woken begins a session (Alert 1200) with nothing to do.",
		Fix:    "Answer Status for the header and each command, and Final.",
	},
	{
		ID: "WIN-033", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN033,
		Says:   "Status for the header comes first, then one for each of the device's commands in its order, and none for Status.",
		Source: "windows.md 6, 14",
		Why:    "Devices hold them against what they said by order: one that is missing is a command that nobody heard.",
		How:    "A session is begun with six commands, Status among them, and the answer's Status are read.",
		Fix:    "Walk the message and answer each command where it stands.",
	},
	{
		ID: "WIN-034", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN034,
		Says:   "A message that comes again gets the same answer, and does nothing twice; an enrolment that is new hears nothing of the one before.",
		Source: "windows.md 6, 14; HST-054",
		Why:    "A device whose answer was lost repeats; one that was set up anew begins again at session 1, message 1.",
		How:    "The messages of a session with a command are each sent twice; then the device enrols again and begins with the numbers that it began with.",
		Fix:    "Store each answer with its session and message, under the certificate.",
	},
	{
		ID: "WIN-036", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN036,
		Says:   "A command whose Status was not heard comes again in the next session, and one whose was, never.",
		Source: "windows.md 6, 14; I3",
		Why:    "Sessions break off, when a lid is closed: an order that counts as done then is one that nobody carried out.",
		How:    "Two orders wait; a session that brings them breaks off; the next must bring both, and the one after it none.",
		Fix:    "Take a command out of the queue with its Status, and by nothing else.",
	},
	{
		ID: "WIN-017.account", Suite: Windows, Class: OfWindows, Must: true, check: checkWIN017Account,
		Says:   "The digest by the account of the document is answered 212, a wrong one 401 with a challenge, and none is no fault.",
		Source: "windows.md 6; OMA DM Security 1.2, 5.3",
		Why:    "Windows proves itself by it when it is configured so: a server that takes any digest has none, one that takes none loses the device.",
		How:    "Sessions with the right digest over the document's nonce, with a wrong password, and without one.",
		Fix:    "Keep name, password and nonce of APPSRV; compare; answer Chal with NextNonce.",
	},
	{
		ID: "HST-017", Suite: Windows, Class: OfWindows, Must: true, check: checkHST017,
		Says:   "SyncML that is out of order gets the protocol's status.",
		Source: "hostile.md 1",
		Why:    "A device acts on the status of each item: one that gets none waits, and a server that breaks off its session leaves the rest of the commands undone.",
		How:    "An unknown command, Atomic in Atomic, one without CmdID, a Status for a command that was never sent, MsgRef and CmdRef out of range; then a session in good order.",
		Fix:    "Answer each item with its status, 4xx or 5xx, and go on with the session or end it as OMA DM says.",
	},
	{
		ID: "HST-054", Suite: Windows, Class: OfWindows, Must: true, check: checkHST054,
		Says:   "Of two words on one command the first counts, and nobody speaks for another device's.",
		Source: "hostile.md 4, HST-052 and HST-054",
		Why:    "A server that believes the latest shows what did not happen.",
		How:    "An order is done; the same Status comes once more as failed, and another device reports it; what it stands at is read.",
		Fix:    "Correlate by enrolment, session, message and command, and close what is answered.",
	},
	{
		ID: "HST-001.windows", Suite: Windows, Class: OfWindows, Must: true, check: checkHST001Windows,
		Says:   "A message above 1 MiB is refused, without being read into memory; WBXML, which nobody asked for, is 415.",
		Source: "hostile.md 1; windows.md 13",
		Why:    "A handful of devices that say too much take a server down.",
		How:    "A session's message of 1 MiB and one byte, and one that says it is WBXML; then one in good order.",
		Fix:    "Look at Content-Length, and count while you read.",
	},
	{
		ID: "HST-006.windows", Suite: Windows, Class: OfWindows, Must: true, check: checkHST006Windows,
		Says:   "Half of a message, two roots and a SessionID twice are refused, never by 401 or 410, and the device goes on.",
		Source: "hostile.md 1; windows.md 10",
		Why:    "Where a proxy reads the first element and the server the last, a message passes for another session's.",
		How:    "Messages of each kind, then one in good order.",
		Fix:    "Read in one strict pass; answer 400.",
	},
}

func checkWIN029(a *asking) {
	d := a.governed()
	waits := a.Steps.Queue != nil
	if waits {
		d.order(target.Lock)
	}
	own := d.identity
	key := d.newKey()
	self := selfSigned(a, key, "", func(t *x509.Certificate) { t.Subject = own.Certificate.Subject })
	d.as(certs.Signer{})
	if x := d.say(d.begin()); x.Status != http.StatusForbidden {
		a.fail("%s without a certificate was answered %s, want 403", x.What, x.answer())
	}
	d.as(certs.Signer{Certificate: self, Key: key})
	if x := d.say(d.begin()); x.Status/100 == 2 || x.timedOut() {
		a.fail("%s by a certificate that signed itself was answered %s", x.What, x.answer())
	}
	d.as(own)
	d.sync()
	if got := d.did(lockNode); waits && len(got) != 1 {
		a.fail("after others came without its certificate a device gets %d orders, want the one that waits for it", len(got))
	}
}

func checkWIN030(a *asking) {
	d, other := a.governed(), a.governed()
	other.order(target.Lock)
	dismissed := func(m *windows.Message) {
		x := d.say(m)
		answer := d.heard(x)
		if code := statusOf(answer, windows.SyncHeader); code != windows.InvalidCredentials || more(answer) {
			a.fail("%s in the name of another device was answered by status %d for the header, more to come: %t", x.What, code, more(answer))
		}
	}
	m := d.begin()
	m.Header.Source = other.id
	dismissed(m)
	m = d.begin()
	m.Commands[2].Items[0].Data = other.id
	dismissed(m)
	other.sync()
	if got := other.did(lockNode); len(got) != 1 {
		a.fail("after another device came in its name, a device gets %d orders, want the one that waits for it", len(got))
	}
	d.steady("after it came in the name of another")
}

func checkWIN031(a *asking) {
	d := a.governed()
	plain := d.given.address
	for _, query := range []string{"?mode=machine", "?MODE=Maintenance&Platform=WoA", ""} {
		d.given.address = plain + query
		if x := d.say(d.begin()); x.Status != http.StatusOK {
			a.fail("a session at %q was answered %s", d.given.address, x.answer())
		}
	}
	d.given.address = plain
}

func checkWIN032(a *asking) {
	d := a.governed()
	m := d.begin()
	m.Commands[0].Code = windows.ServerInitiated
	for range mostMessages {
		x := d.say(m)
		var answer windows.Message
		if err := windows.DecodeMessage(x.body, &answer); x.Status != http.StatusOK || err != nil || media(x) != windows.SyncMLContentType {
			a.fail("%s was answered %s, %s of %d bytes (%v)", x.What, x.answer(), media(x), len(x.body), err)
		}
		if !more(&answer) {
			return
		}
		m = d.obey(&answer)
	}
	a.fail("a session with nothing to do did not end after %d messages", mostMessages)
}

func checkWIN033(a *asking) {
	d := a.governed()
	m := d.begin(
		alert(windows.ClientEvent, "com.microsoft/MDM/DevicePrepSync", "ProvisioningComplete"),
		windows.Command{Verb: windows.Status, MsgRef: 1, CmdRef: 9999, Cmd: windows.Get, Code: windows.OK},
		alert(windows.GenericAlert, "com.rollcall:conform", "1"),
	)
	x := d.say(m)
	answer := d.heard(x)
	want := []int32{0}
	for i := range m.Commands {
		if m.Commands[i].Verb != windows.Status {
			want = append(want, m.Commands[i].CmdID)
		}
	}
	var got []int32
	for i := range answer.Commands {
		c := &answer.Commands[i]
		if c.Verb != windows.Status {
			break
		}
		if got = append(got, c.CmdRef); c.MsgRef != m.Header.MsgID {
			a.failBy(x, "a Status is for message %d, and %d was sent", c.MsgRef, m.Header.MsgID)
		}
	}
	if !slices.Equal(got, want) {
		a.failBy(x, "the answer begins with Status for commands %d, want %d", got, want)
	}
}

// twice sends a message once more and wants the same answer.
func (d *pc) twice(m *windows.Message) *windows.Message {
	first := d.say(m)
	if x := d.say(m); !same(first, x) {
		d.a.fail("%s was answered %s with %d bytes, again %s with %d bytes, which differ", x.What, first.answer(), len(first.body), x.answer(), len(x.body))
	}
	return d.heard(first)
}

func checkWIN034(a *asking) {
	d := a.governed()
	id, first := "", d.session
	if a.Steps.Queue != nil {
		id = d.order(target.Lock)
	} else {
		a.without("messages with commands: the adapter %s cannot queue any", a.Steps.Name)
	}
	m := d.begin()
	for answer := d.twice(m); more(answer); answer = d.twice(m) {
		m = d.obey(answer)
	}
	if got := d.outcome(id); got != "" && got != protocol.Acknowledged.String() {
		a.fail("a command that was reported twice, as done, stands as %q", got)
	}
	d.session = first // and so the next is what the one with the command was
	d.invite(a.slot)
	d.enrol()
	d.told = nil
	d.sync()
	if got := d.did(lockNode); len(got) > 0 {
		a.fail("after it enrolled again a device hears %v of the session that it had before", got)
	}
}

func checkWIN036(a *asking) {
	d := a.governed()
	ids := []string{d.order(target.Lock), d.order(target.Restart)}
	d.obey(d.heard(d.say(d.begin()))) // and is cut off
	if len(d.did(lockNode)) == 0 {
		a.unasked("an order waits, and a session does not bring it")
	}
	d.told = nil
	d.sync()
	if lock, restart := len(d.did(lockNode)), len(d.did(restartNode)); lock != 1 || restart != 1 {
		a.fail("a session with two orders broke off, and the next one brought %d and %d of them", lock, restart)
	}
	d.told = nil
	if d.sync(); len(d.did(lockNode))+len(d.did(restartNode)) > 0 {
		a.fail("orders came again after their Status")
	}
	for _, id := range ids {
		if got := d.outcome(id); got != "" && got != protocol.Acknowledged.String() {
			a.fail("an order that was reported as done stands as %q", got)
		}
	}
}

func checkWIN017Account(a *asking) {
	d := a.governed()
	var name, secret string
	var nonce []byte
	for _, c := range within(d.given.document, "APPLICATION") {
		if parm(c.Parms, "AAUTHLEVEL") == "APPSRV" {
			name, secret = parm(c.Parms, "AAUTHNAME"), parm(c.Parms, "AAUTHSECRET")
			nonce, _ = base64.StdEncoding.DecodeString(parm(c.Parms, "AAUTHDATA")) // another statement tells what it is worth
		}
	}
	if secret == "" {
		a.skip("the document has no account for the device")
	}
	with := func(c *windows.Cred) *windows.Message {
		m := d.begin()
		m.Header.Cred = c
		return d.heard(d.say(m))
	}
	if code := statusOf(with(windows.NewCred(windows.AuthMD5, name, secret, nonce)), windows.SyncHeader); code != windows.AuthenticationTaken && code != windows.OK {
		a.fail("the digest of the document's account is answered by status %d", code)
	}
	answer := with(windows.NewCred(windows.AuthMD5, name, "made-up", nonce))
	if code := statusOf(answer, windows.SyncHeader); code != windows.InvalidCredentials || more(answer) {
		a.fail("the digest of another password is answered by status %d, more to come: %t", code, more(answer))
	}
	if c := answer.Commands[0].Chal; c == nil || len(c.NextNonce) == 0 {
		a.fail("the digest of another password is answered without a challenge")
	}
	d.steady("after digests that were refused")
}

func checkHST017(a *asking) {
	d := a.governed()
	nested := windows.Command{Verb: windows.Atomic, Commands: []windows.Command{{Verb: windows.Atomic, CmdID: 21, Commands: []windows.Command{{Verb: windows.Get, CmdID: 22, Items: []windows.Item{{Target: "./DevInfo/Man"}}}}}}}
	m := d.begin(
		windows.Command{Verb: windows.Unknown, Name: "Conjure"}, nested,
		windows.Command{Verb: windows.Status, MsgRef: 1 << 30, CmdRef: 1 << 30, Cmd: windows.Get, Code: windows.OK},
		windows.Command{Verb: windows.Results, MsgRef: 1 << 30, CmdRef: 7, Items: []windows.Item{{Source: "./DevInfo/Man", Data: "x"}}},
	)
	answer := d.heard(d.say(m))
	of := func(ref int32) (code windows.Code) {
		for i := range answer.Commands {
			if c := &answer.Commands[i]; c.Verb == windows.Status && c.CmdRef == ref {
				code = c.Code
			}
		}
		return code
	}
	if code := of(m.Commands[3].CmdID); code < 400 {
		a.fail("an unknown command is answered by status %d", code)
	}
	if outer, inner := of(m.Commands[4].CmdID), of(21); outer < 400 || inner < 400 {
		a.fail("Atomic in Atomic is answered by status %d and %d", outer, inner)
	}
	raw := bytes.Replace(windows.EncodeMessage(nil, d.begin()), []byte("<CmdID>3</CmdID>"), nil, 1)
	if x := d.syncML("a session with a command without CmdID", raw); x.Status == http.StatusOK {
		answer := d.heard(x)
		at := slices.IndexFunc(answer.Commands, func(c windows.Command) bool { return c.Verb == windows.Status && c.CmdRef == windows.NoRef })
		if at < 0 || answer.Commands[at].Code != windows.BadRequest {
			a.fail("a command without CmdID is not answered by status 400")
		}
	}
	d.sync()
}

func checkHST054(a *asking) {
	d, other := a.governed(), a.governed()
	id := d.order(target.Lock)
	first := d.heard(d.say(d.begin()))
	m := d.obey(first)
	lies := windows.Message{Header: m.Header, Commands: slices.Clone(m.Commands), Final: true}
	for i := range lies.Commands {
		if lies.Commands[i].Cmd == windows.Exec {
			lies.Commands[i].Code = windows.CommandFailed
		}
	}
	other.session = d.session
	other.say(other.begin())
	stolen := windows.Message{Header: other.head(), Commands: slices.Clone(lies.Commands), Final: true}
	other.say(&stolen)
	d.goOn(m)
	lies.Header = d.head()
	if x := d.say(&lies); x.Status != http.StatusOK {
		a.fail("a Status that comes again is answered %s", x.answer())
	}
	if got := d.outcome(id); got != "" && got != protocol.Acknowledged.String() {
		a.fail("an order that was reported as done, and then by others as failed, stands as %q", got)
	}
	d.told = nil
	if d.sync(); len(d.did(lockNode)) > 0 {
		a.fail("an order that was done came again")
	}
}

// over wants a message to be refused for what it is.
func (d *pc) over(x *Exchange, want int) {
	if x.Status != want && (x.Status != 0 || x.timedOut()) { // it may hang up on who goes on
		d.a.fail("%s was answered %s, want %d", x.What, x.answer(), want)
	}
	d.as(d.identity) // whatever became of the connection
}

func checkHST001Windows(a *asking) {
	d := a.governed()
	d.over(d.syncML("a message of 1 MiB and one byte", bytes.Repeat([]byte(" "), windows.MaxMessage+1)), http.StatusRequestEntityTooLarge)
	header := syncMLHeader()
	header.Set("Content-Type", windows.WBXMLContentType)
	d.over(d.do(http.MethodPost, d.given.address, "a message that says it is WBXML", header, windows.EncodeMessage(nil, d.begin())), http.StatusUnsupportedMediaType)
	d.steady("after messages that were refused")
}

func checkHST006Windows(a *asking) {
	d := a.governed()
	raw := windows.EncodeMessage(nil, d.begin())
	for what, bad := range map[string][]byte{
		"that breaks off": raw[:len(raw)-12], "with two roots": append(bytes.Clone(raw), raw...),
		"with a SessionID twice": bytes.Replace(raw, []byte("<MsgID>"), []byte("<SessionID>99</SessionID><MsgID>"), 1),
	} {
		if x := d.syncML("a message "+what, bad); x.Status/100 != 4 || x.Status == http.StatusUnauthorized || x.Status == http.StatusGone {
			a.fail("%s was answered %s", x.What, x.answer())
		}
	}
	d.steady("after messages that were refused")
}
