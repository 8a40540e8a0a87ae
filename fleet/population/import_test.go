package population

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

var update = flag.Bool("update", false, "rewrite the golden files; read the diff before you keep it")

// TestImportGolden reads small exports that have each case once, and writes down all that came out.
func TestImportGolden(t *testing.T) {
	yes := true
	for name, o := range map[string]Options{
		"coexistence": {Path: "testdata/coexistence"},
		"console":     {Path: "testdata/console/DevicesWithInventory.csv", Coexistence: &yes},
		"bms-only":    {Path: "testdata/bms-only"},
	} {
		t.Run(name, func(t *testing.T) {
			o.KeepNames = true
			p, err := Import(o)
			if err != nil {
				t.Fatal(err)
			}
			golden, got := filepath.Join("testdata", name+".golden"), describe(p)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s changed (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// describe writes a population as a person would read it, without the made-up serial numbers and UDIDs.
func describe(p *Population) string {
	var b strings.Builder
	t := &p.Tenant
	fmt.Fprintf(&b, "tenant %q %s coexistence=%t changed=%s asOf=%s\n", t.Name, t.Authority, t.Coexistence, t.ChangedAt, t.AsOf)
	fmt.Fprintf(&b, "push %s of %s, %s to %s; units %+v; consents %v; domains %v\n", t.APNs.Topic, t.APNs.AppleID, t.APNs.Modified, t.APNs.Expires, t.Units, t.Consents, t.Domains)
	fmt.Fprintf(&b, "%d records, %d devices\n", p.Total, len(p.Devices))
	for i := range p.Devices {
		d := &p.Devices[i]
		user := "nobody"
		if !d.Userless() {
			user = p.Users[d.User].UPN
		}
		fmt.Fprintf(&b, "device %s %s %s %q %q of %s owner=%d enrolment=%d traits=%b workloads=%b %s current=%t joins=%d enrolled=%s contact=%s..%s ends=%s\n",
			d.Name, d.Platform, d.OSVersion, d.Model.Name, d.Model.Product, user, d.Ownership, d.Enrolment, d.Traits, d.Workloads,
			d.Registered, d.Current, d.Joins, d.Enrolled, d.Contact.Earliest, d.Contact.Latest, d.CertEnd)
	}
	for _, u := range p.Users {
		fmt.Fprintf(&b, "user %+v\n", u)
	}
	for _, l := range p.LeftOut {
		fmt.Fprintf(&b, "left out %+v\n", l)
	}
	for _, d := range p.Doubts {
		fmt.Fprintf(&b, "doubt %s %s: %s | %s\n", d.Kind, d.Name, d.Text, d.Other)
	}
	for _, a := range p.Assumed {
		fmt.Fprintf(&b, "assumed %s: %s (%d)\n", a.What, a.Assumed, a.Devices)
	}
	for _, f := range p.Findings {
		fmt.Fprintf(&b, "finding %s: %s (%d)\n", f.Rule, f.Text, f.Devices)
	}
	return b.String()
}

// TestImportForms reads the same devices in every form in which people save them.
func TestImportForms(t *testing.T) {
	for _, source := range []struct{ folder, file string }{{"coexistence", "managedDevices.json"}, {"bms-only", "devices.json"}} {
		folder := filepath.Join("testdata", source.folder)
		original, err := os.ReadFile(filepath.Join(folder, source.file))
		if err != nil {
			t.Fatal(err)
		}
		var page struct{ Value []json.RawMessage }
		if err := json.Unmarshal(original, &page); err != nil {
			t.Fatal(err)
		}
		var records []string
		for _, r := range page.Value {
			records = append(records, string(r))
		}
		want := describe(mustImport(t, Options{Path: folder, KeepNames: true}))
		list := strings.Join(records, ",")
		for name, text := range map[string]string{
			"two pages":         `{"value":[` + strings.Join(records[:5], ",") + `],"@odata.nextLink":"x"} {"@odata.count":3, "value":[` + strings.Join(records[5:], ",") + `]}`,
			"array of pages":    `[{"value":[` + strings.Join(records[:5], ",") + `]},{"value" : [` + strings.Join(records[5:], ",") + `]}]`,
			"bare array":        "[" + list + "]",
			"one a line":        strings.Join(records, "\n"),
			"value first":       `{"value":[` + list + `],"@odata.context":{"value":[1]}}`,
			"PowerShell":        pascal("[" + list + "]"),
			"byte order mark":   "\ufeff" + string(original),
			"UTF-16":            utf16LE(string(original)),
			"many empty pages":  strings.Repeat(`{"value":[]}`, 3) + string(original),
			"members, reversed": `{"@odata.context":"[{\"value\":[", "x":{"y":[{"value":[{}]}]}, "value":[` + list + `]}`,
		} {
			t.Run(source.folder+" "+name, func(t *testing.T) {
				got := describe(mustImport(t, Options{Path: copyFolder(t, folder, source.file, text), KeepNames: true}))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("differs from the page (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestImportSplit reads one answer saved as several files.
func TestImportSplit(t *testing.T) {
	folder := "testdata/coexistence"
	data, err := os.ReadFile(filepath.Join(folder, "managedDevices.json"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(data), "\n")
	dir := copyFolder(t, folder, "managedDevices.json", "")
	must(t, os.Remove(filepath.Join(dir, "managedDevices.json")))
	must(t, os.WriteFile(filepath.Join(dir, "managedDevices-1.json"), []byte(strings.Join(lines[:6], "")+"{}]}"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "managedDevices-2.json"), []byte(`{"value":[`+strings.Join(lines[6:], "")), 0o600))
	p, err := Import(Options{Path: dir, KeepNames: true, Lenient: true})
	if err != nil || len(p.BadRows) != 1 || p.LeftOutBy()["unreadable"] != 1 {
		t.Fatalf("%v, %v: want the one empty object to be left out", err, p)
	}
	if want := mustImport(t, Options{Path: folder}); len(p.Devices) != len(want.Devices) {
		t.Errorf("%d devices of two files, %d of one", len(p.Devices), len(want.Devices))
	}
}

// TestImportZip reads the console's export as it comes, and a folder in which JSON wins over it.
func TestImportZip(t *testing.T) {
	yes := true
	data, err := os.ReadFile("testdata/console/DevicesWithInventory.csv")
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	w, err := z.Create("DevicesWithInventory_1.csv")
	if err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	must(t, z.Close())
	dir := t.TempDir()
	path := filepath.Join(dir, "DevicesWithInventory_1.zip")
	must(t, os.WriteFile(path, packed.Bytes(), 0o600))
	want := describe(mustImport(t, Options{Path: "testdata/console/DevicesWithInventory.csv", KeepNames: true, Coexistence: &yes}))
	if diff := cmp.Diff(want, describe(mustImport(t, Options{Path: path, KeepNames: true, Coexistence: &yes}))); diff != "" {
		t.Errorf("the zip differs from its CSV (-want +got):\n%s", diff)
	}
	both := copyFolder(t, "testdata/coexistence", "DevicesWithInventory.csv", string(data))
	if p := mustImport(t, Options{Path: both}); slices.ContainsFunc(p.Assumed, func(a Assumption) bool { return a.What == "enrolment type" }) {
		t.Error("the CSV won over the JSON")
	}
}

// TestImportAlike holds JSON and CSV of one tenant against each other: who is where must not depend on the form.
func TestImportAlike(t *testing.T) {
	csv, err := os.ReadFile("testdata/console/DevicesWithInventory.csv")
	if err != nil {
		t.Fatal(err)
	}
	dir := copyFolder(t, "testdata/coexistence", "DevicesWithInventory.csv", string(csv))
	must(t, os.Remove(filepath.Join(dir, "managedDevices.json")))
	fromJSON, fromCSV := mustImport(t, Options{Path: "testdata/coexistence", KeepNames: true}), mustImport(t, Options{Path: dir, KeepNames: true})
	if len(fromJSON.Devices) != len(fromCSV.Devices) || len(fromCSV.Doubts) != 0 {
		t.Fatalf("%d devices of JSON, %d of CSV; doubts %+v", len(fromJSON.Devices), len(fromCSV.Devices), fromCSV.Doubts)
	}
	for i := range fromJSON.Devices {
		a, b := fromJSON.Devices[i], fromCSV.Devices[i]
		if a.Name != b.Name || a.User != b.User || a.Platform != b.Platform || a.Ownership != b.Ownership || a.Registered != b.Registered ||
			a.CertEnd != b.CertEnd || a.Contact != b.Contact || a.Traits != b.Traits || a.Serial != b.Serial {
			t.Errorf("%s differs:\nJSON %+v\nCSV  %+v", a.Name, a, b)
		}
	}
}

// TestPrivacy looks for anything of the export that names a person or a piece of hardware.
func TestPrivacy(t *testing.T) {
	for _, folder := range []string{"testdata/coexistence", "testdata/bms-only", "testdata/console"} {
		p, err := Import(Options{Path: folder})
		if err != nil {
			t.Fatal(err)
		}
		again := mustImport(t, Options{Path: folder})
		text, second := fmt.Sprintf("%+v", *p), fmt.Sprintf("%+v", *again)
		for i := range p.Devices {
			text += fmt.Sprintf("%+v", p.Devices[i])
			second += fmt.Sprintf("%+v", again.Devices[i])
		}
		pointers := regexp.MustCompile(`0x[0-9a-f]+`)
		if pointers.ReplaceAllString(text, "") != pointers.ReplaceAllString(second, "") {
			t.Errorf("%s: two imports differ", folder)
		}
		for _, secret := range []string{"Example", "EX-", "EB-", "user0", "user1", "user2", "user3", "SYN", "35000000", "f0000000", "push-owner"} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s: %q is in the population: ...%s...", folder, secret, text[max(0, i-60):min(len(text), i+60)])
			}
		}
		serials := map[string]bool{}
		for i := range p.Devices {
			serials[p.Devices[i].Serial] = true
			serials[p.Devices[i].UDID] = true
		}
		if len(serials) != 2*len(p.Devices) {
			t.Errorf("%s: %d serial numbers and UDIDs of %d devices", folder, len(serials), len(p.Devices))
		}
	}
	other := mustImport(t, Options{Path: copyFolder(t, "testdata/bms-only", "apns.json", "{}")})
	if mustImport(t, Options{Path: "testdata/bms-only"}).Users[0].UPN == other.Users[0].UPN {
		t.Error("another export gives the same tokens: anybody could try names out")
	}
}

// TestFlags sets what an export does not say.
func TestFlags(t *testing.T) {
	const csv = "testdata/console/DevicesWithInventory.csv"
	no := false
	office := protocol.Office365
	count := func(p *Population, by protocol.Authority) (n int) {
		for i := range p.Devices {
			if p.Devices[i].Registered == by {
				n++
			}
		}
		return n
	}
	p := mustImport(t, Options{Path: csv})
	if !p.Tenant.Coexistence || p.Tenant.Authority != protocol.Office365 || p.Doubts[0].Kind != Coexisting || p.Doubts[0].Device != -1 {
		t.Errorf("intune beside BMS: %+v, %+v; want coexistence and a doubt", p.Tenant, p.Doubts)
	}
	bms := count(p, protocol.Office365)
	p = mustImport(t, Options{Path: csv, Coexistence: &no})
	if p.Tenant.Coexistence || p.Tenant.Authority != protocol.Intune || slices.ContainsFunc(p.Doubts, func(d Doubt) bool { return d.Kind == Coexisting }) {
		t.Errorf("coexistence=false: %+v, %+v", p.Tenant, p.Doubts)
	}
	p = mustImport(t, Options{Path: csv, Authority: &office, Coexistence: &no, LicenceDefault: "none"})
	if n := count(p, protocol.Office365); n <= bms || p.LeftOutBy()["mac_under_bms"] != 1 || p.Users[0].Licence != NoLicence {
		t.Errorf("AUTH-46: authority office365: %d under BMS (%d before), left out %v, licence %d", n, bms, p.LeftOut, p.Users[0].Licence)
	}
	if !slices.ContainsFunc(p.Doubts, func(d Doubt) bool { return d.Kind == AgentNotBMS }) {
		t.Error("AUTH-46: co-managed in a plain office365 tenant is no doubt")
	}
	p = mustImport(t, Options{Path: csv, Authority: &office, Coexistence: &no, BMSAgent: []string{"microsoft365ManagedMdm"}})
	if n := count(p, protocol.Office365); n != bms {
		t.Errorf("BMSAgent: %d under BMS, want %d", n, bms)
	}
	p = mustImport(t, Options{Path: csv, AsOf: 1, Labels: map[string]string{"Managed by: Intune": "jamf"}, APNs: APNs{Topic: "t", Expires: 5}})
	if p.Tenant.AsOf != 1 || p.LeftOutBy()["agent"] == 0 || p.Tenant.APNs.Topic != "t" || p.Tenant.APNs.Expires != 5 {
		t.Errorf("flags: %+v, %v", p.Tenant, p.LeftOut)
	}
	for _, o := range []Options{
		{Path: csv, LicenceDefault: "premium"}, {Path: csv, Labels: map[string]string{"Intune": "jamf"}}, {Path: csv, Labels: map[string]string{"Colour: red": "x"}},
		{Path: "testdata/none"}, {Path: copyFolder(t, "testdata/bms-only", "organization.json", "{}")},
	} {
		if p, err := Import(o); err == nil || p != nil {
			t.Errorf("Import(%+v) is taken", o)
		}
	}
}

// TestHST122 is the table of bad exports: each row is named by file, line, column and field; nothing is loaded, or
// the rest under Lenient.
func TestHST122(t *testing.T) {
	const head = "Device ID,Enrollment date,Last check-in,Managed by,Ownership,OS,Primary user UPN,Device name\n"
	const good = "d1,2026-01-01T00:00:00Z,2026-10-01T00:00:00Z,Intune,Personal,Windows,a@example.com,n1\n"
	device := func(members string) string {
		return `{"id":"d9","managementAgent":"mdm","operatingSystem":"Windows"` + members + `}`
	}
	for _, tt := range []struct {
		name, file, text, want string
		rest                   int // devices under Lenient; -1: even then nothing
	}{
		{"no such column", "a.csv", "Device ID,Managed by,OS,Ownership,UserId\nd1,Intune,Windows,x,\n",
			"a.csv:1:1: enrolledDateTime: the column is missing; want a header such as enrollmentdate (HST-122)\n" +
				"a.csv:1:1: lastSyncDateTime: the column is missing; want a header such as lastcheck-in (HST-122)", -1},
		{"stale-device example", "a.csv", "AccountEnabled,DeviceId,OperatingSystem,DisplayName\nTrue,d1,Windows,x\n",
			"a.csv:1:1: isManaged: the column is missing; want a header such as ismanaged (HST-122)", -1},
		{"empty CSV", "a.csv", "", "a.csv:1:1: the file is empty; want a line of column names (HST-122)", -1},
		{"not ours", "a.csv", "a,b\n1,2\n", "FOLDER: no devices here; want managedDevices.json, devices.json or the console's CSV (HST-122)", -1},
		{"bad time", "a.csv", head + good + "d2,31.10.2026,2026-10-01T00:00:00Z,Intune,Personal,Windows,,n2\n",
			"a.csv:3:4: Enrollment date: want a time such as 2026-11-01T08:00:00Z; in PowerShell write it by .ToString('o') (HST-122)", 1},
		{"fields", "a.csv", head + good + "d2,x\n", "a.csv:3:1: 2 fields; the header has 8 (HST-122)", 1},
		{"quotes", "a.csv", head + "d2,\"x\"y,z\n" + good, "a.csv:2:6: extraneous or missing \" in quoted-field (HST-122)", 1},
		{"no id", "a.csv", head + good + "," + good[3:], "a.csv:3:1: Device ID: a device without id (HST-122)", 1},
		{"twice", "a.csv", head + good + "D1" + good[2:], "a.csv:3:1: Device ID: device D1 is there twice (HST-122)", 1},
		{"byte order mark", "a.csv", "\ufeff" + head + good + good, "a.csv:3:1: Device ID: device d1 is there twice (HST-122)", 1},
		{"long line", "a.csv", head + good + "d2," + strings.Repeat("x", 3*maxRow) + "\nd3" + good[2:], "a.csv:3:1: a record is at most 1048576 bytes (HST-122)", 2},
		{"quote without end", "a.csv", head + good + "\"" + strings.Repeat("x\n", maxRow) + "\nd3" + good[2:], "", 2},
		{"JSON cut off", "managedDevices.json", `{"value":[` + device("") + `,{"id":"d2`,
			"managedDevices.json:1:75: the file ends inside this record (HST-122)", 1},
		{"JSON of another kind", "managedDevices.json", "[\n" + device("") + ",\n" + device(`,"osVersion":{"a":1}`)[:7] + `8"` + device(`,"osVersion":{"a":1}`)[10:] + "]",
			"managedDevices.json:3:75: osVersion: want a single value (HST-122)", 1},
		{"JSON time", "managedDevices.json", device(`,"enrolledDateTime":"0000-13-40"`), "", 0},
		{"JSON garbage", "managedDevices.json", device("") + "\nfoo bar\n" + device("")[:7] + `8"` + device("")[10:], "managedDevices.json:2:1: want an object {...} here (HST-122)", 2},
		{"JSON numbers", "managedDevices.json", "[1, 2]", "", 0},
		{"JSON too deep", "managedDevices.json", `{"id":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}", "managedDevices.json:1:1: nested more than 64 deep (HST-122)", 0},
		{"JSON pages too deep", "managedDevices.json", strings.Repeat(`{"value":[`, 1000), "", 0},
		{"JSON too long", "managedDevices.json", "[" + device(`,"notes":"`+strings.Repeat("x", 2*maxRow)+`"`) + "," + device("") + "]", "managedDevices.json:1:2: a record is at most 1048576 bytes (HST-122)", 1},
		{"JSON without id", "managedDevices.json", `[{"ID2":"x"}]`, "managedDevices.json:1:2: id: a device without id (HST-122)", 0},
		{"bad tenant", "tenant.json", "{\n\"organization\": [}", "tenant.json:2:18: not JSON: invalid character '}' looking for beginning of value (HST-122)", -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.file == "tenant.json" {
				must(t, os.WriteFile(filepath.Join(dir, "a.csv"), []byte(head+good), 0o600))
			}
			must(t, os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o600))
			p, err := Import(Options{Path: dir})
			var all plan.Errors
			if p != nil || !errors.As(err, &all) || !errors.Is(err, ruleExport) {
				t.Fatalf("Import gives %v, %v; want errors by HST-122", p, err)
			}
			got := strings.ReplaceAll(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""), dir, "FOLDER")
			if tt.want != "" && got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			p, err = Import(Options{Path: dir, Lenient: true})
			switch {
			case tt.rest < 0 && err == nil:
				t.Errorf("Lenient loads %d devices of a file that cannot be read", len(p.Devices))
			case tt.rest >= 0 && err != nil:
				t.Errorf("Lenient: %v", err)
			case tt.rest >= 0 && (len(p.Devices) != tt.rest || p.LeftOutBy()["unreadable"] == 0 || len(p.BadRows) == 0 || p.Total != len(p.Devices)+p.LeftOutBy()["unreadable"]):
				t.Errorf("Lenient: %d devices, want %d; %d records, left out %v, %v", len(p.Devices), tt.rest, p.Total, p.LeftOut, p.BadRows)
			}
		})
	}
}

// TestHST122Many bounds what is told of a file that is wrong throughout.
func TestHST122Many(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "managedDevices.json"), []byte("["+strings.Repeat("{},\n", 5000)+"{}]"), 0o600))
	_, err := Import(Options{Path: dir})
	var all plan.Errors
	if !errors.As(err, &all) || len(all) != maxBad {
		t.Errorf("%d errors, want %d", len(all), maxBad)
	}
	p, err := Import(Options{Path: dir, Lenient: true})
	if err != nil || p.LeftOutBy()["unreadable"] != 5001 || len(p.BadRows) != maxBad {
		t.Errorf("Lenient: %v, %v", err, p)
	}
}

// TestHST122Foreign refuses a user of another tenant, by line and field; a guest is none.
func TestHST122Foreign(t *testing.T) {
	const foreign = `{"id":"d77","managementAgent":"mdm","operatingSystem":"Windows","userPrincipalName":"x@elsewhere.example"}`
	guest := strings.Replace(foreign, "x@elsewhere.example", "x_elsewhere.example#EXT#@tenant.example", 1)
	_, err := Import(Options{Path: copyFolder(t, "testdata/coexistence", "managedDevices.json", "[\n"+foreign+"]")})
	if err == nil || !strings.Contains(err.Error(), "managedDevices.json:2:1: userPrincipalName: a user of another tenant") {
		t.Errorf("a user of another tenant: %v", err)
	}
	p, err := Import(Options{Path: copyFolder(t, "testdata/coexistence", "managedDevices.json", guest)})
	if err != nil || len(p.Devices) != 1 || p.Doubts[0].Kind != UserUnknown {
		t.Errorf("a guest: %v, %v; want one device and a doubt", p, err)
	}
}

// TestHST067 takes off what a careful spreadsheet put in front of a formula.
func TestHST067(t *testing.T) {
	const csv = "Device ID,Enrollment date,Last check-in,Managed by,Ownership,OS,UserId,Device name\nd1,,,Intune,Personal,Windows,,'=cmd|x\nd2,,,Intune,Personal,Windows,,'quoted\n"
	path := filepath.Join(t.TempDir(), "a.csv")
	must(t, os.WriteFile(path, []byte(csv), 0o600))
	p := mustImport(t, Options{Path: path, KeepNames: true})
	if p.Devices[0].Name != "=cmd|x" || p.Devices[1].Name != "'quoted" {
		t.Errorf("names %q, %q", p.Devices[0].Name, p.Devices[1].Name)
	}
}

// TestDoubts makes each doubt that the sample tenants do not have, and reads what it says.
func TestDoubts(t *testing.T) {
	const tenant = `{"organization":{"mobileDeviceManagementAuthority":2},"rollcall":{"coexistence":%t,"changedAt":"2026-10-10T00:00:00Z","asOf":"2026-11-01T00:00:00Z"}}`
	const users = `[{"id":"u1","userPrincipalName":"one@example.com","assignedLicenses":[]},{"id":"u2","userPrincipalName":"two@example.com"}]`
	for _, tt := range []struct {
		kind        DoubtKind
		file        string
		coexistence bool
		record      string
		check       func(p *Population, d *Device) bool
	}{
		{UserOnUserless, "managedDevices.json", true, `"operatingSystem":"iPadOS","managementAgent":"mdm","deviceEnrollmentType":4,"userId":"u1"`,
			func(p *Population, d *Device) bool { return d.User == 0 && d.Enrolment == Automated }},
		{TwoUsers, "managedDevices.json", true, `"operatingSystem":"iOS","managementAgent":2,"userId":"u1","userPrincipalName":"Two@example.com"`,
			func(p *Population, d *Device) bool { return d.User == 0 }},
		{UserUnknown, "managedDevices.json", true, `"operatingSystem":"iOS","managementAgent":"mdm","userId":"u2"`,
			func(p *Population, d *Device) bool { return d.User == 1 && p.Users[1].Licence == BMSLicence }},
		{NotCoManaged, "managedDevices.json", true, `"operatingSystem":"Windows","osVersion":"10.0.15063.1","managementAgent":10,"userId":"u1"`,
			func(p *Population, d *Device) bool { return !d.Has(CoManaged) && !p.Users[0].CoManaged }},
		{NotCoManaged, "managedDevices.json", true, `"operatingSystem":"Windows","osVersion":"10.0.26100","managementAgent":"mdm","deviceEnrollmentType":"windowsCoManagement","userId":"u1"`,
			func(p *Population, d *Device) bool { return !d.Has(CoManaged) && d.Enrolment == CoManagement }},
		{WorkloadsDiffer, "managedDevices.json", true, `"operatingSystem":"Windows","managementAgent":"mdm","userId":"u1","configurationManagerClientEnabledFeatures":{"deviceConfiguration":true,"officeApps":true}`,
			func(p *Population, d *Device) bool {
				return d.Has(CoManaged) && p.Users[0].CoManaged && d.Workloads == DeviceConfiguration|ResourceAccess|EndpointProtection|OfficeApps
			}},
		{NoApp, "devices.json", true, `"operatingSystem":"iPhone","isManaged":true,"registeredOwners":[{"id":"u1"}]`,
			func(p *Population, d *Device) bool { return d.Registered == protocol.Office365 }},
		{AgentNotBMS, "devices.json", false, `"operatingSystem":"Android","isManaged":true,"managementType":"googleCloudDevicePolicyController","registeredOwners":[{"id":"u1"}]`,
			func(p *Population, d *Device) bool { return d.Registered == protocol.Intune && d.Has(AndroidAPI) }},
		{ProfileOnBMS, "devices.json", false, `"operatingSystem":"iPad","isManaged":true,"enrollmentProfileName":"ADE","registeredOwners":[{"id":"u1"}]`,
			func(p *Population, d *Device) bool { return d.Registered == protocol.Office365 }},
		{CoarseEpoch, "devices.json", false, `"operatingSystem":"iPad","isManaged":true,"approximateLastSignInDateTime":"2026-10-01T00:00:00Z","registeredOwners":[{"id":"u1"}]`,
			func(p *Population, d *Device) bool { return d.Current }},
		{CoarseEnd, "devices.json", false, `"operatingSystem":"iPad","isManaged":true,"approximateLastSignInDateTime":"2026-10-11T00:00:00Z","registrationDateTime":"2025-10-20T00:00:00Z","registeredOwners":[{"id":"u1"}]`,
			func(p *Population, d *Device) bool {
				return d.CertEnd == mustTime("2027-10-20T00:00:00Z") && d.Has(AssumedCertEnd)
			}},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "tenant.json"), fmt.Appendf(nil, tenant, tt.coexistence), 0o600))
			must(t, os.WriteFile(filepath.Join(dir, "users.json"), []byte(users), 0o600))
			sign := `,"approximateLastSignInDateTime":"2026-11-01T00:00:00Z"`
			if strings.Contains(tt.record, "SignIn") {
				sign = ""
			}
			must(t, os.WriteFile(filepath.Join(dir, tt.file), []byte(`{"id":"d1","deviceId":"d1",`+tt.record+sign+`}`), 0o600))
			o := Options{Path: dir}
			if !tt.coexistence {
				office := protocol.Office365
				o.Authority = &office
			}
			p := mustImport(t, o)
			found := slices.ContainsFunc(p.Doubts, func(d Doubt) bool {
				return d.Kind == tt.kind && d.Device == 0 && d.Text != "" && d.Other != "" && d.Name == p.Devices[0].Name
			})
			if !found || !tt.check(p, &p.Devices[0]) {
				t.Errorf("%s: doubts %+v, device %+v", tt.kind, p.Doubts, p.Devices[0])
			}
		})
	}
}

// TestLeftOut walks the reasons in their order: a record with two of them counts under the first.
func TestLeftOut(t *testing.T) {
	read := func(file, record string, coexistence bool) *Population {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "tenant.json"), fmt.Appendf(nil, `{"rollcall":{"baseAuthority":"office365","coexistence":%t}}`, coexistence), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, file), []byte(`{"id":"d1","deviceId":"d1",`+record+`}`), 0o600))
		return mustImport(t, Options{Path: dir})
	}
	for _, tt := range []struct {
		why         Reason
		file        string
		coexistence bool
		record      string
	}{
		{Discovered, "managedDevices.json", false, `"managementState":"discovered","managementAgent":"jamf","operatingSystem":"Linux"`},
		{Agent, "managedDevices.json", false, `"managementAgent":"jamf","operatingSystem":"macOS"`},
		{Agent, "managedDevices.json", false, `"managementAgent":null,"operatingSystem":"iOS"`},
		{Agent, "managedDevices.json", false, `"managementAgent":"somethingNew","operatingSystem":"iOS"`},
		{MacUnderBMS, "managedDevices.json", false, `"managementAgent":"mdm","operatingSystem":"macOS"`},
		{MacUnderBMS, "managedDevices.json", true, `"managementAgent":258,"deviceType":14`},
		{"", "managedDevices.json", true, `"managementAgent":"mdm","operatingSystem":"macOS"`},
		{NoSuchPlatform, "managedDevices.json", true, `"managementAgent":"mdm","operatingSystem":"Linux"`},
		{NoSuchPlatform, "managedDevices.json", true, `"managementAgent":"mdm","operatingSystem":"","deviceType":"unknown"`},
		{ProfileType, "devices.json", false, `"profileType":"Printer","managementType":"eas","operatingSystem":"Windows"`},
		{ManagementType, "devices.json", false, `"managementType":"eas","isManaged":false,"operatingSystem":"iPhone"`},
		{NotManaged, "devices.json", false, `"isManaged":null,"mdmAppId":"54b943f8-d761-4f8d-951e-9cea1846db5a","operatingSystem":"Windows"`},
		{OtherMDM, "devices.json", false, `"isManaged":true,"mdmAppId":"54b943f8-d761-4f8d-951e-9cea1846db5a","operatingSystem":"MacMDM"`},
		{MacUnderBMS, "devices.json", false, `"isManaged":true,"operatingSystem":"MacMDM"`},
		{MacUnderBMS, "devices.json", false, `"isManaged":true,"mdmAppId":"0000000a-0000-0000-c000-000000000000","operatingSystem":"MacMDM"`},
		{"", "devices.json", true, `"isManaged":true,"mdmAppId":"0000000a-0000-0000-c000-000000000000","operatingSystem":"MacMDM"`},
		{NoSuchPlatform, "devices.json", false, `"isManaged":true,"operatingSystem":"Linux"`},
	} {
		p := read(tt.file, tt.record, tt.coexistence)
		if got := slices.Sorted(maps.Keys(p.LeftOutBy())); p.Total != 1 || tt.why == "" && len(p.Devices) != 1 || tt.why != "" && !slices.Equal(got, []string{string(tt.why)}) {
			t.Errorf("%s %s: left out %v, want %q", tt.file, tt.record, got, tt.why)
		}
	}
}

// FuzzJSON feeds one file of devices and one of users.
func FuzzJSON(f *testing.F) {
	for _, path := range []string{"testdata/coexistence/managedDevices.json", "testdata/coexistence/users.json", "testdata/bms-only/devices.json", "testdata/coexistence/tenant.json"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:min(len(data), 3000)], data[:min(len(data), 2000)], data[:min(len(data), 2000)])
	}
	f.Add([]byte(`{"value":[{"value":[{"id":"x"}]}]`), []byte(`[]`), []byte(`{"organization":{}}`))
	f.Fuzz(func(t *testing.T, devices, users, tenant []byte) {
		for _, name := range []string{"managedDevices.json", "devices.json"} {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, name), devices, 0o600))
			must(t, os.WriteFile(filepath.Join(dir, "users.json"), users, 0o600))
			must(t, os.WriteFile(filepath.Join(dir, "tenant.json"), tenant, 0o600))
			holds(t, dir)
		}
	})
}

// FuzzCSV feeds the console's table.
func FuzzCSV(f *testing.F) {
	data, err := os.ReadFile("testdata/console/DevicesWithInventory.csv")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[:3000])
	f.Add([]byte("DeviceId,IsManaged,OperatingSystem,RegisteredOwners\nd,True,iPad,a;b\n"))
	f.Add([]byte("UserPrincipalName,Licenses\na@example.com,Microsoft 365 E3+Enterprise Mobility + Security E3\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "a.csv"), data, 0o600))
		holds(t, dir)
	})
}

// holds imports dir both ways and checks what every population promises.
func holds(t *testing.T, dir string) {
	strict, err := Import(Options{Path: dir})
	if (strict == nil) == (err == nil) {
		t.Fatalf("Import gives %v, %v", strict, err)
	}
	p, err := Import(Options{Path: dir, Lenient: true})
	if err != nil {
		return
	}
	left := 0
	for _, l := range p.LeftOut {
		left += l.Records
	}
	if p.Total != left+len(p.Devices) {
		t.Errorf("%d records, %d left out, %d devices", p.Total, left, len(p.Devices))
	}
	for i := range p.Devices {
		d := &p.Devices[i]
		if d.Platform == protocol.NoPlatform || int(d.User) >= len(p.Users) || d.Model == nil || d.Name == "" || d.Serial == "" || d.UDID == "" {
			t.Errorf("device %+v", d)
		}
	}
	_ = p.Resample(len(p.Devices)+1, 1)
}

func mustImport(t *testing.T, o Options) *Population {
	t.Helper()
	p, err := Import(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustTime(s string) protocol.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return protocol.At(t)
}

// copyFolder copies an export with one file changed or added.
func copyFolder(t *testing.T, folder, file, text string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(folder)))
	must(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
	return dir
}

// pascal writes JSON as PowerShell's ConvertTo-Json does from typed objects.
func pascal(text string) string {
	text = regexp.MustCompile(`"([a-z])(\w*)":`).ReplaceAllStringFunc(text, func(key string) string { return `"` + strings.ToUpper(key[1:2]) + key[2:] })
	return regexp.MustCompile(`"\d{4}-\d\d-\d\dT[\d:.]+Z"`).ReplaceAllStringFunc(text, func(quoted string) string {
		at, err := time.Parse(time.RFC3339Nano, strings.Trim(quoted, `"`))
		if err != nil {
			panic(err)
		}
		return fmt.Sprintf(`"\/Date(%d)\/"`, at.UnixMilli())
	})
}

func utf16LE(text string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}
