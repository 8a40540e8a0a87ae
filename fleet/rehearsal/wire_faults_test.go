package rehearsal_test

import (
	"fmt"
	"slices"
	"testing"

	"rollcall/fleet/plan"
	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
)

// On bad networks, at busy servers, and with profiles that do not install, devices of all five platforms say over the wire what they say by
// rule: from their enrolment, whose answers are lost too, over a change that some miss, to identities that are renewed or run out. Seeds are
// ROLLCALL_WIRE_SEED to ROLLCALL_WIRE_SEEDS.
func TestWireUnderFaults(t *testing.T) {
	seeds := number(t, "ROLLCALL_WIRE_SEEDS", 3)
	for seed := number(t, "ROLLCALL_WIRE_SEED", 1); seed <= seeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			p := parsed(t, fmt.Sprintf(`
seed: %d
until: 9d
tenant: {authority: office365, identity: {lifetime: 5d, window: 2d}, co_management: {pilot: office, compliance: intune}}
population:
  devices: 30
  mix: {ios: 15, ipados: 15, android: 30, windows: 40}
  licences: {basic: 60, intune: 40}
  groups: {office: 50, field: 50}
  ways: {joined: 30, registered: 20, autopilot: 10, group_policy: 20, self_deploying: 20}
  offline: {share: 5%%, lasts: 2h}
  habits: {not_now: 30%%, syncs_by_hand: 20%%/d, profile_fails: 60%%}
profiles:
  - {name: mail, family: email}
  - {name: rules, family: configuration}
  - {name: office, family: wifi}
timeline:
  - {at: 0s, enrol: {over: 2h}}
  - {at: 3h, profiles: {assign: mail, group: all}}
  - {at: 4h, profiles: {assign: rules, group: all}}
  - {at: 5h, profiles: {assign: mail, group: all}}
  - {at: 1d, command: {kind: DeviceInformation, to: all}}
  - {at: 1d, absence: {of: 10%%, lasts: "uniform(3d, 5d)"}}
  - {at: 2d, authority: {set: coexistence}}
  - {at: 2d, apns: {upload: renewed, slot: intune}}
  - {at: 2d1h, profiles: {assign: mail, group: all}}
  - {at: 2d2h, profiles: {assign: rules, group: all}}
  - {at: 2d3h, profiles: {assign: office, group: office}}
  - {at: 2d4h, enrol: {userless: {macos: 2, windows: 2}, co_managed: 2, over: 1h}}
  - {at: 3d, licences: {assign: intune, to: 50%% of basic, over: 1d}}
  - {at: 6d, profiles: {unassign: office, group: office}}
  - {at: 8d, enrol: {again: true, over: 1h}}
faults:
  - {at: 0s, for: 3h, share: 25%%, drop_response: true}
  - {at: 3h, for: 45h, share: 4%%, drop_response: true}
  - {at: 2d, for: 4h, share: 25%%, drop_response: true}
  - {at: 2d4h, share: 4%%, drop_response: true}
  - {share: 2%%, reset: true}
  - {at: 4d, for: 1h, share: 30%%, server: busy}
`, seed))
			rule, wire := played(t, rehearsal.Config{Plan: p}), played(t, rehearsal.Config{Plan: p, Wire: plan.Whole})
			sameStory(t, rule, wire)
			for _, platform := range protocol.Platforms {
				if wire.Wire.Devices[platform-1] == 0 {
					t.Errorf("no %s has spoken", platform)
				}
			}
		})
	}
}

// A PC whose first session did not get through is enrolled all the same (WIN-025). Where its user takes it out before the next try, that
// farewell is the first that the server hears of it: the enrolment is completed, and then the PC is leaving, for it says only that it tries
// (WIN-040, windows.md section 7).
func TestWIN040WireLeavesBeforeItsFirstSession(t *testing.T) {
	for _, fault := range []string{"reset: true", "server: busy"} {
		t.Run(fault, func(t *testing.T) {
			p := parsed(t, `
until: 1d
tenant: {authority: intune}
population: {devices: 30, mix: {windows: 100}, licences: {basic: 0, intune: 100}, ways: {joined: 30, registered: 20, autopilot: 10, group_policy: 20, self_deploying: 20}}
profiles: [{name: mail, family: email}]
timeline:
  - {at: 0s, enrol: {over: 30s}}
  - {at: 31s, unenrol: 100%}
  - {at: 2h, profiles: {assign: mail, group: all}}
  - {at: 3h, enrol: {again: true, over: 1h}}
faults: [{at: 0s, for: 30s, share: 50%, `+fault+`}]
`)
			rule, wire := played(t, rehearsal.Config{Plan: p}), played(t, rehearsal.Config{Plan: p, Wire: plan.Whole})
			noDifferences(t, wire)
			if rule.LogSHA256 != wire.LogSHA256 || wire.Wire.Parted > 0 {
				t.Errorf("the story is another, or %d parted", wire.Wire.Parted)
			}
		})
	}
}

// A PC whose identity is renewed in a conversation in which profiles fail, or are put off, comes out of it as by rule, to the last of them:
// the server tries them once more in the session under the new identity (WIN-061), which counts as another report and changes nothing.
func TestWIN061WireRenewsWhereProfilesFail(t *testing.T) {
	text := `
until: 4d
tenant: {authority: intune, identity: {lifetime: 4d, window: 2d}}
population: {devices: 12, mix: {windows: 100}, licences: {basic: 0, intune: 100}, ways: {joined: 50, registered: 50}, habits: {profile_fails: 50%}}
profiles:
`
	timeline := "timeline:\n  - {at: 0s, enrol: {over: 1h}}\n"
	for i := range 24 { // some meets each PC as it renews
		text += fmt.Sprintf("  - {name: p%d, family: %s}\n", i, []protocol.Family{protocol.Email, protocol.Configuration}[i%2])
		timeline += fmt.Sprintf("  - {at: %dh, profiles: {assign: p%d, group: all}}\n", 48+i, i)
	}
	p := parsed(t, text+timeline)
	rule, wire := played(t, rehearsal.Config{Plan: p}), played(t, rehearsal.Config{Plan: p, Wire: plan.Whole})
	noDifferences(t, wire)
	if rule.LogSHA256 != wire.LogSHA256 || wire.Wire.Parted > 0 {
		t.Errorf("the story is another, or %d parted", wire.Wire.Parted)
	}
}

// The story calls a device by its name in the population, also where the server has a record of it that the device never heard of, as its
// enrolment's first answer was lost (HST-045).
func TestHST045WireUnfinished(t *testing.T) {
	p := parsed(t, `
until: 5d
tenant: {authority: intune}
population: {devices: 16, mix: {android: 100}, licences: {basic: 0, intune: 100}}
timeline: [{at: 0s, enrol: {over: 1h}}]
faults: [{at: 0s, for: 3d, share: 90%, drop_response: true}]
`)
	var log rehearsal.Log
	rule, wire := played(t, rehearsal.Config{Plan: p, Lines: log.Add}), played(t, rehearsal.Config{Plan: p, Wire: plan.Whole})
	if rule.LogSHA256 != wire.LogSHA256 || wire.Wire.Differs > 0 {
		t.Errorf("the story is another, or devices differ: %v", wire.Wire.Differences)
	}
	if !slices.ContainsFunc(log.Lines(), func(l rehearsal.Line) bool { return l.Rule == "HST-045" }) {
		t.Error("no record was removed")
	}
}
