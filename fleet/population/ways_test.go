package population

import (
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
  ways: {manager: 10, group_policy: 20, joined: 30, autopilot: 40}
  other_mdm: 20%
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 1d, enrol: {co_managed: 200, over: 1h}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Devices(); got != 1200 {
		t.Errorf("%d devices, want 1200", got)
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
	if ways[ByUser] != 500 || ways[ByManager]+ways[GroupPolicy]+ways[Joined]+ways[Autopilot] != 500 || ways[Autopilot] < ways[ByManager] {
		t.Errorf("ways %v", ways)
	}
	p.Population.Ways, p.Population.OtherMDM = plan.Ways{}, 0
	for i, d := range New(p).Devices {
		if d.UDID != pop.Devices[i].UDID || d.User != pop.Devices[i].User || d.Habits != pop.Devices[i].Habits {
			t.Fatal("ways change what else is drawn")
		}
	}
}
