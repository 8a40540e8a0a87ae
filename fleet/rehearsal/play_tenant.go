package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"rollcall/certs"
	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/fleet/target"
	"rollcall/protocol"
	"rollcall/protocol/lang"
	"rollcall/server"
	"rollcall/server/authority"
	"rollcall/server/delivery"
	"rollcall/server/store"
)

// A tenancy is what is the same in all partitions: one tenant's.
type tenancy struct {
	ca    *certs.Authority    // of push certificates
	topic string              // of the one in use
	ends  protocol.Time       // when that one does
	apple bool                // somebody has a device that needs one
	first []byte              // the one of the beginning, with its key
	owner protocol.Authority  // whose profiles are assigned now
	made  map[ownProfile]bool // profiles that the servers have
}

// An ownProfile is a profile of an authority: its namesake at another one is another profile.
type ownProfile struct {
	name  string
	owner protocol.Authority
}

// setUp makes the tenant what the story begins with: authority, consents, licences and push certificate.
func (p *player) setUp(ctx context.Context) (err error) {
	t, own := &p.plan.Tenant, &p.pop.Tenant
	p.made, p.owner = map[ownProfile]bool{}, fleet.SlotOf(p.pop)
	settings := delivery.Settings{
		Lifetime: time.Duration(t.Identity.Lifetime), Window: time.Duration(t.Identity.Window), Renew: time.Duration(t.Identity.Retry), Blast: -1,
		Pilots: t.CoManaged.Pilot, Silent: time.Duration(t.CleanUp), DeviceLimit: t.DeviceLimit,
		Old: time.Duration(t.OldProfiles), Records: time.Duration(t.Records), PushGrace: time.Duration(t.APNs.Grace), PushWarnings: t.APNs.WarningDays(),
		Cadence: time.Duration(t.Cadence), Counted: time.Duration(t.Counted), Reach: time.Duration(t.Reach),
	}
	settings.Gap.NotOnCoexistence = t.Gap.OnCoexistence != nil && !*t.Gap.OnCoexistence
	settings.Gap.Platforms = t.Gap.Platforms
	for i, by := range t.CoManaged.Deciders() {
		settings.Workloads[i] = deciders[by]
	}
	tenant := authority.Tenant{Authority: own.Authority, Coexistence: own.Coexistence, Release: uint16(t.Release), AcceptUserless: t.BMS.Userless == plan.Accept}
	if units, known := p.units(); known { // devices without a user have a licence of their own: units are about users
		settings.UnitsKnown, settings.Units, settings.DeviceLicences = true, units, true
	}
	err = p.each(ctx, func(k *part, ctx context.Context) error {
		s := k.loop.Server()
		if err := s.SetUp(ctx, p.now, tenant, settings); err != nil {
			return fmt.Errorf("set up the tenant: %w", err)
		}
		for _, c := range t.Consents {
			if err := s.Consent(ctx, p.now, planner, c.String()); err != nil {
				return fmt.Errorf("grant the consent %s: %w", c, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.firstPush(ctx)
}

// deciders are who decides a workload, in the words of the rules.
var deciders = map[plan.Decider]authority.Decider{plan.ByIntune: authority.ByIntune, plan.ByPilot: authority.ByPilot}

// units returns how many licences a partition's server is told that the tenant owns: plan and export were held against them before,
// and a partition cannot know what the others have used. Where it owns none, that refuses to add Intune (AUTH-09); what nobody
// says shows in what users hold.
func (p *player) units() (units int, known bool) {
	const plenty = 1 << 30
	owned := p.pop.Tenant.Units
	if own := p.plan.Tenant.Units; own != nil {
		owned = population.Units{Known: true, Owned: *own}
	}
	held := slices.ContainsFunc(p.pop.Users, func(u population.User) bool { return u.Licence&population.IntuneLicence != 0 || u.PlanOff })
	switch {
	case owned.Known && owned.Owned == 0:
		return 0, true
	case owned.Known, held:
		return plenty, true
	}
	return 0, false
}

func (k *part) addUsers(ctx context.Context, users []target.User) error {
	list := make([]store.User, len(users))
	for i := range users {
		u := &users[i]
		list[i] = store.User{UPN: u.UPN, Groups: u.Groups, User: authority.User{IntuneLicence: u.IntuneLicence, BasicLicence: u.BasicLicence, CoManaged: u.CoManaged, Premium: u.Premium}}
	}
	if len(list) == 0 {
		return nil
	}
	_, err := k.loop.Server().PutUsers(ctx, k.now, list)
	if err != nil {
		err = fmt.Errorf("add users: %w", err)
	}
	return err
}

// relicense gives the users, of the population from k.first on, the licences that they have there, where they have others now.
func (k *part) relicense(ctx context.Context, users []target.User) error {
	var list []server.Licence
	var whom []int
	for i := range users {
		u := &users[i]
		if is, ok := k.loop.Server().UserByUPN(u.UPN); ok && (is.IntuneLicence != u.IntuneLicence || is.CoManaged != u.CoManaged) {
			list = append(list, server.Licence{UPN: u.UPN, Intune: u.IntuneLicence, Basic: u.BasicLicence, CoManaged: u.CoManaged, Premium: u.Premium})
			whom = append(whom, k.first+i)
		}
	}
	return k.license(ctx, k.now, list, whom)
}

// license says what some users hold from now on. Where devices would end without profiles the server wants the preview of it.
func (k *part) license(ctx context.Context, now protocol.Time, list []server.Licence, users []int) error {
	if len(list) == 0 {
		return nil
	}
	s := k.loop.Server()
	pre, err := s.SetLicences(ctx, now, planner, list, "")
	if errors.Is(err, protocol.RulePreview) {
		pre, err = s.SetLicences(ctx, now, planner, list, pre.ID)
	}
	if err != nil {
		return fmt.Errorf("licences of %d users: %w", len(list), err)
	}
	k.turnUsers(now, users)
	if pre != nil {
		of := k.foretold(pre)
		k.watch.Previewed(now, &of)
	}
	return nil
}

// licensing returns how the users of a get their licence, and those of an Over hour by hour. Holders is who has what before,
// and then after.
func (p *player) licensing(a *plan.Action, salt uint64, holders population.Holders) []act {
	waves, total := p.cast.Waves(a, salt, holders)
	acts := []act{{at: p.start.Add(time.Duration(a.At)), Words: p.cast.Say(a), do: func(context.Context, protocol.Time) (string, error) {
		return fmt.Sprintf("They are %d users.", total), nil
	}}}
	for i := range waves {
		w := &wave{Wave: waves[i], action: salt}
		acts = append(acts, act{at: p.start.Add(w.At), wave: w, do: func(ctx context.Context, now protocol.Time) (string, error) {
			return "", p.each(ctx, func(k *part, ctx context.Context) error { return k.licenses(ctx, now, w) })
		}})
	}
	return acts
}

// setAuthority asks what the change would do, and confirms it (AUTH-35). What any partition's server refuses, the tenant's does.
func (p *player) setAuthority(ctx context.Context, now protocol.Time, s *plan.Setting) (string, error) {
	change := authority.Change{Force: s.Force}
	var added bool
	if change.Authority, added = s.Set.Authority(); added {
		change.Authority, change.Coexistence = protocol.Office365, true
	}
	previews := make([]*server.Preview, len(p.parts))
	foretold := make([]target.Preview, len(p.parts))
	err := p.each(ctx, func(k *part, ctx context.Context) error {
		shown, err := k.loop.Server().PreviewAuthority(ctx, now, change)
		if err != nil {
			return err
		}
		foretold[k.number], shown.Devices = k.foretold(shown), nil // there are many
		previews[k.number] = shown
		return nil
	})
	if err == nil {
		err = p.each(ctx, func(k *part, ctx context.Context) error {
			shown := previews[k.number]
			if _, err := k.loop.Server().SetAuthority(ctx, now, planner, change, shown.ID, shown.Stranded); err != nil {
				return err
			}
			if err := k.turn(now); err != nil {
				return err
			}
			k.watch.Previewed(now, &foretold[k.number])
			return nil
		})
	}
	if err != nil {
		return "", fmt.Errorf("set the authority to %s: %w", s.Set, err)
	}
	var enrolled, moves, anew, stay int
	for _, pre := range previews {
		if pre == nil { // of a partition that is not played
			continue
		}
		enrolled, moves, anew, stay = enrolled+pre.Enrolled, moves+pre.Pending, anew+pre.Stale, stay+pre.NeedsSupport
	}
	outcome := lang.English.Say("Previewed and confirmed: of %d devices %d move, %d register anew, %d without a user stay.", enrolled, moves, anew, stay)
	first := previews[p.leader().number]
	if first.OpensGap {
		outcome += " " + lang.English.Say("The gap opens: Apple devices get 503.")
		if g := len(p.gaps); g == 0 || p.gaps[g-1].Closed != 0 {
			p.gaps = append(p.gaps, fleet.Gap{Opened: now})
		}
	}
	p.owner = change.Authority
	if added {
		p.owner = protocol.Intune
	}
	p.later(first.After.OldEnd())
	return outcome, nil
}

// assign gives a profile of the plan to a group.
func (p *player) assign(ctx context.Context, now protocol.Time, a *plan.Assignment) error {
	made := ownProfile{a.Assign, p.owner}
	i := slices.IndexFunc(p.plan.Profiles, func(x plan.Profile) bool { return x.Name == a.Assign })
	family := p.plan.Profiles[i].Family
	var document []byte
	identifier := ""
	if !p.made[made] {
		identifier, document = fleet.Document(p.plan, a.Assign)
	}
	p.made[made] = true
	return p.each(ctx, func(k *part, ctx context.Context) error {
		s := k.loop.Server()
		c := server.ProfileChange{Name: a.Assign, Family: family, Identifier: identifier, Payload: document, Groups: []string{a.Group}}
		pre, err := s.PutProfile(ctx, now, planner, c, "")
		if errors.Is(err, protocol.RulePreview) {
			_, err = s.PutProfile(ctx, now, planner, c, pre.ID)
		}
		if err != nil {
			return fmt.Errorf("assign profile %s: %w", a.Assign, err)
		}
		return nil
	})
}

// unassign takes a profile of the plan from a group.
func (p *player) unassign(ctx context.Context, now protocol.Time, a *plan.Assignment) error {
	return p.each(ctx, func(k *part, ctx context.Context) error {
		s := k.loop.Server()
		r := server.ProfileRemoval{Name: a.Unassign, Groups: []string{a.Group}}
		pre, err := s.TakeProfile(ctx, now, planner, r, "")
		if errors.Is(err, protocol.RulePreview) {
			_, err = s.TakeProfile(ctx, now, planner, r, pre.ID)
		}
		if err != nil {
			return fmt.Errorf("unassign profile %s: %w", a.Unassign, err)
		}
		return nil
	})
}

// supportMove has support move those of the devices that have no user and are enrolled.
func (p *player) supportMove(ctx context.Context, now protocol.Time, whom plan.Target, salt uint64) (string, error) {
	var moved atomic.Int64
	err := p.pick(ctx, whom, salt, func(k *part, i int) error {
		u := &k.units[i]
		if !k.pop.Devices[u.device].Userless() || !u.managed {
			return nil
		}
		err := k.loop.Server().SupportMove(ctx, now, planner, k.loop.Number(i))
		if err == nil {
			moved.Add(1)
		}
		return k.told(now, i, "support move", err)
	})
	return fmt.Sprintf("%d of them are to move.", moved.Load()), err
}

// foretold is what a change was said to do, to be held against the devices as they stand right after it (I10).
func (k *part) foretold(pre *server.Preview) target.Preview {
	of := target.Preview{Enrolled: pre.Enrolled, Pending: pre.Pending, Stale: pre.Stale, Blocked: pre.Blocked}
	for i := range pre.Devices {
		if d := &pre.Devices[i]; d.Concerned() && len(of.Devices) < named {
			one := target.Named{Device: k.pop.Devices[k.units[k.known[d.Device]-1].device].UDID, Pending: d.Pending, Stale: d.Stale, Blocked: d.Blocked}
			if d.Stranded != authority.NotStranded {
				one.Stranded = d.Stranded.String()
			}
			of.Devices = append(of.Devices, one)
		}
	}
	return of
}
