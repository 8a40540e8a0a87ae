package rehearsal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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

// A tenancy is how the tenant stands now. It is the same in all partitions at the same moment of the story.
type tenancy struct {
	topic string              // of the push certificate in use
	ends  protocol.Time       // when that one does
	first []byte              // the one of the beginning, with its key
	owner protocol.Authority  // whose profiles are assigned now
	made  map[ownProfile]bool // profiles that the server has
}

// An ownProfile is a profile of an authority: its namesake at another one is another profile.
type ownProfile struct {
	name  string
	owner protocol.Authority
}

// setUp makes the tenant what the story begins with: authority, consents, licences and push certificate.
func (p *player) setUp(ctx context.Context) (err error) {
	t, own, s := &p.plan.Tenant, &p.pop.Tenant, p.part.loop.Server()
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
	if p.owned.Known { // devices without a user have a licence of their own: units are about users
		settings.UnitsKnown, settings.Units, settings.DeviceLicences = true, p.owned.Owned, true
	}
	ctx = context.WithoutCancel(ctx)
	if err := s.SetUp(ctx, p.now, tenant, settings); err != nil {
		return fmt.Errorf("set up the tenant: %w", err)
	}
	for _, c := range t.Consents {
		if err := s.Consent(ctx, p.now, planner, c.String()); err != nil {
			return fmt.Errorf("grant the consent %s: %w", c, err)
		}
	}
	return p.firstPush(ctx)
}

// deciders are who decides a workload, in the words of the rules.
var deciders = map[plan.Decider]authority.Decider{plan.ByIntune: authority.ByIntune, plan.ByPilot: authority.ByPilot}

// unitsOwned returns how many licences a partition's server is told that the tenant owns: plan and export were held against them before,
// and a partition cannot know what the others have used. Where it owns none, that refuses to add Intune (AUTH-09); what nobody
// says shows in what users hold.
func (s *stage) unitsOwned() population.Units {
	const plenty = 1 << 30
	owned := s.pop.Tenant.Units
	if own := s.plan.Tenant.Units; own != nil {
		owned = population.Units{Known: true, Owned: *own}
	}
	held := slices.ContainsFunc(s.pop.Users, func(u population.User) bool { return u.Licence&population.IntuneLicence != 0 || u.PlanOff })
	switch {
	case owned.Known && owned.Owned == 0:
	case owned.Known, held:
		return population.Units{Known: true, Owned: plenty}
	}
	return owned
}

func (k *part) addUsers(ctx context.Context, users []target.User) error {
	list := make([]store.User, len(users))
	for i := range users {
		u := &users[i]
		list[i] = store.User{UPN: u.UPN, Groups: u.Groups, User: authority.User{IntuneLicence: u.IntuneLicence, BasicLicence: u.BasicLicence, CoManaged: u.CoManaged, Premium: u.Premium, Manager: u.Manages()}}
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
func (s *stage) licensing(a *plan.Action, salt uint64, holders population.Holders) []act {
	waves, total := s.cast.Waves(a, salt, holders)
	acts := []act{{at: s.start.Add(time.Duration(a.At)), Words: s.cast.Say(a), do: func(context.Context, *player, protocol.Time) (outcome, error) {
		return outcome{says: func(tally) string { return fmt.Sprintf("They are %d users.", total) }}, nil
	}}}
	for i := range waves {
		w := &wave{Wave: waves[i], action: salt}
		acts = append(acts, act{at: s.start.Add(w.At), wave: w, do: quiet(func(ctx context.Context, p *player, now protocol.Time) error {
			return p.part.licenses(ctx, now, w)
		})})
	}
	return acts
}

// setAuthority asks what the change would do, and confirms it (AUTH-35).
func (p *player) setAuthority(ctx context.Context, now protocol.Time, s *plan.Setting) (outcome, error) {
	change := authority.Change{Force: s.Force}
	var added bool
	if change.Authority, added = s.Set.Authority(); added {
		change.Authority, change.Coexistence = protocol.Office365, true
	}
	k := p.part
	core := k.loop.Server()
	shown, err := core.PreviewAuthority(ctx, now, change)
	if err == nil {
		_, err = core.SetAuthority(ctx, now, planner, change, shown.ID, shown.Stranded)
	}
	if err != nil {
		return outcome{}, fmt.Errorf("set the authority to %s: %w", s.Set, err)
	}
	k.turn(now)
	foretold := k.foretold(shown)
	k.watch.Previewed(now, &foretold)
	if g := len(p.gaps); shown.OpensGap && (g == 0 || p.gaps[g-1].Closed != 0) {
		p.gaps = append(p.gaps, fleet.Gap{Opened: now})
	}
	p.owner = change.Authority
	if added {
		p.owner = protocol.Intune
	}
	p.later(shown.After.OldEnd())
	opens := shown.OpensGap
	return outcome{n: tally{shown.Enrolled, shown.Pending, shown.Stale, shown.NeedsSupport}, says: func(n tally) string {
		text := lang.English.Say("Previewed and confirmed: of %d {device|devices} %d {moves|move}, %d {registers|register} anew, %d without a user {stays|stay}.", n[0], n[1], n[2], n[3])
		if opens {
			text += " " + lang.English.Say("The gap opens: Apple devices get 503 until a renewed push certificate is uploaded.")
		}
		return text
	}}, nil
}

// assign gives a profile of the plan to a group. of is whose profile it is; Unknown: of who assigns profiles now.
func (p *player) assign(ctx context.Context, now protocol.Time, a *plan.Assignment, of protocol.Authority) error {
	made := ownProfile{a.Assign, cmp.Or(of, p.owner)}
	i := slices.IndexFunc(p.plan.Profiles, func(x plan.Profile) bool { return x.Name == a.Assign })
	c := server.ProfileChange{Authority: of, Name: a.Assign, Family: p.plan.Profiles[i].Family, Groups: []string{a.Group}}
	if !p.made[made] {
		c.Identifier, c.Payload = fleet.Document(p.plan, a.Assign)
	}
	p.made[made] = true
	s := p.part.loop.Server()
	pre, err := s.PutProfile(ctx, now, planner, c, "")
	if errors.Is(err, protocol.RulePreview) {
		_, err = s.PutProfile(ctx, now, planner, c, pre.ID)
	}
	if err != nil {
		return fmt.Errorf("assign profile %s: %w", a.Assign, err)
	}
	return nil
}

// unassign takes a profile of the plan from a group.
func (k *part) unassign(ctx context.Context, now protocol.Time, a *plan.Assignment) error {
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
}

// supportMove has support move those of whom that have no user and are enrolled.
func (k *part) supportMove(ctx context.Context, now protocol.Time, whom [][]uint32) (outcome, error) {
	out := outcome{says: func(n tally) string { return fmt.Sprintf("%d of them are to move.", n[0]) }}
	for _, i := range whom[k.number] {
		u := &k.units[i]
		if !k.pop.Devices[u.device].Userless() || !u.managed {
			continue
		}
		err := k.loop.Server().SupportMove(ctx, now, planner, k.loop.Number(int(i)))
		if err == nil {
			out.n[0]++
		}
		if err := k.told(now, int(i), "support move", err); err != nil {
			return outcome{}, err
		}
	}
	return out, nil
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
