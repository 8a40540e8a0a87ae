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
	Exposed []Left // who moves, and was without a profile for longer than the bound in the rehearsal; see [WavePlan.Judge]
	NoUnit  []int  // users, by index in the population, for whom no licence is left (AUTH-09)
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
// have (AUTH-46). The plan leaves out what [plan.Parse] fills in. The error is that no licence moves anybody there.
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
	return &q, []population.Note{note, {Path: "timeline", Text: "Intune is added after 1h, and the push certificate renewed ten minutes later", Assumed: true}}, err
}

// lead puts in what comes before waves: Intune, where it is not added yet, and its settings.
func lead(p *plan.Plan, coexists bool) (note population.Note, err error) {
	note = population.Note{Path: "profiles", Text: "email and configuration stand for your own settings: nobody moves without Intune's in place (AUTH-23); before rollcall apply, put the names of your own profiles in their place", Assumed: true}
	own := []plan.Profile{{Name: "company mail", Family: protocol.Email}, {Name: "restrictions", Family: protocol.Configuration}}
	assign := func(at time.Duration) {
		for _, f := range own {
			p.Timeline = append(p.Timeline, plan.Action{At: plan.Duration(at), Profiles: &plan.Assignment{Assign: f.Name, Group: plan.All}})
		}
	}
	for _, f := range own {
		if !slices.ContainsFunc(p.Profiles, func(is plan.Profile) bool { return is.Name == f.Name }) {
			p.Profiles = append(p.Profiles, f)
		}
	}
	if !coexists {
		assign(0)
		set := &plan.Setting{}
		if err := set.Set.UnmarshalText([]byte("coexistence")); err != nil {
			return note, err
		}
		p.Timeline = append(p.Timeline,
			plan.Action{At: plan.Duration(time.Hour), Authority: set},
			plan.Action{At: plan.Duration(70 * time.Minute), APNs: &plan.Upload{Upload: plan.Renewed, Slot: protocol.Intune}},
		)
	}
	assign(2 * time.Hour)
	slices.SortStableFunc(p.Timeline, func(a, b plan.Action) int { return cmp.Compare(a.At, b.At) })
	return note, nil
}

// Waves puts waves of licences into p, which is checked, as b bounds them: for the users of pop who have a licence that BMS
// serves and none that entitles Intune when the last change of authority, push certificate and profiles in p has been made. The
// error says why nobody can be moved, or which bound leaves no room.
func Waves(p *plan.Plan, pop *population.Population, start protocol.Time, b Bounds) (*WavePlan, error) {
	after, h, err := before(p, pop)
	if err != nil {
		return nil, err
	}
	basic := &plan.Licensing{Assign: plan.IntuneLicence, To: plan.Target{Share: plan.Whole, Whom: plan.OnlyBasic}}
	users := pop.PickUsers(basic, h, p.Seed, 0)
	w := &WavePlan{Movers: Movers{Users: len(users)}}
	free, known := unitsFree(p, pop, h)
	short := known && free < len(users)
	if short {
		w.Movers.Users = free
	}
	cast := fleet.Cast{Plan: p, Population: pop, Start: start, Plays: func(protocol.Platform) bool { return true }}
	w.count(&cast, users)
	if w.Days, err = PlanWaves(start, after+time.Hour, w.Movers, b); err != nil {
		return nil, err
	}
	w.compose(p, len(users))
	w.leave(&cast, h)
	if short {
		w.without(pop, users)
	}
	return w, nil
}

// before returns when p has made the last change that waves wait for, and what the users hold then.
func before(p *plan.Plan, pop *population.Population) (after time.Duration, h population.Holders, err error) {
	h = pop.Holders()
	added := pop.Tenant.Coexistence
	for i := range p.Timeline {
		a := &p.Timeline[i]
		switch {
		case a.Authority != nil:
			_, added = a.Authority.Set.Authority()
		case a.Licences != nil:
			for _, u := range pop.PickUsers(a.Licences, h, p.Seed, uint64(i)) {
				h.Apply(a.Licences, u)
			}
			continue
		case a.APNs == nil && a.Profiles == nil && a.Consent == 0:
			continue
		}
		after = time.Duration(a.At)
	}
	if !added {
		return 0, nil, p.Mistake("timeline", protocol.RuleEntitled, "Intune is never added to office365 here, so no licence moves anybody; want {at: 1h, authority: {set: coexistence}} or so")
	}
	return after, h, nil
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
func (w *WavePlan) count(c *fleet.Cast, users []int) {
	const soon = 14 * plan.Day
	theirs := make(map[int32]bool, len(users))
	for _, u := range users {
		theirs[int32(u)] = true
	}
	moving, due, dueMoving := 0, 0, 0
	for i := range c.Population.Devices {
		d := &c.Population.Devices[i]
		if stays, away := c.Gone(i); away && stays < 0 || d.Joins == population.Never {
			continue
		}
		w.Movers.Fleet++
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
	if len(users) > 0 {
		w.Movers.Devices = moving * w.Movers.Users / len(users)
	}
	w.Movers.Renewed = float64(due) / soon.Minutes()
	if moving > 0 { // of those that come into the window, a third of a day's number meets its wave as the first check-in
		w.Movers.Due = float64(dueMoving) / float64(moving) * interval / soon.Minutes()
	}
}

// compose writes the waves into a copy of p, of whose users so many have a basic licence only.
func (w *WavePlan) compose(p *plan.Plan, basic int) {
	with, without := *p, *p
	with.Name += ", in waves"
	with.Timeline, with.Acts = slices.Clone(p.Timeline), slices.Clone(p.Acts)
	if len(with.Acts) == 0 {
		with.Acts = []plan.Act{{Name: "before the waves"}}
	}
	left := basic
	for k, d := range w.Days {
		share := plan.Share((uint64(d.Users)*uint64(plan.Whole) + uint64(left) - 1) / uint64(left))
		wave := plan.Action{At: plan.Duration(d.At), Licences: &plan.Licensing{
			Assign: plan.IntuneLicence, To: plan.Target{Share: share, Whom: plan.OnlyBasic}, Over: plan.Duration(d.Over), Every: plan.Duration(time.Minute),
		}}
		left -= share.Of(left)
		at := slices.IndexFunc(with.Timeline, func(a plan.Action) bool { return a.At > wave.At })
		if at < 0 {
			at = len(with.Timeline)
		}
		with.Timeline = slices.Insert(with.Timeline, at, wave)
		if with.Acts[len(with.Acts)-1].At < wave.At {
			with.Acts = append(with.Acts, plan.Act{At: wave.At, Name: fmt.Sprintf("wave %d of %d: %s", k+1, len(w.Days), plural(d.Users, "user"))})
		}
	}
	last := w.Days[len(w.Days)-1]
	with.Until = max(p.Until, plan.Duration((last.At + last.Over + 2*plan.Day).Round(time.Hour)))
	without.Until = with.Until
	w.Plan, w.Without = &with, &without
}

// without names which of users get none of the licences that are left, as the plan's seed draws it.
func (w *WavePlan) without(pop *population.Population, users []int) {
	h := pop.Holders()
	for i := range w.Plan.Timeline {
		if l := w.Plan.Timeline[i].Licences; l != nil {
			for _, u := range pop.PickUsers(l, h, w.Plan.Seed, uint64(i)) {
				h.Apply(l, u)
			}
		}
	}
	for _, u := range users {
		if h[u]&population.IntuneLicence == 0 {
			w.NoUnit = append(w.NoUnit, u)
		}
	}
}

// leave names who is not moved by the waves, though BMS manages it.
func (w *WavePlan) leave(c *fleet.Cast, h population.Holders) {
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
		case c.Population.Users[d.User].NoLocation:
			left.Why, left.Rule, left.Action = lang.Key("its user has no usage location, so no licence can be assigned"), protocol.RuleLicenceMoves, lang.Key("set the usage location")
		default:
			continue
		}
		w.Left = append(w.Left, left)
	}
}

// A BoundResult is what became of one bound.
type BoundResult struct {
	Bound string `json:"bound"`
	Got   string `json:"got"`
	OK    bool   `json:"ok"`

	Over float64 `json:"-"` // by how many a minute it was broken

	said func(l lang.Language) (bound, got string)
}

// In returns bound and outcome in a language; Bound and Got have them in English.
func (b *BoundResult) In(l lang.Language) (bound, got string) { return b.said(l) }

func boundResult(ok bool, over float64, said func(l lang.Language) (bound, got string)) BoundResult {
	b := BoundResult{OK: ok, Over: over, said: said}
	b.Bound, b.Got = said(lang.English)
	return b
}

// Judge holds a rehearsal of the waves against their bounds, beside one without them: a peak that is there without any wave is no
// wave's fault, and neither is what a device lacks anyhow. Devices that are without a profile for too long are those exposed.
func (w *WavePlan) Judge(with, without *Played, b Bounds) (results []BoundResult) {
	first := int(w.Days[0].At / time.Minute)
	peak := func(what lang.Key, bound float64, of func(m *Minute) uint32) {
		var n, anyhow uint32
		for i := first; i < min(len(with.Minutes), len(without.Minutes)); i++ {
			there := uint32(0) // about that time of the day, without any wave
			for k := max(first, i-around); k <= min(i+around, len(without.Minutes)-1); k++ {
				there = max(there, of(&without.Minutes[k]))
			}
			if is := of(&with.Minutes[i]); float64(there) <= bound || float64(is) <= bound {
				n = max(n, is)
			}
			anyhow = max(anyhow, there)
		}
		if bound > 0 {
			results = append(results, boundResult(float64(n) <= bound, max(0, float64(n)-bound), func(l lang.Language) (string, string) {
				return fmt.Sprintf("%s <= %g/min", l.Say(what), bound), l.Say("%d/min (without any wave %d/min)", n, anyhow)
			}))
		}
	}
	peak(lang.Key("check-ins"), b.CheckIns, func(m *Minute) uint32 { return m.CheckIns })
	peak(lang.Key("certificates"), b.Certificates, func(m *Minute) uint32 { return m.Issued })
	if b.Unprotected > 0 {
		devices, longest := w.exposed(with, without, b.Unprotected)
		n := len(devices)
		for _, i := range devices {
			w.Exposed = append(w.Exposed, Left{i, lang.Key("it moves, and is without a profile for longer than the bound"), protocol.RuleLicenceMoves, lang.Key("assign Intune's profiles before its wave")})
		}
		results = append(results, boundResult(n == 0, 0, func(l lang.Language) (string, string) {
			return l.Say("unprotected <= %s", plan.Duration(b.Unprotected)), l.Say("%s, %d {device|devices} longer than that", plan.Duration(longest.Round(time.Minute)), n)
		}))
	}
	if with.Violated > 0 {
		results = append(results, boundResult(false, 0, func(l lang.Language) (string, string) {
			return l.Say("invariants"), l.Say("%d {violation|violations}", with.Violated)
		}))
	}
	return results
}

// around is how many minutes before and after one belong to the same time of the day.
const around = 15

// exposed returns the devices that the waves leave without a profile for longer than a time, and the longest of all.
func (w *WavePlan) exposed(with, without *Played, most time.Duration) (devices []int, longest time.Duration) {
	for i := range with.Lives {
		over := time.Duration(0)
		for f, d := range with.Lives[i].Unprotected {
			over = max(over, d-without.Lives[i].Unprotected[f])
		}
		if life := &with.Lives[i]; with.Population.Tenant.Coexistence { // of BMS's profiles from before the story nobody knows: they are on it until it moves (AUTH-25)
			if life.MovedAt == 0 {
				continue
			}
			over -= life.MovedAt.Sub(life.FirstPending)
		}
		if longest = max(longest, over); over > most {
			devices = append(devices, i)
		}
	}
	return devices, longest
}

// Entries calls f with each device that the waves do not move or expose, and each user without a unit, in a language, until f fails.
// Names are those of names.
func (w *WavePlan) Entries(l lang.Language, names *population.Population, f func(Entry) error) error {
	for _, left := range slices.Concat(w.Left, w.Exposed) {
		if err := f(Entry{names.Devices[left.Device].Name, userName(names, left.Device), fmt.Sprintf("%s (%s)", l.Say(left.Why), left.Rule), l.Say(left.Action)}); err != nil {
			return err
		}
	}
	for _, u := range w.NoUnit {
		reason := l.Say("no licence that entitles Intune is left for the user")
		if err := f(Entry{User: names.Users[u].UPN, Reason: reason + " (AUTH-09)", Action: l.Say("buy licences, or free some")}); err != nil {
			return err
		}
	}
	return nil
}
