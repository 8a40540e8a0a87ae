package population

import (
	"archive/zip"
	"bytes"
	"encoding/json"
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
			"two marks":         utf16LE("\ufeff" + string(original)),
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

// UTF-16 without its mark is no UTF-8, and that is said, not what a reader of CSV or JSON makes of it (HST-122).
func TestHST122UTF16WithoutMark(t *testing.T) {
	for folder, file := range map[string]string{"testdata/coexistence": "managedDevices.json", "testdata/console": "DevicesWithInventory.csv"} {
		data, err := os.ReadFile(filepath.Join(folder, file))
		must(t, err)
		_, err = Import(Options{Path: copyFolder(t, folder, file, utf16LE(strings.TrimPrefix(string(data), "\ufeff"))[2:])})
		if err == nil || !strings.Contains(err.Error(), file+":1:1: not UTF-8; save the file as UTF-8 (HST-122)") {
			t.Errorf("%s: %v", file, err)
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
	p = mustImport(t, Options{Path: csv, AsOf: mustTime("2027-01-01T00:00:00Z"), Labels: map[string]string{"Managed by: Intune": "jamf"}, APNs: APNs{Topic: "t", Expires: 5}})
	if p.Tenant.AsOf != mustTime("2027-01-01T00:00:00Z") || p.LeftOutBy()["agent"] == 0 || p.Tenant.APNs.Topic != "t" || p.Tenant.APNs.Expires != 5 {
		t.Errorf("flags: %+v, %v", p.Tenant, p.LeftOut)
	}
	if _, err := Import(Options{Path: csv, BMSAgent: []string{"258", "microsoft365ManagedMdn"}}); err == nil || !strings.Contains(err.Error(), `did you mean "microsoft365managedmdm"?`) {
		t.Errorf("an agent that is none: %v", err)
	}
	for _, o := range []Options{
		{Path: csv, LicenceDefault: "premium"},
		{Path: csv, BMSAgent: []string{"zork"}},
		{Path: csv, Labels: map[string]string{"Intune": "jamf"}},
		{Path: csv, Labels: map[string]string{"Colour: red": "x"}},
		{Path: "testdata/none"},
		{Path: copyFolder(t, "testdata/bms-only", "organization.json", "{}")},
	} {
		if p, err := Import(o); err == nil || p != nil {
			t.Errorf("Import(%+v) is taken", o)
		}
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
		{
			UserOnUserless, "managedDevices.json", true, `"operatingSystem":"iPadOS","managementAgent":"mdm","deviceEnrollmentType":4,"userId":"u1"`,
			func(p *Population, d *Device) bool { return d.User == 0 && d.Enrolment == Automated },
		},
		{
			TwoUsers, "managedDevices.json", true, `"operatingSystem":"iOS","managementAgent":2,"userId":"u1","userPrincipalName":"Two@example.com"`,
			func(p *Population, d *Device) bool { return d.User == 0 },
		},
		{
			UserUnknown, "managedDevices.json", true, `"operatingSystem":"iOS","managementAgent":"mdm","userId":"u2"`,
			func(p *Population, d *Device) bool { return d.User == 1 && p.Users[1].Licence == BMSLicence },
		},
		{
			NotCoManaged, "managedDevices.json", true, `"operatingSystem":"Windows","osVersion":"10.0.15063.1","managementAgent":10,"userId":"u1"`,
			func(p *Population, d *Device) bool { return !d.Has(CoManaged) && !p.Users[0].CoManaged },
		},
		{
			NotCoManaged, "managedDevices.json", true, `"operatingSystem":"Windows","osVersion":"10.0.26100","managementAgent":"mdm","deviceEnrollmentType":"windowsCoManagement","userId":"u1"`,
			func(p *Population, d *Device) bool { return !d.Has(CoManaged) && d.Enrolment == CoManagement },
		},
		{
			WorkloadsDiffer, "managedDevices.json", true, `"operatingSystem":"Windows","managementAgent":"mdm","userId":"u1","configurationManagerClientEnabledFeatures":{"deviceConfiguration":true,"officeApps":true}`,
			func(p *Population, d *Device) bool {
				return d.Has(CoManaged) && p.Users[0].CoManaged && d.Workloads == DeviceConfiguration|ResourceAccess|EndpointProtection|OfficeApps
			},
		},
		{
			NoApp, "devices.json", true, `"operatingSystem":"iPhone","isManaged":true,"registeredOwners":[{"id":"u1"}]`,
			func(p *Population, d *Device) bool { return d.Registered == protocol.Office365 },
		},
		{
			AgentNotBMS, "devices.json", false, `"operatingSystem":"Android","isManaged":true,"managementType":"googleCloudDevicePolicyController","registeredOwners":[{"id":"u1"}]`,
			func(p *Population, d *Device) bool { return d.Registered == protocol.Intune && d.Has(AndroidAPI) },
		},
		{
			ProfileOnBMS, "devices.json", false, `"operatingSystem":"iPad","isManaged":true,"enrollmentProfileName":"ADE","registeredOwners":[{"id":"u1"}]`,
			func(p *Population, d *Device) bool { return d.Registered == protocol.Office365 },
		},
		{
			CoarseEpoch, "devices.json", false, `"operatingSystem":"iPad","isManaged":true,"approximateLastSignInDateTime":"2026-10-01T00:00:00Z","registeredOwners":[{"id":"u1"}]`,
			func(p *Population, d *Device) bool { return d.Current },
		},
		{
			CoarseEnd, "devices.json", false, `"operatingSystem":"iPad","isManaged":true,"approximateLastSignInDateTime":"2026-10-11T00:00:00Z","registrationDateTime":"2025-10-20T00:00:00Z","registeredOwners":[{"id":"u1"}]`,
			func(p *Population, d *Device) bool {
				return d.CertEnd == mustTime("2027-10-20T00:00:00Z") && d.Has(AssumedCertEnd)
			},
		},
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
				return d.Kind == tt.kind && d.Device == 0 && d.Text.String() != "" && d.Other.String() != "" && d.Name == p.Devices[0].Name
			})
			if !found || !tt.check(p, &p.Devices[0]) {
				t.Errorf("%s: doubts %+v, device %+v", tt.kind, p.Doubts, p.Devices[0])
			}
		})
	}
}

// TestLeftOut walks the reasons in their order: a record with two of them counts under the first.
func TestLeftOut(t *testing.T) {
	const taken = `{"id":"d0","deviceId":"d0","managementAgent":"mdm","isManaged":true,"operatingSystem":"iPad"}` + "\n" // an export needs one
	read := func(file, record string, coexistence bool) *Population {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "tenant.json"), fmt.Appendf(nil, `{"rollcall":{"baseAuthority":"office365","coexistence":%t}}`, coexistence), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, file), []byte(taken+`{"id":"d1","deviceId":"d1",`+record+`}`), 0o600))
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
		if got := slices.Sorted(maps.Keys(p.LeftOutBy())); p.Total != 2 || tt.why == "" && len(p.Devices) != 2 || tt.why != "" && !slices.Equal(got, []string{string(tt.why)}) {
			t.Errorf("%s %s: left out %v, want %q", tt.file, tt.record, got, tt.why)
		}
	}
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
