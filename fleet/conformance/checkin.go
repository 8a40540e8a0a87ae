package conformance

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/apple"
)

var checkInStatements = []Statement{
	{
		ID: "APL-030", Suite: Apple, Class: OfApple, Must: true, check: checkAPL030,
		Says:   "Check-in and command messages are told apart with and without a charset behind their content type.",
		Source: "apple.md 5, 6",
		Why:    "Apple's own pages show both forms; a comparison of the whole header refuses one of them.",
		How:    "TokenUpdate and Idle of an enrolled device with each form of the type.",
		Fix:    "Compare the media type as a prefix, and fall back on the presence of MessageType.",
	},
	{
		ID: "APL-037", Suite: Apple, Class: OfApple, Must: true, check: checkAPL037,
		Says:   "A bootstrap token is stored, given back and forgotten again; asking for one that is not there gets 200 without it.",
		Source: "apple.md 5",
		Why:    "Without its bootstrap token a Mac cannot be erased from afar; an error where there is none makes the Mac ask again and again.",
		How:    "A Mac asks, sets, asks, sets an empty one, and asks.",
		Fix:    "Answer 200 with an empty body, or without the key, where there is none.",
	},
	{
		ID: "APL-038", Suite: Apple, Class: OfApple, Must: true, check: checkAPL038,
		Says:   "UserAuthenticate is answered 410 where users are not managed, else 200 with a DigestChallenge; a wrong answer to that gets 200 with an empty AuthToken.",
		Source: "apple.md 9.2; Apple, User Authenticate",
		Why:    "A 500 here delays or blocks the login of every network user (fleet#31974); a token for any answer lets whoever knows a name into that user's channel.",
		How:    "A Mac asks for a user; where it gets a challenge that is not empty, it answers with a digest that is wrong.",
		Fix:    "Answer 410 by default; an empty AuthToken says that the password is wrong.",
	},
	{
		ID: "APL-040", Suite: Apple, Class: OfApple, Must: true, passes: true, check: checkAPL040,
		Says:   "An unknown message, an empty body and a property list that breaks off get 400 and change nothing.",
		Source: "apple.md 5, 14",
		Why:    "Newer systems send messages that older servers do not know: they must fail softly, and the next message must work.",
		How:    "Three such bodies from an enrolled device, one with another PushMagic; then it asks for work, and where pushes are seen it is pushed.",
		Fix:    "Refuse with 400 and a log line; never answer what you did not understand with success.",
	},
	{
		ID: "APL-094", Suite: Apple, Class: OfApple, Must: true, last: true, check: checkAPL094,
		Says:   "Whatever a device in good standing sends, nonsense too, it is never told to give up its management.",
		Source: "apple.md 12; Apple, Managing MDM Connections",
		Why:    "401, 410 and the body com.apple.unrecognized.device make a device remove its profiles. A panic handler or a proxy's default page is enough to empty a fleet.",
		How:    "Every kind of message, wrong methods, wrong types, broken bodies, unknown paths and reports, all from an enrolled device; then Idle; every kind of message again once its identity has ended, where time may be set or identities live no longer than a check. Asked after all others: what one of their devices was told decides too.",
		Fix:    "Have one place that maps errors to 400, 404 or 503, and no 401 in it.",
	},
	{
		ID: "HST-001", Suite: Apple, Class: OfApple, Must: true, check: checkHST001,
		Says:   "A check-in of more than a MiB and a SCEP message of more than 128 KiB are refused, a report of two MiB is taken.",
		Source: "hostile.md 1; apple.md 14",
		Why:    "Application lists of Macs reach megabytes: a cap that is too low blocks the device, since it repeats its report for ever. None at all lets anybody fill the memory.",
		How:    "A TokenUpdate and a PKIOperation that are too large, and a report of two MiB for a command that was queued.",
		Fix:    "Cap bodies by kind, before parsing; answer 413.",
	},
}

// known is how the server says that the device stands; a device that it does not know is not enrolled.
func (p *phone) known() target.Standing {
	ctx, cancel := p.a.administrator()
	defer cancel()
	s, err := p.a.Steps.Known(ctx, p.udid)
	if err != nil && !target.IsNotFound(err) {
		p.a.unasked("the server does not say how the device stands: %v", err)
	}
	return s
}

func checkAPL030(a *asking) {
	p := a.enrolled(protocol.IOS)
	update, idle := p.tokenUpdate(), p.idle()
	checkIn := p.mdm.CheckInURL
	if checkIn == "" {
		checkIn = p.mdm.ServerURL
	}
	for _, tt := range []struct {
		url, kind string
		m         *apple.Message
	}{
		{checkIn, apple.CheckInType, &update},
		{checkIn, apple.CheckInType + "; charset=UTF-8", &update},
		{p.mdm.ServerURL, apple.CommandType, &idle},
		{p.mdm.ServerURL, apple.CommandType + "; charset=UTF-8", &idle},
	} {
		x := p.put(what(tt.m), tt.url, tt.kind, apple.EncodeMessage(nil, tt.m), nil)
		if x.Status != http.StatusOK {
			a.fail("%s as %q was answered %s", what(tt.m), tt.kind, x.answer())
		}
		if tt.m == &update && len(x.body) > 0 {
			a.fail("TokenUpdate as %q was answered with a body, as if it had asked for work", tt.kind)
		}
	}
}

func checkAPL037(a *asking) {
	p := a.enrolled(protocol.MacOS)
	ask := apple.Message{MessageType: apple.GetBootstrapToken, UDID: p.udid}
	set := apple.Message{MessageType: apple.SetBootstrapToken, UDID: p.udid}
	get := func(when string) []byte {
		x := p.send(ask)
		if x.Status != http.StatusOK {
			a.fail("GetBootstrapToken %s was answered %s", when, x.answer())
		}
		token, err := apple.DecodeBootstrapToken(x.body)
		if err != nil {
			a.fail("GetBootstrapToken %s: %v", when, err)
		}
		return token
	}
	if got := get("before there is one"); len(got) > 0 {
		a.fail("there is a bootstrap token before one was set")
	}
	set.BootstrapToken = []byte("bootstrap of " + p.udid)
	if x := p.send(set); x.Status != http.StatusOK {
		a.fail("SetBootstrapToken was answered %s", x.answer())
	}
	if got := get("after one was set"); !bytes.Equal(got, set.BootstrapToken) {
		a.fail("the bootstrap token comes back as %d other bytes", len(got))
	}
	set.BootstrapToken = nil
	if x := p.send(set); x.Status != http.StatusOK {
		a.fail("an empty SetBootstrapToken was answered %s", x.answer())
	}
	if got := get("after it was deleted"); len(got) > 0 {
		a.fail("the bootstrap token is still there after it was deleted")
	}
}

func checkAPL038(a *asking) {
	p := a.enrolled(protocol.MacOS)
	m := apple.Message{MessageType: apple.UserAuthenticate, UDID: p.udid, UserID: "6DF9E2E8-9A4B-4B9E-9A8A-C0F0C0F0C0F1", UserShortName: "bob"}
	x := p.send(m)
	if x.Status == http.StatusGone {
		return
	}
	d, err := readPlist(x.body)
	if _, managed := d["DigestChallenge"].(string); x.Status != http.StatusOK || err != nil || !managed {
		a.fail("UserAuthenticate was answered %s, want 410 or a DigestChallenge", x.answer())
	}
	if d.text("DigestChallenge") == "" {
		return // users are managed without a password
	}
	m.DigestResponse = `Digest username="bob",realm="rollcall",nonce="C0F0",uri="/",response="00000000000000000000000000000000"`
	x = p.send(m)
	d, err = readPlist(x.body)
	switch {
	case x.Status != http.StatusOK || err != nil && len(bytes.TrimSpace(x.body)) > 0:
		a.fail("UserAuthenticate with a wrong digest was answered %s, want 200 with an empty AuthToken", x.answer())
	case d.text("AuthToken") != "":
		a.fail("UserAuthenticate with a wrong digest got an AuthToken")
	}
}

func checkAPL040(a *asking) {
	p := a.enrolled(protocol.IOS)
	url := p.mdm.CheckInURL
	if url == "" {
		url = p.mdm.ServerURL
	}
	whole := p.tokenUpdate()
	whole.PushMagic = "never"
	body := apple.EncodeMessage(nil, &whole)
	unknown := []byte(strings.Replace(string(body), "TokenUpdate", "RollcallUnknown", 1))
	for _, tt := range []struct {
		what string
		body []byte
	}{{"an unknown MessageType", unknown}, {"an empty body", nil}, {"a property list that breaks off", body[:len(body)/2]}} {
		if x := p.put(tt.what, url, apple.CheckInType, tt.body, nil); x.Status != http.StatusBadRequest {
			a.fail("%s was answered %s, want 400", tt.what, x.answer())
		}
	}
	if x := p.send(p.idle()); x.Status != http.StatusOK {
		a.fail("afterwards Idle is answered %s", x.answer())
	}
	if a.Pushes == nil || a.Steps.Queue == nil {
		a.without("that nothing of what was refused is kept: %s", a.blind())
		return
	}
	p.missed()
	p.queue(1)
	if got := p.pushed(); got == nil {
		a.fail("afterwards no push reaches the device")
	} else if magic, _ := apple.DecodePush(got.Body); magic != p.magic {
		a.fail("what was refused is kept all the same: its PushMagic is pushed")
	}
}

func checkAPL094(a *asking) {
	p := a.enrolled(protocol.IOS)
	idle := p.idle()
	body := apple.EncodeMessage(nil, &idle)
	deep := []byte(`<?xml version="1.0"?><plist version="1.0">` + strings.Repeat("<array>", 200) + strings.Repeat("</array>", 200) + `</plist>`)
	for _, tt := range []struct {
		what, method, url, kind string
		body                    []byte
	}{
		{"a GET", http.MethodGet, p.mdm.ServerURL, "", nil},
		{"a POST", http.MethodPost, p.mdm.ServerURL, apple.CommandType, body},
		{"an unknown path", http.MethodPut, p.mdm.ServerURL + "/nowhere", apple.CommandType, body},
		{"a body that is no property list", http.MethodPut, p.mdm.ServerURL, apple.CommandType, []byte("not found")},
		{"a binary property list", http.MethodPut, p.mdm.ServerURL, apple.CommandType, []byte("bplist00\xd0\x08" + "\x00\x00\x00\x00\x00\x00\x01\x01" + "\x00\x00\x00\x00\x00\x00\x00\x01" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x09")}, // a sound one: what kills a process is no question of conformance
		{"a property list 200 levels deep", http.MethodPut, p.mdm.ServerURL, apple.CommandType, deep},
		{"an unknown Status", http.MethodPut, p.mdm.ServerURL, apple.CommandType, bytes.Replace(body, []byte("Idle"), []byte("Sulking"), 1)},
		{"a TokenUpdate with nothing in it", http.MethodPut, p.mdm.ServerURL, apple.CheckInType, []byte(`<plist version="1.0"><dict><key>MessageType</key><string>TokenUpdate</string></dict></plist>`)},
		{"a body under another coding", http.MethodPut, p.mdm.ServerURL, apple.CommandType, body},
	} {
		header := p.signature(http.Header{}, tt.body)
		if tt.kind != "" {
			header.Set("Content-Type", tt.kind)
		}
		if tt.what == "a body under another coding" {
			header.Set("Content-Encoding", "gzip")
		}
		if x := p.do(tt.method, tt.url, tt.what, header, tt.body); x.unenrols() { // an unknown path too
			a.failRemoval(x)
		} else if x.timedOut() {
			a.fail("%s got no answer", tt.what)
		}
	}
	for _, m := range p.everything() {
		p.send(m)
	}
	if x := p.send(p.idle()); x.Status != http.StatusOK {
		a.fail("afterwards Idle is answered %s", x.answer())
	}
	if !a.outlive(p, "every kind of message again once the device's identity has ended") {
		return
	}
	for _, m := range p.everything() { // its identity has ended, and it is still no stranger
		p.send(m)
	}
}

// everything is a message of each kind that a device sends while it is enrolled.
func (p *phone) everything() []apple.Message {
	const unknown = "C0F0C0F0-0000-4000-8000-0000C0F0C0F2"
	all := []apple.Message{
		p.idle(), p.tokenUpdate(),
		{MessageType: apple.SetBootstrapToken, UDID: p.udid, BootstrapToken: []byte("x")},
		{MessageType: apple.GetBootstrapToken, UDID: p.udid},
		{MessageType: apple.GetToken, UDID: p.udid, TokenServiceType: "com.apple.maid"},
		{MessageType: apple.DeclarativeManagement, UDID: p.udid, Endpoint: "tokens"},
		{MessageType: apple.DeclarativeManagement, UDID: p.udid, Endpoint: "declaration-items"},
		{MessageType: apple.DeclarativeManagement, UDID: p.udid, Endpoint: "status", Data: []byte(`{"StatusItems":{},"Errors":[]}`)},
	}
	for _, s := range []protocol.Status{protocol.Acknowledged, protocol.NotNow, protocol.Failed, protocol.CommandFormatError} {
		all = append(all, p.report(unknown, s))
	}
	return append(all, p.authenticate(), p.tokenUpdate())
}

func checkHST001(a *asking) {
	a.needs(a.Steps.Queue != nil, "queue a command")
	p := a.enrolled(protocol.IOS)
	id := p.queue(1)[0]
	if got, _ := p.command(p.say(p.idle())); id == "" {
		id = got
	}
	report := p.report(id, protocol.Acknowledged)
	large := apple.EncodeMessage(nil, &report)
	large = bytes.Replace(large, []byte("<dict>"), fmt.Appendf(nil, "<dict><key>Filler</key><string>%s</string>", bytes.Repeat([]byte("x"), 2<<20)), 1)
	if x := p.put("a report of two MiB", p.mdm.ServerURL, apple.CommandType, large, nil); x.Status != http.StatusOK {
		a.fail("a report of two MiB was answered %s", x.answer())
	}
	update := p.tokenUpdate()
	update.UnlockToken = bytes.Repeat([]byte("u"), 3<<20)
	if x := p.send(update); x.Status/100 == 2 || x.timedOut() {
		a.fail("a TokenUpdate of four MiB was answered %s", x.answer())
	}
	r := p.request()
	if x := r.post("a PKIOperation of 200 KiB", bytes.Repeat([]byte{0x30}, 200<<10)); x.Status/100 == 2 || x.timedOut() {
		a.fail("a PKIOperation of 200 KiB was answered %s", x.answer())
	}
	if x := p.send(p.idle()); x.Status != http.StatusOK {
		a.fail("afterwards Idle is answered %s", x.answer())
	}
}
