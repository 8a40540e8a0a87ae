package authority_test

import (
	"testing"

	"rollcall/protocol"
	"rollcall/server/authority"
)

// TestAUTH51Deciders: each workload is Configuration Manager's, the pilot's or Intune's; a switch is taken back by another.
func TestAUTH51Deciders(t *testing.T) {
	at := func(w authority.Workloads, by authority.Decider) (d authority.Deciders) {
		for i := range d {
			if w&(1<<i) != 0 {
				d[i] = by
			}
		}
		return d
	}
	for _, tt := range []struct {
		name         string
		deciders     authority.Deciders
		pilot, other authority.Workloads
	}{
		{"at first", authority.Deciders{}, 0, 0},
		{"Intune", at(authority.Compliance|authority.Update, authority.ByIntune), authority.Compliance | authority.Update, authority.Compliance | authority.Update},
		{"pilot", at(authority.OfficeApps|authority.ClientApps, authority.ByPilot), authority.OfficeApps | authority.ClientApps, 0},
		{
			"device configuration includes resource access and endpoint protection", at(authority.DeviceConfiguration, authority.ByPilot),
			authority.DeviceConfiguration | authority.ResourceAccess | authority.EndpointProtection, 0,
		},
		{"all", at(authority.AllWorkloads, authority.ByIntune), authority.AllWorkloads, authority.AllWorkloads},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if pilot, other := tt.deciders.Of(true), tt.deciders.Of(false); pilot != tt.pilot || other != tt.other {
				t.Errorf("pilot %s, other %s; want %s and %s", pilot, other, tt.pilot, tt.other)
			}
		})
	}
	for d := authority.ByConfigMgr; d <= authority.ByIntune; d++ {
		if got, ok := authority.DeciderNamed(d.String()); got != d || !ok {
			t.Errorf("DeciderNamed(%q) = %v, %v", d, got, ok)
		}
	}
	if _, ok := authority.DeciderNamed("sccm"); ok {
		t.Error("sccm is no decider")
	}
}

// TestAUTH12Families: which of Intune's profiles a co-managed client gets follows from its workloads.
func TestAUTH12Families(t *testing.T) {
	for _, tt := range []struct {
		on                            authority.Workloads
		access, configuration, others bool
	}{
		{0, false, false, true},
		{authority.Compliance | authority.ClientApps | authority.EndpointProtection, false, false, true},
		{authority.ResourceAccess, true, false, true},
		{authority.DeviceConfiguration, true, true, true},
		{authority.AllWorkloads, true, true, true},
	} {
		for _, f := range protocol.Families {
			want := tt.access
			if f == protocol.Configuration {
				want = tt.configuration
			}
			if got := tt.on.Brings(f); got != want {
				t.Errorf("%s: brings %s: %v, want %v", tt.on, f, got, want)
			}
		}
		if got := tt.on.Brings(protocol.NoFamily); got != tt.others {
			t.Errorf("%s: brings what is outside the families: %v, want %v", tt.on, got, tt.others)
		}
	}
}
