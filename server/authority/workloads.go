package authority

import (
	"strings"

	"rollcall/protocol"
)

// Workloads are those of a co-managed client that Intune decides; all others are Configuration Manager's (AUTH-51).
type Workloads uint8

// The workloads.
const (
	Compliance Workloads = 1 << iota
	ResourceAccess
	DeviceConfiguration // with resource access and endpoint protection
	EndpointProtection
	Update
	OfficeApps
	ClientApps

	AllWorkloads = 1<<iota - 1
)

// WorkloadNames are the workloads in the order of their bits.
var WorkloadNames = [...]string{"compliance", "resource_access", "device_configuration", "endpoint_protection", "update", "office_apps", "client_apps"}

// Whole adds what device configuration includes.
func (w Workloads) Whole() Workloads {
	if w&DeviceConfiguration != 0 {
		w |= ResourceAccess | EndpointProtection
	}
	return w
}

// Brings tells whether Intune's profiles of family f apply to a co-managed client (AUTH-12): mail, VPN, Wi-Fi and certificates
// are access to resources. What is outside the families is decided elsewhere and applies.
func (w Workloads) Brings(f protocol.Family) bool {
	switch f {
	case protocol.NoFamily:
		return true
	case protocol.Configuration:
		return w&DeviceConfiguration != 0
	}
	return w.Whole()&ResourceAccess != 0
}

func (w Workloads) String() string {
	var names []string
	for i, name := range WorkloadNames {
		if w&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// A Decider says who decides a workload of the tenant's clients.
type Decider uint8

// The deciders. A workload begins as Configuration Manager's; each switch can be taken back.
const (
	ByConfigMgr Decider = iota
	ByPilot             // Intune for the clients of the pilot group's users, Configuration Manager for all others
	ByIntune
)

var deciderNames = [...]string{"configmgr", "pilot", "intune"}

func (d Decider) String() string { return deciderNames[d%Decider(len(deciderNames))] }

// DeciderNamed finds a decider by the name that String gives.
func DeciderNamed(name string) (d Decider, ok bool) {
	for i, n := range deciderNames {
		if n == name {
			return Decider(i), true
		}
	}
	return 0, false
}

// Deciders say who decides each workload, in the order of WorkloadNames.
type Deciders [len(WorkloadNames)]Decider

// Of are the workloads of a client that Intune decides.
func (d *Deciders) Of(pilot bool) (w Workloads) {
	for i, by := range d {
		if by == ByIntune || by == ByPilot && pilot {
			w |= 1 << i
		}
	}
	return w.Whole()
}
