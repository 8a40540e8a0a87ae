package population

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"rollcall/fleet/plan"
	"rollcall/protocol"
)

// What random numbers are for. A changed number would change the population of every seed: none is used twice, or
// again.
const (
	useDevice = iota + 2
	useUser
	useOrder
	useHabits
	useTarget
	useLicence
	useSample
	useReturn
	useWay
	useSilence
)

// Begin is the moment at which stories made from a plan begin: a Monday morning.
var Begin = protocol.At(time.Date(2026, time.January, 5, 8, 0, 0, 0, time.UTC))

// New makes the population of p, a checked plan: the devices that were there before, those of the mix and those
// that the timeline adds, in this order. Platforms come in exactly the proportions of the mix; whatever else is a
// share of devices or users is drawn.
func New(p *plan.Plan) *Population {
	pop, _ := Make(context.Background(), p, nil) // nothing ends it
	return pop
}

// Make makes the population of p as [New] does, and gives ctx's error where that ends first. progress is called now and then,
// by one goroutine at a time, with how many devices there are; nil: nobody.
func Make(ctx context.Context, p *plan.Plan, progress func(made int)) (*Population, error) {
	m := maker{ctx: ctx, progress: progress, plan: p, pop: &Population{Tenant: tenantOf(p), Total: p.Devices(), Groups: slices.Sorted(maps.Keys(p.Population.Groups))}}
	m.pop.Devices = make([]Device, 0, p.Devices())
	pop := &p.Population
	m.already(&pop.Already.Present, true)
	m.already(&pop.Already.Userless, false)
	m.add(apportion(&pop.Mix, pop.Devices), true, Device{Joins: Never})
	m.timeline()
	m.users()
	m.registered()
	m.ways()
	m.silent()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	m.pop.habits(ctx, p)
	return m.pop, ctx.Err()
}

func tenantOf(p *plan.Plan) Tenant {
	t := &p.Tenant
	return Tenant{Name: p.Name, Authority: t.Authority, Coexistence: t.Coexistence, Epoch: 1, APNs: APNs{Topic: t.APNs.Topic}}
}

type maker struct {
	ctx      context.Context
	progress func(made int) // nil: nobody
	mu       sync.Mutex     // guards made, and lets one goroutine tell of progress at a time
	made     int            // devices
	plan     *plan.Plan
	pop      *Population
}

func (m *maker) already(there *plan.Present, user bool) {
	m.add(there.ByPlatform, user, Device{Joins: Already, Registered: there.Registered, Current: true})
}

// add makes devices of all platforms in a drawn order. like holds what they have in common.
func (m *maker) add(counts plan.ByPlatform, user bool, like Device) {
	start := len(m.pop.Devices)
	platforms := make([]protocol.Platform, 0, counts.Total())
	for _, p := range protocol.Platforms {
		platforms = append(platforms, slices.Repeat([]protocol.Platform{p}, counts.Of(p))...)
	}
	shuffle(source(m.plan.Seed, useOrder, uint64(start)), platforms)
	m.pop.Devices = slices.Grow(m.pop.Devices, len(platforms))[:start+len(platforms)]
	added := m.pop.Devices[start:]
	lots(m.ctx, len(added), func(from, to int) {
		var names arena
		for i := from; i < to; i++ {
			d := &added[i]
			*d = like
			d.Platform = platforms[i]
			m.device(start+i, d, &names)
			if !user {
				d.User = Nobody
				d.Enrolment, d.Traits = userlessWay(d.Platform)
				d.Ownership = Company
				if d.Platform == protocol.Android && d.Registered == protocol.Office365 { // the way of its user who left: BMS has no other (AUTH-46)
					d.Enrolment, d.Traits = ByUser, 0
				}
			}
		}
		m.progresses(to - from)
	})
}

// progresses tells whoever wants to know that there are n devices more.
func (m *maker) progresses(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.made += n
	if m.progress != nil && m.ctx.Err() == nil {
		m.progress(m.made)
	}
}

// userlessWay is how userless devices of p enrol.
func userlessWay(p protocol.Platform) (Enrolment, Traits) {
	switch p {
	case protocol.Android:
		return Dedicated, AndroidAPI
	case protocol.Windows:
		return Bulk, 0
	}
	return Automated, Supervised
}

// device fills in what d is, with random numbers of its own; names keeps its strings.
func (m *maker) device(i int, d *Device, names *arena) {
	r := source(m.plan.Seed, useDevice, uint64(i))
	h, version := equip(r, d.Platform)
	d.Model, d.OSVersion = &h.Model, version
	d.Ownership = Company
	if d.Platform != protocol.Windows && below(r, 2) == 0 {
		d.Ownership = Personal
	}
	var scratch [64]byte
	d.Name = names.keep(appendDecimal(append(append(scratch[:0], d.Platform.String()...), '-'), i+1, 6))
	d.Serial = names.keep(appendDecimal(append(scratch[:0], "ROLLCALL"...), i+1, 6))
	d.UDID = names.keep(appendUDID(scratch[:0], d.Platform, h.chip, r.Uint64(), r.Uint64()))
}

// timeline adds the devices that the timeline brings, and sets when each device enrols.
func (m *maker) timeline() {
	for i := range m.plan.Timeline {
		a := &m.plan.Timeline[i]
		switch {
		case a.Enrol == nil || a.Enrol.Again:
		case a.Enrol.All():
			m.pop.join(a)
		default:
			start := len(m.pop.Devices)
			m.add(a.Enrol.ByPlatform, true, Device{})
			m.add(a.Enrol.Userless, false, Device{})
			m.add(plan.ByPlatform{Windows: a.Enrol.CoManaged}, true, Device{Enrolment: CoManagement, Traits: CoManaged})
			added := m.pop.Devices[start:]
			shuffle(source(m.plan.Seed, useOrder, uint64(start)<<1|1), added)
			for k := range added {
				added[k].Joins = moment(a, k, len(added))
			}
		}
	}
}

// join lets all devices that no action has enrolled so far enrol by a.
func (p *Population) join(a *plan.Action) {
	waiting := make([]*Device, 0, len(p.Devices))
	for i := range p.Devices {
		if d := &p.Devices[i]; d.Joins == Never {
			waiting = append(waiting, d)
		}
	}
	for k, d := range waiting {
		d.Joins = moment(a, k, len(waiting))
	}
}

// moment is when the k-th of n devices enrols: they are spread evenly over the action's time.
func moment(a *plan.Action, k, n int) time.Duration {
	over := time.Duration(a.Enrol.Over)
	return time.Duration(a.At) + over/time.Duration(n)*time.Duration(k) + over%time.Duration(n)*time.Duration(k)/time.Duration(n)
}

// apportion divides n devices in the proportions of mix.
func apportion(mix *plan.ByPlatform, n int) plan.ByPlatform {
	total, before, given := mix.Total(), 0, 0
	var parts [len(protocol.Platforms)]int
	for i, p := range protocol.Platforms {
		before += mix.Of(p)
		upTo := 0
		if total > 0 {
			upTo = n * before / total
		}
		parts[i], given = upTo-given, upTo
	}
	return plan.ByPlatform{IOS: parts[0], IPadOS: parts[1], MacOS: parts[2], Android: parts[3], Windows: parts[4]}
}

// users gives the devices that have a user their users, each with as many devices as the plan's table draws.
func (m *maker) users() {
	p := &m.plan.Population
	counts := slices.Sorted(maps.Keys(p.DevicesPerUser))
	weights := make([]int, len(counts))
	for i, n := range counts {
		weights[i] = p.DevicesPerUser[n]
	}
	groups := make([]int, len(m.pop.Groups))
	for i, name := range m.pop.Groups {
		groups[i] = p.Groups[name]
	}
	left := 0
	for i := range m.pop.Devices {
		if i%often == 0 && m.ctx.Err() != nil {
			return
		}
		d := &m.pop.Devices[i]
		if d.Userless() {
			continue
		}
		if left == 0 {
			n := len(m.pop.Users)
			r := source(m.plan.Seed, useUser, uint64(n))
			left = counts[weighted(r, 100, weights...)]
			m.pop.Users = append(m.pop.Users, User{
				Licence: [...]Licence{NoLicence, BMSLicence, BMSLicence | IntuneLicence}[weighted(r, 100, p.Licences.None, p.Licences.Basic, p.Licences.Intune)],
				Group:   int16(weighted(r, 100, groups...)),
			})
		}
		left--
		d.User = int32(len(m.pop.Users) - 1)
		if u := &m.pop.Users[d.User]; d.Has(CoManaged) {
			u.CoManaged = true // which takes all of the user's devices to Intune (AUTH-15)
			d.Workloads = m.workloads(u)
		}
	}
	lots(m.ctx, len(m.pop.Users), func(from, to int) {
		var names arena
		var scratch [64]byte
		for i := from; i < to; i++ {
			m.pop.Users[i].UPN = names.keep(append(appendDecimal(append(scratch[:0], "user"...), i+1, 6), "@example.com"...))
		}
	})
}

// workloads are those that Intune decides of the co-managed PCs of u (AUTH-51).
func (m *maker) workloads(u *User) (w Workloads) {
	c := &m.plan.Tenant.CoManaged
	pilot := u.Group >= 0 && m.pop.Groups[u.Group] == c.Pilot
	for i, by := range c.Deciders() {
		if by == plan.ByIntune || by == plan.ByPilot && pilot {
			w |= 1 << i
		}
	}
	if w&DeviceConfiguration != 0 {
		w |= ResourceAccess | EndpointProtection
	}
	return w
}

// ways draws how Windows PCs and Android devices enrol, and what is managed elsewhere (AUTH-47).
func (m *maker) ways() {
	p := &m.plan.Population
	w := &p.Ways
	if *w == (plan.Ways{}) && p.OtherMDM == 0 {
		return
	}
	each(m.ctx, m.pop.Devices, func(i int, d *Device) {
		if d.Platform.Apple() {
			return
		}
		r := source(m.plan.Seed, useWay, uint64(i))
		if way := weighted(r, 100, w.Manager, w.GroupPolicy, w.Joined, w.Autopilot, w.Registered); way >= 0 && d.Platform == protocol.Windows && !d.Userless() && d.Enrolment == ByUser {
			d.Enrolment = [...]Enrolment{ByManager, GroupPolicy, Joined, Autopilot, DirectoryRegistered}[way]
		}
		if d.Enrolment == Bulk && w.SelfDeploying+w.Bootstrap > 0 {
			if way := weighted(r, 100, w.SelfDeploying, w.Bootstrap); way >= 0 {
				d.Enrolment = [...]Enrolment{SelfDeployed, Packaged}[way]
			}
		}
		if d.Joins != Already && happens(r, p.OtherMDM) {
			d.Traits |= Elsewhere
		}
		if d.Platform == protocol.Android {
			switch weighted(r, 100, w.FullyManaged, w.AOSP) {
			case 0:
				if !d.Userless() {
					d.Enrolment, d.Ownership = FullyManaged, Company
					d.Traits |= AndroidAPI
				}
			case 1:
				d.Enrolment, d.Ownership = AOSP, Company
				d.Traits &^= AndroidAPI
			}
		}
	})
}

// registered has the devices that are there be managed as their users' licences say, where the plan does not say by whom
// (AUTH-14 to AUTH-17, AUTH-46).
func (m *maker) registered() {
	for i := range m.pop.Devices {
		d := &m.pop.Devices[i]
		if d.Joins != Already || d.Registered != protocol.Unknown {
			continue
		}
		d.Registered = protocol.Office365
		if u := &m.pop.Users[d.User]; u.Licence&IntuneLicence != 0 || u.CoManaged || d.Platform == protocol.MacOS {
			d.Registered = protocol.Intune
		}
	}
}

// silent draws who of those that are there has been silent, and for how long.
func (m *maker) silent() {
	m.pop.silences = m.plan.Population.Silent
	if len(m.pop.silences) == 0 {
		return
	}
	each(m.ctx, m.pop.Devices, func(i int, d *Device) {
		if d.Joins != Already {
			return
		}
		r := source(m.plan.Seed, useSilence, uint64(i))
		u := below(r, int(plan.Whole))
		for n := range m.pop.silences {
			s := &m.pop.silences[n]
			if u -= int(s.Share); u < 0 {
				last := Begin.Add(-s.For.Draw(r))
				d.Contact = Span{last, last}
				break
			}
		}
	})
}

// habits draws who has which habit. It stops where ctx ends.
func (p *Population) habits(ctx context.Context, pl *plan.Plan) {
	h := &pl.Population.Habits
	each(ctx, p.Devices, func(i int, d *Device) {
		r := source(pl.Seed, useHabits, uint64(i))
		d.Habits = 0
		for _, habit := range []struct {
			share plan.Share
			bit   Habits
		}{{h.NotNow, NotNow}, {h.UnreachableNight, UnreachableNight}, {h.ProfileFails, ProfileFails}, {h.Dozes, Dozes}} {
			if happens(r, habit.share) && (habit.bit != Dozes || d.Platform == protocol.Android) {
				d.Habits |= habit.bit
			}
		}
	})
}

// Adopt gives an imported population what only a plan can say: the groups of its users, habits, and when devices
// that are not enrolled yet enrol. The devices that pl itself would make are not added.
func (p *Population) Adopt(pl *plan.Plan) {
	p.Groups = slices.Sorted(maps.Keys(pl.Population.Groups))
	groups := make([]int, len(p.Groups))
	for i, name := range p.Groups {
		groups[i] = pl.Population.Groups[name]
	}
	for i := range p.Users {
		p.Users[i].Group = int16(weighted(source(pl.Seed, useUser, uint64(i)), 100, groups...))
	}
	p.habits(context.Background(), pl)
	for i := range pl.Timeline {
		if a := &pl.Timeline[i]; a.Enrol != nil && a.Enrol.All() {
			p.join(a)
		}
	}
}

// Assume gives pl what no export says of a tenant under Basic Mobility and Security, and what its devices lose when they move
// (AUTH-23): both families that it delivers (AUTH-46), assigned to everybody before the story. A plan that assigns profiles before
// its story knows better, and stays as it is. It tells whether pl has changed.
func (p *Population) Assume(pl *plan.Plan) bool {
	before := func(f plan.Profile) bool { return f.Assigned != "" }
	if p.Tenant.Authority != protocol.Office365 || slices.ContainsFunc(pl.Profiles, before) {
		return false
	}
	pl.Profiles = slices.Clone(pl.Profiles)
	for _, f := range []plan.Profile{{Name: "company mail", Family: protocol.Email}, {Name: "restrictions", Family: protocol.Configuration}} {
		for slices.ContainsFunc(pl.Profiles, func(is plan.Profile) bool { return is.Name == f.Name }) {
			f.Name += " of BMS" // the plan's of that name is another one
		}
		if f.Assigned = plan.All; p.Tenant.Coexistence {
			f.Of = protocol.Office365
		}
		pl.Profiles = append(pl.Profiles, f)
	}
	return true
}

// Pick returns the devices that t means, ascending: those of a share are drawn under seed, and there is at least
// one if t means any. salt tells the draws of one story apart; the action's index will do.
func (p *Population) Pick(t plan.Target, seed, salt uint64) []int {
	var chosen []int
	group := int16(slices.Index(p.Groups, t.Whom))
	for i := range p.Devices {
		d := &p.Devices[i]
		switch {
		case t.Whom == plan.All, t.Whom == plan.Userless && d.Userless(), t.Whom == d.Platform.String(),
			group >= 0 && !d.Userless() && p.Users[d.User].Group == group:
			chosen = append(chosen, i)
		}
	}
	n := t.Share.Of(len(chosen))
	if n == len(chosen) {
		return chosen
	}
	shuffle(source(seed, useTarget, salt), chosen)
	chosen = chosen[:n]
	slices.Sort(chosen)
	return chosen
}
