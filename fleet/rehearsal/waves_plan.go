package rehearsal

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"rollcall/fleet"
	"rollcall/fleet/plan"
	"rollcall/fleet/population"
	"rollcall/protocol"
	"rollcall/protocol/lang"
)

// A WavePlan is a plan whose users get their licence in waves.
type WavePlan struct {
	Plan    *plan.Plan // with the waves; to be encoded and read again
	Without *plan.Plan // the same story, with nobody given a licence
	Days    []WaveDay
	Movers  Movers
	Left    []Left // who will not make it
	Exposed []Left // who was without a profile for longer than the bound in the rehearsal
	NoUnit  []int  // users, by index in the population, for whom no licence is left (AUTH-09)

	Rehearsed []BoundResult // nil: it was not
	Tried     int           // how many sizes of waves were rehearsed
	Larger    *Larger       // nil: there are no larger waves, for everybody is in one, or nobody has looked

	bounds Bounds
	aside  time.Duration // until when minutes are held against no bound
	adds   bool          // the plan adds Intune
	cast   fleet.Cast
	given  map[int32]time.Duration // by user, when the waves give a licence
}

// A Larger is what waves of one user more a day broke in their rehearsal.
type Larger struct {
	Users  int
	Broken []BoundResult
}

// A Left is a device that the waves do not move, or not as they should.
type Left struct {
	Device int // index in the population
	Why    lang.Key
	Rule   protocol.Rule
	Action lang.Key // what helps
}

// Prepare returns the story up to the waves for a tenant's export: Intune is added where it was not, with a renewed push
// certificate ten minutes later, and Intune's email and configuration are assigned to everybody, in place of what BMS is taken to
// have had there before the story (AUTH-46). The plan leaves out what [plan.Parse] fills in. The error is that no licence moves anybody there.
func Prepare(pop *population.Population) (*plan.Plan, []population.Note, error) {
	if pop.Tenant.Authority != protocol.Office365 {
		return nil, nil, fmt.Errorf("the tenant's authority is %s: licences move devices only where Intune is added to office365 (AUTH-14)", pop.Tenant.Authority)
	}
	p, notes := pop.Fit()
	note, err := lead(p, pop.Tenant.Coexistence)
	return p, append(notes, note), err
}

// Led is p with the story up to the waves of [Prepare], for a plan of a tenant under office365 that changes no authority, such as one
// that was fitted to an export; any other plan is returned as it is. It leaves out what [plan.Parse] fills in.
func Led(p *plan.Plan) (*plan.Plan, []population.Note, error) {
	changes := func(a plan.Action) bool { return a.Authority != nil }
	if p.Tenant.Authority != protocol.Office365 || p.Tenant.Coexistence || slices.ContainsFunc(p.Timeline, changes) {
		return p, nil, nil
	}
	q := *p
	q.Timeline, q.Profiles = slices.Clone(p.Timeline), slices.Clone(p.Profiles)
	note, err := lead(&q, false)
	return &q, []population.Note{note, {Path: "timeline", Text: lang.Later("Intune is added after 1h, and the push certificate renewed ten minutes later"), Assumed: true}}, err
}

// lead puts in what comes before waves: Intune, where it is not added yet, and its settings.
func lead(p *plan.Plan, coexists bool) (note population.Note, err error) {
	note = population.Note{Path: "profiles", Text: lang.Later("email and configuration stand for your own settings: nobody moves without Intune's in place (AUTH-23); before rollcall apply, put the names of your own profiles in their place"), Assumed: true}
	own := []plan.Profile{{Name: "company mail", Family: protocol.Email, Assigned: plan.All}, {Name: "restrictions", Family: protocol.Configuration, Assigned: plan.All}}
	for _, f := range own { // they were there before: an assignment in the story would wake everybody for it
		i := slices.IndexFunc(p.Profiles, func(is plan.Profile) bool { return is.Name == f.Name })
		if i < 0 {
			p.Profiles = append(p.Profiles, f)
			continue
		}
		p.Profiles[i].Assigned = plan.All
	}
	if coexists {
		return note, nil
	}
	set := &plan.Setting{}
	if err := set.Set.UnmarshalText([]byte("coexistence")); err != nil {
		return note, err
	}
	p.Timeline = append(p.Timeline, plan.Action{At: plan.Duration(time.Hour), Authority: set})
	for _, f := range own { // whose user has a licence already moves at its first check-in from here on
		p.Timeline = append(p.Timeline, plan.Action{At: plan.Duration(time.Hour), Profiles: &plan.Assignment{Assign: f.Name, Group: plan.All}})
	}
	p.Timeline = append(p.Timeline, plan.Action{At: plan.Duration(70 * time.Minute), APNs: &plan.Upload{Upload: plan.Renewed, Slot: protocol.Intune}})
	slices.SortStableFunc(p.Timeline, func(a, b plan.Action) int { return cmp.Compare(a.At, b.At) })
	return note, nil
}

// stirred is when what [Led] and [Prepare] put before the waves has stirred its last device: the wake-ups of a change of authority
// end four hours after it (AUTH-20).
const stirred = 6 * time.Hour

// aside is until when the minutes of p are those of adding Intune alone: none of p's own actions stirs devices before. It is for a p
// whose story before the waves is made up.
func aside(p *plan.Plan) time.Duration {
	until := stirred
	for i := range p.Timeline {
		if a := &p.Timeline[i]; a.Authority == nil && a.APNs == nil && a.Profiles == nil && a.Enrol == nil {
			until = min(until, time.Duration(a.At))
		}
	}
	return until
}

// A waving is what the waves of a plan, of whatever size, have in common.
type waving struct {
	plan   *plan.Plan
	bounds Bounds
	aside  time.Duration // see WavePlan
	cast   fleet.Cast
	after  time.Duration      // when the plan has made its last change that waves wait for
	held   population.Holders // by then
	users  []int              // whom a licence can move: with one that BMS serves and none that entitles Intune
	movers Movers             // those of them for whom there is a licence
}

// newWaving prepares waves of licences for p, which is checked: for the users of pop who have a licence that BMS serves and none that
// entitles Intune when the last change of authority, push certificate, profiles and licences in p has been made. The error says why nobody
// can be moved.
func newWaving(p *plan.Plan, pop *population.Population, start protocol.Time, b Bounds) (*waving, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	v := &waving{plan: p, bounds: b, cast: fleet.Cast{Plan: p, Population: pop, Start: start, Plays: func(protocol.Platform) bool { return true }}}
	if err := v.before(); err != nil {
		return nil, err
	}
	basic := &plan.Licensing{Assign: plan.IntuneLicence, To: plan.Target{Share: plan.Whole, Whom: plan.OnlyBasic}}
	v.users = pop.PickUsers(basic, v.held, p.Seed, 0)
	v.movers.Users = len(v.users)
	if free, known := unitsFree(p, pop, v.held); known {
		v.movers.Users = min(free, len(v.users))
	}
	if v.movers.Users == 0 {
		return nil, v.nobody()
	}
	v.count()
	return v, nil
}

// nobody says why there is nobody to put into waves, and what to do.
func (v *waving) nobody() error {
	p := v.plan
	given := slices.IndexFunc(p.Timeline, func(a plan.Action) bool { return a.Licences != nil && a.Licences.Assign == plan.IntuneLicence })
	switch {
	case len(v.users) > 0:
		return p.Mistake("tenant.units", "AUTH-09", "nobody moves by a licence: %d users wait for one that entitles Intune, and of those that the tenant owns none is free; want more units", len(v.users))
	case given >= 0:
		return p.Mistake(fmt.Sprintf("timeline[%d]", given), protocol.RuleEntitled, "nobody moves by a licence: once the plan has given its own, no user with a basic licence is left without one that entitles Intune; leave this out, and the waves that are computed take its place")
	}
	return p.Mistake("population.licences", protocol.RuleEntitled, "nobody moves by a licence: no user has a basic licence and none that entitles Intune; waves are for those alone")
}

// before finds out when the plan has made the last change that waves wait for, and what the users hold then.
func (v *waving) before() error {
	p, pop := v.plan, v.cast.Population
	v.held = pop.Holders()
	added := pop.Tenant.Coexistence
	for i := range p.Timeline {
		a := &p.Timeline[i]
		over := plan.Duration(0)
		switch {
		case a.Authority != nil:
			_, added = a.Authority.Set.Authority()
		case a.Licences != nil:
			for _, u := range pop.PickUsers(a.Licences, v.held, p.Seed, uint64(i)) {
				v.held.Apply(a.Licences, u)
			}
			over = a.Licences.Over
		case a.APNs == nil && a.Profiles == nil && a.Consent == 0:
			continue
		}
		v.after = max(v.after, time.Duration(a.At+over))
	}
	if !added {
		return p.Mistake("timeline", protocol.RuleEntitled, "Intune is never added to office365 here, so no licence moves anybody; want {at: 1h, authority: {set: coexistence}} or so")
	}
	return nil
}

// of puts the users into waves of so many a day.
func (v *waving) of(aDay int) (*WavePlan, error) {
	days, err := inWaves(v.cast.Start, v.after+time.Hour, v.movers.Users, len(v.users), aDay, v.bounds)
	if err != nil {
		return nil, err
	}
	w := &WavePlan{Days: days, Movers: v.movers, bounds: v.bounds, aside: v.aside, adds: slices.ContainsFunc(v.plan.Timeline, func(a plan.Action) bool { return a.Authority != nil }), cast: v.cast}
	w.compose(v.plan)
	w.give(v.users)
	w.leave(v.held)
	return w, nil
}

// unitsFree returns how many licences are left that entitle Intune.
func unitsFree(p *plan.Plan, pop *population.Population, h population.Holders) (free int, known bool) {
	owned := pop.Tenant.Units.Owned
	switch {
	case p.Tenant.Units != nil:
		owned = *p.Tenant.Units
	case !pop.Tenant.Units.Known:
		return 0, false
	}
	for _, l := range h {
		if l&population.IntuneLicence != 0 {
			owned--
		}
	}
	return max(0, owned), true
}

// count takes from the population how many devices move, and how many certificates are renewed about now.
func (v *waving) count() {
	const soon = 14 * plan.Day
	c := &v.cast
	theirs := make(map[int32]bool, len(v.users))
	for _, u := range v.users {
		theirs[int32(u)] = true
	}
	moving, due, dueMoving := 0, 0, 0
	for i := range c.Population.Devices {
		d := &c.Population.Devices[i]
		if stays, away := c.Gone(i); away && stays < 0 || d.Joins == population.Never {
			continue
		}
		v.movers.Fleet++
		renews := d.CertEnd.Add(-time.Duration(c.Plan.Tenant.Identity.Window))
		nearly := d.CertEnd != 0 && renews > c.Start && renews <= c.Start.Add(soon)
		if nearly {
			due++
		}
		if d.Userless() || !theirs[d.User] || d.Registered == protocol.Intune {
			continue
		}
		if moving++; nearly {
			dueMoving++
		}
	}
	v.movers.Devices = moving * v.movers.Users / len(v.users)
	v.movers.Renewed = float64(due) / soon.Minutes()
	if moving > 0 { // of those that come into the window, a third of a day's number meets its wave as the first check-in
		v.movers.Due = float64(dueMoving) / float64(moving) * interval / soon.Minutes()
	}
}

// compose writes the waves into a copy of p.
func (w *WavePlan) compose(p *plan.Plan) {
	with, without := *p, *p
	with.Name += ", in waves"
	with.Timeline, with.Acts = slices.Clone(p.Timeline), slices.Clone(p.Acts)
	if len(with.Acts) == 0 {
		with.Acts = []plan.Act{{Name: lang.English.Say("before the waves")}}
	}
	for k, d := range w.Days {
		wave := plan.Action{At: plan.Duration(d.At), Licences: &plan.Licensing{
			Assign: plan.IntuneLicence, To: plan.Target{Share: d.share, Whom: plan.OnlyBasic}, Over: plan.Duration(d.Over), Every: plan.Duration(time.Minute),
		}}
		at := slices.IndexFunc(with.Timeline, func(a plan.Action) bool { return a.At > wave.At })
		if at < 0 {
			at = len(with.Timeline)
		}
		with.Timeline = slices.Insert(with.Timeline, at, wave)
		if with.Acts[len(with.Acts)-1].At < wave.At {
			with.Acts = append(with.Acts, plan.Act{At: wave.At, Name: lang.English.Say("wave %d of %d: %d {user|users}", k+1, len(w.Days), d.Users)})
		}
	}
	last := w.Days[len(w.Days)-1]
	with.Until = max(p.Until, plan.Duration((last.At + last.Over + 2*plan.Day).Round(time.Hour)))
	without.Until = with.Until
	w.Plan, w.Without = &with, &without
}

// give finds out when who of users gets a licence by the waves, as the plan's seed draws it, and who gets none.
func (w *WavePlan) give(users []int) {
	h := w.cast.Population.Holders()
	cast := w.cast
	cast.Plan = w.Plan
	w.given = make(map[int32]time.Duration, w.Movers.Users)
	for i := range w.Plan.Timeline {
		a := &w.Plan.Timeline[i]
		if a.Licences == nil {
			continue
		}
		turns, _ := cast.Waves(a, uint64(i), h)
		if time.Duration(a.At) < w.Days[0].At {
			continue
		}
		for _, t := range turns {
			for _, u := range t.Users {
				w.given[int32(u)] = t.At
			}
		}
	}
	for _, u := range users {
		if _, given := w.given[int32(u)]; !given {
			w.NoUnit = append(w.NoUnit, u)
		}
	}
	w.Movers.Users, w.Movers.Devices = len(w.given), 0
	for i := range w.cast.Population.Devices {
		if d := &w.cast.Population.Devices[i]; !d.Userless() && d.Registered != protocol.Intune {
			if _, given := w.given[d.User]; given {
				w.Movers.Devices++
			}
		}
	}
}

// leave names who is not moved by the waves, though BMS manages it.
func (w *WavePlan) leave(h population.Holders) {
	c := &w.cast
	last := w.Days[len(w.Days)-1]
	for i := range c.Population.Devices {
		d := &c.Population.Devices[i]
		if d.Registered != protocol.Office365 {
			continue
		}
		left := Left{Device: i}
		stays, away := c.Gone(i)
		switch {
		case d.Has(population.Revoked), d.CertEnd != 0 && d.CertEnd <= c.Start:
			left.Why, left.Rule, left.Action = lang.Key("its identity has ended"), protocol.RuleNotRenewed, lang.Key("enrol it again")
		case d.Userless():
			left.Why, left.Rule, left.Action = lang.Key("it has no user"), protocol.RuleUserless, lang.Key("move it by support")
		case away && stays < 0:
			left.Why, left.Rule, left.Action = lang.Key("it has been silent for long"), protocol.RuleRegistered, lang.Key("find it, or clean it up")
		case away && stays > last.At+last.Over:
			left.Why, left.Rule, left.Action = lang.Key("it comes back after the last wave"), protocol.RuleRegistered, lang.Key("wait for it")
		case h[d.User] == population.NoLicence:
			left.Why, left.Rule, left.Action = lang.Key("its user has no licence"), protocol.RuleNoLicence, lang.Key("give the user one")
		case h[d.User] == population.BMSLicence && c.Population.Users[d.User].NoLocation:
			left.Why, left.Rule, left.Action = lang.Key("its user has no usage location, so no licence can be assigned"), protocol.RuleLicenceMoves, lang.Key("set the usage location")
		default:
			continue
		}
		w.Left = append(w.Left, left)
	}
}
