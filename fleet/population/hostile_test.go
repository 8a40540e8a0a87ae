package population

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// TestHST122EmptyCellOfTwo: of two columns that Microsoft's report has of one field, the one that says something is read; and a table of
// users is held to the same headers.
func TestHST122EmptyCellOfTwo(t *testing.T) {
	const head = "Device ID,Enrollment date,Last check-in,Managed by,Ownership,OwnerType,OS,Primary user UPN\n"
	const row = ",2026-01-01T00:00:00Z,2026-10-01T00:00:00Z,Intune,%s,%s,Windows,a@example.com\n"
	p, err := load(Options{Path: "FOLDER"}, fstest.MapFS{"a.csv": {Data: []byte(head + "d1" + fmt.Sprintf(row, "", "2") + "d2" + fmt.Sprintf(row, "Corporate", "") + "d3" + fmt.Sprintf(row, "Personal", "0"))}}, "", BMSLicence)
	if err != nil {
		t.Fatal(err)
	}
	var owners []Ownership
	for i := range p.Devices {
		owners = append(owners, p.Devices[i].Ownership)
	}
	if want := []Ownership{Personal, Company, Personal}; !slices.Equal(owners, want) {
		t.Errorf("owners %v, want %v", owners, want)
	}
	users := "UserPrincipalName,Licenses,Licences\na@example.com,Intune,\n"
	_, err = load(Options{Path: "FOLDER"}, fstest.MapFS{"a.csv": {Data: []byte(head + "d1" + fmt.Sprintf(row, "", "2"))}, "users.csv": {Data: []byte(users)}}, "", BMSLicence)
	if want := `users.csv:1:28: Licences: the header means what "Licenses" of column 2 does; want one of the two (HST-122)`; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
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
		{
			"no such column", "a.csv", "Device ID,Managed by,OS,Ownership,UserId\nd1,Intune,Windows,x,\n",
			"a.csv:1:1: enrolledDateTime: the column is missing; want a header such as enrollmentdate (HST-122)\n" +
				"a.csv:1:1: lastSyncDateTime: the column is missing; want a header such as lastcheck-in (HST-122)", -1,
		},
		{
			"stale-device example", "a.csv", "AccountEnabled,DeviceId,OperatingSystem,DisplayName\nTrue,d1,Windows,x\n",
			"a.csv:1:1: isManaged: the column is missing; want a header such as ismanaged (HST-122)", -1,
		},
		{
			"a header twice", "a.csv", "OS," + strings.TrimSuffix(head, "\n") + ",device  ID,Category,Category\nx," + strings.TrimSuffix(good, "\n") + ",d9,a,b\n",
			"a.csv:1:65: OS: the header is there twice: in columns 1 and 7 of the table (HST-122)\n" +
				"a.csv:1:97: device  ID: the header is there twice: in columns 2 and 10 of the table (HST-122)", -1,
		},
		{
			"two headers of one field", "a.csv", "Created date," + strings.TrimSuffix(head, "\n") + ",UPN\nx," + strings.TrimSuffix(good, "\n") + ",b\n",
			"a.csv:1:24: Enrollment date: the header means what \"Created date\" of column 1 does; want one of the two (HST-122)\n" +
				"a.csv:1:107: UPN: the header means what \"Primary user UPN\" of column 8 does; want one of the two (HST-122)", -1,
		},
		{
			"two headers of one field, of the directory", "a.csv", "DeviceId,IsManaged,OperatingSystem,DeviceOSType\nd1,True,iPad,iPad\n",
			"a.csv:1:36: DeviceOSType: the header means what \"OperatingSystem\" of column 3 does; want one of the two (HST-122)", -1,
		},
		{
			"label and number", "a.csv", "OwnerType,ManagementAgents,DeviceType," + head + "2,2,0," + good + "1,2,0,d2" + good[2:] + "2,258,0,d3" + good[2:] + "0,,,d4" + good[2:] + "2,2,9,d5" + good[2:],
			"a.csv:3:1: OwnerType: \"1\" contradicts Ownership of the same row, which is \"Personal\" (HST-122)\n" +
				"a.csv:4:3: ManagementAgents: \"258\" contradicts Managed by of the same row, which is \"Intune\" (HST-122)\n" +
				"a.csv:6:5: DeviceType: \"9\" contradicts OS of the same row, which is \"Windows\" (HST-122)", 2,
		},
		{"nobody left", "a.csv", head + strings.Replace(good, "Windows", "Linux", 1), "FOLDER: all 1 of its records are left out (platform 1), and nobody is left; want devices enrolled in MDM of one of the five platforms (HST-122)", -1},
		{"empty CSV", "a.csv", "", "a.csv:1:1: the file is empty; want a line of column names (HST-122)", -1},
		{"not ours", "a.csv", "a,b\n1,2\n", "FOLDER: no devices here; want managedDevices.json, devices.json or the console's CSV (HST-122)", -1},
		{
			"bad time", "a.csv", head + good + "d2,31.10.2026,2026-10-01T00:00:00Z,Intune,Personal,Windows,,n2\n",
			"a.csv:3:4: Enrollment date: want a time such as 2026-11-01T08:00:00Z; in PowerShell write it by .ToString('o') (HST-122)", 1,
		},
		{"fields", "a.csv", head + good + "d2,x\n", "a.csv:3:1: 2 fields; the header has 8 (HST-122)", 1},
		{"quotes", "a.csv", head + "d2,\"x\"y,z\n" + good, "a.csv:2:6: extraneous or missing \" in quoted-field (HST-122)", 1},
		{"quote not closed", "a.csv", head + good + "d2,x,\"y\n" + strings.Replace(good, "d1", "d3", 1) + strings.Replace(good, "d1", "d4", 1), "a.csv:3:1: Last check-in: a quote opens in this row and is not closed in it (HST-122)", 1},
		{"quote closed by another", "a.csv", head + good + "d2,x,\"y\nd3,\"z\"\n", "a.csv:3:1: Last check-in: a quote opens in this row and is not closed in it (HST-122)", 1},
		{"quote not closed in the header", "a.csv", "\"" + head + good, "a.csv:1:1: a quote opens in this row and is not closed in it (HST-122)", -1},
		{"no id", "a.csv", head + good + "," + good[3:], "a.csv:3:1: Device ID: a device without id (HST-122)", 1},
		{"twice", "a.csv", head + good + "D1" + good[2:], "a.csv:3:1: Device ID: device D1 is there twice (HST-122)", 1},
		{"byte order mark", "a.csv", "\ufeff" + head + good + good, "a.csv:3:1: Device ID: device d1 is there twice (HST-122)", 1},
		{"long line", "a.csv", head + good + "d2," + strings.Repeat("x", 3*maxRow) + "\nd3" + good[2:], "a.csv:3:1: a record is at most 1048576 bytes (HST-122)", 2},
		{"bad rows around a long one", "a.csv", head + "d2,x\n" + good + "d2," + strings.Repeat("x", 2*maxRow) + "\nd3,x\n", "a.csv:2:1: 2 fields; the header has 8 (HST-122)\n" +
			"a.csv:4:1: a record is at most 1048576 bytes (HST-122)\na.csv:5:1: 2 fields; the header has 8 (HST-122)", 1},
		{"quote around much", "a.csv", head + good + "\"" + strings.Repeat("\n", 2*maxRow), "", 1},
		{"quote without end", "a.csv", head + good + "\"" + strings.Repeat("x\n", maxRow) + "\nd3" + good[2:], "", 2},
		{
			"HST-118, where a quote opens that is not closed", "a.csv", head + good + "\"d9\n" + strings.Repeat("x", 2*maxRow) + "\nd3" + good[2:],
			"a.csv:3:1: a quote opens in this row and is not closed within 1048576 bytes: lines 3 to 4 are left out with it (HST-122)", 2,
		},
		{
			"JSON cut off", "managedDevices.json", `{"value":[` + device("") + `,{"id":"d2`,
			"managedDevices.json:1:75: the file ends inside this record (HST-122)", 1,
		},
		{
			"JSON of another kind", "managedDevices.json", "[\n" + device("") + ",\n" + device(`,"osVersion":{"a":1}`)[:7] + `8"` + device(`,"osVersion":{"a":1}`)[10:] + "]",
			"managedDevices.json:3:75: osVersion: want a single value (HST-122)", 1,
		},
		{"JSON time", "managedDevices.json", device(`,"enrolledDateTime":"0000-13-40"`), "", -1},
		{"JSON garbage", "managedDevices.json", device("") + "\nfoo bar\n" + device("")[:7] + `8"` + device("")[10:], "managedDevices.json:2:1: want an object {...} here (HST-122)", 2},
		{"JSON numbers", "managedDevices.json", "[1, 2]", "", -1},
		{"JSON too deep", "managedDevices.json", `{"id":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}", "managedDevices.json:1:1: nested more than 64 deep (HST-122)", -1},
		{"JSON pages too deep", "managedDevices.json", strings.Repeat(`{"value":[`, 1000), "", -1},
		{"JSON too long", "managedDevices.json", "[" + device(`,"notes":"`+strings.Repeat("x", 2*maxRow)+`"`) + "," + device("") + "]", "managedDevices.json:1:2: a record is at most 1048576 bytes (HST-122)", 1},
		{"JSON without id", "managedDevices.json", `[{"ID2":"x"}]`, "managedDevices.json:1:2: id: a device without id (HST-122)", -1},
		{"nothing at all", "managedDevices.json", "", "managedDevices.json: no device record in this file; export the devices again, all pages of them (HST-122)", -1},
		{"a page of nothing", "managedDevices.json", `{"value":[]}`, "managedDevices.json: no device record in this file; export the devices again, all pages of them (HST-122)", -1},
		{"a list of nothing", "devices.json", " [\n]\n", "devices.json: no device record in this file; export the devices again, all pages of them (HST-122)", -1},
		{"headers alone", "a.csv", head, "a.csv: no device record in this file; export the devices again, all pages of them (HST-122)", -1},
		{"brackets alone", "managedDevices.json", strings.Repeat("[", 200_000), "managedDevices.json:1:1: the file ends inside this list (HST-122)", -1},
		{"list cut off", "managedDevices.json", "[" + device("") + ",\n", "managedDevices.json:1:1: the file ends inside this list (HST-122)", 1},
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
	must(t, os.WriteFile(filepath.Join(dir, "managedDevices.json"), []byte("["+strings.Repeat("{},\n", 5001)+`{"id":"d1","managementAgent":"mdm","operatingSystem":"Windows"}]`), 0o600))
	_, err := Import(Options{Path: dir})
	var all plan.Errors
	if !errors.As(err, &all) || len(all) != maxBad {
		t.Errorf("%d errors, want %d", len(all), maxBad)
	}
	p, err := Import(Options{Path: dir, Lenient: true})
	if err != nil || p.LeftOutBy()["unreadable"] != 5001 || len(p.BadRows) != maxBad || p.Bad != 5001 {
		t.Errorf("Lenient: %v, %v", err, p)
	}
}

// TestHST122Empty: a file of devices that holds none, beside one that holds some, does not win over it; it is told.
func TestHST122Empty(t *testing.T) {
	office := protocol.Office365
	const entra = `{"deviceId":"d1","isManaged":true,"operatingSystem":"iPad","registeredOwners":[]}`
	const console = "Device ID,Enrollment date,Last check-in,Managed by,Ownership,OS,Primary user UPN\n"
	const row = "d1,2026-01-01T00:00:00Z,2026-10-01T00:00:00Z,Intune,Personal,Windows,a@example.com\n"
	for name, files := range map[string]fstest.MapFS{
		"JSON of Intune beside the directory's":             {"managedDevices.json": {}, "devices.json": {Data: []byte(entra)}},
		"JSON of Intune beside the console's CSV":           {"managedDevices.json": {Data: []byte(`{"value":[]}`)}, "a.csv": {Data: []byte(console + row)}},
		"JSON of the directory beside the same":             {"devices.json": {Data: []byte(`[]`)}, "a.csv": {Data: []byte(console + row)}},
		"headers of the console beside the directory's CSV": {"a.csv": {Data: []byte(console)}, "b.csv": {Data: []byte("DeviceId,IsManaged,OperatingSystem\nd1,True,iPad\n")}},
		"a last page": {"managedDevices-1.json": {Data: []byte(`{"id":"d1","managementAgent":"mdm","operatingSystem":"Windows"}`)}, "managedDevices-2.json": {Data: []byte(`{"value":[]}`)}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := load(Options{Path: "FOLDER", Authority: &office}, files, "", BMSLicence)
			if err != nil || len(p.Devices) != 1 {
				t.Fatalf("load gives %v, %v; want the one device", p, err)
			}
			if !slices.ContainsFunc(p.Findings, func(f Finding) bool {
				return f.Rule == ruleExport && strings.Contains(f.Text.String(), "holds no device record")
			}) {
				t.Errorf("findings %v say nothing of the empty file", p.Findings)
			}
		})
	}
}

// One contact far from every other is taken for the moment of the export, with a doubt.
func TestHST122LoneContact(t *testing.T) {
	const header = "Device ID,Enrollment date,Last check-in,Managed by,Ownership,OS,Primary user UPN\n"
	row := func(id, seen string) string {
		return id + ",2026-01-01T00:00:00Z," + seen + ",Intune,Personal,Windows,a@example.com\n"
	}
	for last, want := range map[string]bool{"2099-01-01T00:00:00Z": true, "2026-10-20T00:00:00Z": false} {
		p, err := load(Options{Path: "FOLDER"}, fstest.MapFS{"a.csv": {Data: []byte(header + row("d1", "2026-10-01T00:00:00Z") + row("d2", last) + row("d3", "2026-09-01T00:00:00Z"))}}, "", BMSLicence)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.ContainsFunc(p.Doubts, func(d Doubt) bool { return d.Kind == LoneContact }); got != want {
			t.Errorf("latest contact %s: doubts %v, want one of it: %t", last, p.Doubts, want)
		}
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
	b, err := os.ReadFile("testdata/coexistence/users.json")
	if err != nil {
		t.Fatal(err)
	}
	ours := regexp.MustCompile(`"id":\s*"([^"]+)"`).FindStringSubmatch(string(b))[1]
	withID := strings.Replace(foreign, `"userP`, `"userId":"`+ours+`","userP`, 1)
	if _, err = Import(Options{Path: copyFolder(t, "testdata/coexistence", "managedDevices.json", withID)}); err == nil || !strings.Contains(err.Error(), "managedDevices.json:1:1: userPrincipalName: a user of another tenant") {
		t.Errorf("a user of another tenant under an id of this one: %v", err)
	}
	if p, err := Import(Options{Lenient: true, Path: copyFolder(t, "testdata/coexistence", "managedDevices.json", withID+"\n"+strings.Replace(guest, "d77", "d78", 1))}); err != nil || len(p.Devices) != 1 || p.Bad != 1 {
		t.Errorf("the same, left out: %v", err)
	}
	p, err := Import(Options{Path: copyFolder(t, "testdata/coexistence", "managedDevices.json", guest)})
	if err != nil || len(p.Devices) != 1 || p.Doubts[0].Kind != UserUnknown {
		t.Errorf("a guest: %v, %v; want one device and a doubt", p, err)
	}
}

// manyRows is a file of so many rows of some 2 KB, none of which exists before it is read.
type manyRows struct {
	fstest.MapFS
	rows int
}

func (m manyRows) Open(name string) (fs.File, error) {
	f, err := m.MapFS.Open(name)
	if name != "managedDevices.json" || err != nil {
		return f, err
	}
	return &rowsFile{File: f, left: m.rows}, nil
}

type rowsFile struct {
	fs.File
	left int
	text []byte
}

func (f *rowsFile) Read(p []byte) (int, error) {
	if len(f.text) == 0 {
		if f.left == 0 {
			return 0, io.EOF
		}
		f.left--
		agent := "jamf"
		if f.left == 0 { // one of them is taken
			agent = "mdm"
		}
		f.text = fmt.Appendf(f.text, `{"id":"device %d","managementAgent":%q,"operatingSystem":"iOS","notes":"%02000d"}`+"\n", f.left, agent, 0)
	}
	n := copy(p, f.text)
	f.text = f.text[n:]
	return n, nil
}

// TestHST122Memory reads 100 MB of rows; what grows is the index of their ids alone.
func TestHST122Memory(t *testing.T) {
	const rows = 50_000
	fsys := manyRows{fstest.MapFS{"managedDevices.json": {}, "tenant.json": {Data: []byte("{}")}}, rows}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p, err := load(Options{}, fsys, "", BMSLicence)
	runtime.ReadMemStats(&after)
	if err != nil || p.Total != rows || p.LeftOutBy()["agent"] != rows-1 {
		t.Fatalf("%v, %+v", err, p)
	}
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 24<<20 {
		t.Errorf("reading %d rows took %d MB of memory", rows, grown>>20)
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
			holds(t, fstest.MapFS{name: {Data: devices}, "users.json": {Data: users}, "tenant.json": {Data: tenant}})
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
		holds(t, fstest.MapFS{"a.csv": {Data: data}})
	})
}

// holds imports fsys both ways and checks what every population promises.
func holds(t *testing.T, fsys fstest.MapFS) {
	strict, err := load(Options{}, fsys, "", BMSLicence)
	if (strict == nil) == (err == nil) {
		t.Fatalf("load gives %v, %v", strict, err)
	}
	p, err := load(Options{Lenient: true}, fsys, "", BMSLicence)
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

// An export that contradicts itself is taken with a doubt for each contradiction, or refused where a user has two different licences.
func TestHST122Contradictions(t *testing.T) {
	const (
		tenant = `{"organization":{"mobileDeviceManagementAuthority":2},"rollcall":{"coexistence":false,"changedAt":"%s","asOf":"2026-11-01T00:00:00Z"}}`
		device = `{"%svalue":[{"id":"d1","operatingSystem":"iOS","managementAgent":"mdm","userId":"u1","enrolledDateTime":"2026-01-01T00:00:00Z","lastSyncDateTime":"%s"}]}`
		basic  = `{"id":"u1","userPrincipalName":"one@example.com","assignedLicenses":[{"skuId":"3b555118-da6a-4418-894f-7df1e2096870","disabledPlans":[]}]}`
		none   = `{"id":"u1","userPrincipalName":"one@example.com","assignedLicenses":[]}`
		hidden = `{"id":"u1","userPrincipalName":"one@example.com"}`
		before = "2026-01-01T00:00:00Z"
		recent = "2026-10-31T00:00:00Z"
		next   = `@odata.nextLink":"https://graph.example.com/next","`
	)
	read := func(changed, devices, users string) (*Population, error) {
		dir := t.TempDir()
		for name, text := range map[string]string{"tenant.json": fmt.Sprintf(tenant, changed), "managedDevices.json": devices, "users.json": users} {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		return Import(Options{Path: dir})
	}
	list := "[" + basic + "]"
	last := fmt.Sprintf(device, "", recent)
	for name, tt := range map[string]struct {
		changed, devices, users string
		want                    DoubtKind
	}{
		"none":                       {before, last, list, ""},
		"a page unfollowed":          {before, fmt.Sprintf(device, next, recent), list, Unfollowed},
		"its last page is there too": {before, fmt.Sprintf(device, next, recent) + `{"value":[]}`, list, ""},
		"a page of users":            {before, last, `{"value":[` + basic + `],"@odata.nextLink": "https://graph.example.com/next"}`, Unfollowed},
		"a count that is right":      {before, fmt.Sprintf(device, `@odata.count":1,"`, recent), `{"@odata.count" : 1, "value":[` + basic + `]}`, ""},
		"fewer than it counts":       {before, fmt.Sprintf(device, `@odata.count":12,"`, recent), list, Miscounted},
		"more than it counts":        {before, last, `{"value":[` + basic + `,` + strings.ReplaceAll(basic, "one", "two") + `],"@odata.count":1}`, Miscounted},
		"pages that count all":       {before, fmt.Sprintf(device, next+`@odata.count":2,"`, recent) + strings.Replace(fmt.Sprintf(device, "", recent), "d1", "d2", 1), list, ""},
		"a page that counts itself":  {before, fmt.Sprintf(device, next, recent) + strings.Replace(fmt.Sprintf(device, `@odata.count":1,"`, recent), "d1", "d2", 1), list, ""},
		"a count as text inside":     {before, last, `{"x":{"@odata.count":7},"value":[` + basic + `]}`, ""},
		"no next page":               {before, last, `{"value":[` + basic + `],"@odata.nextLink": null}`, ""},
		"changed after the export":   {"2027-01-01T00:00:00Z", last, list, LateChange},
		"contact in the future":      {before, fmt.Sprintf(device, "", "2036-01-01T00:00:00Z"), list, LateContact},
		"contact before enrolment":   {before, fmt.Sprintf(device, "", "2025-12-01T00:00:00Z"), list, EarlyContact},
	} {
		p, err := read(tt.changed, tt.devices, tt.users)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var kinds []DoubtKind
		for _, d := range p.Doubts {
			kinds = append(kinds, d.Kind)
		}
		if len(kinds) > 1 || tt.want != "" && !slices.Contains(kinds, tt.want) || tt.want == "" && len(kinds) > 0 {
			t.Errorf("%s: doubts %v, want %q", name, p.Doubts, tt.want)
		}
	}
	most := func(dates string) string {
		one := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf(device, "", dates), `{"value":[`), "]}")
		return "[" + one + "," + strings.Replace(one, "d1", "d2", 1) + "," + strings.Replace(one, "d1", "d3", 1) + "]"
	}
	if p, err := read(before, most("2027-02-01T00:00:00Z"), list); err != nil || len(p.Doubts) != 1 || p.Doubts[0].Kind != EarlyMoment {
		t.Errorf("an export whose moment is before all its contacts: %v, %v", err, p.Doubts)
	}
	for _, users := range []string{basic + "\n" + none, none + "\n" + basic} {
		if _, err := read(before, last, users); err == nil || !strings.Contains(err.Error(), "users.json:2") || !strings.Contains(err.Error(), "has other licences in line 1 already (HST-122)") {
			t.Errorf("a user with two licences: %v", err)
		}
	}
	for _, users := range []string{basic + "\n" + hidden, hidden + "\n" + basic, basic + "\n" + basic} {
		if p, err := read(before, last, users); err != nil || len(p.Users) != 1 || p.Users[0].Licence != BMSLicence || p.Users[0].Assumed {
			t.Errorf("a user twice with one licence: %v", err)
		}
	}
}
