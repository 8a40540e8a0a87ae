package device

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

func TestAPL020NoIdentity(t *testing.T) {
	l := newLab(t)
	nobody := l.phoneOf(udid(1), certs.Signer{})
	for _, path := range []string{checkInPath, commandPath} {
		if a := nobody.put(path, apple.CheckInType, encode(nobody.authenticate())); a.status != http.StatusBadRequest {
			t.Errorf("%s without identity answered %d, want 400", path, a.status)
		}
	}
	if !l.logged("HST-030", "neither client certificate nor signature") {
		t.Error("the log does not say why")
	}
}

func encode(m apple.Message) []byte { return apple.EncodeMessage(nil, &m) }

func TestAPL021Signature(t *testing.T) {
	for _, tt := range []struct {
		name           string
		signs, legacy  bool
		sign           func(body []byte, s certs.Signer, now time.Time) ([]byte, error)
		flip           bool
		want           int
		withoutSetting bool
	}{
		{name: "DER and SHA-256", sign: certs.SignDetached, want: 200},
		{name: "BER and SHA-1, as a Mac", legacy: true, sign: legacy, want: 200},
		{name: "SHA-1 with legacyCMS off", sign: legacy, want: 400},
		{name: "SHA-256 with legacyCMS on", legacy: true, sign: certs.SignDetached, want: 200},
		{name: "one flipped byte", legacy: true, sign: certs.SignDetached, flip: true, want: 400},
		{name: "signatures not asked for", withoutSetting: true, sign: certs.SignDetached, want: 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, func(c *Config) { c.SignMessage, c.LegacySignature = !tt.withoutSetting, tt.legacy })
			identity := l.identity(store.Grant{Purpose: delivery.ForEnrolment, User: l.user})
			p := l.phoneOf(udid(1), certs.Signer{}) // the signature alone says who it is
			body := encode(p.authenticate())
			sig, err := tt.sign(body, identity, l.now())
			if err != nil {
				t.Fatal(err)
			}
			if tt.flip {
				body = bytes.Replace(body, []byte("18.1"), []byte("18.2"), 1)
			}
			a, err := p.do(http.MethodPut, checkInPath, http.Header{
				"Content-Type": {apple.CheckInType}, "Mdm-Signature": {base64.StdEncoding.EncodeToString(sig)},
			}, body)
			if err != nil || a.status != tt.want {
				t.Errorf("answered %d (%v), want %d\n%s", a.status, err, tt.want, l.log)
			}
		})
	}
}

func legacy(body []byte, s certs.Signer, _ time.Time) ([]byte, error) {
	return certs.SignLegacy(body, s)
}

func TestAPL022ForeignSignature(t *testing.T) {
	l := newLab(t, func(c *Config) { c.SignMessage = true })
	p := l.phone(udid(1)).enrol()
	other, err := certs.NewIssuer("test CA", l.now())
	if err != nil {
		t.Fatal(err)
	}
	key := newKey()
	leaf, err := other.Issue(certs.IssueRequest{Public: key.Public(), Handle: "x", Now: l.now()})
	if err != nil {
		t.Fatal(err)
	}
	second := l.identity(store.Grant{Purpose: delivery.ForEnrolment, User: l.user})
	body := encode(p.idle())
	for _, tt := range []struct {
		name   string
		signer certs.Signer
		at     time.Duration
		want   int
	}{
		{"its own", p.who, 0, 200},
		{"signing time 5 min before notBefore", p.who, p.who.Certificate.NotBefore.Sub(l.now()) - 5*time.Minute, 200},
		{"a foreign CA's", certs.Signer{Certificate: leaf, Key: key}, 0, 400},
		{"another identity than the connection's", second, 0, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sig, err := certs.SignDetached(body, tt.signer, l.now().Add(tt.at))
			if err != nil {
				t.Fatal(err)
			}
			a, err := p.do(http.MethodPut, commandPath, http.Header{"Mdm-Signature": {base64.StdEncoding.EncodeToString(sig)}}, body)
			if err != nil || a.status != tt.want {
				t.Errorf("answered %d (%v), want %d\n%s", a.status, err, tt.want, l.log)
			}
		})
	}
	// One that has a device of its own, and speaks as that one: each alone would be let in (HST-033, HST-035).
	neighbour := l.phone(udid(2)).enrol()
	body = encode(neighbour.idle())
	sig, err := certs.SignDetached(body, neighbour.who, l.now())
	if err != nil {
		t.Fatal(err)
	}
	signed := http.Header{"Mdm-Signature": {base64.StdEncoding.EncodeToString(sig)}}
	if a, err := neighbour.do(http.MethodPut, commandPath, signed, body); err != nil || a.status != 200 {
		t.Errorf("a device with its own signature on its own connection got %d (%v), want 200", a.status, err)
	}
	if a, err := p.do(http.MethodPut, commandPath, signed, body); err != nil || a.status != 400 || !l.logged("HST-035", "another identity than the connection's") {
		t.Errorf("another device's message and signature on this connection got %d (%v), want 400 and why in the log\n%s", a.status, err, l.log)
	}
	if a, err := p.do(http.MethodPut, commandPath, http.Header{"Mdm-Signature": {"%%%"}}, body); err != nil || a.status != 400 {
		t.Errorf("a signature that is no base64 answered %d (%v), want 400", a.status, err)
	}
}

func TestHST033OtherDevice(t *testing.T) {
	l := newLab(t)
	a, b := l.phone(udid(1)).enrol(), l.phone(udid(2)).enrol()
	command := l.order(b.id, protocol.DeviceInformation)
	before := l.record(b.id)
	evil := &phone{lab: l, id: b.id, who: a.who, http: a.http} // A's identity, B's name
	for _, tt := range []struct {
		name string
		m    apple.Message
	}{
		{"Authenticate", evil.authenticate()},
		{"TokenUpdate", evil.tokenUpdate()},
		{"CheckOut", apple.Message{MessageType: apple.CheckOut, UDID: b.id, Topic: testTopic}},
		{"SetBootstrapToken", apple.Message{MessageType: apple.SetBootstrapToken, UDID: b.id, BootstrapToken: []byte("stolen")}},
		{"GetBootstrapToken", apple.Message{MessageType: apple.GetBootstrapToken, UDID: b.id}},
		{"Idle", evil.idle()},
		{"a result", apple.Message{Status: protocol.Acknowledged, CommandUUID: command.String(), UDID: b.id}},
	} {
		t.Run("APL-023 "+tt.name, func(t *testing.T) {
			if got := evil.send(tt.m); got.status != http.StatusBadRequest {
				t.Errorf("answered %d %q, want 400", got.status, got.body)
			}
			after := l.record(b.id)
			if after.State.Life != before.State.Life || len(after.State.Queue) != len(before.State.Queue) ||
				!bytes.Equal(after.State.Push.Token, before.State.Push.Token) || after.State.Identity != before.State.Identity || after.State.Rare.Read().Escrow != nil {
				t.Errorf("the other device changed: %+v", after.State)
			}
		})
	}
	if !l.logged("HST-033") {
		t.Error("no security event in the log")
	}
	lines, err := l.store.Journal(context.Background(), store.LineFilter{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, line := range lines {
		found = found || line.What == delivery.WhatWrongIdentity && line.Device == before.State.Device
	}
	if !found {
		t.Error("no line in the journal of the device that was meant")
	}
	if got := b.send(b.idle()); got.status != 200 || !bytes.Contains(got.body, []byte(command.String())) {
		t.Errorf("the device itself then got %d %q, want its command", got.status, got.body)
	}
}

func TestAPL030Dispatch(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1))
	for _, path := range []string{checkInPath, commandPath} {
		for _, tt := range []struct {
			kind string
			m    apple.Message
		}{
			{apple.CheckInType, p.authenticate()},
			{apple.CheckInType + "; charset=UTF-8", p.tokenUpdate()},
			{apple.CommandType, p.idle()},
			{apple.CommandType + "; charset=UTF-8", p.idle()},
			{"", p.idle()},
		} {
			if a := p.put(path, tt.kind, encode(tt.m)); a.status != 200 {
				t.Errorf("%s as %q at %s answered %d, want 200", tt.m.MessageType, tt.kind, path, a.status)
			}
		}
		if a := p.put(path, apple.CheckInType, encode(p.idle())); a.status != 400 {
			t.Errorf("Idle as a check-in message at %s answered %d, want 400", path, a.status)
		}
	}
	for _, method := range []string{"GET", "POST", "DELETE", "HEAD"} {
		if a, err := p.do(method, commandPath, nil, nil); err != nil || a.status != http.StatusMethodNotAllowed {
			t.Errorf("%s answered %d (%v), want 405", method, a.status, err)
		}
	}
}

func TestAPL031AuthenticateAlone(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1))
	p.send(p.authenticate())
	if s := l.record(p.id).State; s.Life != delivery.Enrolling || s.Wake.Due != 0 || len(s.Queue) != 0 {
		t.Errorf("after Authenticate: life %v, wake %v, %d commands; want it enrolling and left alone", s.Life, s.Wake.Due, len(s.Queue))
	}
	p.send(p.tokenUpdate())
	if s := l.record(p.id).State; s.Life != delivery.Enrolled || s.Wake.Due == 0 {
		t.Errorf("after TokenUpdate: life %v, wake %v; want it enrolled and woken", s.Life, s.Wake.Due)
	}
}

func TestAPL033OldAndNewDevices(t *testing.T) {
	l := newLab(t)
	old := l.phone(udid(1))
	for _, tt := range []struct {
		name, body string
		platform   protocol.Platform
		p          *phone
	}{
		{"iOS 9", `<key>BuildVersion</key><string>13A340</string><key>MessageType</key><string>Authenticate</string><key>OSVersion</key><string>9.0</string>
<key>ProductName</key><string>iPad4,4</string><key>SerialNumber</key><string>X</string><key>Topic</key><string>` + testTopic + `</string><key>UDID</key><string>` + udid(1) + `</string>`, protocol.IPadOS, old},
		{"macOS", `<key>Challenge</key><data>AAAA</data><key>DeviceName</key><string>Ada's</string><key>MessageType</key><string>Authenticate</string><key>Model</key><string>Mac14,2</string>
<key>ModelName</key><string>MacBook Air</string><key>Topic</key><string>` + testTopic + `</string><key>UDID</key><string>` + udid(2) + `</string><key>New</key><dict/>`, protocol.MacOS, l.phone(udid(2))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a := tt.p.put(checkInPath, apple.CheckInType, []byte(`<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict>`+tt.body+`</dict></plist>`)); a.status != 200 {
				t.Fatalf("answered %d %q\n%s", a.status, a.body, l.log)
			}
			if got := l.record(tt.p.id).State.Platform; got != tt.platform {
				t.Errorf("platform %v, want %v", got, tt.platform)
			}
		})
	}
}

func TestAPL036CheckOut(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	out := apple.Message{MessageType: apple.CheckOut, UDID: p.id, Topic: testTopic}
	for range 2 {
		if a := p.send(out); a.status != 200 {
			t.Errorf("CheckOut answered %d, want 200", a.status)
		}
	}
	if s := l.record(p.id).State; s.Life != delivery.Ended || s.Wake.Due != 0 {
		t.Errorf("life %v, wake %v; want it ended and never woken", s.Life, s.Wake.Due)
	}
}

// A device that obeyed the order to leave says its farewell with an identity that is revoked by then: it is answered, over the
// connection it has and through a proxy, changes nothing, and lets nothing else in (APL-036, HST-032).
func TestAPL036CheckOutOfARetired(t *testing.T) {
	for _, order := range []protocol.Command{{Kind: protocol.Retire}, {Kind: protocol.Retire, Text: delivery.AndDelete}} {
		t.Run("order"+order.Text, func(t *testing.T) {
			l := newLab(t)
			p, other := l.phone(udid(1)).enrol(), l.phone(udid(2)).enrol()
			record := l.record(p.id)
			l.retireBy(p, order)
			lines := l.linesOf(record.State.Device)
			out := apple.Message{MessageType: apple.CheckOut, UDID: p.id, Topic: testTopic}
			for range 2 {
				if a := p.send(out); a.status != 200 || len(a.body) != 0 {
					t.Errorf("CheckOut answered %d %q, want an empty 200", a.status, a.body)
				}
			}
			if after := l.linesOf(record.State.Device); !slices.Equal(after, lines) {
				t.Errorf("the journal says %q, before the farewell %q", after, lines)
			}
			ends := 0
			for _, what := range lines {
				if what == delivery.WhatEnded {
					ends++
				}
			}
			if ends != 1 {
				t.Errorf("it left %d times: %q", ends, lines)
			}
			out.UDID = other.id
			if a := p.send(out); a.status != 400 || l.record(other.id).State.Life != delivery.Enrolled {
				t.Errorf("the farewell of another device answered %d, which is %v", a.status, l.record(other.id).State.Life)
			}
			for _, m := range []apple.Message{p.idle(), p.tokenUpdate(), {MessageType: apple.GetBootstrapToken, UDID: p.id}} {
				if a := p.send(m); a.status != 400 || !l.logged("HST-032") {
					t.Errorf("%v with a revoked identity answered %d, want 400", m.MessageType, a.status)
				}
			}
		})
	}
}

// linesOf is what the journal says of a device, oldest first.
func (l *lab) linesOf(d protocol.Device) (what []delivery.What) {
	l.t.Helper()
	lines, err := l.store.Journal(context.Background(), store.LineFilter{}, 1000)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, line := range lines {
		if line.Device == d {
			what = append(what, line.What)
		}
	}
	return what
}

func TestAPL037BootstrapToken(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	get := func() []byte {
		t.Helper()
		a := p.send(apple.Message{MessageType: apple.GetBootstrapToken, UDID: p.id})
		token, err := apple.DecodeBootstrapToken(a.body)
		if a.status != 200 || err != nil {
			t.Fatalf("GetBootstrapToken answered %d %q (%v)", a.status, a.body, err)
		}
		return token
	}
	if got := get(); len(got) != 0 {
		t.Errorf("before there is one: %q", got)
	}
	p.send(apple.Message{MessageType: apple.SetBootstrapToken, UDID: p.id, BootstrapToken: []byte("secret")})
	if got := get(); string(got) != "secret" {
		t.Errorf("got %q, want what was set", got)
	}
	p.send(apple.Message{MessageType: apple.SetBootstrapToken, UDID: p.id})
	if got := get(); len(got) != 0 {
		t.Errorf("after an empty one: %q, want none", got)
	}
}

func TestAPL040Malformed(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	before := l.record(p.id).State
	whole := encode(p.tokenUpdate())
	for _, tt := range []struct {
		name string
		body []byte
	}{
		{"unknown MessageType", []byte(`<plist version="1.0"><dict><key>MessageType</key><string>Sing</string><key>UDID</key><string>` + p.id + `</string></dict></plist>`)},
		{"empty body", nil},
		{"truncated", whole[:len(whole)/2]},
		{"HST-005 binary plist", []byte("bplist00\xd1\x01\x02")},
		{"HST-006 UDID twice", bytes.Replace(whole, []byte("<key>Topic"), []byte("<key>UDID</key><string>x</string><key>Topic"), 1)},
		{"HTML", []byte("<html>\r\n\x1b[31m</html>")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a := p.put(checkInPath, apple.CheckInType, tt.body); a.status != http.StatusBadRequest {
				t.Errorf("answered %d, want 400", a.status)
			}
			if after := l.record(p.id).State; after.Life != before.Life || after.Push.Magic != before.Push.Magic || after.Seq != before.Seq {
				t.Errorf("state changed: %+v", after)
			}
		})
	}
	if !l.logged("Sing") {
		t.Error("the raw bytes are not in the log")
	}
	if a := p.put(commandPath, apple.CommandType, []byte(`<plist version="1.0"><dict><key>Status</key><string>Bored</string><key>UDID</key><string>`+p.id+`</string></dict></plist>`)); a.status != 400 {
		t.Errorf("an unknown Status answered %d, want 400", a.status)
	}
}

func TestAPL050NoWork(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	a := p.send(p.idle())
	if a.status != 200 || len(a.body) != 0 || a.length != 0 || a.header.Get("Content-Length") != "0" {
		t.Errorf("Idle answered %d, %q, Content-Length %q; want 200, nothing, 0", a.status, a.body, a.header.Get("Content-Length"))
	}
}

func TestAPL053CommandRound(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	first, second := l.order(p.id, protocol.DeviceInformation), l.order(p.id, protocol.SecurityInfo)
	got := func(m apple.Message) string {
		t.Helper()
		a := p.send(m)
		if a.status != 200 {
			t.Fatalf("answered %d %q\n%s", a.status, a.body, l.log)
		}
		if len(a.body) == 0 {
			return ""
		}
		if kind := a.header.Get("Content-Type"); kind != apple.AnswerType {
			t.Errorf("Content-Type %q, want %q", kind, apple.AnswerType)
		}
		id, _, err := apple.DecodeCommand(a.body)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	report := func(id string) apple.Message {
		return apple.Message{Status: protocol.Acknowledged, CommandUUID: id, UDID: p.id}
	}
	for i, tt := range []struct {
		m    apple.Message
		want string
	}{
		{p.idle(), first.String()},
		{p.idle(), first.String()},                                       // APL-051: unreported, so the same again
		{report("00000000-0000-4000-8000-000000000000"), first.String()}, // unknown: 200 and on
		{p.idle(), first.String()},
		{report("no UUID at all"), first.String()},
		{report(first.String()), second.String()},
		{report(first.String()), second.String()}, // APL-052
		{report(second.String()), ""},
	} {
		if id := got(tt.m); id != tt.want {
			t.Errorf("step %d: got command %q, want %q", i, id, tt.want)
		}
	}
}

func TestDeviceInformationIsKept(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	id := l.order(p.id, protocol.DeviceInformation)
	p.send(p.idle())
	report := apple.Message{UDID: p.id, Status: protocol.Acknowledged, CommandUUID: id.String()}
	body := apple.EncodeResult(nil, &report, &apple.Result{QueryResponses: map[string]any{"DeviceName": "Ada's phone", "OSVersion": "18.2", "IsSupervised": true}})
	if a := p.put(commandPath, apple.CommandType, body); a.status != 200 {
		t.Fatalf("answered %d", a.status)
	}
	if f := l.record(p.id).Facts; f.Name != "Ada's phone" || f.OSVersion != "18.2" || f.Product != "iPhone15,2" || f.Serial == "" {
		t.Errorf("facts %+v, want the new ones and the old", f)
	}
	broken := bytes.Replace(body, []byte("<key>QueryResponses</key><dict>"), []byte("<key>QueryResponses</key><string>x</string><key>X</key><dict>"), 1)
	if a := p.put(commandPath, apple.CommandType, broken); a.status != 200 {
		t.Errorf("responses that are no dictionary were answered %d, want 200: the device would repeat them for ever", a.status)
	}
	l.setClock(l.now().Add(330 * 24 * time.Hour))
	renewed := l.phoneOf(p.id, l.identity(store.Grant{Purpose: delivery.ForRenewal, User: l.user, Device: l.record(p.id).State.Device, ID: p.id}))
	hello := renewed.authenticate()
	hello.OSVersion = "18.3"
	if a := renewed.send(hello); a.status != 200 {
		t.Fatalf("a renewed identity's Authenticate answered %d\n%s", a.status, l.log)
	}
	if f := l.record(p.id).Facts; f.Name != "Ada's phone" || f.OSVersion != "18.3" || f.Product != "iPhone15,2" || f.Serial == "" {
		t.Errorf("facts %+v after a renewal, with which an iPhone tells no name; want the name, and what is new", f)
	}
}

func TestUserChannelAndUnknownServices(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	before := l.record(p.id).State
	user := p.tokenUpdate()
	user.UserID, user.UserShortName, user.PushMagic = "6A1F2C30-0000-4000-8000-000000000001", "ada", "other"
	if a := p.send(user); a.status != 200 {
		t.Errorf("a user's TokenUpdate answered %d, want 200", a.status)
	}
	if got := l.record(p.id).State.Push.Magic; got != before.Push.Magic {
		t.Errorf("a user's TokenUpdate changed the device's PushMagic to %q", got)
	}
	for _, m := range []apple.Message{
		{MessageType: apple.GetToken, UDID: p.id, TokenServiceType: "com.apple.maid"},
		{MessageType: apple.DeclarativeManagement, UDID: p.id, Endpoint: "tokens"},
	} {
		if a := p.send(m); a.status != http.StatusNotFound {
			t.Errorf("%s answered %d, want 404", m.MessageType, a.status)
		}
	}
}

func TestAPL038UserAuthenticate(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	m := apple.Message{MessageType: apple.UserAuthenticate, UDID: p.id, UserID: "6A1F2C30-0000-4000-8000-000000000001"}
	for range 2 {
		if a := p.send(m); a.status != http.StatusGone || len(a.body) != 0 {
			t.Errorf("UserAuthenticate answered %d %q, want 410 and nothing", a.status, a.body)
		}
	}
	if a := p.send(p.idle()); a.status != 200 {
		t.Errorf("then the device channel answered %d, want 200", a.status)
	}
}

// TestHST033UserChannel: a message of a user's channel, and one that is not offered, says whose it is like any other.
func TestHST033UserChannel(t *testing.T) {
	l := newLab(t)
	a, b := l.phone(udid(1)).enrol(), l.phone(udid(2)).enrol()
	unbound := l.phone(udid(3))
	user := "6A1F2C30-0000-4000-8000-000000000001"
	events := func() (n int) {
		lines, err := l.store.Journal(context.Background(), store.LineFilter{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if line.What == delivery.WhatWrongIdentity && line.Device == l.record(b.id).State.Device {
				n++
			}
		}
		return n
	}
	update := b.tokenUpdate()
	update.UserID, update.UserShortName = user, "ada"
	for _, m := range []apple.Message{
		update,
		{UDID: b.id, UserID: user},
		{Status: protocol.Acknowledged, UDID: b.id, UserID: user},
		{MessageType: apple.UserAuthenticate, UDID: b.id, UserID: user},
		{MessageType: apple.GetToken, UDID: b.id, TokenServiceType: "com.apple.maid"},
		{MessageType: apple.DeclarativeManagement, UDID: b.id, Endpoint: "tokens"},
	} {
		for range 2 { // every one counts
			before := events()
			if got := a.send(m); got.status != http.StatusBadRequest {
				t.Errorf("APL-023: %s of another device answered %d, want 400", m.MessageType, got.status)
			}
			if events() != before+1 {
				t.Errorf("%s of another device is no security event", m.MessageType)
			}
			lines := strings.Count(l.log.String(), errUnbound.reason)
			if got := unbound.send(m); got.status != http.StatusBadRequest {
				t.Errorf("%s with an unbound certificate answered %d, want 400", m.MessageType, got.status)
			}
			if strings.Count(l.log.String(), errUnbound.reason) != lines+1 {
				t.Errorf("%s with an unbound certificate is no security event", m.MessageType)
			}
		}
	}
	update.UDID, update.PushMagic = a.id, "a user's"
	if got := a.send(update); got.status != 200 || l.record(a.id).State.Push.Magic == update.PushMagic {
		t.Errorf("its own user's message answered %d, magic %q", got.status, l.record(a.id).State.Push.Magic)
	}
}

// TestAPL040NoSecretInLog: however a message is malformed, what is secret in it stays out of the log.
func TestAPL040NoSecretInLog(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	for _, body := range []string{
		`<plist version="1.0"><dict><key>MessageType</key><string>Sing</string><key>PushMagic</key><string>s3cret</string></dict></plist>`,
		`<plist version="1.0"><dict><key>PushMagic</key><!-- here --><string>s3cret</string>`,
		`<plist version="1.0"><dict><key>PushMagic</key><string><![CDATA[s3cret]]></string>`,
		`<plist version="1.0"><dict><!-- s3cret --><key>Push&#77;agic</key><string x="s3cret">s3cret`,
		`<plist version="1.0"><dict><key>Token</key><data>s3cret`, `<dict><key>Challenge</key><string>a<b/>s3cret</string>`, `s3cret`,
	} {
		p.put(checkInPath, apple.CheckInType, []byte(body))
		wide := []byte{0xff, 0xfe}
		for _, r := range body {
			wide = append(wide, byte(r), 0)
		}
		p.put(checkInPath, apple.CheckInType, wide)
	}
	log := strings.ReplaceAll(strings.ReplaceAll(l.log.String(), `\u0000`, ""), "\x00", "")
	if strings.Contains(log, "s3cret") || strings.Contains(log, base64.StdEncoding.EncodeToString([]byte("s3cret"))[:6]) {
		t.Errorf("a secret is in the log:\n%s", log)
	}
	if !l.logged("Sing", "raw_sha256", "PushMagic") {
		t.Error("the log does not say what came")
	}
}

func TestHST050Identifiers(t *testing.T) {
	l := newLab(t)
	for _, id := range []string{"", strings.Repeat("A", 10<<10), "../../x", "%00", "a\x00b", "'; drop table devices; --", "a:b", "a b", ".", "Ü"} {
		p := l.phone(udid(1))
		m := p.authenticate()
		m.UDID = id
		if a := p.put(checkInPath, apple.CheckInType, encode(m)); a.status != http.StatusBadRequest {
			t.Errorf("UDID %.20q answered %d, want 400", id, a.status)
		}
	}
	records, err := l.store.Records(context.Background(), 0, 10)
	if err != nil || len(records) != 0 {
		t.Errorf("%d records (%v), want none", len(records), err)
	}
	p := l.phone(udid(7))
	m := p.tokenUpdate() // of a device that never said hello
	if a := p.send(m); a.status != http.StatusBadRequest {
		t.Errorf("TokenUpdate with an unbound certificate answered %d, want 400", a.status)
	}
}

func TestAPL094NoAnswerUnenrols(t *testing.T) {
	// Every answer of every test passes phone.do, which holds it against APL-094; this one provokes the rest.
	t.Run("a failing store", func(t *testing.T) {
		broken := &brokenStore{Store: store.NewMemory()}
		l := newLabOn(t, broken)
		p := l.phone(udid(1)).enrol()
		broken.fail.Store(true)
		for _, m := range []apple.Message{p.authenticate(), p.tokenUpdate(), p.idle()} {
			if a := p.send(m); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
				t.Errorf("%s answered %d, Retry-After %q; want 503 and a time", m.MessageType, a.status, a.header.Get("Retry-After"))
			}
		}
		broken.fail.Store(false)
		if a := p.send(p.idle()); a.status != 200 {
			t.Errorf("after the failure Idle answered %d, want 200", a.status)
		}
	})
	t.Run("no certificate of the push service", func(t *testing.T) {
		l := newLab(t)
		l.setClock(l.now().AddDate(0, 11, 30))
		q := l.phone(udid(2))
		l.setClock(l.now().AddDate(0, 0, 10)) // the push certificate has ended; the identity is young
		if a := q.send(q.authenticate()); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("Authenticate answered %d %q, Retry-After %q; want 503 and a time", a.status, a.body, a.header.Get("Retry-After"))
		}
	})
}

// No line of this package can write what makes a device unenrol, whatever calls it, but the one that an administrator's order goes
// through (TestHST027AnEndIsProved).
func TestHST027NoSuchAnswerIsWritten(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "apple.go" { // APL-038: of a user, not of the device
			source = bytes.Replace(source, []byte("case errors.Is(err, errUser):\n\t\tstatus, level = http.StatusGone"), nil, 1)
		}
		if name == "order.go" {
			source = bytes.Replace(source, []byte("Code: apple.UnrecognizedDevice"), nil, 1)
		}
		for _, word := range []string{"StatusUnauthorized", "StatusGone", "UnrecognizedDevice", "WriteHeader(4", "http.Redirect"} {
			if bytes.Contains(source, []byte(word)) {
				t.Errorf("%s has %s", name, word)
			}
		}
	}
}

// TestHST099HandlerPanic: one request fails; connections that were there and new ones live on, and the log says why.
func TestHST099HandlerPanic(t *testing.T) {
	l := newLab(t)
	l.h.mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("a defect") })
	p := l.phone(udid(1)).enrol() // its connection stays open
	for range 3 {
		if a, err := l.phone(udid(2)).do(http.MethodPut, "/panic", nil, nil); err == nil {
			t.Errorf("a panic answered %d, want a cut connection: the device comes again", a.status)
		}
		for _, who := range []*phone{p, l.phone(udid(3)).enrol()} {
			if a := who.send(who.idle()); a.status != 200 {
				t.Errorf("after a panic Idle of %s answered %d, want 200", who.id, a.status)
			}
		}
	}
	if !l.logged("a defect", `"level":"error"`) && !l.logged("a defect", `"level":"warning"`) {
		t.Errorf("the log does not say what failed:\n%s", l.log)
	}
}

// TestHST058DevicesClock: a device whose clock is wrong by years is one like any other; what it says of time orders nothing.
func TestHST058DevicesClock(t *testing.T) {
	l := newLab(t)
	p := l.phone(udid(1)).enrol()
	for _, off := range []time.Duration{-30 * 365 * 24 * time.Hour, 30 * 365 * 24 * time.Hour} {
		l.setClock(l.now().Add(time.Minute))
		id := l.order(p.id, protocol.DeviceInformation)
		p.send(p.idle())
		report := apple.Message{UDID: p.id, Status: protocol.Acknowledged, CommandUUID: id.String()}
		body := apple.EncodeResult(nil, &report, &apple.Result{QueryResponses: map[string]any{"DeviceName": "Ada's", "LastCloudBackupDate": l.now().Add(off)}})
		a, err := p.do(http.MethodPut, commandPath, http.Header{"Date": {l.now().Add(off).Format(http.TimeFormat)}}, body)
		if err != nil || a.status != 200 {
			t.Errorf("a clock off by %v: answered %d (%v), want 200\n%s", off, a.status, err, l.log)
		}
		if s := l.record(p.id).State; s.LastSeen != l.pnow() || len(s.Queue) != 0 || s.Wake.Due > l.pnow().Add(24*time.Hour) {
			t.Errorf("a clock off by %v: last seen %s, wake-up %+v at %s", off, s.LastSeen, s.Wake, l.pnow())
		}
	}
}

// A brokenStore fails to begin anything while fail is set.
type brokenStore struct {
	store.Store
	fail atomic.Bool
}

func (b *brokenStore) Begin(ctx context.Context, d protocol.Device) (store.Tx, error) {
	if b.fail.Load() {
		return nil, store.ErrFull
	}
	return b.Store.Begin(ctx, d)
}

func (b *brokenStore) Create(ctx context.Context, id string) (store.Tx, error) {
	if b.fail.Load() {
		return nil, store.ErrFull
	}
	return b.Store.Create(ctx, id)
}
