package rehearsal

import (
	"errors"
	"slices"
	"testing"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// Waves are written as licences for parts of whoever has a basic licence, come after the last change, and keep their bound in a
// rehearsal; who is left behind is named by rule, and so are users for whom there is no licence (AUTH-09).
func TestWaves(t *testing.T) {
	base, err := plan.Parse("base.yaml", []byte(`
until: 3d
tenant: {authority: office365, units: 350}
population: {already: {ios: 300, windows: 100, userless: {ipados: 3}}, licences: {basic: 90, none: 10}}
profiles: [{name: mail, family: email}]
timeline:
  - {at: 0s, profiles: {assign: mail}}
  - {at: 1h, authority: {set: coexistence}}
  - {at: 2h, apns: {upload: renewed}}
  - {at: 3h, profiles: {assign: mail}}
`))
	if err != nil {
		t.Fatal(err)
	}
	pop := population.New(base)
	b := Bounds{CheckIns: 16, From: 8 * time.Hour, To: 9 * time.Hour}
	w, err := Waves(base, pop, fleet.Begin, b)
	if err != nil {
		t.Fatal(err)
	}
	basic := len(pop.PickUsers(&plan.Licensing{To: plan.Target{Share: plan.Whole, Whom: plan.OnlyBasic}}, pop.Holders(), 0, 0))
	if w.Movers.Users != 350 || len(w.NoUnit) == 0 || len(w.Days) < 2 || w.Days[0].At != plan.Day {
		t.Errorf("%+v, %d without a unit of %d, on the days %v", w.Movers, len(w.NoUnit), basic, w.Days)
	}
	by := map[protocol.Rule]int{}
	for _, l := range w.Left {
		by[l.Rule]++
	}
	if by[protocol.RuleUserless] != 3 || by[protocol.RuleNoLicence] != 400-basic {
		t.Errorf("left behind are %v", by)
	}
	with, err := plan.Parse("with.yaml", w.Plan.Encode(nil))
	if err != nil {
		t.Fatal(err)
	}
	h, given := pop.Holders(), 0
	for i := range with.Timeline {
		if l := with.Timeline[i].Licences; l != nil {
			users := pop.PickUsers(l, h, with.Seed, uint64(i))
			given += len(users)
			for _, u := range users {
				h.Apply(l, u)
			}
		}
	}
	if given < 350 || given > 350+len(w.Days) || len(with.Acts) != 1+len(w.Days) {
		t.Errorf("the plan gives %d users a licence in %d acts", given, len(with.Acts))
	}
	if len(w.NoUnit) != basic-given || slices.ContainsFunc(w.NoUnit, func(u int) bool { return h[u] != population.BMSLicence }) {
		t.Errorf("%d users named without a unit, and %d of %d get none", len(w.NoUnit), basic-given, basic)
	}
	named := 0
	if err := w.Entries(lang.Dutch, pop, func(e Entry) error {
		if e.Device == "" && e.User != "" && e.Reason == "voor de gebruiker is geen licentie over die recht geeft op Intune (AUTH-09)" {
			named++
		}
		return nil
	}); err != nil || named != len(w.NoUnit) {
		t.Errorf("%d of %d users without a unit are in the list: %v", named, len(w.NoUnit), err)
	}
	var played [2]*Played
	for i, p := range []*plan.Plan{with, w.Without} {
		if played[i], err = Play(t.Context(), Config{Plan: p, Population: pop}); err != nil {
			t.Fatal(err)
		}
	}
	if results := w.Judge(played[0], played[1], b); len(results) != 1 || !results[0].OK {
		t.Errorf("rehearsed: %+v", results)
	}
	// A minute above the bound breaks it; what is there without any wave breaks nothing.
	burst := *played[0]
	burst.Minutes = slices.Clone(burst.Minutes)
	burst.Minutes[33*60].CheckIns = 17
	if results := w.Judge(&burst, played[1], Bounds{CheckIns: 16, Certificates: 1, Unprotected: time.Hour}); len(results) != 3 || results[0].OK || results[0].Over <= 0 || !results[1].OK || !results[2].OK {
		t.Errorf("rehearsed: %+v", results)
	}
	if results := w.Judge(played[1], played[1], Bounds{CheckIns: 1}); !results[0].OK {
		t.Errorf("without waves: %+v", results)
	}
	if last := played[0].Lives; slices.IndexFunc(last, func(l Life) bool { return l.MovedAt != 0 }) < 0 {
		t.Error("nobody moved")
	}
	// Who moves and is unprotected for too long is not among those that will not make it.
	bare, left := *played[0], len(w.Left)
	bare.Lives = slices.Clone(bare.Lives)
	bare.Lives[7].Unprotected[0] += 5 * time.Hour
	if w.Judge(&bare, played[1], Bounds{Unprotected: 4 * time.Hour}); len(w.Left) != left || len(w.Exposed) != 1 || w.Exposed[0].Device != 7 || w.Exposed[0].Action != "assign Intune's profiles before its wave" {
		t.Errorf("exposed: %+v, %d left behind and before %d", w.Exposed, len(w.Left), left)
	}
}

// Where no licence moves anybody there are no waves.
func TestWavesNowhere(t *testing.T) {
	p, err := plan.BuiltIn("from-intune")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Waves(p, population.New(p), fleet.Begin, Bounds{To: time.Hour}); !errors.Is(err, protocol.RuleEntitled) {
		t.Errorf("%v, want a refusal by AUTH-14", err)
	}
	pop := &population.Population{Tenant: population.Tenant{Authority: protocol.Intune}}
	if _, _, err := Prepare(pop); err == nil {
		t.Error("waves are prepared for a tenant of Intune alone")
	}
}
