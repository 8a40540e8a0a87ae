package rehearsal_test

import (
	"testing"

	"rollcall/fleet/rehearsal"
)

// mixed is a tenant of 5000 devices of four platforms (Basic Mobility and Security has no Macs), Android the most of them. Half of its
// users move, and all faults strike.
const mixed = `name: mixed
seed: 100
until: 30h
tenant:
  authority: office365
  release: 1910
  units: 1000
  bms: {userless: accept}
  apns: {topic: com.apple.mgmt.External.mixed, expires: +20d}
  identity: {lifetime: 1d, window: 6h, retry: 1h}
population:
  devices: 4900
  mix: {ios: 15, ipados: 10, android: 55, windows: 20}
  licences: {basic: 50, intune: 50}
  already: {userless: {registered: office365, ipados: 100}}
  offline: {share: 3%, lasts: "lognormal(2h, 2)"}
  habits: {not_now: 8%, unreachable_night: 30%, syncs_by_hand: 20%/d, profile_fails: 1%}
profiles:
  - {name: company mail, family: email}
  - {name: restrictions, family: configuration}
timeline:
  - {at: 0s, enrol: {over: 4h}}
  - {at: 5h, profiles: {assign: company mail, group: all}}
  - {at: 6h, command: {kind: DeviceInformation, to: all}}
  - {at: 8h, authority: {set: coexistence}}
  - {at: 10h, apns: {upload: renewed, slot: intune}}
  - {at: 12h, profiles: {assign: restrictions, group: all}}
  - {at: 16h, licences: {assign: intune, to: 50% of basic, over: 6h}}
  - {at: 20h, unenrol: 3% of all}
faults:
  - {share: 5%, drop_response: true}
  - {share: 5%, reset: true}
  - {share: 10%, push: lost}
  - {at: 13h, for: 1h, server: down}
  - {at: 17h, for: 2h, share: 30%, server: busy}
`

// TestAND100Mixed: whatever befalls a mixed fleet, the invariants hold, and one seed tells the same story, byte for byte.
func TestAND100Mixed(t *testing.T) {
	t.Parallel()
	devices := 5000
	if testing.Short() {
		devices = 500 // the race detector needs no more
	}
	var first string
	for range 2 {
		p, err := parsed(t, mixed).WithDevices(devices)
		if err != nil {
			t.Fatal(err)
		}
		out := played(t, rehearsal.Config{Plan: p})
		if out.Violated != 0 || len(out.Lives) != devices || out.CheckIns == 0 {
			t.Errorf("%d devices, %d check-ins, %d invariants violated", len(out.Lives), out.CheckIns, out.Violated)
		}
		if first == "" {
			first = out.LogSHA256
		}
		if out.LogSHA256 != first {
			t.Error("the same seed tells another story")
		}
	}
}
