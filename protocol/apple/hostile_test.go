package apple

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"rollcall/protocol"
)

// doc is a property list of the given content.
func doc(content string) string { return head + content + "</plist>" }

// idle is a report by a device, with more content in its dictionary.
func idle(more string) string {
	return doc("<dict><key>Status</key><string>Idle</string><key>UDID</key><string>" + phone + "</string>" + more + "</dict>")
}

// decoders are all that read bytes from outside.
var decoders = map[string]func([]byte) error{
	"gate":                 func(b []byte) error { return gate(b, MaxMessage) },
	"DecodeMessage":        func(b []byte) error { return DecodeMessage(b, new(Message)) },
	"DecodeResult":         func(b []byte) error { _, err := DecodeResult(b); return err },
	"DecodeCommand":        func(b []byte) error { _, _, err := DecodeCommand(b); return err },
	"DecodeProfile":        func(b []byte) error { _, err := DecodeProfile(b); return err },
	"DecodeMachineInfo":    func(b []byte) error { _, err := DecodeMachineInfo(b); return err },
	"DecodeForbidden":      func(b []byte) error { _, err := DecodeForbidden("text/xml", b); return err },
	"DecodeForbidden/JSON": func(b []byte) error { _, err := DecodeForbidden("application/json", b); return err },
	"DecodePush":           func(b []byte) error { _, err := DecodePush(b); return err },
	"DecodeBootstrapToken": func(b []byte) error { _, err := DecodeBootstrapToken(b); return err },
}

// refused demands that every decoder refuses body, and says that it was the peer's fault.
func refused(t *testing.T, body []byte) {
	t.Helper()
	for name, decode := range decoders {
		if err := decode(body); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s(%.80q) = %v, want an error that wraps %q", name, body, err, protocol.ErrMalformed)
		}
	}
}

// taken demands that the strict pass, the gate and the library take body.
func taken(t *testing.T, body string) *Message {
	t.Helper()
	var m, n Message
	if err := DecodeMessage([]byte(body), &m); err != nil {
		t.Errorf("DecodeMessage(%.200q) = %v", body, err)
	}
	if err := gate([]byte(body), MaxMessage); err != nil {
		t.Errorf("gate(%.200q) = %v", body, err)
	}
	if err := twin([]byte(body), &n); err != nil {
		t.Errorf("twin(%.200q) = %v", body, err)
	}
	return &m
}

func TestHST001Sizes(t *testing.T) {
	long := bytes.Repeat([]byte{'x'}, MaxCheckIn)
	report := EncodeResult(nil, messages["acknowledged"], &Result{CertificateList: []CertificateItem{{CommonName: "x", Data: long}}})
	ddm := EncodeMessage(nil, &Message{MessageType: DeclarativeManagement, UDID: mac, Endpoint: "status", Data: long})
	behind := doc("<dict><key>Data</key><data>" + base64.StdEncoding.EncodeToString(long) + "</data><key>Endpoint</key><string>status</string><key>UDID</key><string>" +
		mac + "</string><key>MessageType</key><string>%s</string><key>Topic</key><string>t</string></dict>")
	exact := idle("<key>x</key><string>%s</string>")
	exact = fmt.Sprintf(exact, strings.Repeat("x", MaxMessage-len(exact)+2))
	for _, tt := range []struct {
		name string
		body []byte
		ok   bool
	}{
		{"check-in over 1 MiB", EncodeMessage(nil, &Message{MessageType: SetBootstrapToken, UDID: mac, BootstrapToken: long}), false},
		{"check-in over 1 MiB by a key that is not ours", []byte(fmt.Sprintf(behind, "CheckOut")), false},
		{"DeclarativeManagement over 1 MiB", ddm, true},
		{"its MessageType behind the long Data", []byte(fmt.Sprintf(behind, "DeclarativeManagement")), true},
		{"result over 1 MiB", report, true},
		{"result of 16 MiB", []byte(exact), true},
		{"result of 16 MiB and a byte", []byte(exact + "\n"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := DecodeMessage(tt.body, new(Message))
			if tt.ok != (err == nil) || err != nil && (!errors.Is(err, ErrTooLarge) || !errors.Is(err, protocol.ErrMalformed)) {
				t.Errorf("DecodeMessage of %d bytes = %v, want taken: %v, else %q", len(tt.body), err, tt.ok, ErrTooLarge)
			}
		})
	}
	if n := testing.AllocsPerRun(1, func() { _ = DecodeMessage(make([]byte, MaxMessage+1), new(Message)) }); n > 30 {
		t.Errorf("refusing a large body takes %v allocations: it was looked at", n)
	}
	if err := gate([]byte(idle("")), 10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("gate with a limit of 10 = %v, want %q", err, ErrTooLarge)
	}
	refused(t, []byte(doc("<array>"+strings.Repeat("<true/>", maxElements)+"</array>")))
}

func TestHST002Prefixes(t *testing.T) {
	for _, g := range goldens() {
		for n := range g.body {
			if got, err := g.decode(g.body[:n]); !errors.Is(err, protocol.ErrMalformed) {
				t.Errorf("%s: its first %d of %d bytes give %v, %v; want %q", g.name, n, len(g.body), got, err, protocol.ErrMalformed)
				break
			}
		}
	}
}

func TestHST003Entities(t *testing.T) {
	content := strings.TrimPrefix(idle(""), head)
	content = `<plist version="1.0">` + content
	bomb := `<!DOCTYPE plist [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>`
	for _, body := range []string{
		bomb + content,
		bomb + strings.Replace(content, phone, "&b;", 1),
		strings.Replace(idle(""), phone, "&b;", 1),
		`<!DOCTYPE plist [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + strings.Replace(content, phone, "&x;", 1),
		`<!DOCTYPE plist [<!ENTITY % p SYSTEM "http://127.0.0.1/p.dtd"> %p;]>` + content,
		`<!DOCTYPE plist SYSTEM "file:///etc/passwd">` + content,
		`<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://127.0.0.1/x.dtd" [<!ENTITY a "b">]>` + content,
		`<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN">` + content,
		`<!DOCTYPE html>` + content,
		`<!DOCTYPE plist><!DOCTYPE plist>` + content,
		`<!ENTITY a "b">` + content,
		`<?xml-stylesheet href="http://127.0.0.1/"?>` + content,
		strings.Replace(idle(""), phone, "<?x?>"+phone, 1),
		strings.Replace(idle(""), phone, "&nbsp;", 1),
		strings.Replace(idle(""), phone, "&#0;", 1),
		strings.Replace(idle(""), phone, "&#xD800;", 1),
		strings.Replace(idle(""), phone, "&#1114112;", 1),
		strings.Replace(idle(""), phone, "&#;", 1),
		strings.Replace(idle(""), phone, "&amp", 1),
	} {
		refused(t, []byte(body))
	}
	for _, body := range []string{
		content,
		`<!DOCTYPE plist>` + content,
		`<!DOCTYPE plist PUBLIC '-//Apple Computer//DTD PLIST 1.0//EN' "http://www.apple.com/DTDs/PropertyList-1.0.dtd" >` + content,
		idle("<key>a</key><string>&lt;&gt;&amp;&quot;&apos;&#65;&#x1F600;</string>"),
		idle("<!-- a --><key>a<!-- b --></key><string><![CDATA[</string>&x;]]>b</string>") + "<!-- c --> \n",
	} {
		taken(t, body)
	}
	m := taken(t, strings.Replace(idle(""), phone, "0000&#56;<![CDATA[101]]><!-- x -->-000A&#x31;B2C3D4E001E", 1))
	if m.UDID != phone {
		t.Errorf("UDID in references and CDATA = %q, want %q", m.UDID, phone)
	}
}

func TestHST004Nesting(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("<array>", n) + strings.Repeat("</array>", n) }
	mixed := func(n int) string {
		return strings.Repeat("<dict><key>a</key><array>", n) + strings.Repeat("</array></dict>", n)
	}
	taken(t, idle("<key>a</key>"+nested(maxDepth-1)))
	refused(t, []byte(idle("<key>a</key>"+nested(maxDepth))))
	refused(t, []byte(doc(nested(maxDepth+1))))
	refused(t, []byte(idle("<key>a</key>"+mixed(maxDepth/2))))
	refused(t, []byte(doc(strings.Repeat("<array>", 2_000_000))))
	refused(t, []byte(doc(strings.Repeat("<dict><key>a</key>", 800_000))))
	refused(t, []byte(strings.Repeat("[", 60_000)))
	refused(t, []byte(`{"mdm":`+strings.Repeat("[", maxDepth)+strings.Repeat("]", maxDepth)+"}"))
}

func TestHST005Binary(t *testing.T) {
	trailer := func(objects, top, table byte) string {
		return string([]byte{0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, objects, 0, 0, 0, 0, 0, 0, 0, top, 0, 0, 0, 0, 0, 0, 0, table})
	}
	for _, body := range []string{
		"bplist00" + "\xA1\x00" + "\x08" + trailer(1, 0, 10), // an array that holds itself
		"bplist00" + "\x4F\x13\x00\x00\x00\x02\x00\x00\x00\x00" + "\x08" + trailer(1, 0, 18),
		"bplist00" + "\x08" + "\x08" + trailer(1, 1, 9), // root outside
		"bplist00", "bplist15\x08", "bplist",
	} {
		refused(t, []byte(body))
	}
}

func TestHST006Duplicates(t *testing.T) {
	many := func(n int, last string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "<key>key %d</key><true/>", i)
		}
		return b.String() + "<key>" + last + "</key><true/>"
	}
	for _, body := range []string{
		idle("<key>UDID</key><string>" + mac + "</string>"),
		idle("<key>Status</key><string>NotNow</string>"),
		idle("<key>U&#68;ID</key><string>" + mac + "</string>"),
		idle("<key><![CDATA[UDID]]></key><string>" + mac + "</string>"),
		idle("<key>U<!-- -->DID</key><string>" + mac + "</string>"),
		idle("<key>a</key><true/><key>a</key><true/>"),
		idle("<key>a</key><dict><key>b</key><true/><key>b</key><true/></dict>"),
		idle("<key>a</key><array><dict><key/><true/><key></key><true/></dict></array>"),
		idle("<key>ErrorChain</key><array><dict><key>ErrorCode</key><integer>1</integer><key>ErrorCode</key><integer>2</integer></dict></array>"),
		idle("<key>&#97;1</key><true/><key>&#98;2</key><true/><key>a1</key><true/>"),
		idle(many(1000, "key 0")),
		idle(many(1000, "key 999")),
		idle("") + idle(""),
		idle("") + "<dict/>",
		idle("") + "x",
		idle("") + "\x00",
		"x" + idle(""),
		" " + idle(""),
		doc("<dict/><dict/>"),
		doc("<dict/>x"),
		doc("x<dict/>"),
		doc(""),
		head[:len(head)-1] + "/>",
		strings.TrimSuffix(idle(""), "</plist>"),
		strings.TrimSuffix(idle(""), "</dict></plist>") + "</plist></dict>",
		idle("<key>a</key>"),
		idle("<key>a</key><key>b</key><true/>"),
		idle("<true/>"),
		idle("x"),
		idle("<key>a</key><string>b<string>c</string></string>"),
		idle("<key>a</key><string>b</data>"),
		idle("<key>a</key><null/>"),
		idle("<key>a</key><STRING>b</STRING>"),
		idle("<key>a</key><x:string>b</x:string>"),
		idle("<key>a</key><string x='y'>b</string>"),
		idle("<key>a</key><true>x</true>"),
		idle("<key>a</key><true></false>"),
		idle("<key>a</key><array><true/>x</array>"),
		idle("<key>a</key><array><key>b</key></array>"),
		idle("<key>a</key><string>]]></string>"),
		idle("<!-- a -- b -->"),
		idle("<!-- a --->"),
		idle("<![CDATA[ ]]>"),
		idle("<key>a</key><plist><true/></plist>"),
		idle("<key>a</key>< true/>"),
		idle("<key>a</key><true / >"),
	} {
		refused(t, []byte(body))
	}
	for _, body := range []string{
		idle("") + "\r\n\t <!-- end -->\n",
		idle(many(1000, "key 1000")),
		idle("<key>a</key><dict><key>UDID</key><string>x</string></dict>"), // another dictionary's
		idle("<key\n>a</key ><true\t/>"),
		idle("<key>a</key><true> <!-- --> </true>"),
		idle("<key/><array/><key>b</key><dict/><key>c</key><data/><key>d</key><string/>"),
	} {
		taken(t, body)
	}
	for _, body := range []string{`{"mdm":"a","mdm":"b"}`, `{"mdm":"a"}{}`, `{"mdm":"a"} x`, `x{"mdm":"a"}`, `{"code":"a","details":{"a":1,"a":2}}`} {
		refused(t, []byte(body))
	}
}

func TestHST007OtherKeys(t *testing.T) {
	for _, key := range []string{"udid", "Udid", "UDІD", " UDID", "UDID\u200b", "UDID\u0000"[:4] + "\t"} {
		body := strings.Replace(idle(""), "<key>UDID</key>", "<key>"+key+"</key>", 1)
		if err := DecodeMessage([]byte(body), new(Message)); err == nil || !strings.Contains(err.Error(), "no UDID") {
			t.Errorf("key %q: %v, want an error that misses UDID", key, err)
		}
		body = idle("<key>" + key + "</key><string>" + mac + "</string>")
		if m := taken(t, body); m.UDID != phone {
			t.Errorf("key %q was read as UDID", key)
		}
	}
	for _, body := range []string{`{"MDM":"magic"}`, `{"mdm":"magic","aps":{}}`} {
		if _, err := DecodePush([]byte(body)); err == nil {
			t.Errorf("DecodePush(%s) succeeds", body)
		}
	}
	if _, err := DecodeForbidden("application/json", []byte(`{"Code":"com.apple.unrecognized.device"}`)); err == nil {
		t.Error("Code in JSON was read as code")
	}
}

func TestHST009Numbers(t *testing.T) {
	value := func(v string) string { return idle("<key>a</key>" + v) }
	for _, v := range []string{
		"<integer>18446744073709551616</integer>", "<integer>-9223372036854775809</integer>",
		"<integer>340282366920938463463374607431768211456</integer>", "<integer/>", "<integer></integer>", "<integer>-</integer>",
		"<integer>0x10</integer>", "<integer>1_0</integer>", "<integer>1.0</integer>", "<integer>1 0</integer>", "<integer>--1</integer>",
		"<integer>\u0661</integer>", "<integer>nan</integer>",
		"<real>nan</real>", "<real>NaN</real>", "<real>inf</real>", "<real>-infinity</real>", "<real>1e400</real>", "<real>-1e400</real>", "<real/>", "<real></real>",
		"<real>0x1p4</real>", "<real>1_0</real>", "<real>.</real>", "<real>1,5</real>", "<real>1e</real>",
		"<date>0000-01-01T00:00:00Z</date>", "<date>10000-01-01T00:00:00Z</date>", "<date>2026-02-30T00:00:00Z</date>", "<date>2025-02-29T00:00:00Z</date>",
		"<date>2026-06-30T23:59:60Z</date>", "<date>-0001-01-01T00:00:00Z</date>", "<date>2026-11-24T06:30:00</date>", "<date>2026-11-24T06:30:00+01:00</date>",
		"<date>2026-11-24T06:30:00.5Z</date>", "<date>2026-11-24T24:00:00Z</date>", "<date>2026-11-24</date>", "<date/>", "<date> 2026-11-24T06:30:00Z</date>",
		"<data>QQ</data>", "<data>QQ=</data>", "<data>QQ==QQ==</data>", "<data>Q===</data>", "<data>====</data>", "<data>Q!==</data>", "<data>QQ-_</data>", "<data>=QQQ</data>",
	} {
		refused(t, []byte(value(v)))
	}
	for _, v := range []string{
		"<integer>9223372036854775807</integer>", "<integer>-9223372036854775808</integer>", "<integer> 007\n</integer>", "<integer>-0</integer>",
		"<real>1.5</real>", "<real>-1e308</real>", "<real> 1E-400 </real>", "<real>+2</real>",
		"<date>0001-01-01T00:00:00Z</date>", "<date>9999-12-31T23:59:59Z</date>", "<date>2024-02-29T00:00:00Z</date>",
		"<data>QQ==</data>", "<data>\n\tQQ\r\n =\t=\n</data>", "<data>Q&#81;==</data>", "<data><![CDATA[QQ==]]></data>", "<data>QR==</data>",
	} {
		taken(t, value(v))
	}
	// The strict pass knows unsigned integers and a plus sign; the library would wrap the one and refuse the other.
	for _, v := range []string{"<integer>18446744073709551615</integer>", "<integer>9223372036854775808</integer>", "<integer>+5</integer>"} {
		if err := DecodeMessage([]byte(value(v)), new(Message)); err != nil {
			t.Errorf("%s: %v", v, err)
		}
		if err := gate([]byte(value(v)), MaxMessage); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("the gate lets %s through to the library: %v", v, err)
		}
	}
	var m Message
	body := idle("<key>ErrorChain</key><array><dict><key>ErrorCode</key><integer>18446744073709551615</integer></dict></array>")
	if err := DecodeMessage([]byte(body), &m); err != nil || m.ErrorChain[0].Code != 1<<63-1 {
		t.Errorf("an ErrorCode beyond int64 is %+v, %v; want the largest one", m.ErrorChain, err)
	}
}

func TestHST010Text(t *testing.T) {
	value := func(text string) string { return idle("<key>a</key><string>" + text + "</string>") }
	for _, text := range []string{"\xFF", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "a\x00b", "\x01", "\x1B[31m", "\x7F\xFF", "\uFFFE", "\uFFFF", "&#1;", "&#xFFFE;"} {
		refused(t, []byte(value(text)))
		refused(t, []byte(strings.Replace(value("x"), "<key>a", "<key>a"+text, 1)))
		if text[0] != '&' { // no reference there
			refused(t, []byte(value("<![CDATA["+text+"]]>")))
			refused(t, []byte(value("<!--"+text+"-->")))
		}
	}
	refused(t, []byte("{\"mdm\":\"\xFF\"}"))
	name := func(text string) string {
		var m Message
		body := EncodeMessage(nil, &Message{MessageType: Authenticate, Topic: topic, UDID: mac, DeviceName: text, UserLongName: "x"})
		if err := DecodeMessage(body, &m); err != nil {
			t.Errorf("DeviceName %.40q: %v", text, err)
		}
		return m.DeviceName
	}
	for _, tt := range []struct{ in, want string }{
		{"abc\u202Edef", "abc\u202Edef"}, // kept; whoever shows it escapes it
		{"   ", "   "},
		{"Zoe\u0308", "Zo\u00EB"}, // NFD and NFC of one name are one name
		{strings.Repeat("x", 64<<10), strings.Repeat("x", maxName)},
		{strings.Repeat("e\u0301", maxName), strings.Repeat("\u00E9", maxName)},
		{strings.Repeat("\U0001F600", maxName+1), strings.Repeat("\U0001F600", maxName)},
		{"line\r\nbreak\ttab", "line\r\nbreak\ttab"},
	} {
		if got := name(tt.in); got != tt.want {
			t.Errorf("DeviceName %.40q is kept as %.40q (%d bytes), want %.40q (%d)", tt.in, got, len(got), tt.want, len(tt.want))
		}
	}
	// Line ends are XML's: a parser sees line feeds, unless the sender wrote a reference.
	m := taken(t, idle("<key>DeviceName</key><string>a\r\nb\rc&#13;\nd<![CDATA[\r\n]]></string>"))
	if want := "a\nb\nc\r\nd\n"; m.DeviceName != want {
		t.Errorf("line ends are read as %q, want %q", m.DeviceName, want)
	}
	// What identifies is never folded together.
	for _, short := range []string{"zoe\u0308", "zo\u00EB"} {
		m := Message{UDID: tablet, UserID: SharedUserID, UserShortName: short}
		var got Message
		if err := DecodeMessage(EncodeMessage(nil, &m), &got); err != nil || got.UserShortName != short {
			t.Errorf("UserShortName %q came back as %q, %v", short, got.UserShortName, err)
		}
	}
}

func TestHST011Encodings(t *testing.T) {
	in16 := func(order binary.ByteOrder, text string) []byte {
		var b []byte
		for _, u := range utf16.Encode([]rune("\uFEFF" + text)) {
			b = append(b, 0, 0)
			order.PutUint16(b[len(b)-2:], u)
		}
		return b
	}
	declared := func(encoding string) string {
		return strings.Replace(idle("<key>a</key><string>Zoë \U0001F600</string>"), "UTF-8", encoding, 1)
	}
	plain := declared("UTF-8")
	none := strings.Replace(plain, ` encoding="UTF-8"`, "", 1)
	for name, body := range map[string]string{
		"UTF-8":                 plain,
		"lower case":            declared("utf-8"),
		"no encoding":           none,
		"no declaration":        plain[strings.Index(plain, "<!DOCTYPE"):],
		"BOM":                   "\xEF\xBB\xBF" + plain,
		"UTF-16, little endian": string(in16(binary.LittleEndian, declared("UTF-16"))),
		"UTF-16, big endian":    string(in16(binary.BigEndian, declared("utf-16"))),
		"UTF-16, not declared":  string(in16(binary.BigEndian, none)),
		"standalone":            strings.Replace(plain, `"UTF-8"?>`, `'UTF-8' standalone="no" ?>`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if m := taken(t, body); m.UDID != phone {
				t.Errorf("UDID = %q, want %q", m.UDID, phone)
			}
		})
	}
	half := in16(binary.BigEndian, none)
	for name, body := range map[string][]byte{
		"UTF-7":                     []byte(declared("UTF-7")),
		"Latin-1":                   []byte(declared("ISO-8859-1")),
		"UTF-16 declared for UTF-8": []byte(declared("UTF-16")),
		"UTF-8 declared for UTF-16": in16(binary.BigEndian, plain),
		"UTF-16 without BOM":        in16(binary.BigEndian, none)[2:],
		"half a character":          half[:len(half)-1],
		"lone surrogate":            append(in16(binary.BigEndian, ""), 0xD8, 0x00, 0x00, '<'),
		"UTF-32":                    []byte("\xFF\xFE\x00\x00<\x00\x00\x00"),
		"two BOMs":                  []byte("\xEF\xBB\xBF\xEF\xBB\xBF" + plain),
		"XML 1.1":                   []byte(strings.Replace(plain, `"1.0"`, `"1.1"`, 1)),
		"no version":                []byte(strings.Replace(plain, `version="1.0" `, "", 1)),
		"declaration not first":     []byte("\n" + plain),
		"encoding twice":            []byte(strings.Replace(plain, `encoding="UTF-8"`, `encoding="UTF-8" encoding="UTF-8"`, 1)),
		"unquoted":                  []byte(strings.Replace(plain, `"UTF-8"`, `UTF-8`, 1)),
	} {
		t.Run(name, func(t *testing.T) { refused(t, body) })
	}
}

func TestHST012Compressed(t *testing.T) { // nothing here inflates; the endpoints refuse a Content-Encoding
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(idle("")))
	_ = w.Close()
	refused(t, b.Bytes())
}

func TestHST050Identifiers(t *testing.T) {
	for _, id := range []string{"", strings.Repeat("x", 10<<10), "../../x", "%00", "'; drop", "a:b", "a b", "a\nb", "Zoë"} {
		for _, m := range []*Message{
			{UDID: id},
			{EnrollmentID: id},
			{MessageType: Authenticate, Topic: topic, UDID: id},
			{MessageType: TokenUpdate, Topic: topic, EnrollmentID: id, Token: []byte{1}, PushMagic: "m"},
		} {
			if err := DecodeMessage(EncodeMessage(nil, m), new(Message)); !errors.Is(err, protocol.ErrMalformed) {
				t.Errorf("identifier %.40q: %v, want %q", id, err, protocol.ErrMalformed)
			}
		}
	}
	for _, m := range []*Message{
		{UDID: mac, UserID: "a\nb"},
		{UDID: mac, UserID: strings.Repeat("x", 256)},
		{UDID: tablet, UserID: SharedUserID, UserShortName: "\tzoe"},
		{EnrollmentID: byod, EnrollmentUserID: strings.Repeat("x", 256)},
	} {
		if err := DecodeMessage(EncodeMessage(nil, m), new(Message)); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%+v: %v, want %q", m, err, protocol.ErrMalformed)
		}
	}
}

// gate tells whether body passes the gate.
func gate(body []byte, limit int) error {
	_, err := gated(body, limit)
	return err
}
