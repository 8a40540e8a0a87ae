package csp_test

import (
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/certs"
	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
	"rollcall/server/csp"
)

const (
	config = "./Device/Vendor/MSFT/Policy/Config/"
	device = "./Device/Vendor/MSFT/"
)

func read(t *testing.T, commands ...string) *csp.Profile {
	t.Helper()
	p, err := csp.Read([]byte(body(strings.Join(commands, ""))))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func adds(uri, format, data string) string {
	return strings.ReplaceAll(replace(uri, format, data), "Replace>", "Add>")
}

// TestWIN070Spelling: however a LocURI is spelled, what it names is one node to a device: its new version replaces it, and deletes nothing.
func TestWIN070Spelling(t *testing.T) {
	const old = device + "WiFi/Profile/office/WlanXml"
	for _, tt := range []struct {
		spelled string
		same    bool
	}{
		{old, true},
		{"./Vendor/MSFT/WiFi/Profile/office/WlanXml", true},
		{device + "wifi/PROFILE/office/wlanxml", true},
		{device + "WiFi/Profile/%6Fffice/WlanXml", true},
		{device + "WiFi/Profile/Office/WlanXml", false}, // another network
		{"./User/Vendor/MSFT/WiFi/Profile/office/WlanXml", false},
	} {
		was, is := read(t, replace(old, "chr", "&lt;a/&gt;")), read(t, replace(tt.spelled, "chr", "&lt;b/&gt;"))
		want := "Replace " + tt.spelled + " (chr) = <b/>\n"
		if !tt.same {
			want += "Delete " + device + "WiFi/Profile/office\n"
		}
		if got := text(is.Install(csp.Before{Old: was})); got != want {
			t.Errorf("%s:\n%swant\n%s", tt.spelled, got, want)
		}
		if got := text(was.Remove(csp.Before{Kept: []*csp.Profile{is}})); (got == "") != tt.same {
			t.Errorf("%s is kept:\n%s", tt.spelled, got)
		}
		_, err := csp.Read([]byte(body(replace(old, "chr", "&lt;a/&gt;") + replace(tt.spelled, "chr", "&lt;a/&gt;"))))
		if twice := err != nil && strings.Contains(err.Error(), "is there twice"); twice != tt.same {
			t.Errorf("%s beside %s: %v", tt.spelled, old, err)
		}
	}
	for upper, lower := range map[string]string{
		"./User/Vendor/MSFT/EMAIL2/%7BAB%7D/NAME":                                                             "./User/Vendor/MSFT/EMAIL2/{ab}/NAME",
		device + "RootCATrustedCertificates/Root/29E2DCFBB16F63BB0254DF7585A15BB6FB5E927D/EncodedCertificate": device + "RootCATrustedCertificates/Root/29e2dcfbb16f63bb0254df7585a15bb6fb5e927d/EncodedCertificate",
		config + "A/B": "./Vendor/MSFT/policy/config/a/b",
	} {
		if got := read(t, adds(lower, "chr", "AAAA")).Install(csp.Before{Old: read(t, adds(upper, "chr", "AAAA"))}); len(got) != 0 {
			t.Errorf("%s over %s:\n%s", lower, upper, text(got))
		}
	}
}

// TestAUTH27Overwritten: what a profile of the authority before had set is no longer its own where a new one has written it, and goes with that;
// what only the old one's namesake had set is still that one's as well. What failed need not have written anything, and takes nothing of it along.
func TestAUTH27Overwritten(t *testing.T) {
	one, two, three := replace(config+"K/One", "int", "1"), replace(config+"K/Two", "int", "1"), replace(config+"K/Three", "int", "1")
	past, first, four := []*csp.Profile{read(t, one+two)}, replace(config+"K/One", "int", "2"), replace(config+"K/Four", "int", "1")
	for _, tt := range []struct {
		name string
		got  []windows.Command
		want string
	}{
		{"it leaves", read(t, first, three).Remove(csp.Before{Past: past}), "Delete " + config + "K/One\nDelete " + config + "K/Three\n"},
		{"another of its own has set it", read(t, first, three).Remove(csp.Before{Past: past, Kept: []*csp.Profile{read(t, first)}}), "Delete " + config + "K/Three\n"},
		{"a version without it", read(t, three).Install(csp.Before{Past: past, Old: read(t, first, three)}), "Delete " + config + "K/One\n"},
		{"it failed, and leaves", read(t, first, three).Remove(csp.Before{Past: past, Partial: true}), "Delete " + config + "K/Three\n"},
		{"it failed where its own version was", read(t, first, three).Remove(csp.Before{Past: past, Partial: true, Old: read(t, first)}), "Delete " + config + "K/One\nDelete " + config + "K/Three\n"},
		{"a version without what failed", read(t, three).Install(csp.Before{Past: past, Old: read(t, three), Tried: []*csp.Profile{read(t, first, four)}}), "Delete " + config + "K/Four\n"},
		{"in its namesake's place", read(t, three).Install(csp.Before{Past: past, Old: read(t, one, three), Others: true}), "Replace " + config + "K/Three (int) = 1\n"},
	} {
		if got := text(tt.got); got != tt.want {
			t.Errorf("%s:\n%swant\n%s", tt.name, got, tt.want)
		}
	}
}

// TestWIN070Kept: what other profiles have set stays, when a profile leaves and when a newer version of it no longer has it: also below an
// interior node that it named.
func TestWIN070Kept(t *testing.T) {
	const network = device + "WiFi/Profile/office"
	home := adds(device+"VPNv2/home/ProfileXML", "chr", "&lt;a/&gt;")
	for _, tt := range []struct{ name, old, kept, want string }{
		{"a leaf of both", replace(config+"K/One", "int", "1") + replace(config+"K/Two", "int", "1"), replace(config+"K/Two", "int", "2"), "Delete " + config + "K/One\n"},
		{"an interior node", adds(config+"K", "node", "") + replace(config+"K/One", "int", "1"), replace(config+"K/Two", "int", "2"), "Delete " + config + "K/One\n"},
		{"an interior node of its own", adds(config+"K", "node", "") + replace(config+"K/One", "int", "1"), replace(config+"L/Two", "int", "2"), "Delete " + config + "K\n"},
		{"a node of both", home, adds(device+"VPNv2/home", "node", ""), "Delete " + device + "VPNv2/home/ProfileXML\n"},
		{"the same node of both", home, home, ""},
		{
			"a leaf more", replace(network+"/WlanXml", "chr", "&lt;a/&gt;") + replace(network+"/WiFiCost", "int", "1"), replace(network+"/WlanXml", "chr", "&lt;a/&gt;"),
			"Delete " + network + "/WiFiCost\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old, kept := read(t, tt.old), []*csp.Profile{read(t, tt.kept)}
			if got := text(old.Remove(csp.Before{Kept: kept})); got != tt.want {
				t.Errorf("removed:\n%swant\n%s", got, tt.want)
			}
			is := replace(config+"New/Leaf", "int", "1")
			if got := text(read(t, is).Install(csp.Before{Old: old, Kept: kept})); got != "Replace "+config+"New/Leaf (int) = 1\n"+tt.want {
				t.Errorf("replaced:\n%swant\n%s", got, tt.want)
			}
		})
	}
}

// TestWIN070Tried: what a version set before one of its commands failed goes with the profile, and a newer version writes again what it
// may have changed.
func TestWIN070Tried(t *testing.T) {
	old := read(t, replace(config+"A/One", "int", "1"), replace(config+"A/Two", "int", "1"))
	tried := []*csp.Profile{read(t, replace(config+"A/One", "int", "2"), replace(config+"A/Three", "int", "2"))}
	want := "Delete " + config + "A/One\nDelete " + config + "A/Two\nDelete " + config + "A/Three\n"
	if got := text(old.Remove(csp.Before{Tried: tried})); got != want {
		t.Errorf("removed:\n%swant\n%s", got, want)
	}
	if got := text(tried[0].Remove(csp.Before{Old: old})); strings.Count(got, "Delete") != 3 {
		t.Errorf("removed the other way:\n%s", got)
	}
	want = "Replace " + config + "A/One (int) = 1\nDelete " + config + "A/Three\n"
	if got := text(old.Install(csp.Before{Old: old, Tried: tried})); got != want {
		t.Errorf("the old one again:\n%swant\n%s", got, want)
	}
	if got := text(read(t, adds(config+"A/Three", "int", "2")).Install(csp.Before{Tried: tried})); got != "Add "+config+"A/Three (int) = 2\nDelete "+config+"A/One\n" {
		t.Errorf("the next one:\n%s", got)
	}
	empty := "<Add><Item><Target><LocURI>" + config + "A/Empty</LocURI></Target></Item></Add>"
	if got := text(read(t, empty).Install(csp.Before{})); got != "Add "+config+"A/Empty\n" {
		t.Errorf("a node without a value where nothing was:\n%s", got)
	}
	const account = "./User/Vendor/MSFT/ActiveSync/Accounts/%7B1%7D/"
	if got := text(read(t, adds(account+"Domain", "chr", "b")).Install(csp.Before{Tried: []*csp.Profile{read(t, adds(account+"EmailAddress", "chr", "a"))}})); !strings.HasPrefix(got, "Replace "+account+"Domain") {
		t.Errorf("an account that may be there is added again, which deletes it:\n%s", got)
	}
}

// A value that is the same in another format is another value.
func TestWIN070Format(t *testing.T) {
	if got := text(read(t, replace(config+"A/B", "chr", "1")).Install(csp.Before{Old: read(t, replace(config+"A/B", "int", "1"))})); got != "Replace "+config+"A/B (chr) = 1\n" {
		t.Errorf("it is told %q", got)
	}
}

// TestWIN039Nodes: what every device has, and what the server lives by, no profile makes or takes away.
func TestWIN039Nodes(t *testing.T) {
	for uri, want := range map[string]string{
		device + "VPNv2":                        "is on every device",
		device + "Policy":                       "is on every device",
		device + "policy/Config":                "is on every device",
		device + "WiFi/Profile":                 "is on every device",
		device + "RootCATrustedCertificates/CA": "is on every device",
		device + "CertificateStore/Root/System/AABB/EncodedCertificate": "the server's own",
		device + "CertificateStore/My/User":                             "the server's own",
		device + "certificatestore/MY/System":                           "the server's own",
		device + "Policy/Config/A":                                      "",
		device + "VPNv2/home":                                           "",
	} {
		if _, err := csp.Read([]byte(body(adds(uri, "node", "")))); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", uri, err, want)
		}
	}
}

// TestWIN039Trusted: a trusted certificate's node is called by its SHA-1, so that no profile puts another in the place of the server's own.
func TestWIN039Trusted(t *testing.T) {
	der := []byte("a certificate")
	data := base64.StdEncoding.EncodeToString(der)
	for _, tt := range []struct{ verb, node, data, want string }{
		{"Add", "%sRootCATrustedCertificates/Root/%X/EncodedCertificate", data[:8] + "\r\n " + data[8:], ""},
		{"Replace", "%sRootCATrustedCertificates/TrustedPublisher/%x/EncodedCertificate", data, ""},
		{"Replace", "%sRootCATrustedCertificates/Root/%X/EncodedCertificate", "AAAA", "SHA-1"},
		{"Add", "%srootCATrustedCertificates/Ro%%6Ft/%x/EncodedCertificate", "AAAA", "SHA-1"},
		{"Exec", "%sRootCATrustedCertificates/CA/%X/EncodedCertificate", "AAAA", "SHA-1"},
	} {
		node := fmt.Sprintf(tt.node, device, sha1.Sum(der))
		one := "<" + tt.verb + "><Item><Target><LocURI>" + node + `</LocURI></Target><Meta><Format xmlns="syncml:metinf">b64</Format></Meta><Data>` + tt.data + "</Data></Item></" + tt.verb + ">"
		if _, err := csp.Read([]byte(body(one))); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s %s = %s: %v, want %q", tt.verb, node, tt.data, err, tt.want)
		}
	}
}

// TestWIN039XML: a network or VPN that is no single document of XML is refused at upload; a policy's value may be text, or fragments.
func TestWIN039XML(t *testing.T) {
	const network, vpn = device + "WiFi/Profile/a/WlanXml", "./User/Vendor/MSFT/VPNv2/a/ProfileXML"
	for _, tt := range []struct{ uri, data, want string }{
		{network, "hello this is no XML", "should be XML"},
		{device + "wifi/profile/a/wlanxml", "hello", "should be XML"},
		{network, "", "should be XML"},
		{vpn, "hello", "should be XML"},
		{vpn, "&lt;a/&gt;&lt;b/&gt;", "has several"},
		{network, "&lt;a/&gt; and more", "text outside"},
		{network, "&lt;a&gt;text&lt;/a&gt;\n", ""},
		{vpn, "&lt;a&gt;&lt;b/&gt;&lt;c/&gt;&lt;/a&gt;", ""},
		{config + "A/B", "&lt;enabled/&gt;&lt;data id=\"a\" value=\"b\"/&gt;", ""},
		{config + "A/B", "&lt;enabled/&gt; and more", "text outside"},
		{config + "A/B", "text", ""},
		{device + "VPNv2/a/NativeProfile/Servers", "vpn.example.org", ""},
	} {
		if _, err := csp.Read([]byte(body(replace(tt.uri, "chr", tt.data)))); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s = %s: %v, want %q", tt.uri, tt.data, err, tt.want)
		}
	}
}

// An error names the line and column of the document as it was uploaded; and what stands before its first element does not hide what it is.
func TestUploadErrors(t *testing.T) {
	good := body(replace(config+"A/B", "int", "1"))
	comment := "<!--" + strings.Repeat("-.", 2<<10) + "-->"
	for _, document := range []string{good, comment + good, "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?>\n" + comment + "\n" + good + "\n"} {
		if _, err := csp.Read([]byte(document)); err != nil || !csp.IsDocument([]byte(document)) {
			t.Errorf("%.60q: %v", document, err)
		}
	}
	bad := "\n<!-- überall -->\n" + strings.Replace(good, "</Replace>", "\n  <!--\u00e9--></Remove>", 1)
	if _, err := csp.Read([]byte(bad)); err == nil || !strings.Contains(err.Error(), "line 4, column 11 ") {
		t.Errorf("%v, want line 4, column 11", err)
	}
	for _, wide := range []string{"\xff\xfe" + strings.Join(strings.Split(good, ""), "\x00") + "\x00", "\xfe\xff\x00" + strings.Join(strings.Split(good, ""), "\x00")} {
		if _, err := csp.Read([]byte(wide)); err == nil || !strings.Contains(err.Error(), "UTF-16") || !csp.IsDocument([]byte(wide)) {
			t.Errorf("in UTF-16: %v", err)
		}
	}
	if csp.IsDocument([]byte("<!--SYNCML:SYNCML1.2--><plist/>")) || csp.IsDocument([]byte("<!--")) || csp.IsDocument(nil) {
		t.Error("a comment makes a document")
	}
}

// What Apple's profiles say is said of Windows in its own sense (windows.md section 11).
func TestTranslated(t *testing.T) {
	commands := func(payload apple.Payload) string {
		p := apple.NewProfile("org.x", "x", protocol.Configuration)
		payload.Identifier, payload.UUID = p.Payloads[0].Identifier, p.Payloads[0].UUID
		p.Payloads = []apple.Payload{payload}
		read, err := csp.Read(apple.EncodeProfile(p))
		if err != nil {
			t.Fatal(err)
		}
		return text(read.Commands)
	}
	for allowed, want := range map[bool]string{ // OneDrive's is the other way round: it disables
		true:  "Replace " + config + "Camera/AllowCamera (int) = 1\nReplace " + config + "System/DisableOneDriveFileSync (int) = 0\n",
		false: "Replace " + config + "Camera/AllowCamera (int) = 0\nReplace " + config + "System/DisableOneDriveFileSync (int) = 1\n",
	} {
		got := commands(apple.Payload{Type: "com.apple.applicationaccess", Settings: map[string]any{"allowCamera": allowed, "allowCloudBackup": allowed}})
		if got != want {
			t.Errorf("allowed %v:\n%swant\n%s", allowed, got, want)
		}
	}
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	ca, err := certs.NewIssuer("ca", now)
	if err != nil {
		t.Fatal(err)
	}
	below, err := ca.IssueServer([]string{"below.example.org"}, ca.Certificate().PublicKey, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for store, cert := range map[string]*x509.Certificate{"Root": ca.Certificate(), "CA": below} { // who signed itself is a root
		got := commands(apple.Payload{Type: apple.PKCS1Payload, Certificate: cert.Raw})
		if want := fmt.Sprintf("Add %sRootCATrustedCertificates/%s/%X/EncodedCertificate (b64)", device, store, sha1.Sum(cert.Raw)); !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	got := commands(apple.Payload{Type: apple.SCEPPayload, SCEP: &apple.SCEP{URL: "https://scep.example.org", Subject: [][][]string{{{"CN", "x"}}}}})
	for _, want := range []string{"KeyUsage (int) = 160\n", "EKUMapping (chr) = 1.3.6.1.5.5.7.3.2\n", "KeyLength (int) = 2048\n", "SubjectName (chr) = CN=x\n"} { // signs and enciphers
		if !strings.Contains(got, want) {
			t.Errorf("SCEP lacks %q:\n%s", want, got)
		}
	}
}
