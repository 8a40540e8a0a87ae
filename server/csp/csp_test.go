package csp_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/protocol"
	"rollcall/protocol/apple"
	"rollcall/protocol/windows"
	"rollcall/server/csp"
)

var update = flag.Bool("update", false, "write testdata anew")

// text says commands as a person reads them.
func text(commands []windows.Command) string {
	var b strings.Builder
	var each func(indent string, commands []windows.Command)
	each = func(indent string, commands []windows.Command) {
		for i := range commands {
			c := &commands[i]
			b.WriteString(indent + c.Verb.String())
			for _, item := range c.Items {
				fmt.Fprintf(&b, " %s", item.Target)
				if item.Meta.Format != "" {
					fmt.Fprintf(&b, " (%s)", item.Meta.Format)
				}
				if item.Data != "" {
					fmt.Fprintf(&b, " = %s", item.Data)
				}
			}
			b.WriteString("\n")
			each(indent+"  ", c.Commands)
		}
	}
	each("", commands)
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// What a profile that the device keeps has made too stays, when another one leaves (AUTH-55).
func TestRemoveKeeps(t *testing.T) {
	read := func(uris ...string) *csp.Profile {
		commands := ""
		for _, uri := range uris {
			commands += replace(uri, "int", "2")
		}
		p, err := csp.Read([]byte(body(commands)))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const a, b = "./Device/Vendor/MSFT/Policy/Config/A/A", "./Device/Vendor/MSFT/Policy/Config/A/B"
	if got := read(a, b).Remove(csp.Before{Kept: []*csp.Profile{read(b)}}); len(got) != 1 || got[0].Items[0].Target != a {
		t.Errorf("taken off: %s", text(got))
	}
	if got := read(a).Remove(csp.Before{Kept: []*csp.Profile{read(b, a)}}); len(got) != 0 {
		t.Errorf("taken off: %s", text(got))
	}
}

// The five families, as profiles of Apple's: what installs them and what takes them off.
func TestFamilies(t *testing.T) {
	for _, f := range protocol.Families {
		t.Run(f.String(), func(t *testing.T) {
			p, err := csp.Read(apple.EncodeProfile(apple.NewProfile("org."+f.String(), "Office & "+f.String(), f)))
			if err != nil || p.Family != f {
				t.Fatalf("%+v, %v", p, err)
			}
			golden(t, f.String()+".txt", "install\n"+text(p.Install(csp.Before{}))+"remove\n"+text(p.Remove(csp.Before{})))
			if again := text(p.Install(csp.Before{Old: p, Others: true})); again == "" || strings.Contains(again, "Add") { // another authority's: AUTH-26
				t.Errorf("a namesake is not written again: %s", again)
			}
			if again := p.Install(csp.Before{Old: p}); len(again) != 0 {
				t.Errorf("what is there already is installed again: %s", text(again))
			}
			document, err := os.ReadFile(filepath.Join("testdata", f.String()+".xml"))
			if err != nil {
				t.Fatal(err)
			}
			own, err := csp.Read(document)
			if err != nil || own.Family != f || !csp.IsDocument(document) {
				t.Fatalf("the document: %+v, %v", own, err)
			}
			if csp.UserScope(f, document) != strings.Contains(string(document), "./User/") && f != protocol.Email {
				t.Error("its scope is not told")
			}
			golden(t, f.String()+".document.txt", "install\n"+text(own.Install(csp.Before{}))+"remove\n"+text(own.Remove(csp.Before{})))
			for _, c := range append(own.Install(csp.Before{Old: p}), p.Install(csp.Before{Old: own})...) { // another document of the same name
				if c.Verb == windows.Unknown {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

func body(commands string) string {
	return `<SyncBody xmlns="SYNCML:SYNCML1.2">` + commands + `</SyncBody>`
}

func replace(uri, format, data string) string {
	return "<Replace><Item><Target><LocURI>" + uri + `</LocURI></Target><Meta><Format xmlns="syncml:metinf">` + format + "</Format></Meta><Data>" + data + "</Data></Item></Replace>"
}

// TestWIN039Refused: a document that a device could not take is refused at once, and the error says where.
func TestWIN039Refused(t *testing.T) {
	const node = "./Device/Vendor/MSFT/Policy/Config/A/B"
	for _, tt := range []struct{ name, document, want string }{
		{"cut", body(replace(node, "int", "1"))[:90], "one SyncBody"},
		{"two bodies", body(replace(node, "int", "1")) + body(replace(node, "int", "2")), "one SyncBody"},
		{"more after it", body(replace(node, "int", "1")) + "</SyncML><evil/>", "one SyncBody"},
		{"nothing in it", body(""), "without commands"},
		{"Delete", body("<Delete><Item><Target><LocURI>" + node + "</LocURI></Target></Item></Delete>"), "command 1 (Delete)"},
		{"an unknown command", body("<Copy/>"), "command 1 (Copy)"},
		{"Get in an Atomic", body("<Atomic><Get/></Atomic>"), "Get 1 in it"},
		{"Atomic in Atomic", body("<Atomic><Atomic>" + replace(node, "int", "1") + "</Atomic></Atomic>"), "no other Atomic"},
		{"no target", body("<Add><Item/></Add>"), `LocURI ""`},
		{"a path of the root", body(replace("/Vendor/MSFT/Policy", "int", "1")), "does not begin with"},
		{"up", body(replace("./Device/Vendor/MSFT/../x", "int", "1")), "impossible name"},
		{"up, escaped", body(replace("./Device/Vendor/MSFT/%2e%2e/x", "int", "1")), "impossible name"},
		{"twice", body(replace(node, "int", "1") + replace(node, "int", "2")), "is there twice"},
		{"the server's own", body(replace("./Device/Vendor/MSFT/DMClient/Unenroll", "chr", "x")), "the server's own"},
		{"the server's own, escaped (HST-071)", body(replace("./Device/Vendor/MSFT/%44MClient/Unenroll", "chr", "x")), "the server's own"},
		{"the server's own, in another case (HST-071)", body(replace("./Vendor/MSFT/dmc%4Cient/Unenroll", "chr", "x")), "the server's own"},
		{"what is above the server's own (HST-071)", body(replace("./Device/Vendor/MSFT/CertificateStore/%4DY", "chr", "x")), "the server's own"},
		{"an escaped slash (HST-071)", body(replace("./Device/Vendor/MSFT/CertificateStore%2FMY/WSTEP/Renew", "chr", "x")), "the server's own"},
		{"a wipe, escaped (HST-071)", body("<Exec><Item><Target><LocURI>./Device/Vendor/MSFT/%52emoteWipe/doWipe</LocURI></Target></Item></Exec>"), "the server's own"},
		{"a wipe", body("<Exec><Item><Target><LocURI>./Device/Vendor/MSFT/RemoteWipe/doWipe</LocURI></Target></Item></Exec>"), "the server's own"},
		{"no int", body(replace(node, "int", "one")), "is no int"},
		{"no bool", body(replace(node, "bool", "yes")), "is no bool"},
		{"no base64", body(replace(node, "b64", "***")), "no base64"},
		{"an unknown format", body(replace(node, "json", "{}")), "is unknown"},
		{"XML that does not parse", body(replace("./Device/Vendor/MSFT/WiFi/Profile/a/WlanXml", "chr", "&lt;WLANProfile&gt;")), "no XML that parses"},
		{"XML with a document type", body(replace(node, "chr", "&lt;!DOCTYPE a&gt;&lt;a/&gt;")), "document type"},
		{"raw XML in data", body(replace(node, "chr", "<a/>")), "one SyncBody"},
		{"text where XML is due", body(replace(node, "xml", "hello")), "should be XML"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := csp.Read([]byte(tt.document))
			if err == nil || !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v, %v; want an error with %q", p, err, tt.want)
			}
		})
	}
	nothing := apple.NewProfile("org.x", "x", protocol.Configuration)
	nothing.Payloads[0].Type = "com.apple.dock"
	if _, err := csp.Read(apple.EncodeProfile(nothing)); !errors.Is(err, csp.ErrNoCounterpart) {
		t.Errorf("a profile of which Windows has nothing: %v", err)
	}
}

// A profile over another one: what both have is replaced, what only the old one had goes, and nothing else is touched (WIN-070).
func TestWIN070Over(t *testing.T) {
	read := func(commands string) *csp.Profile {
		p, err := csp.Read([]byte(body(commands)))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const scep = "./Device/Vendor/MSFT/ClientCertificateInstall/SCEP/corp"
	add := func(uri, format, data string) string {
		return strings.ReplaceAll(replace(uri, format, data), "Replace>", "Add>")
	}
	atomic := func(url string) string {
		return "<Atomic>" + add(scep, "node", "") + add(scep+"/Install/ServerURL", "chr", url) + "<Exec><Item><Target><LocURI>" + scep + "/Install/Enroll</LocURI></Target></Item></Exec></Atomic>"
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{
			"one value changed", replace("./Vendor/MSFT/Policy/Config/A/B", "int", "1") + replace("./Vendor/MSFT/Policy/Config/A/C", "int", "1"),
			replace("./Vendor/MSFT/Policy/Config/A/B", "int", "2") + replace("./Vendor/MSFT/Policy/Config/A/C", "int", "1"), "Replace ./Vendor/MSFT/Policy/Config/A/B (int) = 2\n",
		},
		{"Add where it is there", add("./Vendor/MSFT/Policy/Config/A/B", "int", "1"), add("./Vendor/MSFT/Policy/Config/A/B", "int", "2"), "Replace ./Vendor/MSFT/Policy/Config/A/B (int) = 2\n"},
		{
			"one leaf less", replace("./Vendor/MSFT/WiFi/Profile/a/WlanXml", "chr", "&lt;a/&gt;") + replace("./Vendor/MSFT/WiFi/Profile/a/WiFiCost", "int", "1"),
			replace("./Vendor/MSFT/WiFi/Profile/a/WlanXml", "chr", "&lt;a/&gt;"), "Delete ./Vendor/MSFT/WiFi/Profile/a/WiFiCost\n",
		},
		{
			"another node (FLEET 26904)", replace("./Vendor/MSFT/WiFi/Profile/a/WlanXml", "chr", "&lt;a/&gt;"), replace("./Vendor/MSFT/WiFi/Profile/b/WlanXml", "chr", "&lt;a/&gt;"),
			"Replace ./Vendor/MSFT/WiFi/Profile/b/WlanXml (chr) = <a/>\nDelete ./Vendor/MSFT/WiFi/Profile/a\n",
		},
		{
			"SCEP asks again", atomic("https://a"), atomic("https://b"),
			"Atomic\n  Replace " + scep + "/Install/ServerURL (chr) = https://b\n  Exec " + scep + "/Install/Enroll\n",
		},
		{"SCEP unchanged", atomic("https://a"), atomic("https://a"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, text(read(tt.new).Install(csp.Before{Old: read(tt.old)}))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestOrders(t *testing.T) {
	for _, tt := range []struct {
		kind protocol.CommandKind
		want string
	}{
		{protocol.Lock, "Exec ./Device/Vendor/MSFT/RemoteLock/Lock (null)\n"},
		{protocol.Erase, "Exec ./Device/Vendor/MSFT/RemoteWipe/doWipe (chr)\n"},
		{protocol.Restart, "Exec ./Device/Vendor/MSFT/Reboot/RebootNow (null)\n"},
		{protocol.Retire, "Exec ./Device/Vendor/MSFT/DMClient/Unenroll (chr) = rollcall\n"},
		{protocol.RenewIdentity, "Exec ./Device/Vendor/MSFT/CertificateStore/MY/WSTEP/Renew/RenewNow (null)\n"},
		{protocol.Configured, ""},
	} {
		if got := text(csp.Order(tt.kind, "rollcall")); got != tt.want || csp.Reads(tt.kind) {
			t.Errorf("%s: %q, want %q", tt.kind, got, tt.want)
		}
	}
	for _, kind := range []protocol.CommandKind{protocol.DeviceInformation, protocol.SecurityInfo, protocol.ProfileList, protocol.CertificateList, protocol.InstalledApplicationList} {
		if got := csp.Order(kind, "rollcall"); len(got) == 0 || got[0].Verb != windows.Get || !csp.Reads(kind) {
			t.Errorf("%s: %s", kind, text(got))
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, family := range protocol.Families {
		f.Add(apple.EncodeProfile(apple.NewProfile("org.x", "x", family)))
	}
	f.Add([]byte(body(replace("./Vendor/MSFT/Policy/Config/A/B", "int", "2"))))
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := csp.Read(document)
		if err != nil {
			return
		}
		if len(p.Commands) == 0 || len(p.Install(csp.Before{})) == 0 || len(p.Install(csp.Before{Old: p})) > len(p.Commands) {
			t.Errorf("%+v", p)
		}
		for _, c := range p.Remove(csp.Before{}) {
			if c.Verb != windows.Delete || c.Items[0].Target == "" {
				t.Errorf("%+v", c)
			}
		}
	})
}

// windows.md section 11: what is new of a profile that is there is added, but of an account of Exchange it is replaced: to add anything to one
// that is there deletes it.
func TestAddsOnce(t *testing.T) {
	for _, tt := range []struct {
		node string
		want windows.Verb
	}{
		{"./User/Vendor/MSFT/ActiveSync/Accounts/%7B1%7D", windows.Replace},
		{"./User/Vendor/MSFT/EMAIL2/%7B1%7D", windows.Add},
		{"./Device/Vendor/MSFT/VPNv2/office", windows.Add},
	} {
		profile := func(names ...string) *csp.Profile {
			p := &csp.Profile{}
			for _, name := range names {
				p.Commands = append(p.Commands, windows.Command{Verb: windows.Add, Items: []windows.Item{{Target: tt.node + "/" + name, Data: "x"}}})
			}
			return p
		}
		got := profile("a", "b").Install(csp.Before{Old: profile("a")})
		if len(got) != 1 || got[0].Verb != tt.want || got[0].Items[0].Target != tt.node+"/b" {
			t.Errorf("%s: %+v, want %s of b", tt.node, got, tt.want)
		}
		if got := profile("a").Install(csp.Before{}); len(got) != 1 || got[0].Verb != windows.Add {
			t.Errorf("%s: the first time %+v", tt.node, got)
		}
	}
}
