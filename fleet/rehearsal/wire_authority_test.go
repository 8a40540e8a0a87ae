package rehearsal_test

import (
	"testing"

	"rollcall/fleet/plan"
	"rollcall/fleet/rehearsal"
)

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
	out := played(t, rehearsal.Config{Plan: p, Wire: plan.Whole})
	for _, d := range out.Wire.Differences {
		t.Error(d.String())
	}
	if out.Wire.Parted > 0 {
		t.Errorf("%+v", out.Wire)
	}
}
