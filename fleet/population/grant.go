package population

import (
	"fmt"
	"slices"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// Holders is which licences each user has as a story goes on, by the user's index.
type Holders []Licence

// Holders returns what the users have as the story begins.
func (p *Population) Holders() Holders {
	h := make(Holders, len(p.Users))
	for i := range p.Users {
		h[i] = p.Users[i].Licence
	}
	return h
}

// PickUsers returns the users whom of means when they hold h, ascending: those of a share are drawn under seed and salt as
// [Population.Pick] draws devices. Nobody without a usage location is given a licence (graph.md, assignLicense).
func (p *Population) PickUsers(of *plan.Licensing, h Holders, seed, salt uint64) []int {
	var chosen []int
	t := of.To
	in := int16(slices.Index(p.Groups, of.In))
	group := int16(slices.Index(p.Groups, t.Whom))
	owners := p.owners(t.Whom)
	for i, l := range h {
		switch {
		case of.In != "" && p.Users[i].Group != in, of.Assign != 0 && p.Users[i].NoLocation:
		case t.Whom == plan.All, t.Whom == plan.NoLicence && l == NoLicence, t.Whom == plan.OnlyBasic && l == BMSLicence,
			t.Whom == plan.WithIntune && l&IntuneLicence != 0, owners[int32(i)], group >= 0 && p.Users[i].Group == group:
			chosen = append(chosen, i)
		}
	}
	n := t.Share.Of(len(chosen))
	if n < len(chosen) {
		shuffle(source(seed, useLicence, salt), chosen)
		chosen = chosen[:n]
		slices.Sort(chosen)
	}
	return chosen
}

// owners returns the users with a device of the platform that a word names; nil: it names none.
func (p *Population) owners(word string) map[int32]bool {
	var platform protocol.Platform
	if platform.UnmarshalText([]byte(word)) != nil {
		return nil
	}
	owners := map[int32]bool{}
	for i := range p.Devices {
		if d := &p.Devices[i]; d.Platform == platform && !d.Userless() {
			owners[d.User] = true
		}
	}
	return owners
}

// Apply gives user i what l assigns, or takes what it removes.
func (h Holders) Apply(l *plan.Licensing, i int) {
	bits := func(l plan.Licence) Licence {
		switch l {
		case plan.BasicLicence:
			return BMSLicence
		case plan.IntuneLicence:
			return IntuneLicence
		}
		return NoLicence
	}
	h[i] = h[i]&^bits(l.Remove) | bits(l.Assign)
}

// entitled returns how many users have a licence that entitles Intune.
func (h Holders) entitled() (n int) {
	for _, l := range h {
		if l&IntuneLicence != 0 {
			n++
		}
	}
	return n
}

const ruleUnits protocol.Rule = "AUTH-09"

// Unowned tells whether p's tenant owns no licence that entitles Intune (AUTH-09), or nobody holds one where it does not say what
// it owns.
func (p *Population) Unowned() bool {
	if u := p.Tenant.Units; u.Known {
		return u.Owned == 0
	}
	return p.Holders().entitled() == 0
}

// Afford compares the licences that pl gives to p's users, and those that it says they have, with the units that the tenant owns
// (AUTH-09); to add Intune takes one. A tenant that does not say how many it owns, owns those that are assigned. An export may have
// more assigned than owned; then a plan may not add to that. The error is a [*plan.Error] with the line.
func (p *Population) Afford(pl *plan.Plan) error {
	units, known := p.Tenant.Units.Owned, p.Tenant.Units.Known
	if pl.Tenant.Units != nil {
		units, known = *pl.Tenant.Units, true
	}
	h := p.Holders()
	if n := h.entitled(); n > units && pl.Tenant.Units != nil {
		return pl.Mistake("tenant.units", ruleUnits, "%d users hold a licence that entitles Intune at the beginning, and %s", n, owned(units))
	}
	for i := range pl.Timeline {
		if adds(&pl.Timeline[i]) && (known && units == 0 || !known && h.entitled() == 0) {
			return pl.Mistake(pl.Path(i), ruleUnits, "the tenant owns no licence that entitles Intune, and nobody holds one by then: say how many it owns (tenant.units), or assign one before")
		}
		l := pl.Timeline[i].Licences
		if l == nil {
			continue
		}
		before := h.entitled()
		for _, u := range p.PickUsers(l, h, pl.Seed, uint64(i)) {
			h.Apply(l, u)
		}
		if n := h.entitled(); known && n > units && n > before {
			return pl.Mistake(pl.Path(i), ruleUnits, "%d users would then hold a licence that entitles Intune, and %s", n, owned(units))
		}
	}
	return nil
}

// adds tells whether an action adds Intune to another authority.
func adds(a *plan.Action) bool {
	if a.Authority == nil {
		return false
	}
	_, added := a.Authority.Set.Authority()
	return added
}

func owned(units int) string {
	if units == 1 {
		return "the tenant owns 1 unit"
	}
	return fmt.Sprintf("the tenant owns %d units", units)
}
