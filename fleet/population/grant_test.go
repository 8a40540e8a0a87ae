package population

import (
	"errors"
	"slices"
	"testing"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

const waves = `
until: 14d
seed: 3
tenant: {authority: office365}
population: {devices: 200, mix: {ios: 100}, licences: {none: 10, basic: 70, intune: 20}, groups: {sales: 30}}
timeline:
  - {at: 0s, enrol: {}}
  - {at: 1d, authority: {set: coexistence}}
  - {at: 2d, licences: {assign: intune, to: 50% of basic, over: 1d}}
  - {at: 4d, licences: {remove: intune, to: sales}}
  - {at: 5d, licences: {assign: intune, to: all}}
`

func parse(t *testing.T, text string) *plan.Plan {
	t.Helper()
	p, err := plan.Parse("waves.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPickUsers(t *testing.T) {
	p := parse(t, waves)
	pop := New(p)
	h := pop.Holders()
	basic := pop.PickUsers(&plan.Licensing{To: plan.Target{Share: plan.Whole, Whom: plan.OnlyBasic}}, h, p.Seed, 2)
	half := pop.PickUsers(p.Timeline[2].Licences, h, p.Seed, 2)
	if again := pop.PickUsers(p.Timeline[2].Licences, h, p.Seed, 2); !slices.Equal(half, again) {
		t.Error("the same draw gives other users")
	}
	if want := plan.Share(500_000).Of(len(basic)); len(half) != want || !slices.IsSorted(half) || want < 50 {
		t.Errorf("half of %d are %d users", len(basic), len(half))
	}
	for _, u := range half {
		if pop.Users[u].Licence != BMSLicence {
			t.Errorf("user %d has licences %d: that is not only basic", u, pop.Users[u].Licence)
		}
		h.Apply(p.Timeline[2].Licences, u)
		if h[u] != BMSLicence|IntuneLicence {
			t.Errorf("user %d then has %d", u, h[u])
		}
	}
	if left := pop.PickUsers(&plan.Licensing{To: plan.Target{Share: plan.Whole, Whom: plan.OnlyBasic}}, h, p.Seed, 2); len(left) != len(basic)-len(half) {
		t.Errorf("%d users are left with basic alone, want %d", len(left), len(basic)-len(half))
	}
	pop.Users[basic[0]].NoLocation = true // nobody can give this user a licence, and everybody can take one
	of := plan.Licensing{To: plan.Target{Share: plan.Whole, Whom: plan.All}}
	if remove := of; len(pop.PickUsers(&remove, h, p.Seed, 2)) != len(pop.Users) {
		t.Error("a user without a usage location is not picked at all")
	}
	if of.Assign = plan.IntuneLicence; slices.Contains(pop.PickUsers(&of, h, p.Seed, 2), basic[0]) {
		t.Error("a user without a usage location is given a licence")
	}
	pop.Users[basic[0]].NoLocation = false
	for whom, want := range map[string]int{"ios": len(pop.Users), "macos": 0} {
		if got := pop.PickUsers(&plan.Licensing{To: plan.Target{Share: plan.Whole, Whom: whom}}, h, p.Seed, 2); len(got) != want {
			t.Errorf("%d users have a device of %s, want %d", len(got), whom, want)
		}
	}
	sales := pop.PickUsers(p.Timeline[3].Licences, h, p.Seed, 3)
	for _, u := range sales {
		if h.Apply(p.Timeline[3].Licences, u); h[u]&IntuneLicence != 0 {
			t.Errorf("user %d keeps the licence", u)
		}
	}
	if n := len(pop.PickUsers(&plan.Licensing{To: plan.Target{Share: plan.Whole, Whom: plan.NoLicence}}, h, 0, 0)); n == 0 || len(sales) == 0 {
		t.Errorf("%d users without a licence, %d in sales", n, len(sales))
	}
}

func TestAUTH09MoreThanTheUnitsOwned(t *testing.T) {
	p := parse(t, waves)
	pop := New(p)
	if err := pop.Afford(p); err != nil {
		t.Errorf("units that are not known are short: %v", err)
	}
	h := pop.Holders()
	before := h.entitled()
	for _, u := range pop.PickUsers(p.Timeline[2].Licences, h, p.Seed, 2) {
		h.Apply(p.Timeline[2].Licences, u)
	}
	after := h.entitled()
	for _, tt := range []struct {
		units int
		field string
		line  int
	}{
		{len(pop.Users), "", 0},
		{len(pop.Users) - 1, "timeline[4].licences", 11},
		{after, "timeline[4].licences", 11},
		{after - 1, "timeline[2].licences", 9},
		{before, "timeline[2].licences", 9},
		{before - 1, "tenant.units", 4},
	} {
		p.Tenant.Units = &tt.units
		err := pop.Afford(p)
		var at *plan.Error
		switch {
		case tt.field == "" && err != nil:
			t.Errorf("%d units: %v", tt.units, err)
		case tt.field != "" && (!errors.As(err, &at) || at.Field != tt.field || at.Line != tt.line || !errors.Is(err, protocol.Rule("AUTH-09"))):
			t.Errorf("%d units: %v, want AUTH-09 at %s, line %d", tt.units, err, tt.field, tt.line)
		}
	}
	p.Tenant.Units = nil
	var none *plan.Error
	nobody := New(p)
	for i := range nobody.Users {
		nobody.Users[i].Licence = NoLicence
	}
	if err := nobody.Afford(p); !errors.As(err, &none) || none.Field != "timeline[1].authority" || none.Line != 8 {
		t.Errorf("Intune added where nobody holds a licence that entitles it: %v, want AUTH-09 of line 8", err)
	}
	pop.Tenant.Units = Units{Known: true, Owned: before - 1}
	var at *plan.Error
	if err := pop.Afford(p); !errors.As(err, &at) || at.Field != "timeline[2].licences" {
		t.Errorf("an export's units: %v, want AUTH-09 of the first licences that are added", err)
	}
}
