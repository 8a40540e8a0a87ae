package plan

import (
	"time"

	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A Doubt is something in a plan that can be played and may not be what was meant.
type Doubt struct {
	Line  int    // in the file, from 1
	Field string // the path of keys: timeline[2].apns
	Rule  protocol.Rule
	Text  lang.Text // what is played
	Other lang.Text // what would be, were the other meant
}

// In says the doubt in l, with its line.
func (d *Doubt) In(l lang.Language) string {
	return l.Say("line %d, %s: %s. Otherwise: %s", d.Line, d.Field, d.Text.In(l), d.Other.In(l))
}

// Doubts returns those of p, a checked plan, in the order of its parts. there is the export whose devices play it; nil: it makes its own.
func (p *Plan) Doubts(there *Tenancy) (all []Doubt) {
	doubt := func(path string, rule protocol.Rule, text, other lang.Text) {
		all = append(all, Doubt{p.Mistake(path, rule, "").Line, path, rule, text, other})
	}
	if there != nil {
		p.otherTenant(there, doubt)
	} else if n := p.Population.Devices; n > 0 && !p.enrols() {
		doubt("population.devices", ruleContradiction, lang.Later("no action enrols the %d {device|devices} of the population: they take no part", n), lang.Later("an enrol without numbers has them enrol"))
	}
	p.early(there, doubt)
	return all
}

// otherTenant doubts what p says of a tenant that is there otherwise.
func (p *Plan) otherTenant(there *Tenancy, doubt func(string, protocol.Rule, lang.Text, lang.Text)) {
	path := ""
	for _, at := range []string{"tenant.authority", "tenant.coexistence"} {
		if path == "" && p.says(at) {
			path = at
		}
	}
	if says, is := regimeOf(p.Tenant.Authority, p.Tenant.Coexistence), regimeOf(there.Authority, there.Coexistence); path != "" && says != is {
		doubt(path, ruleContradiction, lang.Later("the plan begins under %s, and the tenant whose devices play it is under %s, which is played", says.String(), is.String()), lang.Later("a plan that makes its own devices begins as it says"))
	}
	for i := range p.Timeline {
		if e := p.Timeline[i].Enrol; e != nil && e.New() > 0 {
			doubt(p.Path(i), ruleContradiction, lang.Later("new devices are to enrol, %d in all, and the tenant's own are all that play: none of them takes part", e.New()), lang.Later("a plan that makes its own devices enrols them"))
		}
	}
}

// enrols tells whether an action enrols the devices of the mix.
func (p *Plan) enrols() bool {
	for i := range p.Timeline {
		if e := p.Timeline[i].Enrol; e != nil && e.All() {
			return true
		}
	}
	return false
}

// early doubts a push certificate that is renewed before a change of authority which wants a renewed one, and not after it (AUTH-30).
func (p *Plan) early(there *Tenancy, doubt func(string, protocol.Rule, lang.Text, lang.Text)) {
	now := regimeOf(p.Tenant.Authority, p.Tenant.Coexistence)
	if there != nil {
		now = regimeOf(there.Authority, there.Coexistence)
	}
	renewed, held, change := -1, false, time.Duration(0) // the latest upload; whether a change since then waits for one, and when it was
	for i := range p.Timeline {
		a := &p.Timeline[i]
		switch {
		case a.APNs != nil && !a.APNs.Upload.Refused():
			renewed, held = i, false
		case a.Authority != nil:
			if p.opensGap(now, a.Authority.Set) && !held {
				held, change = true, time.Duration(a.At)
			}
			now = a.Authority.Set
		}
	}
	if held && renewed >= 0 {
		doubt(p.Path(renewed), protocol.RulePushGap, lang.Later("the push certificate is renewed before the change at %s and not after it: it goes into the slot of the authority before, and the gap that the change opens stays open", Duration(change).String()),
			lang.Later("uploaded after the change it closes the gap"))
	}
}

// opensGap tells whether a change of authority opens the gap (AUTH-30).
func (p *Plan) opensGap(from, to Regime) bool {
	on := p.Tenant.Gap.OnCoexistence
	switch {
	case from == unset, from.slot() == to.slot():
		return false
	case from == office365 && to == coexistence:
		return on == nil || *on
	}
	return true
}

func regimeOf(a protocol.Authority, coexists bool) Regime {
	if coexists {
		return coexistence
	}
	return unset + Regime(a)
}
