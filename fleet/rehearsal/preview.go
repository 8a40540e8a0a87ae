package rehearsal

import (
	"fmt"
	"iter"

	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/server/authority"
)

// A Preview is the answer to "what happens if the authority changes now?", asked of an export: no server, no plan. It is
// authority.Plan over the population's devices, the code that makes a real change too (AUTH-35, I10).
type Preview struct {
	authority.Preview
	Scene      authority.Scene
	Population *population.Population
	Refused    *protocol.Refusal // why the change would be refused as things are; nil: it would not
	OpensGap   bool              // the change itself opens the gap in Apple's push certificates (AUTH-30)

	was, is []authority.User // by Population.Users
}

// Wanted is the question to put to a tenant when nobody says otherwise: a BMS tenant asks what adding Intune does, one
// without an authority what setting it does; any other asks what the next check-ins do, nil.
func Wanted(t *population.Tenant) *authority.Change {
	switch {
	case t.Authority == protocol.Unknown:
		return &authority.Change{Authority: protocol.Intune}
	case t.Authority == protocol.Office365 && !t.Coexistence:
		return &authority.Change{Authority: protocol.Office365, Coexistence: true}
	}
	return nil
}

// lastUnset is the release of a tenant whose authority may be unknown (AUTH-02).
const lastUnset = 1910

// NewPreview answers for pop as it is at Tenant.AsOf; a nil want changes no authority. Licences after the change are
// pop.Later's, if there are any. A change that is refused as things are, but could be forced, or lacks only licence units,
// is previewed all the same, and Refused says so; the error is one that there is no way to make.
func NewPreview(pop *population.Population, want *authority.Change, gap authority.GapSettings) (*Preview, error) {
	t := &pop.Tenant
	p := &Preview{Population: pop}
	before := authority.Tenant{Authority: t.Authority, Coexistence: t.Coexistence, Release: lastUnset, Epoch: t.Epoch, ChangedAt: t.ChangedAt}
	p.was = users(pop.Users)
	p.is = p.was
	if pop.Later != nil {
		p.is = users(pop.Later)
	}
	after := before
	if want != nil {
		var no *protocol.Refusal
		if after, no = p.transition(before, *want); no != nil {
			return nil, no
		}
	}
	p.OpensGap = authority.OpensGap(before, after, gap)
	p.Scene = authority.Scene{
		Before: before, After: after, Now: t.AsOf, Units: p.units(),
		Push: authority.Push{Settings: gap, Ends: t.APNs.Expires, Gap: p.OpensGap || t.APNs.Modified != 0 && t.APNs.Modified < t.ChangedAt},
	}
	p.Preview = authority.Plan(&p.Scene, p.subjects(), nil)
	if u := p.Scene.Units; p.Refused == nil && pop.Later != nil && u.Known && u.Free < 0 {
		p.Refused = &protocol.Refusal{Rule: "AUTH-09", Reason: fmt.Sprintf("%d licences that entitle Intune would be assigned beyond the %d units owned", -u.Free, u.Owned)}
	}
	return p, nil
}

// transition returns the tenant after want, by force or without units if need be, and notes what would be refused.
func (p *Preview) transition(before authority.Tenant, want authority.Change) (authority.Tenant, *protocol.Refusal) {
	want.At = p.Population.Tenant.AsOf
	facts := authority.Facts{Unowned: p.unowned(), OnBMS: p.onBMS(before)}
	after, no := authority.Transition(before, want, facts)
	p.Refused = no
	if no == nil {
		return after, nil
	}
	want.Force = true
	facts.Unowned = false
	return authority.Transition(before, want, facts)
}

// unowned tells whether the tenant owns no licence that entitles Intune: where the export does not say, whether nobody has one,
// and will have none.
func (p *Preview) unowned() bool {
	if u := p.Population.Tenant.Units; u.Known {
		return u.Owned == 0
	}
	for i := range p.is {
		if p.was[i].IntuneLicence || p.is[i].IntuneLicence || p.Population.Users[i].PlanOff {
			return false
		}
	}
	return true
}

// onBMS counts users whose devices resolve to office365.
func (p *Preview) onBMS(t authority.Tenant) int {
	counted := make([]bool, len(p.was))
	n := 0
	for i := range p.Population.Devices {
		d := &p.Population.Devices[i]
		if d.Userless() || counted[d.User] || d.Registered == protocol.Unknown {
			continue
		}
		if authority.Resolve(t, &p.was[d.User], facts(d)).Authority == protocol.Office365 {
			counted[d.User] = true
			n++
		}
	}
	return n
}

func users(all []population.User) []authority.User {
	out := make([]authority.User, len(all))
	for i := range all {
		out[i] = authority.User{
			IntuneLicence: all[i].Licence&population.IntuneLicence != 0, BasicLicence: all[i].Licence&population.BMSLicence != 0, CoManaged: all[i].CoManaged,
		}
	}
	return out
}

// units are the licence units after the change: who is entitled by a licence that was not there takes one.
func (p *Preview) units() authority.Units {
	u := p.Population.Tenant.Units
	for i := range p.is {
		switch was, is := p.was[i].IntuneLicence, p.is[i].IntuneLicence; {
		case is && !was && !p.Population.Users[i].PlanOff:
			u.Free--
		case was && !is:
			u.Free++
		}
	}
	return authority.Units{Known: u.Known, Owned: u.Owned, Free: u.Free}
}

// What is on a device the export does not say; these are the families that its authority can have put there (AUTH-46).
var (
	onBMS    = []authority.Profile{{Family: protocol.Email, Authority: protocol.Office365}, {Family: protocol.Configuration, Authority: protocol.Office365}}
	onIntune = []authority.Profile{
		{Family: protocol.Email, Authority: protocol.Intune},
		{Family: protocol.VPN, Authority: protocol.Intune},
		{Family: protocol.Certificate, Authority: protocol.Intune},
		{Family: protocol.WiFi, Authority: protocol.Intune},
		{Family: protocol.Configuration, Authority: protocol.Intune},
	}
)

func facts(d *population.Device) authority.Device {
	return authority.Device{Platform: d.Platform, Registered: d.Registered, AndroidAPI: d.Has(population.AndroidAPI), CoManaged: d.Has(population.CoManaged)}
}

// subject is what the rules know of device i.
func (p *Preview) subject(i int) authority.Subject {
	d := &p.Population.Devices[i]
	c := authority.Subject{
		Device: facts(d), Number: protocol.Device(i + 1), Epoch: p.Scene.Before.Epoch, CertEnd: d.CertEnd, Contact: d.Contact.Latest,
		Revoked: d.Has(population.Revoked), Leaving: d.Has(population.Leaving), Has: onIntune,
	}
	if !d.Current {
		c.Epoch--
	}
	if d.Registered == protocol.Office365 {
		c.Has = onBMS
	}
	if !d.Userless() {
		p.owns(&c, d.User)
	}
	return c
}

// owns makes user u that of c.
func (p *Preview) owns(c *authority.Subject, u int32) {
	now := &p.Population.Users[u]
	if p.Population.Later != nil {
		now = &p.Population.Later[u]
	}
	c.Owner, c.Was, c.Is = uint32(u)+1, &p.was[u], &p.is[u]
	c.PlanOff, c.Unsure = now.PlanOff, now.Assumed
}

func (p *Preview) subjects() iter.Seq[*authority.Subject] {
	return func(yield func(*authority.Subject) bool) {
		var c authority.Subject
		for i := range p.Population.Devices {
			c = p.subject(i)
			if !yield(&c) {
				return
			}
		}
	}
}

// each calls f with every enrolled device, its index and what is true of it.
func (p *Preview) each(f func(i int, c *authority.Subject, j *authority.Judgement)) {
	authority.Plan(&p.Scene, p.subjects(), func(c *authority.Subject, j *authority.Judgement) { f(int(c.Number)-1, c, j) })
}

// A reading is what a doubt's other reading comes to in numbers.
type reading struct{ enrolled, move, stay int }

// otherwise counts again by the other reading of d; false: that cannot be counted.
func (p *Preview) otherwise(d *population.Doubt) (reading, bool) {
	r := reading{p.Enrolled, p.WouldMove, p.WouldStay}
	if d.Device < 0 || p.Population.Devices[d.Device].Registered == protocol.Unknown {
		return r, false
	}
	c := p.subject(d.Device)
	r.add(p.Scene.Judge(&c).Fate, -1)
	switch d.Kind {
	case population.EnrolledAgain, population.AgentNotBMS: // not there at all
		return r, true
	case population.TwoOwners:
		if d.Owner == population.Nobody {
			return r, false
		}
		p.owns(&c, d.Owner)
	case population.IntunesApp, population.NoApp:
		c.Registered = protocol.Intune
	case population.UserOnUserless:
		c.Was, c.Is, c.Owner = nil, nil, 0
	default:
		return r, false
	}
	r.add(p.Scene.Judge(&c).Fate, 1)
	return r, true
}

func (r *reading) add(f authority.Fate, n int) {
	r.enrolled += n
	switch f {
	case authority.Moves:
		r.move += n
	case authority.Stays, authority.Strands:
		r.stay += n
	}
}
