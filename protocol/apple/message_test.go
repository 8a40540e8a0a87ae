package apple

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/protocol"
)

func TestAPL025IDs(t *testing.T) {
	seen := map[string]string{}
	for _, tt := range []struct {
		kind string
		m    Message
		want string
	}{
		{"device", Message{UDID: phone}, phone},
		{"old device", Message{UDID: strings.Repeat("0f", 20)}, strings.Repeat("0f", 20)},
		{"Mac", Message{UDID: mac}, mac},
		{"user of a Mac", Message{UDID: mac, UserID: user, UserShortName: "zoe"}, mac + ":" + user},
		{"other user of it", Message{UDID: mac, UserID: byod, UserShortName: "zoe"}, mac + ":" + byod},
		{"Shared iPad", Message{UDID: tablet}, tablet},
		{"user of a Shared iPad", Message{UDID: tablet, UserID: SharedUserID, UserShortName: "zoe@school.example"}, tablet + ":zoe@school.example"},
		{"other user of it", Message{UDID: tablet, UserID: SharedUserID, UserShortName: "jan@school.example"}, tablet + ":jan@school.example"},
		{"a short name with a colon", Message{UDID: tablet, UserID: SharedUserID, UserShortName: "a:b"}, tablet + ":a:b"},
		{"user enrolment", Message{EnrollmentID: byod}, byod},
		{"user of a user enrolment", Message{EnrollmentID: byod, EnrollmentUserID: user}, byod + ":" + user},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			var m Message
			if err := DecodeMessage(EncodeMessage(nil, &tt.m), &m); err != nil {
				t.Fatal(err)
			}
			if got := m.ID(); got != tt.want {
				t.Errorf("ID() = %q, want %q", got, tt.want)
			}
			if got, want := m.UserChannel(), strings.Contains(tt.want, ":"); got != want {
				t.Errorf("UserChannel() = %v, want %v", got, want)
			}
			if got, _, _ := strings.Cut(tt.want, ":"); m.DeviceID() != got {
				t.Errorf("DeviceID() = %q, want %q", m.DeviceID(), got)
			}
			if other, twice := seen[m.ID()]; twice {
				t.Errorf("%s and %s share the ID %q", other, tt.kind, m.ID())
			}
			seen[m.ID()] = tt.kind
		})
	}
}

func TestAPL033Authenticate(t *testing.T) {
	text := func(pairs ...string) string {
		var b strings.Builder
		for i := 0; i < len(pairs); i += 2 {
			b.WriteString("\n\t<key>" + pairs[i] + "</key>\n\t<string>" + pairs[i+1] + "</string>")
		}
		return b.String()
	}
	minimal := text("MessageType", "Authenticate", "BuildVersion", "13A344", "OSVersion", "9.0", "ProductName", "iPhone5,1", "SerialNumber", "ROLLCALL0001",
		"Topic", topic, "UDID", strings.Repeat("0f", 20))
	big := text("MessageType", "Authenticate", "DeviceName", "A Mac", "Model", "Mac14,2", "ModelName", "MacBook Air", "Topic", topic, "UDID", mac) +
		"\n\t<key>Challenge</key>\n\t<data>\n\tAQIDBA==\n\t</data>\n\t<key>New</key><dict><key>a</key><array><integer>1</integer></array></dict>"
	for name, body := range map[string]string{"iOS 9": minimal, "macOS with unknown keys": big} {
		if m := taken(t, head+"\n<dict>"+body+"\n</dict>\n</plist>\n"); m.MessageType != Authenticate || m.Topic != topic {
			t.Errorf("%s: decoded as %+v", name, m)
		}
	}
}

// TestAPL040Refused: the server answers 400 to what has such an error.
func TestAPL040Refused(t *testing.T) {
	key := func(name, value string) string { return "<key>" + name + "</key><string>" + value + "</string>" }
	checkIn := func(kind, more string) string { return doc("<dict>" + key("MessageType", kind) + more + "</dict>") }
	id := key("UDID", phone)
	for _, tt := range []struct{ name, body, want string }{
		{"unknown MessageType", checkIn("ReturnToService", id), `unknown MessageType "ReturnToService"`},
		{"its case", checkIn("authenticate", id+key("Topic", topic)), `unknown MessageType "authenticate"`},
		{"empty MessageType", checkIn("", id), `unknown MessageType ""`},
		{"empty body", "", "want an element"},
		{"truncated", checkIn("CheckOut", id)[:250], "want"},
		{"unknown Status", doc("<dict>" + key("Status", "Done") + id + "</dict>"), `unknown Status "Done"`},
		{"neither MessageType nor Status", doc("<dict>" + id + "</dict>"), "want either MessageType or Status"},
		{"both", checkIn("CheckOut", id+key("Topic", topic)+key("Status", "Idle")), "want either MessageType or Status"},
		{"no dictionary", doc("<array/>"), "want a dict, not array"},
		{"wrong type", checkIn("CheckOut", key("Topic", topic)+"<key>UDID</key><integer>1</integer>"), `near key "UDID": want a string, not integer`},
		{"data as text", checkIn("TokenUpdate", id+key("Topic", topic)+key("Token", "AA==")), `near key "Token": want data, not string`},
		{"flag as text", checkIn("TokenUpdate", id+key("AwaitingConfiguration", "true")), "want true or false, not string"},
		{"chain of texts", doc("<dict>" + key("Status", "Error") + id + "<key>ErrorChain</key><array><string/></array></dict>"), "want a dict, not string"},
		{"chain is a text", doc("<dict>" + key("Status", "Error") + id + key("ErrorChain", "x") + "</dict>"), "want an array, not string"},
		{"code is a text", doc("<dict>" + key("Status", "Error") + id + "<key>ErrorChain</key><array><dict>" + key("ErrorCode", "1") + "</dict></array></dict>"), "want an integer, not string"},
		{"parameters are a text", checkIn("GetToken", id+key("TokenParameters", "x")), "want a dict, not string"},
		{"no Topic", checkIn("Authenticate", id), "Authenticate: no Topic"},
		{"no Topic in CheckOut", checkIn("CheckOut", id), "CheckOut: no Topic"},
		{"no Token", checkIn("TokenUpdate", id+key("Topic", topic)+key("PushMagic", "m")), "TokenUpdate: no Token"},
		{"empty Token", checkIn("TokenUpdate", id+key("Topic", topic)+key("PushMagic", "m")+"<key>Token</key><data/>"), "TokenUpdate: no Token"},
		{"no PushMagic", checkIn("TokenUpdate", id+key("Topic", topic)+"<key>Token</key><data>AA==</data>"), "TokenUpdate: no PushMagic"},
		{"no Endpoint", checkIn("DeclarativeManagement", id), "DeclarativeManagement: no Endpoint"},
		{"no UserID", checkIn("UserAuthenticate", id), "UserAuthenticate: no UserID"},
		{"no TokenServiceType", checkIn("GetToken", id), "GetToken: no TokenServiceType"},
		{"no device", checkIn("Authenticate", key("Topic", topic)), "Authenticate: no UDID or EnrollmentID"},
		{"no device in a report", doc("<dict>" + key("Status", "Idle") + "</dict>"), "report: no UDID or EnrollmentID"},
		{"two devices", checkIn("CheckOut", id+key("Topic", topic)+key("EnrollmentID", byod)), "UDID and EnrollmentID in one message"},
		{"short name alone", doc("<dict>" + key("Status", "Idle") + id + key("UserShortName", "zoe") + "</dict>"), "UserShortName without UserID"},
		{"shared without a name", doc("<dict>" + key("Status", "Idle") + id + key("UserID", SharedUserID) + "</dict>"), "without UserShortName"},
		{"Authenticate of a user", checkIn("Authenticate", id+key("Topic", topic)+key("UserID", user)), "device channel"},
		{"CheckOut of a user", checkIn("CheckOut", id+key("Topic", topic)+key("UserID", user)), "device channel"},
		{"APL-039", checkIn("GetToken", id+key("TokenServiceType", watchPairing)), "no TokenParameters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := *messages["error"] // something that must not stay
			m.ErrorChain = slices.Clone(m.ErrorChain)
			err := DecodeMessage([]byte(tt.body), &m)
			if !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("DecodeMessage = %v, want %q and %q in it", err, protocol.ErrMalformed, tt.want)
			}
			if !cmp.Equal(m, Message{}) {
				t.Errorf("after an error the message is %+v, want it empty", m)
			}
		})
	}
	// A secret never stands in an error, though its key does.
	err := DecodeMessage([]byte(checkIn("TokenUpdate", id+key("UnlockToken", "s3cret"))), new(Message))
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "UnlockToken") {
		t.Errorf("error %v, want one that names the key and not its value", err)
	}
}

func TestMessageIsUsedAgain(t *testing.T) { // nothing of one device's message may show in the next one's
	var m Message
	for name, first := range messages {
		for next, second := range messages {
			for _, msg := range []*Message{first, second} {
				if err := DecodeMessage(EncodeMessage(nil, msg), &m); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(second, &m, equal); diff != "" {
				t.Fatalf("%s after %s (-want +got):\n%s", next, name, diff)
			}
		}
	}
}

func TestMessageDropsLargeBuffers(t *testing.T) {
	var m Message
	large := &Message{MessageType: DeclarativeManagement, UDID: mac, Endpoint: "status", Data: make([]byte, MaxCheckIn)}
	for _, msg := range []*Message{large, messages["idle"]} {
		if err := DecodeMessage(EncodeMessage(nil, msg), &m); err != nil {
			t.Fatal(err)
		}
	}
	if cap(m.Data) > maxKept {
		t.Errorf("an idle message keeps %d bytes of the one before", cap(m.Data))
	}
}

func TestAPL055ErrorChain(t *testing.T) {
	var m Message
	if err := DecodeMessage(EncodeMessage(nil, messages["error"]), &m); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(messages["error"].ErrorChain, m.ErrorChain); diff != "" {
		t.Errorf("ErrorChain (-want +got):\n%s", diff)
	}
}

func TestCheckIn(t *testing.T) {
	id, err := protocol.ParseCommandID(order)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]protocol.CheckIn{
		"authenticate-ios":     {Verb: protocol.Enrol},
		"tokenupdate-ios":      {Verb: protocol.Ready},
		"tokenupdate-awaiting": {Verb: protocol.Ready, Awaiting: true},
		"idle":                 {Verb: protocol.Ask},
		"acknowledged":         {Verb: protocol.Report, Status: protocol.Acknowledged, Command: id},
		"notnow":               {Verb: protocol.Report, Status: protocol.NotNow, Command: id},
		"error":                {Verb: protocol.Report, Status: protocol.Failed, Command: id},
		"formaterror":          {Verb: protocol.Report, Status: protocol.CommandFormatError, Command: id},
		"checkout-ios":         {Verb: protocol.Leave},
		"clearbootstrap-mac":   {Verb: protocol.PutEscrow},
		"getbootstrap-mac":     {Verb: protocol.GetEscrow},
		"gettoken-mac":         {},
		"declarative-ios":      {},
	} {
		want.Device, want.Epoch, want.Round = 7, 8, 9 // the caller's
		got := protocol.CheckIn{Device: 7, Epoch: 8, Round: 9, Verb: protocol.Leave, Awaiting: true, Command: protocol.CommandID{1}}
		if messages[name].CheckIn(&got); got != want {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
	foreign := Message{UDID: phone, Status: protocol.Acknowledged, CommandUUID: "another server's"}
	var got protocol.CheckIn
	if foreign.CheckIn(&got); got.Verb != protocol.Report || got.Command != (protocol.CommandID{}) {
		t.Errorf("a report of a foreign command is %+v, want a report of none", got)
	}
}

func TestAPL050NoWork(t *testing.T) {
	for _, r := range []protocol.Reply{{}, {Kind: protocol.Work}} {
		if got := EncodeReply([]byte("before"), &r); string(got) != "before" {
			t.Errorf("EncodeReply(%+v) appended %q, want nothing", r, got[len("before"):])
		}
	}
}

func TestAPL037Escrow(t *testing.T) {
	for _, secret := range [][]byte{[]byte("escrowed"), nil} {
		got, err := DecodeBootstrapToken(EncodeReply(nil, &protocol.Reply{Kind: protocol.Escrow, Escrow: secret}))
		if err != nil || string(got) != string(secret) {
			t.Errorf("bootstrap token %q came back as %q, %v", secret, got, err)
		}
	}
	if got, err := DecodeBootstrapToken(nil); got != nil || err != nil { // what another server answers
		t.Errorf("DecodeBootstrapToken of an empty body = %q, %v; want none", got, err)
	}
}

func TestCommandErrors(t *testing.T) {
	command := func(content string) string {
		return doc("<dict><key>CommandUUID</key><string>u</string>" + content + "</dict>")
	}
	for _, tt := range []struct{ name, body, uuid, want string }{
		{"no uuid", doc("<dict><key>Command</key><dict><key>RequestType</key><string>ProfileList</string></dict></dict>"), "", "no CommandUUID"},
		{"no command", command(""), "u", "no RequestType"},
		{"no type", command("<key>Command</key><dict/>"), "u", "no RequestType"},
		{"no payload", string(EncodeCommand(nil, "u", InstallProfile{})), "u", "InstallProfile: no Payload"},
		{"no identifier", string(EncodeCommand(nil, "u", RemoveProfile{})), "u", "RemoveProfile: no Identifier"},
		{"no queries", command("<key>Command</key><dict><key>RequestType</key><string>DeviceInformation</string></dict>"), "u", "DeviceInformation: no Queries"},
		{"no unlock token", string(EncodeCommand(nil, "u", ClearPasscode{})), "u", "ClearPasscode: no UnlockToken"},
		{"wrong type", command("<key>Command</key><dict><key>RequestType</key><string>DeviceLock</string><key>PIN</key><integer>1</integer></dict>"), "u", "cannot unmarshal"},
	} {
		uuid, c, err := DecodeCommand([]byte(tt.body))
		if c != nil || uuid != tt.uuid || !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: DecodeCommand = %q, %v, %v; want uuid %q and %q in the error", tt.name, uuid, c, err, tt.uuid, tt.want)
		}
	}
}

func TestAPL100PushMagic(t *testing.T) {
	for _, magic := range []string{"4C1E9A2F", `with "quotes" and \`, "<&>\u2028Zoë", "line\nbreak"} {
		body := EncodePush(nil, magic)
		if got, err := DecodePush(body); err != nil || got != magic {
			t.Errorf("PushMagic %q travels as %s and comes back as %q, %v", magic, body, got, err)
		}
	}
	if got, want := string(EncodePush([]byte("x"), "4C1E")), `x{"mdm":"4C1E"}`; got != want {
		t.Errorf("EncodePush = %s, want %s", got, want)
	}
	for _, body := range []string{"", "{}", "[]", `"mdm"`, "null", `{"mdm":1}`, `{"mdm":""}`, `{"mdm":null}`, `{"aps":{}}`, `{"mdm":"x"`, `{"mdm" "x"}`} {
		if got, err := DecodePush([]byte(body)); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("DecodePush(%s) = %q, %v; want %q", body, got, err, protocol.ErrMalformed)
		}
	}
}

func TestForbidden(t *testing.T) {
	full := forbidden["unrecognized"]
	for _, tt := range []struct {
		name, kind, body string
		ok               bool
	}{
		{"JSON", "application/json", string(full.JSON()), true},
		{"JSON with more keys", "application/json;charset=UTF8", `{"code":"com.apple.unrecognized.device","description":"removed by administrator","new":[1,{"a":null}]}`, true},
		{"plist", "application/xml", string(full.Plist()), true},
		{"JSON called HTML", "text/html", string(full.JSON()), false},
		{"no type", "", string(full.JSON()), false},
		{"plist called JSON", "application/json", string(full.Plist()), false},
		{"page of a proxy", "text/html", "<html>Forbidden</html>", false},
		{"no code", "application/json", `{"description":"x"}`, false},
		{"code is a number", "application/json", `{"code":1}`, false},
		{"details are a text", "application/json", `{"code":"x","details":"y"}`, false},
		{"OSVersion is a number", "application/json", `{"code":"x","details":{"OSVersion":17}}`, false},
	} {
		got, err := DecodeForbidden(tt.kind, []byte(tt.body))
		if tt.ok != (err == nil) || tt.ok && !cmp.Equal(got, full) || err != nil && !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: DecodeForbidden = %+v, %v; want it taken: %v", tt.name, got, err, tt.ok)
		}
	}
}

func TestMachineInfoRequired(t *testing.T) {
	for key, change := range map[string]func(*MachineInfo){
		"UDID": func(m *MachineInfo) { m.UDID = "" }, "SERIAL": func(m *MachineInfo) { m.Serial = "" },
		"PRODUCT": func(m *MachineInfo) { m.Product = "" }, "VERSION": func(m *MachineInfo) { m.BuildVersion = "" },
		"HST-050": func(m *MachineInfo) { m.UDID = "../x" },
	} {
		m := *machine
		change(&m)
		if _, err := DecodeMachineInfo(EncodeMachineInfo(&m)); !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), key) {
			t.Errorf("without %s: %v, want an error that names it", key, err)
		}
	}
	old := *machine
	old.OSVersion = ""
	if _, err := DecodeMachineInfo(EncodeMachineInfo(&old)); err != nil {
		t.Errorf("before iOS 17 there is no OS_VERSION: %v", err)
	}
}
