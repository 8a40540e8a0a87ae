package population

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// TestAUTH51CoManagedPCs: a plan's auto-enrolled PCs are co-managed, with the workloads that their user's group brings, and take
// their user under co-management (AUTH-15); how others enrol, and who is managed elsewhere, is drawn (AUTH-47).
func TestAUTH51CoManagedPCs(t *testing.T) {
	p, err := plan.Parse("test.yaml", []byte(`
until: 2d
tenant:
  authority: intune
  co_management: {pilot: sales, compliance: intune, device_configuration: pilot}
population:
  devices: 1000
  mix: {windows: 50, android: 25, ios: 25}
  groups: {sales: 50}
  ways: {manager: 10, group_policy: 20, joined: 30, autopilot: 30, registered: 10, self_deploying: 40, bootstrap: 30}
  other_mdm: 20%
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 1d, enrol: {co_managed: 200, over: 1h}}
  - {at: 1d, enrol: {userless: {windows: 100}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Devices(); got != 1300 {
		t.Errorf("%d devices, want 1300", got)
	}
	pop := New(p)
	co, pilots, elsewhere := 0, 0, 0
	ways := map[Enrolment]int{}
	for i := range pop.Devices {
		d := &pop.Devices[i]
		if d.Has(Elsewhere) {
			if elsewhere++; d.Platform.Apple() {
				t.Error("an Apple device is managed elsewhere, which no wire of Apple's could tell")
			}
		}
		if !d.Has(CoManaged) {
			ways[d.Enrolment]++
			continue
		}
		co++
		u := &pop.Users[d.User]
		want := Compliance
		if u.Group == 0 {
			pilots++
			want |= DeviceConfiguration | ResourceAccess | EndpointProtection
		}
		if d.Platform != protocol.Windows || d.Enrolment != CoManagement || !u.CoManaged || d.Workloads != want || d.Joins == Never {
			t.Fatalf("%+v of %+v, want workloads %b", d, u, want)
		}
	}
	if co != 200 || pilots < 60 || pilots > 140 || elsewhere < 100 || elsewhere > 300 {
		t.Errorf("%d co-managed, %d of them pilots, %d managed elsewhere", co, pilots, elsewhere)
	}
	if ways[ByUser] != 500 || ways[ByManager]+ways[GroupPolicy]+ways[Joined]+ways[Autopilot]+ways[DirectoryRegistered] != 500 || ways[Autopilot] < ways[ByManager] ||
		ways[DirectoryRegistered] == 0 || ways[Bulk]+ways[SelfDeployed]+ways[Packaged] != 100 || ways[Packaged] < 15 || ways[Packaged] > 45 || ways[SelfDeployed] < 20 || ways[SelfDeployed] > 60 {
		t.Errorf("ways %v", ways)
	}
	p.Population.Ways, p.Population.OtherMDM = plan.Ways{}, 0
	for i, d := range New(p).Devices {
		if d.UDID != pop.Devices[i].UDID || d.User != pop.Devices[i].User || d.Habits != pop.Devices[i].Habits {
			t.Fatal("ways change what else is drawn")
		}
	}
}

// TestAndroidWays: a plan says which of its Android devices are fully managed or without Google's services, those without a user too; such
// are the company's, and not Google's to manage. An export that has them says so.
func TestAndroidWays(t *testing.T) {
	p, err := plan.Parse("test.yaml", []byte(`
until: 2d
tenant: {authority: intune}
population:
  devices: 400
  mix: {android: 100}
  ways: {fully_managed: 30, aosp: 30}
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 1d, enrol: {userless: {android: 100}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	var with, without [AOSP + 1]int
	made := New(p)
	for i := range made.Devices {
		d := &made.Devices[i]
		if google := d.Enrolment == FullyManaged || d.Enrolment == Dedicated; d.Has(AndroidAPI) != google || d.Enrolment != ByUser && d.Ownership != Company {
			t.Fatalf("%+v", d)
		}
		if d.Userless() {
			without[d.Enrolment]++
		} else {
			with[d.Enrolment]++
		}
	}
	if with[FullyManaged] < 80 || with[FullyManaged] > 160 || with[AOSP] < 80 || with[AOSP] > 160 || with[ByUser]+with[FullyManaged]+with[AOSP] != 400 ||
		without[AOSP] < 15 || without[AOSP] > 45 || without[AOSP]+without[Dedicated] != 100 {
		t.Errorf("with a user %v, without %v", with, without)
	}
}

// The members of deviceEnrollmentType that came later have the numbers of Graph's beta documentation.
func TestEnrolmentsOfGraph(t *testing.T) {
	for _, tt := range []struct {
		number, name string
		want         Enrolment
		userless     bool
	}{
		{"18", "androidAOSPUserOwnedDeviceEnrollment", AOSP, false},
		{"19", "androidAOSPUserlessDeviceEnrollment", AOSP, true},
		{"20", "appleACMEBasicBYOD", ByUser, false},
		{"21", "appleACMEDEPUserless", Automated, true},
		{"22", "appleACMEDEPUDACompanyPortal", Automated, false},
		{"23", "appleACMEDEPUDASetupAsstLegacy", Automated, false},
		{"24", "appleACMEDEPUDAModernAuth", Automated, false},
		{"25", "appleAccountDrivenUserEnrollment", AppleUser, false},
	} {
		for _, text := range []string{tt.number, tt.name} {
			if got, userless := enrolmentOf(member(enrolmentNumbers, text)); got != tt.want || userless != tt.userless {
				t.Errorf("%s: %d, userless %t", text, got, userless)
			}
		}
		if enrolmentNumbers[tt.number] != strings.ToLower(tt.name) {
			t.Errorf("%s is %s, want %s", tt.number, enrolmentNumbers[tt.number], tt.name)
		}
	}
}

// What an export says of a user's PC beside its enrolment type decides whether the device limit counts it (AUTH-47): how it belongs to the
// directory, and whether Autopilot set it up.
func TestAUTH47DirectoryWays(t *testing.T) {
	for _, tt := range []struct {
		record string
		want   Enrolment
	}{
		{`"deviceEnrollmentType":"windowsAzureADJoin"`, Joined},
		{`"deviceEnrollmentType":"windowsAzureADJoin","joinType":"azureADJoined","autopilotEnrolled":true`, Autopilot},
		{`"deviceEnrollmentType":"windowsAutoEnrollment","joinType":"azureADRegistered"`, DirectoryRegistered},
		{`"deviceEnrollmentType":"windowsAutoEnrollment","joinType":"hybridAzureADJoined"`, GroupPolicy},
		{`"deviceEnrollmentType":"userEnrollment","joinType":"azureADJoined"`, Joined},
		{`"deviceEnrollmentType":"userEnrollment","joinType":"hybridAzureADJoined"`, Joined},
		{`"deviceEnrollmentType":"windowsAzureADJoin","joinType":"hybridAzureADJoined"`, Joined},
		{`"deviceEnrollmentType":"userEnrollment","joinType":"unknown"`, ByUser},
		{`"deviceEnrollmentType":"deviceEnrollmentManager","joinType":"azureADJoined"`, ByManager},
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "tenant.json"), []byte(`{"rollcall":{"baseAuthority":"intune"}}`), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "managedDevices.json"), []byte(`{"id":"d1","operatingSystem":"Windows","managementAgent":"mdm","userId":"u1",`+tt.record+`}`), 0o600))
		p := mustImport(t, Options{Path: dir})
		if got := p.Devices[0].Enrolment; got != tt.want {
			t.Errorf("%s: enrolled by way %d, want %d", tt.record, got, tt.want)
		}
	}
}
