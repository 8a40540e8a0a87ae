package rehearsal_test

import (
	"testing"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
	"rollcall/protocol"
)

// agrees plays p over the wire, where nothing may differ from the rule, nor fewer or more devices of a platform be heard.
func agrees(t *testing.T, p *plan.Plan, platform protocol.Platform, devices uint32) {
	t.Helper()
	out := played(t, rehearsal.Config{Plan: p, Wire: plan.Whole})
	noDifferences(t, out)
	if out.Wire.Parted > 0 || out.Wire.Devices[platform-1] != devices {
		t.Errorf("%+v", out.Wire)
	}
}

// A namesake of the new authority's takes the place of an old profile on the wire too, however long after the change it comes and
// though it says the same: else the device would drop it with what is left of the authority before (AUTH-26, AUTH-27, WIN-070). What has
// no namesake goes after seven days.
func TestAUTH26WireNamesakes(t *testing.T) {
	p := parsed(t, `
until: 12d
population: {devices: 8, mix: {ios: 25, android: 25, windows: 50}, licences: {basic: 0, intune: 100}}
tenant: {authority: sccm}
profiles: [{name: mail, family: email}, {name: office, family: wifi}, {name: rules, family: configuration}]
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 2h, profiles: {assign: mail, group: all}}
  - {at: 2h, profiles: {assign: office, group: all}}
  - {at: 2h, profiles: {assign: rules, group: all}}
  - {at: 1d, authority: {set: intune}}
  - {at: 1d, apns: {upload: renewed}}
  - {at: 3d, profiles: {assign: mail, group: all}}
  - {at: 3d, profiles: {assign: rules, group: all}}
`)
	agrees(t, p, protocol.Windows, 4)
}

// Who is turned away is so on the wire too, however it enrols, and the story is the same: some are over their user's limit, and whoever
// enrols by a way that the limit does not count is not (AUTH-47).
func TestAUTH47WireLimit(t *testing.T) {
	p := parsed(t, `
until: 12h
tenant: {device_limit: 1}
population:
  devices: 24
  mix: {ios: 15, android: 15, windows: 70}
  devices_per_user: {4: 100}
  ways: {manager: 15, group_policy: 15, joined: 15, autopilot: 15, registered: 20, self_deploying: 35, bootstrap: 35}
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 0s, enrol: {userless: {windows: 4}, co_managed: 2, over: 1h}}
`)
	rule, wire := played(t, rehearsal.Config{Plan: p}), played(t, rehearsal.Config{Plan: p, Wire: plan.Whole})
	sameStory(t, rule, wire)
	if count, devices, _, _ := finding(wire, "AUTH-47", "Devices that cannot enrol"); devices == 0 || devices > 18 || count == 0 {
		t.Errorf("%d devices were turned away, %d times", devices, count)
	}
	managers := 0
	for i, d := range rule.Population.Devices {
		if d.Enrolment == population.ByManager {
			managers++
			if n := rule.Lives[i].Enrolments; n != 1 {
				t.Errorf("%s, of an enrolment manager, enrolled %d times", d.Name, n)
			}
		}
	}
	if managers < 2 {
		t.Errorf("%d devices of enrolment managers", managers)
	}
}

// What is unassigned leaves over the wire or stays there as by rule: settings stay on Android alone, and are told by the device as long as they
// do; those of an authority before have their seven days all the same (AUTH-55, AUTH-27).
func TestAUTH55WireStays(t *testing.T) {
	p := parsed(t, `
until: 12d
population: {devices: 8, mix: {ios: 25, android: 50, windows: 25}, licences: {basic: 0, intune: 100}}
tenant: {authority: sccm}
profiles: [{name: mail, family: email}, {name: office, family: wifi}, {name: rules, family: configuration}]
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 2h, profiles: {assign: mail, group: all}}
  - {at: 2h, profiles: {assign: office, group: all}}
  - {at: 2h, profiles: {assign: rules, group: all}}
  - {at: 1d, profiles: {unassign: rules, group: all}}
  - {at: 1d1h, profiles: {unassign: mail, group: all}}
  - {at: 1d2h, profiles: {assign: rules, group: all}}
  - {at: 1d3h, profiles: {unassign: rules, group: all}}
  - {at: 2d, authority: {set: intune}}
  - {at: 2d, apns: {upload: renewed}}
  - {at: 3d, profiles: {assign: rules, group: all}}
  - {at: 4d, profiles: {unassign: rules, group: all}}
`)
	agrees(t, p, protocol.Android, 4)
}

// A new profile that sets what an old one of the authority before has set takes it over on a PC, whatever it is called: that has no end of its own
// any more, and leaves with the new profile, also where that comes and goes within the seven days (AUTH-27, AUTH-55).
func TestAUTH27WireOverwritten(t *testing.T) {
	p := parsed(t, `
until: 12d
population: {devices: 4, mix: {windows: 100}, licences: {basic: 0, intune: 100}}
tenant: {authority: sccm}
profiles: [{name: rules, family: configuration}, {name: more, family: configuration}, {name: office, family: wifi}]
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 2h, profiles: {assign: rules, group: all}}
  - {at: 2h, profiles: {assign: office, group: all}}
  - {at: 2d, authority: {set: intune}}
  - {at: 3d, profiles: {assign: more, group: all}}
  - {at: 5d, profiles: {unassign: more, group: all}}
  - {at: 6d, profiles: {assign: more, group: all}}
`)
	agrees(t, p, protocol.Windows, 4)
}

// A new profile that fails on a PC and is unassigned within the seven days leaves what an old one had set there as it was, by rule and over the wire
// (AUTH-27).
func TestAUTH27WireFailedLeaves(t *testing.T) {
	p := parsed(t, `
until: 12d
population: {devices: 12, mix: {windows: 100}, licences: {basic: 0, intune: 100}, habits: {profile_fails: 100%}}
tenant: {authority: sccm}
profiles: [{name: rules, family: configuration}, {name: more, family: configuration}, {name: office, family: wifi}]
timeline:
  - {at: 0s, enrol: {over: 1h}}
  - {at: 2h, profiles: {assign: rules, group: all}}
  - {at: 2h, profiles: {assign: office, group: all}}
  - {at: 2d, authority: {set: intune}}
  - {at: 3d, profiles: {assign: more, group: all}}
  - {at: 3d1h, profiles: {unassign: more, group: all}}
`)
	agrees(t, p, protocol.Windows, 12)
}
