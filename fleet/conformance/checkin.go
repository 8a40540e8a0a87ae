package conformance

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"rollcall/certs"
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
		ID: "APL-031", Suite: Apple, Class: OfApple, Must: true, check: checkAPL031,
		Says:   "Authenticate alone enrols nobody: no listing, no command; the first TokenUpdate does.",
		Source: "apple.md 5; Apple, Authenticate",
		Why:    "Other payloads may still fail: a server that counts the device then has one that was never managed.",
		How:    "A device says Authenticate and asks for work; then it says TokenUpdate, and is looked for.",
		Fix:    "Wait for TokenUpdate with everything that an enrolment starts.",
	},
	{
		ID: "APL-032", Suite: Apple, Class: OfApple, Must: true, check: checkAPL032,
		Says:   "A later TokenUpdate replaces token and PushMagic, and does not start the work of an enrolment again.",
		Source: "apple.md 5; Apple, Token Update",
		Why:    "Tokens change; a server that keeps the first one pushes into the void. One that enrols again at each sends its first commands for ever (fleet#12159, nanomdm#16).",
		How:    "A second TokenUpdate with another token and magic; then the queue is read, and the next push is looked for at both addresses.",
		Fix:    "Store the latest token and magic; act on the first TokenUpdate after an Authenticate only.",
	},
	{
		ID: "APL-033", Suite: Apple, Class: OfApple, Must: true, check: checkAPL033,
		Says:   "The bare Authenticate of an old iOS and one of a Mac with unknown keys are both taken.",
		Source: "apple.md 5",
		Why:    "iOS 9 sends six keys, macOS sends keys that no page names: strictness locks them out.",
		How:    "Two devices enrol, one with the least of keys, one with keys of its own invention.",
		Fix:    "Demand MessageType, Topic and an identifier; ignore what you do not know.",
	},
	{
		ID: "APL-034", Suite: Apple, Class: OfApple, Must: true, check: checkAPL034,
		Says:   "A device that enrols anew finds no command of its earlier enrolment, and no other device loses any.",
		Source: "apple.md 5",
		Why:    "An erased device that gets yesterday's erase command is erased again.",
		How:    "A command is queued for each of two devices; one enrols again with a new identity; both queues are read.",
		Fix:    "Clear queue and tokens of this enrolment at its Authenticate, unless it is a renewal.",
	},
	{
		ID: "APL-036", Suite: Apple, Class: OfApple, Must: true, check: checkAPL036,
		Says:   "CheckOut ends the enrolment, and a second one is answered 200 as well.",
		Source: "apple.md 5; Apple, Check Out",
		Why:    "A device that left and is still pushed and counted makes every figure wrong.",
		How:    "A device says CheckOut twice; then it is looked for.",
		Fix:    "Mark the enrolment ended, keep its history, answer 200 whatever was before.",
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
		Says:   "UserAuthenticate is answered 410 where users are not managed, else 200 with a DigestChallenge.",
		Source: "apple.md 9.2; Apple, User Authenticate",
		Why:    "A 500 here delays or blocks the login of every network user (fleet#31974).",
		How:    "A Mac asks for a user.",
		Fix:    "Answer 410 by default.",
	},
	{
		ID: "APL-040", Suite: Apple, Class: OfApple, Must: true, check: checkAPL040,
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
		Why:    "401, 410 and the body com.apple.unrecognized.device make a device remove its profiles. A panic handler or a proxy's default page has emptied fleets.",
		How:    "Every kind of message, wrong methods, wrong types, broken bodies, unknown paths and reports, all from an enrolled device; then Idle; where the clock may be set, every kind of message again once its identity has ended. Asked after all others: what one of their devices was told decides too.",
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

func checkAPL031(a *asking) {
	p := a.identified(protocol.IOS)
	p.register()
	if x := p.send(p.authenticate()); x.Status != http.StatusOK {
		a.unasked("Authenticate was answered %s", x.answer())
	}
	x := p.send(p.idle())
	if id, _ := p.command(x); x.Status == http.StatusOK && id != "" {
		a.fail("after Authenticate alone a command is handed out")
	}
	if a.Steps.Known != nil && p.known().Enrolled {
		a.fail("after Authenticate alone the server holds the device for enrolled")
	}
	p.try(p.tokenUpdate())
	if a.Steps.Known != nil && !p.known().Enrolled {
		a.fail("after TokenUpdate the server does not hold the device for enrolled")
	}
}

func checkAPL032(a *asking) {
	p := a.enrolled(protocol.IOS)
	old := p.token
	p.magic += "-2"
	if a.Pushes != nil {
		p.token = a.Pushes.Register(p.mdm.Topic)
	} else {
		p.token = append(bytes.Clone(old[1:]), old[0])
	}
	m := p.tokenUpdate()
	m.UnlockToken = nil
	p.try(m)
	if id, c := p.command(p.say(p.idle())); id != "" {
		a.fail("a second TokenUpdate starts work again: %s", c.RequestType())
	}
	if a.Pushes == nil || a.Steps.Queue == nil {
		return // that nothing starts again was all that could be seen
	}
	p.queue(1)
	got := p.pushed()
	if got == nil {
		a.fail("after a second TokenUpdate no push reaches the new token")
	}
	if magic, _ := apple.DecodePush(got.Body); magic != p.magic {
		a.fail("after a second TokenUpdate the old PushMagic is pushed")
	}
}

func checkAPL033(a *asking) {
	old := a.identified(protocol.IOS)
	old.register()
	bare := apple.Message{
		MessageType: apple.Authenticate, UDID: old.udid, Topic: old.mdm.Topic, OSVersion: "9.3.5", BuildVersion: "13G36", ProductName: "iPad2,5", SerialNumber: old.serial,
	}
	if x := old.send(bare); x.Status != http.StatusOK {
		a.fail("the Authenticate of an iOS 9 was answered %s", x.answer())
	}
	mac := a.identified(protocol.MacOS)
	mac.register()
	m := mac.authenticate()
	body := string(apple.EncodeMessage(nil, &m))
	body = strings.Replace(body, "<key>Topic</key>", "<key>Challenge</key><data>AAEC</data><key>RollcallUnknown</key><array><dict><key>a</key><true/></dict></array><key>Topic</key>", 1)
	url := mac.mdm.CheckInURL
	if url == "" {
		url = mac.mdm.ServerURL
	}
	if x := mac.put("Authenticate with unknown keys", url, apple.CheckInType, []byte(body), nil); x.Status != http.StatusOK {
		a.fail("an Authenticate with unknown keys was answered %s", x.answer())
	}
}

func checkAPL034(a *asking) {
	a.needs(a.Steps.Queue != nil, "queue a command")
	p, other := a.enrolled(protocol.IOS), a.enrolled(protocol.IOS)
	old := p.queue(1)[0]
	others := other.queue(1)[0]
	if err := p.fetch(); err != nil {
		a.unasked("no enrolment profile: %v", err)
	}
	p.identify()
	p.enrol()
	for _, id := range p.drain() {
		if old != "" && id == old {
			a.fail("the new enrolment got command %s, which was queued for the one before", id)
		}
	}
	if id, _ := other.command(other.try(other.idle())); id == "" || others != "" && id != others {
		a.fail("another device has lost its command")
	}
}

func checkAPL036(a *asking) {
	p := a.enrolled(protocol.IOS)
	out := apple.Message{MessageType: apple.CheckOut, UDID: p.udid, Topic: p.mdm.Topic}
	if x := p.send(out); x.Status != http.StatusOK {
		a.fail("CheckOut was answered %s", x.answer())
	}
	if x := p.send(out); x.Status != http.StatusOK {
		a.fail("a second CheckOut was answered %s", x.answer())
	}
	if a.Steps.Known != nil && p.known().Enrolled {
		a.fail("after CheckOut the server holds the device for enrolled")
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
	x := p.send(apple.Message{MessageType: apple.UserAuthenticate, UDID: p.udid, UserID: "6DF9E2E8-9A4B-4B9E-9A8A-C0F0C0F0C0F1", UserShortName: "bob"})
	managed := x.Status == http.StatusOK && bytes.Contains(x.body, []byte("DigestChallenge"))
	if x.Status != http.StatusGone && !managed {
		a.fail("UserAuthenticate was answered %s, want 410 or a DigestChallenge", x.answer())
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
		return // that the next message works was all that could be seen
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
	if !a.Mine || a.crowded != "" || a.Steps.Step == nil || a.Steps.UploadPush == nil {
		return // time stays as it is
	}
	a.restore = func(ctx context.Context) { a.restorePush(ctx, p.mdm.Topic) }
	a.stepTo(p.identity.Certificate.NotAfter.Add(time.Hour))
	p.as(p.identity)
	for _, m := range p.everything() { // its identity has ended, and it is still no stranger
		p.send(m)
	}
	a.restorePush(a.ctx, p.mdm.Topic)
	p.as(certs.Signer{})
	if err := p.fetch(); err != nil { // by the old identity it could not leave
		a.unasked("no enrolment profile for a device whose identity has ended: %v", err)
	}
	p.identify()
	p.say(p.authenticate())
	p.say(p.tokenUpdate())
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
