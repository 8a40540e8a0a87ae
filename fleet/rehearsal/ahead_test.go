package rehearsal_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/rehearsal"
)

// Whatever the story, what is steady may be played ahead and in place: the log, and all that there is to tell, is as if each event
// had its turn and went through the cores one by one.
func TestAheadIsAsInTurn(t *testing.T) {
	ahead := map[string]*plan.Plan{}
	for _, name := range plan.BuiltIns() {
		ahead[name] = ready(t, name, 60)
	}
	const mix = "until: 45d\npopulation: {devices: 60, mix: {ios: 40, ipados: 10, android: 25, windows: 25}, licences: {basic: 50, intune: 50}, "
	const bms = "{authority: office365, release: 1910, apns: {topic: com.apple.mgmt.External.6f1c, expires: +30d}"
	for name, head := range map[string]string{
		"habits":   mix + "offline: {share: 30%, lasts: lognormal(9h, 2)}, habits: {not_now: 20%, unreachable_night: 40%, syncs_by_hand: 60%/d, profile_fails: 5%}}\ntenant: " + bms + "}\n",
		"clean-up": mix + "offline: {share: 40%, lasts: lognormal(20d, 3)}}\ntenant: " + bms + ", clean_up: 30d}\n",
		"short":    mix + "groups: {sales: 30, field: 70}}\ntenant: " + bms + ", identity: {lifetime: 12d, window: 4d}}\n",
	} {
		ahead[name] = parsed(t, head+`profiles:
  - {name: mail, family: email}
timeline:
  - {at: 0s, enrol: {over: 8h}}
  - {at: 30h, profiles: {assign: mail, group: all}}
  - {at: 3d, authority: {set: coexistence}}
  - {at: 5d, apns: {upload: renewed}}
  - {at: 9d, ask_users_to_sync: 40%}
  - {at: 10d, absence: {of: 20%, lasts: 3d}}
  - {at: 14d, reenrol: {of: 20%, over: 4d}}
  - {at: 20d, licences: {assign: intune, to: 50% of basic, over: 2d}}
`)
	}
	for name, p := range ahead {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pop := population.New(p)
			c := rehearsal.Config{Plan: p, Population: pop, Partition: 32}
			got := played(t, c)
			c.Plainly()
			want := played(t, c)
			got.Plan, got.Population, want.Plan, want.Population = nil, nil, nil, nil
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(rehearsal.Life{})); diff != "" {
				t.Errorf("in turn (-) and ahead (+):\n%s", diff)
			}
			if got.CheckIns == 0 {
				t.Error("nobody checked in")
			}
		})
	}
}
